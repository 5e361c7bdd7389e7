package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/trillian"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Whether a batch arrived whose answer is lost is found out by sending it again.
func TestUnknownOutcomeIsResolved(t *testing.T) {
	if testing.Short() {
		t.Skip("breaks the way to real servers off many times")
	}
	c := need(t)
	for name, arrives := range map[string]bool{"answer lost": true, "request lost": false} {
		t.Run(name, func(t *testing.T) {
			cfg := c.config(t)
			var faulty atomic.Bool
			calls := 0
			cfg.dialOptions = intercept(func(ctx context.Context, method string, call func() error) error {
				if method != "AddSequencedLeaves" || !faulty.Load() {
					return call()
				}
				if calls++; arrives {
					if err := call(); err != nil {
						return err
					}
				}
				return status.Error(codes.Unavailable, "lost on the way")
			})
			l := open(t, cfg)
			mustAppend(t, l, "first", 3)
			for i := range 2 {
				faulty.Store(true)
				if _, err := l.Append(t.Context(), batch(fmt.Sprint("lost ", i), 300)); !errors.Is(err, errBusy) {
					t.Fatalf("Append: %v", err)
				}
				if calls < 2 {
					t.Errorf("sent %d times", calls)
				}
				// Until the outcome is known, nothing else is appended.
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				if _, err := l.Append(ctx, batch("never", 1)); err == nil {
					t.Error("appended behind an unknown outcome")
				}
				if tree, err := l.Integrated(ctx); err == nil {
					t.Errorf("Integrated = %v behind an unknown outcome", tree)
				}
				cancel()
				faulty.Store(false)
				if i == 0 {
					if tree := integrated(t, l); tree.N != 303 {
						t.Errorf("the tree is %v", tree)
					}
				}
				mustAppend(t, l, fmt.Sprint("next ", i), 2)
			}
			wantOnce(t, l, batch("first", 3), batch("lost 0", 300), batch("next 0", 2), batch("lost 1", 300), batch("next 1", 2))
		})
	}
}

// Whoever appends after a crash finds what the crashed one had sent.
func TestReopenedBehindAnUnknownOutcome(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a real log many times")
	}
	c := need(t)
	cfg := c.config(t)
	good := cfg
	cfg.dialOptions = intercept(func(ctx context.Context, method string, call func() error) error {
		if err := call(); err != nil || method != "AddSequencedLeaves" {
			return err
		}
		return status.Error(codes.Unavailable, "lost on the way")
	})
	l := open(t, cfg)
	if _, err := l.Append(t.Context(), batch("lost", 3)); !errors.Is(err, errBusy) {
		t.Fatalf("Append: %v", err)
	}
	again := open(t, good)
	mustAppend(t, again, "next", 3)
	wantOnce(t, again, batch("lost", 1), batch("next", 3)) // the first append brings one alone
}

func add(t *testing.T, cfg Config, index int64, entries ...[]byte) {
	t.Helper()
	conn, err := dial(cfg.Target, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := &trillian.AddSequencedLeavesRequest{LogId: cfg.TreeID}
	for i, e := range entries {
		request.Leaves = append(request.Leaves, &trillian.LogLeaf{LeafIndex: index + int64(i), LeafValue: e, LeafIdentityHash: identity(index+int64(i), e)})
	}
	if _, err := trillian.NewTrillianLogClient(conn).AddSequencedLeaves(t.Context(), request); err != nil {
		t.Fatal(err)
	}
}

func TestIndexIsTaken(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	add(t, cfg, 0, []byte("foreign 0")) // into the empty tree
	if _, err := l.Append(t.Context(), batch("own", 300)); !errors.Is(err, errForeign) {
		t.Fatalf("Append: %v", err)
	}
	mustAppend(t, l, "own", 300)
	// In the middle of a batch: what is before it lands.
	add(t, cfg, 305, []byte("foreign 1"))
	if _, err := l.Append(t.Context(), batch("cut", 10)); !errors.Is(err, errForeign) {
		t.Fatalf("Append: %v", err)
	}
	got := all(t, l)
	want := []string{"cut 0", "cut 1", "cut 2", "cut 3", "foreign 1", "cut 5"}
	if len(got) != 311 || !slices.Equal(got[301:307], want) {
		t.Fatalf("%d entries, around the foreign one %q", len(got), got[301:])
	}
	mustAppend(t, l, "next", 300)
	wantOnce(t, l, batch("own", 300), batch("foreign", 2), slices.Delete(batch("cut", 10), 4, 5), batch("next", 300))
}

// What Trillian refuses outright is not sent again, and blocks nothing.
func TestTreeIsFrozen(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	calls := 0
	cfg.dialOptions = intercept(func(ctx context.Context, method string, call func() error) error {
		if method == "AddSequencedLeaves" {
			calls++
		}
		return call()
	})
	l := open(t, cfg)
	mustAppend(t, l, "first", 3)
	state := func(s string) {
		t.Helper()
		if _, err := c.db.Exec(t.Context(), "trillian", fmt.Sprintf("UPDATE Trees SET TreeState = '%s' WHERE TreeId = %d", s, cfg.TreeID)); err != nil {
			t.Fatal(err)
		}
	}
	state("FROZEN")
	calls = 0
	if _, err := l.Append(t.Context(), batch("frozen", 3)); err == nil || errors.Is(err, errBusy) || calls != 1 {
		t.Fatalf("Append: %d calls, %v", calls, err)
	}
	if tree := integrated(t, l); tree.N != 3 {
		t.Errorf("the tree is %v", tree)
	}
	state("ACTIVE")
	mustAppend(t, l, "second", 3)
	wantOnce(t, l, batch("first", 3), batch("second", 3))
}

func TestTwoWriters(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	one := open(t, cfg)
	cfg.Tiles = new(memTiles)
	two := open(t, cfg)
	var sent [][][]byte
	for i := range 4 {
		for j, l := range []*Log{one, two} {
			b := batch(fmt.Sprint("writer ", j, " round ", i), 200)
			for {
				before := integrated(t, l)
				_, err := l.Append(t.Context(), b)
				if err == nil {
					break
				}
				if !errors.Is(err, errForeign) {
					t.Fatal(err)
				}
				if after := integrated(t, l); after.N <= before.N {
					t.Fatalf("the tree is %v after somebody else has written behind %v", after, before)
				}
			}
			sent = append(sent, b)
		}
	}
	eventually(t, "both see the same tree", func() bool { return integrated(t, one) == integrated(t, two) })
	wantOnce(t, one, sent...)
	wantOnce(t, two, sent...)
}

func TestSignerIsPaused(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a real signer")
	}
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	mustAppend(t, l, "first", 3)
	if err := c.trillian.PauseSigner(); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() {
		if err := c.trillian.ResumeSigner(); err != nil {
			t.Error(err)
		}
	})
	defer resume()
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if _, err := l.Append(soon(), batch("pending", 300)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Append: %v", err)
	}
	if tree, err := l.Integrated(soon()); err == nil {
		t.Fatalf("Integrated = %v without what was appended", tree)
	}
	// Another leader, that knows nothing, has to wait for it, too.
	cfg.Tiles = cfg.Tiles.(*memTiles).clone()
	if other, err := Open(soon(), cfg); err == nil {
		other.Close()
		t.Fatal("opened without what a former leader has appended")
	}
	time.AfterFunc(100*time.Millisecond, resume)
	other := open(t, cfg)
	wantOnce(t, other, batch("first", 3), batch("pending", 300))
	if integrated(t, l) != integrated(t, other) {
		t.Error("the two see different trees")
	}
}

// Killed and started again, or silent for a while, under a steady load: nothing
// is lost and nothing there twice.
func TestLogServerComesAndGoes(t *testing.T) {
	if testing.Short() {
		t.Skip("appends for seconds while the log server is killed again and again")
	}
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	mustAppend(t, l, "b", 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var done atomic.Int64
	sent := [][][]byte{batch("b", 1)}
	var failures atomic.Int64
	go func() {
		defer close(ended)
		for n := 0; ctx.Err() == nil; n++ {
			b := batch(fmt.Sprint("batch ", n), 20)
			for {
				have := integratedSoon(l)
				_, err := l.Append(t.Context(), b)
				if err == nil {
					break
				}
				failures.Add(1)
				if tree := integratedSoon(l); tree.N == have.N+20 {
					break // it has arrived all the same
				} else if tree.N != have.N {
					t.Errorf("from %v to %v by 20 entries", have, tree)
				}
			}
			sent = append(sent, b)
			done.Add(1)
		}
	}()
	more := func() {
		t.Helper()
		now := done.Load()
		eventually(t, "batches", func() bool { return done.Load() >= now+3 })
	}
	for _, outage := range []string{"short", "long", "short"} {
		more()
		c.trillian.KillServer()
		if outage == "long" {
			eventually(t, "the log says that it cannot append", func() bool { return failures.Load() > 0 })
		}
		if err := c.trillian.RestartServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		more()
		if err := c.trillian.PauseServer(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		if err := c.trillian.ResumeServer(); err != nil {
			t.Fatal(err)
		}
	}
	more()
	if err := c.db.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.db.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	more()
	cancel()
	<-ended
	wantOnce(t, l, sent...)
	if err := l.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
	t.Logf("%d batches, %d attempts failed", len(sent), failures.Load())
}

// integratedSoon asks until there is an answer.
func integratedSoon(l *Log) proofs.Tree {
	for {
		if tree, err := l.Integrated(context.Background()); err == nil {
			return tree
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A database without connections to spare is trouble that passes.
func TestTooManyConnections(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	l := open(t, cfg)
	mustAppend(t, l, "first", 3)
	limit := func(n int) {
		t.Helper()
		if _, err := c.db.Exec(context.Background(), "trillian", fmt.Sprintf("ALTER ROLE trillian CONNECTION LIMIT %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(0)
	defer limit(-1)
	if _, err := c.db.Exec(t.Context(), "trillian", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'trillian'"); err != nil {
		t.Fatal(err)
	}
	_, err := l.Append(t.Context(), batch("second", 3))
	if !errors.Is(err, errBusy) || !errors.Is(err, log.ErrUnavailable) || !strings.Contains(err.Error(), "too many connections") {
		t.Fatalf("Append: %v", err)
	}
	t.Log(err)
	limit(-1)
	eventually(t, "the log recovers", func() bool {
		tree, err := l.Integrated(t.Context())
		return err == nil && tree.N == 6
	})
	mustAppend(t, l, "third", 3)
	wantOnce(t, l, batch("first", 3), batch("second", 3), batch("third", 3))
}

func TestBusy(t *testing.T) {
	for _, busy := range []error{
		status.Error(codes.Unavailable, "connection refused"),
		status.Error(codes.DeadlineExceeded, "too slow"),
		status.Error(codes.ResourceExhausted, "quota"),
		status.Error(codes.Unknown, "failed to connect to `user=x database=y`: server error: FATAL: sorry, too many clients already (SQLSTATE 53300)"),
		status.Error(codes.Unknown, "Error 1040: Too many connections"),
		status.Error(codes.Unknown, "FATAL: the database system is starting up (SQLSTATE 57P03)"),
	} {
		if err := failed(t.Context(), "Call", busy); !errors.Is(err, errBusy) || status.Code(err) != status.Code(busy) {
			t.Errorf("%v is not busy", err)
		}
	}
	for _, other := range []error{
		status.Error(codes.NotFound, "no such tree"),
		status.Error(codes.Unknown, "syntax error"),
	} {
		if err := failed(t.Context(), "Call", other); errors.Is(err, errBusy) {
			t.Errorf("%v is busy", err)
		}
	}
	l := open(t, need(t).config(t))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), batch("x", 1)); err == nil {
		t.Error("appended to a closed log")
	}
	cfg := l.cfg
	cfg.TreeID++
	if none, err := Open(t.Context(), cfg); err == nil {
		none.Close()
		t.Error("opened a tree that is not there")
	} else if errors.Is(err, errBusy) {
		t.Errorf("a tree that is not there is busy: %v", err)
	}
}

// A signer that stands still is no reason to give up; a log server that says nothing
// is, and is not waited for.
func TestWatch(t *testing.T) {
	if testing.Short() {
		t.Skip("appends for as long as the log server may be silent")
	}
	c := need(t)
	cfg := c.config(t)
	var asked atomic.Int64
	cfg.dialOptions = intercept(func(_ context.Context, method string, call func() error) error {
		if method == "GetLatestSignedLogRoot" {
			asked.Add(1)
		}
		return call()
	})
	l := open(t, cfg)
	mustAppend(t, l, "first", 3)
	if err := c.trillian.PauseSigner(); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(l.client.probe(t.Context()), Reach(t.Context(), cfg))
	if err := errors.Join(err, c.trillian.ResumeSigner()); err != nil {
		t.Fatalf("without a signer: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	before := asked.Load()
	go func() { watched <- l.Watch(ctx) }()
	for began := time.Now(); time.Since(began) < 3*probeEvery/2; {
		mustAppend(t, l, "next", 1)
	}
	if n := asked.Load() - before; n != 0 {
		t.Errorf("asked %d times while it was heard", n)
	}
	eventually(t, "it is asked when nothing is appended", func() bool { return asked.Load() > before+1 })
	cancel()
	if err := <-watched; err != nil {
		t.Errorf("told to stop: %v", err)
	}
	size := integrated(t, l).N

	if err := c.trillian.PauseServer(); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() {
		if err := c.trillian.ResumeServer(); err != nil {
			t.Error(err)
		}
	})
	defer resume()
	began := time.Now()
	go func() { watched <- l.Watch(t.Context()) }()
	appending, giveUp := context.WithCancel(t.Context())
	appended := make(chan error, 1)
	go func() {
		defer close(appended)
		for appending.Err() == nil { // as the intake does
			_, err := l.Append(appending, batch("lost", 1))
			appended <- err
		}
	}()
	err = <-watched
	if took := time.Since(began); !errors.Is(err, errBusy) || took < awayTime-time.Second || took > awayTime+probeTime+3*time.Second {
		t.Errorf("given up after %v: %v", took, err)
	}
	if err := Reach(t.Context(), cfg); !errors.Is(err, errBusy) || !strings.Contains(err.Error(), cfg.Target) {
		t.Errorf("Reach: %v", err)
	}
	giveUp()
	for err := range appended {
		if err == nil {
			t.Error("appended to a log server that hangs")
		}
	}
	closing := time.Now()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(closing); took > time.Second {
		t.Errorf("closed after %v", took)
	}
	resume()
	again := open(t, cfg)
	mustAppend(t, again, "last", 3)
	if n := integrated(t, again).N; n != size+3 && n != size+4 {
		t.Errorf("%d entries after %d, one that may have arrived, and 3", n, size)
	}
}
