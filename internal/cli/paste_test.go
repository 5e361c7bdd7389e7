package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/lockfile"
)

func TestPasteable(t *testing.T) {
	run := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "prog"}
	group := &cobra.Command{Use: "key"}
	add, status := &cobra.Command{Use: "add", RunE: run}, &cobra.Command{Use: "status", RunE: run}
	resume := &cobra.Command{Use: "resume", RunE: run}
	group.AddCommand(add)
	root.AddCommand(group, status, resume)
	for _, c := range []*cobra.Command{add, status, resume} {
		c.Flags().String("dir", "", "")
		c.Flags().String("config", "", "")
		c.Flags().String("i-know", "", "")
	}
	status.Flags().String("ledger", "", "")
	resume.Flags().String("ledger", "", "")
	text := func(given map[string]string, marked ...string) string {
		t.Helper()
		for name, value := range given {
			if err := status.Flags().Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range marked {
			SetFromConfig(status.Flags().Lookup(name))
		}
		return Pasteable(status, "Run prog resume --i-know it, see prog key add or prog key; prog statuses. prog status --dir x is whole, prog status (process 7) runs, prog resume")
	}
	if got, want := text(nil), "Run prog resume --i-know it, see prog key add or prog key; prog statuses. prog status --dir x is whole, prog status (process 7) runs, prog resume"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := text(map[string]string{"dir": "./my log", "ledger": "/l", "i-know": "x"}), "Run prog resume --dir './my log' --ledger /l --i-know it, see prog key add --dir './my log' or prog key; prog statuses. prog status --dir x is whole, prog status (process 7) runs, prog resume --dir './my log' --ledger /l"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := text(map[string]string{"config": "/etc/c"}, "ledger"), "Run prog resume --config /etc/c --dir './my log' --i-know it, see prog key add --config /etc/c --dir './my log' or prog key; prog statuses. prog status --dir x is whole, prog status (process 7) runs, prog resume --config /etc/c --dir './my log'"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type sqliteError int

func (e sqliteError) Error() string { return "database" }

func (e sqliteError) Code() int { return int(e) }

func TestPassing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, inUse := net.Listen("tcp", listener.Addr().String())
	_, notHere := net.Listen("tcp", "192.0.2.1:0")
	lock := filepath.Join(t.TempDir(), "lock")
	held, err := lockfile.Acquire(lock, "")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	_, locked := lockfile.Acquire(lock, "")
	_, refused := net.Dial("tcp", "127.0.0.1:1")
	for name, tt := range map[string]struct {
		err  error
		pass bool
	}{
		"address in use":       {inUse, true},
		"address not there":    {notHere, true},
		"locked":               {locked, true},
		"connection refused":   {refused, true},
		"full disk":            {fmt.Errorf("open log: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), true},
		"full disk, SQLite":    {fmt.Errorf("open: %w", sqliteError(13)), true},
		"damaged, SQLite":      {fmt.Errorf("open: %w", sqliteError(11)), false},
		"file that is missing": {&os.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, false},
		"no permission":        {&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, false},
		"another":              {errors.New("the ledger is of another log"), false},
	} {
		var f failure
		if got := Passing(tt.err); tt.err == nil || errors.As(got, &f) != tt.pass || !errors.Is(got, tt.err) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Passing(nil) != nil {
		t.Error("nothing is wrong, and fails")
	}
	for addr, good := range map[string]bool{"127.0.0.1:7370": true, ":0": true, "[::1]:http": true, "localhost:80": true, "7370": false, "127.0.0.1": false, "http://127.0.0.1:80": false, "127.0.0.1:70000": false, "127.0.0.1:7370 # local": false} {
		if err := CheckListen("listen", addr); (err == nil) != good {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
