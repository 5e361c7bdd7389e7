package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/internal/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// patience is how long a test waits for what should take a moment.
const patience = 30 * time.Second

// binaries builds the programs once.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "logserver-test")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, ".", "../witness", "../auditor").CombinedOutput()
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

func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// runProgram runs a program to its end.
func runProgram(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, name), args...)
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
	stdout, stderr, code := runProgram(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %v: exit %d\n%s", name, args, code, stderr)
	}
	return strings.TrimSpace(stdout)
}

// service is a program that serves.
type service struct {
	name string
	args []string
	url  string
	cmd  *exec.Cmd
	done chan struct{} // closed when stderr has ended
	mu   sync.Mutex
	text strings.Builder
}

// start starts a server and waits until it listens. A restart listens where the
// first start did.
func (s *service) start(t *testing.T) {
	t.Helper()
	addr := "127.0.0.1:0"
	if s.url != "" {
		addr = strings.TrimPrefix(s.url, "http://")
	}
	s.cmd = exec.Command(program(t, s.name), append(s.args, "--listen", addr)...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := make(chan string, 1)
	s.done = make(chan struct{})
	go s.follow(stderr, url)
	select {
	case s.url = <-url:
	case <-s.done:
		t.Fatalf("%s ended before it listened:\n%s", s.name, s.stderr())
	case <-time.After(patience):
		t.Fatalf("%s does not listen:\n%s", s.name, s.stderr())
	}
}

func (s *service) follow(r io.Reader, url chan<- string) {
	defer close(s.done)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		s.mu.Lock()
		fmt.Fprintln(&s.text, lines.Text())
		s.mu.Unlock()
		if u, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			url <- u
		}
	}
}

func (s *service) stderr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// end ends the process with a signal and returns its exit code.
func (s *service) end(t *testing.T, sig os.Signal) int {
	t.Helper()
	if s.cmd == nil {
		return 0
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Errorf("%s ignores %v", s.name, sig)
		s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd.Wait()
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	return code
}

// world is a log and three witnesses, two of which are a quorum.
type world struct {
	dir       string
	policy    *proofs.Policy
	log       *service
	witnesses []*service
	client    *api.Client
}

func newWorld(t *testing.T, flags ...string) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	w.serve(t, must(t, "logserver", "init", "--dir", w.path("log"), "--origin", "test.example/log"), flags...)
	return w
}

// serve starts the witnesses and the log.
func (w *world) serve(t *testing.T, vkey string, flags ...string) {
	t.Helper()
	policy := "log " + vkey + "\n"
	for _, name := range []string{"w1", "w2", "w3"} {
		key := must(t, "witness", "init", "--dir", w.path(name), "--name", name+".example")
		must(t, "witness", "log", "add", "--dir", w.path(name), vkey)
		s := &service{name: "witness", args: []string{"serve", "--dir", w.path(name)}}
		s.start(t)
		t.Cleanup(func() { s.end(t, os.Kill) })
		w.witnesses = append(w.witnesses, s)
		policy += fmt.Sprintf("witness %s %s %s\n", name, key, s.url)
	}
	policy += "group all 2 w1 w2 w3\nquorum all\n"
	if err := os.WriteFile(w.path("policy"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.policy, err = proofs.ParsePolicy([]byte(policy)); err != nil {
		t.Fatal(err)
	}
	w.log = &service{name: "logserver", args: append([]string{"serve", "--dir", w.path("log"), "--policy", w.path("policy")}, flags...)}
	w.log.start(t)
	t.Cleanup(func() {
		w.log.end(t, os.Kill)
		if t.Failed() {
			t.Logf("the log's stderr:\n%s", w.log.stderr())
		}
	})
	w.client = &api.Client{Base: w.log.url}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func newVendor(t *testing.T) *testvendor.Vendor {
	t.Helper()
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// release publishes a new targets version of the vendor and returns its files.
func release(t *testing.T, v *testvendor.Vendor, content string) []api.File {
	t.Helper()
	if err := errors.Join(v.Put("targets", "app.bin", []byte(content)), v.Release("targets")); err != nil {
		t.Error(err) // not Fatal: clients run in goroutines
	}
	return files(v)
}

// files returns the present targets and snapshot of a vendor.
func files(v *testvendor.Vendor) []api.File {
	var list []api.File
	for _, role := range []string{"targets", "snapshot"} {
		name, data := v.File(role)
		list = append(list, api.File{Name: name, Data: data})
	}
	return list
}

// check verifies a result as a device would.
func (w *world) check(t *testing.T, repository string, files []api.File, r api.FileResult) {
	t.Helper()
	i := slices.IndexFunc(files, func(f api.File) bool { return f.Name == r.File })
	if i < 0 {
		t.Errorf("a result for %s, which was not sent", r.File)
		return
	}
	id, err := verify.ParseDigest(repository)
	if err != nil {
		t.Error(err)
		return
	}
	m, err := verify.ParseJSON(files[i].Data)
	if err != nil {
		t.Error(err)
		return
	}
	logged, err := verify.CheckSidecar([]byte(r.Sidecar), verify.ClaimFor(id, r.Role, m), w.policy)
	if err != nil {
		t.Errorf("%s at %d: %v", r.File, r.Index, err)
		return
	}
	if logged.Index != r.Index {
		t.Errorf("%s is proved at %d, not at %d", r.File, logged.Index, r.Index)
	}
}

func (w *world) register(t *testing.T, v *testvendor.Vendor) string {
	t.Helper()
	_, root := v.File("root")
	res, err := w.client.Register(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Done || len(res.Results) != 1 || res.Results[0].Status != api.StatusReleased {
		t.Fatalf("register: %+v", res)
	}
	w.check(t, res.Repository, []api.File{{Name: "root.json", Data: root}}, res.Results[0])
	return res.Repository
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func withTimeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// killAt starts a program that does not serve and kills it when it has said a line.
// It is false if the program had ended by then.
func (s *service) killAt(t *testing.T, line string) bool {
	t.Helper()
	s.cmd = exec.Command(program(t, s.name), s.args...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.mu.Lock()
			fmt.Fprintln(&s.text, lines.Text())
			s.mu.Unlock()
			if lines.Text() == line {
				_ = s.cmd.Process.Kill()
			}
		}
	}()
	<-s.done
	s.cmd.Wait()
	code := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	return code == -1
}
