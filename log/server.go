package log

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tuflog/tuflog/log/api"
)

// server answers HTTP requests.
type server struct {
	log     *Log
	leaves  map[string]bool     // types of metadata that become leaves beside roots and targets
	bytes   *semaphore.Weighted // bodies in memory
	parsing *semaphore.Weighted

	running context.Context // ends when nothing that a request waits for can come
	stop    context.CancelFunc
}

func newServer(l *Log) *server {
	running, stop := context.WithCancel(context.Background())
	return &server{
		log:     l,
		leaves:  map[string]bool{"snapshot": l.cfg.LogSnapshots, "timestamp": l.cfg.LogTimestamps},
		bytes:   semaphore.NewWeighted(l.cfg.MaxBytes),
		parsing: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		running: running,
		stop:    stop,
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

// handler answers a request, or returns the problem.
type handler func(w http.ResponseWriter, r *http.Request) *problem

// ServeHTTP implements http.Handler. There is no redirect to a cleaned path:
// every resource has one spelling.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	get, post := s.route(r.URL)
	var h handler
	var p *problem
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h = get
	case http.MethodPost:
		h = post
	}
	switch {
	case get == nil && post == nil:
		p = problemf(http.StatusNotFound, api.CodeNotFound, "there is nothing at this path")
	case h == nil:
		p = problemf(http.StatusMethodNotAllowed, api.CodeMethod, "this resource does not have the method %s", r.Method)
		if p.allow = "GET, HEAD"; get == nil {
			p.allow = "POST"
		} else if post != nil {
			p.allow = "GET, HEAD, POST"
		}
	default:
		p = h(w, r)
	}
	if p != nil {
		p.write(w)
	}
}

// route returns the handlers of a path for GET and POST; nil means none.
func (s *server) route(u *url.URL) (get, post handler) {
	path, ok := strings.CutPrefix(u.EscapedPath(), "/")
	if !ok {
		return nil, nil
	}
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "checkpoint", "tile", "blob":
		return s.static(path), nil
	case "healthz":
		if path == "healthz" {
			return s.healthz, nil
		}
	case "readyz":
		if path == "readyz" {
			return s.readyz, nil
		}
	case "v1":
		return s.routeV1(strings.Split(path, "/")[1:])
	}
	return nil, nil
}

func (s *server) routeV1(elem []string) (get, post handler) {
	switch {
	case len(elem) == 1 && elem[0] == "repositories":
		return s.getRepositories, s.postRepository
	case len(elem) == 2 && elem[0] == "repositories":
		return with(elem[1], s.getRepository), nil
	case len(elem) == 3 && elem[0] == "repositories" && elem[2] == "metadata":
		return nil, with(elem[1], s.postMetadata)
	case len(elem) == 2 && elem[0] == "submissions":
		return with(elem[1], s.getSubmission), nil
	case len(elem) == 3 && elem[0] == "lookup" && elem[1] == "sha256":
		return with(elem[2], s.getLookup), nil
	case len(elem) == 3 && elem[0] == "entries" && elem[2] == "proof":
		return with(elem[1], s.getProof), nil
	}
	return nil, nil
}

// with makes a handler of one that takes an element of the path.
func with(elem string, h func(w http.ResponseWriter, r *http.Request, elem string) *problem) handler {
	return func(w http.ResponseWriter, r *http.Request) *problem { return h(w, r, elem) }
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) *problem {
	writeBytes(w, api.TypeText, "no-store", []byte("ok\n"))
	return nil
}

// readyz says whether a submission sent now could be published.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) *problem {
	if p := s.cannotTake(); p != nil {
		return p
	}
	if err := s.log.Trouble(); err != nil {
		return later(api.CodeUnavailable, "%v", err)
	}
	writeBytes(w, api.TypeText, "no-store", []byte("ready\n"))
	return nil
}

// cannotTake is why no submission is taken now.
func (s *server) cannotTake() *problem {
	if err := s.log.publisher.Halted(); err != nil {
		return later(api.CodeUnavailable, "%v", err)
	}
	s.log.intake.mu.Lock()
	draining := s.log.intake.draining
	s.log.intake.mu.Unlock()
	if draining {
		return later(api.CodeUnavailable, "%v", errDraining)
	}
	unpublished := s.log.publisher.Tree().N - s.log.publisher.Published().Tree.N
	if unpublished >= s.log.cfg.MaxUnpublished {
		return later(api.CodeUnavailable, "%d entries wait to be published: %v", unpublished, s.log.publisher.Trouble())
	}
	return nil
}

// mayRegister checks the bearer token.
func (s *server) mayRegister(r *http.Request) *problem {
	if s.log.cfg.Token == "" {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.log.cfg.Token))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "registering a repository needs the operator's token: Authorization: Bearer TOKEN")
	}
	return nil
}

// body reads a request's body. What it holds of the memory for bodies is given
// back by release.
func (s *server) body(w http.ResponseWriter, r *http.Request, limit int64) (b []byte, release func(), p *problem) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, nil, problemf(http.StatusUnsupportedMediaType, api.CodeMediaType, "content encoding %q is not understood", enc)
	}
	tooLarge := problemf(http.StatusRequestEntityTooLarge, api.CodeTooLarge, "the body is larger than %d bytes", limit)
	if r.ContentLength > limit {
		return nil, nil, tooLarge
	}
	held := r.ContentLength
	if held < 0 {
		held = limit
	}
	if !s.bytes.TryAcquire(held) {
		return nil, nil, later(api.CodeBusy, "the submissions being read take all the memory there is for them")
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		s.bytes.Release(held)
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, nil, tooLarge
		}
		return nil, nil, problemf(http.StatusBadRequest, api.CodeBadRequest, "reading the body: %v", err)
	}
	if rest := held - int64(len(b)); rest > 0 {
		s.bytes.Release(rest)
		held -= rest
	}
	return b, func() { s.bytes.Release(held) }, nil
}

// parse reads the files of a submission, with as many others as there are CPUs.
func (s *server) parse(ctx context.Context, uploads []uploaded) (*submission, *problem) {
	if err := s.parsing.Acquire(ctx, 1); err != nil {
		return nil, later(api.CodeBusy, "gave up waiting to be read")
	}
	defer s.parsing.Release(1)
	return newSubmission(uploads, s.leaves), nil
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
			if n, ok := decimal(strings.Trim(strings.TrimSpace(value), `"`)); ok {
				return time.Duration(min(n, most)) * time.Second
			}
		}
	}
	return standard * time.Second
}
