package witnesstest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood/bastion"
)

// Bastion is a bastion of torchwood's, on this machine, with a certificate for tests.
type Bastion struct {
	*httptest.Server
	allowed string // key hash
	conns   *conns
}

// NewBastion starts a bastion, at an address with port 0 or one of before, for the
// backend with a key hash.
func NewBastion(t testing.TB, address, allowed string) *Bastion {
	t.Helper()
	p := &Bastion{allowed: allowed, conns: new(conns)}
	p.Server = httptest.NewUnstartedServer(nil)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	p.Listener = p.conns.on(l)
	b, err := bastion.New(&bastion.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &p.TLS.Certificates[0], nil },
		AllowedBackend: func(hash [sha256.Size]byte) bool { return hex.EncodeToString(hash[:]) == p.allowed },
		Log:            slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Config.Handler = b
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.TLS = new(tls.Config)
	p.Config.TLSConfig = p.TLS
	if err := b.ConfigureServer(p.Config); err != nil {
		t.Fatal(err)
	}
	p.StartTLS()
	t.Cleanup(p.End)
	return p
}

// End ends the bastion at once, with all connections.
func (p *Bastion) End() {
	p.Cut()
	p.Close()
}

// Roots are the authorities that vouch for it.
func (p *Bastion) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Certificate())
	return pool
}

// Address is HOST:PORT, for clients and backends.
func (p *Bastion) Address() string { return p.Listener.Addr().String() }

// conns are the connections that a listener has accepted.
type conns struct {
	net.Listener
	mu  sync.Mutex
	all []net.Conn
}

func (c *conns) on(l net.Listener) net.Listener {
	c.Listener = l
	return c
}

func (c *conns) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, conn)
	}
	return conn, err
}

// Cut closes all connections, of clients and of backends.
func (p *Bastion) Cut() {
	p.conns.mu.Lock()
	defer p.conns.mu.Unlock()
	for _, conn := range p.conns.all {
		_ = conn.Close()
	}
}

// Prefix is where clients reach the backend.
func (p *Bastion) Prefix() string { return p.URL + "/" + p.allowed }

// PEM is what vouches for it, as a file has it.
func (p *Bastion) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
}

// ClientAt returns a client that trusts the bastion, with an address of this host.
func (p *Bastion) ClientAt(address string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: p.Roots()}}}
}
