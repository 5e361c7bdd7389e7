package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/proofs"
)

// served is a witness that serves.
type served struct {
	*process.Process
	host string
}

// starter makes a witness that knows some logs in a directory, and starts it.
type starter func(ctx context.Context, dir string, chains []*chain, flags ...string) (*served, error)

// listOf returns the list of logs that a witness imports.
func listOf(chains []*chain) []byte {
	list := []byte("logs/v0\n")
	for _, c := range chains {
		list = fmt.Appendf(list, "vkey %v\nqpd 100000000000\ncontact nobody\n", c.signer.Key())
	}
	return list
}

func tuflog(program string, mldsa bool) starter {
	return func(ctx context.Context, dir string, chains []*chain, flags ...string) (*served, error) {
		file := filepath.Join(dir, "logs.txt")
		if err := os.WriteFile(file, listOf(chains), 0o600); err != nil {
			return nil, err
		}
		state := filepath.Join(dir, "w")
		var only []string
		if !mldsa {
			only = []string{"--only", "ed25519"}
		}
		for _, args := range [][]string{
			append([]string{"init", "--dir", state, "--name", "witness.example/load"}, only...),
			{"log", "import", "--dir", state, file},
		} {
			if _, err := process.Output(ctx, program, args...); err != nil {
				return nil, err
			}
		}
		p, err := process.Start(ctx, exec.Command(program, append([]string{"serve", "--dir", state, "--listen", "127.0.0.1:0", "--max-per-log", "0", "--max-per-address", "0"}, flags...)...), nil)
		if err != nil {
			return nil, err
		}
		return &served{p, strings.TrimPrefix(p.URL, "http://")}, nil
	}
}

func omniwitness(program string) starter {
	return func(ctx context.Context, dir string, chains []*chain, _ ...string) (*served, error) {
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
		p, err := process.Launch(exec.Command(program, "--listen", host, "--metrics_listen", "", "--db_file", filepath.Join(dir, "db"),
			"--private_key_path", filepath.Join(dir, "key"), "--additional_logs", filepath.Join(dir, "logs.yaml")), nil)
		if err != nil {
			return nil, err
		}
		if err := p.Answers(ctx, host); err != nil {
			p.Kill()
			return nil, err
		}
		return &served{p, host}, nil
	}
}
