package conformance_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/bastion"
	"github.com/tuflog/tuflog/witness/conformance"
)

// TestPeerBastion: our witness, behind torchwood's litebastion, passes every case, all
// requests of which come through that, but for two that litebastion passes to nobody:
// it takes bodies of 10 KiB at most.
func TestPeerBastion(t *testing.T) {
	program := peer(t, "litebastion")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	certificate(t, path("cert.pem"), path("key.pem"))
	backends, clients := freeAddr(t), freeAddr(t)
	start(t, clients, program, "-listen", backends, "-listen-http", clients, "-tls-cert", path("cert.pem"), "-tls-key", path("key.pem"),
		"-backends", write(t, path("backends"), bastion.KeyHash(public)+"\n"))

	vkey := runtest.Must(t, "witness", "init", "--dir", path("w"), "--name", "tuflog.example/w", "--only", "ed25519")
	wkey, err := proofs.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path("w/bastion.key"), base64.StdEncoding.EncodeToString(key.Seed())+"\n")
	log, first := newLogs(t)
	runtest.Must(t, "witness", "log", "add", "--dir", path("w"), log.Key().String())
	for _, l := range first {
		runtest.Must(t, "witness", "log", "add", "--dir", path("w"), l.Key().String())
	}
	runtest.Serve(t, "witness", "serve", "--dir", path("w"), "--bastion", backends, "--bastion-ca", path("cert.pem"))
	prefix := "http://" + clients + "/" + bastion.KeyHash(public)
	runtest.Eventually(t, "the witness is behind the bastion", func() bool {
		resp, err := http.Get(prefix + "/healthz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	r := run(t, conformance.Config{URL: prefix, Keys: []proofs.Key{wkey}, Log: log, First: first, Monitoring: prefix})
	t.Log(r.Summary())
	for _, res := range r.Results {
		if large := strings.HasPrefix(res.Name, "16 signatures"); res.Outcome != conformance.Pass && !large {
			t.Error(res)
		}
	}
}

// certificate writes a certificate of this host that vouches for itself, and its key.
func certificate(t *testing.T, cert, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}
