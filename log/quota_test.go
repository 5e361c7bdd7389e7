package log

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// quotas returns sources with a clock that the test moves.
func quotas(cfg HTTPConfig, token string) (*sources, *time.Time) {
	s := newSources(cfg, token, &tokenBook{}, 64<<20, 8)
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
	repository := verify.Sum([]byte("r"))
	vendors := NewToken(repository, "vendor's", ByOperator, time.Now())
	s, _ := quotas(HTTPConfig{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")},
	}, "operator's")
	s.tokens.store = &memTokens{list: []Token{vendors}}
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
		got := s.of(request(tt.remote, tt.forwarded, tt.token))
		if got.key != tt.want || got.holder != (tt.token != "" && tt.token != "wrong") || got.registrar != (tt.token == "operator's") || got.owns(repository) != (tt.token == "vendor's") {
			t.Errorf("%v: %+v, want %q", tt, got, tt.want)
		}
	}
}

func TestQuota(t *testing.T) {
	quota := Quota{Submissions: 0.5, SubmissionBurst: 3, Bytes: 100, ByteBurst: 1000}
	s, now := quotas(HTTPConfig{Anonymous: quota}, "token")
	outsider, neighbour, other := s.of(request("192.0.2.1:1", "", "")), s.of(request("192.0.2.2:1", "", "")), s.of(request("198.51.100.1:1", "", ""))
	vendor, local := s.of(request("192.0.2.1:1", "", "token")), s.of(request("127.0.0.1:1", "", ""))
	for range 3 {
		if p := s.charge(outsider, 10); p != nil {
			t.Fatalf("within the burst: %v", p.Detail)
		}
	}
	p := s.charge(outsider, 10)
	if p == nil || p.Status != 429 || p.Code != api.CodeQuota || p.retryAfter != 2 {
		t.Fatalf("beyond it: %+v", p)
	}
	if s.charge(neighbour, 0) == nil {
		t.Error("an address more in the network is a quota more")
	}
	for range 100 {
		if s.charge(vendor, 1<<20) != nil || s.charge(local, 1<<20) != nil {
			t.Fatal("an outsider has used up what is the vendor's")
		}
	}
	if s.charge(other, 0) != nil {
		t.Error("an outsider has used up what is another's")
	}
	*now = now.Add(2 * time.Second)
	if s.charge(outsider, 10) != nil || s.charge(outsider, 10) == nil {
		t.Error("in two seconds there is one more")
	}
	*now = now.Add(time.Hour)
	if s.charge(outsider, 900) != nil {
		t.Error("within the bytes at once")
	}
	if p := s.charge(outsider, 150); p == nil || p.retryAfter != 1 {
		t.Errorf("beyond them: %+v", p)
	}
	s.spend(outsider, 400) // came without being announced
	if p := s.charge(outsider, 100); p == nil || p.retryAfter != 4 {
		t.Errorf("after an unannounced body: %+v", p)
	}
	// More than there is at once waits for a full bucket, and then not for ever.
	*now = now.Add(time.Hour)
	if s.charge(outsider, 5000) != nil {
		t.Error("a large submission never fits")
	}
	if p := s.charge(outsider, 0); p == nil || p.retryAfter != 40 {
		t.Errorf("after a large submission: %+v", p)
	}
	*now = now.Add(-time.Hour)
	if s.charge(outsider, 0) == nil {
		t.Error("a clock that is set back fills buckets")
	}
	free, _ := quotas(HTTPConfig{Anonymous: Quota{Submissions: -1, Bytes: -1}}, "")
	for range 1000 {
		if free.charge(outsider, 1<<30) != nil {
			t.Fatal("no limit is a limit")
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	s, _ := quotas(HTTPConfig{MaxSources: 10, Anonymous: Quota{Submissions: 1, SubmissionBurst: 1}}, "token")
	steady := s.of(request("192.0.2.1:1", "", ""))
	if s.charge(steady, 0) != nil {
		t.Fatal("the first submission")
	}
	for i := range 1000 {
		s.charge(s.of(request(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), "", "")), 0)
		if s.charge(steady, 0) == nil {
			t.Fatal("who is busy is forgotten")
		}
	}
	if len(s.others) != 10 || s.recent.Len() != 10 {
		t.Errorf("%d sources, %d in the list", len(s.others), s.recent.Len())
	}
}

// A quarter of the queue and of the memory is for those who have a token.
func TestRoomForHolders(t *testing.T) {
	s, _ := quotas(HTTPConfig{}, "token")
	outsider, vendor := s.of(request("192.0.2.1:1", "", "")), s.of(request("192.0.2.1:1", "", "token"))
	var free []func()
	for range 6 {
		f, ok := s.queue(outsider)
		if !ok {
			t.Fatal("three quarters of eight are six")
		}
		free = append(free, f)
	}
	if _, ok := s.queue(outsider); ok {
		t.Error("an outsider takes the last places")
	}
	if _, ok := s.queue(vendor); !ok {
		t.Error("an outsider has taken the last places")
	}
	for _, f := range free {
		f()
	}
	if _, ok := s.queue(outsider); !ok {
		t.Error("places are not given back")
	}
	if !s.bytes(outsider, 48<<20) || s.bytes(outsider, 1) || !s.bytes(vendor, 64<<20) {
		t.Error("three quarters of the memory are for all")
	}
	if s.bytes(outsider, -(48 << 20)); !s.bytes(outsider, 1) {
		t.Error("memory is not given back")
	}
}
