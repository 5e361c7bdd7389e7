package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

const allOfThree = "group g all w1 w2 w3\nquorum g\n"

// Both keys of one witness are required, and the witness is of the kind that
// answers one of two concurrent requests for a log with 429. It is asked once.
func TestOneRequestForAllKeys(t *testing.T) {
	log := witnesstest.NewLog(t, "log.example")
	w := newScripted(t, "w.example")
	second := witnesstest.NewSigner(t, "w.example", proofs.MLDSA44)
	var busy atomic.Bool
	w.answer = func(rw http.ResponseWriter, text string) {
		if !busy.CompareAndSwap(false, true) {
			http.Error(rw, "database is locked", http.StatusTooManyRequests)
			return
		}
		defer busy.Store(false)
		time.Sleep(5 * time.Millisecond) // room for another request
		now := time.Now().Unix()
		io.WriteString(rw, cosign(t, w.signer, text, now).String()+cosign(t, second, text, now).String())
	}
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nwitness ed %v %s\nwitness ml %v %s/\ngroup g all ed ml\nquorum g\n",
		log.Key(), w.signer.Key(), w.server.URL, second.Key(), w.server.URL))
	if err != nil {
		t.Fatal(err)
	}
	g, err := client.NewGatherer(policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for i := range 8 {
		log.Grow(1, "")
		signed, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log))
		if err != nil {
			t.Fatal(err)
		}
		if sc, err := policy.OpenCheckpoint(signed); err != nil || len(sc.Cosignatures) != 2 {
			t.Fatalf("published %+v, %v", sc, err)
		}
		if n := len(w.requests()); n != i+1 {
			t.Fatalf("%d requests for %d checkpoints", n, i+1)
		}
	}
	if h := g.Health(); len(h) != 2 || h[0].Size != 8 || h[1].Size != 8 || h[0].Name != "ed" || h[1].Name != "ml" || h[1].LastSuccess.IsZero() {
		t.Errorf("health is %+v", h)
	}

	// One key fails, and is named alone; the other one's cosignature counts.
	w.answer = func(rw http.ResponseWriter, text string) {
		io.WriteString(rw, cosign(t, w.signer, text, time.Now().Unix()).String())
	}
	log.Grow(1, "")
	_, err = g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log))
	var failed *client.GatherError
	if !errors.As(err, &failed) || len(failed.Silent) != 1 || failed.Silent[0].Name != "ml" || !strings.Contains(err.Error(), "no signature by w.example+") {
		t.Errorf("got %v", err)
	}
	if h := g.Health(); h[0].Error != "" || !strings.Contains(h[1].Error, "no signature by") {
		t.Errorf("health is %+v", h)
	}
}

func down(rw http.ResponseWriter, _ *http.Request) {
	http.Error(rw, "closed \x1b[31mfor \u202erepairs", http.StatusInternalServerError)
}

// Witnesses that are all there once, and never at the same time, make a quorum.
func TestCosignaturesAreKept(t *testing.T) {
	f := newFixture(t, allOfThree, serverURL)
	f.log.Grow(3, "")
	for i := range f.peers {
		for j, p := range f.peers {
			p.answer(map[bool]http.HandlerFunc{false: down}[i == j])
			p.count()
		}
		if i == len(f.peers)-1 {
			break
		}
		err := f.mustFail(t.Context())
		if len(err.Silent) != 2-i || !strings.Contains(err.Error(), `"closed \x1b[31mfor \u202erepairs\n"`) {
			t.Fatalf("round %d: %v", i, err)
		}
		for j, p := range f.peers {
			if n, want := p.count(), map[bool]int{true: 0, false: 1}[j < i]; n != want {
				t.Errorf("round %d: witness %d was asked %d times, want %d", i, j+1, n, want)
			}
		}
	}
	if sc := f.mustGather(); len(sc.Cosignatures) != 3 {
		t.Errorf("%d cosignatures", len(sc.Cosignatures))
	}
	// What was published is gathered anew for: devices want new times.
	for _, p := range f.peers {
		p.answer(nil)
		p.count()
	}
	f.mustGather()
	for i, p := range f.peers {
		if n := p.count(); n != 1 {
			t.Errorf("witness %d was asked %d times for new times", i+1, n)
		}
	}
}

// A cosignature that comes when Gather has given up counts in the next round, and
// for an older checkpoint that still waits.
func TestLateForOneThatWaits(t *testing.T) {
	f := newFixture(t, allOfThree, serverURL)
	f.log.Grow(3, "")
	older := f.log.Fork()
	release := make(chan struct{})
	slow := f.peers[2]
	slow.answer(func(rw http.ResponseWriter, r *http.Request) {
		<-release
		slow.real.ServeHTTP(rw, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := f.mustFail(ctx); len(err.Silent) == 0 {
		t.Fatalf("got %v", err)
	}
	close(release)
	eventually(t, "the slow one at size 3", func() bool { return f.g.Health()[2].LastSuccess.After(time.Time{}) })
	eventually(t, "all three", func() bool { return f.peers[0].size("log.example") == 3 && f.peers[1].size("log.example") == 3 })
	for _, p := range f.peers {
		p.answer(down)
	}
	// A newer one fails. The older one is complete without anybody being asked.
	f.log.Grow(1, "")
	f.mustFail(t.Context())
	for _, p := range f.peers {
		p.count()
	}
	f.log = older
	f.mustGather()
	for i, p := range f.peers {
		if n := p.count(); n != 0 {
			t.Errorf("witness %d was asked %d times", i+1, n)
		}
	}
}

// hand is a witness without a network, for tests with a clock that is not real.
type hand struct {
	t      *testing.T
	signer *proofs.Signer
	ahead  time.Duration // of its clock

	mu     sync.Mutex
	asked  []time.Time
	answer func(text string) (status int, header http.Header, body string)
}

// answers sets how it answers from now on; nil is as a witness should.
func (h *hand) answers(answer func(text string) (status int, header http.Header, body string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// times returns when it was asked.
func (h *hand) times() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

func (h *hand) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	req, err := client.ParseRequest(body)
	if err != nil {
		return nil, err
	}
	note, err := proofs.ParseNote(req.Checkpoint)
	if err != nil {
		return nil, err
	}
	status, header, answer := http.StatusOK, http.Header{}, ""
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, time.Now())
	if h.answer != nil {
		status, header, answer = h.answer(note.Text)
	} else {
		answer = cosign(h.t, h.signer, note.Text, time.Now().Add(h.ahead).Unix()).String()
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// hands are witnesses by host.
type hands map[string]*hand

func (h hands) RoundTrip(r *http.Request) (*http.Response, error) { return h[r.URL.Host].RoundTrip(r) }

func newHands(t *testing.T, quorum string, names ...string) (hands, *client.Gatherer, *witnesstest.Log) {
	log := witnesstest.NewLog(t, "log.example")
	all, text := hands{}, fmt.Sprintf("log %v\n", log.Key())
	for _, name := range names {
		all[name] = &hand{t: t, signer: witnesstest.NewSigner(t, name, proofs.CosignatureV1)}
		text += fmt.Sprintf("witness %s %v http://%s\n", name, all[name].signer.Key(), name)
	}
	policy, err := proofs.ParsePolicy([]byte(text + quorum))
	if err != nil {
		t.Fatal(err)
	}
	g, err := client.NewGatherer(policy, &http.Client{Transport: all})
	if err != nil {
		t.Fatal(err)
	}
	return all, g, log
}

// A witness that the quorum does without, and that wants to be left alone for an
// hour, or fails again and again, is asked every 15 s while the log rests; when it
// comes back its cosignature joins.
func TestComesBack(t *testing.T) {
	for name, header := range map[string]http.Header{
		"fails":                        {},
		"wants to be left alone":       {"Retry-After": {"3600"}},
		"wants to be left alone for 0": {"Retry-After": {"0"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, g, log := newHands(t, "quorum a\n", "a", "b")
				var late []proofs.Signature
				g.Late = func(_ string, sigs []proofs.Signature) { late = append(late, sigs...) }
				b := all["b"]
				b.answers(func(string) (int, http.Header, string) { return 503, header, "later" })
				log.Grow(3, "")
				if _, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(b.times()) < 200 || len(b.times()) > 260 || len(all["a"].times()) != 1 || late != nil {
					t.Errorf("b was asked %d times, a %d; late %v", len(b.times()), len(all["a"].times()), late)
				}
				asked := b.times()
				for i, at := range asked[1:] {
					if pause := at.Sub(asked[i]); pause > 15*time.Second {
						t.Errorf("b was not asked for %v", pause)
					}
				}
				if h := g.Health()[1]; !strings.Contains(h.Error, `status 503 Service Unavailable: "later"`) {
					t.Errorf("health is %+v", h)
				}
				b.answers(nil)
				time.Sleep(15 * time.Second)
				synctest.Wait()
				if len(late) != 1 || late[0].Name != "b" || g.Health()[1].Error != "" {
					t.Errorf("late: %v, health %+v", late, g.Health()[1])
				}
				before := len(b.times())
				time.Sleep(time.Hour)
				synctest.Wait()
				if len(b.times()) != before {
					t.Error("b is asked though nothing is missing")
				}
				g.Close()
			})
		})
	}
}

// Of an older checkpoint nobody is asked any more.
func TestOnlyTheNewestIsPursued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, g, log := newHands(t, "quorum a\n", "a", "b")
		b := all["b"]
		var last string
		b.answers(func(text string) (int, http.Header, string) { last = text; return 500, nil, "" })
		for range 50 {
			log.Grow(1, "")
			next := log.Fork()
			if _, err := g.Gather(t.Context(), next.Request(0).Checkpoint, next.Checkpoint(), proving(next)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before := len(b.times())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(b.times()) - before; n > 50 || last != log.Checkpoint().String() {
			t.Errorf("b was asked %d times, last for %q", n, last)
		}
		g.Close()
	})
}

// No cosignature counts whose time is more than a day from the clock here: not at
// once, not late, and not when it has waited for too long.
func TestClocks(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		ahead time.Duration
		want  string
	}{
		{0, ""}, {day, ""}, {-day, ""}, {day + time.Second, "24h0m0s ahead of the log's clock"},
		{-day - time.Second, "behind the log's clock"}, {400 * day, "400 days ahead of the log's clock (2000-01-01T00:00:00Z)"},
		{200 * 365 * day, "ahead of the log's clock"},
	} {
		synctest.Test(t, func(t *testing.T) {
			all, g, log := newHands(t, "quorum a\n", "a", "b")
			all["a"].ahead = tt.ahead
			log.Grow(1, "")
			_, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log))
			var apart *client.ClockError
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !errors.As(err, &apart)) {
				t.Errorf("%v ahead: %v", tt.ahead, err)
			}
			h := g.Health()[0]
			if h.ClockOffset != int64(tt.ahead/time.Second) || !strings.Contains(h.Error, tt.want) || h.LastSuccess.IsZero() != (tt.want != "") {
				t.Errorf("%v ahead: health is %+v", tt.ahead, h)
			}
			g.Close()
		})
		synctest.Test(t, func(t *testing.T) {
			all, g, log := newHands(t, "quorum b\n", "a", "b")
			var late int
			g.Late = func(_ string, sigs []proofs.Signature) { late += len(sigs) }
			a := all["a"]
			a.ahead = tt.ahead
			a.answers(func(string) (int, http.Header, string) { return 500, nil, "" })
			log.Grow(1, "")
			if _, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log)); err != nil {
				t.Fatal(err)
			}
			a.answers(nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			if want := map[bool]int{true: 1}[tt.want == ""]; late != want {
				t.Errorf("%v ahead: %d came late, want %d", tt.ahead, late, want)
			}
			g.Close()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		all, g, log := newHands(t, "group g all a b\nquorum g\n", "a", "b")
		all["b"].answers(func(string) (int, http.Header, string) { return 500, nil, "" })
		log.Grow(1, "")
		gather := func() error {
			_, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log))
			return err
		}
		if err := gather(); err == nil {
			t.Fatal("b does not cosign")
		}
		time.Sleep(25 * time.Hour)
		all["b"].answers(nil)
		if err := gather(); err != nil || len(all["a"].times()) != 2 {
			t.Errorf("a was asked %d times, %v; what it said a day ago is too old", len(all["a"].times()), err)
		}
		g.Close()
	})
}

// A witness cannot send the log elsewhere.
func TestNoRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		f := newFixture(t, "quorum w1\n", serverURL)
		elsewhere := f.peers[1]
		elsewhere.answer(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
		f.peers[0].answer(func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, elsewhere.server.URL+"/internal", status)
		})
		f.log.Grow(1, "")
		c := client.Client{URL: f.peers[0].server.URL, Key: f.peers[0].signer.Key()}
		_, err := c.AddCheckpoint(t.Context(), f.log.Request(0))
		if err == nil || !strings.Contains(err.Error(), "redirects to \""+elsewhere.server.URL+"/internal\", which is not followed") {
			t.Errorf("%d: %v", status, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		all, g, log := newHands(t, "quorum a\n", "a")
		all["a"].answers(func(string) (int, http.Header, string) {
			return 307, http.Header{"Location": {"http://inside/secret"}}, ""
		})
		log.Grow(1, "")
		_, err := g.Gather(t.Context(), log.Request(0).Checkpoint, log.Checkpoint(), proving(log))
		if err == nil || !strings.Contains(err.Error(), `redirects to "http://inside/secret"`) || len(all["a"].times()) != 1 {
			t.Errorf("got %v", err)
		}
		g.Close()
	})
}
