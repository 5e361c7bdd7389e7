package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/follower"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// shared says where a log is that several front ends serve.
type shared struct{ storageURL, stateURL, url string }

func (s *shared) sharedFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.storageURL, "storage", "", "Trillian's log server, trillian://HOST:PORT/TREE or trillians://HOST:PORT/TREE?ca=FILE (default: DIR)")
	cmd.Flags().StringVar(&s.stateURL, "state", "", "with --storage: the PostgreSQL database for all else, postgres://USER@HOST/DATABASE")
	cmd.MarkFlagsRequiredTogether("storage", "state")
}

// on reports whether the log is on servers, not in a directory.
func (s *shared) on() bool { return s.stateURL != "" || s.storageURL != "" }

// storageName is what the database calls Trillian's tree: by its number alone,
// because servers move.
func storageName(tree int64) string { return fmt.Sprintf("trillian tree %d", tree) }

// mayLead reports whether this front end has the log's key.
func (f *serveFlags) mayLead() bool {
	if f.agent != "" || os.Getenv(keyVariable) != "" {
		return true
	}
	_, err := os.Stat(f.key())
	return !errors.Is(err, fs.ErrNotExist)
}

const (
	// releaseTime is how long giving the lease up may take. Not given up it
	// expires.
	releaseTime = 2 * time.Second
	// retryLead is how long a front end that could not begin to lead leaves it
	// to others.
	retryLead = time.Second
	// lookAgain is how long a front end that has stopped leaves it at that: what
	// stopped it may have been put right.
	lookAgain = time.Minute
	// ledFor is how long another front end leads before one that has stopped takes
	// that for its own way to go on.
	ledFor = 10 * time.Second
	// openTime is how long opening Trillian may take. A leader that cannot
	// reach it leaves the lease to one that can. What was copied by then
	// stays.
	openTime = 30 * time.Second
	// awayFor is how long it is of interest that Trillian did not answer: longer
	// than it takes until it is asked again.
	awayFor = 5 * time.Second
)

// node is one front end of a log that several serve.
type node struct {
	db       *postgres.DB
	mu       sync.Mutex
	cfg      leader.Config // what leading and following have in common; its settings change with mu
	leading  *leader.Log   // nil while another leads; changes with mu
	reloads  int           // of the settings
	opened   int           // reloads when the log was opened last for leading
	storage  trillianlog.Config
	url      string
	front    cluster.Front
	follower *follower.Log
	metrics  *metrics.Metrics
	logger   *slog.Logger

	// stopped is why this front end has stopped, nil if it has not.
	stopped atomic.Pointer[log.Halt]
	// publisher gets cosignatures that come late.
	publisher atomic.Pointer[publisher.Publisher]
	// failed is why it could not begin to lead when it had the lease last, nil if it
	// could.
	failed atomic.Pointer[failure]
	// ending is set once this process is to stop: what it has yet to answer it answers,
	// and leaves the lease to others.
	ending atomic.Bool
	// barred is what keeps it from campaigning for the lease, nil if nothing does.
	barred atomic.Pointer[failure]

	// What front ends that may lead know of themselves and of each other.
	id        string // of this process, in the lease
	times     yieldTimes
	witnesses *witnesses
	forward   *cluster.Forwarder
	checks    checks
	trying    <-chan error // what the agent is being asked; nil while it is not
	others    others
	out       outside
	seen      atomic.Pointer[postgres.Leader] // who led when that was asked last
	reached   atomic.Pointer[reached]
	twin      atomic.Bool  // another one says that it is reached at this one's URL
	twinLeads atomic.Int64 // the epoch in which such a one led last
}

// failure is why something went wrong last.
type failure struct {
	at  time.Time
	err error
}

// serveShared serves a log on servers: at once as a follower, and as the leader
// whenever it has the lease.
func serveShared(ctx context.Context, flags serveFlags, cfg leader.Config, m *metrics.Metrics, re *reloader, hup <-chan os.Signal, stderr io.Writer) error {
	c, err := flags.connect(ctx, cfg, m)
	if err != nil {
		return err
	}
	defer c.db.Close()
	if err := c.open(ctx, flags); err != nil {
		return err
	}
	defer c.cfg.Publisher.Served.Close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", flags.listen)
	if err != nil {
		return err
	}
	work := c.campaign
	if flags.mayLead() {
		if c.url, err = reachable(flags.url, listener.Addr()); err != nil {
			return errors.Join(err, listener.Close())
		}
		c.logger.Info("front end of a shared log", "url", c.url)
	} else {
		c.logger.Info("front end of a shared log; without the log's key it only follows")
		work = func(ctx context.Context) error { <-ctx.Done(); return nil }
	}
	re.witnesses.late = c.late
	re.reload = c.reload
	m.Watch(c.front.Stats, re.witnesses.Health)
	c.witnesses = re.witnesses

	defer context.AfterFunc(ctx, func() { c.ending.Store(true) })()
	// It follows until the last request has ended.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { _ = c.follower.Run(following) }) // a follower ends when it is told to
	if flags.mayLead() {
		m.WatchFrontEnd(c.frontEnd, yieldUnpublished, yieldUnreachable, yieldTrillian)
		running.Go(func() { c.beats(following) })
	}
	err = listen(ctx, flags, m, c.logger, stderr, listener, &c.front, re.beside(hup, work))
	stop()
	running.Wait()
	return err
}

// connect opens the database and checks that it belongs to the storage. The
// caller closes it.
func (s *shared) connect(ctx context.Context, cfg leader.Config, m *metrics.Metrics) (*node, error) {
	storage, err := trillianlog.ParseURL(s.storageURL)
	if err != nil {
		return nil, err
	}
	storage.Logger = cfg.Logger
	db, err := postgres.Open(ctx, postgres.Config{URL: s.stateURL, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	if err := db.CheckStorage(ctx, storageName(storage.TreeID)); err != nil {
		db.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: logserver init --storage --state makes a log", err)
		} else if errors.As(err, new(*postgres.OtherStorageError)) {
			err = fmt.Errorf("%w. If the database is of a date before logserver tree replace made that tree, have it take the place of the old one: logserver tree replace --to %s, with the old one's --storage", err, s.storageURL)
		}
		return nil, err
	}
	cfg.Blobs, cfg.Tokens = db.Blobs(), db.Tokens()
	c := &node{db: db, cfg: cfg, storage: storage, metrics: m, logger: cfg.Logger, times: defaultTimes}
	if c.id, err = processID(); err != nil {
		db.Close()
		return nil, err
	}
	c.checks = c.newChecks()
	c.others, c.out = others{self: c.id, times: c.times}, outside{times: c.times}
	return c, nil
}

// open begins to follow.
func (c *node) open(ctx context.Context, flags serveFlags) (err error) {
	secret, err := c.db.Secret(ctx)
	if err != nil {
		return err
	}
	c.cfg.HTTP.FrontEndSecret = secret
	keys, err := c.keys(ctx, flags)
	if err != nil {
		return err
	}
	if c.cfg.Publisher.Served, err = publisher.OpenServed(flags.served(), keys, c.logger); err != nil {
		return err
	}
	c.forward = cluster.NewForwarder(cluster.ForwarderConfig{Leader: c.leader, Why: c.why, Secret: secret, Logger: c.logger})
	cfg := follower.Config{
		Config:      c.cfg.Config,
		Policy:      c.cfg.Publisher.Policy,
		Keys:        keys,
		Checkpoints: c.db.Checkpoints(nil),
		Served:      c.cfg.Publisher.Served,
		Forward:     c.forward,
	}
	cfg.Storage, cfg.State = trillianlog.OpenReader(c.db.Tiles(nil)), c.db.State(nil)
	if c.follower, err = follower.Open(ctx, cfg); err != nil {
		return err
	}
	c.front.Switch(c.follower)
	return nil
}

// keys returns the log's public keys: those it signs with or, on a front end that
// never signs, those of log.vkey or of the policy.
func (c *node) keys(ctx context.Context, flags serveFlags) (keys []proofs.Key, err error) {
	if s := c.cfg.Publisher.Signer; s != nil {
		keys = append(keys, s.Key())
		for _, more := range c.cfg.Publisher.More {
			keys = append(keys, more.Key())
		}
	} else if keys, err = readKeys(flags.place); errors.Is(err, fs.ErrNotExist) {
		keys, err = nil, nil
		for _, l := range c.cfg.Publisher.Policy.Logs {
			keys = append(keys, l.Key)
		}
	}
	if err != nil {
		return nil, err
	}
	origin, _, err := c.db.Log(ctx)
	for _, key := range keys {
		if err == nil && key.Name() != origin {
			err = fmt.Errorf("the key is of log %q, the database of %q", key.Name(), origin)
		}
	}
	return keys, err
}

// isTwin reports whether another process that leads, and lives, is said to be reached where
// this one is. What is passed on to it would come back.
func (c *node) isTwin(before *postgres.Leader, now postgres.Leader) bool {
	lives := before != nil && before.Epoch == now.Epoch && (before.Renewals != now.Renewals || c.twinLeads.Load() == now.Epoch)
	is := now.ID != c.id && sameURL(now.URL, c.url) && lives
	if is {
		c.twinLeads.Store(now.Epoch)
	}
	return is
}

// leader is cluster.ForwarderConfig's.
func (c *node) leader(ctx context.Context) (cluster.Leader, bool, error) {
	l, ok, err := c.db.Leader(ctx)
	if err == nil && ok {
		if before := c.seen.Swap(&l); c.isTwin(before, l) {
			return cluster.Leader{}, false, fmt.Errorf("the front end that leads has the URL of this one, %s: give each its own --url", fetch.Redacted(c.url))
		}
	}
	// A command that changes the log has the lease without a URL.
	return cluster.Leader{URL: l.URL, Epoch: l.Epoch}, ok && l.URL != "", err
}

// reach says why this front end cannot write to the storage: Trillian does not answer, or
// the log has another tree.
func (c *node) reach(ctx context.Context) error {
	if err := c.inPlace(ctx); err != nil {
		return err
	}
	return trillianlog.Reach(ctx, c.storage)
}

// inPlace says why this front end cannot lead where the log has another tree by now. It
// goes on following. Who takes the lease has asked between looking at it and taking it, so
// that no command can have replaced the tree meanwhile.
func (c *node) inPlace(ctx context.Context) error {
	err := c.db.CheckStorage(ctx, storageName(c.storage.TreeID))
	var replaced *postgres.ReplacedError
	if errors.As(err, &replaced) && c.stopped.Load() != nil {
		c.stop(&log.Halt{Code: haltReplaced, What: fmt.Sprintf("log %q has got a new tree, and is in %s now", replaced.Origin, replaced.Storage), Do: "Start this front end again with --storage " + replaced.URL})
	}
	return err
}

// stop has this front end do nothing but follow, and say why.
func (c *node) stop(h *log.Halt) {
	c.stopped.Store(h)
	c.follower.Halt(h)
}

// reload takes over settings, for the log that follows and for that which leads.
func (c *node) reload(s httpd.Settings) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.follower.Reload(s); err != nil {
		return err
	}
	c.cfg.Labels, c.cfg.Token, c.cfg.Publisher.Policy = s.Labels, s.Token, s.Policy
	c.reloads++
	c.checks.anew() // other witnesses, perhaps
	if c.leading != nil {
		return c.leading.Reload(s)
	}
	return nil
}

// lets lets a log lead, or none. While it was opened the settings may have changed.
func (c *node) lets(l *leader.Log) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leading = l
	if l == nil || c.opened == c.reloads {
		return nil
	}
	return l.Reload(httpd.Settings{Labels: c.cfg.Labels, Token: c.cfg.Token, Policy: c.cfg.Publisher.Policy})
}

// late gives late cosignatures to the publisher of the time.
func (c *node) late(text string, sigs []proofs.Signature) {
	if p := c.publisher.Load(); p != nil {
		p.AddCosignatures(text, sigs)
	}
}

// campaign leads whenever nobody else does, until ctx ends. If the log must not go on it
// keeps following, looks again each minute, and returns why at the end.
func (c *node) campaign(ctx context.Context) error {
	for {
		err := c.campaignOnce(ctx)
		var halt *log.Halt
		stopped := c.stopped.Load()
		switch {
		case errors.As(err, &halt):
			c.stop(withWayBack(halt))
			if wait.For(ctx, lookAgain) != nil {
				return err
			}
		case errors.Is(err, errLookAgain):
			if c.ledByOther(ctx) {
				c.wentOn(ctx, stopped, "another front end leads")
			}
		case stopped != nil && ctx.Err() != nil:
			return stopped
		case ctx.Err() != nil:
			if errors.Is(err, context.Canceled) {
				err = nil // it was told to stop, and has
			}
			return err
		case err != nil:
			c.logger.Error("cannot lead the log", "err", err)
			c.failed.Store(&failure{time.Now(), err})
			wait.For(ctx, retryLead)
		}
	}
}

// errLookAgain ends a campaign of a front end that has stopped: another one leads, perhaps.
var errLookAgain = errors.New("another front end may lead")

// campaignOnce leads as soon as nobody else does. A front end that has stopped waits for
// that no longer than another one must have led for it to go on.
func (c *node) campaignOnce(ctx context.Context) error {
	campaigning := ctx
	if c.stopped.Load() != nil {
		until, cancel := context.WithTimeoutCause(ctx, ledFor, errLookAgain)
		defer cancel()
		campaigning = until
	}
	lease, err := c.db.Campaign(campaigning, postgres.Candidate{ID: c.id, URL: c.url, Able: c.able, Barred: c.isBarred})
	if err != nil {
		return err
	}
	return c.lead(ctx, lease)
}

// isBarred is postgres.Candidate's.
func (c *node) isBarred(err error) {
	if err == nil {
		c.barred.Store(nil)
		return
	}
	c.barred.Store(&failure{time.Now(), fmt.Errorf("it cannot campaign for the lease: %w", err)})
}

// processID names this process in the lease.
func processID() (string, error) {
	host, err := os.Hostname()
	return fmt.Sprintf("%s %d %s", host, os.Getpid(), rand.Text()[:8]), err
}

// lead leads until ctx ends, the lease is lost, Trillian is out of reach or the log
// halts, and gives the lease up.
func (c *node) lead(ctx context.Context, lease *postgres.Lease) (err error) {
	c.logger.Info("leading the log", "epoch", lease.Epoch())
	c.seen.Store(&postgres.Leader{ID: c.id, URL: c.url, Epoch: lease.Epoch()})
	// The right to write, which without Trillian is of no use.
	right, giveUp := context.WithCancelCause(lease.Context())
	defer giveUp(nil)
	opening, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(right, cancel)()
	storage, l, err := c.openLeader(opening, right, lease)
	if err == nil {
		c.failed.Store(nil)
		yields := func(why *yield) { c.yields(why, giveUp) }
		stop := c.watch(ctx, storage, yields)
		var waiting sync.WaitGroup
		leading, end := context.WithCancel(right)
		waiting.Go(func() { c.goOn(leading, l) })
		waiting.Go(func() {
			if err := c.follower.WaitContradicted(leading); err != nil {
				c.logger.Warn("giving the lease up", "why", err)
				giveUp(err) // opened anew, the log says what is wrong
			}
		})
		waiting.Go(func() { c.mayYield(leading, lease.Epoch(), l, yields) })
		err = c.serveLeader(ctx, right, l)
		end()
		waiting.Wait()
		stop()
		c.checks.anew()
		var gave *yield
		if errors.As(context.Cause(right), &gave) && gave.reason == yieldTrillian {
			c.checks.trillian.note(gave)
		}
		// Requests that are still reading have their tiles from the database.
		err = errors.Join(err, storage.Close())
	}
	if ended := lease.Context(); ended.Err() != nil {
		// Whatever went wrong, somebody else's writing may be why.
		c.logger.Warn("not leading the log any more", "why", context.Cause(ended), "err", err)
		return nil
	}
	c.release(lease)
	return err
}

// goOn takes back that this front end has stopped, once a quorum of witnesses has
// cosigned what it leads with.
func (c *node) goOn(ctx context.Context, l *leader.Log) {
	stopped := c.stopped.Load()
	if stopped == nil || l.Publisher().WaitConfirmed(ctx) != nil {
		return
	}
	c.wentOn(ctx, stopped, "this front end leads")
}

// wentOn takes back that this front end has stopped, and records it.
func (c *node) wentOn(ctx context.Context, stopped *log.Halt, how string) {
	c.stopped.Store(nil)
	c.follower.Halt(nil)
	c.logger.Info("what had stopped the log is put right; it goes on", "code", stopped.Code, "how", how)
	if err := c.db.AppendAction(ctx, actionNow("went-on", fmt.Sprintf("after %s: %s", stopped.Code, how))); err != nil {
		c.logger.Warn("it is not recorded that the log went on", "err", err)
	}
}

// ledByOther reports whether another front end leads for good: one that looks again, too,
// leads for a moment.
func (c *node) ledByOther(ctx context.Context) bool {
	before, ok, err := c.db.Leader(ctx)
	if err != nil || !ok || before.URL == "" || before.URL == c.url {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(ledFor):
	}
	now, ok, err := c.db.Leader(ctx)
	return err == nil && ok && now.Epoch == before.Epoch && now.Renewals > before.Renewals
}

// watch gives the right to write up when Trillian is out of reach, until stop is
// called. What is queued then is not waited for: it is the next leader's.
func (c *node) watch(ctx context.Context, storage *trillianlog.Log, giveUp func(*yield)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := storage.Watch(ctx); err != nil {
			giveUp(&yield{yieldTrillian, err.Error()})
		}
	})
	return func() { cancel(); watching.Wait() }
}

// openLeader opens the log for writing, as long as the right to it lasts.
func (c *node) openLeader(ctx, right context.Context, lease *postgres.Lease) (*trillianlog.Log, *leader.Log, error) {
	opening, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	storage, err := c.openStorage(opening, lease, lease.Kept)
	if err == nil {
		err = c.finish(opening, storage)
	}
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	cfg := c.cfg
	c.opened = c.reloads
	c.mu.Unlock()
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Publisher.Checkpoints = c.metrics.Storage(storage), c.db.Ledger(lease), c.db.Checkpoints(lease)
	blobs := c.db.Blobs().Fenced(lease)
	cfg.Blobs, cfg.Batches, cfg.State, cfg.Holds, cfg.Right = blobs, blobs, c.db.State(lease), c.db.Holds(lease), right
	l, err := leader.Open(ctx, cfg)
	if err != nil {
		return nil, nil, errors.Join(err, storage.Close())
	}
	return storage, l, nil
}

// finish appends what a former leader was about to, and may still. It closes the storage if
// it fails.
func (c *node) finish(ctx context.Context, storage *trillianlog.Log) error {
	first, entries, err := c.db.Batch(ctx)
	if err == nil {
		err = verdict(storage.Finish(ctx, first, entries))
	}
	if err != nil {
		return errors.Join(err, storage.Close())
	}
	return nil
}

// openStorage opens Trillian for the one who appends. kept is trillianlog.Config's.
func (c *node) openStorage(ctx context.Context, lease *postgres.Lease, kept func(int64, [][]byte) error) (*trillianlog.Log, error) {
	cfg := c.storage
	cfg.Tiles, cfg.Until, cfg.Kept = c.db.Tiles(lease), lease.Until, kept
	storage, err := trillianlog.Open(ctx, cfg)
	return storage, verdict(err)
}

// verdict is a *log.Halt, with what can be done, where the copy contradicts Trillian.
func verdict(err error) error {
	if errors.Is(err, trillianlog.ErrContradiction) {
		halt := &log.Halt{Code: log.HaltStorageForked, What: err.Error(), Do: "Find out which of the two was changed"}
		errors.As(err, &halt) // mostly it says itself why
		return withCommands(halt)
	}
	return err
}

// withCommands adds to what contradicts Trillian which commands help.
func withCommands(h *log.Halt) *log.Halt {
	more := ". logserver fsck says what differs, logserver reindex --tiles makes the copy anew"
	if h.Code == log.HaltStorageBehind {
		more = ". If there is none, logserver tree replace makes a new tree from the copy. Only if all that Trillian lacks was never signed, logserver reindex --tiles drops it from the copy; it refuses otherwise"
	}
	return &log.Halt{Code: h.Code, What: h.What, Do: h.Do + more}
}

// withWayBack adds to what was found in Trillian's tree, which forgets nothing, how the
// log goes on without it.
func withWayBack(h *log.Halt) *log.Halt {
	switch h.Code {
	case log.HaltRepeatedEntry, log.HaltForeignEntry, log.HaltFilesLost, log.HaltEnded, log.HaltEnding:
		return &log.Halt{Code: h.Code, What: h.What, Do: h.Do + ". logserver tree replace has the log go on in a new tree, with all that was signed and nothing else"}
	}
	return h
}

// serveLeader serves and writes the log until ctx or the right ends, or it halts.
// When it returns the follower serves.
func (c *node) serveLeader(ctx, right context.Context, l *leader.Log) error {
	c.publisher.Store(l.Publisher())
	if err := c.lets(l); err != nil {
		return err
	}
	defer c.lets(nil)
	c.front.Switch(l)
	follow := sync.OnceFunc(func() {
		c.follower.Continue(l.Board())
		c.front.Switch(c.follower)
	})
	defer follow()
	// At once, so that no submission is refused that the next leader can have.
	defer context.AfterFunc(right, follow)()
	defer c.publisher.Store(nil)
	return l.Run(ctx)
}

// release gives a lease up that may be lost already.
func (c *node) release(lease *postgres.Lease) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTime)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		c.logger.Warn("the lease was not given up; it expires by itself", "err", err)
		return
	}
	c.logger.Info("not leading the log any more")
}

// reachable returns the URL at which other front ends reach this one.
func reachable(given string, addr net.Addr) (string, error) {
	if given != "" {
		u, err := url.Parse(given)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			return "", fmt.Errorf("--url %q: want http://HOST:PORT or https://HOST:PORT", fetch.Redacted(given))
		}
		return given, nil
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.IsUnspecified() {
		return "", fmt.Errorf("listening on %s: give --url, so that the other front ends know where to reach this one", addr)
	}
	return "http://" + addr.String(), nil
}
