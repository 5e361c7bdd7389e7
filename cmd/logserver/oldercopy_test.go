package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// unready waits until a front end is not ready and says so in one of these words.
func unready(t *testing.T, s *runtest.Service, words ...string) (said string) {
	t.Helper()
	runtest.Eventually(t, "/readyz says "+strings.Join(words, " or "), func() bool {
		status, body := get(t, s.URL+"/readyz")
		said = string(body)
		for _, w := range words {
			if status == 503 && strings.Contains(said, w) {
				return true
			}
		}
		return false
	})
	return said
}

// signed is the tree that the ledger in the database says was signed last.
func (w *sharedWorld) signed(t *testing.T) proofs.Tree {
	t.Helper()
	text, err := w.postgres.Exec(t.Context(), "tuflog", "SELECT encode(record, 'escape') FROM ledger")
	if err != nil {
		t.Fatal(err)
	}
	// psql has cut the newline at the end.
	rec, err := log.ParseLedgerRecord([]byte(strings.TrimSpace(strings.ReplaceAll(text, `\342\200\224`, "—")) + "\n"))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return rec.Edge.Tree()
}

// lagging is a log whose database failed over to a replica of an older date.
type lagging struct {
	*sharedWorld
	old, newest proofs.Tree // that were signed, as the replica and the primary know
}

// PostgreSQL fails over, while the front ends run, to a replica that lacks the last
// releases: nothing new is signed, neither by front ends that know what they have served
// nor by those that have forgotten it, and when the right one is back nothing is lost.
func TestFailoverToLaggingReplica(t *testing.T) {
	t.Parallel()
	l := &lagging{sharedWorld: newSharedWorld(t)}
	leader, follower := l.leads(t)
	v := newVendor(t)
	id := l.registerAt(t, leader, v)
	l.submitAt(t, follower, id, v, "1")
	if err := l.postgres.Backup(t.Context(), "replica"); err != nil {
		t.Fatal(err)
	}
	l.old = l.signed(t)
	for n := range 3 {
		l.submitAt(t, leader, id, v, fmt.Sprint("only the primary has it ", n))
	}
	l.newest = l.signed(t)
	for _, s := range l.fronts {
		runtest.Eventually(t, "it serves the newest", func() bool { return l.serves(t, s) == l.newest })
	}
	if err := l.postgres.Replace(t.Context(), "replica", "primary"); err != nil {
		t.Fatal(err)
	}
	l.running(t)
	l.startedAgain(t)
	l.forgotten(t)
	for _, s := range l.fronts {
		s.End(t, syscall.SIGKILL)
	}
	l.nothingHeard(t)
	if err := l.postgres.Replace(t.Context(), "primary", "replica"); err != nil {
		t.Fatal(err)
	}
	for _, s := range l.fronts {
		s.Start(t)
	}
	if index := l.submitAt(t, follower, id, v, "afterwards"); index != l.newest.N {
		t.Errorf("the next release is at %d", index)
	}
	l.same(t, id, l.newest.N)
}

// stays checks that nothing is acknowledged or signed.
func (l *lagging) stays(t *testing.T, what string) {
	t.Helper()
	other := newVendor(t)
	_, root := other.File("root")
	for _, s := range l.fronts {
		if res, err := l.registrar(t, s).Register(withTimeout(t, 2*time.Second), root); err == nil && res.Done {
			t.Errorf("%s: %s acknowledges a submission", what, s.URL)
		}
	}
	if now := l.signed(t); now != l.old {
		t.Errorf("%s: %v was signed after %v", what, now, l.old)
	}
}

// running looks at front ends that have run through the failover.
func (l *lagging) running(t *testing.T) {
	t.Helper()
	for _, s := range l.fronts {
		unready(t, s, "contradicts", "this front end has served a checkpoint of size 5")
	}
	l.stays(t, "running")
	for _, s := range l.fronts {
		if got := l.serves(t, s); got != l.newest {
			t.Errorf("%s serves %v, and had served %v", s.URL, got, l.newest)
		}
	}
	if st := l.statusOf(t, 1); st.Code != log.HaltStorageBehind || st.FrontEnd.Size != 5 || len(st.Ahead) != 3 || st.Ahead[0].Says != 5 || st.Ahead[0].Shows.Root != st.FrontEnd.Root {
		t.Errorf("status: %+v", st)
	}
}

// startedAgain starts front ends again: they know what they have served, and serve it on.
func (l *lagging) startedAgain(t *testing.T) {
	t.Helper()
	for _, s := range l.fronts {
		s.End(t, syscall.SIGKILL)
	}
	for _, s := range l.fronts {
		s.Start(t)
		unready(t, s, "contradicts", "this front end has served a checkpoint of size 5")
		if got := l.serves(t, s); got != l.newest {
			t.Errorf("started again, %s serves %v, and had served %v", s.URL, got, l.newest)
		}
	}
	l.stays(t, "started again")
}

// forgotten removes what they know of that: then the witnesses know.
func (l *lagging) forgotten(t *testing.T) {
	t.Helper()
	for i, s := range l.fronts {
		s.End(t, syscall.SIGKILL)
		if err := os.Remove(filepath.Join(l.Path([]string{"log", "log2"}[i]), "served")); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range l.fronts {
		s.Start(t)
	}
	for _, s := range l.fronts {
		unready(t, s, "a witness shows a checkpoint of size 5")
	}
	l.stays(t, "without what they have served")
	if stdout, _, code := l.tool(t, "status"); code != 1 || strings.Count(stdout, "says that it has cosigned size 5, and shows size 5") != 3 || !strings.Contains(stdout, "(storage-behind)") {
		t.Errorf("status without what they have served: exit %d\n%s", code, stdout)
	}
}

// nothingHeard asks for the status where nothing was heard of witnesses since, as from a
// directory of the same date: then they are asked.
func (l *lagging) nothingHeard(t *testing.T) {
	t.Helper()
	heard, err := client.ReadHealth(l.Path("log") + "/witnesses.json")
	if err != nil {
		t.Fatal(err)
	}
	for i := range heard {
		heard[i].Size, heard[i].Error = 1, ""
	}
	b, err := json.Marshal(heard)
	if err != nil {
		t.Fatal(err)
	}
	l.Write(t, "log/witnesses.json", string(b))
	if st := l.statusOf(t, 1); st.Code != log.HaltStorageBehind || len(st.Ahead) != 3 || st.Ahead[0].Says != 5 {
		t.Errorf("status from where nothing was heard since: %+v", st)
	}
}

// serves is the tree of the checkpoint that a front end serves.
func (w *sharedWorld) serves(t *testing.T, s *runtest.Service) proofs.Tree {
	t.Helper()
	_, body := get(t, s.URL+"/checkpoint")
	cp, err := w.Policy.OpenCheckpoint(body)
	if err != nil {
		return proofs.Tree{}
	}
	return cp.Tree
}
