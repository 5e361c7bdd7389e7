package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// maxRootRotations is how many roots one refresh climbs (TUF 5.3.3: Y).
const maxRootRotations = 256

// update is one run of the client workflow over a metadata directory and a
// repository.
type update struct {
	store  store
	http   *http.Client
	pace   fetch.Pace
	limits verify.Limits
	base   string // of the metadata, with a slash at the end
	stderr io.Writer

	timeout, left time.Duration // for metadata: in all, and not spent yet

	client  *verify.Client
	before  verify.State // as it is stored
	saved   int          // how many files were accepted when it was
	targets []target
}

func newHTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &http.Client{Transport: transport}
}

func withSlash(url string) string {
	if strings.HasSuffix(url, "/") {
		return url
	}
	return url + "/"
}

// open loads the state and the root that the device has.
func (u *update) open(cfg verify.ClientConfig) error {
	state, trouble, err := u.store.loadState()
	if err != nil {
		return err
	}
	if trouble != nil {
		fmt.Fprintf(u.stderr, "updater: warning: using the other copy of the state: %v\n", trouble)
	}
	if err := u.store.recover(); err != nil {
		return err
	}
	root, _, err := u.store.read(tuf.RoleRoot)
	if err != nil {
		return err
	}
	if root == nil {
		return fmt.Errorf("%s is missing: run updater init with the same root again", u.store.path(fileName(tuf.RoleRoot)))
	}
	u.before = state
	u.client, err = verify.NewClient(cfg, root, state)
	var r *verify.Refusal
	if errors.As(err, &r) {
		r.Detail = fmt.Sprintf("the device's own %s is damaged, and updater init with the root that it was given puts it back: %s", u.store.path(fileName(tuf.RoleRoot)), r.Detail)
	}
	return err
}

// kept returns what the device has of a role other than the root. What cannot be read, as
// where the disk is failing, counts as not there: it is fetched again and replaced.
func (u *update) kept(role string) ([]byte, verify.Sidecars) {
	file, sidecars, err := u.store.read(role)
	if err != nil {
		fmt.Fprintf(u.stderr, "updater: warning: what is kept of %s cannot be read: %s\n", tuf.EscapeRole(role), printable.Line(err.Error()))
		return nil, verify.Sidecars{}
	}
	return file, sidecars
}

// proofIsLacking says whether another proof could turn a refusal around.
func proofIsLacking(err error) bool {
	var r *verify.Refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.Code {
	case verify.CodeNotLogged, verify.CodeBadProof, verify.CodeQuorumShort, verify.CodeWrongLog:
		return true
	}
	return false
}

// saveState stores what the run has learned.
func (u *update) saveState() error {
	state := u.client.State()
	if sameState(u.before, state) {
		return nil
	}
	if err := u.store.saveState(state); err != nil {
		return err
	}
	u.before, u.saved = state, len(u.client.Accepted())
	return nil
}

// refresh runs the workflow for the top-level roles (TUF 5.3 to 5.6).
func (u *update) refresh(ctx context.Context) error {
	for _, step := range []func(context.Context) error{u.roots, u.timestamp, u.snapshot, u.topTargets} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// roots climbs to the newest root and stores it once it is trusted. Nothing is
// stored of the roots on the way: a device that is refused the last one starts again
// from where it was.
func (u *update) roots(ctx context.Context) error {
	var file []byte // the last; nil: there is none but the device's own
	var last verify.Request
	for range maxRootRotations {
		request, err := u.client.RequestFor(tuf.RoleRoot)
		if err != nil {
			return err
		}
		next, err := u.fetchFile(ctx, request)
		if errors.Is(err, fetch.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		if err := u.client.UpdateRoot(next); err != nil {
			return err
		}
		file, last = next, request
	}
	var err error
	if file == nil {
		err = u.trustOwnRoot(ctx)
	} else {
		err = u.trustRoot(ctx, file, last)
	}
	if err != nil {
		return err
	}
	return u.client.RootsDone()
}

// trustRoot trusts and stores a root that was fetched.
func (u *update) trustRoot(ctx context.Context, file []byte, request verify.Request) error {
	sidecars, err := u.fetchSidecars(ctx, request)
	if err != nil {
		return err
	}
	if err := u.client.TrustRoot(sidecars); err != nil {
		return err
	}
	return u.store.write(tuf.RoleRoot, file, sidecars)
}

// trustOwnRoot trusts the root that the device has, by the proof that it has or by
// the repository's: the root may have been trusted before proofs were enforced, or
// under a trust policy with other logs.
func (u *update) trustOwnRoot(ctx context.Context) error {
	file, sidecars, err := u.store.read(tuf.RoleRoot)
	if err != nil {
		return err
	}
	refused := u.client.TrustRoot(sidecars)
	if !proofIsLacking(refused) {
		return refused
	}
	request := verify.Request{Role: tuf.RoleRoot, Version: u.client.NextRoot().Version}
	proof, err := u.fetchSidecar(ctx, tuf.RoleRoot, request.URLName()+verify.SidecarSuffix)
	if err != nil {
		return err
	}
	if proof == nil {
		return refused
	}
	sidecars = verify.Sidecars{Proof: proof}
	if err := u.client.TrustRoot(sidecars); err != nil {
		return err
	}
	return u.store.write(tuf.RoleRoot, file, sidecars)
}

func (u *update) timestamp(ctx context.Context) error {
	if kept, _ := u.kept(tuf.RoleTimestamp); kept != nil {
		if _, err := u.client.UpdateTimestamp(kept); err != nil && !isRefusal(err) {
			return err
		}
	}
	request, err := u.client.RequestFor(tuf.RoleTimestamp)
	if err != nil {
		return err
	}
	file, err := u.fetchFile(ctx, request)
	if err != nil {
		return err
	}
	updated, err := u.client.UpdateTimestamp(file)
	if err != nil || !updated {
		return err
	}
	return u.store.write(tuf.RoleTimestamp, file, verify.Sidecars{})
}

func (u *update) snapshot(ctx context.Context) error {
	request, err := u.client.RequestFor(tuf.RoleSnapshot)
	if err != nil {
		return err
	}
	return u.role(ctx, request, func(file []byte, _ verify.Sidecars) error { return u.client.UpdateSnapshot(file) })
}

func (u *update) topTargets(ctx context.Context) error {
	request, err := u.client.RequestFor(tuf.RoleTargets)
	if err != nil {
		return err
	}
	return u.role(ctx, request, u.client.UpdateTargets)
}

// role brings one role up to date: with the file that is kept, if that is still
// the right one, otherwise with the repository's.
func (u *update) role(ctx context.Context, request verify.Request, take func([]byte, verify.Sidecars) error) error {
	kept, sidecars := u.kept(request.Role)
	if kept != nil {
		err := take(kept, sidecars)
		if err == nil || !isRefusal(err) {
			return err
		}
	}
	file, err := u.fetchFile(ctx, request)
	if err != nil {
		return err
	}
	if sidecars, err = u.fetchSidecars(ctx, request); err != nil {
		return err
	}
	if err := take(file, sidecars); err != nil {
		return err
	}
	return u.store.write(request.Role, file, sidecars)
}

func isRefusal(err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r)
}

func (u *update) fetchFile(ctx context.Context, request verify.Request) ([]byte, error) {
	return u.get(ctx, request.Role, request.URLName(), request.MaxLength)
}

// fetchSidecars returns the proofs that lie beside a file, as far as they matter.
func (u *update) fetchSidecars(ctx context.Context, request verify.Request) (verify.Sidecars, error) {
	var sidecars verify.Sidecars
	var err error
	if u.client.NeedsProof(request.Role) {
		sidecars.Proof, err = u.fetchSidecar(ctx, request.Role, request.URLName()+verify.SidecarSuffix)
	}
	if err == nil && u.client.NeedsLatest(request.Role) {
		sidecars.Latest, err = u.fetchSidecar(ctx, request.Role, request.URLName()+verify.LatestSuffix)
	}
	return sidecars, err
}

// fetchSidecar returns a proof, nil if the repository has none. One that is too long is
// returned as one that cannot be read: what that means the client decides. A device that
// only warns goes on without what it could not fetch.
func (u *update) fetchSidecar(ctx context.Context, role, name string) ([]byte, error) {
	proof, err := u.get(ctx, role, name, proofs.MaxProofSize)
	var r *verify.Refusal
	switch {
	case errors.Is(err, fetch.ErrNotFound):
		return nil, nil
	case errors.Is(err, fetch.ErrTooLarge):
		return []byte("longer than any proof\n"), nil
	case errors.As(err, &r) && r.Code == verify.CodeNetwork && u.client.Transparency() == verify.Warn:
		fmt.Fprintf(u.stderr, "updater: warning: %s\n", printable.Line(line(r)))
		return nil, nil
	}
	return proof, err
}

// get fetches one file. Whatever goes wrong on the way is CodeNetwork; only a
// body that is longer than it may be is held against the repository.
func (u *update) get(ctx context.Context, role, name string, limit int64) ([]byte, error) {
	timed, cancel := context.WithTimeoutCause(ctx, u.left, fmt.Errorf("the metadata has taken longer than %v (--timeout)", u.timeout))
	defer cancel()
	begin := time.Now()
	b, err := u.pace.Get(timed, u.http, u.base+name, limit)
	u.left -= time.Since(begin)
	switch {
	case errors.Is(err, fetch.ErrTooLarge):
		if flag, most := u.limit(role); limit == most {
			name += ": longer than --" + flag + " allows"
		}
		return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: role, Detail: name, Err: err}
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &verify.Refusal{Code: verify.CodeNetwork, Role: role, Detail: "could not fetch " + name, Err: err}
	}
	return b, nil
}

// limit is the flag that bounds a role's file, and its value.
func (u *update) limit(role string) (flag string, most int64) {
	switch role {
	case tuf.RoleRoot:
		return "max-root-length", u.limits.Root
	case tuf.RoleTimestamp:
		return "max-timestamp-length", u.limits.Timestamp
	case tuf.RoleSnapshot:
		return "max-snapshot-length", u.limits.Snapshot
	}
	return "max-targets-length", u.limits.Targets
}
