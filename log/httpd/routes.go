package httpd

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tuflog/tuflog/log/api"
)

// A route is a method of a resource and the function that answers it, with the pattern of both as
// http.ServeMux has them. GET stands for HEAD as well. Path values are as they are
// spelled in the request: those that vendors chose, {role} and {path}, are still to be
// unescaped, and for all others there is nothing to unescape.
type route struct {
	pattern string
	handle  func(s *Server, w http.ResponseWriter, r *http.Request) *problem
}

// routes are all resources of the log.
var routes = []route{
	{"GET /{$}", (*Server).getPage},
	{"GET /checkpoint", (*Server).getCheckpoint},
	{"GET /checkpoint/audited", (*Server).getAudited},
	{"GET /tile/{path...}", (*Server).getTile},
	{"GET /tile/files/{path...}", (*Server).getPack},
	{"GET /blob/sha256/{hex}", (*Server).getBlob},
	{"GET /v1/repositories", (*Server).getRepositories},
	{"POST /v1/repositories", (*Server).postRepository},
	{"GET /v1/repositories/{id}", (*Server).getRepository},
	{"POST /v1/repositories/{id}/metadata", (*Server).postMetadata},
	{"GET /v1/submissions/{submission}", (*Server).getSubmission},
	{"GET /v1/repositories/{id}/roles/{role}", (*Server).getRole},
	{"GET /v1/lookup/sha256/{hex}", (*Server).getLookup},
	{"GET /v1/lookup/sha512/{hex}", (*Server).getLookupSHA512},
	{"GET /v1/lookup/path/{path...}", (*Server).getLookupPath},
	{"GET /v1/lookup/length/{length}", (*Server).getLookupLength},
	{"GET /v1/entries/{index}/proof", (*Server).getProof},
	{"GET /v1/entries/{index}/files", (*Server).getFiles},
	{"GET /healthz", (*Server).healthz},
	{"GET /readyz", (*Server).readyz},
}

// split returns the method of a route, its resource's pattern, and how that is called
// in docs/openapi.json and in metrics, which tell a path from a name by its place.
func (rt *route) split() (method, pattern, name string) {
	method, pattern, _ = strings.Cut(rt.pattern, " ")
	return method, pattern, strings.NewReplacer("...}", "}", "{$}", "").Replace(pattern)
}

// A resource has the methods that there are at the paths of a pattern.
type resource struct {
	name      string
	values    []string // names of its path values
	get, post *route   // nil: it does not have the method
}

// ServeHTTP is for http.ServeMux, which only finds resources: a Server answers, and it
// answers methods that a resource does not have in its own way.
func (*resource) ServeHTTP(http.ResponseWriter, *http.Request) {}

// resources finds the resource of a path.
var resources = newResources(routes)

func newResources(routes []route) *http.ServeMux {
	mux, known := http.NewServeMux(), map[string]*resource{}
	for i := range routes {
		rt := &routes[i]
		method, pattern, name := rt.split()
		res := known[pattern]
		if res == nil {
			res = &resource{name: name}
			for part := range strings.SplitSeq(name, "/") {
				if strings.HasPrefix(part, "{") {
					res.values = append(res.values, strings.Trim(part, "{}"))
				}
			}
			known[pattern] = res
			mux.Handle(pattern, res)
		}
		if method == http.MethodGet {
			res.get = rt
		} else {
			res.post = rt
		}
	}
	return mux
}

// resourceOf returns the resource that a request is for, and gives the request its path
// values. It is nil where there is nothing. Every resource has one spelling: ServeMux
// is not asked for what the path means but for how it is spelled, by escaping it once
// more, and its redirects to tidier paths are not followed. It is always asked as for
// GET, because it does not tidy the path of CONNECT.
func resourceOf(r *http.Request) *resource {
	spelled := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: r.URL.EscapedPath()}}
	h, _ := resources.Handler(spelled)
	res, ok := h.(*resource)
	if !ok {
		return nil
	}
	if len(res.values) > 0 {
		resources.ServeHTTP(nil, spelled)
		for _, name := range res.values {
			r.SetPathValue(name, spelled.PathValue(name))
		}
	}
	return res
}

// statusGone is recorded for a request whose client has gone before there was an
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
	res := resourceOf(r)
	if res != nil && res.get != nil && r.Method != http.MethodPost {
		// All that can be read is public. The answer to a submission is not for
		// other sites' pages: submitting needs no browser.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "ETag, Location, Retry-After, X-Request-Id")
	}
	p := s.dispatch(rec, r, res)
	if p != nil && p.cause != nil && r.Context().Err() != nil {
		// Reading for a client that has gone was broken off. Nothing is
		// wrong, and only the record of requests has this answer.
		rec.WriteHeader(statusGone)
		p = nil
	}
	if p != nil {
		p.Instance = id
		p.write(rec)
	}
	s.done(r, rec, res, p, time.Since(began))
}

// dispatch asks the route that a request is for to answer it.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, res *resource) *problem {
	if res == nil {
		return problemf(http.StatusNotFound, api.CodeNotFound, "there is nothing at this path")
	}
	if r.Method == http.MethodOptions {
		res.options(w)
		return nil
	}
	used := res.route(r.Method)
	if used == nil {
		p := problemf(http.StatusMethodNotAllowed, api.CodeMethod, "this resource does not have the method %s", r.Method)
		p.allow = res.allow()
		return p
	}
	if used == res.post || res.onlyLeader() {
		leader, err := s.view.Leader()
		if err != nil || leader != nil {
			return s.passOn(w, r, leader, err)
		}
	}
	return s.toFrontEnd(r, used.handle(s, w, r))
}

// route returns the route of a method; nil if the resource does not have it.
func (res *resource) route(method string) *route {
	switch method {
	case http.MethodGet, http.MethodHead:
		return res.get
	case http.MethodPost:
		return res.post
	}
	return nil
}

// allow is the value of the header Allow.
func (res *resource) allow() string {
	switch {
	case res.get == nil:
		return "POST, OPTIONS"
	case res.post == nil:
		return "GET, HEAD, OPTIONS"
	}
	return "GET, HEAD, POST, OPTIONS"
}

// options answers with the methods of a resource, and tells browsers that pages of other
// sites may read it.
func (res *resource) options(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Allow", res.allow())
	if res.get != nil {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "If-None-Match, Prefer, X-Request-Id")
		h.Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}

// done tells of an answered request.
func (s *Server) done(r *http.Request, rec *recorder, res *resource, p *problem, took time.Duration) {
	pattern := "" // a path outside of the routes has no name
	if res != nil && res.route(r.Method) != nil {
		pattern = res.name
	}
	if o := s.observer; o != nil {
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
