package process_test

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
)

// shell is a program that says something on stderr.
func shell(script string) *exec.Cmd { return exec.Command("sh", "-c", script) }

func TestServer(t *testing.T) {
	var mu sync.Mutex
	var heard []string
	p, err := process.Start(t.Context(), shell(`trap 'exit 3' TERM; echo one >&2; echo 'msg="listening on http://a:1" more' >&2; while :; do sleep 0.01; done`), func(line string) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.URL != "http://a:1" || !p.Alive() {
		t.Errorf("URL %q, alive: %v", p.URL, p.Alive())
	}
	if code := p.Stop(); code != 3 || p.Alive() {
		t.Errorf("exit %d, alive: %v", code, p.Alive())
	}
	mu.Lock()
	defer mu.Unlock()
	if len(heard) != 2 || heard[0] != "one" || p.Said.String() != strings.Join(heard, "\n") {
		t.Errorf("heard %q, said %q", heard, p.Said)
	}
	p.Kill() // of one that has ended
}

func TestKillsWhatIsStopped(t *testing.T) {
	p, err := process.Start(t.Context(), shell("echo listening on x >&2; exec sleep 1000"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if p.Kill(); p.Alive() {
		t.Error("it lives")
	}
}

func TestStartGivesUp(t *testing.T) {
	_, err := process.Start(t.Context(), shell("echo no key >&2; exit 2"), nil)
	if !process.IsEnded(err) || !strings.Contains(err.Error(), "exit 2: no key") {
		t.Errorf("a server that ends: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cmd := shell("exec sleep 1000")
	if _, err := process.Start(ctx, cmd, nil); err == nil || process.IsEnded(err) || cmd.ProcessState == nil {
		t.Errorf("a server that says nothing: %v, %v", err, cmd.ProcessState)
	}
	if _, err := process.Start(t.Context(), exec.Command("/no/such/program"), nil); err == nil || process.IsEnded(err) {
		t.Errorf("no program: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := process.Launch(shell("exec sleep 1000"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := p.Answers(t.Context(), l.Addr().String()); err != nil {
		t.Error(err)
	}
	p.Kill()
	if err := p.Answers(t.Context(), l.Addr().String()); !process.IsEnded(err) {
		t.Errorf("somebody else answers: %v", err)
	}
}

func TestRun(t *testing.T) {
	r, err := process.Run(shell("echo out; echo err >&2; exit 7"))
	if want := (process.Result{Code: 7, Stdout: "out\n", Stderr: "err\n"}); err != nil || r != want {
		t.Errorf("%+v, %v; want %+v", r, err, want)
	}
	if _, err := process.Run(exec.Command("/no/such/program")); err == nil {
		t.Error("ran what is not there")
	}
	if out, err := process.Output(t.Context(), "echo", "a", "b"); err != nil || out != "a b" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := process.Output(t.Context(), "sh", "-c", "echo out; echo why >&2; exit 1"); out != "out" || err == nil || !strings.Contains(err.Error(), "exit 1: why") {
		t.Errorf("a program that fails: %q, %v", out, err)
	}
}
