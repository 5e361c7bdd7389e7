package witness_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// published is what a log, or a peer, serves.
type published struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte
	down  bool
	asked int
}

func newPublished(t testing.TB) *published {
	p := &published{files: make(map[string][]byte)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		b, ok := p.files[r.URL.Path]
		switch {
		case p.down:
			http.Error(rw, "down", http.StatusBadGateway)
		case !ok:
			http.NotFound(rw, r)
		default:
			if _, err := rw.Write(b); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *published) put(path string, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[path] = b
}

func (p *published) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *published) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// tiles puts the tiles of a log of up to 256 entries.
func (p *published) tiles(l *witnesstest.Log) {
	p.put("/"+proofs.TileID{Width: int(l.Size())}.Path(), l.Tile())
}

// doubtful is a bench whose witness has evidence, a log with a URL and a peer.
type doubtful struct {
	*bench
	store    *sqlite.Store
	signer   *proofs.Signer
	log      *witnesstest.Log
	id       witness.OriginHash
	at, peer *published
	evidence *witness.EvidenceDir
	w        *witness.Witness
	out      *bytes.Buffer
	hold     time.Duration
	every    time.Duration
}

func newDoubtful(t *testing.T) *doubtful {
	t.Helper()
	dir := t.TempDir()
	d := &doubtful{at: newPublished(t), peer: newPublished(t), evidence: &witness.EvidenceDir{Path: filepath.Join(dir, "evidence")}, out: new(bytes.Buffer), hold: -1}
	d.signer = witnesstest.NewSigner(t, "witness.example/w1", proofs.CosignatureV1)
	if err := sqlite.Create(dir, d.signer.Key()); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.store, err = sqlite.Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	})
	d.bench = newBench(t, d.store)
	d.bench.key = d.signer.Key()
	d.log, d.id = d.bench.log, witness.HashOrigin("log.example")
	if err := d.store.SetURL(t.Context(), "log.example", d.at.URL); err != nil {
		t.Fatal(err)
	}
	d.start()
	return d
}

// start makes a new Witness, as if the process had been restarted.
func (d *doubtful) start() {
	d.t.Helper()
	var err error
	d.w, err = witness.New(witness.Config{
		Store: d.store, Signers: []witness.Signer{d.signer}, Evidence: d.evidence, Now: d.now,
		Watch: witness.Watch{Peers: []string{d.peer.URL + "/"}, Hold: d.hold, Every: d.every},
		Log:   slog.New(slog.NewTextHandler(d.out, nil)),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	server := httptest.NewServer(d.w.Handler())
	d.t.Cleanup(server.Close)
	d.url = server.URL
}

// cosigned returns a checkpoint with the log's signature and one by this
// witness's key, as if made at a time elsewhere.
func (d *doubtful) cosigned(l *witnesstest.Log, unix int64) []byte {
	d.t.Helper()
	cp := l.Checkpoint()
	sig, err := d.signer.Sign(cp.String(), unix)
	if err != nil {
		d.t.Fatal(err)
	}
	return append(l.Sign(cp), sig.String()...)
}

func (d *doubtful) latched() []sqlite.LatchRecord {
	d.t.Helper()
	all, err := d.store.Latches(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// refused expects that cosigning is stopped, or on hold.
func (d *doubtful) refused(r client.Request, text string) {
	d.t.Helper()
	resp, err := http.Post(d.url+"/add-checkpoint", "", bytes.NewReader(r.Marshal()))
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body.String(), text) {
		d.t.Fatalf("status %d, Retry-After %q, %q; want 503 and %q", resp.StatusCode, resp.Header.Get("Retry-After"), body.String(), text)
	}
}

const now = 1_700_000_000 // what the bench's clock says

// TestLatch: a cosignature of ours that the state does not account for.
func TestLatch(t *testing.T) {
	for name, tt := range map[string]struct {
		// lost makes what was published of a log that the state knows at size 5.
		lost func(d *doubtful) []byte
		why  string // empty: nothing is lost
	}{
		"larger tree":      {func(d *doubtful) []byte { l := d.log.Fork(); l.Grow(3, ""); return d.cosigned(l, now) }, "size 8 was cosigned, but the state ends at size 5"},
		"another root":     {func(d *doubtful) []byte { return d.cosigned(fork(d, 5), now) }, "but the state has root"},
		"later":            {func(d *doubtful) []byte { return d.cosigned(d.log, now+1) }, "at time 1700000001"},
		"smaller, later":   {func(d *doubtful) []byte { return d.cosigned(fork(d, 3), now+1) }, "size 3 was cosigned at time"},
		"the same":         {func(d *doubtful) []byte { return d.cosigned(d.log, now) }, ""},
		"the same, before": {func(d *doubtful) []byte { return d.cosigned(d.log, now-9) }, ""},
		"smaller, before":  {func(d *doubtful) []byte { return d.cosigned(fork(d, 3), now-9) }, ""},
		"not ours":         {func(d *doubtful) []byte { l := d.log.Fork(); l.Grow(3, ""); return l.Sign(l.Checkpoint()) }, ""},
		"false": {func(d *doubtful) []byte {
			l := d.log.Fork()
			l.Grow(3, "")
			good := d.cosigned(d.log, now)
			return append(l.Sign(l.Checkpoint()), good[bytes.LastIndex(good, []byte("— ")):]...)
		}, ""},
		"ours, but not signed by the log": {func(d *doubtful) []byte {
			l := d.log.Fork()
			l.Grow(3, "")
			sig, err := d.signer.Sign(l.Checkpoint().String(), now)
			if err != nil {
				d.t.Fatal(err)
			}
			return []byte(l.Checkpoint().String() + "\n" + sig.String())
		}, "size 8"},
	} {
		for _, where := range []string{"log", "peer"} {
			t.Run(name+" at "+where, func(t *testing.T) {
				d := newDoubtful(t)
				d.log.Grow(5, "")
				d.cosign(d.log.Request(0))
				at, path := d.at, "/checkpoint"
				if where == "peer" {
					at, path = d.peer, "/"+d.id.String()+"/checkpoint"
				}
				at.put(path, tt.lost(d))
				d.start() // it looks before it cosigns
				d.log.Grow(1, "")
				if tt.why == "" {
					d.cosign(d.log.Request(5))
					return
				}
				d.refused(d.log.Request(5), "stopped until the operator acts")
				got := d.latched()
				if len(got) != 1 || !strings.Contains(got[0].Why, tt.why) || got[0].Source != at.URL+path || got[0].Since != now {
					t.Fatalf("latches are %+v; want %q", got, tt.why)
				}
				// It lasts, and looking again adds nothing.
				d.start()
				if err := d.w.Check(t.Context(), d.id); err != nil && tt.why == "" {
					t.Fatal(err)
				}
				d.refused(d.log.Request(5), "stopped until the operator acts")
				if n := len(d.latched()); n != 1 {
					t.Fatalf("%d latches", n)
				}
				// What is cosigned already can still be seen.
				d.expect(d.do("GET", "/"+d.id.String()+"/checkpoint", nil), http.StatusOK, "log.example\n5\n")
				// Cleared, it cosigns what extends the larger tree, and stays so.
				adopted, err := d.store.ClearLatch(t.Context(), "log.example", "a test", now)
				if err != nil {
					t.Fatal(err)
				}
				d.start()
				old := int64(5)
				if adopted != nil {
					old = adopted.Tree.N
				}
				d.log.Grow(10-d.log.Size(), "")
				if got := d.cosign(d.log.Request(old)); got < now {
					t.Fatalf("cosigned at time %d", got)
				}
				if n := len(d.latched()); n != 1 {
					t.Fatalf("%d latches after clearing: %+v", n, d.latched())
				}
			})
		}
	}
}

// fork returns another history of the log that begins with its first two
// entries.
func fork(d *doubtful, size int64) *witnesstest.Log {
	l := witnesstest.NewLog(d.t, "log.example")
	l.Signer = d.log.Signer
	l.Grow(2, "")
	l.Grow(size-2, "fork")
	return l
}

// TestAdoptedTime: times do not run backwards across a latch, either.
func TestAdoptedTime(t *testing.T) {
	d := newDoubtful(t)
	d.log.Grow(5, "")
	d.cosign(d.log.Request(0))
	ahead := d.log.Fork()
	ahead.Grow(3, "")
	d.at.put("/checkpoint", d.cosigned(ahead, now+1000))
	if err := d.w.Check(t.Context(), d.id); err != nil {
		t.Fatal(err)
	}
	adopted, err := d.store.ClearLatch(t.Context(), "log.example", "a test", now)
	if err != nil || adopted == nil || adopted.Tree != ahead.Checkpoint().Tree || adopted.Time != now+1000 {
		t.Fatalf("cleared to %+v, %v", adopted, err)
	}
	ahead.Grow(1, "")
	if got := d.cosign(ahead.Request(8)); got != now+1000 {
		t.Fatalf("cosigned at time %d, want the one seen", got)
	}
}

// TestHold: a log whose published checkpoint cannot be fetched is not cosigned
// at first.
func TestHold(t *testing.T) {
	d := newDoubtful(t)
	d.hold = 10 * time.Minute
	d.at.setDown(true)
	d.start()
	d.log.Grow(1, "")
	d.refused(d.log.Request(0), "on hold")
	asked := d.at.requests()
	d.refused(d.log.Request(0), "on hold") // and it does not hammer the log
	if got := d.at.requests(); got != asked {
		t.Errorf("%d requests to the log for two requests in a moment, want %d", got, asked)
	}
	d.setClock(now + 5)
	d.at.setDown(false)
	d.cosign(d.log.Request(0))
	asked = d.at.requests()
	d.log.Grow(1, "")
	d.at.setDown(true)
	d.cosign(d.log.Request(1)) // looked at once, it goes on
	if got := d.at.requests(); got != asked {
		t.Errorf("%d requests to the log, want %d", got, asked)
	}
	// Not for ever.
	d.start()
	d.log.Grow(1, "")
	d.refused(d.log.Request(2), "on hold")
	d.setClock(now + 5 + 601)
	d.cosign(d.log.Request(2))
	// A peer that is down holds up nothing, nor does a log without a URL.
	if err := d.store.SetURL(t.Context(), "log.example", ""); err != nil {
		t.Fatal(err)
	}
	d.peer.setDown(true)
	d.start()
	d.log.Grow(1, "")
	d.cosign(d.log.Request(3))
}

// A log, or a peer, that sends the watcher elsewhere is not followed there, and the
// operator reads where it wanted to go.
func TestWatchFollowsNoRedirect(t *testing.T) {
	d := newDoubtful(t)
	elsewhere := newPublished(t)
	redirect := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/internal", http.StatusFound))
	defer redirect.Close()
	if err := d.store.SetURL(t.Context(), "log.example", redirect.URL); err != nil {
		t.Fatal(err)
	}
	d.peer.Close()
	d.peer = &published{Server: redirect}
	d.start()
	err := d.w.Check(t.Context(), d.id)
	want := "redirects to \"" + elsewhere.URL + "/internal\", which is not followed"
	if err == nil || !strings.Contains(err.Error(), want) || elsewhere.requests() != 0 {
		t.Errorf("looked at %d times, %v", elsewhere.requests(), err)
	}
	if out := d.out.String(); strings.Count(out, elsewhere.URL) < 2 || !strings.Contains(out, "peer's checkpoint not checked") {
		t.Errorf("the output does not say where it was sent:\n%s", out)
	}
}

// TestAdoptedTimeAhead: a time that a person takes over from a copy's cosignature is a
// time that was signed, and the clock is held against it at once.
func TestAdoptedTimeAhead(t *testing.T) {
	d := newDoubtful(t)
	d.log.Grow(3, "")
	d.cosign(d.log.Request(0))
	copied := d.log.Fork()
	copied.Grow(2, "")
	d.at.put("/checkpoint", d.cosigned(copied, now+400*24*3600))
	if err := d.w.Check(t.Context(), d.id); err != nil {
		t.Fatal(err)
	}
	if _, err := d.store.ClearLatch(t.Context(), "log.example", "a test", now); err != nil {
		t.Fatal(err)
	}
	d.log.Grow(3, "")
	d.refused(d.log.Request(5), "the last cosignature has the time 2024-12-18T22:13:20Z, but the clock says 2023-11-14T22:13:20Z")
	if _, err := d.store.AcceptClock(t.Context(), "a test", d.now()); err != nil {
		t.Fatal(err)
	}
	if got := d.cosign(d.log.Request(5)); got != now+400*24*3600 {
		t.Errorf("cosigned with time %d", got)
	}
}
