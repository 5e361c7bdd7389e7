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
		{"readable by the group", "k\n", 0o640, "mode 0640"},
		{"writable by others", "k\n", 0o602, "mode 0602"},
		{"two lines", "k\nl\n", 0o600, "exactly one line"},
		{"empty", "\n", 0o600, "exactly one line"},
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
}
