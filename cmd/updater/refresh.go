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
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

const (
	// maxRootRotations is how many roots one refresh climbs (TUF 5.3.3: Y).
	maxRootRotations = 256
	// metadataTimeout bounds the time for one metadata file.
	metadataTimeout = time.Minute
)

// update is one run of the client workflow over a metadata directory and a
// repository.
type update struct {
	store  store
	http   *http.Client
	base   string // of the metadata, with a slash at the end
	stderr io.Writer

	client *verify.Client
	before verify.State
	target string // where the downloaded target is
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

// open loads the state and the trusted root.
func (u *update) open(ctx context.Context, cfg verify.ClientConfig) error {
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
	root, sidecars, err := u.store.read(verify.RoleRoot)
	if err != nil {
		return err
	}
	if root == nil {
		return fmt.Errorf("%s is missing: run updater init with the same root again", u.store.path(fileName(verify.RoleRoot)))
	}
	u.before = state
	u.client, err = verify.NewClient(cfg, root, sidecars, state)
	if proofIsLacking(err) {
		return u.openWithFetchedProof(ctx, cfg, root, err)
	}
	return err
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

// openWithFetchedProof tries again with the proof that the repository has of the
// trusted root. The root may have been trusted before proofs were enforced, or
// under a trust policy with other logs.
func (u *update) openWithFetchedProof(ctx context.Context, cfg verify.ClientConfig, root []byte, refused error) error {
	m, err := verify.ParseJSON(root)
	if err != nil {
		return refused
	}
	name := verify.Request{Role: verify.RoleRoot, Version: m.Version}.URLName()
	proof, err := u.fetchSidecar(ctx, verify.RoleRoot, name+verify.SidecarSuffix)
	if err != nil {
		return err
	}
	if proof == nil {
		return refused
	}
	sidecars := verify.Sidecars{Proof: proof}
	if u.client, err = verify.NewClient(cfg, root, sidecars, u.before); err != nil {
		return err
	}
	return u.store.write(verify.RoleRoot, root, sidecars)
}

// saveState stores what the run has learned.
func (u *update) saveState() error {
	if state := u.client.State(); !sameState(u.before, state) {
		return u.store.saveState(state)
	}
	return nil
}

// refresh runs the workflow for the top-level roles (TUF 5.3 to 5.6).
func (u *update) refresh(ctx context.Context) error {
	for _, step := range []func(context.Context) error{u.roots, u.timestamp, u.snapshot, u.targets} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (u *update) roots(ctx context.Context) error {
	for range maxRootRotations {
		request, err := u.client.RequestFor(verify.RoleRoot)
		if err != nil {
			return err
		}
		file, err := u.fetchFile(ctx, request)
		if errors.Is(err, fetch.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		sidecars, err := u.fetchSidecars(ctx, request)
		if err != nil {
			return err
		}
		if err := u.client.UpdateRoot(file, sidecars); err != nil {
			return err
		}
		if err := u.store.write(verify.RoleRoot, file, sidecars); err != nil {
			return err
		}
	}
	return u.client.RootsDone()
}

func (u *update) timestamp(ctx context.Context) error {
	kept, _, err := u.store.read(verify.RoleTimestamp)
	if err != nil {
		return err
	}
	if kept != nil {
		if _, err := u.client.UpdateTimestamp(kept); err != nil && !isRefusal(err) {
			return err
		}
	}
	request, err := u.client.RequestFor(verify.RoleTimestamp)
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
	return u.store.write(verify.RoleTimestamp, file, verify.Sidecars{})
}

func (u *update) snapshot(ctx context.Context) error {
	request, err := u.client.RequestFor(verify.RoleSnapshot)
	if err != nil {
		return err
	}
	return u.role(ctx, request, func(file []byte, _ verify.Sidecars) error { return u.client.UpdateSnapshot(file) })
}

func (u *update) targets(ctx context.Context) error {
	request, err := u.client.RequestFor(verify.RoleTargets)
	if err != nil {
		return err
	}
	return u.role(ctx, request, u.client.UpdateTargets)
}

// role brings one role up to date: with the file that is kept, if that is still
// the right one, otherwise with the repository's.
func (u *update) role(ctx context.Context, request verify.Request, take func([]byte, verify.Sidecars) error) error {
	kept, sidecars, err := u.store.read(request.Role)
	if err != nil {
		return err
	}
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

// fetchSidecar returns a proof, nil if the repository has none.
func (u *update) fetchSidecar(ctx context.Context, role, name string) ([]byte, error) {
	proof, err := u.get(ctx, role, name, proofs.MaxProofSize)
	if errors.Is(err, fetch.ErrNotFound) {
		return nil, nil
	}
	return proof, err
}

// get fetches one file. Whatever goes wrong on the way is CodeNetwork; only a
// body that is longer than it may be is held against the repository.
func (u *update) get(ctx context.Context, role, name string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	b, err := fetch.Get(ctx, u.http, u.base+name, limit)
	switch {
	case errors.Is(err, fetch.ErrTooLarge):
		return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: role, Detail: name, Err: err}
	case err != nil:
		return nil, &verify.Refusal{Code: verify.CodeNetwork, Role: role, Detail: "could not fetch " + name, Err: err}
	}
	return b, nil
}
