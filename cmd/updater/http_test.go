package main

import (
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A device updates from a server whose authority it was given, and from no other.
func TestAuthorities(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program a dozen times")
	}
	s := newSite(t)
	s.release("app", "one")
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	d := s.newDevice()
	s.url = server.URL
	write := func(name string, blocks ...*pem.Block) string {
		var b []byte
		for _, block := range blocks {
			b = append(b, pem.EncodeToMemory(block)...)
		}
		path := filepath.Join(d.dir, name)
		s.must(os.WriteFile(path, b, 0o644))
		return path
	}
	own := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	d.download("app").want(1, "could not update (network): root: ", "certificate", "hint: the server's certificate is not accepted: check the device's clock")
	d.download("app", "--ca", write("none.pem")).want(1, "--ca: ", "has no certificate")
	d.download("app", "--ca", write("key.pem", own, &pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})).want(1, "only certificates")
	d.download("app", "--ca", write("broken.pem", own, &pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})).want(1, "certificate 2: ")
	ca := write("ca.pem", own)
	d.download("app", "--ca", ca).want(0)
	// The authority is the server's, for its name.
	other := httptest.NewTLSServer(s)
	t.Cleanup(other.Close)
	s.url = strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	s.newDevice().download("app", "--ca", ca).want(1, "could not update (network): root: ", "hint: the server's certificate")

	// Through a proxy, which sees nothing, and with a password, which nobody sees.
	s.url = server.URL
	p := newProxy(t)
	d = s.newDevice()
	d.download("app", "--ca", ca, "--proxy", p.url("device:secret")).want(0)
	if asked := p.seen(); len(asked) == 0 || strings.Join(asked, " ") != strings.Repeat(asked[0]+" ", len(asked)-1)+asked[0] || asked[0] != "CONNECT "+strings.TrimPrefix(server.URL, "https://")+" device:secret" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

// A proxy resolves the names of servers; the environment names one as well.
func TestProxies(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program eight times")
	}
	s := newSite(t)
	s.release("app", "one")
	p := newProxy(t)
	p.to = s.url
	d := s.newDevice()
	s.url = "http://updates.invalid"
	d.download("app", "--proxy", p.url("")).want(0)
	if asked := p.seen(); len(asked) == 0 || asked[0] != "GET http://updates.invalid/metadata/2.root.json " {
		t.Errorf("the proxy was asked for %q", asked)
	}
	t.Setenv("HTTP_PROXY", p.url(""))
	d.download("app").want(0)
	if len(p.seen()) == 0 {
		t.Error("the proxy of the environment was not asked")
	}
	d.refresh("--proxy", "none").want(1, "could not update (network)")
	if asked := p.seen(); len(asked) != 0 {
		t.Errorf("the proxy was asked for %q", asked)
	}
	for _, bad := range []string{"proxy.example:3128", "ftp://proxy.example", "http://", "/proxy"} {
		d.refresh("--proxy", bad).want(1, "--proxy ", "want none, or a URL")
	}
	// A proxy that is away is an outage, and does not show its password.
	if r := d.refresh("--proxy", "http://device:secret@127.0.0.1:1").want(1, "could not update (network)", "refused"); strings.Contains(r.stderr, "secret") {
		t.Error(r.stderr)
	}
}

// proxy is a forward proxy.
type proxy struct {
	t      *testing.T
	server *httptest.Server
	to     string // where requests of plain HTTP are sent, whatever they ask for

	mu    sync.Mutex
	asked []string // method, what is asked for, and by whom
}

func newProxy(t *testing.T) *proxy {
	p := &proxy{t: t}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *proxy) url(user string) string {
	if user != "" {
		user += "@"
	}
	return strings.Replace(p.server.URL, "://", "://"+user, 1)
}

// seen returns the requests since it was asked last.
func (p *proxy) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Proxy-Authorization"), "Basic "))
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.RequestURI+" "+string(user))
	p.mu.Unlock()
	if r.Method == http.MethodConnect {
		p.tunnel(w, r.Host)
		return
	}
	resp, err := http.Get(p.to + r.URL.EscapedPath())
	if err != nil {
		p.t.Error(err)
		return
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func (p *proxy) tunnel(w http.ResponseWriter, host string) {
	server, err := net.Dial("tcp", host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	client, sent, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	go func() {
		_, _ = io.Copy(server, sent) // some may have come before the connection was taken over
		server.Close()
	}()
	_, _ = io.Copy(client, server)
	client.Close()
}
