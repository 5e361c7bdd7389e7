// Package bastion serves HTTP without an open port: Backend.Run connects to a bastion
// (c2sp.org/https-bastion), which passes on the requests that it gets for the key of
// the backend.
//
// The backend opens a TLS 1.3 connection with a self-signed Ed25519 certificate and
// the protocol "bastion/0", and then serves HTTP/2 on it as if the bastion had opened
// it. Clients find it at https://BASTION/KEYHASH/, where KEYHASH is SHA-256 of the
// public key in hex. The bastion sees and can withhold every request, so it is for
// protocols whose messages are signed.
package bastion

//lint:file-ignore SA1019 net/http serves HTTP/2 on a connection of TLS only if that negotiated "h2",
// and a bastion negotiates "bastion/0": ServeConn is the only way to it.

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Protocol is the ALPN protocol of a backend's connection.
const Protocol = "bastion/0"

// DefaultPort is the port of an address without one.
const DefaultPort = "443"

// Header is where a bastion puts the address of the client, alone, in the place of
// what the client has put there.
const Header = "X-Forwarded-For"

const (
	stopFor     = 5 * time.Second // requests under way when it is stopped
	defaultIdle = 15 * time.Second
	firstPause  = time.Second
	longest     = time.Minute
	// maxStreams is how many requests a bastion has under way at once, of all clients,
	// as many as there are connections at an open port. A bastion may count one until its
	// client has sent all, long after the answer, and refuses all clients when they are
	// used up: so it is not what bounds the work. That is for the handler.
	maxStreams = 4096
	// maxUpload is how many bytes a bastion may send ahead of what is read, for one
	// request and in all.
	maxUpload, maxUploadAll = 64 << 10, 1 << 20
)

// Backend is a server behind one bastion.
type Backend struct {
	// Address is the bastion's HOST:PORT for backends. Required.
	Address string
	// Key is the backend's key, best one without another use. Required.
	Key ed25519.PrivateKey
	// Roots are the authorities that may vouch for the bastion; nil are the system's.
	Roots *x509.CertPool
	// Server has the handler, and the timeouts and the limit of headers of requests.
	// Its IdleTimeout does not count: the connection is kept. Required.
	Server *http.Server
	// Idle is how long connecting may take, and how long the bastion may be silent
	// before it is asked whether it is there, for an answer within the same time; 0 is
	// 15 seconds.
	Idle time.Duration
	// Log gets a record for each connection and its end; nil discards them.
	Log *slog.Logger

	connected atomic.Bool
}

// CheckAddress returns HOST:PORT, with the default port where there is none.
func CheckAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), DefaultPort
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", fmt.Errorf("bastion %.200q is not HOST or HOST:PORT", address)
		}
	}
	if _, err := net.LookupPort("tcp", port); err != nil || host == "" || strings.ContainsAny(host, "/@ ?#%") {
		return "", fmt.Errorf("bastion %.200q is not HOST or HOST:PORT", address)
	}
	return net.JoinHostPort(host, port), nil
}

// KeyHash returns what a bastion knows the key by: SHA-256 in lower-case hex.
func KeyHash(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

// URL returns the prefix below which clients reach the backend, without a slash at its
// end, if the bastion serves clients at the address for backends.
func (b *Backend) URL() string {
	host, port, _ := net.SplitHostPort(b.Address)
	if host = net.JoinHostPort(host, port); port == DefaultPort {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return "https://" + host + "/" + KeyHash(b.Key.Public().(ed25519.PublicKey))
}

// Connected reports whether the bastion has accepted the connection of now.
func (b *Backend) Connected() bool { return b.connected.Load() }

// Run serves behind the bastion until ctx ends, and then finishes the requests under
// way. It connects again after each end, a little later each time that it fails, and
// not at the same moment as other backends.
func (b *Backend) Run(ctx context.Context) {
	log := b.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("bastion", b.Address)
	pause := firstPause
	for ctx.Err() == nil {
		begin := time.Now()
		err := b.once(ctx, log)
		b.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begin) > longest {
			pause = firstPause
		}
		wait := pause/2 + mathrand.N(pause)
		pause = min(2*pause, longest)
		log.Warn("not connected to the bastion", "error", err, "again_in", wait.Round(time.Millisecond))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// once serves on one connection, and returns why it ended.
func (b *Backend) once(ctx context.Context, log *slog.Logger) error {
	idle := b.Idle
	if idle <= 0 {
		idle = defaultIdle
	}
	conn, err := b.dial(ctx, idle)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &watched{Conn: conn, heard: func() {
		b.connected.Store(true)
		log.Info("connected to the bastion", "url", b.URL())
	}}
	h2 := &http2.Server{
		MaxConcurrentStreams: maxStreams, MaxUploadBufferPerStream: maxUpload, MaxUploadBufferPerConnection: maxUploadAll,
		ReadIdleTimeout: idle, PingTimeout: idle, WriteByteTimeout: 2 * idle,
	}
	server := &http.Server{
		Handler: b.Server.Handler, ReadTimeout: b.Server.ReadTimeout, WriteTimeout: b.Server.WriteTimeout,
		MaxHeaderBytes: b.Server.MaxHeaderBytes, ErrorLog: b.Server.ErrorLog,
	}
	if err := http2.ConfigureServer(server, h2); err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		h2.ServeConn(c, &http2.ServeConnOpts{BaseConfig: server})
	}()
	select {
	case <-served:
	case <-ctx.Done():
		// The bastion learns that no more requests are taken; those under way end.
		_ = server.Shutdown(ctx)
		select {
		case <-served:
		case <-time.After(stopFor):
			_ = conn.Close()
			<-served
		}
	}
	switch {
	case c.why() != nil && !c.accepted.Load():
		return fmt.Errorf("it did not accept the connection: %w", c.why())
	case c.why() != nil:
		return fmt.Errorf("the connection ended: %w", c.why())
	case !c.accepted.Load():
		return errors.New("it accepted the connection and then said nothing")
	}
	return errors.New("the connection ended")
}

// dial connects and makes sure that a bastion is there.
func (b *Backend) dial(ctx context.Context, within time.Duration) (net.Conn, error) {
	certificate, err := selfSigned(b.Key)
	if err != nil {
		return nil, err
	}
	slow := fmt.Errorf("no connection within %v: %w", within, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, within, slow)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol}, RootCAs: b.Roots,
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: b.Key}},
	}}
	conn, err := d.DialContext(ctx, "tcp", b.Address)
	if err != nil && errors.Is(context.Cause(ctx), slow) {
		return nil, slow
	} else if err != nil {
		return nil, err
	}
	if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != Protocol {
		return nil, errors.Join(fmt.Errorf("it is not a bastion: it speaks %q, not %q", got, Protocol), conn.Close())
	}
	return conn, nil
}

// selfSigned returns a certificate that says no more than the key. It is valid always:
// its clock is nobody's.
func selfSigned(key ed25519.PrivateKey) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Bastion backend"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// watched is a connection that knows whether anything has come, which with TLS 1.3 is
// the first sign that the certificate was accepted, and how it ended.
type watched struct {
	net.Conn
	heard    func()
	accepted atomic.Bool
	err      atomic.Pointer[error]
}

func (c *watched) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.accepted.CompareAndSwap(false, true) {
		c.heard()
	}
	if err != nil {
		c.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (c *watched) why() error {
	// Closed here means that HTTP/2 has given it up.
	if err := c.err.Load(); err != nil && !errors.Is(*err, net.ErrClosed) {
		return *err
	}
	return nil
}
