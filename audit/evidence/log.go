package evidence

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// check checks an accusation against a log.
func (r *reader) check(ctx context.Context) (Statement, error) {
	s := Statement{Kind: r.kind, Against: []string{r.origin}, Log: r.origin, Size: r.tree.N, Entries: []int64{r.index}}
	signed := fmt.Sprintf("log %s signed a tree of %d entries", tuf.Word(r.origin), r.tree.N)
	raw := r.entries[r.index]
	l, leafErr := leaf.Parse(raw)
	if leafErr == nil {
		s.Repository, s.Role, s.Version = l.Repository, l.Role, l.Version
	}
	switch r.kind {
	case BadLeaf:
		if _, ok := leaf.UnknownKind(raw); ok || leafErr == nil || leaf.IsEnd(raw) {
			return s, fmt.Errorf("entry %d is a leaf, or a newer version may know it: %w", r.index, ErrNoProof)
		}
		s.Sentence = fmt.Sprintf("%s in which entry %d is not a leaf: %v", signed, r.index, leafErr)
		return s, nil
	case BehindEnd:
		if !leaf.IsEnd(raw) || r.tree.N <= r.index+1 {
			return s, fmt.Errorf("entry %d is not an end, or the last entry of the tree: %w", r.index, ErrNoProof)
		}
		s.Sentence = fmt.Sprintf("%s, although the log had ended with entry %d", signed, r.index)
		return s, nil
	case Duplicate, FalseAdmission:
	default:
		return s, fmt.Errorf("unknown kind of accusation: get a newer version, if there is one: %w", ErrNoProof)
	}
	if leafErr != nil {
		return s, fmt.Errorf("entry %d is not a leaf: %w", r.index, ErrNoProof)
	}
	what := fmt.Sprintf("%s with entry %d (%s of %s %d of repository %v)", signed, r.index, l.Kind, tuf.Word(l.Role), l.Version, l.Repository)
	var why string
	var err error
	if r.kind == Duplicate {
		var other int64
		if other, why = r.duplicate(l); why == "" {
			return s, fmt.Errorf("entry %d repeats no earlier entry of the file: %w", r.index, ErrNoProof)
		}
		s.Entries = []int64{other, r.index}
	} else if why, err = r.falseAdmission(ctx, l); err != nil {
		var u *Unproved
		if errors.As(err, &u) {
			u.Sentence = what
		}
		return s, err
	}
	s.Sentence = fmt.Sprintf("%s, which should not be there: %s", what, why)
	return s, nil
}

// each calls f for the leaves of the file, those of a repository or all, until it is false.
func (r *reader) each(repo tuf.Digest, f func(index int64, l leaf.Leaf) bool) {
	for _, s := range r.spans {
		for i, raw := range s.Entries {
			l, err := leaf.Parse(raw)
			if err == nil && (repo.IsZero() || l.Repository == repo) && !f(s.First+int64(i), l) {
				return
			}
		}
	}
}

// duplicate finds an earlier entry after which the rules cannot give this leaf, whatever
// else the log holds:
//   - the same leaf. A file that is released is not signed again, nor bound for the first
//     time, if both have the same file and the same snapshot;
//   - evidence of the same role and version, of which the rules give one;
//   - a root with the same payload in the same repository, whatever its signatures;
//   - a root with the payload with which, by this leaf, a repository begins.
func (r *reader) duplicate(l leaf.Leaf) (other int64, why string) {
	r.each(tuf.Digest{}, func(index int64, o leaf.Leaf) bool {
		if index >= r.index {
			return false
		}
		same := o.Repository == l.Repository && o.Role == l.Role && o.Version == l.Version
		switch {
		case o == l:
			why = fmt.Sprintf("entry %d is the same leaf", index)
		case same && o.Kind == leaf.Evidence && l.Kind == leaf.Evidence:
			why = fmt.Sprintf("entry %d is evidence of the same role and version already", index)
		case same && l.Role == tuf.RoleRoot && o.Payload == l.Payload:
			why = fmt.Sprintf("entry %d is the same root", index)
		case isGenesis(l) && o.Role == tuf.RoleRoot && o.Kind == leaf.Release && o.Payload == l.Payload:
			why = fmt.Sprintf("entry %d has this root in the chain of repository %v", index, o.Repository)
		default:
			return true
		}
		other = index
		return false
	})
	return other, why
}

// isGenesis reports whether a leaf says that a repository begins with it.
func isGenesis(l leaf.Leaf) bool {
	return l.Role == tuf.RoleRoot && l.Kind == leaf.Release && l.Payload == l.Repository
}
