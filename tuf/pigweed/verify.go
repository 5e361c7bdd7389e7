package pigweed

import (
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/tuf"
)

// What a bundle is refused for, besides a *tuf.ThresholdError.
var (
	ErrMissing      = errors.New("pigweed: missing")
	ErrRollback     = errors.New("pigweed: older than what is trusted")
	ErrEquivocation = errors.New("pigweed: a second payload under one version")
	ErrPayload      = errors.New("pigweed: a payload is not what the targets metadata says")
)

// Trusted is what a device goes by.
type Trusted struct {
	Root    *tuf.Metadata
	Targets *tuf.Metadata // of the last bundle; nil: none yet
}

// VerifyRoot checks that a root may follow a trusted one: enough keys of both have signed
// it, and its version is not older. Pigweed does not climb from version to version, so any
// later one may follow. The trusted root again, with any signatures that suffice, follows
// itself; another payload of its version is ErrEquivocation, which Pigweed lets pass.
func VerifyRoot(next, trusted *tuf.Metadata) error {
	if !is(next, tuf.RoleRoot) || !is(trusted, tuf.RoleRoot) {
		return fmt.Errorf("%w: Pigweed's root metadata", ErrMissing)
	}
	if err := next.Meets(trusted.Root.KeySet(tuf.RoleRoot)); err != nil {
		return fmt.Errorf("root %d does not meet the threshold of root %d: %w", next.Version, trusted.Version, err)
	}
	if err := next.Meets(next.Root.KeySet(tuf.RoleRoot)); err != nil {
		return fmt.Errorf("root %d does not meet its own threshold: %w", next.Version, err)
	}
	return follows(next, trusted)
}

// VerifyTargets checks that enough keys that root names for targets have signed targets
// metadata, and that it may follow had, which is nil if a device has none yet. Where the
// signatures of had do not meet root any more, because its keys were replaced, its version
// does not matter: who had the old keys could have made it any number. (Pigweed does not
// look at it after any change to the keys.)
func VerifyTargets(next, root, had *tuf.Metadata) error {
	if !is(next, tuf.RoleTargets) {
		return fmt.Errorf("%w: Pigweed's targets metadata", ErrMissing)
	}
	if !is(root, tuf.RoleRoot) {
		return fmt.Errorf("%w: Pigweed's root metadata", ErrMissing)
	}
	if had != nil && !is(had, tuf.RoleTargets) {
		return fmt.Errorf("%w: what is trusted as Pigweed's targets metadata is not that", ErrMissing)
	}
	keys := root.Root.KeySet(tuf.RoleTargets)
	if err := next.Meets(keys); err != nil {
		return fmt.Errorf("targets %d does not meet the threshold of root %d: %w", next.Version, root.Version, err)
	}
	if had == nil || had.Meets(keys) != nil {
		return nil
	}
	return follows(next, had)
}

// is reports whether m is Pigweed's metadata of a role.
func is(m *tuf.Metadata, role string) bool {
	return m != nil && m.Encoding == tuf.Pigweed && m.Type == role
}

// follows compares versions and payloads.
func follows(next, had *tuf.Metadata) error {
	switch {
	case next.Version < had.Version:
		return fmt.Errorf("%w: %s %d after %d", ErrRollback, next.Type, next.Version, had.Version)
	case next.Version == had.Version && next.PayloadDigest != had.PayloadDigest:
		return fmt.Errorf("%w: %s %d is %s, and was %s", ErrEquivocation, next.Type, next.Version, next.PayloadDigest, had.PayloadDigest)
	}
	return nil
}

// Verify judges a bundle in the order in which a device does: the root in it, if there is
// one, by the trusted root; the targets metadata by the newer of the two; the payloads. It
// returns what the device trusts once it has installed the bundle.
func (b *Bundle) Verify(had Trusted) (Trusted, error) {
	if !is(had.Root, tuf.RoleRoot) {
		return Trusted{}, fmt.Errorf("%w: a trusted root of Pigweed's", ErrMissing)
	}
	now := had
	if b.Root != nil {
		if err := VerifyRoot(b.Root, had.Root); err != nil {
			return Trusted{}, err
		}
		now.Root = b.Root
	}
	if b.Targets == nil {
		return Trusted{}, fmt.Errorf("%w: the bundle has no targets metadata", ErrMissing)
	}
	if err := VerifyTargets(b.Targets, now.Root, had.Targets); err != nil {
		return Trusted{}, err
	}
	now.Targets = b.Targets
	if err := b.CheckPayloads(); err != nil {
		return Trusted{}, err
	}
	return now, nil
}

// CheckPayloads checks that the bundle has every file that its targets metadata lists, with
// the length and the SHA-256 listed. Other payloads are ignored. It does not check who
// signed. A bundle from which somebody has left out what a device has already does not
// pass.
func (b *Bundle) CheckPayloads() error {
	if b.Targets == nil {
		return fmt.Errorf("%w: the bundle has no targets metadata", ErrMissing)
	}
	for name, file := range b.Targets.Targets.Files() {
		payload, ok := b.Payload(name)
		if !ok {
			return fmt.Errorf("%w: no payload %s", ErrMissing, tuf.Word(name))
		}
		if err := file.Matches(payload); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPayload, tuf.Word(name), err)
		}
	}
	return nil
}
