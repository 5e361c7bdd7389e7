package leader_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/quota"
)

// A follower takes everything that the leader takes, and answers in its words.
func TestForward(t *testing.T) {
	_, leader, follower := leaderAndFollower(t, func(c *leader.Config) { c.Token = "token" })
	v := newVendor(t)
	root := file(v, "root").Data
	id := follower.register(t, root)
	check(t, v.Release("targets"))
	results := follower.submit(t, id, all(v)...)
	if len(results) == 0 || results[0].Status == api.StatusRefused {
		t.Fatalf("through the follower: %+v", results)
	}
	again := leader.submit(t, id, all(v)...)
	if len(again) != len(results) || again[len(again)-1].Index != results[len(results)-1].Index {
		t.Errorf("the leader has %+v, the follower said %+v", again, results)
	}
	for _, tt := range []struct {
		path    string
		body    []byte
		headers []string
		status  int
		code    string
	}{
		{"/v1/repositories", root, nil, 401, api.CodeUnauthorized},
		{"/v1/repositories", root, []string{"Authorization", "Bearer wrong"}, 401, api.CodeUnauthorized},
		{"/v1/repositories/" + strings.Repeat("ab", 32) + "/metadata", root, []string{"Content-Type", "application/json"}, 404, api.CodeUnknownRepo},
		{"/v1/repositories/" + id + "/metadata", root, nil, 415, api.CodeMediaType},
		{"/v1/repositories/" + id + "/metadata", root, []string{"Content-Encoding", "gzip", "Content-Type", "application/json"}, 415, api.CodeMediaType},
		{"/v1/repositories/" + id + "/metadata", []byte("{}"), []string{"Content-Type", "application/json"}, 422, api.CodeRefused},
	} {
		resp, body := follower.do(t, "POST", tt.path, tt.body, append(tt.headers, "X-Request-Id", "test-1")...)
		if p := problem(t, resp, body, tt.status, tt.code); p.Instance != "test-1" {
			t.Errorf("POST %s: instance %s", tt.path, p.Instance)
		}
	}
	resp, body := follower.do(t, "GET", "/v1/submissions/none", nil)
	problem(t, resp, body, 404, api.CodeNotFound)
	if resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("pages of other sites cannot poll a submission at a follower")
	}
}

// What is answered with 202 can be polled at either.
func TestForwardPolled(t *testing.T) {
	c, _, follower := leaderAndFollower(t, nil)
	c.Fixture.Witnesses.SetDown(true, true, true)
	resp, body := follower.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
	at := location(t, resp)
	if resp.StatusCode != 202 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	c.Fixture.Witnesses.SetDown(false, false, false)
	resp, body = follower.do(t, "GET", at, nil, "Prefer", "wait=20")
	if resp.StatusCode != 200 || !bytes.Contains(body, []byte("released")) {
		t.Errorf("polled: %d %s", resp.StatusCode, body)
	}
}

// A submission that comes while nobody leads waits for the next leader.
func TestForwardWaitsForALeader(t *testing.T) {
	c := newCluster(t, nil)
	first, second := c.front(t), c.front(t)
	resp, body := second.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
	problem(t, resp, body, 503, api.CodeUnavailable)
	if body := second.ready(t, 503); !bytes.Contains(body, []byte("no front end leads")) {
		t.Errorf("/readyz: %s", body)
	}
	var waiting sync.WaitGroup
	waiting.Go(func() { second.register(t, file(newVendor(t), "root").Data) })
	first.lead(t)
	waiting.Wait()
	second.ready(t, 200)
	// One that is gone, one that leads no more, and at last the next.
	for _, url := range []string{"http://127.0.0.1:1", second.http.URL} {
		c.setLeader(url)
		first.depose()
		waiting.Go(func() { first.register(t, file(newVendor(t), "root").Data) })
		first.lead(t)
		waiting.Wait()
	}
}

// A follower is ready only while the leader is, and says what the leader says.
func TestForwardReadiness(t *testing.T) {
	c, leader, follower := leaderAndFollower(t, nil)
	follower.ready(t, 200)
	c.Witnesses.SetDown(true, true, true)
	leader.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=0")
	var said, passed api.Problem
	check(t, errors.Join(json.Unmarshal(leader.ready(t, 503), &said), json.Unmarshal(follower.ready(t, 503), &passed)))
	if want := "the front end that leads is not ready: " + said.Detail; passed.Detail != want {
		t.Errorf("/readyz: %s\nwant %s", passed.Detail, want)
	}
	if st := follower.front.Stats(t.Context()); st.Ready || !strings.Contains(st.Reason, said.Detail) {
		t.Errorf("stats: %+v", st)
	}
	forwarder := cluster.NewForwarder(cluster.ForwarderConfig{Leader: c.whoLeads, Secret: clusterSecret})
	if epoch, err := forwarder.Reach(t.Context()); epoch != 1 || err != nil {
		t.Errorf("a leader that is not ready is reached: epoch %d, %v", epoch, err)
	}
	c.Witnesses.SetDown(false, false, false)
	leader.ready(t, 200)
	follower.ready(t, 200)
	// One that takes itself, or another follower, for the leader asks nobody in turn.
	says := func(words string) {
		t.Helper()
		eventually(t, "/readyz says "+words, func() bool { return bytes.Contains(follower.ready(t, 503), []byte(words)) })
	}
	for _, f := range []*frontEnd{c.front(t), follower} {
		c.setLeader(f.http.URL)
		says(f.http.URL + ": it does not lead")
		eventually(t, "somebody else is at the leader's URL", func() bool {
			_, err := forwarder.Reach(t.Context())
			return err != nil && strings.Contains(err.Error(), "it does not lead")
		})
	}
	c.setLeader("http://127.0.0.1:1")
	says("refused")
}

// Where nobody leads a front end says what keeps it from it, and asks the leader no
// more often than it is asked itself.
func TestForwardTrouble(t *testing.T) {
	var asked atomic.Int32
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || r.Header.Get(quota.HeaderFrontEnd) != clusterSecret {
			t.Errorf("asked for %s", r.URL)
		}
		asked.Add(1)
		w.Header().Set("X-Request-Id", "some")
		w.WriteHeader(status)
	}))
	defer s.Close()
	leader := cluster.Leader{}
	why := errors.New("the cable is out")
	f := cluster.NewForwarder(cluster.ForwarderConfig{
		Leader: func(context.Context) (cluster.Leader, bool, error) { return leader, leader.URL != "", nil },
		Why:    func() error { return why },
		Secret: clusterSecret,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err := f.Trouble(t.Context()); !errors.Is(err, why) || !strings.Contains(err.Error(), "no front end leads") {
		t.Errorf("nobody leads: %v", err)
	}
	leader = cluster.Leader{URL: s.URL, Epoch: 1}
	eventually(t, "the leader is ready", func() bool { return f.Trouble(t.Context()) == nil })
	for range 100 {
		if err := f.Trouble(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n > 3 {
		t.Errorf("asked %d times", n)
	}
	status = http.StatusTeapot
	eventually(t, "the leader is no teapot", func() bool {
		err := f.Trouble(t.Context())
		return err != nil && strings.Contains(err.Error(), http.StatusText(status))
	})
}

// breaking is a leader that takes a request and does not answer it.
func breaking(t *testing.T, how func(w http.ResponseWriter, r *http.Request)) (url string, taken *atomic.Int32) {
	t.Helper()
	taken = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the front end has given up
		}
		taken.Add(1)
		w.Header().Set("X-Request-Id", "some") // as front ends do
		how(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, taken
}

// A leader that dies with a request in its hands, in the middle of an answer, or
// that hangs, costs the client nothing but time.
func TestForwardAgain(t *testing.T) {
	for name, how := range map[string]func(http.ResponseWriter, *http.Request){
		"dies":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hangs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"breaks": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.Write([]byte("{"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, nil)
			leader, follower := c.front(t), c.front(t)
			url, taken := breaking(t, how)
			c.setLeader(url)
			go func() {
				for taken.Load() == 0 {
					time.Sleep(time.Millisecond)
				}
				leader.lead(t)
			}()
			began := time.Now()
			follower.register(t, file(newVendor(t), "root").Data)
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %v: longer than the client waits", took)
			}
			if n := len(c.Storage.Entries()); n != 1 {
				t.Errorf("%d entries for one root", n)
			}
		})
	}
}

// A proxy that answers in the name of a leader that is gone, or a server that is no front
// end of the log at all, answers no client: the request waits for the next leader.
func TestForwardStranger(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusMovedPermanently, http.StatusNotFound, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			c := newCluster(t, nil)
			leader, follower := c.front(t), c.front(t)
			url, taken := breaking(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				if status < http.StatusBadRequest {
					w.Header().Del("X-Request-Id")
				}
				w.WriteHeader(status)
				fmt.Fprint(w, "<h1>not the log</h1>")
			})
			c.setLeader(url)
			forwarder := cluster.NewForwarder(cluster.ForwarderConfig{Leader: c.whoLeads, Secret: clusterSecret})
			if _, err := forwarder.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s answered %d", url, status)) {
				t.Errorf("it counts as reached: %v", err)
			}
			if body := follower.ready(t, 503); !bytes.Contains(body, []byte("not the answer of a front end")) {
				t.Errorf("/readyz: %s", body)
			}
			resp, body := follower.do(t, "POST", "/v1/repositories", []byte("{}"), "Prefer", "wait=0")
			if p := problem(t, resp, body, 503, api.CodeUnavailable); !strings.Contains(p.Detail, fmt.Sprint("in its place, ", status)) || strings.Contains(p.Detail, url) {
				t.Errorf("a client is told %q", p.Detail)
			}
			before := taken.Load()
			go func() {
				for taken.Load() < before+5 { // more often than a request may end leaders
					time.Sleep(time.Millisecond)
				}
				leader.lead(t)
			}()
			follower.register(t, file(newVendor(t), "root").Data)
			if n := len(c.Storage.Entries()); n != 1 {
				t.Errorf("%d entries for one root", n)
			}
		})
	}
}

// Should a request be what ends leaders, it does not end all of them.
func TestForwardGivesUp(t *testing.T) {
	c := newCluster(t, nil)
	follower := c.front(t)
	url, taken := breaking(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	c.setLeader(url)
	resp, body := follower.do(t, "POST", "/v1/repositories", []byte("{}"))
	problem(t, resp, body, 503, api.CodeUnavailable)
	if n := taken.Load(); n != 3 {
		t.Errorf("sent %d times", n)
	}
}

// A request goes around once.
func TestForwardNeverInCircles(t *testing.T) {
	c := newCluster(t, nil)
	a, b := c.front(t), c.front(t)
	var asked atomic.Int32
	count := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		b.front.ServeHTTP(w, r)
	}))
	defer count.Close()
	for _, url := range []string{a.http.URL, count.URL} { // itself, and another that does not lead
		c.setLeader(url)
		resp, body := a.do(t, "POST", "/v1/repositories", []byte("{}"), "Prefer", "wait=1")
		problem(t, resp, body, 503, api.CodeUnavailable)
	}
	if n := asked.Load(); n < 1 || n > 10 {
		t.Errorf("the one that does not lead was asked %d times in a second", n)
	}
	resp, body := b.do(t, "POST", "/v1/repositories", []byte("{}"), quota.HeaderFrontEnd, clusterSecret)
	problem(t, resp, body, 503, api.CodeNotLeader)
	resp, body = b.do(t, "GET", "/v1/submissions/x", nil, quota.HeaderFrontEnd, clusterSecret)
	problem(t, resp, body, 503, api.CodeNotLeader)
	// Who does not know the secret is a client like any other.
	resp, body = b.do(t, "POST", "/v1/repositories", []byte("{}"), quota.HeaderFrontEnd, "guessed", "Prefer", "wait=0")
	problem(t, resp, body, 503, api.CodeUnavailable)
}

// Quotas count by where clients are, whichever front end they come through, and
// nobody but a front end can say where that is.
func TestForwardQuotas(t *testing.T) {
	var logged lockedBuffer
	_, leader, follower := leaderAndFollower(t, func(c *leader.Config) {
		c.Limits.Anonymous = quota.Quota{Submissions: 0.001, SubmissionBurst: 3}
		// The test's clients are on the host of both; what they say is believed.
		c.Sources.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	post := func(at *frontEnd, headers ...string) int {
		resp, _ := at.do(t, "POST", "/v1/repositories", []byte("{}"), headers...)
		return resp.StatusCode
	}
	for i, at := range []*frontEnd{leader, follower, follower} {
		if status := post(at, "X-Forwarded-For", "192.0.2.7"); status != 422 {
			t.Errorf("submission %d: %d", i, status)
		}
	}
	for _, tt := range []struct {
		at      *frontEnd
		headers []string
		status  int
	}{
		{leader, []string{"X-Forwarded-For", "192.0.2.99"}, 429},
		{follower, []string{"X-Forwarded-For", "192.0.2.99"}, 429},
		{follower, []string{"X-Forwarded-For", "192.0.2.99", quota.HeaderClient, "198.51.100.0/24"}, 429},
		{follower, []string{"X-Forwarded-For", "192.0.2.99", quota.HeaderClient, ""}, 429},
		{leader, []string{"X-Forwarded-For", "192.0.2.99", quota.HeaderClient, "198.51.100.0/24"}, 429},
		{leader, []string{"X-Forwarded-For", "192.0.2.99", quota.HeaderClient, "198.51.100.0/24", quota.HeaderFrontEnd, "guessed"}, 429},
		{leader, []string{"X-Forwarded-For", "192.0.2.99", quota.HeaderClient, "198.51.100.0/24", quota.HeaderFrontEnd, clusterSecret}, 422},
		{follower, []string{"X-Forwarded-For", "198.51.100.7"}, 422},
		{follower, nil, 422}, // on the front ends' own hosts
		{follower, []string{"X-Forwarded-For", "rubbish"}, 422},
	} {
		if status := post(tt.at, tt.headers...); status != tt.status {
			t.Errorf("%q at the leader=%v: %d, want %d", tt.headers, tt.at == leader, status, tt.status)
		}
	}
	if strings.Contains(logged.String(), clusterSecret) {
		t.Errorf("the secret is in the log:\n%s", logged.String())
	}
}

// Bodies that wait for a leader take no more memory than there is for them.
func TestForwardBoundedMemory(t *testing.T) {
	c := newCluster(t, func(c *leader.Config) { c.Limits.Memory.Capacity = 64 << 20 })
	follower := c.front(t)
	release := make(chan struct{})
	url, taken := breaking(t, func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-release:
			w.WriteHeader(http.StatusNoContent)
		case <-time.After(20 * time.Second): // the test has failed
		}
	})
	c.setLeader(url)
	large := make([]byte, 40<<20)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if resp, body := follower.do(t, "POST", "/v1/repositories", large); resp.StatusCode != 204 {
			t.Errorf("the first: %d %s", resp.StatusCode, body)
		}
	})
	eventually(t, "the first is passed on", func() bool { return taken.Load() == 1 })
	resp, body := follower.do(t, "POST", "/v1/repositories", large)
	problem(t, resp, body, 503, api.CodeBusy)
	resp, body = follower.do(t, "POST", "/v1/repositories", make([]byte, api.MaxSubmission+1))
	problem(t, resp, body, 413, api.CodeTooLarge)
	close(release)
	waiting.Wait()
	if resp, body := follower.do(t, "POST", "/v1/repositories", large); resp.StatusCode != 204 {
		t.Errorf("with room again: %d %s", resp.StatusCode, body)
	}
}

// While leaders come and go under load nothing is answered but acknowledgements
// and 503, and what was acknowledged stays.
func TestFrontHandOver(t *testing.T) {
	c := newCluster(t, nil)
	fronts := []*frontEnd{c.front(t), c.front(t)}
	fronts[0].lead(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[int64]string{}
	for n := range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				root := file(newVendor(t), "root").Data
				resp, body := fronts[n%2].do(t, "POST", "/v1/repositories", root, "Prefer", "wait=5")
				var res api.Result
				switch resp.StatusCode {
				case 200:
					if err := json.Unmarshal(body, &res); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if had, ok := acknowledged[res.Results[0].Index]; ok {
						t.Errorf("index %d is of %s and %s", res.Results[0].Index, had, res.Repository)
					}
					acknowledged[res.Results[0].Index] = res.Repository
					mu.Unlock()
				case 202, 503:
				default:
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				if resp, body := fronts[n%2].do(t, "GET", "/checkpoint", nil); resp.StatusCode >= 500 {
					t.Errorf("GET /checkpoint: %d %s", resp.StatusCode, body)
				}
			}
		})
	}
	for n := range 6 {
		have := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged)
		}
		want := have() + 5
		eventually(t, "five more", func() bool { return have() >= want })
		c.setLeader("")
		fronts[n%2].depose()
		fronts[(n+1)%2].lead(t)
	}
	stop()
	clients.Wait()
	entries := c.Storage.Entries()
	for index, id := range acknowledged {
		leaf, err := leaf.Parse(entries[index])
		check(t, err)
		if leaf.Repository.String() != id {
			t.Errorf("entry %d is of %v, %s was acknowledged", index, leaf.Repository, id)
		}
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[string(e)] {
			t.Errorf("a leaf is there twice: %s", e)
		}
		seen[string(e)] = true
	}
}

// A leader whose right has ended acknowledges nothing, even where it does not know
// it yet.
func TestFrontDeposedAcknowledgesNothing(t *testing.T) {
	c := newCluster(t, nil)
	f := c.front(t)
	right, end := context.WithCancel(t.Context())
	cfg := c.config()
	parts := fenced{c.Ledger, c.checkpoints, right}
	cfg.Publisher.Ledger, cfg.Publisher.Checkpoints = fencedLedger{parts}, fencedCheckpoints{parts}
	deaf, hear := context.WithCancel(context.Background()) // learns late that its right has ended
	cfg.Right = deaf
	l, err := leader.Open(t.Context(), cfg)
	check(t, err)
	f.front.Switch(l)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(context.Background()) }()
	f.register(t, file(newVendor(t), "root").Data)
	end()
	resp, body := f.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=1")
	if resp.StatusCode != 202 || bytes.Contains(body, []byte("sidecar")) {
		t.Errorf("without the right to write: %d %s", resp.StatusCode, body)
	}
	waiting := make(chan *http.Response, 1)
	go func() {
		resp, _ := f.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data, "Prefer", "wait=60", quota.HeaderFrontEnd, clusterSecret)
		waiting <- resp
	}()
	eventually(t, "it waits", func() bool { return l.Stats(t.Context()).Integrated == 3 })
	hear()
	if resp := <-waiting; resp.StatusCode != 503 {
		t.Errorf("passed on, and deposed: %d", resp.StatusCode)
	}
	check(t, <-ended)
	f.front.Switch(f.log)()
}

func TestForwardUnknownLeader(t *testing.T) {
	f := cluster.NewForwarder(cluster.ForwarderConfig{
		Leader: func(context.Context) (cluster.Leader, bool, error) {
			return cluster.Leader{}, false, errors.New("the database is down")
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err := f.Trouble(t.Context()); err == nil || !strings.Contains(err.Error(), "the database is down") {
		t.Errorf("%v", err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/submissions/x", nil)
	r.Header.Set("Prefer", "wait=0")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if w.Code != 503 || !strings.Contains(w.Body.String(), fmt.Sprintf("%q", api.CodeUnavailable)) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
