package witness_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// with makes a new Witness over the bench's store, with more in its Config.
func (b *bench) with(signers []witness.Signer, more func(*witness.Config)) *witness.Witness {
	b.t.Helper()
	c := witness.Config{Store: b.store, Signers: signers, Now: b.now}
	more(&c)
	w, err := witness.New(c)
	if err != nil {
		b.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = witness.NewServer(w.HandlerBehind("X-Forwarded-For"))
	server.Start()
	b.t.Cleanup(server.Close)
	b.url = server.URL
	return w
}

func (b *bench) signer() *proofs.Signer {
	b.t.Helper()
	s := witnesstest.NewSigner(b.t, "witness.example/w1", proofs.CosignatureV1)
	b.key = s.Key()
	return s
}

// from posts a request as if from an address and returns the status and
// Retry-After in seconds.
func (b *bench) from(address string, body []byte) (status, retry int) {
	b.t.Helper()
	return b.fromLines([]string{address}, body)
}

// fromLines is from where the header has several lines.
func (b *bench) fromLines(addresses []string, body []byte) (status, retry int) {
	b.t.Helper()
	req, err := http.NewRequest("POST", b.url+"/add-checkpoint", strings.NewReader(string(body)))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header["X-Forwarded-For"] = addresses
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if s := resp.Header.Get("Retry-After"); s != "" {
		if retry, err = strconv.Atoi(s); err != nil {
			b.t.Fatal(err)
		}
	}
	return resp.StatusCode, retry
}

func TestTwoKeys(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	classic, quantum := b.signer(), witnesstest.NewSigner(t, "witness.example/w1", proofs.MLDSA44)
	w := b.with([]witness.Signer{classic, quantum}, func(*witness.Config) {})
	b.log.Grow(3, "")
	r := b.log.Request(0)
	a := b.post(r.Marshal())
	b.expect(a, http.StatusOK, "")
	note, err := proofs.ParseNote(r.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if note.Signatures, err = proofs.ParseSignatures([]byte(a.body)); err != nil || len(note.Signatures) != 2 {
		t.Fatalf("%d signatures, %v", len(note.Signatures), err)
	}
	for _, k := range w.Keys() {
		if times, err := note.VerifiedBy(k); err != nil || len(times) != 1 || times[0] != now {
			t.Errorf("key %v: times %v, %v", k.Algorithm(), times, err)
		}
	}
	// The monitoring prefix has both, and the log's.
	a = b.do("GET", "/"+witness.HashOrigin("log.example").String()+"/checkpoint", nil)
	cp, note, err := proofs.OpenCheckpoint([]byte(a.body), b.log.Key())
	if err != nil || cp.Tree != b.log.Checkpoint().Tree || len(note.Signatures) != 3 {
		t.Fatalf("%+v, %d signatures, %v", cp, len(note.Signatures), err)
	}
	for _, k := range []proofs.Key{classic.Key(), quantum.Key()} {
		c := &client.Client{URL: b.url, Key: k}
		b.log.Grow(1, "")
		if _, err := c.AddCheckpoint(t.Context(), b.log.Request(b.log.Size()-1)); err != nil {
			t.Errorf("a client that wants %v: %v", k.Algorithm(), err)
		}
	}
}

// TestExtensions: a log's ML-DSA-44 signature does not cover extension lines, so
// it alone does not do for a checkpoint that has some.
func TestExtensions(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	quantum := witnesstest.NewSigner(t, "log.example", proofs.MLDSA44)
	if err := b.store.AddKey(t.Context(), "", quantum.Key()); err != nil {
		t.Fatal(err)
	}
	b.log.Grow(3, "")
	cp := b.log.Checkpoint()
	request := func(signers ...*proofs.Signer) []byte {
		return client.Request{Checkpoint: witnesstest.SignText(t, cp.String(), signers...)}.Marshal()
	}
	cp.Extensions = []string{"an extension"}
	b.expect(b.post(request(quantum)), http.StatusForbidden, "extension")
	b.expect(b.post(request(quantum, b.log.Signer)), http.StatusOK, "")
	cp.Extensions = nil
	a := b.post(client.Request{OldSize: 3, Checkpoint: witnesstest.SignText(t, cp.String(), quantum)}.Marshal())
	b.expect(a, http.StatusOK, "")
}

// counting counts updates.
type counting struct {
	witnesstest.Store
	updates int
}

func (c *counting) Update(ctx context.Context, id witness.OriginHash, old *proofs.Tree, next witness.Latest) error {
	c.updates++
	return c.Store.Update(ctx, id, old, next)
}

// TestRepeats: the same again within a second says nothing new and costs no
// sync.
func TestRepeats(t *testing.T) {
	store := &counting{Store: new(witnesstest.Memory)}
	b := newBench(t, store)
	b.log.Grow(3, "")
	b.cosign(b.log.Request(0))
	again := b.log.Request(3)
	for range 3 {
		if got := b.cosign(again); got != now {
			t.Fatalf("time %d", got)
		}
	}
	if store.updates != 1 {
		t.Errorf("%d updates", store.updates)
	}
	b.setClock(now + 1)
	if got := b.cosign(again); got != now+1 || store.updates != 2 {
		t.Errorf("a second later: time %d, %d updates", got, store.updates)
	}
	// Other signatures, or extension lines, are something new.
	cp := b.log.Checkpoint()
	cp.Extensions = []string{"new"}
	b.cosign(client.Request{OldSize: 3, Checkpoint: b.log.Sign(cp)})
	if store.updates != 3 {
		t.Errorf("%d updates", store.updates)
	}
}

func TestLimitPerLog(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.with([]witness.Signer{b.signer()}, func(c *witness.Config) { c.Limits.PerOrigin = witness.Rate{PerSecond: 0.1, Burst: 2} })
	grow := func() (int, int) {
		b.log.Grow(1, "")
		return b.from("192.0.2.1", b.log.Request(max(0, b.latest().N)).Marshal())
	}
	for range 2 {
		if status, _ := grow(); status != http.StatusOK {
			t.Fatalf("status %d within the limit", status)
		}
	}
	latest := b.log.Request(b.log.Size())
	if status, retry := grow(); status != http.StatusTooManyRequests || retry != 10 {
		t.Fatalf("status %d, Retry-After %d beyond the limit", status, retry)
	}
	if got := b.latest().N; got != 2 {
		t.Fatalf("cosigned size %d", got)
	}
	// What outsiders can do, ask again for the latest, has its own limit; and
	// what is refused anyway counts for nothing.
	b.setClock(now + 5)
	for i := range 3 {
		b.setClock(now + 6 + int64(i)/2)
		if status, _ := b.from("192.0.2.9", latest.Marshal()); i < 2 && status != http.StatusOK {
			t.Fatalf("repeated request %d: status %d", i, status)
		}
		if status, _ := b.from("192.0.2.9", b.log.Request(1).Marshal()); status != http.StatusConflict {
			t.Fatalf("status %d", status)
		}
	}
	b.setClock(now + 10)
	if status, _ := b.from("192.0.2.1", b.log.Request(2).Marshal()); status != http.StatusOK {
		t.Fatalf("status %d for the log after it waited", status)
	}
	// Other logs have limits of their own.
	other := witnesstest.NewLog(t, "other.example")
	b.know(other)
	if status, _ := b.from("192.0.2.1", other.Request(0).Marshal()); status != http.StatusOK {
		t.Fatalf("status %d for another log", status)
	}
}

func TestLimitPerAddress(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.with([]witness.Signer{b.signer()}, func(c *witness.Config) { c.Limits.PerAddress = witness.Rate{PerSecond: 0.5, Burst: 3} })
	for i, want := range []int{400, 400, 400, 429, 429} {
		status, retry := b.from("192.0.2.1", nil)
		if status != want || (want == 429) != (retry == 2) {
			t.Fatalf("request %d: status %d, Retry-After %d; want %d", i, status, retry, want)
		}
	}
	// The proxy's own word counts, not what the client wrote before it.
	if status, _ := b.from("198.51.100.7, 192.0.2.1", nil); status != http.StatusTooManyRequests {
		t.Errorf("status %d for an address that is over its limit", status)
	}
	if status, _ := b.fromLines([]string{"198.51.100.7", "192.0.2.1"}, nil); status != http.StatusTooManyRequests {
		t.Errorf("status %d: the first line of the header is the client's own word", status)
	}
	if status, _ := b.from("192.0.2.1, 198.51.100.7", nil); status != http.StatusBadRequest {
		t.Errorf("status %d for an address that asked for nothing yet", status)
	}
	// Health is for the operator's own checks.
	for range 10 {
		b.expect(b.do("GET", "/healthz", nil), http.StatusOK, "")
	}
	b.setClock(now + 2)
	if status, _ := b.from("192.0.2.1", nil); status != http.StatusBadRequest {
		t.Errorf("status %d after waiting", status)
	}
}

// blocking is a store that waits.
type blocking struct {
	witnesstest.Store
	entered, proceed chan struct{}
}

func (s blocking) Update(ctx context.Context, id witness.OriginHash, old *proofs.Tree, next witness.Latest) error {
	s.entered <- struct{}{}
	<-s.proceed
	return s.Store.Update(ctx, id, old, next)
}

func TestLimitConcurrent(t *testing.T) {
	store := blocking{new(witnesstest.Memory), make(chan struct{}), make(chan struct{})}
	b := newBench(t, store)
	b.with([]witness.Signer{b.signer()}, func(c *witness.Config) { c.Limits.Concurrent = 1 })
	done := make(chan int)
	go func() {
		status, _ := b.from("", b.log.Request(0).Marshal())
		done <- status
	}()
	<-store.entered
	if status, retry := b.from("", nil); status != http.StatusServiceUnavailable || retry != 1 {
		t.Errorf("status %d, Retry-After %d while another request is under way", status, retry)
	}
	b.expect(b.do("GET", "/readyz", nil), http.StatusOK, "")
	close(store.proceed)
	if status := <-done; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if status, _ := b.from("", nil); status != http.StatusBadRequest {
		t.Errorf("status %d afterwards", status)
	}
}

func TestMetrics(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	registry := prometheus.NewPedanticRegistry()
	b.with([]witness.Signer{b.signer()}, func(c *witness.Config) { c.Registry = registry })
	b.log.Grow(3, "")
	b.cosign(b.log.Request(0))
	b.expectConflict(b.post(b.log.Request(0).Marshal()), 3)
	evil := witnesstest.NewLog(t, "evil.example\"}1")
	b.expect(b.post(evil.Request(0).Marshal()), http.StatusNotFound, "")
	b.post([]byte("rubbish"))
	b.post(make([]byte, client.MaxRequestSize+1))
	quiet := witnesstest.NewLog(t, "quiet.example")
	b.know(quiet)
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	got := rec.Body.String()
	for _, want := range []string{
		`tuflog_witness_log_answers_total{origin="log.example",outcome="ok"} 1`,
		`tuflog_witness_log_answers_total{origin="log.example",outcome="conflict"} 1`,
		`tuflog_witness_answers_total{outcome="unknown_log"} 1`,
		`tuflog_witness_answers_total{outcome="malformed"} 2`,
		`tuflog_witness_log_size{origin="log.example"} 3`,
		`tuflog_witness_log_cosigned_timestamp_seconds{origin="log.example"} 1.7e+09`,
		`tuflog_witness_logs 2`,
		`tuflog_witness_build_info{go="` + runtime.Version() + `",revision="",version="devel"} 1`,
		`tuflog_witness_logs_latched 0`,
		`tuflog_witness_add_checkpoint_seconds_count 4`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, unwanted := range []string{"evil", "quiet.example"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("metrics say %q", unwanted)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestStatusPage(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.with([]witness.Signer{b.signer()}, func(*witness.Config) {})
	evil := witnesstest.NewLog(t, `<script>alert("x")</script>`)
	b.know(evil)
	b.log.Grow(3, "")
	b.cosign(b.log.Request(0))
	if err := b.store.Latch(t.Context(), witness.HashOrigin(evil.Key().Name()), witness.Latch{}); err != nil {
		t.Fatal(err)
	}
	a := b.do("GET", "/", nil)
	b.expect(a, http.StatusOK, b.log.Checkpoint().Tree.Hash.String())
	if a.typ != "text/html; charset=utf-8" || strings.Contains(a.body, "<script") || !strings.Contains(a.body, "stopped for 1") {
		t.Errorf("type %q, page %s", a.typ, a.body)
	}
	if strings.Index(a.body, "alert") > strings.Index(a.body, "log.example") {
		t.Error("a stopped log does not come first")
	}
}

const exampleList = `#
# A list.
#
logs/v0

vkey %s
origin none
qpd 86400
bastion none
contact somebody

# The other order, and neither origin nor bastion.
vkey %s
origin go.sum database tree
bastion https://bastion.example/
qpd 24
contact somebody (at) sum.example | https://sum.example

vkey %s
qpd 1
contact x
`

func TestParseList(t *testing.T) {
	key := func(name string) string { return witnesstest.NewSigner(t, name, proofs.Ed25519).Key().String() }
	a, b, c := key("a.example"), key("sum.example"), key("c.example")
	var skipped []string
	skip := func(vkey string, err error) { skipped = append(skipped, vkey+": "+err.Error()) }
	list := fmt.Sprintf(exampleList, a, b, c)
	logs, err := witness.ParseList([]byte(list), skip)
	if err != nil || len(logs) != 3 || len(skipped) != 0 {
		t.Fatalf("logs %+v, skipped %q, %v", logs, skipped, err)
	}
	for i, want := range []string{"a.example 86400", "go.sum database tree 24", "c.example 1"} {
		if got := fmt.Sprintf("%s %d", logs[i].Name(), logs[i].PerDay); got != want {
			t.Errorf("log %d is %q, want %q", i, got, want)
		}
	}
	if logs, err := witness.ParseList([]byte("logs/v0"), skip); err != nil || len(logs) != 0 {
		t.Errorf("an empty list: %v, %v", logs, err)
	}
	// Of a key that is no log's, or a name that comes twice, only that is lost.
	cosigner := witnesstest.NewSigner(t, "w.example", proofs.CosignatureV1).Key().String()
	logs, err = witness.ParseList([]byte(fmt.Sprintf(exampleList, a, cosigner, a)), skip)
	if err != nil || len(logs) != 1 || len(skipped) != 2 {
		t.Errorf("logs %+v, skipped %q, %v", logs, skipped, err)
	}
	for name, change := range map[string]func(string) string{
		"no header":     func(s string) string { return strings.Replace(s, "logs/v0", "", 1) },
		"other version": func(s string) string { return strings.Replace(s, "logs/v0", "logs/v1", 1) },
		"no vkey":       func(s string) string { return strings.Replace(s, "vkey "+a+"\n", "", 1) },
		"no qpd":        func(s string) string { return strings.Replace(s, "qpd 24\n", "", 1) },
		"qpd 0":         func(s string) string { return strings.Replace(s, "qpd 24", "qpd 0", 1) },
		"qpd signed":    func(s string) string { return strings.Replace(s, "qpd 24", "qpd +24", 1) },
		"qpd huge":      func(s string) string { return strings.Replace(s, "qpd 24", "qpd 99999999999999999999", 1) },
		"no contact":    func(s string) string { return strings.Replace(s, "contact x\n", "", 1) },
		"two origins":   func(s string) string { return strings.Replace(s, "origin none", "origin none\norigin x", 1) },
		"unknown word":  func(s string) string { return strings.Replace(s, "qpd 24", "qps 24", 1) },
		"no value":      func(s string) string { return strings.Replace(s, "contact x", "contact", 1) },
		"too large":     func(s string) string { return s + strings.Repeat("#", witness.MaxListSize) },
		"empty":         func(string) string { return "" },
	} {
		if _, err := witness.ParseList([]byte(change(list)), skip); err == nil {
			t.Errorf("%s: the list was read", name)
		}
	}
}

func FuzzParseList(f *testing.F) {
	key := witnesstest.NewSigner(f, "a.example", proofs.Ed25519).Key().String()
	f.Add([]byte(fmt.Sprintf(exampleList, key, key, key)))
	f.Add([]byte("logs/v0\nvkey x\nqpd 1\ncontact x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		logs, err := witness.ParseList(b, func(string, error) {})
		if err != nil {
			return
		}
		for _, l := range logs {
			if l.Name() == "" || l.PerDay <= 0 || witness.CheckLogKey(l.Key) != nil {
				t.Errorf("read %+v", l)
			}
		}
	})
}

// imported remembers what it was asked to import.
type imported struct {
	source string
	logs   []witness.NewLog
}

func (i *imported) Import(_ context.Context, source string, logs []witness.NewLog) (witness.ImportReport, error) {
	i.source, i.logs = source, logs
	return witness.ImportReport{Added: len(logs)}, nil
}

func TestImportList(t *testing.T) {
	key := witnesstest.NewSigner(t, "a.example", proofs.Ed25519).Key().String()
	list := "logs/v0\nvkey " + key + "\nqpd 9\ncontact x\nvkey rubbish\nqpd 9\ncontact x\n"
	secure := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/list":
			fmt.Fprint(rw, list)
		case "/away":
			http.Redirect(rw, r, "http://list.example/list", http.StatusFound)
		default:
			http.NotFound(rw, r)
		}
	}))
	defer secure.Close()
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{secure.URL + "/list", file} {
		var to imported
		r, err := witness.ImportList(t.Context(), &to, secure.Client(), source)
		if err != nil || r.Added != 1 || len(r.Refused) != 1 || r.Refused[0].Log != "rubbish" || to.source != source || to.logs[0].PerDay != 9 {
			t.Errorf("%s: %+v, %+v, %v", source, r, to, err)
		}
	}
	for source, want := range map[string]string{
		secure.URL + "/none":            "404",
		secure.URL + "/away":            "redirects to \"http://list.example/list\", which is not followed",
		"http://list.example/list":      "not at an https URL",
		"ftp://127.0.0.1/list":          "not at an https URL",
		filepath.Join(t.TempDir(), "x"): "no such file",
	} {
		var to imported
		if _, err := witness.ImportList(t.Context(), &to, secure.Client(), source); err == nil || !strings.Contains(err.Error(), want) || to.logs != nil {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
	for _, source := range []string{"http://127.0.0.1:9/l", "http://[::1]/l", "http://localhost/l", "https://list.example/l"} {
		if err := witness.CheckListURL(source); err != nil {
			t.Error(err)
		}
	}
}
