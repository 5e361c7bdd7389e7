// Package rekorserver runs Rekor's own servers beside a test: NewV1 runs version 1 over
// Trillian and MariaDB, with its search index there, and NewV2 the server of rekor-tiles
// that keeps its tiles in a directory. Each has a directory of its own and listens on
// 127.0.0.1 alone.
//
// The programs are others': .ci/peers installs them into one directory, which the environment
// variable TUFLOG_PEERS names, and MariaDB with apt. Where one is missing the test is skipped,
// and says so.
package rekorserver

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
)

// errMissing is returned where a program of others is not installed.
var errMissing = errors.New("not installed: run .ci/peers, or install what it names into a directory and put that into TUFLOG_PEERS")

// Program returns the path of a program that .ci/peers installs, such as rekor-cli. Where
// it is missing the test is skipped.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := program(name)
	if err != nil {
		t.Skip(err)
	}
	return path
}

func program(name string) (string, error) {
	dir := os.Getenv("TUFLOG_PEERS")
	if dir == "" {
		return "", fmt.Errorf("%s: TUFLOG_PEERS is not set: %w", name, errMissing)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %w", err, errMissing)
	}
	return path, nil
}

// config is how a server runs.
type config struct {
	dir      string // for all that it keeps: at most maxDir bytes, as a Unix socket is in it
	hostname string
	key      crypto.Signer
}

// NewV1 runs Rekor v1 until the test ends. Hostname is the name in the first line of its
// checkpoints, and key its own: ECDSA P-256 or Ed25519.
func NewV1(t testing.TB, hostname string, key crypto.Signer) *V1 {
	t.Helper()
	s, err := startV1(t.Context(), config{directory(t), hostname, key})
	if err != nil {
		failed(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("rekor-server said last:\n%s", s.web.said())
		}
		s.stop()
	})
	return s
}

// NewV2 runs rekor-tiles' server until the test ends, as NewV1 does.
func NewV2(t testing.TB, hostname string, key crypto.Signer) *V2 {
	t.Helper()
	s, err := startV2(t.Context(), config{directory(t), hostname, key})
	if err != nil {
		failed(t, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("posix said last:\n%s", s.server.said())
		}
		s.stop()
	})
	return s
}

func failed(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errMissing) {
		t.Skip(err)
	}
	t.Fatal(err)
}

// directory returns a directory in which a Unix socket has room, whatever the test's name.
func directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rekor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

const maxDir = 80

// prepare writes the key into the directory, as PKCS #8 in PEM.
func (c *config) prepare() (key string, err error) {
	if len(c.dir) > maxDir {
		return "", fmt.Errorf("directory %s has more than %d bytes: a socket is in it", c.dir, maxDir)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return "", fmt.Errorf("rekor's key: %w", err)
	}
	key = filepath.Join(c.dir, "key.pem")
	return key, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// server is a program that is started, killed and started again at the same port.
type server struct {
	path string
	args func(port string) []string
	port string
	dir  string // where it runs and has its home
	p    *process.Process
}

func (p *server) address() string { return net.JoinHostPort("127.0.0.1", p.port) }

// start starts the program and waits until it accepts connections.
func (p *server) start(ctx context.Context) error {
	if p.p != nil {
		return fmt.Errorf("%s runs already", filepath.Base(p.path))
	}
	if p.port == "" {
		n, err := postgresserver.FreePort()
		if err != nil {
			return err
		}
		p.port = strconv.Itoa(n)
	}
	cmd := exec.Command(p.path, p.args(p.port)...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), "HOME="+p.dir)
	started, err := process.Launch(cmd, nil)
	if err == nil {
		p.p = started
		err = started.Answers(ctx, p.address())
	}
	if err != nil {
		p.kill()
		return fmt.Errorf("start %s: %w", filepath.Base(p.path), err)
	}
	return nil
}

// said is the end of what the program has said.
func (p *server) said() string {
	if p.p == nil {
		return ""
	}
	return p.p.Said.String()
}

// kill ends the program with SIGKILL.
func (p *server) kill() {
	if p.p != nil {
		p.p.Kill()
		p.p = nil
	}
}

// answer waits until a URL answers 200, and returns what it answers.
func answer(ctx context.Context, url string, p *server) (body []byte, err error) {
	late := process.Eventually(ctx, url+" answers 200", process.Patience, func() bool {
		body, err = get(ctx, url)
		return err == nil || !p.p.Alive()
	})
	if late != nil || err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(p.path), errors.Join(err, late), p.said())
	}
	return body, nil
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}
