package httpd

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tuflog/tuflog/log/api"
)

// A route is a resource and what can be done with it. Where its pattern has parts
// in braces, handle gets what stands there, with a slash between two of them; only
// {path}, which is the last part, may hold slashes itself.
type route struct {
	pattern string
	method  string // GET stands for HEAD as well
	handle  func(s *Server, w http.ResponseWriter, r *http.Request, arg string) *problem
}

// routes are all resources of the log. Those with one pattern stand together.
var routes = []route{
	{"/checkpoint", http.MethodGet, (*Server).getCheckpoint},
	{"/tile/{path}", http.MethodGet, (*Server).getTile},
	{"/blob/sha256/{hex}", http.MethodGet, (*Server).getBlob},
	{"/v1/repositories", http.MethodGet, (*Server).getRepositories},
	{"/v1/repositories", http.MethodPost, (*Server).postRepository},
	{"/v1/repositories/{id}", http.MethodGet, (*Server).getRepository},
	{"/v1/repositories/{id}/metadata", http.MethodPost, (*Server).postMetadata},
	{"/v1/submissions/{submission}", http.MethodGet, (*Server).getSubmission},
	{"/v1/repositories/{id}/roles/{role}", http.MethodGet, (*Server).getRole},
	{"/v1/lookup/sha256/{hex}", http.MethodGet, (*Server).getLookup},
	{"/v1/lookup/sha512/{hex}", http.MethodGet, (*Server).getLookupSHA512},
	{"/v1/lookup/path/{path}", http.MethodGet, (*Server).getLookupPath},
	{"/v1/lookup/length/{length}", http.MethodGet, (*Server).getLookupLength},
	{"/v1/entries/{index}/proof", http.MethodGet, (*Server).getProof},
	{"/v1/entries/{index}/files", http.MethodGet, (*Server).getFiles},
	{"/healthz", http.MethodGet, (*Server).healthz},
	{"/readyz", http.MethodGet, (*Server).readyz},
}

// Routes returns the patterns of the log's resources, each with its method, as
// in docs/openapi.json.
func Routes() [][2]string {
	list := make([][2]string, len(routes))
	for i, r := range routes {
		list[i] = [2]string{r.method, r.pattern}
	}
	return list
}

// match reports whether a path is one of the pattern's, and returns what stands
// in its braces.
func (rt *route) match(path string) (arg string, ok bool) {
	if before, found := strings.CutSuffix(rt.pattern, "{path}"); found {
		return strings.CutPrefix(path, before)
	}
	var args []string
	for pattern := rt.pattern; ; {
		want, restOfPattern, more := strings.Cut(pattern, "/")
		got, restOfPath, moreOfPath := strings.Cut(path, "/")
		if strings.HasPrefix(want, "{") {
			args = append(args, got)
		} else if want != got {
			return "", false
		}
		if !more || !moreOfPath {
			return strings.Join(args, "/"), more == moreOfPath
		}
		pattern, path = restOfPattern, restOfPath
	}
}

// find returns what can be done at a path. There are no redirects and no
// cleaning of paths: every resource has one spelling.
func find(path string) (get, post *route, arg string) {
	for i := range routes {
		rt := &routes[i]
		a, ok := rt.match(path)
		if !ok {
			continue
		}
		if arg = a; rt.method == http.MethodGet {
			get = rt
		} else {
			post = rt
		}
	}
	return get, post, arg
}

// statusGone is how a request is recorded whose client has gone before there was an
// answer. HTTP has no status for it; other servers use this one.
const statusGone = 499

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := requestID(r)
	rec := &recorder{ResponseWriter: w}
	h := rec.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", id)
	get, post, arg := find(r.URL.EscapedPath())
	if get != nil && r.Method != http.MethodPost {
		// Whatever can be read is public. What a submission is answered is
		// not for other sites' pages: it needs no browser.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "ETag, Location, Retry-After, X-Request-Id")
	}
	used, p := s.dispatch(rec, r, get, post, arg)
	if p != nil && p.cause != nil && r.Context().Err() != nil {
		// What was being read for a client that has gone was broken off. Nothing is
		// wrong, and only the record of requests has this answer.
		rec.WriteHeader(statusGone)
		p = nil
	}
	if p != nil {
		p.Instance = id
		p.write(rec)
	}
	s.done(r, rec, used, p, time.Since(began))
}

// dispatch has the request answered by the route it is for.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, get, post *route, arg string) (used *route, p *problem) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		used = get
	case http.MethodPost:
		used = post
	}
	switch {
	case get == nil && post == nil:
		return nil, problemf(http.StatusNotFound, api.CodeNotFound, "there is nothing at this path")
	case r.Method == http.MethodOptions:
		options(w, get, post)
		return nil, nil
	case used == nil:
		p = problemf(http.StatusMethodNotAllowed, api.CodeMethod, "this resource does not have the method %s", r.Method)
		p.allow = allow(get, post)
		return nil, p
	}
	if used.onlyLeader() {
		leader, err := s.view.Leader()
		if err != nil || leader != nil {
			return used, s.passOn(w, r, leader, err)
		}
	}
	return used, s.toFrontEnd(r, used.handle(s, w, r, arg))
}

// allow is the value of the header Allow.
func allow(get, post *route) string {
	switch {
	case get == nil:
		return "POST, OPTIONS"
	case post == nil:
		return "GET, HEAD, OPTIONS"
	}
	return "GET, HEAD, POST, OPTIONS"
}

// options says which methods a resource has, and to browsers that pages of other
// sites may read it.
func options(w http.ResponseWriter, get, post *route) {
	h := w.Header()
	h.Set("Allow", allow(get, post))
	if get != nil {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "If-None-Match, Prefer, X-Request-Id")
		h.Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}

// done tells of an answered request.
func (s *Server) done(r *http.Request, rec *recorder, used *route, p *problem, took time.Duration) {
	pattern := "" // what was asked for outside of the routes has no name
	if used != nil {
		pattern = used.pattern
	}
	if o := s.cfg.Observer; o != nil {
		o.Request(r.Method, pattern, rec.status, took)
	}
	logger, level := s.logger, slog.LevelDebug
	attrs := []slog.Attr{slog.String("id", rec.Header().Get("X-Request-Id"))}
	msg := "request"
	if p != nil && p.cause != nil {
		level, msg = slog.LevelError, "request failed"
		attrs = append(attrs, slog.Any("err", p.cause))
	}
	if !logger.Enabled(r.Context(), level) {
		return
	}
	attrs = append(attrs, slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("client", r.RemoteAddr), slog.Int("status", rec.status), slog.Duration("took", took))
	if p != nil {
		attrs = append(attrs, slog.String("code", p.Code), slog.String("detail", p.Detail))
	}
	logger.LogAttrs(r.Context(), level, msg, attrs...)
}

// maxRequestID is how long an id that a client or proxy gives may be.
const maxRequestID = 64

// requestID returns the id that the client or a proxy has given the request, if
// it is one that can stand in a log and in a URI, or a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	fine := id != "" && len(id) <= maxRequestID
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			fine = false
		}
	}
	if fine {
		return id
	}
	return rand.Text()
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
