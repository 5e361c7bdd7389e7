package gate_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// post sends a request, and returns the problem in the answer.
func (g *testGate) post(path, media string, body []byte) (status int, p client.Problem, header http.Header) {
	g.w.t.Helper()
	resp, err := http.Post(g.server.URL+path, media, bytes.NewReader(body))
	must(g.w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(g.w.t, err)
	if err := json.Unmarshal(b, &p); err != nil {
		g.w.t.Fatalf("%s: %v", b, err)
	}
	return resp.StatusCode, p, resp.Header
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	s, err := client.ReadStaged(w.stage(w.vendor))
	must(t, err)
	tar, err := s.Tar()
	must(t, err)
	g, id := w.gates[0], "/v1/sign/"+w.id.String()
	for _, tt := range []struct {
		path, media string
		body        []byte
		status      int
		code        verify.Code
	}{
		{"/v1/sign/x", client.MediaTar, tar, 400, client.CodeMalformed},
		{"/v1/sign/" + strings.ToUpper(w.id.String()), client.MediaTar, tar, 400, client.CodeMalformed},
		{"/v1/sign/" + tuf.Sum(nil).String(), client.MediaTar, tar, 404, client.CodeUnknown},
		{id, "text/plain", tar, 400, client.CodeMalformed},
		{id, client.MediaTar, nil, 400, client.CodeMalformed},
		{id, client.MediaTar, tar[:700], 400, client.CodeMalformed},
		{id, client.MediaTar, []byte(strings.Repeat("no tar file ", 100)), 400, client.CodeMalformed},
		{id, client.MediaURL, []byte(`{"url": "https://a.example/", "and": 1}`), 400, client.CodeMalformed},
		{id, client.MediaURL, []byte(`{"url": "https://a.example/"}`), 403, client.CodeNotAllowed},
		{id, client.MediaURL, bytes.Repeat([]byte(" "), 1<<20), 400, client.CodeMalformed},
	} {
		if status, p, _ := g.post(tt.path, tt.media, tt.body); status != tt.status || p.Code != tt.code {
			t.Errorf("%s, %s: %d %+v; want %d %s", tt.path, tt.media, status, p, tt.status, tt.code)
		}
	}
	g.stop()
	g.cfg = func(c *gate.Config) { c.MaxBody = 64 << 10 }
	g.start()
	must(t, w.vendor.Put(tuf.RoleTargets, strings.Repeat("a", 100<<10), []byte("x")), w.vendor.Release(tuf.RoleTargets))
	w.wantRefused(g, w.stage(w.vendor), client.CodeTooLarge, "")
}

// Timestamps that nobody of the repository has signed do not use up the vendor's rate.
func TestStrangersDoNotUseUpTheRateOfAVendor(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g := w.gates[0]
	g.stop()
	g.cfg = func(c *gate.Config) { c.PerRepository = 0.001 } // one at once
	g.start()
	strange := newWorld(t, 1, 1)
	s, err := client.ReadStaged(strange.stage(strange.vendor))
	must(t, err)
	tar, err := s.Tar()
	must(t, err)
	path := "/v1/sign/" + w.id.String()
	if status, p, _ := g.post(path, client.MediaTar, tar); status != 422 || p.Code != verify.CodeBadMetadata {
		t.Errorf("a stranger's timestamp: %d %+v", status, p)
	}
	for range 3 {
		if status, p, header := g.post(path, client.MediaTar, tar); status != 429 || p.Code != client.CodeLimited || header.Get("Retry-After") == "" {
			t.Errorf("a stranger's timestamp again: %d %+v", status, p)
		}
	}
	dir := w.stage(w.vendor)
	w.wantSigned(g, dir)
	w.wantSigned(g, dir) // what is signed costs nothing
	must(t, w.vendor.Release())
	w.wantRefused(g, w.stage(w.vendor), client.CodeLimited, "")

	g.stop()
	g.cfg = func(c *gate.Config) { c.PerAddress = 0.001 }
	g.start()
	if _, err := g.client().Key(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := g.client().Key(t.Context()); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("the second request of an address: %v", err)
	}
}

func TestMetricsAndStatus(t *testing.T) {
	w := newWorld(t, 2, 1)
	g := w.gates[0]
	w.wantRefused(g, w.stage(w.vendor), verify.CodeNotLogged, tuf.RoleRoot)
	if b, err := g.client().Timestamp(t.Context(), w.id); b != nil || err != nil {
		t.Errorf("before anything is signed: %s, %v", b, err)
	}
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	dir := w.stage(w.vendor)
	w.wantSigned(g, dir)
	w.wantSigned(g, dir)
	resp, err := http.Get(g.server.URL + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	for _, want := range []string{
		`tuflog_gate_answers_total{outcome="not-logged",repository="acme"} 1`,
		`tuflog_gate_answers_total{outcome="signed",repository="acme"} 1`,
		`tuflog_gate_answers_total{outcome="signed-again",repository="acme"} 1`,
		`tuflog_gate_timestamp_version{repository="acme"} 2`,
		`tuflog_gate_certain{repository="acme"} 1`,
		`tuflog_gate_in_role{repository="acme"} 1`,
		`tuflog_gate_root_version{repository="acme"} 2`,
	} {
		if !strings.Contains(string(b), want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	list, err := g.client().Status(t.Context())
	must(t, err)
	if len(list) != 1 || list[0].Version != 2 || !list[0].InRole || !list[0].Certain || list[0].Root != 2 {
		t.Errorf("%+v", list)
	}
	key, err := g.client().Key(t.Context())
	if err != nil || key.KeyVal.Public != g.key.String() {
		t.Errorf("%+v, %v", key, err)
	}
	signed, err := g.client().Timestamp(t.Context(), w.id)
	must(t, err)
	m, err := tuf.ParseJSON(signed)
	must(t, err)
	if len(m.Signatures) != 2 {
		t.Errorf("%d signatures in the timestamp that was signed last", len(m.Signatures))
	}
}
