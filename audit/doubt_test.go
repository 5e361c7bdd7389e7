package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// unsigned are wrong answers that the log has not signed: of a log that has just grown, the
// n-th time. Each returns the path that is spoilt; empty: none.
var unsigned = map[audit.Kind]func(h *history, n int64) string{
	audit.TileMismatch: func(h *history, _ int64) string { return h.spoil(fmt.Sprintf("tile/0/000.p/%d", h.Size()), logIn) },
	audit.RootMismatch: func(h *history, _ int64) string {
		return h.spoil(fmt.Sprintf("tile/entries/000.p/%d", h.Size()), logIn)
	},
	audit.BlobMismatch: func(h *history, _ int64) string { return h.spoil(audittest.BlobPath(h.file(tuf.RoleTargets)), logIn) },
	audit.Rollback: func(h *history, n int64) string {
		h.Serve(h.Checkpoint(8-n, 2))
		return ""
	},
	audit.BadSignature: func(h *history, _ int64) string { return h.spoil("checkpoint", failing) },
}

func (h *history) spoil(path string, change func([]byte) ([]byte, error)) string {
	h.Spoil(path, change)
	return path
}

// failing changes a signature of a note.
func failing(b []byte) ([]byte, error) {
	note, err := proofs.ParseNote(b)
	if err == nil {
		note.Signatures[0].Sig[10] ^= 1
	}
	return note.Marshal(), err
}

func confirming(interval time.Duration) func(*audit.Config) {
	return func(c *audit.Config) {
		withoutPacks(c)
		c.Confirm, c.Interval, c.Stale = true, interval, interval
	}
}

// count returns how many findings of a kind there are.
func count(findings []audit.Finding, kind audit.Kind) (n int) {
	for _, f := range findings {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

func (h *history) growBy(n int64) {
	h.T.Helper()
	h.release(tuf.RoleTargets, "app.bin", fmt.Sprint("growth ", n))
	h.Publish(2)
}

// A passing wrong answer accuses nobody, and while it is in doubt nobody vouches. One that
// lasts is found by the second look, on a log that grows as well.
func TestWrongInPassing(t *testing.T) {
	for kind, wrong := range unsigned {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			a := newAuditor(t, h.Log, confirming(1))
			slow := newAuditor(t, h.Log, confirming(time.Hour))
			step(t, a)
			step(t, slow)
			begin := kinds(report(t, a).Findings)

			doubts := func(n int64, a *audit.Auditor) {
				t.Helper()
				h.growBy(n)
				path := wrong(h, n)
				r := step(t, a)
				s, err := a.Standing(t.Context())
				must(t, err)
				if count(r.Findings, kind) != 0 || count(r.Findings, audit.WrongAnswer) != 1 || !a.InDoubt() || s.Vouches() || len(s.Against) > 0 || !strings.Contains(s.Unchecked, "asked for again") {
					t.Fatalf("wrong once: %s; unchecked %q, against %v", kinds(r.Findings), s.Unchecked, s.Against)
				}
				h.Spoil(path, nil)
				h.Publish(2)
			}
			doubts(1, a)
			step(t, a)
			if r := report(t, a); a.InDoubt() || !r.Vouches || r.Judged != h.Size() || kinds(r.Findings) != begin {
				t.Fatalf("right again: vouches %v, judged %d of %d, found %s, in doubt %v", r.Vouches, r.Judged, h.Size(), kinds(r.Findings), a.InDoubt())
			}
			doubts(2, a)
			wrong(h, 2)
			if kind != audit.BadSignature {
				// A look that reads no checkpoint does not count.
				h.Spoil("checkpoint", failing)
				if r := step(t, a); count(r.Findings, kind) != 0 {
					t.Errorf("found by a look without a checkpoint: %s", kinds(r.Findings))
				}
				h.Spoil("checkpoint", nil)
			}
			found := 0
			for n := range int64(3) {
				h.growBy(3 + n)
				wrong(h, 3+n)
				found += count(step(t, a).Findings, kind)
				if found == 0 {
					t.Fatalf("not found by look %d after the first", n+1)
				}
			}
			if r := report(t, a); r.Vouches || !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool { return f.Kind == kind && len(f.Evidence) > 0 }) {
				t.Errorf("vouches %v with %s", r.Vouches, kinds(r.Findings))
			}
			// Two looks at once are one.
			for n := range int64(2) {
				wrong(h, 3+n)
				if r := step(t, slow); count(r.Findings, kind) != 0 || count(r.Findings, audit.WrongAnswer) != 1 {
					t.Errorf("looked twice within the interval: %s", kinds(r.Findings))
				}
			}
		})
	}
}

// A cache that shows an older checkpoint accuses nobody before it has done so at each look for
// Config.Stale. It stops nobody for good, and is over when the log shows the newer one.
func TestStaleCheckpoint(t *testing.T) {
	h := newHistory(t)
	h.growBy(1)
	dir := t.TempDir()
	with := func(stale time.Duration) func(*audit.Config) {
		return func(c *audit.Config) {
			confirming(1)(c)
			c.StateDir, c.Stale = dir, stale
		}
	}
	a := newAuditor(t, h.Log, with(0))
	step(t, a)
	h.Serve(h.Checkpoint(h.Size()-1, 2))
	for range 3 {
		r := step(t, a)
		s, err := a.Standing(t.Context())
		must(t, err)
		if count(r.Findings, audit.Rollback) != 0 || count(r.Findings, audit.WrongAnswer) != 1 || s.Vouches() || len(s.Against) > 0 {
			t.Fatalf("an older checkpoint: %s, against %v", kinds(r.Findings), s.Against)
		}
	}
	h.Publish(2)
	step(t, a)
	must(t, a.Close())
	a = newAuditor(t, h.Log, with(1))
	standing := func(what string, rollback int, vouches bool) {
		t.Helper()
		step(t, a)
		s, err := a.Standing(t.Context())
		must(t, err)
		r := report(t, a)
		if count(r.Findings, audit.Rollback) != rollback || s.Vouches() != vouches || len(s.Against) > 0 || (rollback > 0) != strings.Contains(s.Unchecked, "after one of size") {
			t.Fatalf("%s: %s, unchecked %q, against %v", what, kinds(r.Findings), s.Unchecked, s.Against)
		}
	}
	standing("right", 0, true)
	h.Serve(h.Checkpoint(h.Size()-1, 2))
	step(t, a)
	standing("for long", 1, false)
	h.Publish(2)
	standing("right again", 0, true)
	h.Serve(h.Checkpoint(h.Size()-1, 2))
	step(t, a)
	standing("again for long", 1, false)
	must(t, a.Close())
	h.Publish(2)
	a = newAuditor(t, h.Log, with(1))
	standing("right again after a restart", 0, true)
}

// What the log signed twice does not wait.
func TestForkDoesNotWait(t *testing.T) {
	h := newHistory(t)
	other := h.clone()
	h.growBy(1)
	other.growBy(2)
	a := newAuditor(t, h.Log, confirming(time.Hour))
	step(t, a)
	h.Become(other.Log)
	if r := step(t, a); count(r.Findings, audit.Fork) != 1 || a.InDoubt() {
		t.Errorf("found %s", kinds(r.Findings))
	}
}
