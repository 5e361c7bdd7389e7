package maintain

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

const judgeAtOnce = 50000

// Passes returns how often Run goes through the entries. Progress counts all of
// them.
func (f *Fsck) Passes() int64 {
	if !f.Judge {
		return 1
	}
	atOnce := cmp.Or(f.JudgeAtOnce, judgeAtOnce)
	return 1 + (f.Stored.N+atOnce-1)/atOnce
}

// judgePart judges the leaves of a part of the repositories. What is wrong with an
// entry, or with what it names, has been said before.
func (f *Fsck) judgePart(ctx context.Context, part int64) error {
	f.repos = map[tuf.Digest]*admit.Repository{}
	parts := uint64(f.Passes() - 1)
	s := index.Scan{Storage: f.Storage, Blobs: f.Blobs, Size: f.Stored.N, Need: func(e *index.Scanned) {
		if binary.BigEndian.Uint64(e.Leaf.Repository[:])%parts != uint64(part) {
			return
		}
		e.File.Need = index.Everything
		if !e.Leaf.Snapshot.IsZero() {
			e.Snapshot.Need = index.Everything
		}
	}}
	return s.Run(ctx, func(b *index.Bundle) error {
		for i := range b.Entries {
			e := &b.Entries[i]
			if err := complete(ctx, &s, e); err != nil {
				return err
			}
			if e.Bad != nil || e.File.Need == index.Nothing || e.File.Err != nil || e.Snapshot.Err != nil {
				continue
			}
			err := e.File.Invalid
			if err == nil {
				err = f.judge(ctx, e)
			} else if f.indexed(e) && log.Lists(e.Leaf.Role) {
				continue
			}
			if mayPass(ctx, err) {
				return err
			}
			if err != nil {
				f.problem("entry %d: %v", e.Index, err)
			}
		}
		if f.Progress != nil {
			f.Progress(proofs.TileWidth(f.Stored.N, 0, b.Index))
		}
		return nil
	})
}

func (f *Fsck) judge(ctx context.Context, e *index.Scanned) error {
	repo := f.repos[e.Leaf.Repository]
	var decision admit.Decision
	var err error
	switch {
	case repo != nil && e.Snapshot.Need != index.Nothing:
		if err = e.Snapshot.Invalid; err == nil {
			decision, err = repo.Judge(ctx, e.Leaf.Role, e.File.Meta, []*tuf.Metadata{e.Snapshot.Meta})
		}
	case repo != nil:
		decision, err = repo.Judge(ctx, e.Leaf.Role, e.File.Meta, nil)
	default:
		if first, ok := f.roots[e.File.Meta.PayloadDigest]; ok && first < e.Index {
			return errors.New("it opens a repository with a root that another has")
		}
		decision, err = admit.JudgeGenesis(e.File.Meta)
	}
	switch {
	case err != nil:
		return err
	case decision.Logged || decision.Leaf != e.Leaf:
		return fmt.Errorf("its file leads to another leaf: %+v", decision.Leaf)
	}
	if repo == nil {
		f.repos[e.Leaf.Repository], err = admit.NewRepository(e.Leaf, e.Index, f.Blobs)
		return err
	}
	return repo.Apply(e.Index, e.Leaf)
}

// mayPass reports whether an error tells nothing about the data that was to be read: a
// server cannot be reached, or the caller has stopped waiting.
func mayPass(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.Is(err, log.ErrUnavailable))
}
