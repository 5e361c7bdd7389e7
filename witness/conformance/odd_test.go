package conformance_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/witness/conformance"
)

// TestOddWitnesses: what breaks no sentence is no failure, however odd. It is a note
// where others do otherwise, and nothing where it is only slow.
func TestOddWitnesses(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole suite against each of ten witnesses")
	}
	gets := func(other http.HandlerFunc) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					h.ServeHTTP(rw, r)
				} else {
					other(rw, r)
				}
			})
		}
	}
	// busy answers some requests with a status, without Retry-After.
	busy := func(status int, is func(n int64) bool) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			var n atomic.Int64
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if is(n.Add(1)) {
					http.Error(rw, "later", status)
					return
				}
				h.ServeHTTP(rw, r)
			})
		}
	}
	for _, tt := range []struct {
		name  string
		odd   func(http.Handler) http.Handler
		notes []string // the beginnings of those that there must be
		skips string   // the beginning of the cases that are skipped
	}{
		{"monitoring is late", late, []string{"monitoring: the checkpoint cosigned last"}, ""},
		{"a page for all that is not a POST", gets(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") }), []string{"GET", "PUT"}, "monitoring"},
		{"redirects all that is not a POST", gets(func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://witness.example", http.StatusFound)
		}), []string{"GET", "PUT"}, "monitoring"},
		{"hangs up on what is malformed", hangUp, []string{"old line:", "body:", "proof: 64 lines", "proof line:", "checkpoint:", "note:", "signature line:", "GET", "PUT"}, ""},
		{"busy now and then", busy(503, func(n int64) bool { return n%37 == 0 }), nil, ""},
		{"limits its clients now and then", busy(429, func(n int64) bool { return n%100 > 94 }), nil, ""},
		{"answers 500 to those that meet another", alone(500), nil, ""},
		{"answers 503 to those that meet another", alone(503), nil, ""},
		{"409 before 400", conflictFirst, []string{"first contact: old size above", "old size above", "old size 2^63-1"}, ""},
		{"403 for unknown origins", rewrite(nil, func(rec *httptest.ResponseRecorder) {
			if strings.HasPrefix(rec.Body.String(), "origin ") {
				rec.Code = 403
			}
		}), []string{"unknown origin, signed by its own", "unknown origin, signed by the log"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			noted := make(map[string]bool)
			for _, res := range run(t, newTarget(t, tt.odd).config()).Results {
				switch res.Outcome {
				case conformance.Fail:
					t.Error(res)
				case conformance.Skip:
					if tt.skips == "" || !strings.HasPrefix(res.Name, tt.skips) {
						t.Error(res)
					}
				case conformance.Note:
					i := slices.IndexFunc(tt.notes, func(p string) bool { return strings.HasPrefix(res.Name, p) })
					if i >= 0 {
						noted[tt.notes[i]] = true
					} else if tt.notes != nil {
						t.Error(res)
					}
				}
			}
			for _, p := range tt.notes {
				if !noted[p] {
					t.Errorf("no note in %q", p)
				}
			}
		})
	}
}

// late serves at the monitoring prefix what it had there first, for ever.
func late(h http.Handler) http.Handler {
	var mu sync.Mutex
	first := make(map[string]*httptest.ResponseRecorder)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path == "/add-checkpoint" {
			h.ServeHTTP(rw, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		rec := first[r.URL.Path]
		if rec == nil {
			rec = httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			first[r.URL.Path] = rec
		}
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(rec.Body.Bytes())
	})
}

// answered has a handler answer, and shows the answer before it is sent.
func answered(h http.Handler, r *http.Request) (body []byte, rec *httptest.ResponseRecorder, send func(http.ResponseWriter)) {
	body, _ = io.ReadAll(r.Body)
	in := r.Clone(r.Context())
	in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	rec = httptest.NewRecorder()
	h.ServeHTTP(rec, in)
	return body, rec, func(rw http.ResponseWriter) {
		maps.Copy(rw.Header(), rec.Header())
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(rec.Body.Bytes())
	}
}

const aboveText = "is larger than the checkpoint's size"

// hangUp gives no answer to what is malformed.
func hangUp(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, rec, send := answered(h, r)
		if rec.Code == http.StatusMethodNotAllowed || rec.Code == http.StatusBadRequest && !strings.Contains(rec.Body.String(), aboveText) {
			panic(http.ErrAbortHandler)
		}
		send(rw)
	})
}

// alone answers with a status to a request that comes while another is under way.
func alone(status int) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		var working atomic.Bool
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !working.CompareAndSwap(false, true) {
				http.Error(rw, "busy", status)
				return
			}
			defer working.Store(false)
			h.ServeHTTP(rw, r)
		})
	}
}

// conflictFirst compares the old size with the one cosigned last before it compares it
// with the checkpoint's.
func conflictFirst(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, rec, send := answered(h, r)
		if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), aboveText) {
			send(rw)
			return
		}
		// What it has cosigned it says to an old size that is another: 0, or 1 where
		// that is right, with a proof so that neither is cosigned.
		_, checkpoint, _ := bytes.Cut(body, []byte("\n\n"))
		for _, old := range []string{"old 0\n", "old 1\n"} {
			proof := base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n\n"
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(bytes.NewReader(append([]byte(old+proof), checkpoint...)))
			_, conflict, sendConflict := answered(h, again)
			if conflict.Code == http.StatusConflict && !bytes.HasPrefix(body, []byte("old "+conflict.Body.String())) {
				sendConflict(rw)
				return
			}
		}
		send(rw)
	})
}
