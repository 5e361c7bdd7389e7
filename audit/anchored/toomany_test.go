package anchored_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
)

// change changes a file of JSON.
func change(t *testing.T, path string, fn func(m map[string]any)) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	var m map[string]any
	must(t, json.Unmarshal(b, &m))
	fn(m)
	b, err = json.Marshal(m)
	must(t, err)
	must(t, os.WriteFile(path, b, 0o644))
}

// However many entries fit no tree, the next audits go on. Those that find no room are said, once.
func TestTooMany(t *testing.T) {
	w := newWorld(t, 2)
	w.grow(100)
	w.submit(w.note(w.trees[60], time.Time{}))
	w.judge(time.Now())
	paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
	must(t, err)
	change(t, paths[0], func(m map[string]any) { // orphans
		var entries []any
		for i := range 50_000 {
			d := [32]byte{byte(i), byte(i >> 8), 7}
			entries = append(entries, map[string]any{"digest": hex.EncodeToString(d[:]), "time": "2026-01-01T00:00:00Z"})
		}
		m["entries"] = entries
	})
	w.open()
	note := w.note(w.trees[61], time.Time{})
	other := w.trees[62]
	other.Hash[0] ^= 1
	fork := w.note(other, time.Time{})
	w.submit(note)
	w.pin(fork)
	w.ledger.Strange = 20_000
	entries, err := w.ledger.Entries(t.Context())
	must(t, err)
	found, err := w.ledger.Judge(t.Context(), w.log(time.Now()), entries)
	if len(found.Entries) != 50_003 || err == nil || !strings.Contains(err.Error(), "30001 of them, orphans and the oldest first, are not remembered") {
		t.Errorf("%d entries, error %v", len(found.Entries), err)
	}
	w.open()
	verdicts, _, _ := w.judge(time.Now())
	if verdicts[digest(note)].Verdict != anchor.Consistent || verdicts[digest(fork)].Verdict != anchor.Open || len(verdicts) != 20_002 {
		t.Errorf("%q and %q of %d entries", verdicts[digest(note)].Verdict, verdicts[digest(fork)].Verdict, len(verdicts))
	}
}
