package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
)

func TestMain(m *testing.M) { runtest.Main(m) }

const password = "hunter2"

// evil is a server that answers everything with what no terminal should get, each
// path in another way.
func evil(t *testing.T) *httptest.Server {
	const said = "\x1b]0;owned\a\x1b[2J\u009b31m\u202e\xff\nupdater: all is well\r\n"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		how, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch how {
		case "problem":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"code":%q,"title":%q,"detail":%q}`, "\u001b[1m", "\u009b", "\u001b[2J\nx\u202e")
		case "away":
			w.Header().Set("Location", "http://u:"+password+"@127.0.0.1:1/\u202e%1b[2J")
			w.WriteHeader(http.StatusFound)
		case "fine":
			fmt.Fprint(w, said)
		case "cut":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, said)
		default:
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, said)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

// check fails where a program has printed a password, or what a terminal obeys.
func check(t *testing.T, what, printed string) {
	t.Helper()
	if strings.Contains(printed, password) {
		t.Errorf("%s prints the password:\n%s", what, printed)
	}
	if !utf8.ValidString(printed) || strings.ContainsFunc(printed, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }) {
		t.Errorf("%s prints %q", what, printed)
	}
	if strings.Contains(printed, "\nupdater: all is well") {
		t.Errorf("%s lends its voice:\n%s", what, printed)
	}
}

// No program prints the password of a URL, nor what comes from the network as it
// came, whatever goes wrong.
func TestWhatComesFromOutside(t *testing.T) {
	runtest.Programs(t, "logserver", "witness", "publisher", "updater", "auditor", "bench/logload")
	srv := evil(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, content []byte) string {
		t.Helper()
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	host := strings.TrimPrefix(srv.URL, "http://")
	vendor, err := testvendor.New(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	_, root := vendor.File("root")
	write("1.root.json", root)
	logKey := runtest.Must(t, "logserver", "init", "--dir", path("log"), "--origin", "test.example/log", "--only", "ed25519")
	witnessKey := runtest.Must(t, "witness", "init", "--dir", path("witness"), "--name", "w.example", "--only", "ed25519")
	policy := write("policy", fmt.Appendf(nil, "log %s\nwitness w %s\nquorum w\n", logKey, witnessKey))

	urls := []string{"http://" + password + "@127.0.0.1:1", "http://u:" + password + " @" + host, "http://u:%zz" + password + "@" + host, "http://u:" + password + "/@" + host, "gopher://u:" + password + "@" + host}
	for _, how := range []string{"status", "problem", "away", "fine", "cut"} {
		urls = append(urls, "http://u:"+password+"@"+host+"/"+how)
	}
	t.Run("commands", func(t *testing.T) {
		for i, url := range urls {
			if testing.Short() && i%4 > 0 {
				continue
			}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				device := path(fmt.Sprint("device", i))
				runtest.Must(t, "updater", "--metadata-dir", device, "init", path("1.root.json"))
				for _, args := range [][]string{
					{"updater", "refresh", "--metadata-dir", device, "--metadata-url", url, "--policy", policy},
					{"updater", "refresh", "--json", "--metadata-dir", device, "--metadata-url", url, "--policy", policy},
					{"auditor", "replay", "--policy", policy, "--log", url},
					{"auditor", "replay", "--json", "--policy", policy, "--log", url},
					{"auditor", "lookup", "--policy", policy, "--log", url, strings.Repeat("0", 64)},
					{"publisher", "submit", "--policy", policy, "--log", url, "--timeout", "5s", path("1.root.json")},
					{"witness", "conformance", url, "--key", witnessKey, "--log-key", path("log/log.key")},
					{"witness", "log", "import", "--dir", path("witness"), url},
					{"witness", "log", "add", "--dir", path("witness"), "--url", url, logKey},
					{"witness", "log", "list", "--dir", path("witness")},
					{"witness", "log", "list", "--json", "--dir", path("witness")},
					{"witness", "serve", "--dir", path("none"), "--peer", url, "--log-list", url},
					{"logserver", "init", "--dir", path("front"), "--origin", "test.example/log", "--storage", url, "--state", url},
					{"logserver", "serve", "--dir", path("log"), "--policy", policy, "--listen", "127.0.0.1:0", "--storage", "trillian://127.0.0.1:1/1", "--state", url},
					{"logserver", "serve", "--dir", path("log"), "--policy", policy, "--listen", "127.0.0.1:0", "--storage", "trillian://127.0.0.1:1/1", "--state", "postgres://127.0.0.1:1/x", "--url", url},
					{"bench/logload", "--log", url, "--policy", policy},
				} {
					stdout, stderr, code := runtest.Run(t, args[0], args[1:]...)
					// Adding and listing a log asks nobody.
					if added := args[0] == "witness" && args[1] == "log"; code == 0 && !added {
						t.Errorf("%v: exit 0\n%s%s", args, stdout, stderr)
					}
					check(t, strings.Join(args[:2], " "), stdout+stderr)
				}
			})
		}
	})

	// A service asks again and again, and says what it is told.
	witness := runtest.Serve(t, "witness", "serve", "--dir", path("witness"), "--peer", urls[len(urls)-5], "--check-every", "100ms", "--log-list", urls[len(urls)-2])
	for _, how := range []string{"status", "problem", "away", "cut"} {
		policy := write("policy", fmt.Appendf(nil, "log %s\nwitness w %s http://u:%s@%s/%s\nquorum w\n", logKey, witnessKey, password, host, how))
		log := runtest.Serve(t, "logserver", "serve", "--dir", path("log"), "--policy", policy, "--open-registration")
		// Witnesses are asked when there is something to publish.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, log.URL+"/v1/repositories", bytes.NewReader(root))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Prefer", "wait=0")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		var said string
		runtest.Eventually(t, "the log says why it is not ready", func() bool {
			resp, err := http.Get(log.URL + "/readyz")
			if err != nil {
				return false
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			said = string(b)
			return err == nil && resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(said, "missing w") && strings.Contains(said, "add-checkpoint")
		})
		log.End(t, os.Kill) // it would wait for the witness
		check(t, "/readyz with "+how, said)
		check(t, "logserver serve with "+how, log.Said())
		for _, flag := range []string{"--json=false", "--json"} {
			stdout, stderr, _ := runtest.Run(t, "logserver", "status", "--dir", path("log"), flag)
			check(t, "logserver status with "+how, stdout+stderr)
			if !strings.Contains(stdout, "127.0.0.1") {
				t.Errorf("status does not say what the witness answered:\n%s", stdout)
			}
		}
	}
	runtest.Eventually(t, "the witness has looked and failed", func() bool {
		return strings.Contains(witness.Said(), "not checked") && strings.Contains(witness.Said(), "list not imported")
	})
	witness.Stop(t)
	check(t, "witness serve", witness.Said())
}
