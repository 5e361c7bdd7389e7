package cosign

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
)

// Prefix is the path below which a monitor serves a Cosigner: <URL>/cosign is the
// monitoring prefix of c2sp.org/tlog-witness.
const Prefix = "/cosign"

// Header is the HTTP header of every answer, with the auditor's name: a log that is given
// the auditor's URL as that of a witness learns from it that this one cosigns only what is
// published.
const Header = client.HeaderAuditor

// maxAge is how long a cache may keep a checkpoint, in seconds.
const maxAge = 1

const refusal = "this is an auditor and not a witness: it cosigns checkpoints by itself, after they were published and audited; fetch them at GET HASH/checkpoint below this URL, where HASH is the SHA-256 of the log's origin in hex, and leave the auditor out of the quorum by which the log publishes"

// Handler serves, below Prefix without it,
//
//	GET  /<hash>/checkpoint   the checkpoint cosigned last, with the signatures of the log,
//	                          of its witnesses and of this auditor; hash is SHA-256 of the
//	                          log's origin in lower-case hex. 404 if none was cosigned
//	GET  /                    the Status as JSON
//	POST /add-checkpoint      403: an auditor cosigns by itself
//
// Every answer has the Header. GET supports If-None-Match.
func (c *Cosigner) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{hash}/checkpoint", c.serveCheckpoint)
	mux.HandleFunc("GET /{$}", c.serveStatus)
	mux.HandleFunc("POST /add-checkpoint", func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, refusal, http.StatusForbidden)
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set(Header, c.name)
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(rw, r)
	})
}

// tagOf returns the ETag of a content.
func tagOf(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

func (c *Cosigner) serveCheckpoint(rw http.ResponseWriter, r *http.Request) {
	id, err := witness.ParseOriginHash(r.PathValue("hash"))
	if err != nil {
		http.Error(rw, "not an origin hash: want 64 lower-case hex digits", http.StatusNotFound)
		return
	}
	note, tag := c.servedOf(func(l *followed) bool { return witness.HashOrigin(l.origin) == id })
	if note == nil {
		http.Error(rw, "no checkpoint of this log was cosigned", http.StatusNotFound)
		return
	}
	answer(rw, r, "text/plain; charset=utf-8", note, tag)
}

// Cosigned returns the checkpoint that was cosigned last of the log with one of these origins, as
// it is served; nil if none was.
func (c *Cosigner) Cosigned(origins ...string) []byte {
	note, _ := c.servedOf(func(l *followed) bool { return slices.Contains(origins, l.origin) })
	return note
}

func (c *Cosigner) servedOf(is func(*followed) bool) (note []byte, tag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.logs {
		if is(l) && l.served != nil {
			return l.served, l.tag
		}
	}
	return nil, ""
}

func (c *Cosigner) serveStatus(rw http.ResponseWriter, r *http.Request) {
	s, err := c.statusFor(r.Context(), false)
	if err != nil {
		http.Error(rw, "the state cannot be read", http.StatusServiceUnavailable)
		return
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		http.Error(rw, "internal error", http.StatusInternalServerError)
		return
	}
	answer(rw, r, "application/json", append(b, '\n'), tagOf(b))
}

// answer serves a content, or says that it is the one that the client has.
func answer(rw http.ResponseWriter, r *http.Request, kind string, content []byte, tag string) {
	h := rw.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(maxAge))
	for have := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if have = strings.TrimPrefix(strings.TrimSpace(have), "W/"); have == tag || have == "*" {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = rw.Write(content) // a client that has left needs nothing
}
