package keyfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCreateAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	if err := Create(path, "PRIVATE+KEY+x"); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || got != "PRIVATE+KEY+x" {
		t.Fatalf("Read = %q, %v", got, err)
	}
	if err := Create(path, "another"); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Fatalf("overwrote a key: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"readable by others", "k\n", 0o644, "mode 0644: others can read or change it; run chmod 600 "},
		{"writable by others", "k\n", 0o602, "mode 0602"},
		{"two lines", "k\nl\n", 0o600, "exactly one line"},
		{"empty", "\n", 0o600, "exactly one line"},
		{"byte order mark", "\xef\xbb\xbfk\n", 0o600, "begins with a byte order mark"},
		{"UTF-16", "\xff\xfek\x00\n\x00", 0o600, "UTF-16"},
		{"CR LF", "k\r\n", 0o600, "CR LF"},
		{"CR", "k\r", 0o600, "CR LF"},
		{"escapes", "k\x1b[2J\n", 0o600, "control characters"},
		{"zero bytes", "k\x00\n", 0o600, "control characters"},
		{"long", strings.Repeat("k", 1<<20), 0o600, "more than 65536 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "k")
			if err := os.WriteFile(path, []byte(tt.content), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(path); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Read: %v, want %q", err, tt.want)
			}
		})
	}
	dir := t.TempDir()
	for path, want := range map[string]string{dir: "is a directory", "-": "/dev/stdin", filepath.Join(dir, "none"): "no such file"} {
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%q): %v, want %q", path, err, want)
		}
	}
}

func TestFromEnv(t *testing.T) {
	const name = "TUFLOG_KEYFILE_TEST"
	if _, ok, err := FromEnv(name); ok || err != nil {
		t.Fatalf("not set: %v, %v", ok, err)
	}
	for text, want := range map[string]string{"k": "k", "k\n": "k", "k\r\n": "", "k\nl": "", "\xef\xbb\xbfk": ""} {
		t.Setenv(name, text)
		got, ok, err := FromEnv(name)
		if got != want || !ok || (err == nil) != (want != "") || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %q, %v, %v", text, got, ok, err)
		}
	}
}
