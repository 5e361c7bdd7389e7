package witness

import (
	"net/netip"
	"sync"
	"time"
)

// Rate is how many requests are let through: PerSecond for long, Burst at once.
// The zero Rate has no limit.
type Rate struct {
	PerSecond float64
	Burst     float64
}

// Limits bound what one log, and one address, can make a witness do.
type Limits struct {
	// PerOrigin is for checkpoints of one log that would be cosigned. Only the
	// log's own count, so that no outsider uses them up: asking again for a
	// cosignature on the latest tree, which anybody can, has a limit of its own
	// of the same size. A list's number for a log goes before it where smaller.
	PerOrigin Rate
	// PerAddress is for all requests from one address: an IPv4 address, or the
	// first 64 bits of an IPv6 address.
	PerAddress Rate
	// Concurrent is how many requests may be under way at once; 0 is any number.
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
	mu   sync.Mutex
	used float64 // tokens missing
	at   time.Time
}

// take takes a token, or returns how long to wait until there is one.
func (b *bucket) take(r Rate, now time.Time) time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(r, now)
	if missing := b.used + 1 - max(r.Burst, 1); missing > 0 {
		return time.Duration(missing / r.PerSecond * float64(time.Second))
	}
	b.used++
	return 0
}

func (b *bucket) refill(r Rate, now time.Time) {
	// A clock that runs backwards refills nothing.
	if d := now.Sub(b.at); d > 0 {
		b.used = max(0, b.used-d.Seconds()*r.PerSecond)
	}
	b.at = now
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
		one = &bucket{at: now}
		b.all[key] = one
	}
	return one
}

// evict forgets a bucket: a full one, which is as good as none, if a look at
// some finds one, else any.
func (b *buckets[K]) evict(now time.Time) {
	looked := 0
	for key, one := range b.all {
		one.mu.Lock()
		one.refill(b.rate, now)
		full := one.used == 0
		one.mu.Unlock()
		if looked++; full || looked == 32 {
			delete(b.all, key)
			return
		}
	}
}

// addressKey is what limits count by.
func addressKey(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	addr := ap.Addr()
	if err != nil {
		if addr, err = netip.ParseAddr(remote); err != nil {
			return "unknown"
		}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}
