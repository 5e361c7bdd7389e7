package httpd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/packstore"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Server answers HTTP requests.
type Server struct {
	view     View
	storage  log.Storage
	blobs    log.Blobs
	state    log.State
	holds    log.Holds // nil: nothing is held
	audited  *audited.Keeper
	closed   bool // new repositories are refused
	contact  string
	requests func() Requests
	pages    frontPages
	observer log.Observer
	limits   quota.Limits
	logger   *slog.Logger
	labels   atomic.Pointer[map[tuf.Digest]string]
	leaves   map[string]bool // types of metadata that become leaves beside roots and targets
	now      func() time.Time
	polled   submissions
	sources  *quota.Sources
	parsing  *semaphore.Weighted // submissions that are being read
	made     *quota.Room         // answers that may be large, while they are made
	sending  *quota.Room         // bytes of large answers

	large, largeOfHolders quota.Lane // for large submissions

	packs   *packstore.Store
	packing quota.Lane // for making a pack

	running context.Context // ends when nothing that a request waits for can come
	stop    context.CancelFunc
}

// Config has the parts of a log that a server serves, and the clients' limits.
type Config struct {
	// Storage holds the entries.
	Storage log.Storage
	// Blobs and State keep the files, and the answers to look-ups.
	Blobs log.Blobs
	State log.State
	// Tokens keeps the tokens of repositories. Nil means that there are none.
	Tokens log.Tokens
	// Holds keeps the files that are held. Nil means that none are.
	Holds log.Holds

	// Audited keeps the newest checkpoint that auditors have cosigned. Nil means that none
	// is asked for. The caller runs it.
	Audited *audited.Keeper

	// Packs says where the packs of full bundles are kept. The zero value means that
	// none are, and each is made for each client.
	Packs packstore.Config

	// LogSnapshots and LogTimestamps make snapshots and timestamps leaves of
	// their own.
	LogSnapshots, LogTimestamps bool
	// Token is the token that a client must send to register a repository. Empty means
	// that anyone may, unless RegistrationClosed.
	Token string
	// RegistrationClosed refuses new repositories, with or without a token.
	RegistrationClosed bool
	// Contact says on the log's page how to reach the operator: a URL, a mail address, or
	// words. See CheckContact. Empty: it says nothing.
	Contact string
	// Requests says how often the witnesses are asked. Nil: the page does not say it.
	Requests func() Requests
	// Sources configures how requests are told apart by source.
	Sources quota.Config
	// Observer is told of requests and submissions. Nil means nobody.
	Observer log.Observer
	// Labels are the operator's names for repositories.
	Labels map[tuf.Digest]string

	// Limits are the limits of all that is done at once.
	Limits quota.Limits
	// Logger reports what an operator should know. Nil means slog.Default().
	Logger *slog.Logger

	// Now is the clock of held files. Nil means time.Now.
	Now func() time.Time
}

// Requests are the add-checkpoint requests to witnesses.
type Requests struct {
	// PerDay is how many in 24 hours were declared to each, at most; 0: nothing was.
	PerDay int64
	// In24h is how many were sent in the last 24 hours, by the key of the witness.
	In24h map[proofs.Key]int64
}

// SetDefaults fills in the fields that are zero.
func (c *Config) SetDefaults() {
	c.Limits = c.Limits.Or(quota.DefaultLimits)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// NewSources returns the count of submissions by source. A view and its server share it.
func (c *Config) NewSources() *quota.Sources {
	return quota.New(c.Sources, c.Token, quota.NewTokenBook(c.Tokens, c.Logger), c.Limits)
}

// New returns the server of a view, with which it shares its sources.
func New(view View, cfg Config, from *quota.Sources) *Server {
	running, stop := context.WithCancel(context.Background())
	s := &Server{
		view:     view,
		storage:  cfg.Storage,
		blobs:    cfg.Blobs,
		state:    cfg.State,
		holds:    cfg.Holds,
		audited:  cfg.Audited,
		closed:   cfg.RegistrationClosed,
		contact:  cfg.Contact,
		requests: cfg.Requests,
		observer: cfg.Observer,
		limits:   cfg.Limits,
		logger:   cfg.Logger,
		leaves:   map[string]bool{"snapshot": cfg.LogSnapshots, "timestamp": cfg.LogTimestamps},
		now:      cfg.Now,
		polled:   submissions{limit: cfg.Limits.Polled},
		sources:  from,
		parsing:  semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		made:     quota.NewPool(cfg.Limits.Making),
		sending:  quota.NewPool(cfg.Limits.Answers),
		packs:    packstore.New(cfg.Packs, cfg.Storage, cfg.Blobs, cfg.Logger),
		running:  running,
		stop:     stop,
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.labels.Store(&cfg.Labels)
	return s
}

// NewHTTPServer returns an http.Server with the timeouts of the table of limits.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: quota.HeaderFor,
		ReadTimeout:       quota.BodyFor,
		WriteTimeout:      quota.AnswerFor,
		IdleTimeout:       quota.IdleFor,
		MaxHeaderBytes:    quota.MaxHeader,
	}
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) *problem {
	writeText(w, "ok\n")
	return nil
}

// readyz answers whether a submission sent now could be published.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) *problem {
	if leader, _ := s.view.Leader(); leader != nil && s.sources.FromFrontEnd(r) {
		// It takes this one for the leader, and would ask it in turn.
		return notLeader()
	}
	if p := s.cannotTake(r.Context()); p != nil {
		return p
	}
	if err := s.view.Trouble(); err != nil {
		return later(api.CodeUnavailable, "%v", err)
	}
	writeText(w, "ready\n")
	return nil
}

// cannotTake returns the reason why no submission is taken now.
func (s *Server) cannotTake(ctx context.Context) *problem {
	switch err := s.view.Taking(ctx); {
	case errors.Is(err, log.ErrEnded):
		return s.ended()
	case err != nil:
		return later(api.CodeUnavailable, "%v", err)
	}
	return nil
}

// ending reports whether the log takes nothing more because it is being stopped.
func (s *Server) ending(ctx context.Context) bool {
	leader, _ := s.view.Leader()
	return leader == nil && errors.Is(s.view.Taking(ctx), intake.ErrDraining)
}

// ended is the answer of a log that has ended to submissions, and whether a quorum has
// its end yet.
func (s *Server) ended() *problem {
	if err := s.view.Trouble(); err != nil {
		return problemf(http.StatusForbidden, api.CodeEnded, "%v; a quorum does not have the end yet: %v", log.ErrEnded, err)
	}
	return problemf(http.StatusForbidden, api.CodeEnded, "%v", log.ErrEnded)
}

// mayRegister checks the bearer token.
func (s *Server) mayRegister(from quota.Source) *problem {
	if !s.sources.AskForToken() || from.Registrar {
		return nil
	}
	const needs = "registering a repository needs the operator's token: Authorization: Bearer TOKEN"
	switch {
	case from.Unknown:
		// As in wrongToken, a guess costs as much as a submission.
		if p := s.charge(from, 0); p != nil {
			return p
		}
		return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "%s. The one that was sent is not it", needs)
	case from.Tokens != nil:
		return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "%s. The one that was sent is another repository's own", needs)
	}
	return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "%s", needs)
}

// parse reads the files of a submission, with as many others as there are CPUs. From
// then on the memory of the parsed files counts. A large one has its lane until h is
// released.
func (s *Server) parse(ctx context.Context, h *held, uploads []intake.Uploaded) (*intake.Submission, *problem) {
	size := 0
	for _, u := range uploads {
		size += len(u.Data)
	}
	if size >= quota.LargeSubmission {
		l := &s.large
		if h.from.Holder {
			l = &s.largeOfHolders
		}
		if s.enter(ctx, l, h.from) != nil {
			return nil, later(api.CodeBusy, "gave up waiting to be read")
		}
		h.lane = l
	}
	if err := s.parsing.Acquire(ctx, 1); err != nil {
		return nil, later(api.CodeBusy, "gave up waiting to be read")
	}
	defer s.parsing.Release(1)
	sub := intake.NewSubmission(uploads, s.leaves)
	sub.Paid = h.lane != nil
	if !h.counts(sub.Memory) {
		return nil, noRoom()
	}
	return sub, nil
}

// enter waits for a lane, and before that until the source has judging time: a submission
// in a lane does not wait for time, or others would wait for it.
func (s *Server) enter(ctx context.Context, l *quota.Lane, from quota.Source) error {
	for {
		if wait := s.sources.Wait(from); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return ctx.Err()
			case <-s.running.Done():
				t.Stop()
				return intake.ErrDraining
			}
		}
		if err := l.Enter(ctx, from.Key); err != nil {
			return err
		}
		if s.sources.Wait(from) == 0 {
			return nil
		}
		l.Leave() // another of its submissions has used it up meanwhile
	}
}

// renew asks the view for the newest checkpoint, unless the log is being stopped.
func (s *Server) renew(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)()
	s.view.Renew(ctx)
}

// Settings can be changed by the operator while a log is served.
type Settings struct {
	// Labels, Token and Policy are as in Config and publisher.Config. That a log
	// asks for a token at all is settled when it is opened.
	Labels map[tuf.Digest]string
	Token  string
	Policy *proofs.Policy
}

// Reload replaces the settings of the server.
func (s *Server) Reload(settings Settings) {
	s.labels.Store(&settings.Labels)
	s.sources.SetToken(settings.Token)
}

// Stop ends the waiting of requests: nothing that they wait for can come any more.
func (s *Server) Stop() { s.stop() }
