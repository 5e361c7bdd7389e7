package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/trillianserver"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// database opens the log's database, beside the front ends.
func (w *sharedWorld) database(t *testing.T) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: w.state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// published returns the published tree and its entries.
func (w *sharedWorld) published(t *testing.T) (tree proofs.Tree, entries [][]byte) {
	t.Helper()
	_, body := get(t, w.fronts[0].URL+"/checkpoint")
	cp, err := w.Policy.OpenCheckpoint(body)
	if err != nil {
		t.Fatal(err)
	}
	for first := int64(0); first < cp.Tree.N; first += 256 {
		_, body := get(t, w.fronts[0].URL+"/"+proofs.EntriesPath(first/256, int(min(256, cp.Tree.N-first))))
		some, err := proofs.ParseEntries(body)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, some...)
	}
	return cp.Tree, entries
}

// appendsToo appends to Trillian's tree, as another process could that has no lease.
func (w *sharedWorld) appendsToo(t *testing.T, entries ...[]byte) {
	t.Helper()
	cfg, err := trillianlog.ParseURL(w.storage)
	if err != nil {
		t.Fatal(err)
	}
	copied := w.database(t).Tiles(nil)
	size, err := copied.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A mirror of what there is has no place for more: it arrives, and that is all.
	cfg.Tiles, cfg.Logger = trillianlog.NewMirror(copied, size), slog.New(slog.DiscardHandler)
	l, err := trillianlog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, e := range entries {
		if _, err := l.Append(t.Context(), [][]byte{e}); !errors.Is(err, trillianlog.ErrContradiction) {
			t.Fatalf("append: %v", err)
		}
	}
}

// says waits until a front end's /readyz says something.
func says(t *testing.T, s *runtest.Service, words ...string) {
	t.Helper()
	var body []byte
	runtest.Eventually(t, fmt.Sprintf("/readyz says %q", words), func() bool {
		status := 0
		status, body = get(t, s.URL+"/readyz")
		return status == 503 && !slices.ContainsFunc(words, func(word string) bool { return !bytes.Contains(body, []byte(word)) })
	})
}

// replaceTree runs the command in this process. at is called when a stage is complete.
func (w *sharedWorld) replaceTree(t *testing.T, at func(stage string) error) (to string, err error) {
	t.Helper()
	flags := &replaceFlags{place: place{dir: w.Path("log")}, shared: shared{storageURL: w.storage, stateURL: w.state}, policy: w.Path("policy"), after: at}
	_, err = replaceTree(t.Context(), flags, os.Stderr)
	return flags.to, err
}

// moveTo starts the front ends with another storage.
func (w *sharedWorld) moveTo(t *testing.T, storage string) {
	t.Helper()
	for _, s := range w.fronts {
		s.Args[slices.Index(s.Args, "--storage")+1] = storage
		s.Start(t)
	}
	w.storage = storage
	w.leads(t)
}

// indexTail takes the derived state up to all that Trillian has, as a leader leaves it
// that has judged more than it has signed.
func (w *sharedWorld) indexTail(t *testing.T) {
	t.Helper()
	l, err := serverlog.Open(t.Context(), serverlog.Servers{Storage: w.storage, State: w.state}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var cfg leader.Config
	if err := l.Write(t.Context(), &cfg); err != nil {
		t.Fatal(err)
	}
	tree, err := cfg.Publisher.Storage.Integrated(t.Context())
	if err == nil {
		err = maintain.IndexUpTo(t.Context(), cfg.Publisher.Storage, cfg.Blobs, cfg.State, tree, func(int) {}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A log whose tree cannot be used any more goes on in a new one: after an entry that is
// there twice, after one that it would not have admitted, and after Trillian is lost.
func TestTreeReplace(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	leader, _ := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	for n := range 3 {
		w.submitAt(t, leader, id, v, fmt.Sprint("version ", n))
	}
	before, entries := w.published(t)

	// A healthy log has nothing to replace.
	w.stop(t, 0)
	older, from := w.copyState(t, "older"), w.storage
	if _, err := w.replaceTree(t, nil); err == nil || !strings.Contains(err.Error(), "nothing to replace") {
		t.Errorf("of a healthy log: %v", err)
	}
	for _, s := range w.fronts {
		s.Start(t)
	}
	leader, other := w.leads(t)

	w.appendsToo(t, entries[2])
	late := release(t, v, "while it is twice")
	if res, err := w.clientOf(other).Submit(withTimeout(t, 3*time.Second), id, late); err == nil && res.Done {
		t.Errorf("acknowledged behind an entry that is twice: %+v", res)
	}
	for _, s := range []*runtest.Service{leader, other} {
		says(t, s, "the entry at index 2 once more at index 4", "logserver tree replace")
	}
	if st := w.statusOf(t, 1); !strings.Contains(st.Unready, "once more at index 4") {
		t.Errorf("status: %+v", st)
	}
	w.indexTail(t)
	w.newTreeIsSpoilt(t)
	to := w.replaceInSteps(t)
	w.stop(t, 2)
	if _, stderr, code := runtest.Run(t, "logserver", append(w.fronts[0].Args, "--listen", "127.0.0.1:0")...); code != 2 || !strings.Contains(stderr, "--storage "+to) {
		t.Errorf("served from the old tree: exit %d\n%s", code, stderr)
	}
	w.moveTo(t, to)
	w.goesOn(t, id, before, entries)
	if res, err := w.clientOf(w.fronts[0]).Submit(withTimeout(t, process.Patience), id, late); err != nil || !res.Done || res.Results[0].Index != 4 {
		t.Errorf("sent again: %+v, %v", res, err)
	}
	w.restoredFromBefore(t, older, from)

	before, entries = w.published(t)
	w.refusedEntry(t, id, before, entries)
	w.trillianIsLost(t, id, before, entries)
	actions, err := w.database(t).Actions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replaced := 0
	for _, a := range actions {
		if a.Action == "tree-replace" && strings.Count(a.Detail, "trillian://") == 2 {
			replaced++
		}
	}
	if replaced != 3 {
		t.Errorf("%d replacements are recorded: %+v", replaced, actions)
	}
}

// replaceInSteps replaces the tree, broken off after each stage.
func (w *sharedWorld) replaceInSteps(t *testing.T) (to string) {
	t.Helper()
	off := errors.New("broken off")
	trees := map[string]bool{}
	for _, last := range []string{"confirmed", "made", "filled", "indexed", "replaced"} {
		to, err := w.replaceTree(t, func(stage string) error {
			if stage == last {
				return off
			}
			return nil
		})
		if !errors.Is(err, off) {
			t.Fatalf("broken off after %s: %v", last, err)
		}
		if last != "confirmed" {
			trees[to] = true
		}
	}
	if len(trees) != 1 {
		t.Errorf("trees were made: %v", trees)
	}
	_, err := w.replaceTree(t, nil)
	var done *postgres.ReplacedError
	if !errors.As(err, &done) || !trees[done.URL] {
		t.Fatalf("replaced once more: %v", err)
	}
	return done.URL
}

// goesOn checks that the log is the one that it was.
func (w *sharedWorld) goesOn(t *testing.T, id string, before proofs.Tree, entries [][]byte) {
	t.Helper()
	now, have := w.published(t)
	if now.N < before.N || !slices.EqualFunc(have[:before.N], entries, bytes.Equal) {
		t.Errorf("of %d entries, those before are not what they were", now.N)
	}
	proof, err := proofs.ConsistencyProof(t.Context(), before.N, now, httpTiles{t, w.fronts[1].URL})
	if err == nil {
		err = proofs.VerifyConsistency(before, now, proof)
	}
	if err != nil {
		t.Errorf("the log is not the one it was: %v", err)
	}
	w.same(t, id, before.N-1)
	w.statusOf(t, 0)
	if stdout, stderr, code := w.tool(t, "fsck", "--judge"); code != 0 {
		t.Errorf("fsck: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := runtest.Run(t, "auditor", "replay", "--log", w.fronts[0].URL, "--policy", w.Path("policy"), "--state", w.Path("audit")); code != 0 {
		t.Errorf("the auditor: exit %d\n%s%s", code, stdout, stderr)
	}
}

// refusedEntry asks something else to append an entry that the log would not, and the command that
// puts the tree right be killed.
func (w *sharedWorld) refusedEntry(t *testing.T, id string, before proofs.Tree, entries [][]byte) {
	t.Helper()
	leaf, err := leaf.Parse(entries[3])
	if err != nil {
		t.Fatal(err)
	}
	leaf.Size++
	w.appendsToo(t, leaf.Marshal())
	for _, s := range w.fronts {
		s.End(t, syscall.SIGKILL)
	}
	for _, s := range w.fronts {
		s.Start(t)
	}
	for _, s := range w.fronts {
		says(t, s, "would not have admitted", "logserver tree replace")
	}
	w.stop(t, 2)
	args := []string{"tree", "replace", "--dir", w.Path("log"), "--storage", w.storage, "--state", w.state, "--policy", w.Path("policy")}
	made := make(chan struct{})
	p, err := process.Launch(runtest.Command(t, "logserver", args...), func(line string) {
		if line == "made" {
			close(made)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-made
	p.Kill()
	stdout, stderr, code := runtest.Run(t, "logserver", args...)
	_, to, ok := strings.Cut(strings.TrimSpace(stdout), "--storage ")
	if code != 0 || !ok {
		t.Fatalf("tree replace: exit %d\n%s%s", code, stdout, stderr)
	}
	w.moveTo(t, to)
	w.goesOn(t, id, before, entries)
}

// trillianIsLost has Trillian gone with its database, and another one take its place.
func (w *sharedWorld) trillianIsLost(t *testing.T, id string, before proofs.Tree, entries [][]byte) {
	t.Helper()
	w.trillian.Stop()
	for _, s := range w.fronts {
		says(t, s, "no front end leads", "Trillian's log server at "+w.trillian.Target())
	}
	if err := w.postgres.CreateDatabase(t.Context(), "trillian_anew"); err != nil {
		t.Fatal(err)
	}
	bin, err := trillianserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	anew, err := trillianserver.Start(t.Context(), trillianserver.Config{Bin: bin, DatabaseURL: w.postgres.URL("trillian_anew")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(anew.Stop)
	stdout, stderr, code := runtest.Run(t, "logserver", "tree", "replace", "--dir", w.Path("log"), "--storage", w.storage, "--state", w.state, "--policy", w.Path("policy"), "--to", "trillian://"+anew.Target())
	_, to, ok := strings.Cut(strings.TrimSpace(stdout), "--storage ")
	if code != 0 || !ok || !strings.Contains(to, anew.Target()) {
		t.Fatalf("tree replace: exit %d\n%s%s", code, stdout, stderr)
	}
	// Those that run have been given a tree that is the log's no more.
	for _, s := range w.fronts {
		says(t, s, "no front end leads", "--storage "+to)
	}
	w.stop(t, 0)
	w.moveTo(t, to)
	w.goesOn(t, id, before, entries)
}
