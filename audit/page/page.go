package page

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Config configures a Server.
type Config struct {
	// Logs are the logs to show, in order; at least one.
	Logs []Log
	// Name is the name of the site; empty means "tuflog auditor".
	Name string
	// URL is where readers find the page, with a scheme and a host, for commands and links
	// that leave it; empty: not known.
	URL string
	// Contact says how to reach the operator: a URL, a mail address, or words; empty: not said.
	Contact string
	// Cosigns are the keys with which this auditor cosigns checkpoints that it has audited,
	// and CosignName their name; empty: it does not.
	Cosigns []string
	// Feeds answers at /feeds/all.atom, /feeds/LOG/all.atom and /feeds/LOG/ID.atom, as package
	// alert's do; nil: there are none.
	Feeds http.Handler

	// ClientAddressHeader is the header in which a proxy in front gives the client's address,
	// such as X-Forwarded-For; empty: there is no proxy.
	ClientAddressHeader string
	Limits              Limits           // what is zero is as in DefaultLimits
	Logger              *slog.Logger     // nil means slog.Default()
	Now                 func() time.Time // nil means time.Now
}

// Feed is a feed that pages link to.
type Feed struct {
	Title string `json:"title"`
	Path  string `json:"path"`
}

// Log is a log to show.
type Log struct {
	// Name is how URLs name it: letters, digits, dots, dashes and underscores.
	Name string
	// StateDir is the directory of its audit state.
	StateDir string
	// Policy is what its checkpoints were verified with. It is shown as Policy.Marshal prints it:
	// URLs and comments are its owner's.
	Policy *proofs.Policy
	// URL is where readers reach the log; empty: what the policy says. It is shown without a
	// password and a query.
	URL string
	// Every is about how often the process that follows the log looks at it; 0: often.
	Every time.Duration
	// Copy is a copy of the log on this machine, of which files and tiles are read; nil: there
	// is none.
	Copy audit.Source
	// Source is the log, of which is read what the copy does not have, within a budget; nil:
	// it is not asked. Without both, pages are made of the state alone, and say so.
	Source audit.Source
	// Watched are the repositories that have a name here, and live repositories.
	Watched []Watched
	// Status returns what the process that follows the log saw of it last; nil: there is none.
	Status func(context.Context) (*Status, error)
}

// Watched is a repository that this auditor was told of.
type Watched struct {
	ID   tuf.Digest `json:"id"`
	Name string     `json:"name,omitempty"`
	// Live are the places where it is served, as they were compared with the log last.
	Live []Live `json:"live,omitempty"`
	// Expectations are what its vendor says will be released; nil: nothing.
	Expectations *Expectations `json:"expectations,omitempty"`
}

// Live is a live repository, and the last comparison of it with the log.
type Live struct {
	URL      string `json:"url"`
	Compared int64  `json:"compared,omitempty"`
	Word     string `json:"word,omitempty"` // as of auditor compare: logged, behind, unlogged …
	Sentence string `json:"sentence,omitempty"`
}

// Expectations are a vendor's signed expectations.
type Expectations struct {
	From    string `json:"from"`              // where they are read
	Version int64  `json:"version,omitempty"` // 0: none have been read
	Expires int64  `json:"expires,omitempty"`
	Trouble string `json:"trouble,omitempty"`
}

// Status is what a process that follows a log saw of it last. Times are POSIX seconds, 0
// where nothing is known.
type Status struct {
	Written    int64           `json:"written"`           // when this was so
	Asked      int64           `json:"asked,omitempty"`   // when the log answered last
	Trouble    string          `json:"trouble,omitempty"` // what could not be done then
	Size       int64           `json:"size,omitempty"`    // of the newest checkpoint seen
	Witnesses  []WitnessStatus `json:"witnesses,omitempty"`
	Watched    []Watched       `json:"watched,omitempty"` // instead of Log.Watched of the same id
	Audited    *AuditedStatus  `json:"audited,omitempty"` // nil: it does not cosign this log
	Anchors    []AnchorStatus  `json:"anchors,omitempty"` // where it is anchored
	MirrorPath string          `json:"mirror,omitempty"`  // where the copy is served on this site
}

// WitnessStatus is what a witness says by itself.
type WitnessStatus struct {
	Name    string `json:"name"` // as in the policy
	Size    int64  `json:"size"` // of the newest tree it has cosigned
	Time    int64  `json:"time"` // of that
	Asked   int64  `json:"asked,omitempty"`
	Trouble string `json:"trouble,omitempty"`
}

// AnchorStatus is how a log is pinned in an instance of Rekor.
type AnchorStatus struct {
	Instance string `json:"instance"`
	Size     int64  `json:"size"`                       // of the largest tree that is; -1: none
	Time     int64  `json:"time,omitempty"`             // when that was
	Since    int64  `json:"unanchored_since,omitempty"` // since when its history is not; 0: it is
}

// AuditedStatus is the state of the audited cosignature.
type AuditedStatus struct {
	Name    string `json:"name"` // of the auditor's key
	Size    int64  `json:"size"` // of the newest tree that it has cosigned
	Time    int64  `json:"time"`
	Stopped string `json:"stopped,omitempty"` // why nothing is cosigned until a person resumes it
	Waits   string `json:"waits,omitempty"`   // else why the newest checkpoint is not cosigned
}

// Server answers with the pages. It is an http.Handler.
type Server struct {
	cfg       Config
	books     []*book
	templates *templates
	verifier  *verifier // nil: verification in the browser is not built in
	guard     *guard
	searches  *share
	handler   http.Handler
}

// New returns the pages of logs. It does not open their states before a page needs them,
// so that one that is not there yet is not an error.
func New(cfg Config) (*Server, error) {
	if len(cfg.Logs) == 0 {
		return nil, errors.New("no logs to show")
	}
	if cfg.Name == "" {
		cfg.Name = "tuflog auditor"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	cfg.Limits = cfg.Limits.or(DefaultLimits)
	s := &Server{cfg: cfg, verifier: newVerifier(), guard: newGuard(cfg.Limits, cfg.ClientAddressHeader, cfg.Now)}
	s.searches = newShare(maxSearches, maxSearches/2, s.guard.heavy)
	for _, l := range cfg.Logs {
		if err := checkName(l.Name); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.books, func(b *book) bool { return b.Name == l.Name }) {
			return nil, fmt.Errorf("two logs have the name %q", l.Name)
		}
		if l.Policy == nil || len(l.Policy.Logs) == 0 {
			return nil, fmt.Errorf("log %s: want a policy that names it", l.Name)
		}
		s.books = append(s.books, newBook(l, cfg.Now, s.guard.heavy))
	}
	var err error
	if s.templates, err = newTemplates(s); err != nil {
		return nil, err
	}
	s.handler = s.guard.wrap(s.pages(s.routes()), pageCost, s.fail)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close closes the states.
func (s *Server) Close() error {
	var errs []error
	for _, b := range s.books {
		errs = append(errs, b.close())
	}
	return errors.Join(errs...)
}

const maxName = 64 // bytes of a log's name

func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && name[0] != '.'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("log %q: want a name of at most %d letters, digits, dots, dashes and underscores", name, maxName)
	}
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	pages := map[string]func(*http.Request) (*view, error){
		"/{$}":                          s.home,
		"/logs/{log}/{$}":               s.logPage,
		"/logs/{log}/repositories":      s.repositories,
		"/logs/{log}/repositories/{id}": s.repository,
		"/logs/{log}/releases/{index}":  s.release,
		"/logs/{log}/findings":          s.findings,
		"/logs/{log}/findings/{id}":     s.finding,
		"/findings/{id}":                s.findingAnywhere,
		"/search":                       s.search,
		"/about":                        s.about,
	}
	for pattern, make := range pages {
		mux.HandleFunc(pattern, s.handle(make))
	}
	files := map[string]http.HandlerFunc{
		"/logs/{log}/releases/{index}/metadata":         s.metadataFile,
		"/logs/{log}/releases/{index}/proof":            s.proofFile,
		"/logs/{log}/findings/{id}/evidence/{evidence}": s.evidenceFile,
		"/logs/{log}/checkpoint":                        s.checkpointFile,
		"/logs/{log}/policy":                            s.policyFile,
		"/style.css":                                    s.asset("style.css", "text/css; charset=utf-8"),
		"/icon.svg":                                     s.asset("icon.svg", "image/svg+xml"),
		"/robots.txt":                                   s.robots,
	}
	for pattern, answer := range files {
		mux.HandleFunc(pattern, answer)
	}
	mux.HandleFunc("/logs/{log}", func(w http.ResponseWriter, r *http.Request) { s.slashed(w, r) })
	if s.cfg.Feeds != nil {
		mux.Handle("/feeds/", s.cfg.Feeds)
	}
	s.verifyRoutes(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, http.StatusNotFound, "There is no such page. The search finds files, hashes, keys, roles and repositories.")
	})
	return mux
}

// slashed leads to the page of a log, which ends in a slash.
func (s *Server) slashed(w http.ResponseWriter, r *http.Request) {
	b, err := s.book(r)
	if err != nil {
		s.failWith(w, r, err)
		return
	}
	http.Redirect(w, r, "/logs/"+b.Name+"/", http.StatusMovedPermanently)
}

// book returns the log that a request's path names.
func (s *Server) book(r *http.Request) (*book, error) {
	name := r.PathValue("log")
	for _, b := range s.books {
		if b.Name == name {
			return b, nil
		}
	}
	return nil, notFound("This auditor does not follow a log of that name.")
}

func (s *Server) robots(w http.ResponseWriter, r *http.Request) {
	s.write(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte("User-agent: *\nDisallow: /search\nDisallow: /logs/*/releases/\n"))
}
