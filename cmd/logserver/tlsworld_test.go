package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/trillianserver"
)

// authority is a private certificate authority.
type authority struct {
	file string // its certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, file string) *authority {
	t.Helper()
	a := &authority{file: file}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: filepath.Base(file)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	pair := a.sign(t, template)
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	writePEM(t, file, "CERTIFICATE", a.cert.Raw)
	return a
}

// sign makes a certificate; the first is its own.
func (a *authority) sign(t *testing.T, template *x509.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// server makes a certificate for a server at 127.0.0.1, or for one elsewhere that
// uses it there.
func (a *authority) server(t *testing.T, ip string, until time.Time) *tls.Certificate {
	t.Helper()
	return a.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: ip}, IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// store writes a certificate and its key into FILE.pem and FILE.key.
func store(t *testing.T, file string, c *tls.Certificate) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, file+".pem", "CERTIFICATE", c.Certificate[0])
	writePEM(t, file+".key", "PRIVATE KEY", der)
}

// badCertificate is one that a client must refuse.
type badCertificate struct {
	what string
	cert *tls.Certificate
	want string // in the client's error
}

// secureWorld is a log on servers that all speak TLS, set up with the files of
// deploy/trillian.
type secureWorld struct {
	*sharedWorld
	ca           *authority
	good         *tls.Certificate
	bad          []badCertificate
	port         string // PostgreSQL's
	bin          string // Trillian's programs
	target, tree string // Trillian's log server, and the log there
	proxies      []*tlsProxy
}

// secureHBA requires TLS and a password of everybody but the tests that look after the
// server.
const secureHBA = `hostnossl all postgres 127.0.0.1/32 trust
hostssl all trillian,tuflog 127.0.0.1/32 scram-sha-256
`

// newSecureWorld starts PostgreSQL and Trillian, makes a log, and starts two front
// ends behind proxies.
func newSecureWorld(t *testing.T) *secureWorld {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PostgreSQL and Trillian")
	}
	if _, err := postgresserver.Find(); err != nil {
		t.Skip(err)
	}
	w := &secureWorld{sharedWorld: &sharedWorld{world: &world{World: &runtest.World{Dir: t.TempDir()}}}}
	w.ca = newAuthority(t, w.Path("ca.pem"))
	other := newAuthority(t, w.Path("other.pem"))
	later := time.Now().Add(time.Hour)
	w.good = w.ca.server(t, "127.0.0.1", later)
	w.bad = []badCertificate{
		{"of another authority", other.server(t, "127.0.0.1", later), "certificate signed by unknown authority"},
		{"expired", w.ca.server(t, "127.0.0.1", time.Now().Add(-time.Minute)), "certificate has expired"},
		{"of another server", w.ca.server(t, "10.0.0.9", later), "certificate is valid for 10.0.0.9, not 127.0.0.1"},
	}
	// Front ends believe each other by it; all others by what their URL says.
	t.Setenv("SSL_CERT_FILE", w.ca.file)
	t.Setenv("PGPASSFILE", w.Path("pgpass"))
	w.startPostgres(t)
	bin, err := trillianserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	w.bin = bin
	w.startTrillian(t, "trillian_log_signer", w.databaseURL("trillian"), w.good, "--force_master", "--pre_election_pause=10ms", "--sequencer_interval=5ms", "--num_sequencers=1", "--batch_size=2048")
	w.target = w.startTrillian(t, "trillian_log_server", w.databaseURL("trillian"), w.good)
	w.startLog(t)
	return w
}

// startPostgres starts a server with TLS, whose databases deploy/trillian's script
// makes.
func (w *secureWorld) startPostgres(t *testing.T) {
	t.Helper()
	dir := w.Path("postgres")
	var err error
	if w.postgres, err = postgresserver.Start(t.Context(), postgresserver.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.postgres.Kill() })
	sample, err := os.ReadFile("../../deploy/trillian/postgresql.conf")
	if err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("%s\nhba_file = '%[2]s/hba.conf'\nssl = on\nssl_cert_file = '%[2]s/server.pem'\nssl_key_file = '%[2]s/server.key'\n", sample, dir)
	w.giveToPostgres(t, w.writeFile(t, "postgres/tls.conf", settings))
	w.giveToPostgres(t, w.writeFile(t, "postgres/hba.conf", secureHBA))
	w.postgresCertificate(t, w.good)
	conf, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conf, "include '%s/tls.conf'\n", dir); err != nil {
		t.Fatal(err)
	}
	if err := conf.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.makeDatabases(t)
}

// makeDatabases runs deploy/trillian/databases.sh.
func (w *secureWorld) makeDatabases(t *testing.T) {
	t.Helper()
	programs, err := postgresserver.Find()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := trillianserver.Schema(t.Context(), "postgresql")
	if err != nil {
		t.Fatal(err)
	}
	// Any characters make a password.
	trillian, tuflog := `it's "a\b" $word`, rand.Text()
	cmd := exec.CommandContext(t.Context(), "../../deploy/trillian/databases.sh")
	cmd.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "PGHOST=127.0.0.1", "PGPORT="+w.postgresPort(t), "PGUSER=postgres", "PGSSLMODE=disable",
		"SCHEMA="+w.writeFile(t, "storage.sql", schema), "TRILLIAN_PASSWORD="+trillian, "TUFLOG_PASSWORD="+tuflog)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("databases.sh: %v\n%s", err, out)
	}
	escaped := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(trillian)
	w.writeFile(t, "pgpass", fmt.Sprintf("127.0.0.1:*:trillian:trillian:%s\n127.0.0.1:*:*:tuflog:%s\n", escaped, tuflog))
}

func (w *secureWorld) postgresPort(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(w.postgres.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	w.port = u.Port()
	return u.Port()
}

// databaseURL is the URL of the database that a role of the same name owns.
func (w *secureWorld) databaseURL(name string) string {
	return fmt.Sprintf("postgres://%[1]s@127.0.0.1:%[2]s/%[1]s?sslmode=verify-full&sslrootcert=%[3]s", name, w.port, w.ca.file)
}

func (w *secureWorld) writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	if err := os.WriteFile(w.Path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w.Path(name)
}

// giveToPostgres gives a file to the user whom PostgreSQL runs as.
func (w *secureWorld) giveToPostgres(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	if err := errors.Join(errU, errG, os.Chown(path, uid, gid)); err != nil {
		t.Fatal(err)
	}
}

// postgresCertificate has PostgreSQL show a certificate from its next start or
// reload on.
func (w *secureWorld) postgresCertificate(t *testing.T, c *tls.Certificate) {
	t.Helper()
	store(t, w.Path("postgres/server"), c)
	w.giveToPostgres(t, w.Path("postgres/server.pem"))
	w.giveToPostgres(t, w.Path("postgres/server.key"))
}

// startTrillian starts one of Trillian's programs and returns its address.
func (w *secureWorld) startTrillian(t *testing.T, name, database string, c *tls.Certificate, more ...string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil { // it was wanted for its number
		t.Fatal(err)
	}
	files := w.Path("trillian-" + strings.ReplaceAll(address, ":", "-"))
	store(t, files, c)
	cmd := exec.Command(filepath.Join(w.bin, name), append(more, "--logtostderr", "--storage_system=postgresql", "--quota_system=noop", "--http_endpoint=",
		"--postgresql_uri="+database+"&pool_max_conns=8", "--rpc_endpoint="+address, "--tls_cert_file="+files+".pem", "--tls_key_file="+files+".key")...)
	p, err := process.Launch(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s:\n%s", name, p.Said)
		}
	})
	if err := p.Answers(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	return address
}

func (w *secureWorld) storageURL(target, ca string) string {
	return fmt.Sprintf("trillians://%s/%s?ca=%s", target, w.tree, ca)
}

// startLog makes the log and starts witnesses and front ends.
func (w *secureWorld) startLog(t *testing.T) {
	t.Helper()
	w.state = w.databaseURL("tuflog")
	stdout, stderr, code := runtest.Run(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log", "--only", "ed25519", "--storage", "trillians://"+w.target+"?ca="+w.ca.file, "--state", w.state)
	found := regexp.MustCompile(`--storage 'trillians://\S+/(\d+)\?ca=\S+' --state '\S+' `).FindStringSubmatch(stderr)
	if code != 0 || found == nil {
		t.Fatalf("init: exit %d\n%s", code, stderr)
	}
	w.tree = found[1]
	w.storage = w.storageURL(w.target, w.ca.file)
	if _, err := w.postgres.Exec(t.Context(), "trillian", "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	w.proxies = []*tlsProxy{newTLSProxy(t, w.good), newTLSProxy(t, w.good)}
	w.serve(t, strings.TrimSpace(stdout), "--config", w.config(t, 0, w.storage))
	w.fronts = []*runtest.Service{w.Log, w.startFront(t, 1, w.storage)}
	for i, p := range w.proxies {
		p.to(t, w.fronts[i].URL)
	}
}

// config writes the settings of a front end: those of deploy/trillian for another
// place.
func (w *secureWorld) config(t *testing.T, i int, storage string) (path string) {
	t.Helper()
	b, err := os.ReadFile("../../deploy/trillian/logserver-1.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for key, value := range map[string]string{
		"dir": w.Path("log"), "policy": w.Path("policy"), "storage": storage, "state": w.state,
		"url": w.proxies[i].url, "metrics-listen": "127.0.0.1:0", "trusted-proxies": "127.0.0.1",
	} {
		line := regexp.MustCompile(`(?m)^` + key + ` = .*$`)
		if !line.MatchString(text) {
			t.Errorf("deploy/trillian/logserver-1.conf does not set %s", key)
		}
		text = line.ReplaceAllLiteralString(text, key+" = "+value)
	}
	return w.writeFile(t, fmt.Sprintf("logserver-%d.conf", i), text)
}

// startFront starts a front end with the log's own directory: what is remembered of
// witnesses may be lost.
func (w *secureWorld) startFront(t *testing.T, i int, storage string) *runtest.Service {
	t.Helper()
	return runtest.Serve(t, "logserver", "serve", "--config", w.config(t, i, storage))
}

// tlsProxy is the proxy with TLS in front of a front end.
type tlsProxy struct {
	url     string
	shows   atomic.Pointer[tls.Certificate]
	backend atomic.Pointer[url.URL]
}

func newTLSProxy(t *testing.T, c *tls.Certificate) *tlsProxy {
	t.Helper()
	p := &tlsProxy{}
	p.shows.Store(c)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.shows.Load(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	p.url = "https://" + l.Addr().String()
	server := &http.Server{
		Handler:  &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(p.backend.Load()); r.SetXForwarded() }},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	server.SetKeepAlivesEnabled(false) // each request sees the certificate
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return p
}

// to says where requests go. There are none before.
func (p *tlsProxy) to(t *testing.T, backend string) {
	t.Helper()
	u, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	p.backend.Store(u)
}
