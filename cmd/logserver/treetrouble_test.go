package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/log/trillianlog"
)

// copyState copies the state database, which nobody uses, and returns the copy's URL.
func (w *sharedWorld) copyState(t *testing.T, name string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.postgres.URL("postgres"))
	if err == nil {
		_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE tuflog")
		err = errors.Join(err, conn.Close(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.postgres.URL(name)
}

// A state database of an older date is not made the log by giving it a new tree: what the
// front end of that directory has served is held against it, and what witnesses know, also
// against a ledger that says that nothing was signed.
func TestTreeReplaceOfAnOlderDate(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	w.leads(t)
	w.stop(t, 0)
	empty := w.copyState(t, "empty")
	for _, s := range w.fronts {
		s.Start(t)
	}
	leader, _ := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	w.submitAt(t, leader, id, v, "1")
	w.stop(t, 0)
	older := w.copyState(t, "older")
	for _, s := range w.fronts {
		s.Start(t)
	}
	leader, _ = w.leads(t)
	w.submitAt(t, leader, id, v, "2")
	runtest.Eventually(t, "the front end of the first directory serves the newest", func() bool { return w.serves(t, w.fronts[0]).N == 3 })
	w.stop(t, 0)
	b, err := os.ReadFile(w.Path("log") + "/log.vkey")
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "alone", fmt.Sprintf("log %squorum none\n", b))

	refused := func(what, state, policy, want string) {
		t.Helper()
		stdout, stderr, code := runtest.Run(t, "logserver", "tree", "replace", "--dir", w.Path("log"), "--storage", w.storage, "--state", state, "--policy", w.Path(policy))
		if code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, want %q\n%s%s", what, code, want, stdout, stderr)
		}
		if strings.Contains(stderr, "confirmed\n") {
			t.Errorf("%s: it was confirmed\n%s", what, stderr)
		}
	}
	if err := os.Rename(w.Path("log")+"/served", w.Path("served")); err != nil {
		t.Fatal(err)
	}
	refused("an empty one", empty, "policy", "a witness shows a checkpoint of size 3")
	refused("an older one", older, "policy", "a witness shows a checkpoint of size 3")
	if err := os.Rename(w.Path("served"), w.Path("log")+"/served"); err != nil {
		t.Fatal(err)
	}
	refused("an empty one, and no witnesses", empty, "alone", "this front end has served a checkpoint of size 3")
	refused("an older one, and no witnesses", older, "alone", "this front end has served a checkpoint of size 3")
	for _, s := range w.fronts {
		s.Start(t)
	}
	if index := w.submitAt(t, w.fronts[0], id, v, "3"); index != 3 {
		t.Errorf("afterwards the next release is at %d", index)
	}
}

// A fault in the tree that is being filled ends nothing: another one is made.
func (w *sharedWorld) newTreeIsSpoilt(t *testing.T) {
	t.Helper()
	off := errors.New("broken off")
	broken := func(last string) string {
		t.Helper()
		to, err := w.replaceTree(t, func(stage string) error {
			if stage == last {
				return off
			}
			return nil
		})
		if !errors.Is(err, off) {
			t.Fatalf("broken off after %s: %v", last, err)
		}
		return to
	}
	spoilt := broken("made")
	cfg, err := trillianlog.ParseURL(spoilt)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tiles, cfg.Logger = trillianlog.NewMirror(w.database(t).Tiles(nil), 0), slog.New(slog.DiscardHandler)
	l, err := trillianlog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(t.Context(), [][]byte{[]byte("of somebody else")}); !errors.Is(err, trillianlog.ErrContradiction) {
		t.Fatalf("append: %v", err)
	}
	trees := []string{spoilt}
	again := func(what string) {
		t.Helper()
		to := broken("filled")
		if slices.Contains(trees, to) {
			t.Errorf("%s: filled %s once more", what, to)
		}
		trees = append(trees, to)
	}
	again("something else has appended to it")
	w.sql(t, "UPDATE log SET next = regexp_replace(next, '[0-9]+$', '424242')")
	again("it is not there any more")
	if cfg, err = trillianlog.ParseURL(trees[2]); err == nil {
		err = trillianlog.FreezeTree(t.Context(), cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	again("it is frozen")
}

// The state database is restored from a date before the tree was replaced. It knows the old
// tree alone, and the new one has all.
func (w *sharedWorld) restoredFromBefore(t *testing.T, older, from string) {
	t.Helper()
	at := []string{"--dir", w.Path("log"), "--state", older}
	if _, stderr, code := runtest.Run(t, "logserver", append([]string{"status", "--storage", w.storage}, at...)...); code != 2 || !strings.Contains(stderr, "--to "+w.storage) {
		t.Errorf("status: exit %d\n%s", code, stderr)
	}
	replace := func(code int, to, want string) {
		t.Helper()
		stdout, stderr, got := runtest.Run(t, "logserver", append([]string{"tree", "replace", "--policy", w.Path("policy"), "--storage", from, "--to", to}, at...)...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("tree replace --to %s: exit %d, want %q\n%s%s", to, got, want, stdout, stderr)
		}
	}
	server := "trillian://" + w.trillian.Target()
	another, err := serverlog.MakeTree(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	replace(2, server, "a checkpoint of size 5 (root") // that was served from here, or that a witness shows
	replace(2, another, "does not go on from what was signed")
	replace(2, from, "already")
	replace(0, w.storage, "--storage "+w.storage)
	replace(0, w.storage, "nothing was changed")
	_, note := get(t, w.Witnesses[0].URL+fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte("test.example/log"))))
	w.Write(t, "newest", string(note))
	if stdout, stderr, code := runtest.Run(t, "logserver", append([]string{"resume", "--storage", w.storage, "--i-know", "ledger-behind", "--checkpoint", w.Path("newest")}, at...)...); code != 0 || !strings.Contains(stdout, "size 5") {
		t.Errorf("resume: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := runtest.Run(t, "logserver", append([]string{"status", "--storage", w.storage}, at...)...); code != 0 {
		t.Errorf("status afterwards: exit %d\n%s%s", code, stdout, stderr)
	}
}

// A URL of no tree's is refused before anything is looked at.
func TestTreeReplaceNowhere(t *testing.T) {
	for _, to := range []string{"trillian://127.0.0.1:1/", "trillian://127.0.0.1:1/tree", "127.0.0.1:1"} {
		flags := &replaceFlags{place: place{dir: t.TempDir()}, shared: shared{storageURL: "trillian://127.0.0.1:1/1", stateURL: "postgres://nobody@127.0.0.1:1/none"}, to: to}
		if _, err := replaceTree(t.Context(), flags, os.Stderr); err == nil || !strings.Contains(err.Error(), to) {
			t.Errorf("--to %s: %v", to, err)
		}
	}
}
