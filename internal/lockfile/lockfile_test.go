package lockfile

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes the test program one that holds a lock until its stdin ends.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOCKFILE_TEST_HOLD"); path != "" {
		if _, err := Acquire(path, os.Getenv("LOCKFILE_TEST_PROGRAM")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	os.Exit(m.Run())
}

// hold starts another process that has the lock.
func hold(t *testing.T, path, program string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOCKFILE_TEST_HOLD="+path, "LOCKFILE_TEST_PROGRAM="+program)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return cmd
}

func TestAcquireNamesTheHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	other := hold(t, path, "logserver serve")
	_, err := Acquire(path, "logserver fsck")
	var held *HeldError
	if !errors.As(err, &held) || !errors.Is(err, ErrHeld) || held.PID != other.Process.Pid || held.Program != "logserver serve" || held.Host != "" {
		t.Fatalf("a lock that another process has: %v", err)
	}
	if want := fmt.Sprintf("lock: %s: in use by logserver serve (process %d)", path, other.Process.Pid); err.Error() != want {
		t.Fatalf("error %q, want %q", err, want)
	}
	// A killed process holds nothing, and its name does not stay.
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	l, err := Acquire(path, "logserver fsck")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Acquire(path, "another"); !errors.As(err, &held) || held.PID != os.Getpid() || held.Program != "logserver fsck" {
		t.Fatalf("a lock that this process has: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 0 {
		t.Fatalf("a lock that was released names %q, %v", b, err)
	}
}

func TestHolderThatTheFileDoesNotName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Acquire(path, "updater refresh")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	host, _ := os.Hostname()
	gone := exec.Command(os.Args[0], "-test.run=^$")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"nothing":         "",
		"not whole":       fmt.Sprintf("%d %s updater", os.Getpid(), host),
		"no program":      fmt.Sprintf("%d %s \n", os.Getpid(), host),
		"no process":      fmt.Sprintf("none %s updater\n", host),
		"a process group": fmt.Sprintf("-1 %s updater\n", host),
		"escapes":         fmt.Sprintf("%d %s \x1b[2Jupdater\n", os.Getpid(), host),
		"too long":        fmt.Sprintf("%d %s %s\n", os.Getpid(), host, strings.Repeat("x", maxHolder)),
		"one that ended":  fmt.Sprintf("%d %s updater\n", gone.Process.Pid, host),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var held *HeldError
		if _, err := Acquire(path, ""); !errors.As(err, &held) || held.Program != "" || err.Error() != "lock: "+path+": in use by another process" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, []byte("7 pod-2 logserver serve\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(path, ""); err == nil || !strings.Contains(err.Error(), "in use by logserver serve (process 7 on pod-2)") {
		t.Errorf("another container's: %v", err)
	}
}

func TestWaitWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Acquire(path, "")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		l, err := Wait(path, "second")
		if err == nil {
			err = l.Release()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("two have one lock: %v", err)
	default:
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

func TestAcquireWhereNothingCanBe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "lock")
	if _, err := Acquire(path, ""); !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrHeld) {
		t.Fatalf("no directory: %v", err)
	}
}

// In another's directory a lock must not lead to a file elsewhere.
func TestSymbolicLinkIsNoLock(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "lock")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Skip(err)
	}
	if l, err := Acquire(path, ""); err == nil {
		_ = l.Release()
		t.Error("a symbolic link is a lock")
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("the file that it leads to has %q, %v", b, err)
	}
}

func TestStarted(t *testing.T) {
	for want, args := range map[string][]string{
		"logserver serve":   {"/usr/bin/logserver", "serve", "--dir", "x"},
		"witness log add":   {"witness", "log", "add", "secret"},
		"updater":           {"updater", "--metadata-dir", "d", "refresh"},
		"another program":   {},
		"auditor replay":    {"auditor", "replay", "http://u:p@x"},
		"logserver key add": {"logserver", "key", "add", "--dir=d"},
	} {
		if got := started(args); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}
