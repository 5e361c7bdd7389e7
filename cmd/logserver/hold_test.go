package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
)

// held is what is held, as hold list --json prints it.
func (w *world) held(t *testing.T, flags ...string) (list []heldFile) {
	t.Helper()
	out := runtest.Must(t, "logserver", append([]string{"hold", "list", "--json", "--dir", w.Path("log")}, flags...)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// registerOwned registers a vendor with the operator's token; the client has the
// repository's own from then on.
func (w *world) registerOwned(t *testing.T, v *testvendor.Vendor) (id string) {
	t.Helper()
	token, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.client.Token = strings.TrimSpace(string(token))
	return w.register(t, v)
}

// twin releases another content than the vendor under the same version, and returns
// its files.
func twin(t *testing.T, v *testvendor.Vendor, content string) []api.File {
	t.Helper()
	other, err := v.Clone()
	if err != nil {
		t.Fatal(err)
	}
	return release(t, other, content)
}

// outsider sends files without a token, which are then held.
func (w *world) outsider(t *testing.T, url, id string, files []api.File) *api.Result {
	t.Helper()
	res, err := (&api.Client{Base: url}).Submit(t.Context(), id, files)
	if err != nil || !res.Held() {
		t.Fatalf("an outsider's submission: %+v, %v", res, err)
	}
	return res
}

// An outsider's copy of what the vendor has signed waits, across a restart; the
// vendor's own wins, and commands end a hold while the log is served and while it is
// not.
func TestHold(t *testing.T) {
	w := newWorld(t)
	v := newVendor(t)
	id := w.registerOwned(t, v)
	draft := twin(t, v, "draft")
	res := w.outsider(t, w.Log.URL, id, draft)
	if res.Results[0].HeldUntil == "" || res.Results[0].Index != -1 {
		t.Errorf("held: %+v", res)
	}
	w.Log.Stop(t)
	w.Log.Start(t)
	held := w.held(t)
	if len(held) != 1 || held[0].Repository != id || held[0].Role != "targets" || held[0].Version != 2 || held[0].Kind != "release" || held[0].Until.Sub(held[0].Since).Hours() != 24 {
		t.Fatalf("held after a restart: %+v", held)
	}
	own := release(t, v, "final")
	res, err := w.client.Submit(t.Context(), id, own)
	if err != nil || res.Results[0].Status != api.StatusReleased {
		t.Fatalf("the vendor's own: %+v, %v", res, err)
	}
	w.check(t, id, own, res.Results[0])
	runtest.Eventually(t, "the draft is judged once the vendor's own is logged", func() bool { return len(w.held(t)) == 0 })

	// Two more: one is dropped while the log is not served, one released then, and
	// a third while it is.
	var files [][]api.File
	for _, content := range []string{"a", "b", "c"} {
		files = append(files, release(t, v, content))
		w.outsider(t, w.Log.URL, id, files[len(files)-1])
	}
	held = w.held(t, id)
	if len(held) != 3 {
		t.Fatalf("held: %+v", held)
	}
	w.Log.Stop(t)
	dir := w.Path("log")
	if out := runtest.Must(t, "logserver", "hold", "drop", "--dir", dir, held[0].ID); out != held[0].ID+": dropped" {
		t.Errorf("drop says %q", out)
	}
	if out := runtest.Must(t, "logserver", "hold", "release", "--dir", dir, held[1].ID[:8]); out != held[1].ID+": released" {
		t.Errorf("release says %q", out)
	}
	if _, stderr, code := runtest.Run(t, "logserver", "hold", "drop", "--dir", dir, held[0].ID); code != 2 || !strings.Contains(stderr, "nothing is held") {
		t.Errorf("dropped twice: exit %d, %s", code, stderr)
	}
	w.Log.Start(t)
	status := func(h heldFile) (status int, res api.Result) {
		t.Helper()
		code, body := w.get(t, "/v1/submissions/held."+h.ID)
		if err := json.Unmarshal([]byte(body), &res); err != nil {
			t.Fatal(err)
		}
		return code, res
	}
	if code, res := status(held[0]); code != 422 || res.Results[0].Code != api.CodeHoldDropped {
		t.Errorf("what was dropped: %d %+v", code, res)
	}
	released := func(h heldFile, files []api.File) {
		t.Helper()
		runtest.Eventually(t, "what was released is judged", func() bool { code, _ := status(h); return code == 200 })
		_, res := status(h)
		if res.Results[0].Status != api.StatusReleased {
			t.Errorf("what was released: %+v", res)
		}
		w.check(t, id, files, res.Results[0])
	}
	released(held[1], files[1])
	if out := runtest.Must(t, "logserver", "hold", "list", "--dir", dir); !strings.HasPrefix(out, "held files: 1\n") || !strings.Contains(out, held[2].ID) {
		t.Errorf("hold list says\n%s", out)
	}
	runtest.Must(t, "logserver", "hold", "release", "--dir", dir, held[2].ID)
	released(held[2], files[2])
	actions, err := os.ReadFile(w.Path("log.ledger/actions.jsonl"))
	if err != nil || strings.Count(string(actions), `"hold-release"`) != 2 || strings.Count(string(actions), `"hold-drop"`) != 1 {
		t.Errorf("recorded are\n%s%v", actions, err)
	}
}

// Files that one front end holds every other one holds when it leads, and a command
// releases them meanwhile. A revoked token counts nowhere.
func TestHoldOnServers(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	on := []string{"--storage", w.storage, "--state", w.state}
	v := newVendor(t)
	id := w.registerOwned(t, v)
	leader, follower := w.leads(t)
	w.outsider(t, follower.URL, id, twin(t, v, "draft"))
	held := w.held(t, on...)
	if len(held) != 1 || held[0].Repository != id {
		t.Fatalf("held: %+v", held)
	}
	leader.End(t, os.Kill)
	w.client.Base = follower.URL
	// Held on, and once only; the vendor's own wins there, too.
	w.outsider(t, follower.URL, id, twin(t, v, "draft"))
	res, err := w.client.Submit(t.Context(), id, release(t, v, "final"))
	if err != nil || res.Results[0].Status != api.StatusReleased {
		t.Fatalf("the vendor's own: %+v, %v", res, err)
	}
	runtest.Eventually(t, "the drafts are judged", func() bool { return len(w.held(t, on...)) == 0 })

	next := release(t, v, "next")
	w.outsider(t, follower.URL, id, next)
	held = w.held(t, on...)
	runtest.Must(t, "logserver", append([]string{"hold", "release", "--dir", w.Path("log"), held[0].ID}, on...)...)
	runtest.Eventually(t, "what was released is judged", func() bool { return len(w.held(t, on...)) == 0 })
	if res, err := w.client.Submit(t.Context(), id, next); err != nil || res.Results[0].Status != api.StatusLogged {
		t.Errorf("what was released: %+v, %v", res, err)
	}

	var tokens []listedToken
	if err := json.Unmarshal([]byte(runtest.Must(t, "logserver", append([]string{"token", "list", "--dir", w.Path("log"), "--json"}, on...)...)), &tokens); err != nil || len(tokens) != 1 {
		t.Fatalf("tokens: %+v, %v", tokens, err)
	}
	runtest.Must(t, "logserver", append([]string{"token", "add", "--dir", w.Path("log"), id}, on...)...)
	runtest.Must(t, "logserver", append([]string{"token", "revoke", "--dir", w.Path("log"), id, tokens[0].ID}, on...)...)
	last := release(t, v, "last")
	if res, err := w.client.Submit(t.Context(), id, last); err == nil || !strings.Contains(err.Error(), "does not know the token") {
		t.Errorf("with a token that was revoked: %+v, %v", res, err)
	}
	if res, err := (&api.Client{Base: w.client.Base}).Submit(t.Context(), id, last); err != nil || !res.Held() {
		t.Errorf("without a token: %+v, %v", res, err)
	}
}
