package httpd

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
)

// content is the body of an answer to GET that clients may keep.
type content struct {
	mediaType string
	cache     string // Cache-Control
	body      []byte
	compress  bool // worth it, if the client takes gzip
	byAccept  bool // there is another form for clients that accept another type
	// coded is set if the body is in a coding that the client takes already: coding,
	// or none if that is empty.
	coded  bool
	coding string
	// made, which may be nil, is called when the body has room among the large
	// answers, or needs none.
	made func()
}

// leastCompressed is how many bytes a body has at least that is compressed.
const leastCompressed = 1024

// making waits until an answer may be made that may be large. done is called when it
// is made, before it is sent, and may be called again.
func (s *Server) making(r *http.Request, weight int64) (done func(), p *problem) {
	ctx, cancel := context.WithTimeout(r.Context(), quota.MakingFor)
	defer cancel()
	from := quota.Source{Key: s.sources.Network(r)}
	if s.made.Await(ctx, from, weight) != nil {
		return nil, later(api.CodeBusy, "too many files and listings are asked for at once")
	}
	return sync.OnceFunc(func() { s.made.GiveBack(from, weight) }), nil
}

// send answers GET and HEAD: with 304 where the client has the content already,
// compressed where it likes that. The entity tag is a hash of the content, with
// a suffix for the compressed form. Where too many large answers are under way, to
// clients that may be slow on purpose, those of the network that has the most end in
// the middle, or else it is a problem.
func (s *Server) send(w http.ResponseWriter, r *http.Request, c content) *problem {
	sum := sha256.Sum256(c.body)
	tag := hex.EncodeToString(sum[:16])
	zip := c.compress && len(c.body) >= leastCompressed && takesGzip(r.Header)
	plain, zipped := `"`+tag+`"`, `"`+tag+`-gzip"`
	current := plain
	if zip {
		current = zipped
	}
	noneMatch := r.Header.Values("If-None-Match")
	unchanged := matches(noneMatch, plain) || matches(noneMatch, zipped)
	if size := int64(len(c.body)); size >= quota.LargeAnswer && !unchanged && r.Method != http.MethodHead {
		from := quota.Source{Key: s.sources.Network(r)}
		sending := s.sending.Stay(from, func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) })
		defer sending.Leave()
		if !sending.Take(size) {
			return later(api.CodeBusy, "the large answers that are being sent take all the memory there is for them")
		}
	}
	if c.made != nil {
		c.made()
	}
	h := w.Header()
	h.Set("Cache-Control", c.cache)
	if c.compress || c.coded {
		h.Set("Vary", "Accept-Encoding")
	}
	if c.byAccept {
		h.Add("Vary", "Accept")
	}
	h.Set("ETag", current)
	if unchanged {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", c.mediaType)
	body := c.body
	if zip {
		h.Set("Content-Encoding", "gzip")
		body = compress(body)
	} else if c.coding != "" {
		h.Set("Content-Encoding", c.coding)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	// An error here is a client that has gone; net/http drops the body of HEAD.
	_, _ = w.Write(body)
	return nil
}

// writeText answers with a line that must not be kept.
func writeText(w http.ResponseWriter, line string) {
	h := w.Header()
	h.Set("Content-Type", api.TypeText)
	h.Set("Content-Length", strconv.Itoa(len(line)))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(line))
}

// matches reports whether a tag is among those of If-None-Match, compared weakly
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

// takesGzip reports whether the client takes gzip.
func takesGzip(h http.Header) bool { return takes(h, "gzip", "x-gzip") }

// takes reads Accept-Encoding (RFC 9110, section 12.5.3), and reports whether the client
// takes a coding with these names.
func takes(h http.Header, names ...string) bool {
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
			switch coding = strings.ToLower(strings.TrimSpace(coding)); {
			case slices.Contains(names, coding):
				named = taken
			case coding == "*":
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
