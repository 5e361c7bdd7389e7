package witness

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate limits requests: PerSecond in the long run, Burst at once. The zero Rate
// has no limit.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// Limits bound the work that one log, and one address, can cause. An address is an
// IPv4 address, or the first 64 bits of an IPv6 address.
type Limits struct {
	// PerOrigin limits the checkpoints of one log that would be cosigned. Only
	// new checkpoints count, so that outsiders cannot use up the limit:
	// repeated requests for a cosignature on the latest tree, which anyone can
	// send, have a separate limit of the same size. A smaller limit from a list
	// takes precedence.
	PerOrigin Rate
	// PerAddress limits the requests from one address. A request with a body
	// counts when its body has come.
	PerAddress Rate
	// Unread is how many requests may be under way with an incomplete body, and
	// UnreadPerAddress how many of them from one address. One more ends another:
	// the slowest of the address that has the most, or of its own address. 0 is
	// any number.
	Unread, UnreadPerAddress int
	// Concurrent is how many requests may be handled at once, up to a quarter of
	// them from one address; 0 is any number. Requests that wait for bytes of a
	// client or of a log do not count.
	Concurrent int
	// Connections is how many connections there are at once, or half of the files
	// that the process may have open if these are fewer, and ConnectionsPerAddress
	// how many of them of one address, 0 for any number: see internal/room.
	Connections, ConnectionsPerAddress int
}

// DefaultLimits are those of "witness serve".
var DefaultLimits = Limits{
	PerOrigin:   Rate{PerSecond: 100, Burst: 1000},
	PerAddress:  Rate{PerSecond: 500, Burst: 5000},
	Unread:      1024,
	Concurrent:  512,
	Connections: 4096,

	UnreadPerAddress:      16,
	ConnectionsPerAddress: 256,
}

const (
	// maxAddresses bounds how many addresses are remembered.
	maxAddresses = 1 << 16
	// perAddressPart is the part of Limits.Concurrent that one address has.
	perAddressPart = 4
	// headerFor, bodyFor and answerFor are how long a request's header and all of it
	// may take to come, and its answer to be made and taken; idleFor is how long a
	// connection may be without a request.
	headerFor = 5 * time.Second
	bodyFor   = 10 * time.Second
	answerFor = 30 * time.Second
	idleFor   = 2 * time.Minute
	// maxHeader is how many bytes the header of a request has at most. What its body
	// has is maxRequest.
	maxHeader = 16 << 10
)

// inOneAddress is the most places that an address has among the requests handled.
func (l Limits) inOneAddress() int { return (l.Concurrent + perAddressPart - 1) / perAddressPart }

// of returns the limit of a log.
func (l Limits) of(log Log, repeat bool) Rate {
	r := l.PerOrigin
	if log.PerDay > 0 && !repeat {
		perSecond := float64(log.PerDay) / (24 * 60 * 60)
		if r.PerSecond == 0 || perSecond < r.PerSecond {
			// What the list allows in ten minutes may come at once.
			r = Rate{PerSecond: perSecond, Burst: max(16, perSecond*600)}
		}
	}
	return r
}

// bucket is a token bucket. The zero bucket is full.
type bucket struct {
	mu      sync.Mutex
	limiter *rate.Limiter
}

// take takes a token, or returns how long to wait until there is one.
func (b *bucket) take(r Rate, now time.Time) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	limit, burst := rate.Limit(r.PerSecond), max(int(r.Burst), 1)
	switch {
	case b.limiter == nil:
		b.limiter = rate.NewLimiter(limit, burst)
	case b.limiter.Limit() != limit || b.limiter.Burst() != burst:
		// A list has another number for the log.
		b.limiter.SetLimitAt(now, limit)
		b.limiter.SetBurstAt(now, burst)
	}
	token := b.limiter.ReserveN(now, 1)
	wait := token.DelayFrom(now)
	if wait > 0 {
		token.CancelAt(now) // asking costs nothing
	}
	return wait
}

// full reports whether the bucket is as good as a new one.
func (b *bucket) full(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limiter == nil || b.limiter.TokensAt(now) >= float64(b.limiter.Burst())
}

// buckets are token buckets by key, a bounded number.
type buckets[K comparable] struct {
	rate Rate
	max  int

	mu  sync.Mutex
	all map[K]*bucket
}

func newBuckets[K comparable](rate Rate, max int) *buckets[K] {
	return &buckets[K]{rate: rate, max: max, all: make(map[K]*bucket)}
}

// take takes a token of a key, or returns how long to wait until there is one.
func (b *buckets[K]) take(key K, now time.Time) time.Duration {
	if b.rate.PerSecond <= 0 {
		return 0
	}
	return b.of(key, now).take(b.rate, now)
}

func (b *buckets[K]) of(key K, now time.Time) *bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	one, ok := b.all[key]
	if !ok {
		if len(b.all) >= b.max {
			b.evict(now)
		}
		one = new(bucket)
		b.all[key] = one
	}
	return one
}

// evict forgets a bucket: a full one, which is as good as none, if a look at
// some finds one, else any.
func (b *buckets[K]) evict(now time.Time) {
	looked := 0
	for key, one := range b.all {
		if looked++; one.full(now) || looked == 32 {
			delete(b.all, key)
			return
		}
	}
}

// ConnectionAddress returns the address that a connection comes from, as Limits
// count them.
func ConnectionAddress(c net.Conn) string { return addressKey(c.RemoteAddr().String()) }

// addressKey is what limits count by.
func addressKey(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	addr := ap.Addr()
	if err != nil {
		if addr, err = netip.ParseAddr(strings.Trim(remote, "[]")); err != nil {
			return "unknown"
		}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}
