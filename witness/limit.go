package witness

import (
	"fmt"
	"time"

	"github.com/tuflog/tuflog/internal/rates"
)

// Rate limits requests: PerSecond in the long run, Burst at once. The zero Rate
// has no limit.
type Rate = rates.Rate

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
	// any number. Each bastion has as many for itself.
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

// String says to logs, and to others who ask, what they may do.
func (l Limits) String() string {
	says := func(r Rate, what string) string {
		if r.PerSecond <= 0 {
			return "any number of " + what
		}
		return fmt.Sprintf("%g %s a second, %g at once", r.PerSecond, what, max(r.Burst, 1))
	}
	return says(l.PerOrigin, "new checkpoints of one log") + ", or what the list that named it allows, where that is less; " +
		says(l.PerAddress, "requests from one address")
}

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
