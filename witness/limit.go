package witness

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how many requests are let through: PerSecond for long, Burst at once.
// The zero Rate has no limit.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// Limits bound what one log, and one address, can make a witness do. An address is
// an IPv4 address, or the first 64 bits of an IPv6 address.
type Limits struct {
	// PerOrigin is for checkpoints of one log that would be cosigned. Only the
	// log's own count, so that no outsider uses them up: asking again for a
	// cosignature on the latest tree, which anybody can, has a limit of its own
	// of the same size. A list's number for a log goes before it where smaller.
	PerOrigin Rate
	// PerAddress is for requests from one address. One with a body counts when
	// that has come.
	PerAddress Rate
	// Unread is how many requests may be under way whose body has not come whole,
	// UnreadPerAddress how many of one address. One more ends another, that of
	// the address which has the most or its own, the slowest first. 0 is any
	// number.
	Unread, UnreadPerAddress int
	// Concurrent is how many requests may be worked on at once, of one address a
	// quarter of them; 0 is any number. Those that wait for bytes, of a client or
	// of a log, are not among them.
	Concurrent int
}

// maxAddresses bounds how many addresses are remembered.
const maxAddresses = 1 << 16

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
