package main

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
)

// A log that has declared how often it asks its witnesses keeps to it over a crash; what
// waits says so, without the log being out of order, and the figures are where an operator
// and a stranger look for them.
func TestDeclaredRate(t *testing.T) {
	w := newWorld(t, "--checkpoints-per-day", "96", "--open-registration")
	v := newVendor(t)
	repository := w.register(t, v)
	w.client.Prefer = time.Second
	var sent []api.File
	var waiting string
	released := 0
	for range 20 {
		sent = release(t, v, "app")
		res, err := w.client.Submit(withTimeout(t, 4*time.Second), repository, sent)
		if err == nil {
			released++
			continue
		}
		if res == nil || res.Done {
			t.Fatalf("%+v, %v", res, err)
		}
		waiting = res.Waiting
		break
	}
	// Twelve at once, of which six are there at the beginning: the empty tree and the
	// repository took two of them.
	if released == 0 || released > 4 || !strings.Contains(waiting, "96 requests a day were declared to it") {
		t.Errorf("%d releases, then: %q", released, waiting)
	}
	if code, body := w.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz while it waits: %d %s", code, body)
	}
	about := func() (got api.About) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.Log.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := about()
	if got.PerDay != 96 {
		t.Errorf("the page says %d a day", got.PerDay)
	}
	for _, a := range got.Witnesses {
		if a.In24h < 1 || a.In24h > 6 {
			t.Errorf("the page says that %s was sent %d requests", a.Name, a.In24h)
		}
	}
	if _, page := w.get(t, "/"); !strings.Contains(page, "at most 96 in 24 hours, as declared to the witnesses") {
		t.Errorf("the page:\n%s", page)
	}

	// Killed at any time and started again, it has no more than before.
	for range 3 {
		w.Log.End(t, os.Kill)
		w.Log.Start(t)
		w.client = &api.Client{Base: w.Log.URL, Prefer: time.Second}
		if res, err := w.client.Submit(withTimeout(t, 3*time.Second), repository, sent); err == nil {
			t.Fatalf("published after a restart: %+v", res)
		}
	}
	for _, h := range w.statusOf(t, 0).Witnesses {
		if h.In24h > 6 || h.PerDay != 96 {
			t.Errorf("after restarts %s was sent %d requests, of %d", h.Name, h.In24h, h.PerDay)
		}
	}
	if out, _, _ := runtest.Run(t, "logserver", "status", "--dir", w.Path("log")); !strings.Contains(out, "6 requests in 24 hours, of 96 that were declared") {
		t.Errorf("status:\n%s", out)
	}

	// With nothing declared, what waited is published.
	w.Log.Stop(t)
	i := slices.Index(w.Log.Args, "--checkpoints-per-day")
	w.Log.Args = slices.Delete(w.Log.Args, i, i+2)
	w.Log.Start(t)
	w.client = &api.Client{Base: w.Log.URL}
	res, err := w.client.Submit(withTimeout(t, time.Minute), repository, sent)
	if err != nil || !res.Done {
		t.Errorf("with nothing declared: %+v, %v", res, err)
	}

	for _, flags := range [][]string{{"--checkpoints-per-day", "-1"}, {"--max-rate", "NaN"}, {"--max-rate", "0.000001"}} {
		if _, stderr, code := runtest.Run(t, "logserver", append([]string{"serve", "--dir", w.Path("log"), "--policy", w.Path("policy")}, flags...)...); code != 2 || !strings.Contains(stderr, "--checkpoints-per-day or --max-rate") {
			t.Errorf("%v: exit %d, %s", flags, code, stderr)
		}
	}
}
