package leader_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

func TestRoutes(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Token = "secret" })
	id := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "//", 404, api.CodeNotFound},
		{"POST", "/", 405, api.CodeMethod},
		{"GET", "/checkpoint", 404, api.CodeUnpublished},
		{"GET", "/checkpoint/", 404, api.CodeNotFound},
		{"GET", "//checkpoint", 404, api.CodeNotFound},
		{"GET", "/tile/", 404, api.CodeNotFound},
		{"GET", "/tile/0/000", 404, api.CodeNotFound},
		{"GET", "/tile/0/000.p/1", 404, api.CodeNotFound},
		{"GET", "/tile/../log.key", 404, api.CodeNotFound},
		{"GET", "/tile/entries/..%2f..%2flog.key", 404, api.CodeNotFound},
		{"GET", "/tile/files/..%2f..%2flog.key", 404, api.CodeNotFound},
		{"GET", "/.state/treeState", 404, api.CodeNotFound},
		{"GET", "/blob/sha256/" + id, 404, api.CodeNotFound},
		{"GET", "/blob/sha256/" + strings.ToUpper(id), 404, api.CodeNotFound},
		{"GET", "/blob/", 404, api.CodeNotFound},
		{"GET", "/healthz/", 404, api.CodeNotFound},
		{"GET", "/v1", 404, api.CodeNotFound},
		{"GET", "/v1/repositories/", 404, api.CodeNotFound},
		{"GET", "/%63heckpoint", 404, api.CodeNotFound},
		{"GET", "/tile", 404, api.CodeNotFound},
		{"GET", "/v1/entries/%30/proof", 400, api.CodeBadRequest},
		{"CONNECT", "//v1/repositories", 404, api.CodeNotFound},
		{"OPTIONS", "/v1//repositories", 404, api.CodeNotFound},
		{"CONNECT", "/v1/repositories", 405, api.CodeMethod},
		{"GET", "/v1/repositories/" + id, 404, api.CodeUnknownRepo},
		{"GET", "/v1/repositories/" + id + "/metadata", 405, api.CodeMethod},
		{"GET", "/v1/lookup/sha256/xyz", 400, api.CodeBadRequest},
		{"GET", "/v1/entries/0/proof", 404, api.CodeNotFound},
		{"GET", "/v1/entries/0/proof?audited", 404, api.CodeNotFound},
		{"GET", "/checkpoint/audited", 404, api.CodeNotAudited},
		{"GET", "/v1/entries/01/proof", 400, api.CodeBadRequest},
		{"GET", "/v1/entries/-1/proof", 400, api.CodeBadRequest},
		{"GET", "/v1/submissions/none", 404, api.CodeNotFound},
		{"POST", "/checkpoint", 405, api.CodeMethod},
		{"DELETE", "/v1/repositories", 405, api.CodeMethod},
		{"POST", "/v1/repositories", 401, api.CodeUnauthorized},
		{"POST", "/v1/repositories/" + id + "/metadata", 404, api.CodeUnknownRepo},
	} {
		resp, body := r.do(t, tt.method, tt.path, nil)
		problem(t, resp, body, tt.status, tt.code)
		if resp.StatusCode == 405 && resp.Header.Get("Allow") == "" || resp.StatusCode == 401 && resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: %d without its header", tt.method, tt.path, resp.StatusCode)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/v1/repositories", "/v1/lookup/sha256/" + id} {
		if resp, body := r.do(t, "GET", path, nil); resp.StatusCode != 200 {
			t.Errorf("GET %s: %d %s", path, resp.StatusCode, body)
		}
	}
	root := file(newVendor(t), "root").Data
	for _, auth := range []string{"Bearer wrong", "Bearer", "secret", "Basic secret", "Bearer secret2"} {
		resp, body := r.do(t, "POST", "/v1/repositories", root, "Authorization", auth)
		problem(t, resp, body, 401, api.CodeUnauthorized)
	}
	if resp, body := r.do(t, "POST", "/v1/repositories", root, "Authorization", "bearer secret"); resp.StatusCode != 200 {
		t.Errorf("with the token: %d %s", resp.StatusCode, body)
	}
}

func TestStaticReads(t *testing.T) {
	r := start(t, nil)
	for range 3 {
		r.register(t, file(newVendor(t), "root").Data)
	}
	cp := r.log.Publisher().Published()
	for path, want := range map[string]struct{ contentType, cache string }{
		"/checkpoint":           {"text/plain; charset=utf-8", "no-cache"},
		"/tile/0/000.p/3":       {"application/octet-stream", "public, max-age=31536000, immutable"},
		"/tile/0/000.p/1":       {"application/octet-stream", "public, max-age=31536000, immutable"},
		"/tile/entries/000.p/2": {"application/octet-stream", "public, max-age=31536000, immutable"},
		"/v1/entries/0/proof":   {"text/plain; charset=utf-8", "no-cache"},
		"/v1/repositories":      {"application/json", "no-cache"},
		"/v1/lookup/sha256/" + strings.Repeat("0", 64): {"application/json", "no-cache"},
	} {
		resp, body := r.do(t, "GET", path, nil)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != want.contentType || resp.Header.Get("Cache-Control") != want.cache {
			t.Errorf("GET %s: %d %s, %s", path, resp.StatusCode, resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"))
		}
		head, none := r.do(t, "HEAD", path, nil)
		if head.StatusCode != 200 || len(none) != 0 || head.Header.Get("Content-Length") != fmt.Sprint(len(body)) {
			t.Errorf("HEAD %s: %d, %d bytes, Content-Length %s", path, head.StatusCode, len(none), head.Header.Get("Content-Length"))
		}
	}
	_, checkpoint := r.do(t, "GET", "/checkpoint", nil)
	if !bytes.Equal(checkpoint, cp.Note) {
		t.Errorf("checkpoint %s", checkpoint)
	}
	_, bundle := r.do(t, "GET", "/tile/entries/000.p/2", nil)
	entries, err := proofs.ParseEntries(bundle)
	if err != nil || len(entries) != 2 || !bytes.Equal(entries[1], r.Storage.Entries()[1]) {
		t.Errorf("a bundle of two: %d, %v", len(entries), err)
	}
	leaf, err := leaf.Parse(entries[0])
	check(t, err)
	resp, blob := r.do(t, "GET", "/blob/sha256/"+leaf.Metadata.String(), nil)
	if resp.StatusCode != 200 || tuf.Sum(blob) != leaf.Metadata || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("blob: %d", resp.StatusCode)
	}
	// What is in storage but was not read back may still change.
	r.Append(1)
	resp, body := r.do(t, "GET", "/tile/entries/000.p/4", nil)
	problem(t, resp, body, 404, api.CodeNotFound)
}

// twoInOne is a file that one reader takes for the first and another for the second.
func twoInOne(t *testing.T, first, second []byte) []byte {
	t.Helper()
	parts := func(file []byte) (p struct{ Signed, Signatures json.RawMessage }) {
		check(t, json.Unmarshal(file, &p))
		return p
	}
	a, b := parts(first), parts(second)
	return fmt.Appendf(nil, `{"signed":%s,"signatures":%s,"signed":%s}`, a.Signed, b.Signatures, b.Signed)
}

// tarOf packs headers with as many bytes as they say.
func tarOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		check(t, w.WriteHeader(&h))
		_, err := w.Write(make([]byte, h.Size))
		check(t, err)
	}
	check(t, w.Close())
	return b.Bytes()
}

func TestBodies(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	many := make([]tar.Header, api.MaxFiles+1)
	for i := range many {
		many[i] = tar.Header{Name: fmt.Sprint(i, ".json")}
	}
	path := "/v1/repositories/" + id + "/metadata"
	for _, tt := range []struct {
		name   string
		body   []byte
		typ    string
		status int
		code   string
	}{
		{"no type", nil, "", 415, api.CodeMediaType},
		{"a form", nil, "application/x-www-form-urlencoded", 415, api.CodeMediaType},
		{"empty tar", tarOf(t), api.TypeTar, 400, api.CodeBadRequest},
		{"no tar", []byte("x"), api.TypeTar, 400, api.CodeBadRequest},
		{"cut tar", tarOf(t, tar.Header{Name: "a.json", Size: 5000})[:1024], api.TypeTar, 400, api.CodeBadRequest},
		{"folder", tarOf(t, tar.Header{Name: "a/", Typeflag: tar.TypeDir}), api.TypeTar, 400, api.CodeBadRequest},
		{"tar of .", tarOf(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}), api.TypeTar, 400, api.CodeBadRequest},
		{"gzipped", []byte("\x1f\x8b\x08\x00"), api.TypeTar, 400, api.CodeBadRequest},
		{"link", tarOf(t, tar.Header{Name: "a.json", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}), api.TypeTar, 400, api.CodeBadRequest},
		{"path", tarOf(t, tar.Header{Name: "../a.json"}), api.TypeTar, 400, api.CodeBadRequest},
		{"other path", tarOf(t, tar.Header{Name: `a\b.json`}), api.TypeTar, 400, api.CodeBadRequest},
		{"long name", tarOf(t, tar.Header{Name: strings.Repeat("a", leaf.MaxSize) + ".json"}), api.TypeTar, 400, api.CodeBadRequest},
		{"twice", tarOf(t, tar.Header{Name: "a.json"}, tar.Header{Name: "a.json"}), api.TypeTar, 400, api.CodeBadRequest},
		{"too many", tarOf(t, many...), api.TypeTar, 413, api.CodeTooLarge},
		{"too large a file", tarOf(t, tar.Header{Name: "a.json", Size: tuf.MaxFileSize + 1}), api.TypeTar, 413, api.CodeTooLarge},
		{"too large a body", make([]byte, api.MaxSubmission+1), api.TypeTar, 413, api.CodeTooLarge},
		{"too large a root", make([]byte, tuf.MaxFileSize+1), api.TypeJSON, 413, api.CodeTooLarge},
		{"refused", []byte("{}"), api.TypeJSON, 422, api.CodeRefused},
		{"two files in one", twoInOne(t, file(v, "targets").Data, file(v, "snapshot").Data), api.TypeJSON, 422, api.CodeRefused},
		{"targets alone", file(v, "targets").Data, api.TypeJSON, 422, api.CodeRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := r.do(t, "POST", path, tt.body, "Content-Type", tt.typ)
			p := problem(t, resp, body, tt.status, tt.code)
			if tt.status == 422 && (len(p.Results) != 1 || p.Results[0].Status != api.StatusRefused || p.Repository != id) {
				t.Errorf("%+v", p)
			}
		})
	}
	resp, body := r.do(t, "POST", path, nil, "Content-Type", api.TypeTar, "Content-Encoding", "gzip")
	problem(t, resp, body, 415, api.CodeMediaType)
	resp, body = r.do(t, "POST", "/v1/repositories", []byte("{}"))
	if p := problem(t, resp, body, 422, api.CodeRefused); p.Repository != "" || p.Results[0].Code != api.CodeMalformed {
		t.Errorf("%+v", p)
	}

	// A root may come alone, and a PAX header before it is no file.
	check(t, v.Rotate("snapshot"))
	if resp, body := r.do(t, "POST", path, file(v, "root").Data, "Content-Type", "application/json; charset=utf-8"); resp.StatusCode != 200 {
		t.Errorf("a root alone: %d %s", resp.StatusCode, body)
	}
	// All memory for bodies is free again.
	r.close(t)
}

// A sparse file may be larger than the body that carries it, by which the memory for
// bodies is counted.
func TestSparseTar(t *testing.T) {
	r := start(t, nil)
	id := r.register(t, file(newVendor(t), "root").Data)
	b := append(sparse("1.json", 1<<20), make([]byte, 1024)...)
	resp, body := r.do(t, "POST", "/v1/repositories/"+id+"/metadata", b, "Content-Type", api.TypeTar)
	problem(t, resp, body, 400, api.CodeBadRequest)
}

// sparse is a regular file in the PAX form of GNU tar (version 1.0), all hole.
func sparse(name string, size int64) []byte {
	record := func(key, value string) string {
		n := len(key) + len(value) + 3
		for n < len(fmt.Sprintf("%d %s=%s\n", n, key, value)) {
			n++
		}
		return fmt.Sprintf("%d %s=%s\n", n, key, value)
	}
	pax := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") +
		record("GNU.sparse.name", name) + record("GNU.sparse.realsize", fmt.Sprint(size))
	return append(block('x', "pax", pax), block('0', name, "0\n"+strings.Repeat("\x00", 510))...)
}

// block is a tar header and its content.
func block(typeflag byte, name, content string) []byte {
	b := make([]byte, 512, 1024)
	copy(b[0:], name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x0000000000000\x00", len(content)))
	copy(b[148:], "        ") // checksum, counted as spaces
	b[156] = typeflag
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	b = append(b, content...)
	return append(b, make([]byte, (512-len(content)%512)%512)...)
}

func TestQueueIsBounded(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Limits.Queue.Capacity, c.DrainTimeout = 2, time.Second })
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	// The disk is slow: what is queued stays queued.
	release := make(chan struct{})
	r.Storage.OnAppend = func(entries [][]byte) ([][]byte, error) { <-release; return entries, nil }
	var locations []string
	for range 2 {
		check(t, v.Rotate("snapshot"))
		resp, body := r.do(t, "POST", "/v1/repositories/"+id+"/metadata", file(v, "root").Data, "Content-Type", api.TypeJSON, "Prefer", "respond-async, wait=0")
		var res api.Result
		if check(t, json.Unmarshal(body, &res)); resp.StatusCode != 202 || res.Done || res.Results[0].Status != api.StatusPending {
			t.Fatalf("queued: %d %s", resp.StatusCode, body)
		}
		locations = append(locations, location(t, resp))
	}
	resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
	problem(t, resp, body, 503, api.CodeBusy)
	if resp, _ := r.do(t, "GET", "/checkpoint", nil); resp.StatusCode != 200 {
		t.Errorf("reads while the queue is full: %d", resp.StatusCode)
	}
	close(release)
	for i, location := range locations {
		resp, body := r.do(t, "GET", location, nil)
		var res api.Result
		if check(t, json.Unmarshal(body, &res)); resp.StatusCode != 200 || !res.Done || res.Results[0].Status != api.StatusReleased || res.Results[0].Index != int64(i+1) {
			t.Errorf("GET %s: %d %s", location, resp.StatusCode, body)
		}
	}
	if resp, _ := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data); resp.StatusCode != 200 {
		t.Errorf("after the queue is empty: %d", resp.StatusCode)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Limits.Memory.Capacity = tuf.MaxFileSize })
	// A client that sends much and does not end takes all the memory there is.
	// It comes again when others were just faster.
	started, done := make(chan struct{}), make(chan struct{})
	var once, free sync.Once
	release := func() { free.Do(func() { close(done) }) }
	defer release()
	go func() {
		for {
			req, err := http.NewRequest("POST", r.http.URL+"/v1/repositories", &slowBody{sent: func() { once.Do(func() { close(started) }) }, done: done})
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	<-started
	root := file(newVendor(t), "root").Data
	for deadline := time.Now().Add(10 * time.Second); ; {
		resp, body := r.do(t, "POST", "/v1/repositories", root)
		if resp.StatusCode == 503 {
			problem(t, resp, body, 503, api.CodeBusy)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("bodies are not bounded")
		}
	}
	release()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if resp, _ := r.do(t, "POST", "/v1/repositories", root); resp.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the memory for bodies is not given back")
		}
	}
}

// slowBody sends half of all that there is room for, and a byte, which makes the
// log take room for twice as much; it says so, and ends when it is told to.
type slowBody struct {
	sent func()
	done chan struct{}
	n    int
}

func (b *slowBody) Read(p []byte) (int, error) {
	if rest := tuf.MaxFileSize/2 + 1 - b.n; rest > 0 {
		n := min(rest, len(p))
		b.n += n
		return n, nil
	}
	b.sent()
	<-b.done
	return 0, errors.New("gone")
}

func TestBacklogIsBounded(t *testing.T) {
	r := start(t, func(c *leader.Config) { c.Limits.Unpublished = 2 })
	r.register(t, file(newVendor(t), "root").Data)
	r.Witnesses.Mu.Lock() // they do not answer: no attempt has failed, and none succeeds
	for range 2 {
		resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
		if resp.StatusCode != 202 {
			t.Fatalf("below quorum: %d %s", resp.StatusCode, body)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); r.log.Publisher().Tree().N < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what is accepted is not integrated")
		}
	}
	resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
	if p := problem(t, resp, body, 503, api.CodeUnavailable); !strings.Contains(p.Detail, "2 entries wait to be published: a quorum") {
		t.Errorf("while no attempt has failed: %s", p.Detail)
	}
	r.Witnesses.Mu.Unlock()
	r.register(t, file(newVendor(t), "root").Data)
	r.Published(r.log.Publisher(), 4)
}

// Submissions that are in when the log stops are brought to their end; those
// that come later are told to try again.
func TestDrain(t *testing.T) {
	r := start(t, nil)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	appending, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.Storage.OnAppend = func(entries [][]byte) ([][]byte, error) {
		once.Do(func() { close(appending) })
		<-release
		return entries, nil
	}
	check(t, v.Rotate("snapshot"))
	answered := make(chan string, 1)
	go func() {
		resp, body := r.do(t, "POST", "/v1/repositories/"+id+"/metadata", file(v, "root").Data, "Content-Type", api.TypeJSON)
		answered <- fmt.Sprint(resp.StatusCode, " ", string(body))
	}()
	<-appending
	r.cancel()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
		if resp.StatusCode == 503 {
			problem(t, resp, body, 503, api.CodeUnavailable)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("takes submissions while it stops")
		}
	}
	close(release)
	if got := <-answered; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"released"`) {
		t.Fatalf("a submission that was in: %s", got)
	}
}
