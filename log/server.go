package log

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
)

// server answers HTTP requests.
type server struct {
	log                   *Log
	leaves                map[string]bool     // types of metadata that become leaves beside roots and targets
	parsing               *semaphore.Weighted // submissions that are being read
	large, largeOfHolders lane                // for large submissions
	made                  *pool               // answers that may be large, while they are made
	sending               *pool               // bytes of large answers
	sources               *sources
	latencies             latencies

	running context.Context // ends when nothing that a request waits for can come
	stop    context.CancelFunc
}

func newServer(l *Log, from *sources) *server {
	running, stop := context.WithCancel(context.Background())
	return &server{
		log:     l,
		leaves:  map[string]bool{"snapshot": l.cfg.LogSnapshots, "timestamp": l.cfg.LogTimestamps},
		parsing: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		made:    newPool(l.cfg.Limits.Making),
		sending: newPool(l.cfg.Limits.Answers),
		sources: from,
		running: running,
		stop:    stop,

		latencies: latencies{added: make(chan struct{}, 1)},
	}
}

// Handler serves the log's HTTP interface.
func (l *Log) Handler() http.Handler { return l.server }

// NewHTTPServer returns an http.Server with the timeouts that the log's
// interface needs: longer than any wait that a client may ask for.
func NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      3 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request, _ string) *problem {
	writeText(w, "ok\n")
	return nil
}

// readyz says whether a submission sent now could be published.
func (s *server) readyz(w http.ResponseWriter, r *http.Request, _ string) *problem {
	if s.log.follower != nil && s.sources.fromFrontEnd(r) {
		// It takes this one for the leader, and would ask it in turn.
		return notLeader()
	}
	if p := s.cannotTake(); p != nil {
		return p
	}
	if err := s.log.Trouble(); err != nil {
		return later(api.CodeUnavailable, "%v", err)
	}
	writeText(w, "ready\n")
	return nil
}

// cannotTake is why no submission is taken now.
func (s *server) cannotTake() *problem {
	if err := s.log.publisher.Halted(); err != nil {
		return later(api.CodeUnavailable, "%v", err)
	}
	if f := s.log.follower; f != nil {
		if s.log.publisher.Ended() {
			return s.ended() // whoever leads
		}
		if err := f.contradicted(); err != nil {
			return later(api.CodeUnavailable, "%v", err)
		}
		if err := f.forward.Trouble(); err != nil {
			return later(api.CodeUnavailable, "%v", err)
		}
		return nil
	}
	s.log.intake.mu.Lock()
	draining := s.log.intake.draining
	s.log.intake.mu.Unlock()
	if draining {
		return later(api.CodeUnavailable, "%v", errDraining)
	}
	if s.log.publisher.Ended() {
		return s.ended()
	}
	if err := s.log.space.trouble(); err != nil {
		return later(api.CodeUnavailable, "nothing can be stored: %v", err)
	}
	unpublished := s.log.publisher.Tree().N - s.log.publisher.Published().Tree.N
	if unpublished >= s.log.cfg.Limits.Unpublished {
		return later(api.CodeUnavailable, "%d entries wait to be published: %v", unpublished, s.log.publisher.Trouble())
	}
	return nil
}

// ended is what a log that has ended says to those who submit, and whether a quorum
// has its end yet.
func (s *server) ended() *problem {
	if err := s.log.Trouble(); err != nil {
		return problemf(http.StatusForbidden, api.CodeEnded, "%v; a quorum does not have the end yet: %v", ErrEnded, err)
	}
	return problemf(http.StatusForbidden, api.CodeEnded, "%v", ErrEnded)
}

// mayRegister checks the bearer token.
func (s *server) mayRegister(from source) *problem {
	if s.sources.registrar.Load() == nil || from.registrar {
		return nil
	}
	const needs = "registering a repository needs the operator's token: Authorization: Bearer TOKEN"
	switch {
	case from.unknown:
		// As in wrongToken, a guess costs what a submission does.
		if p := s.sources.charge(from, 0); p != nil {
			return p
		}
		return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "%s. The one that was sent is not it", needs)
	case from.tokens != nil:
		return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "%s. The one that was sent is another repository's own", needs)
	}
	return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "%s", needs)
}

// largeSubmission is how many bytes a submission has at least that is read alone.
// What it takes besides, about as much again, is not to be multiplied. So the next
// one is read only when it is decided: one of those who have a token, and one of all
// others.
const largeSubmission = 8 << 20

// parse reads the files of a submission, with as many others as there are CPUs. From
// then on it is what was made of them that counts. A large one has its lane until h
// is released.
func (s *server) parse(ctx context.Context, h *held, uploads []uploaded) (*submission, *problem) {
	size := 0
	for _, u := range uploads {
		size += len(u.data)
	}
	if size >= largeSubmission {
		l := &s.large
		if h.from.holder {
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
	sub := newSubmission(uploads, s.leaves)
	sub.paid = h.lane != nil
	if !h.counts(sub.memory) {
		return nil, noRoom()
	}
	return sub, nil
}

// enter waits for a lane, and before that until the source has judging time: what has
// a lane waits for none, or others would wait for it.
func (s *server) enter(ctx context.Context, l *lane, from source) error {
	for {
		if wait := s.sources.wait(from); wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return ctx.Err()
			case <-s.running.Done():
				t.Stop()
				return errDraining
			}
		}
		if err := l.enter(ctx, from.key); err != nil {
			return err
		}
		if s.sources.wait(from) == 0 {
			return nil
		}
		l.leave() // another of its submissions has used it up meanwhile
	}
}

// preferredWait reads "Prefer: wait=SECONDS" (RFC 7240).
func preferredWait(h http.Header) time.Duration {
	const standard, most = 10, 60
	for _, line := range h.Values("Prefer") {
		for pref := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ';' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(pref), "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			if n, err := proofs.ParseDecimal(strings.Trim(strings.TrimSpace(value), `"`)); err == nil {
				return time.Duration(min(n, most)) * time.Second
			}
		}
	}
	return standard * time.Second
}
