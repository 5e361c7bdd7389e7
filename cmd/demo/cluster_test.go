package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/trillianserver"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
)

// oneCluster is held by the test that runs PostgreSQL, Trillian and all the rest: a
// front end that takes over within 5 s cannot share two cores with three more.
var oneCluster sync.Mutex

// needTrillian skips the test where there is no PostgreSQL, and builds Trillian so
// that the demo finds it. Until the end of the test no other gets here.
func needTrillian(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PostgreSQL and Trillian")
	}
	if _, err := postgresserver.Find(); err != nil {
		t.Skip(err)
	}
	oneCluster.Lock()
	t.Cleanup(oneCluster.Unlock)
	if _, err := trillianserver.Build(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
}

// checkTakeOver checks that the transcript tells how a front end was killed.
func checkTakeOver(t *testing.T, out string, entries int) {
	t.Helper()
	told := strings.Join(strings.Fields(out), " ") // where lines break depends on how long things take
	for _, want := range []string{
		`SIGKILL for front end [12], which leads:? front end [12] leads`,
		`releases firmware 2\.3 through it`,
		`start front end [12] again:? it follows`,
		fmt.Sprintf(`through the front end that was killed:? all %d entries are right`, entries),
		`Everything came out as announced`,
	} {
		if !regexp.MustCompile(want).MatchString(told) {
			t.Errorf("the transcript does not match %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestDemoTrillian(t *testing.T) {
	t.Parallel()
	needTrillian(t)
	code, out, stderr := runDemo(t, "--once", "--bin", built(t), "--storage", "trillian")
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, stderr)
	}
	checkTranscript(t, out)
	checkTakeOver(t, out, 27)
}

func TestDemoTrillianHistory(t *testing.T) {
	t.Parallel()
	needTrillian(t)
	const releases = 20
	history := t.TempDir()
	if err := writeHistory(history, releases); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := runDemo(t, "--once", "--bin", built(t), "--storage", "trillian", "--history", history)
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, stderr)
	}
	const leaves = 4 + 3*releases
	if want := fmt.Sprintf("%d of %d lines agree", leaves, leaves); !strings.Contains(out, want) {
		t.Errorf("the transcript does not say %q", want)
	}
	checkTakeOver(t, out, leaves+6) // a new vendor's: root 1, targets and snapshots 1 and 2, timestamp 2
}

// Where PostgreSQL is missing the demo says so before it does anything.
func TestDemoWithoutPostgreSQL(t *testing.T) {
	if bin, err := postgresserver.Find(); err == nil {
		if os.Geteuid() != 0 || !strings.HasPrefix(bin, "/usr/lib/postgresql/") {
			t.Skip("PostgreSQL is there, and only root could hide it")
		}
	}
	// A mount name space of its own, where the folder is empty.
	demo := filepath.Join(built(t), "demo") + " --once --storage trillian"
	cmd := exec.Command("unshare", "--mount", "sh", "-c", "if [ -d /usr/lib/postgresql ]; then mount -t tmpfs none /usr/lib/postgresql || exit 99; fi; exec "+demo)
	out, err := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	if code == 99 || strings.Contains(string(out), "unshare:") || code < 0 {
		t.Skipf("cannot hide PostgreSQL: %v %s", err, out)
	}
	if code != 2 || !strings.Contains(string(out), "Debian's package postgresql") {
		t.Errorf("exit %d, want 2 and the package to install\n%s", code, out)
	}
}

// The last replay does not pass by itself.
func TestContinues(t *testing.T) {
	entries := func(payloads string) *audited {
		a := new(audited)
		for i, p := range payloads {
			a.Leaves = append(a.Leaves, auditedLeaf{Leaf: api.Leaf{Index: int64(i), Fields: leaf.Fields{Payload: string(p)}}})
		}
		return a
	}
	for _, tt := range []struct {
		now   string
		fresh int
		want  string
	}{
		{"abcd", 2, ""},
		{"abc", 2, "has 3 entries"},
		{"abcde", 2, "has 5 entries"},
		{"axcd", 2, "entry 1 was"},
	} {
		err := continues(entries(tt.now), entries("ab"), tt.fresh)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s after ab, with %d more: %v, want %q", tt.now, tt.fresh, err, tt.want)
		}
	}
}
