package page

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// keepFor is how long a browser or a proxy may keep a page.
const keepFor = "public, max-age=5"

// errNotFound is returned by the makers of pages for what is not there; its text tells the
// reader.
type errNotFound struct{ say string }

func (e errNotFound) Error() string { return e.say }

func notFound(format string, args ...any) error { return errNotFound{fmt.Sprintf(format, args...)} }

// errBadRequest is returned for a request that cannot be understood.
type errBadRequest struct{ say string }

func (e errBadRequest) Error() string { return e.say }

func badRequest(format string, args ...any) error {
	return errBadRequest{fmt.Sprintf(format, args...)}
}

// view is a page: what its template shows, and what its JSON is.
type view struct {
	template string
	title    string // without the name of the site
	section  string // of the navigation
	log      string // whose page it is; empty: of none
	data     any
}

// maxTries is how often a page is made if the state is replaced meanwhile.
const maxTries = 3

// handle answers with the page that a function makes.
func (s *Server) handle(make func(*http.Request) (*view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := make(r.WithContext(withPins(r.Context())))
		for tries := 1; errors.Is(err, errReplaced) && tries < maxTries; tries++ {
			v, err = make(r.WithContext(withPins(r.Context())))
		}
		if err != nil {
			s.failWith(w, r, err)
			return
		}
		if wantsJSON(r) {
			s.writeJSON(w, r, http.StatusOK, v.data)
			return
		}
		var b bytes.Buffer
		f := s.frame(v.title, v.section, v.log, r)
		if of, ok := v.data.(interface{ standingOf() standing }); ok {
			says := of.standingOf()
			f.Standing = &says
		}
		if err := s.templates.page(&b, f, v.template, v.data); err != nil {
			s.failWith(w, r, err)
			return
		}
		w.Header().Set("Vary", "Accept, Accept-Encoding")
		s.write(w, r, http.StatusOK, "text/html; charset=utf-8", b.Bytes())
	}
}

// wantsJSON reports whether a request is a program's: it asks for JSON by its query, or
// accepts it and does not name HTML.
func wantsJSON(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "json":
		return true
	case "html":
		return false
	}
	wanted := false
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		switch kind, _, _ := mime.ParseMediaType(part); kind {
		case "text/html", "application/xhtml+xml":
			return false
		case "application/json":
			wanted = true
		}
	}
	return wanted
}

// writeJSON answers with a value. What a terminal could take for a command is written out,
// which means the same to a reader of JSON.
func (s *Server) writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	var b bytes.Buffer
	to := printable.NewWriter(&b)
	enc := json.NewEncoder(to)
	enc.SetIndent("", "  ")
	if err := errors.Join(enc.Encode(v), to.Flush()); err != nil {
		s.cfg.Logger.Error("a page cannot be written as JSON", "path", r.URL.Path, "error", err)
		http.Error(w, `{"error": "this page cannot be written as JSON"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	s.write(w, r, status, "application/json", b.Bytes())
}

// writers of gzip are large.
var gzips = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

// write answers with a whole body, compressed where that helps, or with 304.
func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	if status == http.StatusOK {
		if s.has(w, r, sha256.Sum256(body)) {
			return
		}
	} else {
		h.Set("Cache-Control", "no-store")
	}
	if len(body) > 1024 && len(body) <= maxGzipped && takesGzip(r) {
		var b bytes.Buffer
		z := gzips.Get().(*gzip.Writer)
		z.Reset(&b)
		_, err := z.Write(body)
		if errors.Join(err, z.Close()) == nil {
			body = b.Bytes()
			h.Set("Content-Encoding", "gzip")
		}
		gzips.Put(z)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone away
	}
}

// maxGzipped is how many bytes a body has at most that is compressed: strangers decide how
// often.
const maxGzipped = 2 << 20

// has answers with 304 if the client has what has a hash, and reports whether it did.
func (s *Server) has(w http.ResponseWriter, r *http.Request, sum tuf.Digest) bool {
	tag := `W/"` + hex.EncodeToString(sum[:12]) + `"` // weak: it is the same compressed
	w.Header().Set("ETag", tag)
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", keepFor)
	}
	if !matches(r.Header.Get("If-None-Match"), tag) {
		return false
	}
	w.WriteHeader(http.StatusNotModified)
	return true
}

// matches reports whether a list of entity tags has one, compared weakly.
func matches(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") && one != "" {
			return true
		}
	}
	return false
}

// attach answers with a file to download, under a name that is made safe.
func (s *Server) attach(w http.ResponseWriter, r *http.Request, name string, content []byte) {
	attached(w.Header(), name)
	s.write(w, r, http.StatusOK, "application/octet-stream", content)
}

func attached(h http.Header, name string) {
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(name)}))
	h.Set("Vary", "Accept-Encoding")
}

// maxFileName is how many bytes the name of a download has at most.
const maxFileName = 128

// fileName keeps of a name what is safe on every file system and in every shell. It ends as
// the name ends.
func fileName(name string) string {
	safe := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			return c
		}
		return '_'
	}, name)
	if cut := len(safe) - maxFileName; cut > 0 {
		safe = safe[cut:]
	}
	if safe = strings.TrimLeft(safe, ".-"); safe == "" {
		return "file"
	}
	return safe
}

// problem is the page of an answer that is not 200.
type problem struct {
	Status int    `json:"status"`
	Error  string `json:"error"`
}

// fail answers with a sentence.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, say string) {
	p := problem{status, say}
	if wantsJSON(r) {
		s.writeJSON(w, r, status, p)
		return
	}
	var b bytes.Buffer
	if err := s.templates.page(&b, s.frame(http.StatusText(status), "", "", r), "problem", p); err != nil {
		http.Error(w, http.StatusText(status), status)
		return
	}
	s.write(w, r, status, "text/html; charset=utf-8", b.Bytes())
}

// busyFor is when to try again what could not be done in this moment.
const busyFor = 2 * time.Second

// failWith answers with what an error means to a reader.
func (s *Server) failWith(w http.ResponseWriter, r *http.Request, err error) {
	var missing errNotFound
	var bad errBadRequest
	switch {
	case errors.As(err, &missing):
		s.fail(w, r, http.StatusNotFound, missing.say)
	case errors.As(err, &bad):
		s.fail(w, r, http.StatusBadRequest, bad.say)
	case errors.Is(err, errBusy):
		retryAfter(w, busyFor)
		s.fail(w, r, http.StatusServiceUnavailable, "Pages like this one take much work, and there is too much of it at this moment, for your address or for all. Try again in a moment.")
	case errors.Is(err, errReplaced):
		retryAfter(w, busyFor)
		s.fail(w, r, http.StatusServiceUnavailable, "What this auditor keeps of the log was replaced while this page was made. Try again in a moment.")
	case errors.Is(err, context.DeadlineExceeded):
		retryAfter(w, s.cfg.Limits.Timeout)
		s.fail(w, r, http.StatusServiceUnavailable, "This page takes longer than this server may spend on it. Try again later, or ask with the command line: auditor show.")
	case r.Context().Err() != nil:
		// Nobody waits for it.
	default:
		s.cfg.Logger.Error("a page cannot be shown", "path", r.URL.Path, "error", err)
		s.fail(w, r, http.StatusInternalServerError, "This page cannot be shown now: what this auditor keeps could not be read. Its operator has been told.")
	}
}
