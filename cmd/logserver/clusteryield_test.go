package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/maintain"
)

// way is the network on the way to a server. Cut, it swallows what is asked. With a status
// in says, it is a proxy that answers with that in the server's name.
type way struct {
	*httptest.Server
	cut  atomic.Bool
	says atomic.Int32
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	k := &way{}
	proxy := httputil.NewSingleHostReverseProxy(u)
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if k.cut.Load() {
			_, _ = io.Copy(io.Discard, r.Body) // only then the end of the connection is seen
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
			return
		}
		if status := k.says.Load(); status != 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, "<h1>a proxy</h1>", int(status))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(k.Close)
	return k
}

// ownWays writes a policy for a front end whose witnesses are on ways of its own.
func (w *sharedWorld) ownWays(t *testing.T, file string) (ways []*way) {
	t.Helper()
	policy, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.Witnesses {
		k := newWay(t, s.URL)
		ways = append(ways, k)
		policy = bytes.ReplaceAll(policy, []byte(s.URL), []byte(k.URL))
	}
	w.Write(t, file, string(policy))
	return ways
}

func cut(ways []*way, is bool) {
	for _, k := range ways {
		k.cut.Store(is)
	}
}

// intoAgent moves the log's key from a directory into an ssh-agent.
func intoAgent(t *testing.T, dir, socket string) (agent.Agent, agent.AddedKey) {
	t.Helper()
	text, err := os.ReadFile(dir + "/log.key")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.SplitN(strings.TrimPrefix(strings.TrimSpace(string(text)), "PRIVATE+KEY+"), "+", 3)
	raw, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(raw) != 33 {
		t.Fatalf("%s/log.key: %d bytes, %v", dir, len(raw), err)
	}
	key := ed25519.NewKeyFromSeed(raw[1:])
	added := agent.AddedKey{PrivateKey: &key}
	keyring := agent.NewKeyring()
	if err := keyring.Add(added); err != nil {
		t.Fatal(err)
	}
	serveAgent(t, socket, keyring)
	if err := os.Remove(dir + "/log.key"); err != nil {
		t.Fatal(err)
	}
	return keyring, added
}

// set replaces the value of a flag, or adds it.
func set(s *runtest.Service, flag, value string) {
	if i := slices.Index(s.Args, flag); i >= 0 {
		s.Args[i+1] = value
		return
	}
	s.Args = append(s.Args, flag, value)
}

// unfit is two front ends of which the first can be made unable to publish.
type unfit struct {
	*sharedWorld
	a, b   *runtest.Service
	vendor *testvendor.Vendor
	id     string
	index  int64
	before string // what a had said when it began to lead

	witnesses, others []*way      // from a and from b to their witnesses
	clients           *way        // from others to a
	keyring           agent.Agent // that a signs with
	key               agent.AddedKey
}

// aLeads makes the first one the leader.
func (u *unfit) aLeads(t *testing.T) {
	t.Helper()
	u.b.End(t, syscall.SIGTERM)
	runtest.Eventually(t, "the first one leads", func() bool {
		leader, _ := u.leads(t)
		status, _ := get(t, u.a.URL+"/readyz")
		return leader == u.a && status == 200
	})
	u.b.Start(t)
	runtest.Eventually(t, "the other one says that it is able", func() bool {
		return u.says(t, u.b).Able
	})
	u.submits(t)
	u.before = u.a.Said()
}

// says returns the row of a front end.
func (u *unfit) says(t *testing.T, s *runtest.Service) (row frontEndStatus) {
	t.Helper()
	stdout, _, _ := u.tool(t, "status", "--json")
	for _, f := range statusIn(t, stdout).FrontEnds {
		if (f.URL == u.b.URL) == (s == u.b) && f.Heard {
			row = f
		}
	}
	return row
}

// submits submits a release at the other front end, again until it is acknowledged, and
// says how long that took.
func (u *unfit) submits(t *testing.T) time.Duration {
	t.Helper()
	files := release(t, u.vendor, fmt.Sprint("release ", u.index))
	began := time.Now()
	for {
		res, err := u.clientOf(u.b).Submit(withTimeout(t, process.Patience), u.id, files)
		if err == nil && res.Done && len(res.Results) == 1 {
			u.index++
			if got := res.Results[0].Index; got != u.index {
				t.Fatalf("release at %d, want %d", got, u.index)
			}
			u.check(t, u.id, files, res.Results[0])
			return time.Since(began)
		}
		if time.Since(began) > 2*process.Patience {
			t.Fatalf("not acknowledged: %+v, %v", res, err)
		}
	}
}

// yields expects that the first one has left the lease to the other, and why.
func (u *unfit) yields(t *testing.T, words string) {
	t.Helper()
	took := u.submits(t)
	said, _ := strings.CutPrefix(u.a.Said(), u.before)
	if leader, _ := u.leads(t); leader != u.b || !strings.Contains(said, "giving the lease up") || !strings.Contains(said, words) {
		t.Errorf("%q: after %v, with %s leading\n%s", words, took, leader.URL, said)
	}
	t.Logf("%s: acknowledged by another one after %v", words, took)
}

// A leader that publishes nothing of what waits, or that the others do not reach, leaves
// the lease to a front end that is able, and takes it back when that one is gone.
func TestLeaderYields(t *testing.T) {
	t.Parallel()
	u := newUnfit(t)
	u.withoutWitnesses(t)
	u.withoutAgent(t)
	u.notReached(t)
	u.nobodyIsAble(t)
	u.twoAtOneURL(t)
	u.withoutLease(t)
}

// newUnfit starts two front ends, with ways to the first one, its witnesses and its key that can
// be cut.
func newUnfit(t *testing.T) *unfit {
	t.Helper()
	w := newSharedWorld(t)
	u := &unfit{sharedWorld: w, a: w.fronts[0], b: w.fronts[1], vendor: newVendor(t)}
	u.a.Stop(t)
	u.b.Stop(t)
	u.witnesses = w.ownWays(t, "policy-a")
	u.others = w.ownWays(t, "policy-b")
	u.clients = newWay(t, u.a.URL)
	u.keyring, u.key = intoAgent(t, w.Path("log"), w.Path("agent"))
	set(u.a, "--policy", w.Path("policy-a"))
	set(u.a, "--ssh-agent", w.Path("agent"))
	set(u.a, "--url", u.clients.URL)
	set(u.b, "--policy", w.Path("policy-b"))
	u.a.Start(t)
	runtest.Eventually(t, "the first one leads", func() bool { leader, _ := u.leads(t); return leader == u.a })
	u.b.Start(t)
	u.id = w.registerAt(t, u.b, u.vendor)
	return u
}

// withoutWitnesses cuts the leader off from its witnesses.
func (u *unfit) withoutWitnesses(t *testing.T) {
	t.Helper()
	u.aLeads(t)
	cut(u.witnesses, true)
	u.yields(t, "quorum")
	runtest.Eventually(t, "it says that it leaves the lease to others", func() bool {
		return strings.Contains(u.says(t, u.a).Why, "leaves it to others")
	})
	cut(u.witnesses, false)
}

// withoutAgent takes the leader's key out of its ssh-agent.
func (u *unfit) withoutAgent(t *testing.T) {
	t.Helper()
	u.aLeads(t)
	if err := u.keyring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	u.yields(t, "ssh-agent")
	if err := u.keyring.Add(u.key); err != nil {
		t.Fatal(err)
	}
}

// notReached cuts the others off from the leader, or lets a proxy answer for it.
func (u *unfit) notReached(t *testing.T) {
	t.Helper()
	u.aLeads(t)
	u.clients.cut.Store(true)
	u.yields(t, "do not reach this one")
	u.clients.cut.Store(false)

	// A proxy, or a server that is another one, is not the leader, whatever it answers.
	u.aLeads(t)
	u.clients.says.Store(http.StatusBadGateway)
	u.yields(t, "do not reach this one")
	u.clients.says.Store(0)
}

// nobodyIsAble cuts both off from their witnesses: then nobody yields.
func (u *unfit) nobodyIsAble(t *testing.T) {
	t.Helper()
	u.aLeads(t)
	cut(u.witnesses, true)
	cut(u.others, true)
	files := release(t, u.vendor, "without witnesses")
	if _, err := u.clientOf(u.b).Submit(withTimeout(t, cluster.Patience+5*time.Second), u.id, files); err == nil {
		t.Error("published without witnesses")
	}
	if leader, _ := u.leads(t); leader != u.a {
		t.Error("the lease was left to one that is not able either")
	}
	if st := u.statusOf(t, 1); len(st.FrontEnds) != 2 || st.FrontEnds[0].Able || st.FrontEnds[1].Able || st.Unready == "" {
		t.Errorf("status: %+v", st)
	}
	cut(u.witnesses, false)
	cut(u.others, false)
	res, err := u.clientOf(u.b).Submit(withTimeout(t, 2*process.Patience), u.id, files)
	if err != nil || !res.Done {
		t.Fatalf("with witnesses: %+v, %v", res, err)
	}
	u.index = res.Results[0].Index
}

// twoAtOneURL starts the other one with the leader's URL: requests that are passed on to the one
// that leads would come back.
func (u *unfit) twoAtOneURL(t *testing.T) {
	t.Helper()
	u.b.Stop(t)
	set(u.b, "--url", u.clients.URL)
	u.b.Start(t)
	runtest.Eventually(t, "the follower says that it has the URL of the leader", func() bool {
		status, body := get(t, u.b.URL+"/readyz")
		return status == 503 && bytes.Contains(body, []byte("has the URL of this one, "+u.clients.URL))
	})
	for _, s := range []*runtest.Service{u.a, u.b} {
		runtest.Eventually(t, "each says that another one has its URL", func() bool {
			return strings.Contains(s.Said(), "another front end is said to be reached at the URL of this one")
		})
	}
	stdout, _, _ := u.tool(t, "status")
	if n := strings.Count(stdout, "another one has the same URL: give each its own --url"); n != 2 {
		t.Errorf("status says so of %d front ends\n%s", n, stdout)
	}
	set(u.b, "--url", u.b.URL)
	u.b.Stop(t)
	u.b.Start(t)
	u.submits(t)
}

// withoutLease takes the lease's row away: a front end that cannot campaign is not able to lead,
// and says why.
func (u *unfit) withoutLease(t *testing.T) {
	t.Helper()
	if _, err := u.postgres.Exec(t.Context(), "tuflog", "DELETE FROM lease"); err != nil {
		t.Fatal(err)
	}
	runtest.Eventually(t, "status says that there is no lease to be had", func() bool {
		stdout, _, code := u.tool(t, "status", "--json")
		st := statusIn(t, stdout)
		var d maintain.Diagnosis
		d.FrontEnds(saidBy(st.FrontEnds))
		return code == 1 && strings.Contains(st.Unready, "lost its row") && d.Unready != ""
	})
	_, statement, _ := strings.Cut(u.says(t, u.b).Why, "bring it back: ")
	if _, err := u.postgres.Exec(t.Context(), "tuflog", statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	u.submits(t)
}
