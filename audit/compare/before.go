package compare

import (
	"context"
	"fmt"

	"github.com/tuflog/tuflog/tuf"
)

// before is what a vantage serves from before the log began.
type before struct {
	// root is older than the first that is logged, and signed by its own keys; nil: there is none.
	root *tuf.Metadata
	// linked reports whether enough of its keys signed the first logged root, too, so that they
	// were the repository's. They need not be its keys today.
	linked  bool
	targets []*tuf.Metadata // that those keys signed, and that may delegate
}

// unsigned says of a file that is not logged, and not signed by the keys in force, what is
// known: keys of before the log may have signed it, which devices of that time accept.
func (s *Subject) unsigned(ctx context.Context, row *Row, m *tuf.Metadata, by *served) error {
	row.Verdict, row.Sentence = Unsigned, "it is not logged, and not signed by enough of the keys in force: no device accepts it"
	first := s.cfg.History.Records[0].Leaf
	old := &by.before
	switch {
	case row.Role == tuf.RoleRoot:
		if m.Root == nil || m.Version >= first.Version || m.Meets(m.Root.KeySet(tuf.RoleRoot)) != nil {
			return nil
		}
		genesis, err := s.cfg.History.File(ctx, first)
		if err != nil {
			return err
		}
		old.root, old.linked = m, genesis.Meets(m.Root.KeySet(tuf.RoleRoot)) == nil
		if old.linked {
			row.Verdict, row.Sentence = Older, fmt.Sprintf("it is older than what is logged: the log begins with root %d, which its keys signed, too", first.Version)
		} else {
			row.Sentence = fmt.Sprintf("it is older than root %d, with which the log begins, and whose root it is cannot be told: its keys did not sign that one", first.Version)
		}
	case !old.signed(row.Role, m):
	case !old.linked:
		row.Sentence = fmt.Sprintf("it is not logged, and signed by the keys of the root %d that is served, which is older than the log: whose those are cannot be told", old.root.Version)
	case (row.Role == tuf.RoleSnapshot || row.Role == tuf.RoleTimestamp) && !s.tracked[row.Role]:
		row.Verdict, row.Sentence = Untracked, "the log has no "+row.Role+"s of this repository"
	case s.isBefore(row.Role, m.Version):
		row.Verdict, row.Sentence = Older, fmt.Sprintf("it is older than what is logged, and the keys of root %d signed it, which is older than the log", old.root.Version)
		if m.Targets != nil && m.Targets.Delegations != nil {
			old.targets = append(old.targets, m)
		}
	default:
		row.Verdict = Unlogged
		row.Sentence = fmt.Sprintf("it is signed by the keys of root %d, which is older than the log, and not in the log, in which %s is the newest", old.root.Version, newest(row.Role, row.Newest))
	}
	return nil
}

// signed reports whether enough keys of the role signed a file, by what is from before the
// log.
func (b *before) signed(role string, m *tuf.Metadata) bool {
	if b.root == nil || m.Type != tuf.TypeOf(role) {
		return false
	}
	if tuf.IsTopLevel(role) {
		return m.Meets(b.root.Root.KeySet(role)) == nil
	}
	for _, t := range b.targets {
		for name, keys := range t.Targets.Delegations.All() {
			if name == role && m.Meets(keys) == nil {
				return true
			}
		}
	}
	return false
}

// isBefore reports whether a version is lower than all that are logged of a role.
func (s *Subject) isBefore(role string, version int64) bool {
	for at := range s.versions {
		if at.role == role && at.version <= version {
			return false
		}
	}
	return true
}
