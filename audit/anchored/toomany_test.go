package anchored_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
)

// Above the limit an audit of version 2 still goes on from where the last one ended.
func TestTooMany(t *testing.T) {
	w := newWorld(t, 2)
	w.grow(100)
	w.submit(w.note(w.trees[60], time.Time{}))
	w.judge(time.Now())
	paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
	must(t, err)
	b, err := os.ReadFile(paths[0])
	must(t, err)
	var m map[string]any
	must(t, json.Unmarshal(b, &m))
	entries := m["entries"].([]any)
	for i := range 50_000 {
		d := [32]byte{byte(i), byte(i >> 8), 7}
		entries = append(entries, map[string]any{"digest": hex.EncodeToString(d[:]), "time": "2026-01-01T00:00:00Z"})
	}
	m["entries"] = entries
	b, err = json.Marshal(m)
	must(t, err)
	must(t, os.WriteFile(paths[0], b, 0o644))
	note := w.note(w.trees[61], time.Time{})
	w.submit(note)
	for range 2 {
		w.open()
		if verdicts, _, _ := w.judge(time.Now()); verdicts[digest(note)].Verdict != anchor.Consistent {
			t.Errorf("%q of %d entries", verdicts[digest(note)].Verdict, len(verdicts))
		}
	}
}
