package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Source is where an update has its files from and where it puts them: the files that a
// device keeps, and a repository to fetch others from. Its data is not trusted; kept
// files go through the same checks as fetched ones.
type Source interface {
	// Kept returns the files that the device keeps for a role: those that Keep was given
	// last, and of the root, before there is such a one, the root that Pin was given. A file
	// that is not kept is nil.
	Kept(ctx context.Context, role string) (file []byte, sidecars Sidecars, err error)
	// Fetch returns a file of the repository and reads at most MaxLength bytes. The error
	// of one that is not there wraps fs.ErrNotExist. An error that is not a *Refusal is an
	// outage: CodeNetwork.
	Fetch(ctx context.Context, r Request) ([]byte, error)
	// Keep replaces the device's files of a role with the newly trusted ones. The file and
	// its sidecars belong together: after a power cut a device must not have one without the
	// others.
	Keep(ctx context.Context, a Accepted) error
}

// Refresh is the TUF client workflow (specification 5.2 to 5.6) with the transparency gate
// inside: it brings root, timestamp, snapshot and targets up to date, from the files that
// source keeps and fetches, and trusts a file only after its sidecar was checked. A
// *Refusal ends the update: the refused file is not kept, and earlier trusted files stay
// trusted. Other errors are the source's own, or the context's.
//
// The Client holds the files that are trusted then, and finds targets: also where a newer
// release waits (CodeTooYoung, CodeQuarantined, CodeNeedsApproval), and it is Standing by the
// one that the device has accepted before. It is nil only if
// the update could not begin; otherwise the caller must store its State, even with an
// error.
func Refresh(ctx context.Context, cfg Config, state State, source Source) (*Client, error) {
	root, sidecars, err := source.Kept(ctx, tuf.RoleRoot)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, errors.New("client: no root is kept: an update begins with the one that Pin was given")
	}
	c, err := newClient(cfg, root, state, source)
	if err != nil {
		return nil, err
	}
	if err := c.checkDowngrade(); err != nil {
		return c, err
	}
	err = c.refresh(ctx, sidecars)
	if err == nil && c.again && c.cfg.Transparency == Enforce {
		c.requires()
	}
	var r *Refusal
	if c.held != nil && errors.As(err, &r) && ofRoot(r.Code) {
		// What the root in force refuses may be right under the one that waits.
		err = &Refusal{Code: c.held.Code, Role: c.held.Role, Detail: c.held.Detail + fmt.Sprintf("; under root %d, which is in force until then", c.root.Version), Err: err}
	}
	c.standBy(ctx, err)
	return c, err
}

// ofRoot reports whether a file with this fault under one root may have none under another.
func ofRoot(code Code) bool {
	switch code {
	case CodeBadMetadata, CodeExpired, CodeRollback, CodeSecondPayload:
		return true
	}
	return false
}

func (c *Client) refresh(ctx context.Context, root Sidecars) error {
	if err := c.refreshRoots(ctx, root); err != nil {
		return err
	}
	if err := c.refreshTimestamp(ctx); err != nil {
		return err
	}
	if err := c.refreshSnapshot(ctx); err != nil {
		return err
	}
	request, err := c.targetsRequest(tuf.RoleTargets, "")
	if err != nil {
		return err
	}
	return c.refreshTargets(ctx, request)
}

// refreshRoots climbs to the newest root and keeps it once it is trusted. Nothing is kept
// of the roots on the way: a device that is refused the last one starts again from where
// it was.
func (c *Client) refreshRoots(ctx context.Context, kept Sidecars) error {
	var ahead Sidecars // of the newer root that is kept
	if c.ahead != nil {
		if err := c.startFromState(ctx); err != nil {
			return err
		}
		kept, ahead = Sidecars{}, kept
	}
	own := c.next
	for range c.cfg.MaxRoots {
		file, err := c.fetch(ctx, c.rootRequest(c.next.Version+1))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		if err := c.updateRoot(file); err != nil {
			return unlessPart(err, c.rootRequest(c.next.Version+1), file)
		}
	}
	if c.ahead != nil && c.next.Version < c.ahead.Version {
		return c.notFollowing("the repository has roots up to version %d", c.next.Version)
	}
	var err error
	if c.next == own {
		err = c.trustOwnRoot(ctx, kept)
	} else {
		if c.ahead != nil && c.next.PayloadDigest == c.ahead.PayloadDigest {
			err = c.trustOwnRoot(ctx, ahead)
		} else {
			err = c.trustFetchedRoot(ctx)
		}
		if errors.As(err, &c.held); c.held != nil && waits(c.held.Code) {
			// It is as if that root had not been seen.
			c.next = own
			err = c.trustOwnRoot(ctx, kept)
		} else {
			c.held = nil
		}
	}
	if err != nil {
		return err
	}
	return c.rootsDone()
}

// startFromState starts the climb from the root that the device trusted last, where it keeps
// a newer one: a run may have lost its power between the two, or somebody has put it there.
// The repository has the older one, and the state knows it by its payload.
func (c *Client) startFromState(ctx context.Context) error {
	before := c.state.Root
	file, err := c.fetch(ctx, c.rootRequest(before.Version))
	if errors.Is(err, fs.ErrNotExist) {
		return c.notFollowing("the repository does not have that")
	}
	if err != nil {
		return err
	}
	m, err := readFile(tuf.RoleRoot, file)
	if err != nil {
		return unlessPart(err, c.rootRequest(before.Version), file)
	}
	if m.PayloadDigest != before.Payload {
		return c.notFollowing("the repository's root %d has payload %v, and the trusted one %v", m.Version, m.PayloadDigest, before.Payload)
	}
	c.root, c.next = m, m
	return nil
}

// waits reports whether a code means that nothing is wrong with a file, but that it is not
// to be accepted yet.
func waits(code Code) bool {
	switch code {
	case CodeTooYoung, CodeQuarantined, CodeNeedsApproval:
		return true
	}
	return false
}

func (c *Client) trustFetchedRoot(ctx context.Context) error {
	sidecars, err := c.fetchSidecars(ctx, c.rootRequest(c.next.Version))
	if err != nil {
		return err
	}
	if err := c.trustRoot(sidecars); err != nil {
		return err
	}
	return c.keepLast(ctx)
}

// trustOwnRoot trusts the root that the device has, by the proof that it has or by the
// repository's: the root may have been trusted before proofs were enforced, or under a
// trust policy with other logs.
func (c *Client) trustOwnRoot(ctx context.Context, kept Sidecars) error {
	refused := c.trustRoot(kept)
	if !proofIsLacking(refused) {
		return refused
	}
	proof, err := c.fetchSidecar(ctx, c.rootRequest(c.next.Version), SidecarSuffix)
	if err != nil {
		return err
	}
	if proof == nil {
		return refused
	}
	if err := c.trustRoot(Sidecars{Proof: proof}); err != nil {
		return err
	}
	return c.keepLast(ctx)
}

// proofIsLacking reports whether another proof could turn a refusal around.
func proofIsLacking(err error) bool {
	var r *Refusal
	if !errors.As(err, &r) {
		return false
	}
	return lacksProof(r.Code) || r.Code == CodeWrongRepository || r.Code == CodeEvidence
}

func (c *Client) refreshTimestamp(ctx context.Context) error {
	if kept, _ := c.kept(ctx, tuf.RoleTimestamp); kept != nil {
		if _, err := c.updateTimestamp(kept); err != nil && !isRefusal(err) {
			return err
		}
	}
	request := Request{Role: tuf.RoleTimestamp, MaxLength: c.cfg.Limits.of(tuf.RoleTimestamp)}
	file, err := c.fetch(ctx, request)
	if err != nil {
		return err
	}
	updated, err := c.updateTimestamp(file)
	if err != nil || !updated {
		return unlessPart(err, request, file)
	}
	return c.keepLast(ctx)
}

func (c *Client) refreshSnapshot(ctx context.Context) error {
	return c.refreshRole(ctx, c.snapshotRequest(), func(file []byte, _ Sidecars) error { return c.updateSnapshot(file) })
}

// refreshTargets brings the targets of a role up to date, top-level or delegated.
func (c *Client) refreshTargets(ctx context.Context, r Request) error {
	var before *tuf.Metadata
	return c.refreshRole(ctx, r, func(file []byte, sidecars Sidecars) error {
		err := c.updateTargets(r.Role, r.Delegator, before, file, sidecars)
		if c.cfg.Install.PostponeSecurity > 0 && before == nil && isRefusal(err) {
			// It was the kept one, if the device has accepted it.
			if m, err := tuf.ParseJSON(file); err == nil && m.Targets != nil && c.had(r.Role, m.PayloadDigest) {
				before = m
			}
		}
		return err
	})
}

// refreshRole brings one role up to date: with the file that is kept, if that is still the
// right one, otherwise with the repository's.
func (c *Client) refreshRole(ctx context.Context, r Request, take func([]byte, Sidecars) error) error {
	if kept, sidecars := c.kept(ctx, r.Role); kept != nil {
		if err := take(kept, sidecars); err == nil || !isRefusal(err) {
			return err
		}
	}
	file, err := c.fetch(ctx, r)
	if err != nil {
		return err
	}
	sidecars, err := c.fetchSidecars(ctx, r)
	if err != nil {
		return err
	}
	if err := take(file, sidecars); err != nil {
		return unlessPart(err, r, file)
	}
	return c.keepLast(ctx)
}

func isRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

// kept returns what the device has of a role other than the root. What cannot be read, as
// where the disk is failing, counts as not there: it is fetched again and replaced.
func (c *Client) kept(ctx context.Context, role string) ([]byte, Sidecars) {
	file, sidecars, err := c.source.Kept(ctx, role)
	if err != nil {
		c.troubles = append(c.troubles, fmt.Errorf("the kept file of %s cannot be read: %w", tuf.EscapeRole(role), err))
		return nil, Sidecars{}
	}
	return file, sidecars
}

// keepLast keeps the file that was accepted last.
func (c *Client) keepLast(ctx context.Context) error {
	return c.source.Keep(ctx, c.accepted[len(c.accepted)-1])
}

// fetch fetches one file. Whatever goes wrong on the way is CodeNetwork, unless the source
// holds it against the repository.
func (c *Client) fetch(ctx context.Context, r Request) ([]byte, error) {
	file, err := c.source.Fetch(ctx, r)
	noteAnswer(c.answers, r, file, err)
	switch {
	case err == nil:
		// A source may have looked at no limit; what is longer than any file may be is
		// refused when it is read.
		if limit := c.cfg.Limits.of(r.Role); r.Suffix == "" && int64(len(file)) > limit && limit < tuf.MaxFileSize {
			return nil, refusal(CodeBadMetadata, r.Role, nil, "%s has more than the %d bytes that are allowed", r.URLName(), limit)
		}
		return file, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isRefusal(err):
		return nil, err
	}
	return nil, refusal(CodeNetwork, r.Role, err, "could not fetch %s", r.URLName())
}

// fetchSidecars returns the proofs that lie beside a file, as far as they matter.
func (c *Client) fetchSidecars(ctx context.Context, r Request) (sidecars Sidecars, err error) {
	if c.needsProof(r.Role) {
		sidecars.Proof, err = c.fetchSidecar(ctx, r, SidecarSuffix)
	}
	if err == nil && c.needsLatest(r.Role) {
		sidecars.Latest, err = c.fetchSidecar(ctx, r, LatestSuffix)
	}
	return sidecars, err
}

// fetchSidecar returns a proof, nil if the repository has none. One that is too long is
// returned as one that cannot be read: what that means the gate decides. A device that
// only warns goes on without what it could not fetch.
func (c *Client) fetchSidecar(ctx context.Context, r Request, suffix string) ([]byte, error) {
	r.Suffix, r.MaxLength = suffix, proofs.MaxProofSize
	proof, err := c.fetch(ctx, r)
	if err == nil {
		err = notFetched(r, partOfProof(proof))
	}
	var refused *Refusal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil:
		return proof, nil
	case !errors.As(err, &refused):
		return nil, err
	case refused.Code == CodeBadMetadata:
		return []byte("longer than any proof\n"), nil
	case refused.Code == CodeNetwork && c.cfg.Transparency == Warn:
		c.troubles = append(c.troubles, refused)
		return nil, nil
	}
	return nil, err
}
