package page

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/tuf"
)

// verifying returns pages with, or without, a program for verification.
func verifying(t *testing.T, with *verifier) *Server {
	t.Helper()
	s, err := New(Config{Logs: []Log{
		{Name: "a", Policy: audittest.New(t).Policy(), Watched: []Watched{{ID: tuf.Digest{1}, Name: "acme"}, {ID: tuf.Digest{2}}}},
		{Name: "b", Policy: audittest.NewOf(t, "b.example/log").Policy()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.verifier = with
	s.handler = newGuard(s.cfg.Limits, "", s.cfg.Now).wrap(s.pages(s.routes()), pageCost, s.fail)
	return s
}

func ask(t *testing.T, s *Server, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), w.Body.Bytes()
}

func TestVerifyPage(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("program"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s := verifying(t, &verifier{brotli: []byte("brotli"), gzip: packed.Bytes(), script: []byte("script"), version: "v1"})

	r, page := ask(t, s, "/verify?log=b")
	csp := r.Header.Get("Content-Security-Policy")
	if r.StatusCode != 200 || !strings.Contains(csp, "script-src 'self' 'wasm-unsafe-eval';") || strings.Contains(csp, "'unsafe-eval'") || strings.Contains(csp, "'unsafe-inline'") {
		t.Errorf("%d, %s", r.StatusCode, csp)
	}
	for _, want := range []string{"log b.example/log", "/verify/verify.wasm?v=v1", "<noscript>", `href="/verify?log=a"`, "updater verify"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("/verify does not have %q", want)
		}
	}
	// Of a log that is not here no other one's policy is shown.
	if r, _ := ask(t, s, "/verify?log=c"); r.StatusCode != 404 {
		t.Errorf("a log that is not here: %d", r.StatusCode)
	}
	// A repository that has a name here can be chosen, and none is without the visitor.
	if _, page := ask(t, s, "/verify?log=a"); !bytes.Contains(page, []byte(`<option value="01000000`)) || !bytes.Contains(page, []byte(">acme</option>")) ||
		bytes.Contains(page, []byte(`"02000000`)) || bytes.Contains(page, []byte(`id="repository" value`)) {
		t.Errorf("repositories to choose: %s", page)
	}
	// Nothing but /verify may run a script.
	if r, _ := ask(t, s, "/about"); strings.Contains(r.Header.Get("Content-Security-Policy"), "script-src") {
		t.Errorf("/about: %s", r.Header.Get("Content-Security-Policy"))
	}
	for path, kind := range map[string]string{"/verify/verify.js": "text/javascript; charset=utf-8", "/verify/wasm_exec.js": "text/javascript; charset=utf-8", "/verify/verify.css": "text/css; charset=utf-8"} {
		if r, b := ask(t, s, path); r.StatusCode != 200 || r.Header.Get("Content-Type") != kind || len(b) == 0 {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.Header.Get("Content-Type"))
		}
	}

	for accept, want := range map[string][2]string{
		"gzip, deflate, br, zstd": {"br", "brotli"},
		"gzip":                    {"gzip", packed.String()},
		"br;q=0, gzip":            {"gzip", packed.String()},
		"br;q=0.0, x-GZIP;q=0.5":  {"gzip", packed.String()},
		"*;q=0, gzip":             {"gzip", packed.String()},
		"BR; q=1":                 {"br", "brotli"},
		"identity":                {"", "program"},
		"":                        {"", "program"},
	} {
		r, b := ask(t, s, "/verify/verify.wasm?v=v1", "Accept-Encoding", accept)
		if r.StatusCode != 200 || r.Header.Get("Content-Encoding") != want[0] || string(b) != want[1] || r.Header.Get("Content-Type") != "application/wasm" || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%q: %d %v %q", accept, r.StatusCode, r.Header, b)
		}
		if r, b := ask(t, s, "/verify/verify.wasm?v=v1", "Accept-Encoding", accept, "If-None-Match", r.Header.Get("ETag")); r.StatusCode != 304 || len(b) != 0 {
			t.Errorf("%q, again: %d, %d bytes", accept, r.StatusCode, len(b))
		}
	}
	if r, _ := ask(t, s, "/verify/verify.wasm?v=v0"); strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Error("another version may be kept for ever")
	}
}

// An auditor that was built without says so, and how to verify all the same.
func TestVerifyPageWithout(t *testing.T) {
	s := verifying(t, nil)
	r, page := ask(t, s, "/verify")
	if r.StatusCode != 200 || !bytes.Contains(page, []byte("built without verification in the browser")) || !bytes.Contains(page, []byte("updater verify")) ||
		bytes.Contains(page, []byte("<script")) || strings.Contains(r.Header.Get("Content-Security-Policy"), "script-src") {
		t.Errorf("%d %v: %s", r.StatusCode, r.Header, page)
	}
	for _, path := range []string{"/verify/verify.wasm", "/verify/verify.js", "/verify/wasm_exec.js"} {
		if r, _ := ask(t, s, path); r.StatusCode != 404 {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
}
