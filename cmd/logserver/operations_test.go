package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
)

// A config file, metrics, JSON logs, a vendor's own token and systemd, all at
// once.
func TestOperations(t *testing.T) {
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	w.Log.Stop(t)
	token := runtest.Must(t, "logserver", "token", "add", "--dir", w.Path("log"), id)
	config := "dir = " + w.Path("log") + "\npolicy = " + w.Path("policy") + "\nclosed-registration = true\nmetrics-listen = 127.0.0.1:0\nlog-format = json\nquota = 0.001/2\n"
	if err := os.WriteFile(w.Path("conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := w.Path("notify")
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	w.Log = &runtest.Service{Name: "logserver", URL: w.Log.URL, Args: []string{"serve", "--config", w.Path("conf")}}
	w.Log.Start(t)
	heard(t, notified, "READY=1")

	// Outsiders have two submissions each; the vendor's do not run out.
	send := func(token, from string) int {
		header := []string{"Content-Type", api.TypeJSON, "X-Forwarded-For", from}
		if token != "" {
			header = append(header, "Authorization", "Bearer "+token)
		}
		return post(t, w.Log.URL+"/v1/repositories/"+id+"/metadata", "{}", header...)
	}
	for i, want := range []int{422, 422, 429, 429} {
		if got := send("", "192.0.2.1"); got != want {
			t.Errorf("an outsider's submission %d: %d, want %d", i, got, want)
		}
		if got := send(token, "192.0.2.1"); got != 422 {
			t.Errorf("the vendor's submission %d: %d", i, got)
		}
	}
	_, root := newVendor(t).File("root")
	if _, err := w.client.Register(t.Context(), root); err == nil || !strings.Contains(err.Error(), api.CodeClosed) {
		t.Errorf("registered at a log that is closed: %v", err)
	}
	sent := release(t, v, "one")
	w.client.Token = token
	if res, err := w.client.Submit(t.Context(), id, sent); err != nil || res.Results[0].Status != api.StatusReleased {
		t.Errorf("submit: %+v, %v", res, err)
	}
	w.checkMetrics(t)

	w.Log.Stop(t)
	heard(t, notified, "STOPPING=1")
	for line := range strings.Lines(w.Log.Said()) {
		if !json.Valid([]byte(line)) && !strings.HasPrefix(line, "listening on ") {
			t.Errorf("not JSON: %q", line)
		}
	}
}

// post posts a body and returns the status of the answer.
func post(t *testing.T, url, body string, header ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (w *world) checkMetrics(t *testing.T) {
	t.Helper()
	w.wantMetrics(t,
		`tuflog_log_entries{stage="published"} 2`,
		`tuflog_log_entries{stage="witnessed"} 2`,
		`tuflog_log_files_total{code="",status="released"} 1`,
		`tuflog_log_files_total{code="malformed",status="refused"} 6`,
		`tuflog_log_publish_seconds_count 1`,
		`tuflog_log_ready 1`,
		`tuflog_log_witness_up{witness="w1"} 1`,
		`tuflog_log_requests_total{method="POST",path="/v1/repositories/{id}/metadata",status="429"} 2`)
	if status, _ := w.get(t, "/metrics"); status != http.StatusNotFound {
		t.Errorf("GET /metrics on the public listener: %d", status)
	}
}

// wantMetrics waits until the log's metrics have lines.
func (w *world) wantMetrics(t *testing.T, lines ...string) {
	t.Helper()
	url := ""
	for _, m := range regexp.MustCompile(`http://[0-9.:]+/metrics`).FindAllString(w.Log.Said(), -1) {
		url = m
	}
	runtest.Eventually(t, "the metrics say what happened", func() bool {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		missing := ""
		for _, want := range lines {
			if !strings.Contains(string(text), want+"\n") {
				missing = want
			}
		}
		return missing == ""
	})
}

func heard(t *testing.T, c *net.UnixConn, want string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(process.Patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Errorf("systemd was told %q, %v; want %q", b[:n], err, want)
	}
}

// The log's key may be in an ssh-agent alone.
func TestAgent(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	sshKey, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{World: &runtest.World{Dir: t.TempDir()}}
	serveAgent(t, w.Path("agent"), keyring)
	if _, stderr, code := runtest.Run(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log", "--ssh-agent", w.Path("agent"), "--ssh-key", "SHA256:none"); code != 2 || !strings.Contains(stderr, `fingerprint "SHA256:none"`) {
		t.Errorf("init with another key: exit %d, %s", code, stderr)
	}
	vkey, mldsa, _ := strings.Cut(runtest.Must(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log", "--ssh-agent", w.Path("agent"), "--ssh-key", ssh.FingerprintSHA256(sshKey)), "\n")
	if _, err := os.Stat(w.Path("log/log.key")); !os.IsNotExist(err) {
		t.Errorf("there is a key file: %v", err)
	}
	if key, err := proofs.ParseKey(vkey); err != nil || string(key.PublicKey()) != string(public) {
		t.Errorf("%q: %v", vkey, err)
	}
	if key, err := proofs.ParseKey(mldsa); err != nil || key.Algorithm() != proofs.MLDSA44 {
		t.Errorf("%q: %v", mldsa, err)
	}
	w.serve(t, vkey, "--open-registration", "--ssh-agent", w.Path("agent"))
	w.register(t, newVendor(t))

	// Without the key in the agent it does not start, and says what to do.
	w.Log.Stop(t)
	if err := keyring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := runtest.Run(t, "logserver", w.Log.Args...); code != 2 || !strings.Contains(stderr, "ssh-add") {
		t.Errorf("without the key: exit %d, %s", code, stderr)
	}
}

func serveAgent(t *testing.T, socket string, keyring agent.Agent) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = agent.ServeAgent(keyring, c) // ends with the connection
			}()
		}
	}()
}

func TestKeyReadableByOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	vkey := runtest.Must(t, "logserver", "init", "--dir", dir, "--origin", "test.example/log", "--only", "ed25519")
	policy := write(t, "policy", "log "+vkey+"\nquorum none\n", 0o600)
	for _, file := range []string{"log.key", "registration.token"} {
		path := filepath.Join(dir, file)
		if err := os.Chmod(path, 0o604); err != nil {
			t.Fatal(err)
		}
		if _, stderr, code := runtest.Run(t, "logserver", "serve", "--dir", dir, "--policy", policy, "--listen", "127.0.0.1:0"); code != 2 || !strings.Contains(stderr, "chmod 600 "+path) {
			t.Errorf("%s readable by others: exit %d, %s", file, code, stderr)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
