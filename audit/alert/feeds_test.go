package alert_test

import (
	"encoding/xml"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
)

// feed is what a reader of Atom sees.
type feed struct {
	XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string   `xml:"id"`
	Updated string   `xml:"updated"`
	Entries []struct {
		ID      string `xml:"id"`
		Title   string `xml:"title"`
		Content string `xml:"content"`
		Link    struct {
			Href string `xml:"href,attr"`
		} `xml:"link"`
	} `xml:"entry"`
}

// A feed has the events of its log or repository, whatever is said in them, and is not sent
// again to who has it.
func TestFeeds(t *testing.T) {
	o := newOffice(t)
	h := o.Feeds(o.cfg.URL)
	get := func(path, etag string) (code int, f feed, newETag string) {
		t.Helper()
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code == 200 {
			if err := xml.Unmarshal(w.Body.Bytes(), &f); err != nil {
				t.Fatalf("%s: %v\n%s", path, err, w.Body)
			}
			if _, err := time.Parse(time.RFC3339, f.Updated); err != nil || w.Header().Get("Content-Type") != "application/atom+xml; charset=utf-8" {
				t.Errorf("%s: updated %q, %v", path, f.Updated, w.Header())
			}
		}
		return w.Code, f, w.Header().Get("ETag")
	}
	code, f, empty := get("/feeds/all.atom", "")
	if code != 200 || len(f.Entries) != 0 || empty == "" {
		t.Errorf("%d, %+v", code, f)
	}
	odd := found(audit.Fork, "", 3)
	odd.Sentence = "]]></content><script>\x00\x1b[31m \xff\ufffe & \u202e"
	acme := found(audit.FalseAdmission, "acme", 4)
	o.step(t, []audit.Finding{odd, acme, found(audit.Unreachable, "", -1)}, nil)
	ok(t, o.Step(t.Context(), "other", "other.example", several(audit.VersionGap, "bolt", 0, 150), nil))
	code, f, etag := get("/feeds/all.atom", empty)
	if code != 200 || len(f.Entries) != 100 || etag == empty {
		t.Errorf("%d: %d entries", code, len(f.Entries))
	}
	if code, _, again := get("/feeds/all.atom", etag); code != 304 || again != etag {
		t.Errorf("the same again: %d", code)
	}
	_, f, _ = get("/feeds/example/all.atom", "")
	if len(f.Entries) != 2 || !strings.Contains(f.Entries[1].Content, `"]]></content><script>\x00\x1b[31m `) || strings.ContainsAny(f.Entries[1].Content, "\x1b\u202e") {
		t.Errorf("%+v", f)
	}
	if e := f.Entries[0]; len(e.ID) != len("urn:tuflog:event:")+40 || !strings.HasPrefix(e.Title, "tampering: false-admission in ") || e.Link.Href != "https://audit.example/logs/example/findings/"+acme.ID ||
		strings.Contains(e.Content, "auditor replay --policy") {
		t.Errorf("%+v", e)
	}
	if _, f, _ = get(fmt.Sprintf("/feeds/example/%s.atom", acme.Repository), ""); len(f.Entries) != 1 {
		t.Errorf("%+v", f)
	}
	if _, f, _ = get(fmt.Sprintf("/feeds/other/%s.atom", acme.Repository), ""); len(f.Entries) != 0 {
		t.Errorf("%+v", f)
	}
	for _, path := range []string{"/feeds/", "/feeds/example", "/feeds/example/acme.atom", "/feeds/example/all.xml", "/feeds/a/b/all.atom"} {
		if code, _, _ := get(path, ""); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
}
