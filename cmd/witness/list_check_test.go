package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// A list's line for a log is held against what the log serves and says of itself.
func TestListCheck(t *testing.T) {
	log := witnesstest.NewLog(t, "log.example/tuf")
	log.Grow(3, "")
	perDay := 864
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/checkpoint":
			w.Write(log.Sign(log.Checkpoint()))
		case "/":
			json.NewEncoder(w).Encode(map[string]any{"origin": "log.example/tuf", "keys": []string{log.Key().String()}, "per_day": perDay})
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "list")
	other := witnesstest.NewSigner(t, "log.example/tuf", proofs.Ed25519).Key()
	entry := func(key any, qpd int) string { return fmt.Sprintf("vkey %v\nqpd %d\ncontact ops\n", key, qpd) }
	for name, tt := range map[string]struct {
		list   string
		perDay int
		args   []string
		code   int
		want   string
	}{
		"right":              {"logs/v0\n" + entry(log.Key(), 864), 864, []string{"--log", server.URL}, 0, "line 2: log.example/tuf, 864 requests a day"},
		"without a log":      {"logs/v0\n" + entry(log.Key(), 864), 864, nil, 0, "the list is right: 1 logs"},
		"too few":            {"# x\nlogs/v0\n" + entry(log.Key(), 863), 864, []string{"--log", server.URL}, 1, "line 4  863 requests a day are listed, and the log may send 864"},
		"fewer said":         {"logs/v0\n" + entry(log.Key(), 24), 864, []string{"--log", server.URL, "--per-day", "24"}, 0, "24 requests a day"},
		"nothing declared":   {"logs/v0\n" + entry(log.Key(), 864), 0, []string{"--log", server.URL}, 1, "does not say that it keeps to any number"},
		"another key":        {"logs/v0\n" + entry(other, 864), 864, []string{"--log", server.URL}, 1, "line 2  the key of log.example/tuf has not signed the checkpoint"},
		"not there":          {"logs/v0\n" + entry(witnesstest.NewSigner(t, "other.example", proofs.Ed25519).Key(), 1), 864, []string{"--log", server.URL}, 1, `has the origin "log.example/tuf"`},
		"no list":            {"hello\n", 864, nil, 1, `line 1  "hello" is not "logs/v0"`},
		"a log that is away": {"logs/v0\n", 864, []string{"--log", server.URL + "/away"}, 2, "404"},
		"no URL":             {"logs/v0\n", 864, []string{"--log", "ftp://x"}, 2, "--log"},
	} {
		perDay = tt.perDay
		if err := os.WriteFile(file, []byte(tt.list), 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := runtest.Run(t, "witness", append([]string{"list", "check", file}, tt.args...)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s%s", name, code, tt.code, tt.want, stdout, stderr)
		}
	}
	if _, _, code := runtest.Run(t, "witness", "list", "check", file+".none"); code != 2 {
		t.Errorf("no file: exit %d", code)
	}
}
