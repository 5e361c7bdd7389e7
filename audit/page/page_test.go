package page_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// hostile is a word of a vendor that tries to be part of the page: markup, a quote, a
// direction mark, a control character.
const hostile = "a'\"><script>alert(1)</script>\u202e\u0007`{{.}}"

// world is an audited log with a good vendor, one that signs two payloads, and an entry that
// is not a leaf.
type world struct {
	log      *audittest.Log
	vendor   *testvendor.Vendor
	repo     tuf.Digest
	dir      string
	acked    string // the id of a finding that is acknowledged
	releases []int64
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// submit logs the newest file of a role.
func (w *world) submit(t testing.TB, v *testvendor.Vendor, role string) {
	t.Helper()
	_, file := v.File(role)
	var snapshots [][]byte
	if role != tuf.RoleRoot {
		_, snapshot := v.File(tuf.RoleSnapshot)
		snapshots = append(snapshots, snapshot)
	}
	_, index := w.log.Submit(w.repo, role, file, snapshots...)
	w.releases = append(w.releases, index)
}

func makeWorld(t testing.TB, dir string) *world {
	t.Helper()
	w := &world{log: audittest.New(t), dir: dir}
	w.log.Time -= 4 * 3600
	a, err := audit.New(t.Context(), audit.Config{Source: w.log.Source(), Policy: w.log.Policy(), StateDir: dir})
	must(t, err)
	publish := func() {
		w.log.Publish(2)
		_, err := a.Step(t.Context())
		must(t, err)
	}
	w.vendor, err = testvendor.New(time.Now().AddDate(1, 0, 0))
	must(t, err)
	_, root := w.vendor.File(tuf.RoleRoot)
	w.repo = w.log.Register(root)
	release := func(v *testvendor.Vendor, path, content string, roles ...string) {
		must(t, v.Put(roles[len(roles)-1], path, []byte(content)))
		must(t, v.Release(roles...))
		for _, role := range roles {
			w.submit(t, v, role)
		}
		publish()
	}
	w.submit(t, w.vendor, tuf.RoleTargets)
	publish()
	w.log.Time += 3600
	release(w.vendor, "firmware.bin", "one", tuf.RoleTargets)
	must(t, w.vendor.Delegate(tuf.RoleTargets, hostile, "*.bin", hostile))
	w.log.Time += 3600
	release(w.vendor, hostile, "two", tuf.RoleTargets, hostile)
	must(t, w.vendor.Rotate(tuf.RoleTargets))
	w.submit(t, w.vendor, tuf.RoleRoot)
	w.log.Time += 3600
	release(w.vendor, "firmware.bin", "three", tuf.RoleTargets)
	twin, err := w.vendor.Clone()
	must(t, err)
	release(w.vendor, "firmware.bin", "four", tuf.RoleTargets)
	must(t, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("evil")))
	must(t, twin.Release(tuf.RoleTargets))
	w.submit(t, twin, tuf.RoleTargets)
	w.log.Append([]byte("not a leaf\n"))
	publish()
	report, err := a.Report(t.Context())
	must(t, err)
	for _, f := range report.Findings {
		if f.Kind == audit.SecondPayload {
			w.acked = f.ID
			_, err := a.State().Acknowledge(t.Context(), f.ID, "the vendor told us "+hostile, time.Now())
			must(t, err)
		}
	}
	must(t, a.State().Commit(t.Context()))
	must(t, a.Close())
	return w
}

var shared struct {
	once sync.Once
	*world
	server *page.Server
}

// pages returns the pages of a world that the tests share.
func pages(t testing.TB) (*world, *page.Server) {
	t.Helper()
	shared.once.Do(func() {
		w := makeWorld(t, filepath.Join(folder, "state"))
		s, err := page.New(w.config())
		must(t, err)
		shared.world, shared.server = w, s
	})
	if shared.server == nil {
		t.Fatal("the world could not be made")
	}
	return shared.world, shared.server
}

func (w *world) config() page.Config {
	now := time.Now() // pages that say how long ago something was are the same
	return page.Config{
		Now: func() time.Time { return now },
		Logs: []page.Log{{
			Name: "example", StateDir: w.dir, Policy: w.log.Policy(), Source: w.log.Source(),
			URL:     "https://log.example.com/",
			Watched: []page.Watched{{ID: w.repo, Name: "acme", Live: []page.Live{{URL: "https://updates.acme.example/metadata/"}}}},
		}},
		Feeds: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/atom+xml")
			fmt.Fprintf(w, "<feed>%s</feed>", html.EscapeString(r.URL.Path))
		}),
		Limits: page.Limits{PerSecond: -1},
	}
}

// get asks for a page.
func get(t testing.TB, s http.Handler, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return rec.Result()
}

func body(t testing.TB, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return b
}

// document is a page that was parsed.
type document struct {
	path string
	root *html.Node
}

func parse(t testing.TB, path string, b []byte) document {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(b))
	must(t, err)
	return document{path, root}
}

// all returns the elements with one of some names, in order.
func (d document) all(names ...string) (found []*html.Node) {
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && slices.Contains(names, n.Data) {
			found = append(found, n)
		}
	}
	return found
}

func attr(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// text is that of the whole page.
func (d document) text() string { return text(d.root) }

// Every page that any page leads to is there, whole as HTML and as JSON, and readable: with
// one first heading, no level of headings left out, tables with captions and heads.
func TestEveryPageIsWhole(t *testing.T) {
	w, s := pages(t)
	css := zipped(t, s, "/style.css") + zipped(t, s, "/icon.svg")
	seen, queue := map[string]bool{"/": true}, []string{"/", "/search?q=firmware.bin", "/search?q=nothing+like+this", "/logs/example/findings?state=all"}
	pagesSeen := 0
	for len(queue) > 0 && len(seen) < 500 {
		path := queue[0]
		queue = queue[1:]
		r := get(t, s, path)
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, r.Status)
			continue
		}
		b := body(t, r)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			continue
		}
		pagesSeen++
		d := parse(t, path, b)
		d.check(t)
		if size := zipped(t, s, path) + css; size > 100_000 {
			t.Errorf("%s: first paint takes %d bytes", path, size)
		}
		j := get(t, s, path, "Accept", "application/json")
		if jb := body(t, j); j.StatusCode != http.StatusOK || j.Header.Get("Content-Type") != "application/json" || !json.Valid(jb) {
			t.Errorf("%s as JSON: %s, %.80q", path, j.Status, jb)
		} else if bytes.ContainsAny(jb, "\u202e\u0007") {
			t.Errorf("%s as JSON: what is not printable is not written out", path)
		}
		for _, link := range d.links(t) {
			if !seen[link] {
				seen[link] = true
				queue = append(queue, link)
			}
		}
	}
	if pagesSeen < 25 {
		t.Errorf("only %d pages were found", pagesSeen)
	}
	for _, want := range []string{"/logs/example/", "/logs/example/repositories", "/logs/example/releases/3", "/logs/example/releases/3/proof", "/logs/example/policy", "/logs/example/checkpoint", "/about", "/verify", "/feeds/all.atom", "/feeds/example/all.atom", "/feeds/example/" + w.repo.String() + ".atom"} {
		if !seen[want] {
			t.Errorf("no page leads to %s", want)
		}
	}
}

// zipped is how many bytes a file takes on the way.
func zipped(t testing.TB, s http.Handler, path string) int {
	t.Helper()
	r := get(t, s, path, "Accept-Encoding", "gzip")
	return len(body(t, r))
}

// links returns what a page links to, as absolute paths. A link to another site fails.
func (d document) links(t testing.TB) (links []string) {
	t.Helper()
	base, err := url.Parse(d.path)
	must(t, err)
	for _, n := range d.all("a", "link", "img", "form", "script") {
		for _, key := range []string{"href", "src", "action"} {
			v, ok := attr(n, key)
			if !ok || strings.HasPrefix(v, "#") {
				continue
			}
			u, err := base.Parse(v)
			if err != nil || u.Host != "" || u.Scheme != "" {
				t.Errorf("%s links to %q", d.path, v)
				continue
			}
			u.Fragment = ""
			links = append(links, u.String())
		}
	}
	return links
}

// noWords is what a mistake in a template prints.
var noWords = regexp.MustCompile(`0xc[0-9a-f]{6,}|0x[0-9a-f]{11,}|%!|<nil>|ZgotmplZ|map\[`)

// check checks what all pages have.
func (d document) check(t testing.TB) {
	t.Helper()
	fault := func(format string, args ...any) { t.Errorf("%s: %s", d.path, fmt.Sprintf(format, args...)) }
	if n := len(d.all("h1")); n != 1 {
		fault("%d first headings", n)
	}
	level := 0
	for _, h := range d.all("h1", "h2", "h3", "h4") {
		if now := int(h.Data[1] - '0'); now > level+1 {
			fault("heading %q comes after level %d", text(h), level)
		}
		level = int(h.Data[1] - '0')
		if text(h) == "" {
			fault("an empty heading")
		}
	}
	for _, name := range []string{"main", "header", "footer", "title"} {
		if len(d.all(name)) == 0 {
			fault("no %s", name)
		}
	}
	for _, n := range d.all("script") {
		if src, _ := attr(n, "src"); d.path != "/verify" || src != "/verify/verify.js" || n.FirstChild != nil {
			fault("a script: %s", text(n))
		}
	}
	if n := len(d.all("style", "iframe", "object", "embed", "base")); n != 0 {
		fault("%d elements that no page has", n)
	}
	if odd := noWords.FindString(d.text()); odd != "" {
		fault("it says %q", odd)
	}
	ids := map[string]bool{}
	for n := range d.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				fault("<%s> has the attribute %s", n.Data, a.Key)
			}
		}
		if id, ok := attr(n, "id"); ok {
			if ids[id] {
				fault("id %q is there twice", id)
			}
			ids[id] = true
		}
	}
	for n := range d.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if of, ok := attr(n, "aria-labelledby"); ok && !ids[of] {
			fault("<%s> is named by %q, which is not there", n.Data, of)
		}
		if of, ok := attr(n, "for"); ok && !ids[of] {
			fault("a label is for %q, which is not there", of)
		}
		if to, ok := attr(n, "href"); ok && strings.HasPrefix(to, "#") && !ids[to[1:]] {
			fault("a link leads to %q, which is not there", to)
		}
	}
	for _, table := range d.all("table") {
		t := document{d.path, table}
		if len(t.all("caption")) != 1 || text(t.all("caption")[0]) == "" {
			fault("a table without a caption")
		}
		for _, th := range t.all("th") {
			if _, ok := attr(th, "scope"); !ok {
				fault("a head without scope: %q", text(th))
			}
		}
	}
	for _, n := range d.all("input", "select") {
		kind, _ := attr(n, "type")
		if id, _ := attr(n, "id"); id == "" && kind != "hidden" {
			fault("a field without a label")
		}
	}
	for _, n := range d.all("img") {
		if _, ok := attr(n, "alt"); !ok {
			fault("a picture without words for it")
		}
	}
}

// What vendors write does not become part of the page, and what is not printable in it is
// seen.
func TestHostileWords(t *testing.T) {
	w, s := pages(t)
	for _, path := range []string{
		"/logs/example/repositories/" + w.repo.String(), "/logs/example/releases/3", "/logs/example/releases/4", "/logs/example/findings?state=all",
		"/findings/" + w.acked, "/search?q=" + url.QueryEscape(hostile), "/search?q=%3Cscript%3E", "/logs/example/repositories?q=" + url.QueryEscape(hostile),
		"/logs/example/findings?class=" + url.QueryEscape(hostile), "/logs/" + url.PathEscape(hostile) + "/",
	} {
		for _, accept := range []string{"text/html", "application/json"} {
			r := get(t, s, path, "Accept", accept)
			b := body(t, r)
			if bytes.ContainsAny(b, "\u202e\u0007") || bytes.Contains(b, []byte("<script")) {
				t.Errorf("%s as %s: a word breaks out", path, accept)
			}
			if accept == "application/json" {
				if !json.Valid(b) {
					t.Errorf("%s: %.100q is not JSON", path, b)
				}
				continue
			}
			d := parse(t, path, b)
			d.check(t)
			if r.StatusCode == http.StatusOK && !strings.Contains(d.text(), `\u202e`) && !strings.Contains(d.text(), "<script>") {
				t.Errorf("%s: the word is not seen", path)
			}
		}
	}
}

// Nothing can be sent, framed, or loaded from elsewhere; answers can be kept and asked again.
func TestHeaders(t *testing.T) {
	_, s := pages(t)
	for _, path := range []string{"/", "/style.css", "/logs/example/releases/3/metadata", "/none", "/search?q=x"} {
		r := get(t, s, path)
		csp := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") || r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
	}
	r := get(t, s, "/logs/example/")
	tag := r.Header.Get("ETag")
	if tag == "" || r.Header.Get("Cache-Control") != "public, max-age=5" || !strings.Contains(r.Header.Get("Vary"), "Accept") {
		t.Errorf("headers %v", r.Header)
	}
	if again := get(t, s, "/logs/example/", "If-None-Match", `"x", `+tag); again.StatusCode != http.StatusNotModified || len(body(t, again)) != 0 {
		t.Errorf("asked again: %s", again.Status)
	}
	if z := get(t, s, "/logs/example/", "Accept-Encoding", "br, gzip"); z.Header.Get("Content-Encoding") != "gzip" || z.Header.Get("ETag") != tag {
		t.Errorf("compressed: %v", z.Header)
	} else if zr, err := gzip.NewReader(z.Body); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(zr); err != nil || !bytes.Equal(b, body(t, r)) {
		t.Errorf("compressed, it is another page: %v", err)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, "BREW"} {
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest(method, "/", strings.NewReader("x")))
		if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", method, rec.Code, rec.Header())
		}
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodHead, "/", nil))
	if rec.Code != http.StatusOK || rec.Body.Len() != 0 || rec.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD: %d, %d bytes", rec.Code, rec.Body.Len())
	}
}

// An address that asks too much waits, and others do not.
func TestLimits(t *testing.T) {
	w, _ := pages(t)
	cfg := w.config()
	now := time.Unix(w.log.Time, 0)
	cfg.Limits, cfg.Now, cfg.ClientAddressHeader = page.Limits{PerSecond: 1, Burst: 3}, func() time.Time { return now }, "X-Forwarded-For"
	s, err := page.New(cfg)
	must(t, err)
	ask := func(from string) int { return get(t, s, "/style.css", "X-Forwarded-For", from).StatusCode }
	for i := range 3 {
		if got := ask("192.0.2.1"); got != http.StatusOK {
			t.Fatalf("request %d: %d", i, got)
		}
	}
	r := get(t, s, "/style.css", "X-Forwarded-For", "198.51.100.7, 192.0.2.1")
	if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" {
		t.Errorf("over its rate: %s %v", r.Status, r.Header)
	}
	if got := ask("192.0.2.2"); got != http.StatusOK {
		t.Errorf("another address: %d", got)
	}
	if a, b := ask("2001:db8::1"), ask("2001:db8::2"); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("%d, %d", a, b)
	}
	if ask("2001:db8::3"); ask("2001:db8::4") != http.StatusTooManyRequests {
		t.Error("one network has several shares")
	}
	now = now.Add(2 * time.Second)
	if got := ask("192.0.2.1"); got != http.StatusOK {
		t.Errorf("later: %d", got)
	}
}

// What is downloaded can be checked: the metadata has the leaf's hash, the proof verifies,
// and the evidence proves something with the keys of the policy alone.
func TestDownloads(t *testing.T) {
	w, s := pages(t)
	var release struct {
		Metadata, FileName string
		MetadataPath       string   `json:"metadata_path"`
		ProofPath          string   `json:"proof_path"`
		File               string   `json:"file_name"`
		Commands           []string `json:"commands"`
	}
	must(t, json.Unmarshal(body(t, get(t, s, "/logs/example/releases/3?format=json")), &release))
	meta := get(t, s, release.MetadataPath)
	file := body(t, meta)
	if tuf.Sum(file).String() != release.Metadata || !strings.HasPrefix(meta.Header.Get("Content-Disposition"), "attachment") || meta.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("metadata: %v", meta.Header)
	}
	proof, err := proofs.ParseProof(body(t, get(t, s, release.ProofPath)))
	must(t, err)
	if _, err := proof.Verify(w.log.Policy(), proof.Extra); err != nil || proof.Index != 3 {
		t.Errorf("proof of entry %d: %v", proof.Index, err)
	}
	if len(release.Commands) == 0 || !strings.Contains(release.Commands[0], release.File) {
		t.Errorf("commands %q", release.Commands)
	}
	// A role's name does not become the name of a file that leads elsewhere.
	odd := get(t, s, "/logs/example/releases/4/metadata")
	if name := odd.Header.Get("Content-Disposition"); odd.StatusCode != http.StatusOK || strings.ContainsAny(name, "<>\u202e/'`") {
		t.Errorf("%s %q", odd.Status, name)
	}

	var list struct{ Findings []audit.Finding }
	must(t, json.Unmarshal(body(t, get(t, s, "/logs/example/findings?state=all&format=json")), &list))
	checked := map[audit.Kind]bool{}
	for _, f := range list.Findings {
		for _, e := range f.Evidence {
			b := body(t, get(t, s, "/logs/example/findings/"+f.ID+"/evidence/"+url.PathEscape(e.Name)))
			if tuf.Sum(b) != e.SHA256 {
				t.Errorf("%s: %s has another hash", f.Kind, e.Name)
			}
			if strings.HasSuffix(e.Name, ".accusation") {
				_, err := evidence.Check(t.Context(), b, w.log.Policy().Keys()...)
				if err != nil {
					t.Errorf("%s: %v", f.Kind, err)
				}
				checked[f.Kind] = true
			}
		}
	}
	if !checked[audit.BadLeaf] || !checked[audit.SecondPayload] {
		t.Errorf("evidence of %v was checked", checked)
	}
	for _, path := range []string{"/logs/example/findings/" + w.acked + "/evidence/..%2f..%2fstate.sqlite", "/logs/example/findings/" + w.acked + "/evidence/finding.json", "/findings/ffffffffffff", "/logs/none/", "/logs/example/releases/999", "/logs/example/releases/03", "/logs/example/repositories/ff"} {
		if r := get(t, s, path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}

// A reader finds what there is, and is told plainly when there is nothing.
func TestSearch(t *testing.T) {
	w, s := pages(t)
	four := tuf.Sum([]byte("four")).String()
	var about struct {
		Told struct {
			Roles []struct{ Keys []struct{ ID string } }
		}
	}
	must(t, json.Unmarshal(body(t, get(t, s, "/logs/example/repositories/"+w.repo.String()+"?format=json")), &about))
	if len(about.Told.Roles) == 0 {
		t.Fatal("no roles")
	}
	for q, want := range map[string]string{
		"firmware.bin":                 "A release in force lists this file.",
		four:                           "A release in force lists this file.",
		"sha256:" + four:               "A release in force lists this file.",
		w.repo.String()[:8]:            w.repo.String(),
		w.repo.String():                w.repo.String(),
		"ACME":                         "acme",
		"targets":                      "targets of acme",
		"3":                            "targets",
		w.acked:                        "A finding",
		about.Told.Roles[0].Keys[0].ID: "May sign",
	} {
		d := parse(t, q, body(t, get(t, s, "/search?q="+url.QueryEscape(q))))
		if !strings.Contains(d.text(), want) || strings.Contains(d.text(), "Nothing of") {
			t.Errorf("search for %q: %s", q, d.text())
		}
	}
	for _, q := range []string{"no-such-file.bin", tuf.Sum([]byte("five")).String(), strings.Repeat("0", 128)} {
		d := parse(t, q, body(t, get(t, s, "/search?q="+q)))
		if !strings.Contains(d.text(), "Nothing of") || !strings.Contains(d.text(), "ask the vendor before you use it") {
			t.Errorf("search for %q: %s", q, d.text())
		}
	}
	if r := get(t, s, "/search?q="+strings.Repeat("x", 5000)); r.StatusCode != http.StatusBadRequest {
		t.Errorf("a long query: %s", r.Status)
	}
}

// The pages say what the audit found: health, what stood out, who signed, what is wrong.
func TestSays(t *testing.T) {
	w, s := pages(t)
	repository := "/logs/example/repositories/" + w.repo.String()
	for path, wants := range map[string][]string{
		"/":                        {"not in order", "What is not proved", "1 tampering", "1 acknowledged"},
		"/logs/example/":           {"w1", "w2", "The log grew from", "bad-leaf", "Why this auditor does not vouch"},
		repository:                 {"acme", "https://updates.acme.example/metadata/", "root rotation", "What stood out", "firmware.bin", "Live at", "1 of 1", "genesis", "evidence"},
		"/logs/example/releases/2": {"Who signed it, and what it changed", "firmware.bin", "Who could replace a file", "auditor compare 2.targets.json --policy policy.txt --log https://log.example.com/", "auditor diff 1 2"},
		"/findings/" + w.acked:     {"second-payload", "the vendor told us", "auditor evidence check --policy policy.txt equivocation.accusation", "Evidence"},
		"/about":                   {"Key of the log", "Witness w1", "What was checked", "has not said how to be reached"},
		"/verify":                  {"What is not proved", "w1.test", "updater verify --policy policy.txt FOLDER"},
	} {
		d := parse(t, path, body(t, get(t, s, path)))
		for _, want := range wants {
			if !strings.Contains(d.text(), want) {
				t.Errorf("%s does not say %q: %s", path, want, d.text())
			}
		}
	}
}
