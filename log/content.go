package log

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/log/api"
)

// content is the body of an answer to GET that clients may keep.
type content struct {
	mediaType string
	cache     string // Cache-Control
	body      []byte
	compress  bool // worth it, if the client takes gzip
}

// leastCompressed is how many bytes a body has at least that is compressed.
const leastCompressed = 1024

// send answers GET and HEAD: with 304 where the client has the content already,
// compressed where it likes that. The entity tag is a hash of the content, with
// a suffix for the compressed form.
func send(w http.ResponseWriter, r *http.Request, c content) {
	sum := sha256.Sum256(c.body)
	tag := hex.EncodeToString(sum[:16])
	h := w.Header()
	h.Set("Cache-Control", c.cache)
	zip := false
	if c.compress {
		h.Set("Vary", "Accept-Encoding")
		zip = len(c.body) >= leastCompressed && takesGzip(r.Header)
	}
	plain, zipped := `"`+tag+`"`, `"`+tag+`-gzip"`
	current := plain
	if zip {
		current = zipped
	}
	h.Set("ETag", current)
	if noneMatch := r.Header.Values("If-None-Match"); matches(noneMatch, plain) || matches(noneMatch, zipped) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", c.mediaType)
	body := c.body
	if zip {
		h.Set("Content-Encoding", "gzip")
		body = compress(body)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// An error here is a client that has gone; net/http drops the body of HEAD.
	_, _ = w.Write(body)
}

// writeText answers with a line that must not be kept.
func writeText(w http.ResponseWriter, line string) {
	h := w.Header()
	h.Set("Content-Type", api.TypeText)
	h.Set("Content-Length", strconv.Itoa(len(line)))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(line))
}

// matches says whether a tag is among those of If-None-Match, compared weakly
// (RFC 9110, section 13.1.2).
func matches(lines []string, tag string) bool {
	for _, line := range lines {
		for one := range strings.SplitSeq(line, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// takesGzip reads Accept-Encoding (RFC 9110, section 12.5.3).
func takesGzip(h http.Header) bool {
	named, any := -1, -1 // -1: not mentioned, 0: refused, 1: taken
	for _, line := range h.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(one, ";")
			taken := 1
			if q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q="); ok {
				if weight, err := strconv.ParseFloat(strings.TrimSpace(q), 64); err != nil || weight <= 0 {
					taken = 0
				}
			}
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				named = taken
			case "*":
				any = taken
			}
		}
	}
	return named == 1 || named < 0 && any == 1
}

var zippers = sync.Pool{New: func() any {
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is one of the package's own
	}
	return z
}}

func compress(b []byte) []byte {
	var out bytes.Buffer
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(&out)
	// Writing to a bytes.Buffer does not fail.
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
