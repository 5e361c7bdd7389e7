// Package runtest is for tests that run tuflog's programs as processes: it builds
// them, runs them to their end, keeps servers running beside a test, and makes a
// log with its witnesses.
package runtest

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
)

// Main is the TestMain of tests that run programs: it removes what was built.
func Main(m *testing.M) {
	code := m.Run()
	if err := built.remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Programs returns a folder that has the named programs, built from the source as it
// is; see process.Build for the names. TestMain must be Main.
func Programs(t testing.TB, names ...string) string {
	t.Helper()
	dir, err := built.build(names...)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Command is a command that runs a program until the test's end.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), filepath.Join(Programs(t, name), path.Base(name)), args...)
}

// Run runs a program to its end.
func Run(t testing.TB, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	r, err := process.Run(Command(t, name, args...))
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return r.Stdout, r.Stderr, r.Code
}

// Must runs a program that has to succeed, and returns what it printed on stdout
// without the line's end.
func Must(t testing.TB, name string, args ...string) string {
	t.Helper()
	stdout, stderr, code := Run(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit %d\n%s%s", name, strings.Join(args, " "), code, stdout, stderr)
	}
	return strings.TrimSuffix(stdout, "\n")
}

// Eventually polls until what is true, and fails the test after process.Patience.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	if err := process.Eventually(t.Context(), what, process.Patience, is); err != nil {
		t.Fatal(err)
	}
}
