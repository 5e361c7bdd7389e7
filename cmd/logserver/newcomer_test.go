package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/internal/runtest"
)

// What newcomers do wrong is said so that they can put it right.
func TestNewcomersMistakes(t *testing.T) {
	dir := t.TempDir()
	l := filepath.Join(dir, "l")
	refuses := func(want string, args ...string) {
		t.Helper()
		stdout, stderr, code := runtest.Run(t, "logserver", args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d, %s%s; want exit 2 and %q", args, code, stdout, stderr, want)
		}
	}
	refuses("leave out the scheme: log.example", "init", "--dir", l, "--origin", "https://log.example")
	refuses("see logserver init --help", "init", "--dir", l)
	for _, command := range []string{"status", "fsck"} {
		refuses("no log in "+l, command, "--dir", l)
	}
	refuses("no log in "+l, "key", "list", "--dir", l)
	runtest.Must(t, "logserver", "init", "--dir", l, "--origin", "log.example")
	refuses("there is a ledger at "+l+".ledger/ledger: move it away", "resume", "--dir", l, "--i-know", "ledger-lost")
	if err := os.Remove(l + ".ledger/ledger"); err != nil {
		t.Fatal(err)
	}
	refuses("no checkpoint was published here", "resume", "--dir", l, "--i-know", "ledger-lost")
}

// A user who may not read the ledger does not hear that it is lost.
func TestStatusWithoutPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	l := filepath.Join(t.TempDir(), "l")
	runtest.Must(t, "logserver", "init", "--dir", l, "--origin", "log.example")
	if err := os.Chmod(l+".ledger", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(l+".ledger", 0o700) })
	stdout, stderr, code := runtest.Run(t, "logserver", "status", "--dir", l)
	if code != 2 || stdout != "" || !strings.Contains(stderr, "permission denied") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
}

// A witness's URL without its scheme is found at the start.
func TestWitnessURLWithoutScheme(t *testing.T) {
	dir := t.TempDir()
	l := filepath.Join(dir, "l")
	vkey := runtest.Must(t, "logserver", "init", "--dir", l, "--origin", "log.example")
	witness := runtest.Must(t, "witness", "init", "--dir", filepath.Join(dir, "w"), "--name", "w.example")
	policy := write(t, "policy", "log "+vkey+"\nwitness w "+witness+" 127.0.0.1:7380\nquorum w\n", 0o600)
	_, stderr, code := runtest.Run(t, "logserver", "serve", "--dir", l, "--policy", policy, "--listen", "127.0.0.1:0")
	if want := `witness w: "127.0.0.1:7380" is not an http or https URL`; code != 2 || !strings.Contains(stderr, want) {
		t.Errorf("exit %d, %s; want exit 2 and %q", code, stderr, want)
	}
}
