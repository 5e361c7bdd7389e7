package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// What verifies in a visitor's browser. It is not committed: a program that is built without
// it has none, and its page says so.
//
//go:generate go run ./generate ./wasm built

//go:embed all:built
var built embed.FS

// verifier is package drop as WebAssembly, in the two forms that it is sent in, and what runs
// it.
type verifier struct {
	brotli, gzip, script []byte
	version              string // changes with the program

	unpack   sync.Once
	unpacked []byte
	damaged  error
}

// newVerifier returns the program that was built in; nil: none was.
func newVerifier() *verifier {
	v := &verifier{}
	for name, content := range map[string]*[]byte{"verify.wasm.br": &v.brotli, "verify.wasm.gz": &v.gzip, "wasm_exec.js": &v.script} {
		var err error
		if *content, err = built.ReadFile("built/" + name); err != nil {
			return nil
		}
	}
	sum := sha256.Sum256(v.brotli)
	v.version = hex.EncodeToString(sum[:8])
	return v
}

// plain returns the program as it is, for the few who take neither form.
func (v *verifier) plain() ([]byte, error) {
	v.unpack.Do(func() {
		var z *gzip.Reader
		if z, v.damaged = gzip.NewReader(bytes.NewReader(v.gzip)); v.damaged == nil {
			v.unpacked, v.damaged = io.ReadAll(z)
		}
	})
	return v.unpacked, v.damaged
}

// verifyPolicy lets the page for verification run its own script and its own WebAssembly. It
// cannot send anything to another host, and its only requests are for these.
const verifyPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// verifyPage is what the page for verification shows without a script.
type verifyPage struct {
	Log       string   `json:"log"`  // whose policy it is
	Logs      []string `json:"logs"` // others can be chosen
	Policy    string   `json:"policy"`
	Version   string   `json:"version,omitempty"` // of the program; empty: this auditor has none
	Commands  []string `json:"commands"`
	NotProved []string `json:"not_proved"`
	// Repositories are those of the log that this auditor knows by a name.
	Repositories []Watched `json:"repositories,omitempty"`
}

// verifyCommands do without this site what its page does. The policy to download has no URLs.
func (b *book) verifyCommands() []string {
	return []string{"updater verify --policy policy.txt FOLDER", b.command("auditor compare 14.targets.json"), b.command("auditor lookup FILE")}
}

// verifyNotProved is what no file proves, and no page.
var verifyNotProved = []string{
	"That a file is safe, does what it should, or was built from any source. The vendor’s keys have signed a list with its hash: no more.",
	"That the vendor meant it. Whoever holds the keys can sign; what a log adds is that he cannot do so unseen.",
	"That nothing else was signed under this version. What the log has of that stands on the repository’s page here, under findings.",
	"That the repository is the vendor’s that you think of. Its id is a hash of its first root: compare it with what the vendor says elsewhere.",
	"That the keys of the policy are the right ones. They are this site’s, until you replace them: compare them with another source.",
	"That this page is honest. Its program came from this site. The commands below do the same with a program that you have from elsewhere.",
}

func (s *Server) verify(r *http.Request) (*view, error) {
	chosen := s.books[0]
	p := &verifyPage{NotProved: verifyNotProved}
	if name := r.URL.Query().Get("log"); name != "" {
		i := slices.IndexFunc(s.books, func(b *book) bool { return b.Name == name })
		if i < 0 { // another log's policy would be taken for this one's
			return nil, notFound("No log here is called %s.", printable.Line(tuf.Clip(name)))
		}
		chosen = s.books[i]
	}
	for _, b := range s.books {
		p.Logs = append(p.Logs, b.Name)
	}
	for _, w := range chosen.Watched {
		if w.Name != "" {
			p.Repositories = append(p.Repositories, Watched{ID: w.ID, Name: w.Name})
		}
	}
	p.Log, p.Policy, p.Commands = chosen.Name, string(chosen.text), chosen.verifyCommands()
	if s.verifier != nil {
		p.Version = s.verifier.version
	}
	return &view{template: "verify", title: "Verify a file", section: "verify", data: p}, nil
}

// verifyRoutes are those of the page for verification, and of what it loads.
func (s *Server) verifyRoutes(mux *http.ServeMux) {
	mux.HandleFunc("/verify", func(w http.ResponseWriter, r *http.Request) {
		if s.verifier != nil {
			w.Header().Set("Content-Security-Policy", verifyPolicy)
		}
		s.handle(s.verify)(w, r)
	})
	mux.HandleFunc("/verify/verify.css", s.asset("verify.css", "text/css; charset=utf-8"))
	if s.verifier == nil {
		return
	}
	mux.HandleFunc("/verify/verify.js", s.asset("verify.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("/verify/wasm_exec.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		s.write(w, r, http.StatusOK, "text/javascript; charset=utf-8", s.verifier.script)
	})
	mux.HandleFunc("/verify/verify.wasm", s.program)
}

// program answers with the program in a form that the client takes. Its version is in the
// URL that the page has, so that a browser keeps it.
func (s *Server) program(w http.ResponseWriter, r *http.Request) {
	v, h := s.verifier, w.Header()
	body, coding := v.brotli, "br"
	switch {
	case takes(r, "br"):
	case takesGzip(r):
		body, coding = v.gzip, "gzip"
	default:
		plain, err := v.plain()
		if err != nil {
			s.failWith(w, r, err)
			return
		}
		body, coding = plain, ""
	}
	h.Set("Content-Type", "application/wasm")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", `"`+v.version+"-"+coding+`"`)
	h.Set("Cache-Control", keepFor)
	if r.URL.Query().Get("v") == v.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if matches(r.Header.Get("If-None-Match"), h.Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		shared(w)
		_, _ = w.Write(body) // the client has gone away
	}
}

// takes reads Accept-Encoding (RFC 9110, section 12.5.3), and reports whether the client takes
// a coding with these names.
func takes(r *http.Request, names ...string) bool {
	named, others := -1, -1 // -1: not mentioned, 0: refused, 1: taken
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(strings.ToLower(part), ";")
		taken := 1
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			if weight, err := strconv.ParseFloat(strings.TrimSpace(q), 64); err != nil || !(weight > 0) {
				taken = 0
			}
		}
		switch coding = strings.TrimSpace(coding); {
		case slices.Contains(names, coding):
			named = taken
		case coding == "*":
			others = taken
		}
	}
	return named == 1 || named < 0 && others == 1
}

func takesGzip(r *http.Request) bool { return takes(r, "gzip", "x-gzip") }
