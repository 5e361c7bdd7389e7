package quota

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// Config configures how requests are told apart by source. Quotas
// count by source: the holder of a token, the registration token or a repository's
// own, or else the network that a client's address is in (IPv4 /24, IPv6 /48).
// Clients on the log's own host that no proxy speaks for have none.
type Config struct {
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is
	// believed. Nil means the host's own addresses, 127.0.0.0/8 and ::1.
	TrustedProxies []netip.Prefix
	// FrontEndSecret is the secret that other front ends of the log send in
	// HeaderFrontEnd with the requests that they pass on. The network that they name
	// in HeaderClient is believed. Empty means that there are none.
	FrontEndSecret string
	// Now is the clock of quotas. Nil means time.Now.
	Now func() time.Time
}

// Source is the sender of a request.
type Source struct {
	Key       string   // of its bucket; empty: it has none
	Holder    bool     // of any token
	Registrar bool     // holder of the registration token
	Tokens    *Holding // of repositories; nil: it holds none
	Unknown   bool     // it sent a token that the log does not know
}

// Owns reports whether the source holds a token of the repository.
func (s Source) Owns(repository tuf.Digest) bool {
	return s.Tokens != nil && slices.ContainsFunc(s.Tokens.List, func(t log.Token) bool { return t.Repository == repository })
}

// Sources keeps count of what each source has submitted, and has of the queue and of
// the memory for submissions.
type Sources struct {
	cfg       Config
	limits    Limits
	registrar atomic.Pointer[tuf.Digest] // SHA-256 of the registration token; nil: there is none
	Tokens    *TokenBook
	proxies   []netip.Prefix
	now       func() time.Time

	Queue, Memory *Room

	mu     sync.Mutex
	own    map[string]*bucket // of holders; as many as there are tokens
	others map[string]*list.Element
	recent *list.List // of *bucket, the last used first
}

// New keeps nothing for the holders of tokens if there can be none.
func New(cfg Config, token string, tokens *TokenBook, limits Limits) *Sources {
	s := &Sources{
		cfg:     cfg,
		limits:  limits,
		Tokens:  tokens,
		proxies: cfg.TrustedProxies,
		now:     cfg.Now,
		own:     map[string]*bucket{},
		others:  map[string]*list.Element{},
		recent:  list.New(),
	}
	if s.proxies == nil {
		s.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.SetToken(token)
	if token == "" && tokens.store == nil {
		limits.Queue.Reserve, limits.Memory.Reserve = 0, 0
	}
	s.Queue, s.Memory = NewPool(limits.Queue), NewPool(limits.Memory)
	return s
}

// Of returns the source of a request. A token that the log does not know gives
// nothing: its sender is counted by address.
func (s *Sources) Of(r *http.Request) Source {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		if registrar := s.registrar.Load(); registrar != nil && tuf.Sum([]byte(token)) == *registrar {
			return Source{Key: "registration", Holder: true, Registrar: true}
		}
		if h := s.Tokens.Of(r.Context(), token); h != nil {
			return Source{Key: "token " + h.List[0].ID(), Holder: true, Tokens: h}
		}
		return Source{Key: s.Network(r), Unknown: true}
	}
	return Source{Key: s.Network(r)}
}

// ForRepository returns the source of a submission to a repository. A token that is
// known may be the repository's only since a moment ago.
func (s *Sources) ForRepository(ctx context.Context, from Source, repository tuf.Digest) Source {
	if from.Tokens == nil || from.Owns(repository) {
		return from
	}
	if h := s.Tokens.anew(ctx, from.Tokens.List[0].Hash); h != nil {
		from.Tokens = h
	}
	return from
}

// Network returns the network that a request comes from; empty for the log's own
// host.
func (s *Sources) Network(r *http.Request) string {
	if s.FromFrontEnd(r) {
		return r.Header.Get(HeaderClient) // as this function returned it there
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "" // no network: a socket of the host's own
	}
	addr := peer.Addr().Unmap()
	if !s.trusted(addr) {
		return networkOf(addr)
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if hop == "" {
			continue
		}
		addr, err := netip.ParseAddr(hop)
		if err != nil {
			// Some proxies add the port.
			withPort, err := netip.ParseAddrPort(hop)
			if err != nil {
				return "unknown"
			}
			addr = withPort.Addr()
		}
		if addr = addr.Unmap(); !s.trusted(addr) {
			return networkOf(addr)
		}
	}
	if addr.IsLoopback() {
		return ""
	}
	return networkOf(addr)
}

func (s *Sources) trusted(addr netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(addr.WithZone("")) {
			return true
		}
	}
	return false
}

func networkOf(addr netip.Addr) string {
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return p.String()
}

// SetToken replaces the registration token; empty means that there is none.
func (s *Sources) SetToken(token string) {
	if token == "" {
		s.registrar.Store(nil)
		return
	}
	sum := tuf.Sum([]byte(token))
	s.registrar.Store(&sum)
}

// FromFrontEnd reports whether a request has been passed on by a front end.
func (s *Sources) FromFrontEnd(r *http.Request) bool {
	sent := r.Header.Get(HeaderFrontEnd)
	if s.cfg.FrontEndSecret == "" || sent == "" {
		return false
	}
	// Of the hashes, so that the length is not told either.
	a, b := sha256.Sum256([]byte(sent)), sha256.Sum256([]byte(s.cfg.FrontEndSecret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Headers with which front ends tell the leader more than the request does.
const (
	// HeaderFrontEnd is the secret that all front ends of a log share. With it
	// a request comes from one of them, and is passed on no further.
	HeaderFrontEnd = "Tuflog-Front-End"
	// HeaderClient is the network that the client is in, for its quota; empty
	// for the front end's own host, as in Config. Without the secret it
	// counts for nothing.
	HeaderClient = "Tuflog-Client"
)

// NetworkOfConn returns the network that a connection comes from, as for quotas;
// empty for a socket of the host's own.
func NetworkOfConn(conn net.Conn) string {
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return networkOf(peer.Addr().Unmap())
}

// AskForToken reports whether registering a repository needs a token.
func (s *Sources) AskForToken() bool { return s.registrar.Load() != nil }

// Now returns the time of the clock of quotas.
func (s *Sources) Now() time.Time { return s.now() }
