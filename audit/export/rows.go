package export

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// source is what is exported.
type source struct {
	db     *state.DB
	policy *proofs.Policy
}

func sumOrNull(d tuf.Digest) any {
	if d.IsZero() {
		return nil
	}
	return d.String()
}

func rootOf(tree proofs.Tree) string { return hex.EncodeToString(tree.Hash[:]) }

// timeOrNull prints POSIX seconds. 0, and a year that ISO 8601 has no four digits for,
// are missing.
func timeOrNull(seconds int64) any {
	t := time.Unix(seconds, 0).UTC()
	if seconds == 0 || t.Year() < 0 || t.Year() > 9999 {
		return nil
	}
	return t.Format("2006-01-02T15:04:05Z")
}

func logRow(ctx context.Context, from *source, emit func(...any) error) error {
	note, err := from.db.Verified(ctx)
	if err != nil || note == nil {
		return err
	}
	c, err := from.policy.OpenCheckpoint(note)
	if c == nil {
		return fmt.Errorf("the newest checkpoint that was verified: %w", err)
	}
	return emit(c.Origin, c.Tree.N, rootOf(c.Tree), from.db.Size(), string(note))
}

// checkpoints returns the checkpoints of the policy's log that are kept, in the order of
// their trees.
func (s *source) checkpoints(ctx context.Context, each func(note []byte, c *proofs.SignedCheckpoint, quorum bool) error) error {
	var notes [][]byte
	if err := s.db.AllNotes(ctx, func(note []byte) error {
		notes = append(notes, bytes.Clone(note))
		return nil
	}); err != nil {
		return err
	}
	for _, note := range notes {
		c, err := s.policy.OpenCheckpoint(note)
		if c == nil {
			continue // of a key that the policy does not have any more
		}
		if err := each(note, c, err == nil); err != nil {
			return err
		}
	}
	return nil
}

func checkpointRows(ctx context.Context, from *source, emit func(...any) error) error {
	return from.checkpoints(ctx, func(note []byte, c *proofs.SignedCheckpoint, quorum bool) error {
		return emit(c.Tree.N, rootOf(c.Tree), quorum, string(note))
	})
}

func cosignatureRows(ctx context.Context, from *source, emit func(...any) error) error {
	return from.checkpoints(ctx, func(_ []byte, c *proofs.SignedCheckpoint, _ bool) error {
		for _, cosig := range c.Cosignatures {
			if err := emit(c.Tree.N, rootOf(c.Tree), cosig.Witness, timeOrNull(cosig.Time)); err != nil {
				return err
			}
		}
		return nil
	})
}

// repositories returns the repositories in the order of their ids.
func (s *source) repositories(ctx context.Context) (list []state.Repository, err error) {
	err = s.db.Repositories(ctx, "", func(r state.Repository) error {
		r.Report = nil
		list = append(list, r)
		return nil
	})
	slices.SortFunc(list, func(a, b state.Repository) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list, err
}

func repositoryRows(ctx context.Context, from *source, emit func(...any) error) error {
	list, err := from.repositories(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		var genesis any
		if r.Genesis >= 0 {
			genesis = r.Genesis
		}
		if err := emit(r.ID.String(), genesis); err != nil {
			return err
		}
	}
	return nil
}

func leafRows(ctx context.Context, from *source, emit func(...any) error) error {
	return from.db.Leaves(ctx, 0, from.db.Size(), func(l state.Leaf) error {
		row := make([]any, 15)
		hash := proofs.LeafHash(l.Entry())
		row[0], row[1], row[2] = l.Index, hex.EncodeToString(hash[:]), string(l.Verdict)
		if !l.IsLeaf() {
			return emit(row...)
		}
		row[3], row[4], row[5], row[6] = string(l.Kind), l.Repository.String(), l.Role, l.Version
		row[7], row[8], row[9] = l.Payload.String(), l.Metadata.String(), l.Size
		if !l.Snapshot.IsZero() {
			row[10], row[11] = l.Snapshot.String(), string(l.Listed)
		}
		row[12] = string(l.Encoding)
		if l.Kind == "evidence" {
			row[13] = l.Contradicts
		}
		row[14] = timeOrNull(l.Expires)
		return emit(row...)
	})
}

// byPlace is the order of what releases list.
func byPlace(a, b *state.Listed) int {
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Last, b.Last))
}

// fileRows has the files of one repository in memory at a time.
func fileRows(ctx context.Context, from *source, emit func(...any) error) error {
	list, err := from.repositories(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		var files []state.File
		if err := from.db.Files(ctx, state.Query{Repository: r.ID}, func(f state.File) error {
			files = append(files, f)
			return nil
		}); err != nil {
			return err
		}
		slices.SortFunc(files, func(a, b state.File) int {
			return cmp.Or(byPlace(&a.Listed, &b.Listed), cmp.Compare(a.Path, b.Path))
		})
		for _, f := range files {
			var length, sha512 any
			if f.Length >= 0 {
				length = f.Length
			}
			if f.SHA512 != nil {
				sha512 = hex.EncodeToString(f.SHA512)
			}
			if err := emit(r.ID.String(), f.Role, f.Path, length, sumOrNull(f.SHA256), sha512, f.First, f.Last, f.Open, f.Evidence); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys calls each for the keys of all repositories, those of one in memory at a time.
func (s *source) keys(ctx context.Context, each func(state.KeyUse) error) error {
	list, err := s.repositories(ctx)
	if err != nil {
		return err
	}
	for _, r := range list {
		var keys []state.KeyUse
		if err := s.db.KeysOf(ctx, r.ID, func(k state.KeyUse) error {
			keys = append(keys, k)
			return nil
		}); err != nil {
			return err
		}
		slices.SortFunc(keys, func(a, b state.KeyUse) int {
			return cmp.Or(byPlace(&a.Listed, &b.Listed), cmp.Compare(a.ID, b.ID))
		})
		for _, k := range keys {
			if err := each(k); err != nil {
				return err
			}
		}
	}
	return nil
}

func keyRows(ctx context.Context, from *source, emit func(...any) error) error {
	return from.keys(ctx, func(k state.KeyUse) error {
		return emit(k.Repository.String(), k.Role, k.ID, sumOrNull(tuf.Digest(k.Identity)), k.First, k.Last, k.Open, k.Evidence, k.More)
	})
}

func keyRoleRows(ctx context.Context, from *source, emit func(...any) error) error {
	return from.keys(ctx, func(k state.KeyUse) error {
		for _, role := range k.Signs {
			if err := emit(k.Repository.String(), k.Role, k.ID, k.First, role.Role, int64(role.Threshold)); err != nil {
				return err
			}
		}
		return nil
	})
}

func findingRows(ctx context.Context, from *source, emit func(...any) error) error {
	return from.db.Findings(ctx, true, func(f state.Finding) error {
		var body struct {
			Sentence string `json:"sentence"`
		}
		if err := json.Unmarshal(f.Body, &body); err != nil {
			return &state.Error{Err: fmt.Errorf("%w: finding %s: %w", state.ErrDamaged, f.ID(), err)}
		}
		var leaf, reason any
		if f.Leaf >= 0 {
			leaf = f.Leaf
		}
		if f.Acked != 0 {
			reason = f.Reason
		}
		return emit(f.Sum.String(), f.Kind, f.Class, sumOrNull(f.Repository), leaf, body.Sentence, timeOrNull(f.First), timeOrNull(f.Last), timeOrNull(f.Gone), timeOrNull(f.Acked), reason)
	})
}
