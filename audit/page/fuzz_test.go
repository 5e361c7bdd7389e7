package page_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// FuzzRequest: whatever is asked, the answer is a page or JSON that is whole, no fault of the
// program, and nothing of the request becomes a part of the page.
func FuzzRequest(f *testing.F) {
	w, s := pages(f)
	for _, seed := range [][3]string{
		{"/search", "q=firmware.bin", "text/html"},
		{"/search", "q=" + url.QueryEscape(hostile), "application/json;q=0.5"},
		{"/search", "q=%00&format=json", "*/*"},
		{"/logs/example/findings", "state=all&class=hygiene&after=hygiene.1.2", ""},
		{"/logs/example/repositories", "q=ab&order=id&after=" + w.repo.String(), "text/html"},
		{"/logs/example/repositories/" + w.repo.String(), "after=3", "application/json"},
		{"/logs/example/releases/4", "format=html", "text/html"},
		{"/logs/example/releases/-1/proof", "", ""},
		{"/findings/" + w.acked, "", "text/html, application/json"},
		{"/logs/../style.css", "%zz", "text/html"},
		{"/verify", "log=x", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, path, query, accept string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Accept", accept)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Fatalf("%q?%q: %d %s", path, query, rec.Code, rec.Body)
		}
		switch kind := rec.Header().Get("Content-Type"); {
		case kind == "application/json":
			if !json.Valid(rec.Body.Bytes()) {
				t.Fatalf("%q?%q: not JSON: %s", path, query, rec.Body)
			}
		case strings.HasPrefix(kind, "text/html") && rec.Code != http.StatusMovedPermanently && rec.Code != http.StatusTemporaryRedirect && rec.Code != http.StatusPermanentRedirect:
			root, err := html.Parse(bytes.NewReader(rec.Body.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			d := document{path, root}
			scripts := len(d.all("script"))
			if strings.TrimSuffix(path, "/") == "/verify" {
				scripts = 0 // it has its own
			}
			if len(d.all("h1")) != 1 || scripts > 0 {
				t.Fatalf("%q?%q: another page: %s", path, query, rec.Body)
			}
		}
	})
}
