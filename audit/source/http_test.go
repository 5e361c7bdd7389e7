package source_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

const logSize = 5

// A policy whose quorum needs an auditor is met by the audited checkpoint alone, which may not be
// there yet.
func TestAuditedCheckpoint(t *testing.T) {
	answer := func(http.ResponseWriter) { panic("not yet") }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/log/checkpoint/audited" && answer != nil {
			answer(w)
			return
		}
		_, _ = w.Write([]byte(r.URL.Path))
	}))
	defer server.Close()
	plain, err := source.NewHTTP(server.URL+"/log/", nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proofs.GenerateSigner(nil, "w", proofs.CosignatureV1)
	if err != nil {
		t.Fatal(err)
	}
	witness := "witness w " + signer.Key().String() + "\n"
	for text, want := range map[string]string{
		witness + "quorum w\n":                              "/log/checkpoint",
		witness + "group auditors any w\nquorum auditors\n": "/log/checkpoint/audited",
		witness + "group auditors any w\nquorum none\n":     "/log/checkpoint",
	} {
		policy, err := proofs.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		src := plain.For(policy)
		audited := want != "/log/checkpoint"
		read := func(want string) {
			t.Helper()
			for _, src := range []audit.Source{src, src.Fresh()} {
				if b, err := src.Checkpoint(t.Context()); err != nil || string(b) != want {
					t.Errorf("%s: %q, %v", text, b, err)
				}
			}
			at, own := src.Audited()
			if audited && (at != server.URL+want || own != strings.HasSuffix(want, "/audited")) || !audited && at != "" {
				t.Errorf("%s: says %q, %v", text, at, own)
			}
		}
		answer = func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code": "not-audited"}`))
		}
		if _, err := src.Checkpoint(t.Context()); audited && (err == nil || !strings.Contains(err.Error(), "no checkpoint that an auditor has cosigned")) {
			t.Errorf("%s: %v", text, err)
		}
		answer = func(w http.ResponseWriter) { http.Error(w, "a copy", http.StatusNotFound) }
		read("/log/checkpoint")
		answer = func(w http.ResponseWriter) { http.Error(w, "out of order", http.StatusBadGateway) }
		if _, err := src.Checkpoint(t.Context()); audited && err == nil {
			t.Errorf("%s: another checkpoint is read while the audited one cannot be", text)
		}
		answer = nil
		read(want)
	}
}

// newLog returns a published log of logSize entries, and a file that it has.
func newLog(t *testing.T) (l *audittest.Log, root []byte) {
	t.Helper()
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	_, root = v.File(tuf.RoleRoot)
	l = audittest.New(t)
	id := l.Register(root)
	for l.Size() < logSize {
		must(t, v.Release(tuf.RoleTargets))
		_, targets := v.File(tuf.RoleTargets)
		_, snapshot := v.File(tuf.RoleSnapshot)
		l.Submit(id, tuf.RoleTargets, targets, snapshot)
	}
	l.Publish(2)
	return l, root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHTTP(t *testing.T) {
	h, root := newLog(t)
	h.Spoil("tile/entries/000.p/5", audittest.Missing)
	h.Spoil("tile/0/000.p/5", audittest.Missing)
	for h.Size() < 256 {
		h.Append([]byte("tuflog motto v7\n"))
	}
	var noCache atomic.Bool
	var failures atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/prefix/") {
			noCache.Store(r.Header.Get("Cache-Control") == "no-cache")
		}
		if failures.Add(-1) >= 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		http.StripPrefix("/prefix", h).ServeHTTP(w, r)
	}))
	defer srv.Close()
	src, err := source.NewHTTP(srv.URL+"/prefix/", srv.Client())
	must(t, err)

	checkpoint, err := src.Checkpoint(t.Context())
	if want := h.Checkpoint(logSize, 2); err != nil || string(checkpoint) != string(want) || !noCache.Load() {
		t.Errorf("checkpoint %q, %v, no-cache %v", checkpoint, err, noCache.Load())
	}
	direct := h.Source()
	for _, width := range []int{4, 5, 256} {
		want, err := direct.Tile(t.Context(), 0, 0, 256)
		must(t, err)
		if tile, err := src.Tile(t.Context(), 0, 0, width); err != nil || string(tile) != string(want[:32*width]) {
			t.Errorf("tile of width %d: %d bytes, %v", width, len(tile), err)
		}
		want, err = direct.Entries(t.Context(), 0, 256)
		must(t, err)
		bundle, err := src.Entries(t.Context(), 0, width)
		if err != nil || !strings.HasPrefix(string(want), string(bundle)) || width == 256 && len(bundle) != len(want) {
			t.Errorf("bundle of width %d: %d bytes, %v", width, len(bundle), err)
		}
		if width == 5 {
			four, err := src.Entries(t.Context(), 0, 4)
			if err != nil || len(four) >= len(bundle) {
				t.Errorf("five entries have %d bytes, four have %d, %v", len(bundle), len(four), err)
			}
		}
	}
	if tile, err := src.Tile(t.Context(), 0, 0, 5); err != nil || noCache.Load() {
		t.Errorf("a tile: %d bytes, %v, no-cache %v", len(tile), err, noCache.Load())
	}
	if tile, err := src.Fresh().Tile(t.Context(), 0, 0, 5); err != nil || len(tile) != 5*32 || !noCache.Load() {
		t.Errorf("a tile that is asked for again: %d bytes, %v, no-cache %v", len(tile), err, noCache.Load())
	}
	if _, err := src.Tile(t.Context(), 0, 1, 256); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a tile that is not there: %v", err)
	}
	blob := root
	failures.Store(1)
	if got, err := src.Blob(t.Context(), tuf.Sum(blob)); err != nil || string(got) != string(blob) {
		t.Errorf("blob after one failure: %d bytes, %v", len(got), err)
	}
	if _, err := src.Blob(t.Context(), tuf.Digest{}); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}

	a, err := audit.New(t.Context(), audit.Config{Source: src, Policy: h.Policy()})
	must(t, err)
	defer func() { must(t, a.Close()) }()
	_, err = a.Step(t.Context())
	must(t, err)
	if r, err := a.Report(t.Context()); err != nil || !r.Vouches {
		t.Errorf("over HTTP: %+v, %v", r, err)
	}
}

func TestHTTPRefusesURLs(t *testing.T) {
	for _, url := range []string{"", "log.example.com", "ftp://log.example.com", "https://", "https://x/?a=b", "https://x/#y", "http://[::1"} {
		if _, err := source.NewHTTP(url, nil); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}

// A log that sends its auditor elsewhere is not followed there.
func TestHTTPFollowsNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	src, err := source.NewHTTP(srv.URL, nil)
	must(t, err)
	for path, get := range map[string]func() ([]byte, error){
		"/checkpoint":          func() ([]byte, error) { return src.Checkpoint(t.Context()) },
		"/tile/0/000":          func() ([]byte, error) { return src.Tile(t.Context(), 0, 0, 256) },
		"/tile/entries/000":    func() ([]byte, error) { return src.Entries(t.Context(), 0, 256) },
		"/blob/sha256/" + zero: func() ([]byte, error) { return src.Blob(t.Context(), tuf.Digest{}) },
	} {
		asked = 0
		if _, err := get(); err == nil || !strings.Contains(err.Error(), `redirects to "`+elsewhere.URL+path+`"`) || asked != 1 {
			t.Errorf("%s: asked %d times, %v", path, asked, err)
		}
	}
}

// A log says that it is new by a code, and nothing else counts as that: the URL may be
// wrong.
func TestHTTPOfANewLog(t *testing.T) {
	for body, is := range map[string]bool{
		`{"type":"about:blank","title":"Not Found","status":404,"code":"nothing-published","detail":"nothing has been published yet"}`: true,
		`{"code":"not-found"}`: false,
		`nothing-published`:    false,
		``:                     false,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, http.StatusNotFound) }))
		s, err := source.NewHTTP(srv.URL, nil)
		must(t, err)
		if _, err := s.Checkpoint(t.Context()); errors.Is(err, audit.ErrNothingPublished) != is || err == nil {
			t.Errorf("%q: %v", body, err)
		}
		srv.Close()
	}
}

const zero = "0000000000000000000000000000000000000000000000000000000000000000"

// Requests at once share a few connections, which are used again.
func TestHTTPKeepsItsConnections(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("a file"))
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	src, err := source.NewHTTP(srv.URL, nil)
	must(t, err)
	for range 5 {
		var asking sync.WaitGroup
		for range 2 * source.MaxConnections {
			asking.Go(func() {
				if _, err := src.Blob(t.Context(), tuf.Digest{}); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
	}
	if n := opened.Load(); n > source.MaxConnections {
		t.Errorf("%d connections for %d requests at once, want at most %d", n, 2*source.MaxConnections, source.MaxConnections)
	}
}

// coding writes what a server sends for a body in a coding.
func coding(t testing.TB, name string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch name {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = z
	default:
		return body
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Packs, and all else, come in zstd or gzip. What a compressed answer expands to is limited
// as any answer is, and what it needs besides.
func TestHTTPCodings(t *testing.T) {
	size := pack.MaxSize + 1
	if testing.Short() {
		size = 1 << 20 // nothing is too large then; the rest takes a second of processor time
	}
	large := make([]byte, size)
	text := bytes.Repeat([]byte("files of a bundle "), 1000)
	wide, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	must(t, err)
	skippable := bytes.Repeat([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, (size+2<<20)/8) // frames of zstd without content
	for name, tt := range map[string]struct {
		coding string
		sent   []byte
		want   []byte // nil: an error that says
		says   string
	}{
		"plain":                   {"", text, text, ""},
		"identity":                {"identity", text, text, ""},
		"zstd":                    {"zstd", coding(t, "zstd", text), text, ""},
		"gzip":                    {"gzip", coding(t, "gzip", text), text, ""},
		"in capitals":             {"GZIP", coding(t, "gzip", text), text, ""},
		"the largest":             {"zstd", coding(t, "zstd", large[1:]), large[1:], ""},
		"zstd that is too large":  {"zstd", coding(t, "zstd", large), nil, "too large"},
		"gzip that is too large":  {"gzip", coding(t, "gzip", large), nil, "too large"},
		"zstd that is none":       {"zstd", text, nil, "magic"},
		"gzip that is none":       {"gzip", text, nil, "gzip"},
		"zstd cut short":          {"zstd", coding(t, "zstd", text)[:20], nil, "EOF"},
		"gzip cut short":          {"gzip", coding(t, "gzip", text)[:20], nil, "EOF"},
		"zstd with a wide window": {"zstd", wide.EncodeAll(large, nil), nil, "window"},
		"zstd of nothing":         {"zstd", skippable, nil, "a compressed answer of more than"},
		"not asked for":           {"br", text, nil, `coding "br"`},
		"twice":                   {"gzip, gzip", text, nil, `coding "gzip, gzip"`},
	} {
		if testing.Short() && slices.Contains([]string{"too large", "window", "a compressed answer of more than"}, tt.says) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); got != "zstd, gzip" {
					t.Errorf("asked for %q", got)
				}
				if tt.coding != "" {
					w.Header().Set("Content-Encoding", tt.coding)
				}
				_, _ = w.Write(tt.sent) // a reader that has enough goes away
			}))
			defer srv.Close()
			src, err := source.NewHTTP(srv.URL, nil)
			must(t, err)
			for range 2 { // also with a decoder that was used
				got, err := src.Pack(t.Context(), 0, 256)
				switch {
				case tt.want != nil && (err != nil || !bytes.Equal(got, tt.want)):
					t.Errorf("%d bytes, %v; want %d", len(got), err, len(tt.want))
				case tt.want == nil && (err == nil || !strings.Contains(err.Error(), tt.says)):
					t.Errorf("%d bytes, %v; want an error: …%s…", len(got), err, tt.says)
				}
			}
		})
	}
}

// Nothing that a server sends in a coding is more than may be, or ends the program.
func FuzzCodings(f *testing.F) {
	text := []byte("files of a bundle, files of a bundle")
	f.Add(coding(f, "zstd", text), true)
	f.Add(coding(f, "gzip", text), false)
	f.Add(text, true)
	f.Fuzz(func(t *testing.T, sent []byte, isZstd bool) {
		name := "gzip"
		if isZstd {
			name = "zstd"
		}
		src, err := source.NewHTTP("http://log.test", &http.Client{Transport: answers{name, sent}})
		must(t, err)
		if got, err := src.Pack(t.Context(), 0, 256); err == nil && len(got) > pack.MaxSize {
			t.Errorf("%d bytes of a pack", len(got))
		}
	})
}

// answers is a server that sends one thing.
type answers struct {
	coding string
	body   []byte
}

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, ContentLength: int64(len(a.body)),
		Header: http.Header{"Content-Encoding": {a.coding}}, Body: io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}
