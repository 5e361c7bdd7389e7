package httpd

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/quota"
)

// FuzzHeaders feeds the readers of headers what anybody may send.
func FuzzHeaders(f *testing.F) {
	f.Add("gzip;q=0.5, *;q=0", `W/"a", "b", *`, "wait=10, respond-async", "abc-1", "192.0.2.1, 2001:db8::1", "Bearer token")
	f.Add("", "", "wait=99999999999999999999", "", "::ffff:1.2.3.4,%", "bearer ")
	s := quotas(quota.HTTPConfig{}, quota.Limits{}, "token")
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
