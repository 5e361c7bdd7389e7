package leader_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/tuf"
)

// register posts a root and returns the answer.
func postRoot(t *testing.T, r *running, root []byte, header ...string) (int, api.Result) {
	t.Helper()
	resp, body := r.do(t, "POST", "/v1/repositories", root, header...)
	var res api.Result
	if resp.StatusCode == http.StatusOK {
		check(t, json.Unmarshal(body, &res))
	}
	return resp.StatusCode, res
}

// kept returns what the log keeps of the tokens.
func (r *running) kept(t *testing.T) []log.Token {
	t.Helper()
	list, _, err := r.blobs.Tokens(t.Context())
	check(t, err)
	return list
}

// The one who opens a repository with the registration token has its first token,
// and nobody else.
func TestRegistrationGivesAToken(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Token, c.Tokens = "operator's", ownTokens })
	root := file(newVendor(t), "root").Data
	auth := []string{"Authorization", "Bearer operator's"}
	if status, _ := postRoot(t, r, []byte(`{"signed":{},"signatures":[]}`), auth...); status != 422 || len(r.kept(t)) != 0 {
		t.Errorf("a root that is refused: %d, tokens %v", status, r.kept(t))
	}
	status, res := postRoot(t, r, root, auth...)
	kept := r.kept(t)
	if status != 200 || res.Token == nil || !api.CheckToken(res.Token.Text) || len(kept) != 1 || kept[0].ID() != res.Token.ID ||
		kept[0].Hash != tuf.Sum([]byte(res.Token.Text)) || kept[0].Repository.String() != res.Repository || kept[0].By != log.ByRegistration {
		t.Fatalf("%d %+v; kept %+v", status, res, kept)
	}
	// Whoever registers it again gets none, and takes none away.
	if status, again := postRoot(t, r, root, auth...); status != 200 || again.Token != nil || !slices.Equal(r.kept(t), kept) {
		t.Errorf("again: %d %+v; kept %+v", status, again, r.kept(t))
	}
	// It is a token of that repository, with a quota of its own.
	if status, _ := postRoot(t, r, file(newVendor(t), "root").Data, "Authorization", "Bearer "+res.Token.Text); status != 401 {
		t.Errorf("registering with a repository's token: %d", status)
	}
}

// Who chooses the token himself has it, also if the first answer was lost.
func TestChosenToken(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Token, c.Tokens = "operator's", ownTokens })
	root := file(newVendor(t), "root").Data
	auth := func(text string) []string {
		return []string{"Authorization", "Bearer operator's", api.HeaderToken, text}
	}
	for _, bad := range []string{"short", "with a space in between it is no token", string(bytes.Repeat([]byte("x"), 129))} {
		if status, _ := postRoot(t, r, root, auth(bad)...); status != 400 {
			t.Errorf("%q: %d", bad, status)
		}
	}
	const text = "chosen-by-the-vendor-himself"
	for range 2 {
		status, res := postRoot(t, r, root, auth(text)...)
		if kept := r.kept(t); status != 200 || res.Token == nil || res.Token.Text != "" || len(kept) != 1 || res.Token.ID != kept[0].ID() || kept[0].Hash != tuf.Sum([]byte(text)) {
			t.Fatalf("%d %+v; kept %+v", status, res, kept)
		}
	}
	if status, res := postRoot(t, r, root, auth("chosen-by-somebody-else")...); status != 200 || res.Token != nil || len(r.kept(t)) != 1 {
		t.Errorf("another: %d %+v; kept %+v", status, res, r.kept(t))
	}
	// One text for two repositories speaks for both.
	if status, res := postRoot(t, r, file(newVendor(t), "root").Data, auth(text)...); status != 200 || res.Token == nil || len(r.kept(t)) != 2 {
		t.Errorf("a second repository: %d %+v", status, res)
	}
	// The client chooses, and sends it from then on.
	res, err := r.client.Register(t.Context(), file(newVendor(t), "root").Data)
	if err != nil || res.Token == nil || !api.CheckToken(res.Token.Text) || len(r.kept(t)) != 3 {
		t.Errorf("the client: %+v, %v", res, err)
	}
}

// Where anyone may register, anyone may register somebody's public root: that gives
// no token.
func TestOpenRegistrationGivesNoToken(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Tokens = ownTokens })
	root := file(newVendor(t), "root").Data
	status, res := postRoot(t, r, root, api.HeaderToken, "chosen-by-somebody-or-other", "Authorization", "Bearer x")
	if status != 200 || res.Token != nil || len(r.kept(t)) != 0 {
		t.Errorf("%d %+v; kept %+v", status, res, r.kept(t))
	}
}

// Who sends a token that was revoked, or is mistyped, is told, and not taken for an
// outsider whose files are held.
func TestUnknownTokensAreRefused(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Token, c.Tokens = "operator's", ownTokens })
	v := newVendor(t)
	status, res := postRoot(t, r, file(v, "root").Data, "Authorization", "Bearer operator's")
	if status != 200 || res.Token == nil {
		t.Fatalf("%d %+v", status, res)
	}
	tar, err := api.Tar([]api.File{file(v, "targets"), file(v, "snapshot")})
	check(t, err)
	send := func(token string) (int, string) {
		t.Helper()
		header := []string{"Content-Type", api.TypeTar}
		if token != "" {
			header = append(header, "Authorization", "Bearer "+token)
		}
		resp, body := r.do(t, "POST", "/v1/repositories/"+res.Repository+"/metadata", tar, header...)
		return resp.StatusCode, string(body)
	}
	if status, body := send(res.Token.Text + "x"); status != 401 || !strings.Contains(body, api.CodeUnauthorized) || !strings.Contains(body, "revoked") || len(r.Storage.Entries()) != 1 {
		t.Errorf("a wrong token: %d %s", status, body)
	}
	for _, token := range []string{res.Token.Text, "", "operator's"} {
		if status, body := send(token); status != 200 {
			t.Errorf("token %q: %d %s", token, status, body)
		}
	}
	// The one that remains keeps the repository guarded when the other is revoked.
	id, err := tuf.ParseDigest(res.Repository)
	check(t, err)
	_, err = r.blobs.AddToken(t.Context(), log.NewToken(id, "the vendor's second token", log.ByOperator, time.Now()))
	check(t, err)
	_, err = r.blobs.RemoveToken(t.Context(), id, tuf.Sum([]byte(res.Token.Text)))
	check(t, err)
	for end := time.Now().Add(time.Minute); ; time.Sleep(log.TokenAge) {
		if status, _ := send(res.Token.Text); status == 401 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("a revoked token: %d", status)
		}
	}
	if status, body := send("the vendor's second token"); status != 200 {
		t.Errorf("the second token: %d %s", status, body)
	}
	// Registering says which token it wants.
	for token, want := range map[string]string{"": "needs the operator's token", "wrong": "is not it", "the vendor's second token": "another repository's own"} {
		resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Authorization", "Bearer "+token)
		if token == "" {
			resp, body = r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
		}
		if resp.StatusCode != 401 || !strings.Contains(string(body), want) {
			t.Errorf("registering with %q: %d %s", token, resp.StatusCode, body)
		}
	}
}
