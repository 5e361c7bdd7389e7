package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
)

// Tokens are made, listed and revoked beside a log that is served and one that is not.
func TestTokens(t *testing.T) {
	w := newWorld(t, "--quota", "0.0001/1")
	dir := w.Path("log")
	registration, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.client.Token = strings.TrimSpace(string(registration))
	_, root := newVendor(t).File("root")
	res, err := w.client.Register(t.Context(), root)
	if err != nil || res.Token == nil {
		t.Fatalf("registered: %+v, %v", res, err)
	}
	id := res.Repository
	list := func() (tokens []listedToken) {
		t.Helper()
		if err := json.Unmarshal([]byte(runtest.Must(t, "logserver", "token", "list", "--dir", dir, id, "--json")), &tokens); err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	if got := list(); len(got) != 1 || got[0].ID != res.Token.ID || got[0].Repository != id || got[0].By != "registration" {
		t.Errorf("list: %+v", got)
	}

	// As an outsider, a client may submit once. What the token is shows in the
	// quota, at once.
	w.Write(t, "log/labels", id+" the vendor\n")
	runtest.Must(t, "logserver", "token", "add", "--dir", dir, "the vendor", "--out", w.Path("vendor.token"))
	if info, err := os.Stat(w.Path("vendor.token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info, err)
	}
	if _, stderr, code := runtest.Run(t, "logserver", "token", "add", "--dir", dir, id, "--out", w.Path("vendor.token")); code != 2 || !strings.Contains(stderr, "exists already") {
		t.Errorf("into a file that is there: exit %d, %s", code, stderr)
	}
	if tokens, err := os.ReadFile(w.Path("log.ledger/actions.jsonl")); err != nil || strings.Count(string(tokens), `"token-add"`) != 1 {
		t.Errorf("a token that was not made is recorded:\n%s%v", tokens, err)
	}
	added, err := os.ReadFile(w.Path("vendor.token"))
	if err != nil {
		t.Fatal(err)
	}
	submit := func(token string) int {
		t.Helper()
		return post(t, w.Log.URL+"/v1/repositories/"+id+"/metadata", string(root), "Content-Type", api.TypeJSON, "X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer "+token)
	}
	if got := submit("nobody's"); got != 401 {
		t.Errorf("an outsider's first submission, with a token that is none: %d", got)
	}
	own := strings.TrimSpace(string(added))
	for what, tt := range map[string]struct {
		token string
		want  int
	}{"an outsider": {"nobody's", 429}, "the token of the registration": {res.Token.Text, 200}, "the one that was added": {own, 200}} {
		if got := submit(tt.token); got != tt.want {
			t.Errorf("%s: %d, want %d", what, got, tt.want)
		}
	}
	tokens := list()
	if len(tokens) != 2 || tokens[1].By != "operator" && tokens[0].By != "operator" {
		t.Fatalf("list: %+v", tokens)
	}
	if out := runtest.Must(t, "logserver", "token", "revoke", "--dir", dir, id, res.Token.ID); out != res.Token.ID+": revoked" {
		t.Errorf("revoke says %q", out)
	}
	if got := submit(res.Token.Text); got != 429 {
		t.Errorf("with a token that was revoked: %d", got)
	}
	if stdout, stderr, code := runtest.Run(t, "logserver", "token", "revoke", "--dir", dir, id, res.Token.ID); code != 2 || stdout != "" || !strings.Contains(stderr, "has no token") {
		t.Errorf("revoked twice: exit %d, %s%s", code, stdout, stderr)
	}

	// The same beside a log that is not served; what was done is recorded.
	w.Log.Stop(t)
	last := runtest.Must(t, "logserver", "token", "add", "--dir", dir, id)
	if out := runtest.Must(t, "logserver", "token", "list", "--dir", dir); !strings.HasPrefix(out, "tokens: 2\n") || !strings.Contains(out, `"the vendor"`) {
		t.Errorf("list says\n%s", out)
	}
	w.Log.Start(t)
	if got := submit(last); got != 200 {
		t.Errorf("with the token made meanwhile: %d", got)
	}
	actions, err := os.ReadFile(w.Path("log.ledger/actions.jsonl"))
	if err != nil || strings.Count(string(actions), `"token-add"`) != 2 || strings.Count(string(actions), `"token-revoke"`) != 1 || strings.Contains(string(actions), last) {
		t.Errorf("recorded are\n%s%v", actions, err)
	}
	// A file with tokens from before would count for nothing: that is said.
	w.Log.Stop(t)
	w.Write(t, "log/repository.tokens", id+" 0123456789abcdef\n")
	if _, stderr, code := runtest.Run(t, "logserver", "serve", "--dir", dir, "--policy", w.Path("policy"), "--listen", "127.0.0.1:0"); code != 2 || !strings.Contains(stderr, "logserver token add") {
		t.Errorf("with repository.tokens: exit %d, %s", code, stderr)
	}
}
