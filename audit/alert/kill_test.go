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
	there, err := audit.KeptFindings(ctx, db, false)
	if err != nil {
		return err
	}
	if err := d.Sync(ctx, "example", "log.example", there); err != nil {
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
		now := time.Unix(int64(1_800_000_000+n), 0)
		f := found(audit.FalseAdmission, fmt.Sprint(n%7), n)
		body, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if err := db.PutFinding(ctx, state.Finding{Sum: f.Sum, Kind: string(f.Kind), Class: string(f.Class), Repository: f.Repository, Leaf: int64(n), Body: body}, now); err != nil {
			return err
		}
		var gone []audit.Finding
		if n%3 == 2 {
			gone = []audit.Finding{found(audit.FalseAdmission, fmt.Sprint((n-2)%7), n-2)}
			if err := db.FindingGone(ctx, gone[0].Sum, now); err != nil {
				return err
			}
		}
		if err := db.Commit(ctx); err != nil {
			return err
		}
		fmt.Println("found", n)
		if err := d.Step(ctx, "example", "log.example", []audit.Finding{f}, gone); err != nil {
			return err
		}
		fmt.Println("told", n)
	}
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
	n := *kills
	if testing.Short() {
		n = min(n, 4) // each is a process that begins
	}
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
