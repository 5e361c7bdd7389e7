package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/internal/runtest"
)

// The example of docs/formats.md proves its point against the log of that page,
// and nothing against anybody else.
func TestEvidenceCheck(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "    tuflog conflict v1\n")
	if !ok {
		t.Fatal("docs/formats.md has no conflict")
	}
	conflict := "tuflog conflict v1\n"
	for line := range strings.Lines(rest) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented && line != "\n" {
			break
		}
		conflict += text
	}
	file := filepath.Join(t.TempDir(), "fork.conflict")
	for _, tt := range []struct {
		name, content, key string
		code               int
	}{
		{"the log", strings.TrimSuffix(conflict, "\n"), "log.example+9a17cc74+AX0FAN2MJHCk+kN5j3226ZxHteuBijp8PCBAdox7FVyo", 0},
		{"a witness that signed one", strings.TrimSuffix(conflict, "\n"), "w1.example+b5930470+BEW9RypDQ+0/nEmheC8b5ExJgro4++cLTiZjAKjjx99C", 1},
		{"cut short", conflict[:100], "log.example+9a17cc74+AX0FAN2MJHCk+kN5j3226ZxHteuBijp8PCBAdox7FVyo", 1},
	} {
		if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if stdout, stderr, code := runtest.Run(t, "auditor", "evidence", "check", "--key", tt.key, file); code != tt.code {
			t.Errorf("%s: exit %d, want %d\n%s%s", tt.name, code, tt.code, stdout, stderr)
		}
	}
}
