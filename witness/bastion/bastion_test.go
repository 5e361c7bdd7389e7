package bastion_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/witness/bastion"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// addresses answers with what limits would count a client by.
var addresses = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
	if n, err := io.Copy(io.Discard, r.Body); n > 0 || err != nil {
		fmt.Fprint(rw, n, err)
		return
	}
	fmt.Fprint(rw, r.URL.Path, r.Header.Values(bastion.Header))
})

func TestBehindTorchwood(t *testing.T) {
	key, hash := newKey(t)
	p := witnesstest.NewBastion(t, "127.0.0.1:0", hash)
	b := &bastion.Backend{Address: p.Address(), Key: key, Roots: p.Roots(), Server: &http.Server{Handler: addresses}}
	heard, stop := run(t, b)
	eventually(t, "connected", b.Connected)
	if !heard.has("url=" + b.URL()) {
		t.Errorf("the URL is not said: %s", heard.text.String())
	}
	// The client's word about its address does not count.
	for range 3 {
		if status, body := get(t, p, "/some/path", http.Header{bastion.Header: {"192.0.2.9"}}); status != http.StatusOK || body != "/some/path[127.0.0.1]" {
			t.Fatalf("status %d, %q", status, body)
		}
	}
	resp, err := p.Client().Post(p.Prefix()+"/", "", strings.NewReader(strings.Repeat("x", 300<<10)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "307200 <nil>" {
		t.Errorf("of a long body came %q, %v", body, err)
	}
	stop()
	if b.Connected() {
		t.Error("connected after the end")
	}
	if status, _ := get(t, p, "/", nil); status != http.StatusBadGateway {
		t.Errorf("status %d when the backend is gone", status)
	}
}

func TestRequestsEndBeforeIt(t *testing.T) {
	key, hash := newKey(t)
	p := witnesstest.NewBastion(t, "127.0.0.1:0", hash)
	begun, finish := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		fmt.Fprint(rw, "done")
	})
	b := &bastion.Backend{Address: p.Address(), Key: key, Roots: p.Roots(), Server: &http.Server{Handler: handler}}
	_, stop := run(t, b)
	eventually(t, "connected", b.Connected)
	answer := make(chan string, 1)
	go func() {
		status, body := get(t, p, "/", nil)
		answer <- fmt.Sprint(status, body)
	}()
	<-begun
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	close(finish)
	if got := <-answer; got != "200done" {
		t.Errorf("a request under way at the end got %q", got)
	}
	<-stopped
}

// TestBastionAway: the backend waits for a bastion that is not there yet, and finds it
// again after it was gone, also when it goes in the middle of a request.
func TestBastionAway(t *testing.T) {
	key, hash := newKey(t)
	p := witnesstest.NewBastion(t, "127.0.0.1:0", hash)
	address, roots := p.Address(), p.Roots()
	p.End()
	came, left := make(chan struct{}, 1), make(chan struct{}, 1)
	handler := http.NewServeMux()
	handler.Handle("/", addresses)
	handler.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		<-r.Context().Done() // the handler learns that nobody is there
		left <- struct{}{}
	})
	b := &bastion.Backend{Address: address, Key: key, Roots: roots, Server: &http.Server{Handler: handler}}
	heard, _ := run(t, b)
	eventually(t, "refused", func() bool { return heard.has("connection refused") })
	p = witnesstest.NewBastion(t, address, hash)
	eventually(t, "connected", b.Connected)
	go get(t, p, "/slow", nil)
	<-came
	p.Cut()
	<-left
	eventually(t, "the end is said", func() bool { return heard.has("the connection ended") })
	eventually(t, "connected again", func() bool {
		status, body := get(t, p, "/again", nil)
		return status == 200 && body == "/again[127.0.0.1]"
	})
}

func TestBastionRefused(t *testing.T) {
	key, hash := newKey(t)
	good := witnesstest.NewBastion(t, "127.0.0.1:0", hash)
	_, other := newKey(t)
	forOthers := witnesstest.NewBastion(t, "127.0.0.1:0", other)

	listen := func(handle func(net.Conn)) string {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go handle(conn)
			}
		}()
		return l.Addr().String()
	}
	speaking := func(protocols []string, highest uint16, then func(net.Conn)) string {
		return listen(func(conn net.Conn) {
			defer conn.Close()
			c := tls.Server(conn, &tls.Config{Certificates: good.TLS.Certificates, NextProtos: protocols, MaxVersion: highest, ClientAuth: tls.RequireAnyClientCert})
			if c.Handshake() == nil {
				then(c)
			}
		})
	}
	hang := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for name, tt := range map[string]struct {
		address, want string
		strange       bool // its certificate is nobody's
	}{
		"a certificate by nobody": {good.Address(), "certificate signed by unknown authority", true},
		"a key it does not know":  {forOthers.Address(), "it did not accept the connection: remote error: tls: bad certificate", false},
		"no TLS":                  {listen(func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400\r\n\r\n"); c.Close() }), "first record does not look like a TLS handshake", false},
		"TLS 1.2":                 {speaking([]string{bastion.Protocol}, tls.VersionTLS12, hang), "protocol version", false},
		"another protocol":        {speaking([]string{"h2"}, 0, hang), "no application protocol", false},
		"no protocol":             {speaking(nil, 0, hang), `it is not a bastion: it speaks \"\"`, false},
		"hangs before TLS":        {listen(hang), "no connection within", false},
		"hangs after TLS":         {speaking([]string{bastion.Protocol}, 0, hang), "it accepted the connection and then said nothing", false},
		"closes after TLS":        {speaking([]string{bastion.Protocol}, 0, func(net.Conn) {}), "it did not accept the connection: EOF", false},
		"not HTTP/2":              {speaking([]string{bastion.Protocol}, 0, func(c net.Conn) { fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); hang(c) }), "the connection ended", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roots := good.Roots()
			roots.AddCert(forOthers.Certificate())
			if tt.strange {
				roots = nil
			}
			served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was served") })
			b := &bastion.Backend{Address: tt.address, Key: key, Roots: roots, Idle: time.Second, Server: &http.Server{Handler: served}}
			heard, _ := run(t, b)
			eventually(t, tt.want, func() bool { return heard.has(tt.want) || heard.has(strings.ReplaceAll(tt.want, `\"\"`, `\\\"\\\"`)) })
		})
	}
}

// TestHangingBastion: one that has accepted the connection, and then neither sends nor
// reads anything, is left and asked again.
func TestHangingBastion(t *testing.T) {
	key, hash := newKey(t)
	p := witnesstest.NewBastion(t, "127.0.0.1:0", hash)
	between, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer between.Close()
	ctx, hang := context.WithCancel(t.Context())
	go func() {
		for {
			conn, err := between.Accept()
			if err != nil {
				return
			}
			to, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Address())
			if err != nil {
				_ = conn.Close()
				continue
			}
			// Both ways, until they hang: then nothing passes any more.
			pass := func(to, from net.Conn) {
				buf := make([]byte, 1<<10)
				for {
					n, err := from.Read(buf)
					if ctx.Err() != nil || err != nil {
						return
					}
					if _, err := to.Write(buf[:n]); err != nil {
						return
					}
				}
			}
			go pass(conn, to)
			go pass(to, conn)
		}
	}()
	b := &bastion.Backend{Address: between.Addr().String(), Key: key, Roots: p.Roots(), Idle: 500 * time.Millisecond, Server: &http.Server{Handler: addresses}}
	run(t, b)
	eventually(t, "connected", b.Connected)
	hang()
	eventually(t, "not connected", func() bool { return !b.Connected() })
}

func TestCheckAddress(t *testing.T) {
	for address, want := range map[string]string{
		"bastion.example": "bastion.example:443", "bastion.example:8443": "bastion.example:8443",
		"192.0.2.1": "192.0.2.1:443", "[2001:db8::1]:44": "[2001:db8::1]:44", "2001:db8::1": "[2001:db8::1]:443",
		"": "", ":443": "", "https://bastion.example": "", "bastion.example/x": "", "a:b:c": "", "bastion.example:99999": "", "u@bastion.example": "", "a b": "",
	} {
		if got, err := bastion.CheckAddress(address); got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q, %v; want %q", address, got, err, want)
		}
	}
	key, hash := newKey(t)
	for address, want := range map[string]string{"bastion.example:443": "https://bastion.example/", "bastion.example:8443": "https://bastion.example:8443/", "[2001:db8::1]:443": "https://[2001:db8::1]/"} {
		if got := (&bastion.Backend{Address: address, Key: key}).URL(); got != want+hash {
			t.Errorf("at %s the URL is %s", address, got)
		}
	}
}

// TestStrangeRequests: what strangers make of a bastion's requests, headers that are too
// large or requests that are called off at once, does not end the connection of all.
func TestStrangeRequests(t *testing.T) {
	key, hash := newKey(t)
	p := witnesstest.NewBastion(t, "127.0.0.1:0", hash)
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			time.Sleep(50 * time.Millisecond)
		}
		addresses(rw, r)
	})
	b := &bastion.Backend{Address: p.Address(), Key: key, Roots: p.Roots(), Server: &http.Server{Handler: handler, MaxHeaderBytes: 16 << 10, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}}
	heard, _ := run(t, b)
	eventually(t, "connected", b.Connected)
	for _, size := range []int{1 << 10, 15 << 10, 16 << 10, 16<<10 + 100, 17 << 10, 32 << 10, 40 << 10, 200 << 10, 900 << 10} {
		status, _ := get(t, p, "/", http.Header{"X-Large": {strings.Repeat("x", size)}})
		t.Log(size, status)
		if status, body := get(t, p, "/", nil); status != 200 {
			t.Errorf("after a header of %d bytes: %d %s", size, status, body)
		}
	}
	for _, h := range []http.Header{{"Te": {"trailers"}}, {"Upgrade": {"h2c"}, "Connection": {"Upgrade"}}, {"Transfer-Encoding": {"gzip"}}, {"Cookie": {strings.Repeat("a=b; ", 3000)}}} {
		status, _ := get(t, p, "/", h)
		t.Log(h.Get("Te"), status)
	}
	var strangers sync.WaitGroup
	for range 8 {
		strangers.Go(func() {
			for range 50 {
				conn, err := tls.Dial("tcp", p.Address(), &tls.Config{RootCAs: p.Roots(), NextProtos: []string{"http/1.1"}})
				if err != nil {
					continue
				}
				fmt.Fprintf(conn, "POST /%s/slow HTTP/1.1\r\nHost: b\r\nContent-Length: 100\r\n\r\nx", hash)
				_ = conn.Close()
			}
		})
	}
	strangers.Wait()
	if status, body := get(t, p, "/", nil); status != 200 {
		t.Errorf("after requests that were called off: %d %s", status, body)
	}
	if n := strings.Count(heard.text.String(), "connected to the bastion"); n != 1 {
		t.Errorf("connected %d times: %s", n, heard.text.String())
	}
}
