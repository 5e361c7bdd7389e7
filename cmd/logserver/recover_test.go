package main

import (
	"crypto/sha512"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/proofs"
)

// statusOf runs logserver status and checks its exit code.
func (w *world) statusOf(t *testing.T, wantCode int) status {
	t.Helper()
	stdout, stderr, code := runtest.Run(t, "logserver", "status", "--dir", w.Path("log"), "--json")
	var st status
	if err := json.Unmarshal([]byte(stdout), &st); err != nil || code != wantCode {
		t.Fatalf("status: exit %d, want %d: %v\n%s%s", code, wantCode, err, stdout, stderr)
	}
	return st
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A ledger that is lost, or of an older date, stops the log; status says so and
// what to do, and resume does it, once.
func TestResume(t *testing.T) {
	w := newWorld(t, "--open-registration")
	if st := w.statusOf(t, 0); !st.Served || st.Storage != nil {
		t.Errorf("status of a log that is served: %+v", st)
	}
	v := newVendor(t)
	id := w.register(t, v)
	w.Log.Stop(t)
	ledger, old := w.Path("log.ledger/ledger"), w.Path("old-ledger")
	copyFile(t, ledger, old)
	w.Log.Start(t)
	if _, err := w.client.Submit(t.Context(), id, release(t, v, "x")); err != nil {
		t.Fatal(err)
	}
	w.Log.Stop(t)
	st := w.statusOf(t, 0)
	if st.Ledger.Size != 2 || st.Storage.Size != 2 || st.Storage.Root != st.Ledger.Root || *st.Published != *st.Storage || *st.State != 2 {
		t.Errorf("status: %+v", st)
	}
	// Where nothing is wrong, nothing is offered.
	for _, know := range []string{"ledger-lost", "nonsense"} {
		if _, _, code := runtest.Run(t, "logserver", "resume", "--dir", w.Path("log"), "--i-know", know); code != 2 {
			t.Errorf("resume from %s: exit %d", know, code)
		}
	}
	if stdout, stderr, code := runtest.Run(t, "logserver", "resume", "--dir", w.Path("log"), "--i-know", "ledger-behind"); code != 2 || stdout != "" || !strings.Contains(stderr, "nothing was changed") || !strings.Contains(stderr, "--checkpoint FILE") {
		t.Errorf("resume of a ledger that is not behind: exit %d, %s%s", code, stdout, stderr)
	}
	if stdout, _, code := runtest.Run(t, "logserver", "resume", "--dir", w.Path("log"), "--i-know", "ledger-behind", "--checkpoint", w.Path("log/checkpoint")); code != 0 || !strings.Contains(stdout, "nothing was changed: the ledger says already that size 2") {
		t.Errorf("resume to what the ledger says: exit %d, %s", code, stdout)
	}
	for _, tt := range []struct {
		code   log.HaltCode
		damage func() error
	}{
		{log.HaltLedgerBehind, func() error { copyFile(t, old, ledger); return nil }},
		{maintain.HaltLedgerLost, func() error { return os.Remove(ledger) }},
	} {
		if err := tt.damage(); err != nil {
			t.Fatal(err)
		}
		if _, _, code := runtest.Run(t, "logserver", append(w.Log.Args, "--listen", "127.0.0.1:0")...); code != 2 {
			t.Fatalf("%s: served, exit %d", tt.code, code)
		}
		if st := w.statusOf(t, 1); st.Code != tt.code || !strings.Contains(st.Do, "--i-know "+string(tt.code)) {
			t.Errorf("%s: status %+v", tt.code, st)
		}
		if stdout, _, code := runtest.Run(t, "logserver", "status", "--dir", w.Path("log")); code != 1 || !strings.Contains(stdout, string(tt.code)) {
			t.Errorf("%s: exit %d, %s", tt.code, code, stdout)
		}
		// A checkpoint of a stranger does not do.
		if _, _, code := runtest.Run(t, "logserver", "resume", "--dir", w.Path("log"), "--i-know", string(tt.code), "--checkpoint", w.Path("policy")); code != 2 {
			t.Errorf("%s: resumed from rubbish, exit %d", tt.code, code)
		}
		runtest.Must(t, "logserver", "resume", "--dir", w.Path("log"), "--i-know", string(tt.code))
		if st := w.statusOf(t, 0); st.Ledger.Size != 2 || st.Ledger.Root != st.Storage.Root {
			t.Errorf("%s: after resume %+v", tt.code, st)
		}
		w.Log.Start(t)
		if _, err := w.client.Submit(t.Context(), id, files(v)); err != nil {
			t.Fatal(err)
		}
		w.Log.Stop(t)
	}
	actions, err := os.ReadFile(filepath.Join(w.Path("log.ledger"), maintain.ActionsFile))
	if lines := strings.Split(strings.TrimSpace(string(actions)), "\n"); err != nil || len(lines) != 2 ||
		!strings.Contains(lines[0], `"action":"ledger-behind"`) || !strings.Contains(lines[1], `"action":"ledger-lost"`) {
		t.Errorf("actions: %s, %v", actions, err)
	}
}

// An empty log under a key that has signed before signs nothing: its witnesses know more.
func TestNewLogUnderAnOldKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	w.register(t, v)
	w.Log.Stop(t)
	runtest.Must(t, "logserver", "init", "--dir", w.Path("new"), "--origin", "test.example/log", "--only", "ed25519")
	for _, name := range []string{"log.key", "log.vkey"} {
		copyFile(t, w.Path("log/"+name), w.Path("new/"+name))
	}
	copyFile(t, w.Path("new.ledger/ledger"), w.Path("before"))
	w.Log.Args[slices.Index(w.Log.Args, "--dir")+1] = w.Path("new")
	w.Log.Start(t)
	_, root := newVendor(t).File("root")
	if res, err := w.client.Register(withTimeout(t, 2*time.Second), root); err == nil && res.Done {
		t.Errorf("it acknowledges %+v", res)
	}
	unready(t, w.Log, "a witness shows a checkpoint of size 1")
	if code := w.Log.End(t, syscall.SIGTERM); code != 2 {
		t.Errorf("exit %d", code)
	}
	was, err := os.ReadFile(w.Path("before"))
	now, err2 := os.ReadFile(w.Path("new.ledger/ledger"))
	if err != nil || err2 != nil || string(now) != string(was) {
		t.Errorf("the ledger was\n%s\nand is\n%s\n%v %v", was, now, err, err2)
	}
}

// Status judges what a log has stored and not signed, and says what a witness claims.
func TestStatusJudges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--open-registration")
	w.register(t, newVendor(t))
	w.Log.Stop(t)
	// A witness that claims what nobody has signed is named, and proves nothing.
	health := w.Path("log/witnesses.json")
	copyFile(t, health, w.Path("health"))
	b, err := os.ReadFile(health)
	if err == nil {
		err = os.WriteFile(health, []byte(strings.Replace(string(b), `"size": 1`, `"size": 1000`, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if st := w.statusOf(t, 0); len(st.Ahead) != 1 || st.Ahead[0].Says != 1000 || st.Ahead[0].Shows != nil {
		t.Errorf("status of a claim: %+v", st)
	}
	if out := runtest.Must(t, "logserver", "status", "--dir", w.Path("log")); !strings.Contains(out, "says that it has cosigned size 1000, and shows nothing that this log has signed") {
		t.Errorf("status of a claim: %s", out)
	}
	copyFile(t, w.Path("health"), health)

	storage, err := tesseralog.Open(t.Context(), tesseralog.Config{Dir: w.Path("log/tree")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Append(t.Context(), [][]byte{[]byte("what nobody has admitted")}); err != nil {
		t.Error(err)
	}
	if err := storage.Close(); err != nil {
		t.Fatal(err)
	}
	if st := w.statusOf(t, 1); st.Code != log.HaltForeignEntry || !strings.Contains(st.What, "index 1") || st.Ledger.Size != 1 {
		t.Errorf("status of a foreign entry: %+v", st)
	}
}

// frozen is a log with several keys that is to end.
type frozen struct {
	*world
	vendor *testvendor.Vendor
	id     string
	keys   []proofs.Key // beside the first
	args   []string     // that end it
}

// A log with several keys ends: first without a quorum, then again with one. It
// serves, takes nothing, and auditors know that it has ended.
func TestFreeze(t *testing.T) {
	f := &frozen{world: newWorld(t, "--open-registration"), vendor: newVendor(t)}
	f.id = f.register(t, f.vendor)
	f.args = []string{"freeze", "--dir", f.Path("log"), "--policy", f.Path("policy"), "--i-know"}
	if _, _, code := runtest.Run(t, "logserver", f.args...); code != 2 {
		t.Errorf("ended a log that is served: exit %d", code)
	}
	f.Log.Stop(t)
	f.addKeys(t)
	f.Log.Start(t)
	if _, err := f.client.Submit(t.Context(), f.id, release(t, f.vendor, "x")); err != nil {
		t.Fatal(err)
	}
	f.published(t, 2)
	f.Log.Stop(t)
	if _, _, code := runtest.Run(t, "logserver", f.args[:len(f.args)-1]...); code != 2 {
		t.Errorf("ended without --i-know: exit %d", code)
	}
	f.endsWithoutQuorum(t)
	f.endsWithQuorum(t)
	f.restored(t)
}

// addKeys adds a key of each other type.
func (f *frozen) addKeys(t *testing.T) {
	t.Helper()
	for kind := range keyTypes {
		key, err := proofs.ParseKey(runtest.Must(t, "logserver", "key", "add", "--dir", f.Path("log"), "--type", kind, "more-"+kind))
		if err != nil || key.Name() != "test.example/log" {
			t.Fatalf("key %v, %v", key, err)
		}
		f.keys = append(f.keys, key)
	}
	if list := runtest.Must(t, "logserver", "key", "list", "--dir", f.Path("log")); len(strings.Fields(list)) != 4 {
		t.Errorf("keys: %s", list)
	}
}

// published wants a checkpoint of this size, under all keys.
func (f *frozen) published(t *testing.T, size int64) {
	t.Helper()
	_, body := f.get(t, "/checkpoint")
	for _, key := range f.keys {
		if _, _, err := proofs.OpenCheckpoint([]byte(body), key); err != nil {
			t.Fatalf("%v: %v\n%s", key, err, body)
		}
	}
	cp, err := f.Policy.OpenCheckpoint([]byte(body))
	if err != nil || cp.Tree.N != size || len(cp.Extensions) != 0 {
		t.Errorf("published %+v, %v; want size %d", cp, err, size)
	}
}

// endsWithoutQuorum ends the log while two witnesses are away: it ends all the same, and freeze
// says what is missing.
func (f *frozen) endsWithoutQuorum(t *testing.T) {
	t.Helper()
	for _, witness := range f.Witnesses[:2] {
		witness.Stop(t)
	}
	for range 2 {
		_, stderr, code := runtest.Run(t, "logserver", f.args...)
		if code != 2 || !strings.Contains(stderr, "the log has ended, but a quorum does not have its end yet") || !strings.Contains(stderr, "witness w1: ") {
			t.Errorf("freeze without a quorum: exit %d\n%s", code, stderr)
		}
		if st := f.statusOf(t, 0); !st.Ended || st.Ledger.Size != 3 || st.Storage.Size != 3 || st.Published.Size != 2 {
			t.Errorf("status: %+v", st)
		}
		if out := runtest.Must(t, "logserver", "status", "--dir", f.Path("log")); !strings.Contains(out, "the log has ended, but a quorum of witnesses does not have its end yet") || !strings.Contains(out, "connection refused") {
			t.Errorf("status: %s", out)
		}
	}
	f.Log.Start(t)
	f.published(t, 2)
	f.refusesAll(t, f.id, f.vendor)
	f.Log.Stop(t)
}

// endsWithQuorum ends it again, with all witnesses.
func (f *frozen) endsWithQuorum(t *testing.T) {
	t.Helper()
	for _, witness := range f.Witnesses[:2] {
		witness.Start(t)
	}
	for range 2 {
		if out := runtest.Must(t, "logserver", f.args...); out != "the log has ended at size 3" {
			t.Errorf("freeze: %q", out)
		}
		if st := f.statusOf(t, 0); !st.Ended || st.Ledger.Size != 3 || st.Published.Size != 3 {
			t.Errorf("status: %+v", st)
		}
	}
	f.Log.Start(t)
	f.published(t, 3)
	f.refusesAll(t, f.id, f.vendor)
	if st := f.statusOf(t, 0); !st.Ended || !st.Served {
		t.Errorf("status of a log that is served: %+v", st)
	}
	if out := runtest.Must(t, "auditor", "replay", "--log", f.Log.URL, "--policy", f.Path("policy")); !strings.Contains(out, "the log has ended") || !strings.Contains(out, "2 leaves: 2 right") || !strings.Contains(out, "The log is as it should be") {
		t.Errorf("auditor: %s", out)
	}
	f.Log.Stop(t)
	for _, args := range [][]string{{"fsck", "--judge"}, {"reindex"}, {"fsck"}} {
		runtest.Must(t, "logserver", append(args, "--dir", f.Path("log"))...)
	}
}

// restored makes the ledger anew, as a restore from an older date can require: the tree says
// that it has ended, and what was published knows it.
func (f *frozen) restored(t *testing.T) {
	t.Helper()
	if err := os.Remove(f.Path("log.ledger/ledger")); err != nil {
		t.Fatal(err)
	}
	runtest.Must(t, "logserver", "resume", "--dir", f.Path("log"), "--i-know", string(maintain.HaltLedgerLost))
	if st := f.statusOf(t, 0); !st.Ended {
		t.Errorf("status after resume: %+v", st)
	}
	f.Log.Start(t)
	f.refusesAll(t, f.id, f.vendor)
}

// refusesAll expects a log that has ended.
func (w *world) refusesAll(t *testing.T, id string, v *testvendor.Vendor) {
	t.Helper()
	_, err := w.client.Submit(t.Context(), id, release(t, v, "y"))
	if p := (*api.ProblemError)(nil); !asProblem(err, &p) || p.Status != 403 || p.Code != api.CodeEnded {
		t.Errorf("submitted to a log that has ended: %v", err)
	}
	if status, body := w.get(t, "/readyz"); status != 403 || !strings.Contains(body, `"ended"`) {
		t.Errorf("/readyz: %d %s", status, body)
	}
}

// Fsck finds one byte that changed, in each kind of file.
func TestFsck(t *testing.T) {
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	for _, content := range []string{"a", "b", "c"} {
		if _, err := w.client.Submit(t.Context(), id, release(t, v, content)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, code := runtest.Run(t, "logserver", "fsck", "--dir", w.Path("log")); code != 2 {
		t.Errorf("checked a log that is served: exit %d", code)
	}
	w.Log.Stop(t)
	for _, args := range [][]string{nil, {"--judge"}} {
		if out := runtest.Must(t, "logserver", append([]string{"fsck", "--dir", w.Path("log")}, args...)...); !strings.HasPrefix(out, "4 entries") {
			t.Errorf("fsck: %s", out)
		}
	}
	listed := sha512.Sum512([]byte("b"))
	for _, tt := range []struct {
		path, from, to string
		want           []string
	}{
		{"log/tree/tile/entries/000.p/4", "version 2", "version 3", []string{"tile/0/000.p/4: hash 1", "the storage says", "the ledger knows"}},
		{"log/tree/tile/0/000.p/4", "", "", []string{"tile/0/000.p/4: hash"}},
		{"log/tree/.state/treeState", `"size":4`, `"size":3`, []string{"the ledger knows a tree of size 4"}},
		{"log/blobs.db", `"version":3`, `"version":4`, []string{"is damaged"}},
		{"log.ledger/ledger", "root ", "toor ", []string{"the ledger"}},
		{"log/checkpoint", "\n4\n", "\n3\n", []string{"the published checkpoint"}},
		{"log/state.db", "targets", "tergets", []string{"derived state"}},
		{"log/state.db", string(listed[32:]), strings.Repeat("x", 32), []string{"1 rows of table targets", "1 rows are missing in table targets"}},
	} {
		path := w.Path(tt.path)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		after := []byte(strings.ReplaceAll(string(before), tt.from, tt.to))
		if tt.from == "" {
			after = append([]byte(nil), before...)
			after[40] ^= 1
		}
		if string(after) == string(before) {
			t.Fatalf("%s: nothing to change", tt.path)
		}
		if err := os.WriteFile(path, after, 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := runtest.Run(t, "logserver", "fsck", "--dir", w.Path("log"))
		if code == 0 {
			t.Errorf("%s: nothing found", tt.path)
		}
		for _, want := range tt.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: no word of %q: exit %d, %s%s", tt.path, want, code, stdout, stderr)
			}
		}
		if err := os.WriteFile(path, before, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runtest.Must(t, "logserver", "fsck", "--dir", w.Path("log"))
}

func asProblem(err error, p **api.ProblemError) bool { return errors.As(err, p) }
