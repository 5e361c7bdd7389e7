package trillianlog

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var badURLs = []string{
	"", "trillian:", "trillian://", "trillian://h:1", "trillian://h:1/", "trillian://h/1", "trillian://:1/1",
	"http://h:1/1", "TRILLIAN://h:1/1", "trillian://h:0/1", "trillian://h:65536/1", "trillian://h:01/1",
	"trillian://h:1/0", "trillian://h:1/-1", "trillian://h:1/+1", "trillian://h:1/01", "trillian://h:1/1/", "trillian://h:1//1",
	"trillian://h:1/9223372036854775808", "trillian://u@h:1/1", "trillian://h:1/1#x", "trillian://h:1/1#", "trillian://h:1/1?", "trillian://h:1/1?ca=x",
	"trillians://h:1/1?ca=", "trillians://h:1/1?ca=x&ca=y", "trillians://h:1/1?ca=x&b=y", "trillians://h:1/1?x=y", "trillians://h:1/1?",
	"trillian://h:1/%31", "trillian://h%31:1/1", "trillian://a,b:1/1", "trillian:h:1/1", " trillian://h:1/1",
}

func TestParseURL(t *testing.T) {
	for s, target := range map[string]string{
		"trillian://localhost:8090/5961":         "localhost:8090",
		"trillian://[::1]:1/9223372036854775807": "[::1]:1",
		"trillians://log.example:443/7":          "log.example:443",
	} {
		cfg, err := ParseURL(s)
		if err != nil || cfg.Target != target || (cfg.TLS != nil) != (s[8] == 's') {
			t.Errorf("ParseURL(%q) = %+v, %v", s, cfg, err)
		}
	}
	for _, s := range badURLs {
		if cfg, err := ParseURL(s); err == nil {
			t.Errorf("ParseURL(%q) = %+v", s, cfg)
		}
	}
	if _, err := ParseURL("trillians://h:1/1?ca=" + filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there")
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range append(badURLs, "trillian://localhost:8090/5961", "trillians://[::1]:1/2?ca=/etc/x%20y.pem", "trillians://h:1/1?ca=%2Fx") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress(s)
		if err != nil {
			return
		}
		if again, err := parseAddress(a.String()); err != nil || again != a {
			t.Fatalf("%q is %+v; its spelling %q is %+v, %v", s, a, a, again, err)
		}
		if a.tree <= 0 || a.port == 0 || a.host == "" || a.ca != "" && !a.secure {
			t.Fatalf("%q is %+v", s, a)
		}
	})
}

// TestTLS speaks to the real server through a listener that only ends TLS.
func TestTLS(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go relay(listener, cfg.Target)
	address := fmt.Sprintf("trillians://%s/%d", listener.Addr(), cfg.TreeID)
	secure, err := ParseURL(address + "?ca=" + ca)
	if err != nil {
		t.Fatal(err)
	}
	secure.Tiles = cfg.Tiles
	l := open(t, secure)
	mustAppend(t, l, "x", 3)
	wantOnce(t, l, batch("x", 3))
	for name, s := range map[string]string{"unknown authority": address, "plain text": fmt.Sprintf("trillian://%s/%d", listener.Addr(), cfg.TreeID)} {
		cfg, err := ParseURL(s)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Tiles = new(memTiles)
		if l, err := Open(t.Context(), cfg); err == nil {
			l.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func relay(listener net.Listener, target string) {
	for {
		in, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				_, _ = io.Copy(out, in)
				out.Close()
			}()
			_, _ = io.Copy(in, out)
		}()
	}
}
