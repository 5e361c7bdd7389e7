package alert_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/state"
)

var kills = flag.Int("kills", 10, "how often TestKill kills a process")

// childName is the environment variable that makes this program the process that is killed:
// its folder, the URL of a receiver and the file with the secret.
const childName = "TUFLOG_ALERT_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childName); job != "" {
		if err := child(strings.Split(job, "\n")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// child finds something, tells the desk and goes on, as an auditor does: what it has found is
// in a state before the desk hears of it. With a fourth argument it only delivers the rest.
func child(job []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := state.Open(ctx, filepath.Join(job[0], "state"))
	if err != nil {
		return err
	}
	d, err := alert.Open(ctx, filepath.Join(job[0], "alerts.sqlite"), alert.Config{
		To:       map[string]alert.To{"hook": webhook(job[1], job[2]), "file": {Type: "jsonl", Path: filepath.Join(job[0], "alerts.jsonl")}},
		Collapse: -1,
	})
	if err != nil {
		return err
	}
	follow := func() error { return d.Follow(ctx, "example", "log.example", db) }
	if err := follow(); err != nil {
		return err
	}
	if len(job) > 3 {
		return d.Flush(ctx)
	}
	go d.Run(ctx)
	all, err := audit.KeptFindings(ctx, db, true)
	if err != nil {
		return err
	}
	for n := len(all); ; n++ {
		if err := find(ctx, db, n); err != nil {
			return err
		}
		if n%3 == 2 { // one that was told goes
			if err := lose(ctx, db, n-2); err != nil {
				return err
			}
		}
		if n%5 == 4 { // one comes and goes before anybody is told
			if err := lose(ctx, db, n); err != nil {
				return err
			}
		}
		fmt.Println("found", n)
		if err := follow(); err != nil {
			return err
		}
		fmt.Println("told", n)
	}
}

// find commits finding n to a state.
func find(ctx context.Context, db *state.DB, n int) error {
	f := found(audit.FalseAdmission, fmt.Sprint(n%7), n)
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	err = db.PutFinding(ctx, state.Finding{Sum: f.Digest(), Kind: string(f.Kind), Class: string(f.Class), Repository: f.Repository, Leaf: int64(n), Body: body}, time.Unix(int64(n+1), 0))
	return errors.Join(err, db.Commit(ctx))
}

// lose commits that it is gone.
func lose(ctx context.Context, db *state.DB, n int) error {
	f := found(audit.FalseAdmission, fmt.Sprint(n%7), n)
	err := db.FindingGone(ctx, f.Digest(), time.Unix(int64(n+2), 0))
	return errors.Join(err, db.Commit(ctx))
}

// witness keeps what a receiver is told, and kills who tells it.
type witness struct {
	mu     sync.Mutex
	list   []alert.Event
	victim *os.Process
	before int // it kills before it answers the request with this number
	after  int // or right after
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	var e alert.Event
	if err != nil || json.Unmarshal(body, &e) != nil {
		return // it was killed meanwhile
	}
	if w.before--; w.before == 0 {
		_ = w.victim.Kill()
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.list = append(w.list, e)
	if w.after--; w.after == 0 {
		rw.WriteHeader(http.StatusNoContent)
		_ = http.NewResponseController(rw).Flush()
		_ = w.victim.Kill()
	}
}

// A process that is killed at any moment loses no event and makes none under a second id:
// each receiver is told of each finding that the state has, and of each end.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts eleven processes")
	}
	n := *kills
	base := t.TempDir()
	w := &witness{}
	server := httptest.NewServer(w)
	defer server.Close()
	job := []string{base, server.URL, secretFile(t)}
	random := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range n {
		killedOnce(t, w, job, i, random)
	}
	last := exec.CommandContext(t.Context(), os.Args[0])
	last.Env = append(os.Environ(), childName+"="+strings.Join(append(job, "rest"), "\n"))
	if out, err := last.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	db, err := state.Open(t.Context(), filepath.Join(base, "state"))
	ok(t, err)
	defer db.Close()
	all, err := audit.KeptFindings(t.Context(), db, true)
	ok(t, err)
	lines, err := os.ReadFile(filepath.Join(base, "alerts.jsonl"))
	ok(t, err)
	for name, list := range map[string][]alert.Event{"the receiver": w.list, "the file": events(t, lines)} {
		whole(t, name, list, all)
		t.Logf("%s: %d messages about %d findings, %d kills", name, len(list), len(all), n)
	}
}

// killedOnce starts a process and kills it.
func killedOnce(t *testing.T, w *witness, job []string, i int, random *rand.Rand) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childName+"="+strings.Join(job, "\n"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	w.mu.Lock()
	ok(t, cmd.Start())
	w.victim, w.before, w.after = cmd.Process, -1, -1
	lines := -1
	switch k := 1 + random.IntN(8); i % 3 {
	case 0:
		w.before = k
	case 1:
		w.after = k
	case 2:
		lines = k
	}
	w.mu.Unlock()
	for s := bufio.NewScanner(out); s.Scan(); {
		if lines--; lines == 0 {
			_ = cmd.Process.Kill()
		}
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.ExitCode() != -1 {
		t.Fatalf("the process was not killed: %v", err)
	}
}

// A desk that follows a state tells what came and went while nobody looked, whatever happens
// to the state.
func TestFollow(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	cfg := alert.Config{To: map[string]alert.To{"file": {Type: "jsonl", Path: filepath.Join(base, "lines")}}}
	db, err := state.Open(ctx, filepath.Join(base, "state"))
	ok(t, err)
	step := func(want string, do func()) {
		t.Helper()
		do()
		for range 2 { // the second has nothing to tell
			d, err := alert.Open(ctx, filepath.Join(base, "a.sqlite"), cfg)
			ok(t, err)
			ok(t, d.Follow(ctx, "example", "log.example", db))
			ok(t, d.Follow(ctx, "example", "log.example", db))
			ok(t, d.Flush(ctx))
			ok(t, d.Close())
		}
		b, err := os.ReadFile(filepath.Join(base, "lines"))
		ok(t, err)
		ok(t, os.Truncate(filepath.Join(base, "lines"), 0))
		if got := strings.ReplaceAll(told(events(t, b)), "finding.", ""); got != want {
			t.Errorf("told:\n%s\nwant:\n%s", got, want)
		}
	}
	find := func(n int) { ok(t, find(ctx, db, n)) }
	lose := func(n int) { ok(t, lose(ctx, db, n)) }
	step("opened false-admission 1.1", func() { find(0); lose(0); find(1) }) // a state that is new to it: what is there
	step("opened false-admission 2.1\nclosed false-admission 2.1", func() { find(2); lose(2) })
	step("opened false-admission 2.2\nclosed false-admission 2.2", func() { find(2); lose(2) })
	step("closed false-admission 1.1\nopened false-admission 1.2", func() { lose(1); find(1) })
	step("", func() {
		f, err := db.Acknowledge(ctx, found(audit.FalseAdmission, "1", 1).ID, "known", time.Unix(9, 0))
		ok(t, errors.Join(err, db.Commit(ctx)))
		if f.Acked == 0 {
			t.Error("not acknowledged")
		}
	})
	// What was acknowledged was the time before.
	step("closed false-admission 1.2\nopened false-admission 1.3", func() { lose(1); find(1) })
	step("opened false-admission 4.1\nclosed false-admission 1.3", func() { // replayed from entry 0, of which 1 is right now
		ok(t, db.Close())
		ok(t, os.RemoveAll(filepath.Join(base, "state")))
		db, err = state.Open(ctx, filepath.Join(base, "state"))
		ok(t, err)
		find(4)
	})
	step("opened false-admission 1.4", func() { find(1) })

	// Somebody moves a damaged state away while the process runs: the next one has as many
	// changes as that had.
	d := desk(t, filepath.Join(base, "a.sqlite"), cfg)
	ok(t, d.Follow(ctx, "example", "log.example", db))
	ok(t, db.Close())
	ok(t, os.RemoveAll(filepath.Join(base, "state")))
	db, err = state.Open(ctx, filepath.Join(base, "state"))
	ok(t, err)
	find(7)
	find(4)
	ok(t, d.Follow(ctx, "example", "log.example", db))
	ok(t, d.Flush(ctx))
	b, err := os.ReadFile(filepath.Join(base, "lines"))
	ok(t, err)
	if got := told(events(t, b)); got != "finding.opened false-admission 7.1\nfinding.closed false-admission 1.4" {
		t.Errorf("told:\n%s", got)
	}
	ok(t, db.Close())
}

// whole checks that a receiver was told everything, each event under one id.
func whole(t *testing.T, name string, list []alert.Event, all []audit.Finding) {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("nothing was found")
	}
	ids, words := map[string]string{}, map[string]string{}
	for _, e := range list {
		what := fmt.Sprintf("%s %d %d", e.Type, e.Finding.Index, e.Episode)
		if e.Episode != 1 {
			t.Errorf("%s: %s: nothing came back", name, what)
		}
		if other, ok := ids[what]; ok && other != e.ID {
			t.Errorf("%s: %s has the ids %s and %s", name, what, other, e.ID)
		}
		if other, ok := words[e.ID]; ok && other != what {
			t.Errorf("%s: the id %s has %s and %s", name, e.ID, other, what)
		}
		ids[what], words[e.ID] = e.ID, what
	}
	for _, f := range all {
		if ids[fmt.Sprintf("%s %d 1", alert.Opened, f.Index)] == "" {
			t.Errorf("%s was not told of entry %d", name, f.Index)
		}
		if f.Gone != 0 && ids[fmt.Sprintf("%s %d 1", alert.Closed, f.Index)] == "" {
			t.Errorf("%s was not told of the end of entry %d", name, f.Index)
		}
	}
}
