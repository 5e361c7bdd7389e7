package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A tree that grows by parts is judged as in one piece, a part that is served wrong keeps
// nothing of the parts before it from being judged, and none is judged that is not proved.
func TestGrowsByParts(t *testing.T) {
	if testing.Short() {
		t.Skip("seven replays of 600 leaves take a second")
	}
	h := newHistory(t)
	h.pad(600)
	h.release(tuf.RoleTargets, "app.bin", "five")
	h.Publish(2)
	parts := func(c *audit.Auditor) *audit.Auditor {
		c.SetParts(1, 1<<10)
		return c
	}
	want := summary(report(t, stepped(t, newAuditor(t, h.Log))))
	if got := summary(report(t, stepped(t, parts(newAuditor(t, h.Log))))); got != want {
		t.Errorf("by parts:\n%.1000s\nwant\n%.1000s", got, want)
	}

	// Its tiles are missing, and it is one part.
	for _, path := range []string{"tile/1/000.p/2", "tile/0/000"} {
		h.Spoil(path, audittest.Missing)
		a := stepped(t, parts(newAuditor(t, h.Log)))
		if r := report(t, a); r.Judged != h.Size() || r.Waiting != 0 || r.Vouches {
			t.Errorf("without %s: judged %d, %d wait", path, r.Judged, r.Waiting)
		}
		h.Spoil(path, nil)
	}
	h.Spoil("tile/1/000.p/2", audittest.Missing)
	a := newAuditor(t, h.Log)
	a.SetParts(1, 2)
	result, err := a.Step(t.Context())
	if !errors.Is(err, audit.ErrNotFound) || result.To != 0 || !strings.Contains(kinds(result.Findings), "unreachable") {
		t.Errorf("more than is hashed without a proof: judged %d, found %s, %v", result.To, kinds(result.Findings), err)
	}
	h.Spoil("tile/1/000.p/2", nil)
	if got := summary(report(t, stepped(t, a))); got != want {
		t.Errorf("once the tiles are there:\n%.1000s", got)
	}

	// The second part is served wrong, and right in the next process.
	dir := t.TempDir()
	open := func() *audit.Auditor {
		return parts(newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir }))
	}
	h.Spoil("tile/entries/001", audittest.Flip(1, 2))
	a = open()
	result = step(t, a)
	mismatch := func(f audit.Finding) bool { return f.Kind == audit.RootMismatch }
	r := report(t, a)
	i := slices.IndexFunc(r.Findings, mismatch)
	if result.To != 256 || r.Waiting != h.Size()-256 || r.Vouches || i < 0 || r.Findings[i].Index < 256 || r.Findings[i].Index >= 512 {
		t.Errorf("judged %d, %d wait, found %s", result.To, r.Waiting, kinds(r.Findings))
	}
	must(t, a.Close())
	h.Spoil("tile/entries/001", nil)
	a = open()
	if result := step(t, a); result.From != 256 || result.To != h.Size() {
		t.Errorf("judged %d to %d", result.From, result.To)
	}
	if r := report(t, a); slices.ContainsFunc(r.Findings, mismatch) || r.Waiting != 0 || fmt.Sprint(r.Verdicts) != fmt.Sprint(report(t, stepped(t, newAuditor(t, h.Log))).Verdicts) {
		t.Errorf("found %s, %d wait", kinds(r.Findings), r.Waiting)
	}
}

// endlessLog is a log that signed a tree of 2^40 entries, all alike, and takes some seconds
// for a bundle of them.
type endlessLog struct {
	audit.Source
	nodes []proofs.Hash // by level
	tiles bool
}

func newEndless(t *testing.T, l *audittest.Log) *endlessLog {
	const levels = 40
	e := &endlessLog{Source: l.Source(), nodes: []proofs.Hash{proofs.LeafHash([]byte("x"))}, tiles: true}
	for range levels {
		below := e.nodes[len(e.nodes)-1]
		e.nodes = append(e.nodes, sha256.Sum256(slices.Concat([]byte{1}, below[:], below[:])))
	}
	l.Serve(checkpointOf(t, l, proofs.Tree{N: 1 << levels, Hash: e.nodes[levels]}))
	return e
}

// checkpointOf is a checkpoint of any tree, with all cosignatures.
func checkpointOf(t *testing.T, l *audittest.Log, tree proofs.Tree) []byte {
	t.Helper()
	note := proofs.Note{Text: proofs.Checkpoint{Origin: audittest.Origin, Tree: tree}.String()}
	for _, s := range append([]*proofs.Signer{l.Signer}, l.Witnesses...) {
		sig, err := s.Sign(note.Text, l.Time)
		must(t, err)
		note.Signatures = append(note.Signatures, sig)
	}
	return note.Marshal()
}

func (e *endlessLog) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(10 * time.Second): // some are read at once
	}
	return bytes.Repeat([]byte("\x00\x01x"), width), nil
}

func (e *endlessLog) Tile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	if !e.tiles {
		return nil, audit.ErrNotFound
	}
	return bytes.Repeat(e.nodes[proofs.TileHeight*level][:], width), nil
}

// A log whose tree has no end for an auditor is judged a minute at a time: what is wrong with
// its beginning is said, and its checkpoint is looked at, in between.
func TestEndlessLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := audittest.New(t)
		e := newEndless(t, l)
		other := checkpointOf(t, l, proofs.Tree{N: 1 << 40})
		var told []int64
		a := newAuditor(t, l, func(c *audit.Config) {
			c.Source = e
			c.Progress = func(done, total int64) { told = append(told, done, total) }
		})
		a.SetMaxPerKind(3)
		a.SetParts(2, 1<<16)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began, steps := time.Now(), 0
		err := a.Run(ctx, func(result audit.StepResult, err error) error {
			must(t, err)
			steps++
			switch found := kinds(result.Findings); steps {
			case 1:
				if !strings.HasPrefix(found, "bad-leaf@0 bad-leaf@1 ") || result.To < 2*proofs.FullWidth || result.Waiting != 1<<40-result.To || time.Since(began) > 2*time.Minute {
					t.Errorf("after %v: judged %d, %d wait, found %.100s", time.Since(began), result.To, result.Waiting, found)
				}
				l.Serve(other)
			default:
				if !strings.Contains(found, "fork@-1") {
					t.Errorf("after %v: found %.100s", time.Since(began), found)
				}
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || steps != 2 || len(told) < 4 || told[0] != 0 || told[1] != 1<<40 {
			t.Errorf("%d steps, progress %v: %v", steps, told[:min(len(told), 4)], err)
		}
	})
}

// Where the tiles do not prove a part of it either, nothing is judged, and that is said.
func TestEndlessLogWithoutTiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := audittest.New(t)
		e := newEndless(t, l)
		e.tiles = false
		a := newAuditor(t, l, func(c *audit.Config) { c.Source = e })
		a.SetParts(8, 1<<16)
		for range 2 {
			began := time.Now()
			result, err := a.Step(t.Context())
			if !errors.Is(err, audit.ErrNotFound) || kinds(result.Findings) != "unreachable@-1" || result.To != 0 || time.Since(began) > time.Minute {
				t.Errorf("after %v: judged %d, found %s, %v", time.Since(began), result.To, kinds(result.Findings), err)
			}
		}
	})
}

// A bundle that is judged and one that begins with it, since the log has grown meanwhile, are
// judged once.
func TestGrowsWhileItIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.Source = slow{h.Log.Source(), 50 * time.Second} })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		judged, grown := int64(0), false
		err := a.Run(ctx, func(result audit.StepResult, err error) error {
			must(t, err)
			if result.From != judged {
				t.Errorf("judged from %d on, after %d", result.From, judged)
			}
			if judged = result.To; !grown {
				grown = true
				h.release(tuf.RoleTargets, "app.bin", "five")
				h.Publish(2)
			}
			if result.Waiting == 0 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || judged != h.Size() {
			t.Errorf("judged %d of %d: %v", judged, h.Size(), err)
		}
		if r := report(t, a); !r.Vouches {
			t.Errorf("found %s", kinds(r.Findings))
		}
	})
}
