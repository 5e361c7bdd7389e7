package lookup

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// Memory is what an auditor remembers of the leaves that it has judged: a *state.Reader.
type Memory interface {
	Files(ctx context.Context, q state.Query, fn func(state.File) error) error
	KeyUses(ctx context.Context, id string, identity tuf.KeyIdentity, fn func(state.KeyUse) error) error
	Naming(ctx context.Context, sum tuf.Digest, fn func(state.Leaf) error) error
	Leaf(ctx context.Context, index int64) (state.Leaf, bool, error)
	LeavesOfVersion(ctx context.Context, repository tuf.Digest, role string, version int64, fn func(state.Leaf) error) error
}

// Judge knows what is in force, and proves leaves: an *audit.Auditor.
type Judge interface {
	// Current returns the index of the release in force of a role; false: none, or it is not
	// known, as the repository is being judged again.
	Current(ctx context.Context, repository tuf.Digest, role string) (index int64, ok bool, err error)
	Prove(ctx context.Context, index int64, raw []byte) ([]byte, error)
}

// Limits of an answer: whoever may register can have a file listed by very many releases,
// under very many paths.
const (
	maxRows  = 100_000 // rows of the memory that are looked at, of releases and of evidence each
	maxShown = 1000    // leaves, files or keys
)

// Find finds the releases that list the file, as an auditor remembers them, proves them and
// marks the current ones. Successive releases of a role that list it are one answer, that of
// the last of them. The error means that something could not be read or proved now; other
// answers may have their proofs.
func (l *Lookup) Find(ctx context.Context, memory Memory, judge Judge) error {
	if !l.Query.SHA256.IsZero() {
		err := memory.Naming(ctx, l.Query.SHA256, func(named state.Leaf) error {
			for _, part := range []struct {
				as  string
				sum tuf.Digest
			}{{"metadata", named.Metadata}, {"payload", named.Payload}} {
				if named.Verdict == state.Right && part.sum == l.Query.SHA256 && len(l.Named) < maxShown {
					l.Named = append(l.Named, Named{named.Index, part.as})
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	rows, err := l.rows(ctx, memory)
	if err != nil {
		return err
	}
	for _, of := range l.chosen(rows) {
		if err := l.answer(ctx, memory, of); err != nil {
			return err
		}
	}
	return l.prove(ctx, memory, judge)
}

// queries are those that find the file.
func (l *Lookup) queries() ([]state.Query, error) {
	var queries []state.Query
	if !l.Query.SHA256.IsZero() {
		queries = append(queries, state.Query{SHA256: l.Query.SHA256, Path: l.Query.Path})
	}
	if l.Query.SHA512 != "" {
		sum, err := hex.DecodeString(l.Query.SHA512)
		if err != nil {
			return nil, err
		}
		queries = append(queries, state.Query{SHA512: sum, Path: l.Query.Path})
	}
	if len(queries) == 0 && l.Query.Path != "" {
		queries = append(queries, state.Query{Path: l.Query.Path})
	}
	return queries, nil
}

// rows returns the rows that are about the file, and counts those of repositories that do
// not count. Vendors are asked for one by one: whatever others list, it does not crowd them
// out; nor do releases crowd out evidence.
func (l *Lookup) rows(ctx context.Context, memory Memory) ([]state.File, error) {
	type place struct {
		repository tuf.Digest
		role, path string
		first      int64
	}
	type leafOf struct {
		repository tuf.Digest
		last       int64
	}
	found, elsewhere := map[place]state.File{}, map[leafOf]bool{}
	kinds := map[bool]int{}
	note := func(f state.File) error {
		at := place{f.Repository, f.Role, f.Path, f.First}
		switch _, known := found[at]; {
		case known:
		case !l.Counts(f.Repository):
			if len(elsewhere) < maxRows {
				elsewhere[leafOf{f.Repository, f.Last}] = true
			}
		case kinds[f.Evidence] == maxRows:
			l.More++
		default:
			kinds[f.Evidence]++
			found[at] = f
		}
		return nil
	}
	queries, err := l.queries()
	if err != nil {
		return nil, err
	}
	for _, q := range queries {
		for id := range l.Vendors {
			if q.Repository = id; id.IsZero() {
				continue // it is nobody's, and the memory takes it for all
			}
			if err := memory.Files(ctx, q, note); err != nil {
				return nil, err
			}
		}
		q.Repository = tuf.Digest{}
		if err := memory.Files(ctx, q, note); err != nil {
			return nil, err
		}
	}
	l.Elsewhere = len(elsewhere)
	return slices.Collect(maps.Values(found)), nil
}

// chosen returns the rows of each leaf that has answers, in log order: of evidence, and then of
// releases, the newest.
func (l *Lookup) chosen(rows []state.File) [][]state.File {
	slices.SortFunc(rows, func(a, b state.File) int {
		return cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.Path, b.Path), cmp.Compare(a.First, b.First))
	})
	var leaves [][]state.File
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Last == rows[0].Last {
			n++
		}
		leaves, rows = append(leaves, rows[:n]), rows[n:]
	}
	if len(leaves) <= maxShown {
		return leaves
	}
	slices.SortFunc(leaves, func(a, b []state.File) int {
		if a[0].Evidence != b[0].Evidence {
			if a[0].Evidence {
				return -1
			}
			return 1
		}
		return cmp.Compare(b[0].Last, a[0].Last)
	})
	l.More += len(leaves) - maxShown
	leaves = leaves[:maxShown]
	slices.SortFunc(leaves, func(a, b []state.File) int { return cmp.Compare(a[0].Last, b[0].Last) })
	return leaves
}

// answer adds the answers of a leaf, which are those of rows.
func (l *Lookup) answer(ctx context.Context, memory Memory, rows []state.File) error {
	at, ok, err := memory.Leaf(ctx, rows[0].Last)
	if err != nil || !ok {
		return fmt.Errorf("entry %d is not remembered: %w", rows[0].Last, err)
	}
	var answers []Answer
	for _, row := range rows {
		file := targetOf(row)
		_, conflict := l.Query.compare(row.Path, file)
		answers = append(answers, Answer{
			Index: at.Index, Since: row.First, Kind: at.Kind, Repository: at.Repository, Role: at.Role, Version: at.Version,
			Expires: at.Expires, Path: row.Path, Length: row.Length, Hashes: file.Hashes, Conflict: conflict, raw: at.Entry(),
		})
	}
	l.Answers = append(l.Answers, few(answers)...)
	return nil
}

// targetOf returns what a release says of a file, as far as it is remembered.
func targetOf(row state.File) tuf.TargetFile {
	file := tuf.TargetFile{Length: row.Length, Hashes: map[string]string{}}
	if !row.SHA256.IsZero() {
		file.Hashes["sha256"] = row.SHA256.String()
	}
	if row.SHA512 != nil {
		file.Hashes["sha512"] = hex.EncodeToString(row.SHA512)
	}
	return file
}

// prove proves each answer, and marks the current ones and those with rivals.
func (l *Lookup) prove(ctx context.Context, memory Memory, judge Judge) error {
	var firstErr error
	failed := func(index int64, err error) {
		if err != nil && firstErr == nil {
			firstErr = fmt.Errorf("prove entry %d: %w", index, err)
		}
	}
	for i := range l.Answers {
		answer := &l.Answers[i]
		if i > 0 && l.Answers[i-1].Index == answer.Index {
			before := &l.Answers[i-1]
			answer.Rivals, answer.Current, answer.Proof = before.Rivals, before.Current, before.Proof
			continue
		}
		at, _, err := memory.Leaf(ctx, answer.Index)
		if err == nil {
			answer.Rivals, err = rivalsOf(ctx, memory, at)
		}
		failed(answer.Index, err)
		proof, err := judge.Prove(ctx, answer.Index, answer.raw)
		failed(answer.Index, err)
		answer.Proof = string(proof)
		current, ok, err := judge.Current(ctx, answer.Repository, answer.Role)
		if failed(answer.Index, err); err == nil {
			inForce := ok && current == answer.Index
			answer.Current = &inForce
		}
	}
	return firstErr
}

// rivalsOf lists the right leaves of the role and version of a leaf that have another
// payload, evidence included.
func rivalsOf(ctx context.Context, memory Memory, of state.Leaf) (rivals []Rival, err error) {
	err = memory.LeavesOfVersion(ctx, of.Repository, of.Role, of.Version, func(other state.Leaf) error {
		if other.Verdict == state.Right && other.Payload != of.Payload {
			rivals = append(rivals, Rival{other.Index, other.Kind})
		}
		return nil
	})
	return rivals, err
}
