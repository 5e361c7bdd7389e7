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

// PostgreSQL fails over, while the front ends run, to a replica that lacks the last
// releases: nothing new is signed, neither by those who know what they have served nor
// by those who have forgotten it, and when the right one is back nothing is lost.
func TestFailoverToLaggingReplica(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	leader, follower := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	w.submitAt(t, follower, id, v, "1")
	if err := w.postgres.Backup(t.Context(), "replica"); err != nil {
		t.Fatal(err)
	}
	old := w.signed(t)
	for n := range 3 {
		w.submitAt(t, leader, id, v, fmt.Sprint("only the primary has it ", n))
	}
	newest := w.signed(t)
	for _, s := range w.fronts {
		runtest.Eventually(t, "it serves the newest", func() bool { return w.serves(t, s) == newest })
	}
	if err := w.postgres.Replace(t.Context(), "replica", "primary"); err != nil {
		t.Fatal(err)
	}
	stays := func(what string) {
		t.Helper()
		other := newVendor(t)
		_, root := other.File("root")
		for _, s := range w.fronts {
			if res, err := w.registrar(t, s).Register(withTimeout(t, 2*time.Second), root); err == nil && res.Done {
				t.Errorf("%s: %s acknowledges a submission", what, s.URL)
			}
		}
		if now := w.signed(t); now != old {
			t.Errorf("%s: %v was signed after %v", what, now, old)
		}
	}
	for _, s := range w.fronts {
		unready(t, s, "contradicts", "this front end has served a checkpoint of size 5")
	}
	stays("running")
	for _, s := range w.fronts {
		if got := w.serves(t, s); got != newest {
			t.Errorf("%s serves %v, and had served %v", s.URL, got, newest)
		}
	}
	if st := w.statusOf(t, 1); st.Code != log.HaltStorageBehind || st.FrontEnd.Size != 5 || len(st.Ahead) != 3 || st.Ahead[0].Says != 5 || st.Ahead[0].Shows.Root != st.FrontEnd.Root {
		t.Errorf("status: %+v", st)
	}
	// Those who are started again know what they have served, and serve it on.
	for _, s := range w.fronts {
		s.End(t, syscall.SIGKILL)
	}
	for _, s := range w.fronts {
		s.Start(t)
		unready(t, s, "contradicts", "this front end has served a checkpoint of size 5")
		if got := w.serves(t, s); got != newest {
			t.Errorf("started again, %s serves %v, and had served %v", s.URL, got, newest)
		}
	}
	stays("started again")
	// Without that, the witnesses know.
	for i, s := range w.fronts {
		s.End(t, syscall.SIGKILL)
		if err := os.Remove(filepath.Join(w.Path([]string{"log", "log2"}[i]), "served")); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range w.fronts {
		s.Start(t)
	}
	for _, s := range w.fronts {
		unready(t, s, "a witness shows a checkpoint of size 5")
	}
	stays("without what they have served")
	if stdout, _, code := w.tool(t, "status"); code != 1 || strings.Count(stdout, "says that it has cosigned size 5, and shows size 5") != 3 || !strings.Contains(stdout, "(storage-behind)") {
		t.Errorf("status without what they have served: exit %d\n%s", code, stdout)
	}

	for _, s := range w.fronts {
		s.End(t, syscall.SIGKILL)
	}
	// One that has heard nothing since, as from a directory of the same date, asks.
	heard, err := client.ReadHealth(w.Path("log") + "/witnesses.json")
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
	w.Write(t, "log/witnesses.json", string(b))
	if st := w.statusOf(t, 1); st.Code != log.HaltStorageBehind || len(st.Ahead) != 3 || st.Ahead[0].Says != 5 {
		t.Errorf("status from where nothing was heard since: %+v", st)
	}
	if err := w.postgres.Replace(t.Context(), "primary", "replica"); err != nil {
		t.Fatal(err)
	}
	for _, s := range w.fronts {
		s.Start(t)
	}
	if index := w.submitAt(t, follower, id, v, "afterwards"); index != newest.N {
		t.Errorf("the next release is at %d", index)
	}
	w.same(t, id, newest.N)
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
