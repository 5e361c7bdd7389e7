package state_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/lockfile"
)

// Other processes of a test are this program, with what they are to do in the environment.
const roleName, dirName = "STATE_TEST_ROLE", "STATE_TEST_DIR"

func known(n int) state.Finding {
	return state.Finding{Sum: sum(n), Kind: "kind", Class: "class", Repository: sum(1), Leaf: -1, Body: []byte("{}")}
}

const knownFindings = 20

// TestOtherProcess is what other processes do. It is not a test by itself.
func TestOtherProcess(t *testing.T) {
	dir := os.Getenv(dirName)
	switch os.Getenv(roleName) {
	default:
		t.Skip("no process of a test has started it")
	case "writes":
		// It writes as a replay does: transactions without a pause.
		db := open(t, dir)
		for i := int64(0); ; i++ {
			fill(t, db, db.Size()+5)
			must(t, db.SetVerified(t.Context(), newestNote(t, db)))
			must(t, db.PutFinding(t.Context(), known(int(i%knownFindings)), time.Unix(i, 0)))
			time.Sleep(5 * time.Millisecond) // in the transaction
			must(t, db.Commit(t.Context()))
			fmt.Println("commit", i)
		}
	case "acknowledges":
		for i := 0; ; i++ {
			_, err := state.Acknowledge(t.Context(), dir, []string{sum(i % knownFindings).String()}, fmt.Sprint("again ", i), time.Unix(1, 0))
			must(t, err)
			fmt.Println("acknowledged", i)
		}
	}
}

// other starts a process, and waits until it has said something a number of times. kill ends
// it.
func other(t *testing.T, role, dir string, said int) (kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOtherProcess$", "-test.v")
	cmd.Env = append(os.Environ(), roleName+"="+role, dirName+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	ready, ended := make(chan bool), make(chan bool)
	kill = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	t.Cleanup(kill)
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "commit ") || strings.HasPrefix(lines.Text(), "acknowledged ") {
				if n++; n == said {
					close(ready)
				}
			} else if strings.Contains(lines.Text(), "FAIL") || strings.Contains(lines.Text(), "_test.go") {
				t.Error(role, ": ", lines.Text())
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal(role, ": nothing happens")
	}
	return kill
}

func withFindings(t *testing.T, dir string) {
	t.Helper()
	db, err := state.Open(t.Context(), dir)
	must(t, err)
	fill(t, db, 5)
	must(t, db.SetVerified(t.Context(), newestNote(t, db)))
	for i := range knownFindings {
		must(t, db.PutFinding(t.Context(), known(i), time.Unix(1, 0)))
	}
	must(t, db.Commit(t.Context()))
	must(t, db.Close())
}

// Findings are acknowledged, and read, while another process writes without a pause, and
// nothing is lost when it is killed.
func TestAcknowledgeBesideWriter(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	if _, err := state.Acknowledge(ctx, dir, []string{sum(1).String()}, "why", time.Unix(1, 0)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no state: %v", err)
	}
	withFindings(t, dir)
	kill := other(t, "writes", dir, 2)
	if _, err := state.Open(ctx, dir); !errors.Is(err, lockfile.ErrHeld) {
		t.Fatalf("two processes have the directory: %v", err)
	}
	var ids []string
	for i := range knownFindings {
		ids = append(ids, sum(i).String())
	}
	// All or none.
	if _, err := state.Acknowledge(ctx, dir, append(slices.Clone(ids), strings.Repeat("0", 12)), "no", time.Unix(2, 0)); !errors.Is(err, state.ErrUnknownFinding) {
		t.Errorf("an unknown finding: %v", err)
	}
	for i := range 5 {
		found, err := state.Acknowledge(ctx, dir, ids[i:i+1], fmt.Sprint("reason ", i), time.Unix(3, 0))
		if err != nil || len(found) != 1 || found[0].Reason != fmt.Sprint("reason ", i) {
			t.Fatalf("%+v, %v", found, err)
		}
	}
	found, err := state.Acknowledge(ctx, dir, ids[5:], "the rest", time.Unix(4, 0))
	if err != nil || len(found) != knownFindings-5 {
		t.Fatalf("%d, %v", len(found), err)
	}
	check := func(r *state.Reader) error {
		for i := range knownFindings {
			f, ok, err := r.Finding(ctx, sum(i))
			want := "the rest"
			if i < 5 {
				want = fmt.Sprint("reason ", i)
			}
			if err != nil || !ok || f.Reason != want || f.Status() != state.StatusAcknowledged {
				t.Errorf("finding %d: %+v, %v, want %s", i, f, err, want)
			}
		}
		return nil
	}
	view, err := state.OpenView(ctx, dir)
	must(t, err)
	defer view.Close()
	must(t, view.At(ctx, check))
	kill()
	must(t, view.At(ctx, check))
	db := open(t, dir)
	must(t, check(&db.Reader))
	if c, err := db.Check(ctx, nil); err != nil || c.Leaves < 10 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Processes that acknowledge, and are killed, do not stop one that writes, nor take its log
// away, also when it opens and closes views of what it writes.
func TestWriterBesideAcknowledge(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts and kills four processes")
	}
	ctx := t.Context()
	dir := t.TempDir()
	withFindings(t, dir)
	db, err := state.Open(ctx, dir)
	must(t, err)
	write := func() {
		fill(t, db, db.Size()+5)
		must(t, db.SetVerified(ctx, newestNote(t, db)))
		must(t, db.PutFinding(ctx, known(int(db.Size()%knownFindings)), time.Unix(5, 0)))
		must(t, db.Commit(ctx))
		view, err := state.OpenView(ctx, dir)
		must(t, err)
		if n := sizeAt(t, view); n != db.Size() {
			t.Errorf("a view has %d leaves of %d", n, db.Size())
		}
		must(t, view.Close())
	}
	for range 4 {
		write()
		kill := other(t, "acknowledges", dir, 3)
		for range 10 {
			write()
		}
		kill()
		write()
	}
	_, err = state.Acknowledge(ctx, dir, []string{sum(3).String()}, "at last", time.Unix(6, 0))
	must(t, err)
	f, _, err := db.Finding(ctx, sum(3))
	if err != nil || f.Reason != "at last" {
		t.Errorf("the writer does not know: %+v, %v", f, err)
	}
	size := db.Size()
	must(t, db.Close())
	db = open(t, dir)
	if c, err := db.Check(ctx, nil); err != nil || c.Leaves != size {
		t.Errorf("%+v, %v, want %d leaves", c, err, size)
	}
}

// A transaction does not begin while rows are read: what was read may be old by then.
func TestNoLateTransaction(t *testing.T) {
	ctx := t.Context()
	db := open(t, t.TempDir())
	fill(t, db, 20)
	must(t, db.Commit(ctx))
	err := db.Leaves(ctx, 0, 20, func(l state.Leaf) error { return db.SetFact(ctx, l.Repository, "name", nil) })
	if err == nil || !strings.Contains(err.Error(), "while rows are read") {
		t.Errorf("%v", err)
	}
	must(t, db.SetFact(ctx, sum(0), "name", nil))
	must(t, db.Leaves(ctx, 0, 20, func(l state.Leaf) error { return db.SetFact(ctx, sum(0), fmt.Sprint(l.Index), nil) }))
	must(t, db.Commit(ctx))
}
