package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// process is a witness that serves.
type process struct {
	cmd    *exec.Cmd
	host   string
	exited chan error
}

// starter makes a witness that knows some logs in a directory, and starts it.
type starter func(ctx context.Context, dir string, chains []*chain) (*process, error)

func build(ctx context.Context, program string, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/tuflog/tuflog/cmd/witness")
	cmd.Stdout, cmd.Stderr = stderr, stderr
	return cmd.Run()
}

func tuflog(program string, mldsa bool) starter {
	return func(ctx context.Context, dir string, chains []*chain) (*process, error) {
		var list strings.Builder
		list.WriteString("logs/v0\n")
		for _, c := range chains {
			fmt.Fprintf(&list, "vkey %v\nqpd 100000000000\ncontact nobody\n", c.signer.Key())
		}
		file := filepath.Join(dir, "logs.txt")
		if err := os.WriteFile(file, []byte(list.String()), 0o600); err != nil {
			return nil, err
		}
		state := filepath.Join(dir, "w")
		for _, args := range [][]string{
			{"init", "--dir", state, "--name", "witness.example/load", fmt.Sprintf("--ml-dsa=%t", mldsa)},
			{"log", "import", "--dir", state, file},
		} {
			if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%v: %w: %s", args, err, out)
			}
		}
		cmd := exec.CommandContext(ctx, program, "serve", "--dir", state, "--listen", "127.0.0.1:0", "--max-per-log", "0", "--max-per-address", "0")
		return startProcess(cmd, func(line string) (string, bool) {
			return strings.CutPrefix(line, "listening on http://")
		})
	}
}

func omniwitness(program string) starter {
	return func(ctx context.Context, dir string, chains []*chain) (*process, error) {
		var logs strings.Builder
		logs.WriteString("Logs:\n")
		for _, c := range chains {
			fmt.Fprintf(&logs, "  - Origin: %s\n    PublicKey: %v\n    URL: http://127.0.0.1:1/\n", c.origin, c.signer.Key())
		}
		key, err := proofs.GenerateSigner(nil, "witness.example/load", proofs.Ed25519)
		if err != nil {
			return nil, err
		}
		for name, content := range map[string]string{"logs.yaml": logs.String(), "key": key.PrivateKey()} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				return nil, err
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0") // it cannot pick a port itself
		if err != nil {
			return nil, err
		}
		host := l.Addr().String()
		if err := l.Close(); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, program, "--listen", host, "--metrics_listen", "", "--db_file", filepath.Join(dir, "db"),
			"--private_key_path", filepath.Join(dir, "key"), "--additional_logs", filepath.Join(dir, "logs.yaml"))
		p, err := startProcess(cmd, func(string) (string, bool) { return host, true })
		if err != nil {
			return nil, err
		}
		return p, waitFor(ctx, host)
	}
}

// startProcess starts a witness and reads its stderr until a line tells where it
// listens.
func startProcess(cmd *exec.Cmd, listens func(line string) (host string, ok bool)) (*process, error) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan error, 1)}
	r := bufio.NewReader(stderr)
	var seen strings.Builder
	for {
		line, err := r.ReadString('\n')
		seen.WriteString(line)
		if host, ok := listens(strings.TrimSpace(line)); ok {
			p.host = host
			break
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s ended: %s", cmd.Path, seen.String()), cmd.Wait())
		}
	}
	go func() {
		_, err := io.Copy(io.Discard, r)
		p.exited <- errors.Join(err, cmd.Wait())
	}()
	return p, nil
}

// waitFor waits until something listens.
func waitFor(ctx context.Context, host string) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", host)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return errors.Join(err, ctx.Err())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends the process, gently at first.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited: // killed by the signal, or well: either will do
	case <-time.After(15 * time.Second):
		return errors.Join(errors.New("the witness did not stop"), p.cmd.Process.Kill(), <-p.exited)
	}
	return nil
}
