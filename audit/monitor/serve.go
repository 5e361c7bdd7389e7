package monitor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/internal/regular"
)

// Limits of requests, which anybody may send.
const (
	headerFor = 10 * time.Second
	bodyFor   = 15 * time.Second // nobody needs to send one
	answerFor = 5 * time.Minute  // a file of a copy over a slow line
	idleFor   = 2 * time.Minute
	maxHeader = 16 << 10 // bytes
)

// NewServer returns an HTTP server for a handler with limits that suit a monitor: requests
// have no bodies.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: http.MaxBytesHandler(h, 0), ReadHeaderTimeout: headerFor, ReadTimeout: bodyFor,
		WriteTimeout: answerFor, IdleTimeout: idleFor, MaxHeaderBytes: maxHeader,
	}
}

// Limit returns a handler that is asked within the limits of what strangers may ask. files
// says that it answers with many small files, which cost little.
type Limit func(h http.Handler, files bool) http.Handler

// Handler answers /healthz, /readyz, /metrics, and within limits /feeds/, /mirror/NAME/ for
// logs that are copied, and /cosign/ if this auditor cosigns. rest answers everything else;
// nil: nobody does. Without a limit there is none.
func (m *Monitor) Handler(registry *prometheus.Registry, limit Limit, rest http.Handler) (http.Handler, error) {
	if limit == nil {
		limit = func(h http.Handler, _ bool) http.Handler { return h }
	}
	for _, c := range []prometheus.Collector{&collector{m}, &m.desk} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", m.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.Handle("GET /mirror/{log}/{path...}", limit(http.HandlerFunc(m.mirrored), true))
	mux.Handle("/feeds/", limit(m.Feeds(), false))
	if m.cosigner != nil {
		mux.Handle(cosign.Prefix+"/", limit(http.StripPrefix(cosign.Prefix, m.cosigner.Handler()), true))
	}
	if rest != nil {
		mux.Handle("/", rest)
	}
	return mux, nil
}

// Feeds answers below /feeds/, by the configuration of the time (alert.Reader.Feeds).
func (m *Monitor) Feeds() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var feeds http.Handler
		_ = m.alert(func(d *alert.Desk) error {
			feeds = d.Feeds(m.Config().Alerts.URL)
			return nil
		})
		feeds.ServeHTTP(w, r)
	})
}

// Keys are the public keys with which this auditor cosigns; none if it does not.
func (m *Monitor) Keys() []string {
	var list []string
	if m.cosigner != nil {
		for _, k := range m.cosigner.Keys() {
			list = append(list, k.String())
		}
	}
	return list
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, s)
}

// readyWithin is how long ago each log must have been read to its newest verified checkpoint,
// beside ten of its intervals.
const readyWithin = time.Minute

// ready answers whether every log has recently been judged to its newest verified checkpoint, and
// what is found is told.
func (m *Monitor) ready(w http.ResponseWriter, _ *http.Request) {
	var wrong []string
	if since, err := m.undelivered(); err != nil {
		// Why is the operator's, as below.
		wrong = append(wrong, "alerts are not delivered since "+since.UTC().Format(time.RFC3339)+": why is in this process's log, and in the logs' status files")
	}
	for _, f := range m.all() {
		if why := f.unready(); why != "" {
			wrong = append(wrong, f.log.Name+": "+why)
		}
	}
	if len(wrong) > 0 {
		text(w, http.StatusServiceUnavailable, strings.Join(wrong, "\n")+"\n")
		return
	}
	text(w, http.StatusOK, "ready\n")
}

// unready says why the log has not been judged to its newest checkpoint; empty: it has.
func (f *follower) unready() string {
	s, now := f.snapshot(), f.m.opts.Now()
	within := readyWithin + 10*f.log.Interval
	switch {
	case s.Trouble != "":
		// Strangers may ask: where the log was asked, and what its network said, is the operator's.
		return "since " + time.Unix(s.Since, 0).UTC().Format(time.RFC3339) + ": something could not be read or checked; what it was is in this process's log, and in the log's status file"
	case s.Untold != "":
		return "since " + time.Unix(s.UntoldSince, 0).UTC().Format(time.RFC3339) + ": findings wait, because the outbox of alerts cannot be written"
	case s.Waiting > 0:
		return fmt.Sprintf("%d leaves wait to be judged", s.Waiting)
	case s.Answered == 0:
		return "it has not been read to its end yet"
	case now.Sub(time.Unix(s.Answered, 0)) > within:
		return fmt.Sprintf("it was read to its end last at %s", time.Unix(s.Answered, 0).UTC().Format(time.RFC3339))
	}
	return ""
}

// mirrored serves a file of the copy of a log, as the log does. The checkpoint is the one that
// was cosigned last, if any was.
func (m *Monitor) mirrored(w http.ResponseWriter, r *http.Request) {
	name, path := r.PathValue("log"), r.PathValue("path")
	final, ok := mirror.Served(path)
	all := m.all()
	i := slices.IndexFunc(all, func(f *follower) bool { return f.log.Name == name && f.copier != nil })
	if !ok || i < 0 {
		text(w, http.StatusNotFound, "not found\n")
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-cache")
	if final {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if path == "checkpoint" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		if m.cosigner != nil {
			if note := m.cosigner.Cosigned(all[i].origins()...); note != nil {
				whole(w, r, note)
				return
			}
		}
	}
	file, info, err := mirrorFile(MirrorDir(m.dir, name), path)
	if err != nil {
		text(w, http.StatusNotFound, "not found\n")
		return
	}
	defer file.Close()
	if path == "checkpoint" {
		note, err := io.ReadAll(file)
		if err != nil {
			text(w, http.StatusNotFound, "not found\n")
			return
		}
		whole(w, r, note)
		return
	}
	modified := time.Time{}
	if final {
		modified = info.ModTime()
	}
	http.ServeContent(w, r, "", modified, file)
}

// whole answers with a content that another one replaces, perhaps within the same second: the
// time of a file does not tell them apart.
func whole(w http.ResponseWriter, r *http.Request, content []byte) {
	sum := sha256.Sum256(content)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// mirrorFile opens a regular file of a copy.
func mirrorFile(dir, path string) (*os.File, os.FileInfo, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	file, err := regular.OpenIn(root, path)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}
