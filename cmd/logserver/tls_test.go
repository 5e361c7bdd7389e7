package main

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
)

// All parts of a log on servers speak TLS with each other, with certificates of a
// private authority, and none speaks to one that shows a wrong certificate.
func TestTLSBetweenParts(t *testing.T) {
	w := newSecureWorld(t)
	_, follower := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, follower, v)
	w.submitAt(t, follower, id, v, "by way of the leader")
	if !strings.Contains(follower.Said(), `msg="following a leader" url=https://`) {
		t.Errorf("the follower does not reach the leader by https:\n%s", follower.Said())
	}
	secure, err := w.postgres.Exec(t.Context(), "postgres", `SELECT DISTINCT usename, ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
		WHERE usename IN ('trillian', 'tuflog') ORDER BY usename`)
	if err != nil || secure != "trillian|t\ntuflog|t" {
		t.Errorf("connections to the database: %s, %v", secure, err)
	}

	w.refuseLeader(t)
	w.submitAt(t, follower, id, v, "after the leader's certificate was replaced")
	w.refuseTrillian(t)
	w.refusePostgres(t)
}

// refuseLeader has the leader's proxy show wrong certificates to the follower.
func (w *secureWorld) refuseLeader(t *testing.T) {
	t.Helper()
	leader, follower := w.leads(t)
	proxy := w.proxies[0]
	if leader == w.fronts[1] {
		proxy = w.proxies[1]
	}
	defer proxy.shows.Store(w.good)
	for _, bad := range w.bad {
		proxy.shows.Store(bad.cert)
		before := len(follower.Said())
		runtest.Eventually(t, "a follower says that the leader's certificate is "+bad.what, func() bool {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, follower.URL+"/v1/repositories", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Prefer", "wait=1")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%s: a submission at the follower: %s, %v", bad.what, resp.Status, err)
			}
			// It says so once a second.
			said := follower.Said()[before:]
			return strings.Contains(said, proxy.url+": ") && strings.Contains(said, bad.want)
		})
	}
}

// refuseTrillian starts Trillian's log server with wrong certificates.
func (w *secureWorld) refuseTrillian(t *testing.T) {
	t.Helper()
	for _, bad := range w.bad {
		target := w.startTrillian(t, "trillian_log_server", w.databaseURL("trillian"), bad.cert)
		stdout, _, code := runtest.Run(t, "logserver", "status", "--dir", w.Path("log"), "--storage", w.storageURL(target, w.ca.file), "--state", w.state)
		if code != 1 || !strings.Contains(stdout, bad.want) || !strings.Contains(stdout, target) {
			t.Errorf("Trillian's certificate is %s, status: exit %d\n%s\nwant %q", bad.what, code, stdout, bad.want)
		}
	}
	// logserver init waits for Trillian to start, but not for this.
	if err := w.postgres.CreateDatabase(t.Context(), "another"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.postgres.Exec(t.Context(), "postgres", "ALTER DATABASE another OWNER TO tuflog"); err != nil {
		t.Fatal(err)
	}
	state := strings.Replace(w.state, "/tuflog?", "/another?", 1)
	for storage, want := range map[string]string{
		"trillians://" + w.target + "?ca=" + w.Path("other.pem"): "certificate signed by unknown authority",
		// A front end stands for a server without TLS.
		"trillians://" + strings.TrimPrefix(w.fronts[0].URL, "http://"): "does not look like a TLS handshake",
	} {
		began := time.Now()
		_, stderr, code := runtest.Run(t, "logserver", "init", "--dir", w.Path("none"), "--origin", "test.example/other", "--storage", storage, "--state", state)
		if code != 2 || !strings.Contains(stderr, want) || time.Since(began) > 15*time.Second {
			t.Errorf("init with %s: exit %d after %v\n%s\nwant %q", storage, code, time.Since(began), stderr, want)
		}
	}
}

// refusePostgres has PostgreSQL show wrong certificates, to the state database's users
// and to Trillian.
func (w *secureWorld) refusePostgres(t *testing.T) {
	t.Helper()
	for _, bad := range w.bad {
		w.postgresCertificate(t, bad.cert)
		if _, err := w.postgres.Exec(t.Context(), "postgres", "SELECT pg_reload_conf()"); err != nil {
			t.Fatal(err)
		}
		runtest.Eventually(t, "status says that PostgreSQL's certificate is "+bad.what, func() bool {
			_, stderr, code := w.tool(t, "status")
			return code == 2 && strings.Contains(stderr, bad.want) && strings.Contains(stderr, "127.0.0.1:"+w.port)
		})
		_, stderr, code := runtest.Run(t, "logserver", "serve", "--config", w.config(t, 0, w.storage), "--listen", "127.0.0.1:0")
		if code != 1 || !strings.Contains(stderr, bad.want) {
			t.Errorf("PostgreSQL's certificate is %s, serve: exit %d\n%s\nwant %q", bad.what, code, stderr, bad.want)
		}
		out, err := exec.CommandContext(withTimeout(t, process.Patience), filepath.Join(w.bin, "trillian_log_server"), "--logtostderr", "--storage_system=postgresql",
			"--quota_system=noop", "--http_endpoint=", "--rpc_endpoint=127.0.0.1:0", "--postgresql_uri="+w.databaseURL("trillian")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), bad.want) {
			t.Errorf("PostgreSQL's certificate is %s, Trillian: %v\n%s\nwant %q", bad.what, err, out, bad.want)
		}
	}
}
