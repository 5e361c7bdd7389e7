package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Limits of requests, which anybody may send.
const (
	headerFor = 10 * time.Second
	bodyFor   = time.Minute // a staged repository over a slow line
	signFor   = 90 * time.Second
	answerFor = bodyFor + signFor + 10*time.Second
	idleFor   = 2 * time.Minute
	maxHeader = 16 << 10         // bytes
	maxURL    = 4 << 10          // bytes of a request that names a URL
	urlFor    = 10 * time.Second // for those bytes
)

// NewServer returns an HTTP server for a handler with limits that suit a gate.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerFor, ReadTimeout: headerFor + bodyFor,
		WriteTimeout: answerFor, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader,
	}
}

// Handler answers
//
//	POST /v1/sign/{repository}       a staged repository: the signature, or why not
//	GET  /v1/timestamp/{repository}  the timestamp.json that was signed last
//	GET  /v1/key                     the public key, as a root lists it
//	GET  /v1/status                  the status of every repository
//	GET  /healthz, /metrics
//
// metrics may be nil: then /metrics is not there.
func (g *Gate) Handler(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/sign/{repository}", g.limited(g.serveSign))
	mux.HandleFunc("GET /v1/timestamp/{repository}", g.limited(g.serveTimestamp))
	mux.HandleFunc("GET /v1/key", g.limited(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, g.Key()) }))
	mux.HandleFunc("GET /v1/status", g.limited(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, g.Statuses()) }))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, "ok\n") })
	mux.HandleFunc("GET /{$}", g.limited(g.serveAbout))
	if metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	}
	return mux
}

// limited applies the rate of an address.
func (g *Gate) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t := g.taken.Load()
		if wait := t.perAddress.Take(rates.Client(r, t.cfg.ClientAddressHeader), g.now()); wait > 0 {
			fail(w, &limited{wait, "too many requests from this address"})
			return
		}
		next(w, r)
	}
}

func (g *Gate) serveAbout(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	fmt.Fprintf(&b, "A gate: it signs timestamps of TUF repositories whose releases are logged.\n\nkey %s\n", g.key)
	for _, s := range g.Statuses() {
		fmt.Fprintf(&b, "\nrepository %s\n  timestamp %d", s.Repository, s.Version)
		if s.Expires != nil {
			fmt.Fprintf(&b, ", expires %s", s.Expires.UTC().Format(time.RFC3339))
		}
		fmt.Fprintf(&b, "\n  root %d\n", s.Root)
	}
	text(w, b.String())
}

// repositoryOf returns the repository that a request is about.
func (g *Gate) repositoryOf(r *http.Request) (*repository, error) {
	id, err := tuf.ParseDigest(r.PathValue("repository"))
	if err != nil {
		return nil, refuse(client.CodeMalformed, "", "the repository in the path: want 64 lower-case hex digits")
	}
	known := g.taken.Load().repositories[id]
	if known == nil {
		return nil, refuse(client.CodeUnknown, "", "this gate does not sign for repository %s", id)
	}
	return known, nil
}

func (g *Gate) serveTimestamp(w http.ResponseWriter, r *http.Request) {
	repository, err := g.repositoryOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	last, _, _ := repository.seen()
	if last == nil {
		problem(w, http.StatusNotFound, client.Problem{Code: verify.CodeNotListed, Detail: "this gate has not signed a timestamp of the repository"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(last.File) // who asked may be gone
}

func (g *Gate) serveSign(w http.ResponseWriter, r *http.Request) {
	began, name := time.Now(), ""
	a, again, err := func() (*client.Answer, bool, error) {
		repository, err := g.repositoryOf(r)
		if err != nil {
			return nil, false, err
		}
		name = repository.cfg.Name
		return g.sign(w, r, repository)
	}()
	if err != nil {
		p := problemOf(err)
		g.metrics.count(name, outcomeOf(p.Code), began)
		level := g.log.Info
		if p.Code == client.CodeInternal || p.Code == verify.CodeDevice {
			level = g.log.Error
		}
		level("refused", "repository", name, "code", p.Code, "error", err)
		fail(w, err)
		return
	}
	outcome := outcomeSigned
	if again {
		outcome = outcomeAgain
	}
	g.metrics.count(name, outcome, began)
	g.log.Info(outcome, "repository", name, "version", a.Version, "payload", a.Payload.String())
	answer(w, http.StatusOK, a)
}

// errSigned ends the reading of a request whose timestamp was signed already.
var errSigned = errors.New("signed already")

// sign reads a request and answers it. again says that the timestamp was signed before.
func (g *Gate) sign(w http.ResponseWriter, r *http.Request, repository *repository) (a *client.Answer, again bool, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), bodyFor+signFor)
	defer cancel()
	in := &incoming{gate: g, repository: repository, r: r, control: http.NewResponseController(w), address: rates.Client(r, repository.all.ClientAddressHeader)}
	var origin fetcher
	switch media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media {
	case client.MediaTar:
		origin, err = in.readSent()
	case client.MediaURL:
		origin, err = in.readURL(ctx)
	default:
		err = refuse(client.CodeMalformed, "", "content type %q: want %s or %s", tuf.Clip(media), client.MediaTar, client.MediaURL)
	}
	if errors.Is(err, errSigned) {
		return in.answer, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	// The body has come. Its deadline would end what follows.
	_ = in.control.SetReadDeadline(time.Now().Add(answerFor))
	leave, ok := g.places.wait(repository, in, cancel)
	if !ok {
		return nil, false, refuse(client.CodeBusy, "", "too many requests wait")
	}
	defer leave()
	a, err = repository.sign(ctx, in.timestamp, origin)
	return a, false, err
}

// parseURLRequest reads a request that names a URL.
func parseURLRequest(b []byte) (string, error) {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	var request client.URLRequest
	if err := dec.Decode(&request); err != nil {
		return "", fmt.Errorf("want an object such as {\"url\": \"https://staging.example/metadata/\"}: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", errors.New("more bytes after the object")
	}
	if request.URL == "" {
		return "", errors.New("no url")
	}
	return request.URL, nil
}

// fail answers with a problem.
func fail(w http.ResponseWriter, err error) {
	p := problemOf(err)
	wait := time.Duration(0)
	var l *limited
	switch {
	case errors.As(err, &l):
		wait = l.wait
	case p.Code == client.CodeBusy, p.Code == client.CodeInDoubt:
		wait = time.Second
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(max(1, int64(math.Ceil(wait.Seconds()))), 10))
	}
	problem(w, client.StatusOf(p.Code), p)
}

func problem(w http.ResponseWriter, status int, p client.Problem) {
	const most = 2 << 10 // bytes of words
	if len(p.Detail) > most {
		p.Detail = strings.ToValidUTF8(p.Detail[:most], "") + "…"
	}
	answer(w, status, p)
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // no value here can fail
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // who asked may be gone
}

func text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, s)
}
