package quota

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// seconds returns how long a source that is over its quota waits, rounded up; 0 means that
// it is not.
func seconds(err error) int {
	over := (*Over)(nil)
	if !errors.As(err, &over) {
		return 0
	}
	return int(math.Ceil(over.Wait.Seconds()))
}

func TestQuota(t *testing.T) {
	quota := Quota{Submissions: 0.5, SubmissionBurst: 3, Bytes: 100, ByteBurst: 1000}
	s, now := quotas(Config{}, Limits{Anonymous: quota}, "token")
	outsider, neighbour, other := s.Of(request("192.0.2.1:1", "", "")), s.Of(request("192.0.2.2:1", "", "")), s.Of(request("198.51.100.1:1", "", ""))
	vendor, local := s.Of(request("192.0.2.1:1", "", "token")), s.Of(request("127.0.0.1:1", "", ""))
	for range 3 {
		if p := s.Charge(outsider, 10); p != nil {
			t.Fatalf("within the burst: %v", p)
		}
	}
	p := s.Charge(outsider, 10)
	if seconds(p) != 2 {
		t.Fatalf("beyond it: %+v", p)
	}
	if s.Charge(neighbour, 0) == nil {
		t.Error("an address more in the network is a quota more")
	}
	for range 100 {
		if s.Charge(vendor, 1<<20) != nil || s.Charge(local, 1<<20) != nil {
			t.Fatal("an outsider has used up what is the vendor's")
		}
	}
	if s.Charge(other, 0) != nil {
		t.Error("an outsider has used up what is another's")
	}
	*now = now.Add(2 * time.Second)
	if s.Charge(outsider, 10) != nil || s.Charge(outsider, 10) == nil {
		t.Error("in two seconds there is one more")
	}
	*now = now.Add(time.Hour)
	if s.Charge(outsider, 900) != nil {
		t.Error("within the bytes at once")
	}
	if p := s.Charge(outsider, 150); seconds(p) != 1 {
		t.Errorf("beyond them: %+v", p)
	}
	s.Spend(outsider, 400) // came without being announced
	if p := s.Charge(outsider, 100); seconds(p) != 4 {
		t.Errorf("after an unannounced body: %+v", p)
	}
	// More than there is at once waits for a full bucket, and then not for ever.
	*now = now.Add(time.Hour)
	if s.Charge(outsider, 5000) != nil {
		t.Error("a large submission never fits")
	}
	if p := s.Charge(outsider, 0); seconds(p) != 40 {
		t.Errorf("after a large submission: %+v", p)
	}
	*now = now.Add(-time.Hour)
	if s.Charge(outsider, 0) == nil {
		t.Error("a clock that is set back fills buckets")
	}
	free, _ := quotas(Config{}, Limits{Anonymous: Quota{Submissions: -1, Bytes: -1}}, "")
	for range 1000 {
		if free.Charge(outsider, 1<<30) != nil {
			t.Fatal("no limit is a limit")
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	s, _ := quotas(Config{}, Limits{Sources: 10, Anonymous: Quota{Submissions: 1, SubmissionBurst: 1}}, "token")
	steady := s.Of(request("192.0.2.1:1", "", ""))
	if s.Charge(steady, 0) != nil {
		t.Fatal("the first submission")
	}
	for i := range 1000 {
		s.Charge(s.Of(request(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), "", "")), 0)
		if s.Charge(steady, 0) == nil {
			t.Fatal("who is busy is forgotten")
		}
	}
	if len(s.others) != 10 || s.recent.Len() != 10 {
		t.Errorf("%d sources, %d in the list", len(s.others), s.recent.Len())
	}
}

// Nobody has more than his share, and the reserve is for holders of tokens.
func TestRoomForHolders(t *testing.T) {
	s, _ := quotas(Config{}, Limits{Queue: Pool{Capacity: 8, Share: 4, Reserve: 2}, Memory: Pool{Capacity: 64 << 20}}, "token")
	outsider, other, third := s.Of(request("192.0.2.1:1", "", "")), s.Of(request("198.51.100.1:1", "", "")), s.Of(request("203.0.113.1:1", "", ""))
	vendor, local := s.Of(request("192.0.2.1:1", "", "token")), s.Of(request("127.0.0.1:1", "", ""))
	for i, step := range []struct {
		from Source
		n    int64
		want bool
	}{
		{outsider, 3, true},
		{outsider, 2, false}, // its share
		{outsider, 1, true},
		{other, 3, false}, // the reserve
		{other, 2, true},
		{third, 1, false},
		{local, 1, false},
		{vendor, 3, false}, // there are two
		{vendor, 2, true},
		{vendor, 1, false},
	} {
		if got := s.Queue.Take(step.from, step.n); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	s.Queue.GiveBack(outsider, 4)
	if !s.Queue.Take(local, 4) || s.Queue.Take(third, 1) || s.Queue.taken != 8 {
		t.Error("places are not given back, or the log's own host has a share")
	}
	s.Queue.GiveBack(local, 4)
	s.Queue.GiveBack(other, 2)
	s.Queue.GiveBack(vendor, 2)
	if s.Queue.taken != 0 || s.Queue.others != 0 || len(s.Queue.by) != 0 {
		t.Errorf("left over: %+v", s.Queue)
	}
	if m := s.Memory.Pool; m != (Pool{Capacity: 64 << 20, Share: 40 << 20, Reserve: 16 << 20}) {
		t.Errorf("the default's proportions of 64 MiB are %+v", m)
	}
	if s, _ := quotas(Config{}, Limits{}, ""); s.Queue.Reserve != 0 {
		t.Error("something is kept for holders of tokens where there are none")
	}
}

// Sources that wait have their turns in their order, one that has its share after the
// others.
func TestTurnsOfAPool(t *testing.T) {
	p := NewPool(Pool{Capacity: 8, Share: 4})
	a, b, c := Source{Key: "a"}, Source{Key: "b"}, Source{Key: "c"}
	order := make(chan string, 9)
	begin := func(name string, from Source, n int64) (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		p.mu.Lock()
		before := len(p.waiting)
		p.mu.Unlock()
		go func() {
			defer close(ended)
			if p.Await(ctx, from, n) == nil {
				order <- name
			}
		}()
		for waits := false; !waits && len(order) == 0; {
			p.mu.Lock()
			waits = len(p.waiting) > before
			p.mu.Unlock()
		}
		return func() { cancel(); <-ended }
	}
	next := func(want string) {
		t.Helper()
		if got := <-order; got != want {
			t.Fatalf("%s has its turn, want %s", got, want)
		}
	}
	none := func() {
		t.Helper()
		if len(order) > 0 {
			t.Fatalf("%s has its turn", <-order)
		}
	}
	defer begin("a1", a, 4)()
	next("a1")
	defer begin("a2", a, 2)() // has its share
	none()
	defer begin("b1", b, 2)()
	next("b1")
	end := begin("c1", c, 4) // there are two
	none()
	defer begin("b2", b, 2)() // would fit, and does not get ahead
	none()
	end() // who gives up makes room
	next("b2")
	none()
	p.GiveBack(a, 4)
	next("a2")
	p.GiveBack(a, 2)
	p.GiveBack(b, 4)
	if p.taken != 0 || len(p.by) != 0 || len(p.waiting) != 0 {
		t.Errorf("left over: %+v", p)
	}
}
