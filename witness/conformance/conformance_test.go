package conformance_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	first []*proofs.Signer
	url   string
}

// newLogs returns the keys of the suite's log and of some for first contact.
func newLogs(t *testing.T) (log *proofs.Signer, first []*proofs.Signer) {
	t.Helper()
	for i := range 4 {
		first = append(first, witnesstest.NewSigner(t, fmt.Sprintf("suite.example/log/%d", i), proofs.Ed25519))
	}
	return witnesstest.NewSigner(t, "suite.example/log", proofs.Ed25519), first
}

// newTarget starts a witness; faults may be put in front of it.
func newTarget(t *testing.T, faults func(http.Handler) http.Handler) target {
	t.Helper()
	ed := witnesstest.NewSigner(t, "witness.example/w", proofs.CosignatureV1)
	pq := witnesstest.NewSigner(t, "witness.example/w", proofs.MLDSA44)
	tg := target{
		store: &witnesstest.Memory{},
		keys:  []proofs.Key{ed.Key(), pq.Key()},
	}
	tg.log, tg.first = newLogs(t)
	for _, l := range append([]*proofs.Signer{tg.log}, tg.first...) {
		if err := tg.store.AddLog(t.Context(), witness.NewLog{Key: l.Key()}); err != nil {
			t.Fatal(err)
		}
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
	return conformance.Config{URL: tg.url + "/", Keys: tg.keys, Log: tg.log, First: tg.first}
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
	expectAll(t, &conformance.Report{Results: second.Results[1:]}, conformance.Pass)
	if second.Results[0].Outcome != conformance.Skip {
		t.Error(second.Results[0])
	}
	cfg.First = nil
	cfg.Branches = second.Branches
	for _, res := range run(t, cfg).Results {
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
		{"unknown key", "does not accept", func(c *conformance.Config) { c.Log = impostor }},
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

// TestFaults puts faults between the suite and a good witness, each in exactly one way:
// each must show in the cases that test it, as a failure or as a note, at its level, and
// in no others, and the run must go on to its end.
func TestFaults(t *testing.T) {
	replaced := func(old, new string) func(http.Handler) http.Handler {
		return rewrite(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(old), []byte(new)) }, nil)
	}
	for _, tt := range []struct {
		name   string
		faults func(http.Handler) http.Handler
		// fails and notes are names of cases, or their beginning, with the level.
		fails, notes []string
	}{
		{"accepts CR LF", replaced("\r\n", "\n"),
			[]string{"MUST proof line: carriage return"},
			[]string{"FORM old line: carriage return", "FORM body: lines end in CR LF", "FORM body: the lines before the checkpoint end in CR LF"}},
		{"accepts a sign", replaced("old +", "old "), nil, []string{"FORM old line: sign"}},
		{"accepts an old line in upper case", replaced("Old ", "old "), nil, []string{"FORM old line: upper case"}},
		{"accepts spaces in proof lines", replaced("= \n", "=\n"), []string{"MUST proof line: space at its end"}, []string{"FORM signature line: space at its end"}},
		{"accepts a hyphen for the dash", replaced("\n- ", "\n— "), nil, []string{"FORM signature line: hyphen"}},
		{"accepts spare bits", rewrite(canonical, nil), nil, []string{"MAY proof line: spare bits"}},
		{"adds a newline", rewrite(func(b []byte) []byte {
			if len(b) > 0 && b[len(b)-1] != '\n' {
				b = append(b, '\n')
			}
			return b
		}, nil), nil, []string{"FORM body: no newline at the end"}},
		{"ignores what follows the checkpoint", rewrite(func(b []byte) []byte {
			if i := bytes.Index(b, []byte("\ntrailing data\n")); i >= 0 {
				b = b[:i+1]
			}
			return b
		}, nil), nil, []string{"FORM body: a line after the checkpoint"}},
		{"cuts at 16 KiB", rewrite(func(b []byte) []byte { return b[:min(len(b), 16<<10)] }, nil),
			[]string{"MUST 16 signatures as large", "SHOULD 16 signatures in a body"}, nil},
		{"refuses extension lines", refuseWhere("\nextension one\n", 400), []string{"MUST extension lines"}, nil},
		{"403 is 401", rewrite(nil, status(403, 401)), []string{"MUST no signature by a known key", "MUST bad signature by the log"}, nil},
		{"404 is 400", rewrite(nil, status(404, 400)), []string{"MUST unknown origin", "MUST monitoring: a log never"}, nil},
		{"400 is 500", rewrite(nil, status(400, 500)),
			[]string{"MUST first contact: old size above", "MUST old size above", "MUST old size right", "MUST old size 2^63-1"},
			[]string{"FORM old line:", "FORM body:", "MUST proof: 64", "FORM proof line:", "MUST proof line:", "MAY proof line:", "FORM checkpoint:", "MUST checkpoint:", "MAY checkpoint:", "FORM note:", "MUST note:", "FORM signature line:", "MUST signature line:"}},
		{"422 is 409", rewrite(nil, status(422, 409)), []string{"MUST first contact: proof", "MUST first contact: empty tree with", "MUST proof:", "MUST another root", "MUST another history", "MUST monitoring: a refused"}, nil},
		{"409 without a type", rewrite(nil, func(rec *httptest.ResponseRecorder) {
			if rec.Code == 409 {
				rec.Header().Set("Content-Type", "text/plain")
			}
		}), []string{"MUST 409: media type"}, nil},
		{"409 without a newline", rewrite(nil, func(rec *httptest.ResponseRecorder) {
			if rec.Code == 409 {
				rec.Body.Truncate(rec.Body.Len() - 1)
			}
		}), []string{"MUST 409: body"}, nil},
		{"closes connections", rewrite(nil, func(rec *httptest.ResponseRecorder) { rec.Header().Set("Connection", "close") }), []string{"SHOULD keep-alive"}, nil},
		{"one key is silent", rewrite(nil, func(rec *httptest.ResponseRecorder) {
			if rec.Code == 200 && bytes.HasPrefix(rec.Body.Bytes(), []byte("—")) {
				rec.Body.Truncate(bytes.IndexByte(rec.Body.Bytes(), '\n') + 1)
			}
		}), []string{"MUST answer: every key", "MUST cosignature: key ID"}, nil},
		{"monitoring without cosignatures", rewrite(nil, monitored(func(n *proofs.Note) { n.Signatures = n.Signatures[:1] })), []string{"MUST monitoring: the witness's"}, nil},
		{"monitoring without the log's signature", rewrite(nil, monitored(func(n *proofs.Note) { n.Signatures = n.Signatures[1:] })), []string{"MUST monitoring: the log's"}, nil},
		{"any old size at first contact", firstComer("old 7\n"), []string{"MUST first contact: old size not 0"}, nil},
		{"an old size above the size at first contact", firstComer("old 20\n"), []string{"MUST first contact: old size above"}, nil},
		{"any proof at first contact", firstComer("old 0\n" + proofs.EmptyTree.Hash.String() + "\n\n"), []string{"MUST first contact: proof from size 0"}, nil},
		{"no monitoring prefix", func(h http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("POST /add-checkpoint", h)
			return mux
		}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, newTarget(t, tt.faults).config())
			hit := make(map[string]bool)
			for _, res := range r.Results {
				var want []string
				switch res.Outcome {
				case conformance.Fail:
					want = tt.fails
				case conformance.Note:
					want = tt.notes
				default:
					continue
				}
				i := slices.IndexFunc(want, func(p string) bool { return strings.HasPrefix(string(res.Level)+" "+res.Name, p) })
				if i < 0 {
					t.Errorf("shows as well: %v", res)
				} else {
					hit[want[i]] = true
				}
			}
			for _, p := range append(tt.fails, tt.notes...) {
				if !hit[p] {
					t.Errorf("no case %q shows it", p)
				}
			}
		})
	}
}

// canonical sets the spare bits of proof lines to 0.
func canonical(b []byte) []byte {
	lines := strings.SplitAfter(string(b), "\n")
	for i, l := range lines {
		if l == "\n" {
			break
		}
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(l, "\n")); err == nil && len(raw) == 32 && !strings.ContainsAny(l, "\r") {
			lines[i] = base64.StdEncoding.EncodeToString(raw) + "\n"
		}
	}
	return []byte(strings.Join(lines, ""))
}

// refuseWhere refuses requests that have a text in them.
func refuseWhere(text string, status int) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			if bytes.Contains(b, []byte(text)) {
				http.Error(rw, "not supported", status)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(b))
			h.ServeHTTP(rw, r)
		})
	}
}

// firstComer is a fault at the first contact with each log: a request that begins so is
// taken for one from the empty tree.
func firstComer(begins string) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		var met sync.Map // origins
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			_, checkpoint, _ := strings.Cut(string(b), "\n\n")
			origin, _, _ := strings.Cut(checkpoint, "\n")
			if _, known := met.Load(origin); !known && strings.HasPrefix(string(b), begins) {
				b = []byte("old 0\n\n" + checkpoint)
			}
			in := r.Clone(r.Context())
			in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, in)
			if r.Method == http.MethodPost && rec.Code == http.StatusOK {
				met.Store(origin, true)
			}
			maps.Copy(rw.Header(), rec.Header())
			rw.WriteHeader(rec.Code)
			_, _ = rw.Write(rec.Body.Bytes())
		})
	}
}

// A witness that records a malformed checkpoint and answers 500 has not broken the
// sentence on the form, but that on recording and answering.
func TestRecordsWithoutAnswer(t *testing.T) {
	var tg target
	tg = newTarget(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			forward := func(rw http.ResponseWriter, b []byte) {
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
				h.ServeHTTP(rw, r)
			}
			head, checkpoint, _ := strings.Cut(string(b), "\n\n")
			lines := strings.Split(checkpoint, "\n")
			if len(lines) > 3 && lines[0] == tg.log.Key().Name() {
				raw, err := base64.StdEncoding.DecodeString(lines[2])
				if root := base64.StdEncoding.EncodeToString(raw); err == nil && len(raw) == 32 && root != lines[2] {
					text := lines[0] + "\n" + lines[1] + "\n" + root + "\n"
					forward(httptest.NewRecorder(), append([]byte(head+"\n\n"), witnesstest.SignText(t, text, tg.log)...))
					http.Error(rw, "cannot print it", http.StatusInternalServerError)
					return
				}
			}
			forward(rw, b)
		})
	})
	for _, res := range run(t, tg.config()).Results {
		if spare := strings.HasPrefix(res.Name, "checkpoint: spare bits"); spare != (res.Outcome == conformance.Fail) ||
			spare && (res.Level != conformance.Must || !strings.Contains(res.Sentence, "MUST update its record")) {
			t.Error(res)
		}
	}
}

// One that cosigns the first three lines alone has broken the sentence on extension
// lines, which a refusal does not break.
func TestExtensionSentences(t *testing.T) {
	r := run(t, newTarget(t, refuseWhere("\nextension one\n", 400)).config())
	for _, res := range r.Results {
		if strings.HasPrefix(res.Name, "extension lines") && !strings.HasPrefix(res.Sentence, "If all the checks above pass, the witness MUST update") {
			t.Errorf("refused: %v", res)
		}
	}
	g := gullible{now: func() int64 { return time.Now().Unix() }, signer: witnesstest.NewSigner(t, "witness.example/g", proofs.CosignatureV1)}
	server := httptest.NewServer(&g)
	t.Cleanup(server.Close)
	g.spoil = func(n proofs.Note, s string) string {
		lines := strings.SplitAfter(n.Text, "\n")
		if len(lines) <= 4 {
			return s
		}
		short, err := g.signer.Sign(strings.Join(lines[:3], ""), g.now())
		if err != nil {
			t.Error(err)
		}
		return s + short.String()
	}
	log, first := newLogs(t)
	for _, res := range run(t, conformance.Config{URL: server.URL, Keys: []proofs.Key{g.signer.Key()}, Log: log, First: first}).Results {
		if strings.HasPrefix(res.Name, "extension lines are") && (res.Outcome != conformance.Fail || !strings.HasPrefix(res.Sentence, "Extension lines MAY")) {
			t.Errorf("signed without them: %v", res)
		}
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
		"first contact: old size not", "first contact: old size above", "first contact: proof", "bad signature", "no signature by", "unknown origin", "old size", "409", "proof:", "another root", "another history",
		"race:", "200 means recorded", "proof line: not base64", "checkpoint: two lines",
	}
	lenient := []string{"old line:", "GET", "PUT", "proof line: two hashes"}
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
			log, first := newLogs(t)
			r := run(t, conformance.Config{URL: server.URL, Keys: []proofs.Key{g.signer.Key()}, Log: log, First: first})
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
				if slices.ContainsFunc(lenient, func(p string) bool { return strings.HasPrefix(res.Name, p) }) && res.Level == conformance.Form && res.Outcome != conformance.Note {
					t.Errorf("not noted: %v", res)
				}
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
			if names[c.Name] || c.Sentence == "" || c.Document == "" || !slices.Contains([]conformance.Level{conformance.Must, conformance.Should, conformance.May, conformance.Form}, c.Level) {
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
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (FAIL|NOTE|SKIP) \| (?:MUST|SHOULD|MAY|FORM) \| ([^|]+) \|`).FindAllStringSubmatch(string(doc), -1)
	for _, row := range rows {
		n, err := strconv.Atoi(row[1])
		if err != nil || n < 1 || n > len(cases) || cases[n-1].Name != row[3] {
			t.Errorf("docs/witness.md has %q, which is not the case of that number", row[0])
		}
	}
	if len(rows) < 10 {
		t.Errorf("%d rows in the tables", len(rows))
	}
}
