package leader_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/follower"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/sqlite"
)

// clusterSecret is what the front ends of a test's cluster share.
const clusterSecret = "the front ends' secret"

// memCheckpoints is log.Checkpoints in memory.
type memCheckpoints struct {
	mu   sync.Mutex
	note []byte
	fail error // of Load
}

func (m *memCheckpoints) Load(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.note, m.fail
}

func (m *memCheckpoints) Store(_ context.Context, note []byte) error {
	m.set(note, nil)
	return nil
}

func (m *memCheckpoints) set(note []byte, fail error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note, m.fail = note, fail
}

// errDeposed is what fenced parts answer once the right to write has ended.
var errDeposed = errors.New("another process leads")

// fenced is what only a leader may write, for as long as its right lasts.
type fenced struct {
	log.Ledger
	log.Checkpoints
	right context.Context
}

func (f fenced) Swap(ctx context.Context, old, new log.LedgerRecord) error {
	if f.right.Err() != nil {
		return errDeposed
	}
	return f.Ledger.Swap(ctx, old, new)
}

func (f fenced) Store(ctx context.Context, note []byte) error {
	if f.right.Err() != nil {
		return errDeposed
	}
	return f.Checkpoints.Store(ctx, note)
}

// both Load methods are wanted, so each is a type of its own.
type (
	fencedLedger      struct{ fenced }
	fencedCheckpoints struct{ fenced }
)

func (f fencedLedger) Load(ctx context.Context) (log.LedgerRecord, error) { return f.Ledger.Load(ctx) }
func (f fencedCheckpoints) Load(ctx context.Context) ([]byte, error)      { return f.Checkpoints.Load(ctx) }

// shared is what the front ends of a log share, faked.
type shared struct {
	*logtest.Fixture
	checkpoints *memCheckpoints
	blobs       *sqlite.Blobs
	state       *sqlite.State
	change      func(*leader.Config)

	mu     sync.Mutex
	leader cluster.Leader // URL empty: nobody leads
	epoch  int64
}

func newCluster(t *testing.T, change func(*leader.Config)) *shared {
	t.Helper()
	c := &shared{Fixture: logtest.New(t), checkpoints: &memCheckpoints{}, change: change}
	dir := t.TempDir()
	check(t, sqlite.CreateBlobs(filepath.Join(dir, "blobs.db")))
	check(t, sqlite.CreateState(filepath.Join(dir, "state.db")))
	var err error
	c.blobs, err = sqlite.OpenBlobs(filepath.Join(dir, "blobs.db"))
	check(t, err)
	c.state, err = sqlite.OpenState(filepath.Join(dir, "state.db"))
	check(t, err)
	t.Cleanup(func() { check(t, errors.Join(c.state.Close(), c.blobs.Close())) })
	return c
}

// config is what leaders and followers have in common.
func (c *shared) config() leader.Config {
	cfg := leader.Config{Publisher: c.Cfg}
	cfg.Blobs, cfg.State, cfg.Logger = c.blobs, c.state, c.Cfg.Logger
	cfg.Publisher.Checkpoints = c.checkpoints
	cfg.Sources.FrontEndSecret = clusterSecret
	if c.change != nil {
		c.change(&cfg)
	}
	return cfg
}

// following is what a follower has of it.
func (c *shared) following() follower.Config {
	cfg := c.config()
	of := follower.Config{Config: cfg.Config, Policy: cfg.Publisher.Policy, Checkpoints: cfg.Publisher.Checkpoints, Served: cfg.Publisher.Served}
	of.Storage = cfg.Publisher.Storage
	return of
}

func (c *shared) setLeader(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.leader = cluster.Leader{URL: url, Epoch: c.epoch}
}

func (c *shared) whoLeads(context.Context) (cluster.Leader, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leader, c.leader.URL != "", nil
}

// frontEnd is one process of a cluster.
type frontEnd struct {
	*running
	follower *follower.Log
	cluster  *shared
	front    *cluster.Front
	depose   func() // what ends its right to write
}

// front starts a front end that follows.
func (c *shared) front(t *testing.T) *frontEnd {
	t.Helper()
	cfg := c.following()
	if len(c.Policy.Logs) == 0 {
		t.Fatal("the policy lists no log")
	}
	cfg.Forward = cluster.NewForwarder(cluster.ForwarderConfig{Leader: c.whoLeads, Secret: clusterSecret, Logger: cfg.Logger})
	follower, err := follower.Open(t.Context(), cfg)
	check(t, err)
	f := &frontEnd{cluster: c, front: new(cluster.Front), follower: follower, running: &running{Fixture: c.Fixture}}
	f.front.Switch(follower)
	f.http = httptest.NewServer(f.front)
	f.client = &api.Client{Base: f.http.URL, Token: cfg.Token}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- follower.Run(ctx) }()
	t.Cleanup(func() {
		if f.depose != nil {
			f.depose()
		}
		cancel()
		f.http.Close()
		check(t, <-ended)
	})
	return f
}

// lead has the front end lead, until depose is called.
func (f *frontEnd) lead(t *testing.T) *leader.Log {
	t.Helper()
	c := f.cluster
	right, end := context.WithCancel(context.Background())
	cfg := c.config()
	parts := fenced{c.Ledger, c.checkpoints, right}
	cfg.Publisher.Ledger, cfg.Publisher.Checkpoints = fencedLedger{parts}, fencedCheckpoints{parts}
	cfg.Right = right
	l, err := leader.Open(t.Context(), cfg)
	check(t, err)
	f.front.Switch(l)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(context.Background()) }()
	f.depose = sync.OnceFunc(func() {
		end()
		check(t, <-ended)
		f.follower.Continue(l.Board())
		f.front.Switch(f.follower)()
	})
	c.setLeader(f.http.URL)
	return l
}

// leaderAndFollower starts two front ends.
func leaderAndFollower(t *testing.T, change func(*leader.Config)) (c *shared, leader, follower *frontEnd) {
	t.Helper()
	c = newCluster(t, change)
	leader, follower = c.front(t), c.front(t)
	leader.lead(t)
	return c, leader, follower
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ready waits for what /readyz says.
func (f *frontEnd) ready(t *testing.T, status int) (body []byte) {
	t.Helper()
	eventually(t, http.StatusText(status)+" from /readyz", func() bool {
		var resp *http.Response
		resp, body = f.do(t, "GET", "/readyz", nil)
		return resp.StatusCode == status
	})
	return body
}

// pack makes the body of a submission.
func packed(t *testing.T, files ...api.File) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		check(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Data)), Mode: 0o644}))
		_, err := w.Write(f.Data)
		check(t, err)
	}
	check(t, w.Close())
	return b.Bytes()
}
