package anchored_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// An entry is not of a later time than the first look at it, whatever Rekor or a clock says that is ahead:
// it would stay open until then.
func TestTimeAhead(t *testing.T) {
	for _, version := range []int{1, 2} {
		w := newWorld(t, version)
		ahead := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
		w.rekor.Time = func(int) time.Time { return ahead }
		w.grow(100)
		other := w.trees[70]
		other.Hash[0] ^= 1
		fork := w.note(other, time.Time{})
		w.pin(fork)
		if version == 2 {
			w.ledger.Now = func() time.Time { return ahead } // this once
		}
		w.judge(time.Now())
		first := time.Now()
		var before anchored.Judged
		for n := range 2 {
			w.open()
			if n > 0 {
				w.ledger.Now = func() time.Time { return first.Add(24 * time.Hour) }
			}
			verdicts, _, _ := w.judge(time.Now().Add(3 * time.Hour))
			v := verdicts[digest(fork)]
			if v.Verdict != anchor.Orphan || v.Time.After(first.Add(time.Minute)) || v.Promised || n > 0 && !v.Time.Equal(before.Time) {
				t.Errorf("v%d: %v since %v", version, v.Verdict, v.Time)
			}
			before = v
		}
	}
}

// pin puts a note into the ledger without a receipt.
func (w *world) pin(note []byte) {
	w.t.Helper()
	instance, err := rekor.New(w.rekor.Config())
	must(w.t, err)
	_, err = instance.Submit(w.t.Context(), note, w.signer.Key())
	must(w.t, err)
}

// front has the ledger asked through a server that may stop to answer.
func (w *world) front(stall func(r *http.Request) bool) {
	w.t.Helper()
	end := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !stall(r) {
			w.rekor.ServeHTTP(rw, r)
			return
		}
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}))
	w.t.Cleanup(srv.Close)
	w.t.Cleanup(func() { close(end) })
	c := w.rekor.Config()
	c.URL = srv.URL
	instance, err := rekor.New(c)
	must(w.t, err)
	w.ledger.Instance = instance
}

// What was read is judged though the rest does not come, and the next audit goes on behind it.
func TestReadInPart(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			w := newWorld(t, version)
			w.rekor.Time = func(int) time.Time { return time.Now() }
			w.grow(100)
			other := w.trees[70]
			other.Hash[0] ^= 1
			fork := w.note(other, time.Time{})
			w.pin(fork)
			if version == 2 {
				for n := range 300 {
					w.rekor.Add(fmt.Appendf(nil, "another's %d", n))
				}
			} else {
				for size := range 20 {
					w.pin(w.note(w.trees[size+1], time.Time{}))
				}
			}
			late := w.note(w.trees[80], time.Time{})
			w.pin(late)
			var stalls, first atomic.Bool
			var asked atomic.Int64
			stalls.Store(true)
			w.front(func(r *http.Request) bool {
				switch {
				case strings.Contains(r.URL.Path, "/log/entries/retrieve"):
					return asked.Add(1) > 1 && stalls.Load()
				case strings.HasSuffix(r.URL.Path, "tile/entries/000"):
					first.Store(true)
				case strings.Contains(r.URL.Path, "tile/entries/"):
					return stalls.Load()
				}
				return false
			})
			w.ledger.ReadFor = 5 * time.Second
			entries, err := w.ledger.Entries(t.Context())
			if !errors.Is(err, anchored.ErrMore) {
				t.Errorf("error %v", err)
			}
			found, err := w.ledger.Judge(t.Context(), w.log(time.Now().Add(3*time.Hour)), entries)
			must(t, err)
			orphans := 0
			for _, j := range found.Entries {
				if j.Verdict == anchor.Orphan && j.Digest == digest(fork) {
					orphans++
				}
				if j.Digest == digest(late) {
					t.Error("what was not read is judged")
				}
			}
			if orphans != 1 {
				t.Errorf("%d orphans of %d entries", orphans, len(found.Entries))
			}
			stalls.Store(false)
			first.Store(false)
			asked.Store(0)
			w.ledger.ReadFor = 0
			verdicts, _, _ := w.judge(time.Now().Add(3 * time.Hour))
			if verdicts[digest(fork)].Verdict != anchor.Orphan || verdicts[digest(late)].Verdict != anchor.Consistent {
				t.Errorf("%v and %v", verdicts[digest(fork)].Verdict, verdicts[digest(late)].Verdict)
			}
			if first.Load() || asked.Load() > 2 {
				t.Errorf("what was read is read again: %d requests", asked.Load())
			}
		})
	}
}

// An audit of an instance without end ends: of 2^40 equal leaves all full tiles of a level are one.
func TestWithoutEnd(t *testing.T) {
	w := newWorld(t, 2)
	w.grow(10)
	leaf := []byte("the same")
	levels := []proofs.Hash{proofs.LeafHash(leaf)} // roots of trees of 256^n of them
	for range 5 {
		tree := levels[len(levels)-1]
		for n := 1; n < proofs.FullWidth; n *= 2 {
			tree = sha256.Sum256(append(append([]byte{1}, tree[:]...), tree[:]...))
		}
		levels = append(levels, tree)
	}
	signer, err := proofs.NewSigner(rekortest.Host, proofs.Ed25519, w.rekor.Private)
	must(t, err)
	note := proofs.Note{Text: proofs.Checkpoint{Origin: rekortest.Host, Tree: proofs.Tree{N: 1 << 40, Hash: levels[5]}}.String()}
	sig, err := signer.Sign(note.Text, 0)
	must(t, err)
	note.Signatures = []proofs.Signature{sig}
	var bundles atomic.Int64
	w.rekor.Instead = func(rw http.ResponseWriter, r *http.Request) bool {
		path := strings.TrimPrefix(r.URL.Path, "/")
		if path == "checkpoint" {
			_, _ = rw.Write(note.Marshal())
			return true
		}
		id, err := proofs.ParseTilePath(path)
		if err != nil {
			return false
		}
		var b []byte
		for range id.Width {
			if id.Level == proofs.EntriesLevel {
				b, _ = proofs.AppendEntry(b, leaf)
			} else {
				b = append(b, levels[id.Level][:]...)
			}
		}
		if id.Level == proofs.EntriesLevel {
			bundles.Add(1)
		}
		_, _ = rw.Write(b)
		return true
	}
	for range 2 {
		w.open()
		w.ledger.Scanned = 1
		before := bundles.Load()
		entries, err := w.ledger.Entries(t.Context())
		if !errors.Is(err, anchored.ErrMore) || !strings.Contains(err.Error(), fmt.Sprintf("of %d entries", 1<<40)) {
			t.Fatalf("error %v", err)
		}
		if _, err := w.ledger.Judge(t.Context(), w.log(time.Now()), entries); err != nil {
			t.Error(err)
		}
		if n := bundles.Load() - before; n == 0 || n > 256 {
			t.Errorf("%d bundles are read", n)
		}
	}
	if bundles.Load() <= 256 {
		t.Error("the next audit does not go on")
	}
}

// Of what fits little is remembered, and what is remembered is written only if it is something else.
func TestMemoryIsSmall(t *testing.T) {
	for _, version := range []int{1, 2} {
		w := newWorld(t, version)
		w.rekor.Time = func(int) time.Time { return time.Now() }
		w.grow(300)
		for size := range 100 {
			w.pin(w.note(w.trees[size+1], time.Time{}))
		}
		w.judge(time.Now())
		paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
		must(t, err)
		before, err := os.Stat(paths[0])
		must(t, err)
		if before.Size() > 100*130+2000 {
			t.Errorf("v%d: %d bytes", version, before.Size())
		}
		w.open()
		if verdicts, _, _ := w.judge(time.Now()); len(verdicts) != 100 {
			t.Errorf("v%d: %d entries", version, len(verdicts))
		}
		after, err := os.Stat(paths[0])
		must(t, err)
		if !os.SameFile(before, after) {
			t.Errorf("v%d: it is written for nothing", version)
		}
		// Of another instance under this name nothing is remembered.
		w.front(func(*http.Request) bool { return false })
		w.rekor.Set(func(l *rekortest.Ledger) { l.Asked = nil })
		w.judge(time.Now())
		if n := len(w.rekor.Asked); n < 3 {
			t.Errorf("v%d: %d requests", version, n)
		}
	}
}

// Entries of which only their number is remembered are read again if the log shows another history.
func TestCountedAreReadAgain(t *testing.T) {
	for _, version := range []int{1, 2} {
		w := newWorld(t, version)
		w.rekor.Time = func(int) time.Time { return time.Now() }
		w.grow(100)
		late := w.note(w.trees[60], time.Time{})
		w.pin(late)
		after := time.Now().Add(3 * time.Hour)
		w.judge(after)
		paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
		must(t, err)
		change(t, paths[0], func(m map[string]any) { m["fits"], m["dropped"] = "", 1 })
		w.open()
		w.grow(5)
		verdicts, _, _ := w.judge(after)
		if len(verdicts) != 0 {
			t.Errorf("v%d: %d entries though only their number is remembered", version, len(verdicts))
		}
		w.leaves, w.trees = w.leaves[:50], w.trees[:51]
		w.grow(70)
		w.open()
		entries, err := w.ledger.Entries(t.Context())
		must(t, err)
		if _, err := w.ledger.Judge(t.Context(), w.log(after), entries); err == nil || !strings.Contains(err.Error(), "reads all again") {
			t.Errorf("v%d: error %v", version, err)
		}
		w.open()
		if verdicts, _, _ := w.judge(after); verdicts[digest(late)].Verdict != anchor.Orphan {
			t.Errorf("v%d: %q of %d entries", version, verdicts[digest(late)].Verdict, len(verdicts))
		}
	}
}

// An audit ends with its context.
func TestAuditEnds(t *testing.T) {
	w := newWorld(t, 2)
	w.grow(10)
	w.pin(w.note(w.trees[3], time.Time{}))
	ctx, cancel := context.WithCancel(t.Context())
	w.front(func(*http.Request) bool { cancel(); return true })
	if _, err := w.ledger.Entries(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
