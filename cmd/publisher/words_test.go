package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
)

// What a witness says when it does not cosign is read by everybody who waits for it:
// at /readyz, in logserver status and from publisher submit.
func TestWitnessWordsAreShown(t *testing.T) {
	w := newWorld(t)
	signer, err := proofs.GenerateSigner(nil, "grumpy.example", proofs.CosignatureV1)
	if err != nil {
		t.Fatal(err)
	}
	var willing, ahead atomic.Bool
	grumpy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if !willing.Load() {
			http.Error(rw, "write to ops@grumpy.example\x1b[2J first"+strings.Repeat(".", 1000), http.StatusForbidden)
			return
		}
		_, checkpoint, _ := strings.Cut(string(body), "\n\n")
		text, _, _ := strings.Cut(checkpoint, "\n\n")
		now := time.Now()
		if ahead.Load() {
			now = now.Add(400*24*time.Hour + time.Minute)
		}
		sig, err := signer.Sign(text+"\n", now.Unix())
		if err != nil {
			t.Error(err)
		}
		io.WriteString(rw, sig.String())
	}))
	defer grumpy.Close()
	policy, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "policy", strings.Replace(string(policy), "quorum witnesses\n",
		fmt.Sprintf("witness grumpy %v %s\ngroup everyone all witnesses grumpy\nquorum everyone\n", signer.Key(), grumpy.URL), 1))
	w.Log.Stop(t)
	w.Log.Start(t)

	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dir := w.Path("metadata")
	writeAll(t, v, dir)
	const words = `write to ops@grumpy.example\x1b[2J first....`
	shown := func(where, text string) {
		t.Helper()
		if !strings.Contains(strings.ReplaceAll(text, `\\`, `\`), words) || strings.Contains(text, "\x1b") || strings.Contains(text, strings.Repeat(".", 200)) {
			t.Errorf("%s: %s", where, text)
		}
	}
	_, stderr, code := runtest.Run(t, "publisher", append(w.args("submit", dir), "--timeout", "3s")...)
	if code != 2 || !strings.Contains(stderr, "waiting; the log says: ") {
		t.Errorf("exit %d", code)
	}
	shown("publisher submit", stderr)
	resp, err := http.Get(w.Log.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d, %v", resp.StatusCode, err)
	}
	shown("/readyz", string(body))
	status := func() string { // nothing can be published, and the exit code says so
		t.Helper()
		out, stderr, code := runtest.Run(t, "logserver", "status", "--dir", w.Path("log"))
		if code != 1 {
			t.Errorf("status: exit %d, %s", code, stderr)
		}
		return out
	}
	runtest.Eventually(t, "status has the words", func() bool {
		out := status()
		return strings.Contains(out, words) && strings.Contains(out, "w1: size 0, cosigned last ")
	})
	shown("status", status())

	// A witness whose clock is far from the log's does not count, either.
	ahead.Store(true)
	willing.Store(true)
	_, stderr, code = runtest.Run(t, "publisher", append(w.args("submit", dir), "--timeout", "8s")...)
	if code != 2 || !strings.Contains(stderr, "400 days ahead of the log's clock") {
		t.Errorf("a witness 400 days ahead: exit %d, %s", code, stderr)
	}
	runtest.Eventually(t, "status has the clock", func() bool {
		return strings.Contains(status(), "400 days ahead of the log's clock")
	})
	ahead.Store(false)
	runtest.Must(t, "publisher", w.args("submit", dir)...)
}
