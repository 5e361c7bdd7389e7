package leader_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/proofs"
)

func TestConditionalReads(t *testing.T) {
	r := start(t, nil)
	for range 4 {
		r.register(t, file(newVendor(t), "root").Data)
	}
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/4", "/tile/entries/000.p/4", "/v1/entries/0/proof", "/v1/repositories"} {
		resp, body := r.do(t, "GET", path, nil, "Accept-Encoding", "identity")
		tag := resp.Header.Get("ETag")
		if resp.StatusCode != 200 || !strings.HasPrefix(tag, `"`) || len(body) == 0 {
			t.Fatalf("GET %s: %d, ETag %s", path, resp.StatusCode, tag)
		}
		for _, has := range []string{tag, "W/" + tag, `"other", ` + tag, "*", strings.TrimSuffix(tag, `"`) + `-gzip"`} {
			for _, method := range []string{"GET", "HEAD"} {
				resp, body := r.do(t, method, path, nil, "If-None-Match", has, "Accept-Encoding", "identity")
				if resp.StatusCode != 304 || len(body) != 0 || resp.Header.Get("ETag") != tag || resp.Header.Get("Cache-Control") == "" {
					t.Errorf("%s %s with If-None-Match %s: %d, %d bytes, %v", method, path, has, resp.StatusCode, len(body), resp.Header)
				}
			}
		}
		for _, other := range []string{`"other"`, strings.Trim(tag, `"`), ""} {
			if resp, again := r.do(t, "GET", path, nil, "If-None-Match", other); resp.StatusCode != 200 || !bytes.Equal(again, body) {
				t.Errorf("GET %s with If-None-Match %q: %d", path, other, resp.StatusCode)
			}
		}
	}
	before, _ := r.do(t, "GET", "/checkpoint", nil)
	r.register(t, file(newVendor(t), "root").Data)
	if after, _ := r.do(t, "GET", "/checkpoint", nil, "If-None-Match", before.Header.Get("ETag")); after.StatusCode != 200 {
		t.Errorf("a checkpoint that has changed: %d", after.StatusCode)
	}
}

func TestGzip(t *testing.T) {
	r := start(t, nil)
	for range 8 {
		r.register(t, file(newVendor(t), "root").Data)
	}
	const bundle = "/tile/entries/000.p/8"
	_, plain := r.do(t, "GET", bundle, nil, "Accept-Encoding", "identity")
	for _, tt := range []struct {
		path, accept string
		zipped, vary bool
	}{
		{bundle, "gzip", true, true},
		{bundle, "br, GZIP;q=0.5", true, true},
		{bundle, "*", true, true},
		{bundle, "identity", false, true},
		{bundle, "gzip;q=0, *", false, true},
		{bundle, "gzip; q=0.000", false, true},
		{bundle, "br", false, true},
		{"/v1/repositories", "gzip", true, true},
		{"/tile/entries/000.p/1", "gzip", false, true}, // too small
		{"/tile/0/000.p/8", "gzip", false, false},      // hashes
		{"/checkpoint", "gzip", false, false},
	} {
		resp, body := r.do(t, "GET", tt.path, nil, "Accept-Encoding", tt.accept)
		zipped := resp.Header.Get("Content-Encoding") == "gzip"
		if resp.StatusCode != 200 || zipped != tt.zipped || (resp.Header.Get("Vary") == "Accept-Encoding") != tt.vary || zipped != strings.HasSuffix(resp.Header.Get("ETag"), `-gzip"`) {
			t.Errorf("GET %s, Accept-Encoding %q: %d %v", tt.path, tt.accept, resp.StatusCode, resp.Header)
		}
		if !zipped || tt.path != bundle {
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(body))
		check(t, err)
		unzipped, err := io.ReadAll(z)
		check(t, err)
		if !bytes.Equal(unzipped, plain) || len(body) >= len(plain) {
			t.Errorf("%d bytes for %d, equal after all: %v", len(body), len(plain), bytes.Equal(unzipped, plain))
		}
		if entries, err := proofs.ParseEntries(unzipped); err != nil || len(entries) != 8 {
			t.Errorf("%d entries, %v", len(entries), err)
		}
	}
}

// Other sites' pages may read, and nothing else.
func TestCrossOrigin(t *testing.T) {
	r := start(t, nil)
	id := r.register(t, file(newVendor(t), "root").Data)
	for path, want := range map[string]struct{ allow, methods, origin string }{
		"/checkpoint":                          {"GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS", "*"},
		"/v1/repositories":                     {"GET, HEAD, POST, OPTIONS", "GET, HEAD, OPTIONS", "*"},
		"/v1/repositories/" + id:               {"GET, HEAD, OPTIONS", "GET, HEAD, OPTIONS", "*"},
		"/v1/repositories/" + id + "/metadata": {"POST, OPTIONS", "", ""},
	} {
		resp, body := r.do(t, "OPTIONS", path, nil, "Origin", "https://page.example", "Access-Control-Request-Method", "GET")
		h := resp.Header
		if resp.StatusCode != 204 || len(body) != 0 || h.Get("Allow") != want.allow || h.Get("Access-Control-Allow-Methods") != want.methods || h.Get("Access-Control-Allow-Origin") != want.origin {
			t.Errorf("OPTIONS %s: %d %v", path, resp.StatusCode, h)
		}
	}
	if resp, _ := r.do(t, "GET", "/checkpoint", nil, "Origin", "https://page.example"); resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("GET /checkpoint: %v", resp.Header)
	}
	if resp, _ := r.do(t, "POST", "/v1/repositories", nil, "Origin", "https://page.example"); resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("POST /v1/repositories: %v", resp.Header)
	}
	resp, body := r.do(t, "OPTIONS", "/nothing", nil)
	problem(t, resp, body, 404, api.CodeNotFound)
}

func TestRequestIDs(t *testing.T) {
	var logged lockedBuffer
	r := start(t, func(c *leader.Config) { c.Logger = debugLogger(&logged) })
	for given, kept := range map[string]bool{
		"abc-DEF_1.2~3":          true,
		strings.Repeat("a", 64):  true,
		strings.Repeat("a", 65):  false,
		"":                       false,
		"a b":                    false,
		"a\"b":                   false,
		"ä":                      false,
		"https://x.example/?q=1": false,
	} {
		resp, body := r.do(t, "GET", "/nothing", nil, "X-Request-Id", given)
		got := resp.Header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("X-Request-Id %q: %q", given, got)
		}
		problem(t, resp, body, 404, api.CodeNotFound)
		if !strings.Contains(logged.String(), "id="+got) {
			t.Errorf("request %s is not in the server's log", got)
		}
	}
}

func TestClosedRegistration(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	r.close(t)
	r.config.RegistrationClosed = true
	r.open(t)
	resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
	problem(t, resp, body, 403, api.CodeClosed)
	// A vendor still learns what its repository is called, and submits to it.
	if again := r.register(t, file(v, "root").Data); again != id {
		t.Errorf("repository %s, was %s", again, id)
	}
	check(t, v.Release("targets"))
	if got := r.submit(t, id, file(v, "targets"), file(v, "snapshot")); got[0].Status != api.StatusReleased {
		t.Errorf("submit: %+v", got)
	}
}

// The same submission again has the same answer.
func TestSubmissionsAreIdempotent(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	root := file(v, "root").Data
	id := r.register(t, root)
	check(t, v.Release("targets"))
	body, err := api.Tar([]api.File{file(v, "targets"), file(v, "snapshot"), {Name: "x.json", Data: []byte("{}")}})
	check(t, err)
	size := r.log.Publisher().Tree().N
	var first api.Result
	for i := range 3 {
		resp, b := r.do(t, "POST", "/v1/repositories/"+id+"/metadata", body, "Content-Type", api.TypeTar)
		var res api.Result
		if check(t, json.Unmarshal(b, &res)); resp.StatusCode != 200 || !res.Done || len(res.Results) != 2 {
			t.Fatalf("%d %s", resp.StatusCode, b)
		}
		if i == 0 {
			first = res
		}
		for j, f := range res.Results {
			was := first.Results[j]
			if f.File != was.File || f.Index != was.Index || f.Code != was.Code || f.Sidecar != was.Sidecar || (f.Status == api.StatusRefused) != (was.Status == api.StatusRefused) {
				t.Errorf("time %d: %+v; the first time %+v", i, f, was)
			}
		}
	}
	if got := r.log.Publisher().Tree().N; got != size+1 {
		t.Errorf("the log grew by %d", got-size)
	}
	if again := r.register(t, root); again != id || r.log.Publisher().Tree().N != size+1 {
		t.Errorf("registered again: %s", again)
	}
	// A submission of which nothing is accepted has the same problem.
	var problems [2]api.Problem
	for i := range problems {
		resp, b := r.do(t, "POST", "/v1/repositories/"+id+"/metadata", []byte("{}"), "Content-Type", api.TypeJSON)
		problems[i] = problem(t, resp, b, http.StatusUnprocessableEntity, api.CodeRefused)
	}
	if problems[0].Detail != problems[1].Detail || problems[0].Results[0] != problems[1].Results[0] {
		t.Errorf("%+v, then %+v", problems[0], problems[1])
	}
}

// Outsiders, from however many networks, do not keep the vendor with a token out.
func TestOutsidersLeaveRoom(t *testing.T) {
	r := start(t, func(c *leader.Config) {
		c.Limits.Queue.Capacity, c.Token = 4, "the operator's"
		c.DrainTimeout = time.Second
	})
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Rotate("snapshot"))
	release := make(chan struct{})
	defer sync.OnceFunc(func() { close(release) })()
	r.Storage.OnAppend = func(entries [][]byte) ([][]byte, error) { <-release; return entries, nil }
	submit := func(headers ...string) (*http.Response, []byte) {
		return r.do(t, "POST", "/v1/repositories/"+id+"/metadata", file(v, "root").Data, append([]string{"Content-Type", api.TypeJSON, "Prefer", "wait=0"}, headers...)...)
	}
	for i := range 5 {
		resp, body := submit("X-Forwarded-For", fmt.Sprintf("192.0.%d.1", i))
		if i < 3 && resp.StatusCode != 202 {
			t.Fatalf("outsider %d: %d %s", i, resp.StatusCode, body)
		}
		if i >= 3 {
			problem(t, resp, body, 503, api.CodeBusy)
		}
	}
	if resp, body := submit("Authorization", "Bearer the operator's"); resp.StatusCode != 202 {
		t.Errorf("the vendor: %d %s", resp.StatusCode, body)
	}
}
