package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Keeper has the files that a device keeps, as verify.Source says. A device.Store is one,
// and a Root.
type Keeper interface {
	Kept(ctx context.Context, role string) (file []byte, sidecars verify.Sidecars, err error)
}

// Root is a device that has nothing but the root that it was given.
type Root []byte

// Kept is Keeper's.
func (r Root) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	if role == tuf.RoleRoot {
		return r, verify.Sidecars{}, nil
	}
	return nil, verify.Sidecars{}, nil
}

// Trial is an update of which nothing is kept.
type Trial struct {
	Client *verify.Client // nil only if the update could not begin
	origin device.Origin
	asked  []verify.Request  // those of metadata that were answered, without proofs
	files  map[string][]byte // what was fetched, by the name that it has in a repository
}

// source is the source of a Trial.
type source struct {
	Keeper
	*Trial
}

// Fetch is verify.Source's.
func (t *Trial) Fetch(ctx context.Context, r verify.Request) ([]byte, error) {
	b, err := t.origin.Fetch(ctx, r)
	if err == nil {
		t.files[r.URLName()] = b
		if r.Suffix == "" {
			t.asked = append(t.asked, r)
		}
	}
	return b, err
}

// Keep is verify.Source's.
func (t *Trial) Keep(context.Context, verify.Accepted) error { return nil }

// Try updates a device from an origin without keeping anything: the result says what would
// be accepted, or the error what would be refused.
func Try(ctx context.Context, cfg verify.Config, state verify.State, kept Keeper, origin device.Origin) (*Trial, error) {
	t := &Trial{origin: origin, files: map[string][]byte{}}
	var err error
	t.Client, err = verify.Refresh(ctx, cfg, state, source{kept, t})
	return t, err
}

// Check checks the content of a target, and returns where it was found. Its error is a
// *verify.Refusal if the content is not as listed, and wraps verify.ErrNotListed or
// fs.ErrNotExist.
func (t *Trial) Check(ctx context.Context, path string) (verify.Lookup, error) {
	found, err := t.Client.Locate(ctx, path)
	if err != nil {
		return found, err
	}
	check, err := verify.NewTargetCheck(*found.Target)
	if err == nil {
		err = t.origin.CopyTarget(ctx, check, path, found, 0)
	}
	if err == nil {
		err = check.Done()
	}
	return found, err
}

// delegated brings every delegated role up to date, or every one that the origin has.
func (t *Trial) delegated(ctx context.Context, all bool) error {
	return t.Client.Delegated(ctx, func(_ verify.Request, err error) error {
		if !all && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// rest fetches what lies beside the files that were asked for, and was not asked for.
func (t *Trial) rest(ctx context.Context) error {
	for _, r := range t.asked {
		if r.Role == tuf.RoleTimestamp || r.Role == tuf.RoleSnapshot {
			continue // they have no proofs
		}
		if err := t.besides(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// besides fetches the proofs beside a file.
func (t *Trial) besides(ctx context.Context, r verify.Request) error {
	for _, suffix := range []string{verify.SidecarSuffix, verify.LatestSuffix} {
		r.Suffix, r.MaxLength = suffix, maxProof
		if _, ok := t.files[r.URLName()]; ok {
			continue
		}
		if _, err := t.Fetch(ctx, r); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", r.URLName(), err)
		}
	}
	return nil
}
