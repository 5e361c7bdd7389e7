package quota

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// quotas returns sources with a clock that the test moves.
func quotas(cfg Config, limits Limits, token string) (*Sources, *time.Time) {
	s := New(cfg, token, &TokenBook{}, limits.Or(DefaultLimits))
	now := time.Unix(1700000000, 0)
	s.now = func() time.Time { return now }
	return s, &now
}

func request(remote, forwarded, token string) *http.Request {
	r := &http.Request{RemoteAddr: remote, Header: http.Header{}}
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func TestSources(t *testing.T) {
	repository := tuf.Sum([]byte("r"))
	vendors := log.NewToken(repository, "vendor's", log.ByOperator, time.Now())
	s, _ := quotas(Config{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")},
	}, Limits{}, "operator's")
	s.Tokens.store = &memTokens{list: []log.Token{vendors}}
	for _, tt := range []struct{ remote, forwarded, token, want string }{
		{"192.0.2.7:1", "", "", "192.0.2.0/24"},
		{"192.0.2.250:99", "", "", "192.0.2.0/24"},
		{"[::ffff:192.0.2.7]:1", "", "", "192.0.2.0/24"},
		{"[2001:db8:1:2:3::4]:1", "", "", "2001:db8:1::/48"},
		{"[fe80::1%eth0]:1", "", "", "fe80::/48"},
		{"192.0.2.7:1", "198.51.100.1", "", "192.0.2.0/24"}, // anyone can say so
		{"127.0.0.1:1", "", "", ""},
		{"@", "", "", ""},
		{"127.0.0.1:1", "198.51.100.1", "", "198.51.100.0/24"},
		{"127.0.0.1:1", "203.0.113.9, 198.51.100.1", "", "198.51.100.0/24"}, // only what the proxy added counts
		{"127.0.0.1:1", "203.0.113.9, 198.51.100.1, 10.1.1.1", "", "198.51.100.0/24"},
		{"127.0.0.1:1", "2001:db8:1::9", "", "2001:db8:1::/48"},
		{"127.0.0.1:1", "198.51.100.1:4711", "", "198.51.100.0/24"},
		{"127.0.0.1:1", "[2001:db8:1::9]:4711", "", "2001:db8:1::/48"},
		{"127.0.0.1:1", "198.51.100.1, rubbish", "", "unknown"},
		{"10.2.2.2:1", "", "", "10.2.2.0/24"},
		{"192.0.2.7:1", "", "wrong", "192.0.2.0/24"},
		{"192.0.2.7:1", "", "operator's", "registration"},
		{"192.0.2.7:1", "", "vendor's", "token " + vendors.ID()},
	} {
		got := s.Of(request(tt.remote, tt.forwarded, tt.token))
		if got.Key != tt.want || got.Holder != (tt.token != "" && tt.token != "wrong") || got.Registrar != (tt.token == "operator's") || got.Owns(repository) != (tt.token == "vendor's") {
			t.Errorf("%v: %+v, want %q", tt, got, tt.want)
		}
	}
}
