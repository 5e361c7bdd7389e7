package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/internal/testvendor"
	"github.com/tuflog/tuflog/log/api"
)

// patience is how long a test waits for what should take a moment.
const patience = 30 * time.Second

// binaries builds the programs once.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "publisher-test")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, ".", "../logserver", "../witness").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := binaries(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), filepath.Join(dir, name), args...)
}

// run runs a program to its end.
func run(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	stdout, stderr, code := run(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %v: exit %d\n%s%s", name, args, code, stdout, stderr)
	}
	return stdout
}

// service is a program that serves. Started again it listens where it did.
type service struct {
	name string
	args []string
	url  string
	cmd  *exec.Cmd
}

func (s *service) start(t *testing.T) {
	t.Helper()
	addr := "127.0.0.1:0"
	if s.url != "" {
		addr = strings.TrimPrefix(s.url, "http://")
	}
	s.cmd = command(t, s.name, append(s.args, "--listen", addr)...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := make(chan string, 1)
	go func() {
		defer close(url)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if u, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				url <- u
			}
		}
	}()
	select {
	case s.url = <-url:
	case <-time.After(patience):
	}
	if s.url == "" {
		t.Fatalf("%s does not listen", s.name)
	}
}

// kill ends the process as a power cut would.
func (s *service) kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// world is a log and three witnesses, two of which are a quorum.
type world struct {
	dir       string
	log       *service
	witnesses []*service
	client    *api.Client
}

func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	vkey := strings.TrimSpace(must(t, "logserver", "init", "--dir", w.path("log"), "--origin", "test.example/log"))
	policy := "log " + vkey + "\n"
	for _, name := range []string{"w1", "w2", "w3"} {
		key := strings.TrimSpace(must(t, "witness", "init", "--dir", w.path(name), "--name", name+".example"))
		must(t, "witness", "log", "add", "--dir", w.path(name), vkey)
		s := &service{name: "witness", args: []string{"serve", "--dir", w.path(name)}}
		s.start(t)
		t.Cleanup(s.kill)
		w.witnesses = append(w.witnesses, s)
		policy += fmt.Sprintf("witness %s %s %s\n", name, key, s.url)
	}
	w.write(t, "policy", policy+"group all 2 w1 w2 w3\nquorum all\n")
	w.write(t, "strict", policy+"group all all w1 w2 w3\nquorum all\n")
	w.log = &service{name: "logserver", args: append([]string{"serve", "--dir", w.path("log"), "--policy", w.path("policy")}, flags...)}
	w.log.start(t)
	t.Cleanup(w.log.kill)
	w.client = &api.Client{Base: w.log.url}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// args are a publisher command's arguments for this world.
func (w *world) args(command string, more ...string) []string {
	return append([]string{command, "--log", w.log.url, "--policy", w.path("policy"), "--token-file", w.path("log/registration.token")}, more...)
}

// writeAll writes everything that a vendor has published to a directory.
func writeAll(t *testing.T, v *testvendor.Vendor, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range v.Files() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
