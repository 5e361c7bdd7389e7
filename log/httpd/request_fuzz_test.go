package httpd

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/quota"
)

// FuzzHeaders feeds the readers of headers what anybody may send.
func FuzzHeaders(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0", `W/"a", "b", *`, "wait=10, respond-async", "abc-1", "192.0.2.1, 2001:db8::1", "Bearer token")
	f.Add("", "", "wait=99999999999999999999", "", "::ffff:1.2.3.4,%", "bearer ")
	s := quotas(quota.Config{}, quota.Limits{}, "token")
	f.Fuzz(func(t *testing.T, accept, match, prefer, id, forwarded, auth string) {
		h := http.Header{"Accept-Encoding": {accept}, "If-None-Match": {match}, "Prefer": {prefer}, "X-Request-Id": {id}, "X-Forwarded-For": {forwarded}, "Authorization": {auth}}
		r := &http.Request{Header: h, RemoteAddr: "127.0.0.1:1"}
		takesGzip(h)
		if matches(h.Values("If-None-Match"), `"x"`) && !strings.Contains(match, "*") && !strings.Contains(match, `"x"`) {
			t.Fatalf("%q matches", match)
		}
		if d := PreferredWait(h); d < 0 || d > time.Minute {
			t.Fatalf("Prefer %q: %v", prefer, d)
		}
		if got := requestID(r); got == "" || len(got) > maxRequestID || strings.ContainsAny(got, " \"\n\r:/") {
			t.Fatalf("X-Request-Id %q: %q", id, got)
		}
		from := s.Of(r)
		if from.Holder || from.Key == "" || from.Key == "unknown" {
			return
		}
		if _, err := netip.ParsePrefix(from.Key); err != nil {
			t.Fatalf("X-Forwarded-For %q: %q", forwarded, from.Key)
		}
	})
}

// FuzzPaths looks for a second spelling of a path: what the pattern of a resource makes of
// the values that it found is the path as it was sent.
func FuzzPaths(f *testing.F) {
	for _, path := range []string{
		"/", "//", "*", "/checkpoint/", "/%63heckpoint", "/./checkpoint", "/tile", "/tile/", "/tile/../checkpoint", "/tile/0/%30%30%30",
		"/v1/repositories/", "/v1/repositories//metadata", "/v1/repositories/a%2Fb/metadata", "/v1/repositories/0/roles/a%2Fb", "/v1/repositories/0/roles/a/b",
		"/v1/lookup/path/a//b", "/v1/lookup/path/a%2F%2Fb", "/v1/lookup/path/../a", "/v1/lookup/path/%2e%2e/a", "/v1/lookup/path/a%25b/", "/v1/entries/0/proof/", "/v1/entries/%30/proof",
	} {
		f.Add("GET", path)
		f.Add("CONNECT", path)
	}
	for _, r := range listRoutes() {
		f.Add(r[0], r[1])
	}
	f.Fuzz(func(t *testing.T, method, sent string) {
		u, err := url.ParseRequestURI(sent)
		if err != nil {
			return
		}
		r := &http.Request{Method: method, URL: u, Host: "log.example"}
		res := resourceOf(r)
		if res == nil {
			return
		}
		path := res.name
		for _, name := range res.values {
			path = strings.Replace(path, "{"+name+"}", r.PathValue(name), 1)
		}
		if path != u.EscapedPath() {
			t.Fatalf("%s is found at %s, and is spelled %s", u.EscapedPath(), res.name, path)
		}
	})
}
