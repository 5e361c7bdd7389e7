package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/conformance"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// target is a witness to test.
type target struct {
	store *witnesstest.Memory
	keys  []proofs.Key
	log   *proofs.Signer
	url   string
}

// newTarget starts a witness; faults may be put in front of it.
func newTarget(t *testing.T, faults func(http.Handler) http.Handler) target {
	t.Helper()
	ed := witnesstest.NewSigner(t, "witness.example/w", proofs.CosignatureV1)
	pq := witnesstest.NewSigner(t, "witness.example/w", proofs.MLDSA44)
	tg := target{
		store: &witnesstest.Memory{},
		keys:  []proofs.Key{ed.Key(), pq.Key()},
		log:   witnesstest.NewSigner(t, "suite.example/log", proofs.Ed25519),
	}
	if err := tg.store.AddLog(t.Context(), witness.NewLog{Key: tg.log.Key()}); err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(witness.Config{Store: tg.store, Signers: []witness.Signer{ed, pq}})
	if err != nil {
		t.Fatal(err)
	}
	h := w.Handler()
	if faults != nil {
		h = faults(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	tg.url = server.URL
	return tg
}

func (tg target) config() conformance.Config {
	return conformance.Config{URL: tg.url + "/", Keys: tg.keys, Log: tg.log}
}

func run(t *testing.T, cfg conformance.Config) *conformance.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := conformance.Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != len(conformance.Cases(r.Spec)) {
		t.Fatalf("%d results of %d cases", len(r.Results), len(conformance.Cases(r.Spec)))
	}
	return r
}

func expectAll(t *testing.T, r *conformance.Report, want conformance.Outcome) {
	t.Helper()
	for _, res := range r.Results {
		if res.Outcome != want {
			t.Error(res)
		}
	}
}

func TestOwnWitness(t *testing.T) {
	tg := newTarget(t, nil)
	var kept []int64
	cfg := tg.config()
	cfg.Keep = func(b []int64) error { kept = slices.Clone(b); return nil }
	first := run(t, cfg)
	expectAll(t, first, conformance.Pass)
	if !slices.Equal(kept, first.Branches) && len(first.Branches) > 0 {
		t.Errorf("kept branches %v, reported %v", kept, first.Branches)
	}

	// A second run goes on where the first one ended. Only a new log can be
	// met for the first time.
	cfg.Branches = first.Branches
	second := run(t, cfg)
	for _, res := range second.Results {
		if skip := strings.HasPrefix(res.Name, "first contact"); skip != (res.Outcome == conformance.Skip) || !skip && res.Outcome != conformance.Pass {
			t.Error(res)
		}
	}
	if second.Size <= first.Size {
		t.Errorf("size %d after %d", second.Size, first.Size)
	}
}

func TestVersionOne(t *testing.T) {
	tg := newTarget(t, nil)
	cfg := tg.config()
	cfg.Spec = conformance.V1
	r := run(t, cfg)
	// Our witness follows the main branch.
	for _, res := range r.Results {
		switch {
		case strings.HasPrefix(res.Name, "monitoring"):
			if res.Outcome != conformance.Skip {
				t.Error(res)
			}
		case strings.HasPrefix(res.Name, "another root at the size"):
			if res.Outcome != conformance.Fail || !strings.Contains(res.Detail, "409") {
				t.Error(res)
			}
		case res.Outcome != conformance.Pass:
			t.Error(res)
		}
	}
}

func TestCannotTest(t *testing.T) {
	tg := newTarget(t, nil)
	stranger := witnesstest.NewSigner(t, "stranger.example", proofs.Ed25519)
	impostor := witnesstest.NewSigner(t, tg.log.Key().Name(), proofs.Ed25519)
	pq := witnesstest.NewSigner(t, "pq.example", proofs.MLDSA44)
	for _, tt := range []struct {
		name, want string
		change     func(*conformance.Config)
	}{
		{"nobody there", "no answer", func(c *conformance.Config) { c.URL = "http://127.0.0.1:1" }},
		{"no URL", "not an http", func(c *conformance.Config) { c.URL = "" }},
		{"not a URL", "not an http", func(c *conformance.Config) { c.URL = "witness.example" }},
		{"no log", "no log", func(c *conformance.Config) { c.Log = nil }},
		{"log key of another type", "ML-DSA", func(c *conformance.Config) { c.Log = pq }},
		{"unknown log", "does not know the log", func(c *conformance.Config) { c.Log = stranger }},
		{"unknown key", "does not take", func(c *conformance.Config) { c.Log = impostor }},
		{"no keys", "no key", func(c *conformance.Config) { c.Keys = nil }},
		{"a log's key", "do not cosign", func(c *conformance.Config) { c.Keys = []proofs.Key{stranger.Key()} }},
		{"no such version", "v2", func(c *conformance.Config) { c.Spec = "v2" }},
	} {
		cfg := tg.config()
		tt.change(&cfg)
		if _, err := conformance.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}

	// Another tree of the same log.
	l := witnesstest.NewLog(t, tg.log.Key().Name())
	l.Signer = tg.log
	l.Grow(3, "")
	resp, err := http.Post(tg.url+"/add-checkpoint", "", bytes.NewReader(l.Request(0).Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := conformance.Run(t.Context(), tg.config()); err == nil || !strings.Contains(err.Error(), "not the suite's tree") {
		t.Errorf("another tree: %v", err)
	}

	// A witness that is elsewhere is tested there, not by way of here.
	away := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, tg.url+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer away.Close()
	cfg := tg.config()
	cfg.URL = away.URL
	if _, err := conformance.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "redirects to \""+tg.url) {
		t.Errorf("redirected: %v", err)
	}
}

// rewrite changes requests and answers on their way.
func rewrite(request func(b []byte) []byte, response func(rec *httptest.ResponseRecorder)) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if request != nil {
				b = request(b)
			}
			in := r.Clone(r.Context())
			in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, in)
			if response != nil {
				response(rec)
			}
			for k, v := range rec.Header() {
				if k != "Content-Length" {
					rw.Header()[k] = v
				}
			}
			rw.WriteHeader(rec.Code)
			_, _ = rw.Write(rec.Body.Bytes())
		})
	}
}

func status(from, to int) func(*httptest.ResponseRecorder) {
	return func(rec *httptest.ResponseRecorder) {
		if rec.Code == from {
			rec.Code = to
		}
	}
}

// monitored changes the notes of the monitoring prefix.
func monitored(change func(*proofs.Note)) func(*httptest.ResponseRecorder) {
	return func(rec *httptest.ResponseRecorder) {
		n, err := proofs.ParseNote(rec.Body.Bytes())
		if err == nil {
			change(&n)
			rec.Body = bytes.NewBuffer(n.Marshal())
		}
	}
}

// TestFaults puts faults between the suite and a good witness: each must fail
// the cases that test it, and the run must go on to its end.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults func(http.Handler) http.Handler
		want   []string // names of cases, or their beginning; no others may fail
	}{
		{"accepts CR LF", rewrite(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }, nil), []string{
			"old line: carriage return", "body: lines end in CR LF", "body: the lines before the checkpoint end in CR LF", "proof line: carriage return",
		}},
		{"accepts a sign", rewrite(func(b []byte) []byte { return bytes.Replace(b, []byte("old +"), []byte("old "), 1) }, nil), []string{"old line: sign"}},
		{"adds a newline", rewrite(func(b []byte) []byte {
			if len(b) > 0 && b[len(b)-1] != '\n' {
				b = append(b, '\n')
			}
			return b
		}, nil), []string{"body: no newline at the end"}},
		{"cuts at 16 KiB", rewrite(func(b []byte) []byte { return b[:min(len(b), 16<<10)] }, nil), []string{"16 signatures as large", "16 signatures in a body"}},
		{"403 is 401", rewrite(nil, status(403, 401)), []string{"no signature by a known key", "bad signature by the log"}},
		{"404 is 400", rewrite(nil, status(404, 400)), []string{"unknown origin", "monitoring: a log never"}},
		{"400 is 500", rewrite(nil, status(400, 500)), []string{"old size above", "old size right", "old size 2^63-1", "old line:", "body:", "proof: 64", "proof line:", "checkpoint:", "note:", "signature line:"}},
		{"422 is 409", rewrite(nil, status(422, 409)), []string{"first contact: proof", "first contact: empty tree with", "proof:", "another root", "another history", "monitoring: a refused"}},
		{"409 without a type", rewrite(nil, func(rec *httptest.ResponseRecorder) {
			if rec.Code == 409 {
				rec.Header().Set("Content-Type", "text/plain")
			}
		}), []string{"409: media type"}},
		{"409 without a newline", rewrite(nil, func(rec *httptest.ResponseRecorder) {
			if rec.Code == 409 {
				rec.Body.Truncate(rec.Body.Len() - 1)
			}
		}), []string{"409: body"}},
		{"closes connections", rewrite(nil, func(rec *httptest.ResponseRecorder) { rec.Header().Set("Connection", "close") }), []string{"keep-alive"}},
		{"one key is silent", rewrite(nil, func(rec *httptest.ResponseRecorder) {
			if rec.Code == 200 && bytes.HasPrefix(rec.Body.Bytes(), []byte("—")) {
				rec.Body.Truncate(bytes.IndexByte(rec.Body.Bytes(), '\n') + 1)
			}
		}), []string{"answer: every key", "cosignature: key ID"}},
		{"monitoring without cosignatures", rewrite(nil, monitored(func(n *proofs.Note) { n.Signatures = n.Signatures[:1] })), []string{"monitoring: the witness's"}},
		{"monitoring without the log's signature", rewrite(nil, monitored(func(n *proofs.Note) { n.Signatures = n.Signatures[1:] })), []string{"monitoring: the log's"}},
		{"no monitoring prefix", func(h http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("POST /add-checkpoint", h)
			return mux
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, newTarget(t, tt.faults).config())
			hit := make(map[string]bool)
			for _, res := range r.Results {
				i := slices.IndexFunc(tt.want, func(p string) bool { return strings.HasPrefix(res.Name, p) })
				switch {
				case i < 0 && res.Outcome == conformance.Fail:
					t.Errorf("fails as well: %v", res)
				case i >= 0 && res.Outcome == conformance.Fail:
					hit[tt.want[i]] = true
				}
			}
			for _, p := range tt.want {
				if !hit[p] {
					t.Errorf("no case %q failed", p)
				}
			}
		})
	}
}

// gullible is a witness that cosigns whatever the log signed.
type gullible struct {
	signer *proofs.Signer
	now    func() int64                         // of its cosignatures
	spoil  func(n proofs.Note, s string) string // changes its answers
}

func (g *gullible) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, note, _ := strings.Cut(string(b), "\n\n")
	n, err := proofs.ParseNote([]byte(note))
	if err != nil {
		http.Error(rw, "no", http.StatusBadRequest)
		return
	}
	sig, err := g.signer.Sign(n.Text, g.now())
	if err != nil {
		http.Error(rw, "no", http.StatusBadRequest)
		return
	}
	answer := sig.String()
	if g.spoil != nil {
		answer = g.spoil(n, answer)
	}
	fmt.Fprint(rw, answer)
}

// TestGullible: the run against a witness without any checks ends, and fails
// all that should be refused; and what is wrong with its answers shows.
func TestGullible(t *testing.T) {
	now := func() int64 { return time.Now().Unix() }
	refusals := []string{
		"first contact: proof", "bad signature", "no signature by", "unknown origin", "old size", "409", "proof:", "another root", "another history",
		"old line:", "race:", "GET", "PUT", "200 means recorded",
	}
	var ticks atomic.Int64
	for _, tt := range []struct {
		name    string
		witness gullible
		want    []string // besides the refusals
	}{
		{"no checks", gullible{now: now}, nil},
		{"clock runs backwards", gullible{now: func() int64 { return now() - ticks.Add(1) }}, []string{"cosignature: times do not", "in the end: no time"}},
		{"clock is late", gullible{now: func() int64 { return now() - 3600 }}, []string{"cosignature: time is now"}},
		{"clock is early", gullible{now: func() int64 { return now() + 3600 }}, []string{"cosignature: time is now"}},
		{"no clock", gullible{now: func() int64 { return 0 }}, []string{"cosignature: time not 0", "cosignature: time is now"}},
		{"the log's signatures, too", gullible{now: now, spoil: func(n proofs.Note, s string) string { return n.Signatures[0].String() + s }}, []string{"answer: cosignatures only"}},
		{"an empty line", gullible{now: now, spoil: func(_ proofs.Note, s string) string { return "\n" + s }}, []string{"answer: signature lines"}},
		{"the whole note", gullible{now: now, spoil: func(n proofs.Note, s string) string { return string(n.Marshal()) + s }}, []string{"answer: signature lines"}},
		{"no last newline", gullible{now: now, spoil: func(_ proofs.Note, s string) string { return strings.TrimSuffix(s, "\n") }}, []string{"answer: signature lines"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := tt.witness
			g.signer = witnesstest.NewSigner(t, "witness.example/g", proofs.CosignatureV1)
			server := httptest.NewServer(&g)
			t.Cleanup(server.Close)
			r := run(t, conformance.Config{URL: server.URL, Keys: []proofs.Key{g.signer.Key()}, Log: witnesstest.NewSigner(t, "suite.example/log", proofs.Ed25519)})
			failed := make(map[string]bool)
			for _, res := range r.Results {
				for _, p := range append(tt.want, refusals...) {
					failed[p] = failed[p] || strings.HasPrefix(res.Name, p) && res.Outcome == conformance.Fail
				}
			}
			for _, p := range append(tt.want, refusals...) {
				if !failed[p] {
					t.Errorf("no case %q failed", p)
				}
			}
			for _, res := range r.Results {
				if tt.want == nil && strings.HasPrefix(res.Name, "cosignature") && res.Outcome != conformance.Pass {
					t.Error(res)
				}
			}
		})
	}
}

func TestReports(t *testing.T) {
	r := run(t, newTarget(t, rewrite(nil, status(404, 400))).config())
	var buf bytes.Buffer
	if err := r.JUnit(&buf); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Type string `xml:"type,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(buf.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for i, c := range suites.Suite.Cases {
		if c.Failure != nil {
			failures++
		}
		if (c.Failure != nil) != (r.Results[i].Outcome == conformance.Fail) {
			t.Errorf("%s: %v", c.Name, r.Results[i])
		}
	}
	if suites.Suite.Tests != len(r.Results) || suites.Suite.Failures != failures || failures != r.Count(conformance.Fail) || failures == 0 {
		t.Errorf("suite %+v", suites.Suite)
	}
	b, err := json.Marshal(r)
	if err != nil || !bytes.Contains(b, []byte(`"level":"MUST","document":"c2sp.org/tlog-witness","sentence":`)) {
		t.Errorf("JSON %.300s, %v", b, err)
	}
	if s := r.Summary(); !strings.HasPrefix(s, fmt.Sprintf("%d cases: ", len(r.Results))) {
		t.Errorf("summary %q", s)
	}
}

// TestCases: the table in the documentation is the one that the code has.
func TestCases(t *testing.T) {
	names := make(map[string]bool)
	for _, spec := range []conformance.Spec{conformance.Main, conformance.V1} {
		clear(names)
		for _, c := range conformance.Cases(spec) {
			if names[c.Name] || c.Sentence == "" || c.Document == "" || c.Level != conformance.Must && c.Level != conformance.Should {
				t.Errorf("case %+v", c)
			}
			names[c.Name] = true
		}
	}
	var table bytes.Buffer
	if err := conformance.Markdown(&table, conformance.Cases(conformance.Main)); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "witness.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(doc, table.Bytes()) {
		t.Error("the list of cases in docs/witness.md is another; make it anew with witness conformance cases --markdown")
	}
	// The tables of what other witnesses fail name cases, too.
	cases := conformance.Cases(conformance.Main)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (MUST|SHOULD) \| ([^|]+) \|`).FindAllStringSubmatch(string(doc), -1)
	for _, row := range rows {
		n, err := strconv.Atoi(row[1])
		if err != nil || n < 1 || n > len(cases) || string(cases[n-1].Level) != row[2] || cases[n-1].Name != row[3] {
			t.Errorf("docs/witness.md has %q, which is not the case of that number", row[0])
		}
	}
	if len(rows) <= len(cases) {
		t.Errorf("%d rows in the tables", len(rows))
	}
}
