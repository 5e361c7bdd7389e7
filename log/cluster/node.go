package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/follower"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// Node is one front end of a log that several serve: it follows the log, and leads it
// whenever it has the lease.
type Node struct {
	cfg    Config // Lead's settings change with mu
	id     string // of this process, in the lease
	url    string // where other front ends reach this one; empty: it never leads
	times  yieldTimes
	logger *slog.Logger

	front    Front
	follower *follower.Log
	forward  *Forwarder

	mu      sync.Mutex
	leading *leader.Log // nil while another leads; changes with mu
	reloads int         // of the settings
	opened  int         // reloads when the log was opened last for leading

	// stopped is the reason why this front end has stopped, nil if it has not.
	stopped atomic.Pointer[log.Halt]
	// publisher gets cosignatures that come late.
	publisher atomic.Pointer[publisher.Publisher]
	// failed is the reason why it could not begin to lead when it had the lease last, nil if
	// it could.
	failed atomic.Pointer[failure]
	// ending is set once this process is to stop: it completes the answers under way, and
	// leaves the lease to others.
	ending atomic.Bool
	// barred is the reason why it cannot campaign for the lease, nil if it can.
	barred atomic.Pointer[error]

	// Of Run alone: the reason why it did not lead the last time, and the lease that it had.
	back  setback
	epoch int64

	// The knowledge that front ends that may lead have of themselves and of each other.
	checks    checks
	trying    <-chan error // gets the answer of CanSign; nil while it is not asked
	others    others
	out       outside
	seen      atomic.Pointer[Leader] // the leader when that was asked last
	reached   atomic.Pointer[reached]
	twin      atomic.Bool  // another one says that it is reached at this one's URL
	twinLeads atomic.Int64 // the epoch in which such a one led last
}

// failure is the reason why a front end could not begin to lead.
type failure struct {
	err   error
	until time.Time // then it is of no interest any more
}

// failing returns the reason why this front end could not begin to lead, nil if it could or
// that is long ago.
func (n *Node) failing(now time.Time) error {
	if f := n.failed.Load(); f != nil && now.Before(f.until) {
		return f.err
	}
	return nil
}

// Open opens the log for following. Nothing is served before, and nothing runs until Start.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	id, err := ProcessID()
	if err != nil {
		return nil, err
	}
	n := newNode(cfg)
	n.id, n.others.self = id, id
	n.forward = NewForwarder(ForwarderConfig{Leader: n.leader, Why: n.why, Secret: cfg.Follow.Sources.FrontEndSecret, Logger: n.logger})
	following := cfg.Follow
	following.Forward = n.forward
	if n.follower, err = follower.Open(ctx, following); err != nil {
		return nil, err
	}
	n.front.Switch(n.follower)
	return n, nil
}

// newNode returns a Node that has no log yet.
func newNode(cfg Config) *Node {
	n := &Node{cfg: cfg, times: defaultTimes, others: others{times: defaultTimes}, out: outside{times: defaultTimes}, logger: cfg.Lead.Logger}
	if n.logger == nil {
		n.logger = slog.Default()
	}
	n.checks = n.newChecks()
	return n
}

// ProcessID names this process in the lease.
func ProcessID() (string, error) {
	host, err := os.Hostname()
	return fmt.Sprintf("%s %d %s", host, os.Getpid(), rand.Text()[:8]), err
}

// Start follows the log and, where url is not empty, says how this front end is, until stop
// is called, which waits for the end of both: call it when the last request has been
// answered, and Run has returned. Other front ends reach this one at url; one without the
// log's key has none, and never leads. When ctx ends, this front end leaves the lease to
// others.
func (n *Node) Start(ctx context.Context, url string) (stop func()) {
	n.url = url
	stopEnding := context.AfterFunc(ctx, func() { n.ending.Store(true) })
	following, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = n.follower.Run(following) }) // a follower ends when it is told to
	if url != "" {
		running.Go(func() { n.beats(following) })
	}
	return func() {
		end()
		running.Wait()
		stopEnding()
	}
}

// ServeHTTP implements http.Handler: the log that is followed or led answers.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) { n.front.ServeHTTP(w, r) }

// Stats returns how far that log is.
func (n *Node) Stats(ctx context.Context) httpd.Stats { return n.front.Stats(ctx) }

// Board shows the log as it is followed, also while this front end leads it.
func (n *Node) Board() *publisher.Board { return n.follower.Board() }

// AddCosignatures gives cosignatures that came late to the log, if this front end leads.
func (n *Node) AddCosignatures(text string, sigs []proofs.Signature) {
	if p := n.publisher.Load(); p != nil {
		p.AddCosignatures(text, sigs)
	}
}

// Status is the state of a front end, and of the others as far as it knows.
type Status struct {
	// Epoch is the number of the lease, which rises with each change of the leader, as
	// far as it is known here.
	Epoch int64
	// Able reports whether this front end could lead and publish now, or does.
	Able bool
	// Others is how many others may lead and live, OthersAble how many of those are able.
	Others, OthersAble int
	// sameURL reports whether another one says that it is reached at this one's URL.
	SameURL bool
	// Kept reports whether its directory has, or gets, the newest checkpoint that it has
	// served.
	Kept bool
}

// Status returns the state of this front end, and of the others as far as it knows.
func (n *Node) Status() Status {
	others := n.others.alive(time.Now())
	s := Status{Able: n.hindrance(time.Now()) == nil, Others: len(others), OthersAble: len(ableOf(others)), SameURL: n.twin.Load(), Kept: n.cfg.Lead.Publisher.Served.Trouble() == nil}
	if l := n.seen.Load(); l != nil {
		s.Epoch = l.Epoch
	}
	return s
}

// Reload takes over settings, for the log that follows and for the one that leads.
func (n *Node) Reload(s httpd.Settings) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.follower.Reload(s); err != nil {
		return err
	}
	n.cfg.Lead.Labels, n.cfg.Lead.Token, n.cfg.Lead.Publisher.Policy = s.Labels, s.Token, s.Policy
	n.reloads++
	n.checks.anew() // other witnesses, perhaps
	if n.leading != nil {
		return n.leading.Reload(s)
	}
	return nil
}

// lets makes a log the one that leads; nil: none does. While it was opened the settings may
// have changed.
func (n *Node) lets(l *leader.Log) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leading = l
	if l == nil || n.opened == n.reloads {
		return nil
	}
	return l.Reload(httpd.Settings{Labels: n.cfg.Lead.Labels, Token: n.cfg.Lead.Token, Policy: n.cfg.Lead.Publisher.Policy})
}

// reloaded returns how often the settings have changed.
func (n *Node) reloaded() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reloads
}

// leads reports whether this front end writes the log.
func (n *Node) leads() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leading != nil
}

// stop makes this front end follow and nothing else, and says why.
func (n *Node) stop(h *log.Halt) {
	n.stopped.Store(h)
	n.follower.Halt(h)
}

// leader is ForwarderConfig's.
func (n *Node) leader(ctx context.Context) (Leader, bool, error) {
	l, ok, err := n.cfg.Leases.Leader(ctx)
	if err == nil && ok {
		if before := n.seen.Swap(&l); n.isTwin(before, l) {
			return Leader{}, false, fmt.Errorf("the front end that leads has the URL of this one, %s: give each its own --url", fetch.Redacted(n.url))
		}
	}
	if ok && l.ID == n.id && n.failing(time.Now()) != nil {
		ok = false // it tries once more, and cannot yet
	}
	// A command that changes the log has the lease without a URL.
	return l, ok && l.URL != "", err
}

// isTwin reports whether another process that leads, and lives, is said to be reached where
// this one is. Requests that are passed on to it would come back.
func (n *Node) isTwin(before *Leader, now Leader) bool {
	lives := before != nil && before.Epoch == now.Epoch && (before.Renewals != now.Renewals || n.twinLeads.Load() == now.Epoch)
	is := now.ID != n.id && sameURL(now.URL, n.url) && lives
	if is {
		n.twinLeads.Store(now.Epoch)
	}
	return is
}

// why is ForwarderConfig's.
func (n *Node) why() error {
	if barred := n.barred.Load(); barred != nil {
		return *barred
	}
	if failing := n.failing(time.Now()); failing != nil {
		return fmt.Errorf("leading has failed here: %w", failing)
	}
	// It is asked as long as nobody has the lease: an old answer is of no use.
	if err := n.checks.storage.verdict(awayFor); !errors.Is(err, errNotAsked) {
		return err
	}
	return nil
}

// PlaceOf is a front end's URL as it is compared.
func PlaceOf(url string) string { return strings.TrimSuffix(fetch.Redacted(url), "/") }

// sameURL reports whether two front ends are reached at the same place.
func sameURL(a, b string) bool { return PlaceOf(a) == PlaceOf(b) }
