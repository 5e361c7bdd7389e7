package monitor_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit/monitor"
)

func TestReadStatus(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "../a", ""} {
		if _, err := monitor.ReadStatus(dir, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	path := monitor.StatusFile(dir, "a")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, ok := range map[string]bool{`{"log": "a", "judged": 3, "witnesses": null}`: true, `{`: false, ``: false} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := monitor.ReadStatus(dir, "a"); (err == nil) != ok || ok && s.Judged != 3 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}
