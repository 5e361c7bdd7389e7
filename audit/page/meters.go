package page

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses bounds how many addresses are remembered.
const maxAddresses = 1 << 14

// meters count what each address takes. It is safe for concurrent use.
type meters struct {
	perSecond float64
	burst     int

	mu   sync.Mutex
	seen map[string]*rate.Limiter
}

func newMeters(perSecond float64, burst int) *meters {
	return &meters{perSecond: perSecond, burst: burst, seen: map[string]*rate.Limiter{}}
}

// take takes n for an address, or returns how long to wait.
func (m *meters) take(address string, now time.Time, n int) time.Duration {
	token := m.of(address, now).ReserveN(now, n)
	wait := token.DelayFrom(now)
	if wait > 0 {
		token.CancelAt(now) // asking costs nothing
	}
	return wait
}

// spend takes n for an address that were taken anyway.
func (m *meters) spend(address string, now time.Time, n int) { m.of(address, now).ReserveN(now, n) }

func (m *meters) of(address string, now time.Time) *rate.Limiter {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.seen[address]
	if l == nil {
		if len(m.seen) >= maxAddresses {
			m.forget(now)
		}
		l = rate.NewLimiter(rate.Limit(m.perSecond), m.burst)
		m.seen[address] = l
	}
	return l
}

// forget forgets an address: one that has its full share again, if a look at some finds one.
func (m *meters) forget(now time.Time) {
	looked := 0
	for address, l := range m.seen {
		if looked++; l.TokensAt(now) >= float64(l.Burst()) || looked == 32 {
			delete(m.seen, address)
			return
		}
	}
}
