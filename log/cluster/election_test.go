package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
)

// onlyLease is Leases, of which a candidate gets the lease at once unless somebody else has
// it, and cannot open the log with it. It writes down when, and what the Node says.
type onlyLease struct {
	mu     sync.Mutex
	fails  error // when the log is opened
	holder Leader
	taken  []time.Time
	said   bytes.Buffer
}

func (o *onlyLease) Campaign(ctx context.Context, who Candidate) (Lease, error) {
	for {
		if l := o.take(ctx, who); l != nil {
			return l, nil
		}
		if err := wait.For(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (o *onlyLease) take(ctx context.Context, who Candidate) Lease {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder.ID != "" {
		return nil
	}
	o.holder = Leader{ID: who.ID, URL: who.URL, Epoch: o.holder.Epoch + 1}
	o.taken = append(o.taken, time.Now())
	return &brokenLease{o, context.WithoutCancel(ctx), o.holder.Epoch}
}

func (o *onlyLease) Leader(context.Context) (Leader, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.holder, o.holder.ID != "", nil
}

func (o *onlyLease) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.Write(b)
}

// fail makes opening the log fail for another reason from now on.
func (o *onlyLease) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fails = err
}

// hold gives the lease to somebody for a while.
func (o *onlyLease) hold(id string, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holder.ID = id
	o.holder.Epoch++
	time.AfterFunc(d, o.free)
}

// free gives the lease to nobody.
func (o *onlyLease) free() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holder.ID = ""
}

// since returns what was written down since it was asked last, and why opening fails now.
func (o *onlyLease) since() (taken []time.Time, said string, fails error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken, said = o.taken, o.said.String()
	o.taken = nil
	o.said.Reset()
	return taken, said, o.fails
}

type brokenLease struct {
	o     *onlyLease
	ctx   context.Context
	epoch int64
}

func (l *brokenLease) Context() context.Context { return l.ctx }
func (l *brokenLease) Epoch() int64             { return l.epoch }
func (l *brokenLease) Open(context.Context, *leader.Config) (Storage, error) {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	return nil, l.o.fails
}
func (l *brokenLease) Release(context.Context) error { l.o.free(); return nil }

// A front end that cannot open the log for leading tries again less and less often, and
// tells why once in its log and always to clients that ask; a server that is away makes it wait no
// longer, and neither does a new reason, a reload, or that another one has led.
func TestSetback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const second = time.Second
		key := errors.New("the ledger is signed by another key, and epoch 7 of port 4711 is no help")
		o := &onlyLease{fails: key}
		n := newNode(Config{Leases: o, Lead: leader.Config{Config: httpd.Config{Logger: slog.New(slog.NewTextHandler(o, nil))}}})
		n.id, n.url = "a", "http://a"
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := n.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(second / 2) // what happens, happens between two looks
		// within expects after how many seconds the lease was taken, and how often a reason
		// was told.
		within := func(what string, d time.Duration, told int, want ...int) {
			t.Helper()
			began := time.Now()
			time.Sleep(d)
			synctest.Wait()
			taken, said, fails := o.since()
			got := make([]int, len(taken))
			for i, at := range taken {
				got[i] = int((at.Sub(began) + second/2) / second)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: the lease was taken after %v s, want %v", what, got, want)
			}
			if lines := strings.Count(said, "cannot lead the log"); lines != told || strings.Count(said, "\n") > 3*told {
				t.Errorf("%s: told %d times, want %d, in all:\n%s", what, lines, told, said)
			}
			if err := n.why(); !errors.Is(err, fails) {
				t.Errorf("%s: clients that ask are told %v", what, err)
			}
			if err := n.hindrance(time.Now()); !errors.Is(err, fails) {
				t.Errorf("%s: the other front ends are told %v", what, err)
			}
		}
		within("another key", 100*second, 1, 0, 1, 3, 7, 15, 31, 61, 91)
		o.fail(errors.New("the ledger is signed by another key, and epoch 8 of port 4712 is no help"))
		within("the same, but for numbers", 40*second, 0, 21)
		o.fail(errors.New("no such tree"))
		within("a new reason", 30*second, 1, 11, 12, 14, 18, 26)
		o.fail(fmt.Errorf("the database: %w", log.ErrUnavailable))
		within("a server is away", 20*second, 1, 12, 13, 14, 15, 16, 17, 18, 19, 20)
		o.fail(key)
		within("it is back", 20*second, 1, 1, 2, 4, 8, 16)
		n.mu.Lock()
		n.reloads++
		n.mu.Unlock()
		within("a reload", 5*second, 1, 1, 2, 4)
		time.Sleep(20 * second)
		o.since()
		o.hold("b", 5*second-second/5)
		within("another one has led", 9*second, 1, 5, 6, 8)
		time.Sleep(20 * second)
		o.since()
		o.hold("b", second-second/5)
		within("another one has led for a moment", 9*second, 0, 7)
		cancel()
		running.Wait()
	})
}

// stopsAtLease is Leases whose lease comes with the order to stop: opening the log fails as
// it does for any other reason, and the error may not say that it was interrupted.
type stopsAtLease struct {
	onlyLease
	stop context.CancelFunc
}

func (s *stopsAtLease) Campaign(ctx context.Context, who Candidate) (Lease, error) {
	l, err := s.onlyLease.Campaign(ctx, who)
	s.stop()
	return l, err
}

// A front end that is told to stop while it begins to lead has not failed.
func TestStoppedWhileBeginning(t *testing.T) {
	for _, fails := range []error{
		errors.New("the ledger is signed by another key"),
		fmt.Errorf("rpc error: code = Canceled: %w", log.ErrUnavailable),
		context.Canceled,
		context.DeadlineExceeded,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		o := &stopsAtLease{onlyLease{fails: fails}, cancel}
		n := newNode(Config{Leases: o, Lead: leader.Config{Config: httpd.Config{Logger: slog.New(slog.NewTextHandler(o, nil))}}})
		n.id, n.url = "a", "http://a"
		if err := n.Run(ctx); err != nil {
			t.Errorf("%v: ended with %v", fails, err)
		}
		if _, said, _ := o.since(); fails != context.Canceled && !strings.Contains(said, fails.Error()) {
			t.Errorf("%v: said\n%s", fails, said)
		}
		cancel()
	}
}
