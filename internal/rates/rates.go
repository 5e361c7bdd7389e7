// Package rates limits what strangers ask: token buckets, many by key in a bounded room, and
// the addresses by which clients are told apart.
package rates

import (
	"net"
	"net/http"
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

// MaxAddresses is how many addresses Buckets need to remember.
const MaxAddresses = 1 << 16

// Bucket is a token bucket. The zero bucket is full.
type Bucket struct {
	mu      sync.Mutex
	limiter *rate.Limiter
}

// Take takes a token, or returns how long to wait until there is one.
func (b *Bucket) Take(r Rate, now time.Time) time.Duration {
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
func (b *Bucket) full(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limiter == nil || b.limiter.TokensAt(now) >= float64(b.limiter.Burst())
}

// Buckets are token buckets by key, a bounded number.
type Buckets[K comparable] struct {
	rate Rate
	max  int

	mu  sync.Mutex
	all map[K]*Bucket
}

// NewBuckets returns buckets of one rate for at most max keys.
func NewBuckets[K comparable](rate Rate, max int) *Buckets[K] {
	return &Buckets[K]{rate: rate, max: max, all: make(map[K]*Bucket)}
}

// Take takes a token of a key, or returns how long to wait until there is one.
func (b *Buckets[K]) Take(key K, now time.Time) time.Duration {
	if b.rate.PerSecond <= 0 {
		return 0
	}
	return b.of(key, now).Take(b.rate, now)
}

func (b *Buckets[K]) of(key K, now time.Time) *Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	one, ok := b.all[key]
	if !ok {
		if len(b.all) >= b.max {
			b.evict(now)
		}
		one = new(Bucket)
		b.all[key] = one
	}
	return one
}

// evict forgets a bucket: a full one, which is as good as none, if a look at
// some finds one, else any.
func (b *Buckets[K]) evict(now time.Time) {
	looked := 0
	for key, one := range b.all {
		if looked++; one.full(now) || looked == 32 {
			delete(b.all, key)
			return
		}
	}
}

// Address is by what limits count a remote address: an IPv4 address, or the first 64 bits of an
// IPv6 address.
func Address(remote string) string {
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

// Connection returns the address that a connection comes from.
func Connection(c net.Conn) string { return Address(c.RemoteAddr().String()) }

// Client returns the address that a request comes from: that of its connection or, with a
// header, what a proxy in front has put there, alone, after commas, or in a line of its own.
// Clients that can bypass the proxy can choose their address.
func Client(r *http.Request, header string) string {
	if header == "" {
		return Address(r.RemoteAddr)
	}
	v := strings.Join(r.Header.Values(header), ",") // those before the last are the client's word
	return Address(strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:]))
}
