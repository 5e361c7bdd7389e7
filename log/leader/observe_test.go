package leader_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
)

// counter is log.Observer.
type counter struct {
	mu        sync.Mutex
	seen      map[string]int
	published []time.Duration
}

func (c *counter) add(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[key]++
}

func (c *counter) Request(method, pattern string, status int, _ time.Duration) {
	c.add(fmt.Sprint(method, " ", pattern, " ", status))
}

func (c *counter) Verdict(status api.Status, code string) { c.add(fmt.Sprint(status, " ", code)) }

func (c *counter) Published(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.published = append(c.published, took)
}

func TestObserver(t *testing.T) {
	var c counter
	r := start(t, func(cfg *leader.Config) { cfg.Observer = &c })
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	check(t, v.Release("targets"))
	for range 2 {
		r.submit(t, id, file(v, "targets"), file(v, "snapshot"))
	}
	r.submit(t, id, file(v, "targets"), api.File{Name: "x.json", Data: []byte("{")})
	r.do(t, "GET", "/secret/"+id, nil)
	r.do(t, "BREW", "/checkpoint", nil)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		n := len(c.published)
		c.mu.Unlock()
		if n == 4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d submissions with an accepted file were timed, want 4", n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, want := range map[string]int{
		"released ":                 2,
		"logged ":                   2,
		"refused malformed":         1,
		"GET  404":                  1,
		"BREW  405":                 1,
		"POST /v1/repositories 200": 1,
		"POST /v1/repositories/{id}/metadata 200": 3,
	} {
		if c.seen[key] != want {
			t.Errorf("%q: %d, want %d; all: %v", key, c.seen[key], want, c.seen)
		}
	}
	for _, took := range c.published {
		if took <= 0 || took > time.Minute {
			t.Errorf("published after %v", took)
		}
	}
}

func TestStats(t *testing.T) {
	r := start(t, nil)
	r.register(t, file(newVendor(t), "root").Data)
	if got, want := r.log.Stats(t.Context()), (httpd.Stats{Integrated: 1, Signed: 1, Published: 1, Ready: true, Leading: true}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	r.Witnesses.SetDown(true, true, true)
	r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		st := r.log.Stats(t.Context())
		if st.Integrated == 2 && st.Signed == 2 && !st.Ready && st.Reason != "" {
			if st.Published != 1 || st.Halted {
				t.Errorf("below quorum: %+v", st)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("below quorum: %+v", st)
		}
	}
	r.Witnesses.SetDown(false, false, false)
}

func TestStatsOfAHalt(t *testing.T) {
	r := start(t, nil)
	r.register(t, file(newVendor(t), "root").Data)
	r.Ledger.Mu.Lock()
	r.Ledger.OnSwap = func() (bool, error) { return false, log.ErrLedgerConflict }
	r.Ledger.Mu.Unlock()
	resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
	problem(t, resp, body, 503, api.CodeUnavailable)
	if st := r.log.Stats(t.Context()); !st.Halted || st.Ready || st.Reason == "" || st.Integrated != 2 || st.Signed != 1 || st.Published != 1 {
		t.Errorf("%+v", st)
	}
	resp, body = r.do(t, "GET", "/readyz", nil)
	problem(t, resp, body, 503, api.CodeUnavailable)
	if resp, _ := r.do(t, "GET", "/checkpoint", nil); resp.StatusCode != 200 {
		t.Errorf("reads of a log that has stopped: %d", resp.StatusCode)
	}
}
