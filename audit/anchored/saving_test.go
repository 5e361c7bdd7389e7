package anchored_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/rekor"
)

// What cannot be remembered is judged all the same.
func TestNoRoomForMemory(t *testing.T) {
	w := newWorld(t, 2)
	w.grow(100)
	other := w.trees[70]
	other.Hash[0] ^= 1
	fork := w.note(other, time.Time{})
	w.pin(fork)
	entries, err := w.ledger.Entries(t.Context())
	must(t, err)
	paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
	must(t, err)
	must(t, os.Remove(paths[0]))
	must(t, os.Mkdir(paths[0], 0o755)) // nothing can be written there
	found, err := w.ledger.Judge(t.Context(), w.log(time.Now().Add(3*time.Hour)), entries)
	if err == nil {
		t.Error("no error")
	}
	if found == nil || len(found.Entries) != 1 || found.Entries[0].Verdict != anchor.Orphan {
		t.Errorf("%+v", found)
	}
}

// Of the leaves that an instance lists no more are remembered than it may list at once.
func TestLeavesAreBounded(t *testing.T) {
	w := newWorld(t, 1)
	w.grow(100)
	w.pin(w.note(w.trees[60], time.Time{}))
	w.judge(time.Now())
	paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
	must(t, err)
	change(t, paths[0], func(m map[string]any) { m["read"] = make([]byte, 32*(rekor.MaxListed+5)) })
	w.pin(w.note(w.trees[61], time.Time{}))
	w.open()
	w.judge(time.Now())
	var m struct{ Read []byte }
	b, err := os.ReadFile(paths[0])
	must(t, err)
	must(t, json.Unmarshal(b, &m))
	if len(m.Read) != 32*rekor.MaxListed {
		t.Errorf("%d leaves", len(m.Read)/32)
	}
}
