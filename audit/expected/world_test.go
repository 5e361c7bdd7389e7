package expected_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/expected"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// world is a log, a vendor who publishes there, and a watcher of both.
type world struct {
	*testing.T
	log   *audittest.Log
	v     *testvendor.Vendor
	id    tuf.Digest
	key   *proofs.Signer // of the vendor's expectations
	now   time.Time
	dir   string
	note  string // the file with the expectations
	cfg   expected.Config
	a     *audit.Auditor
	w     *expected.Watcher
	bases map[string]*tuf.Metadata
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newWorld has a vendor with targets 2, which list firmware.bin.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, log: audittest.New(t), dir: t.TempDir(), now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), bases: map[string]*tuf.Metadata{}}
	var err error
	w.v, err = testvendor.New(w.now.Add(10000 * time.Hour))
	must(t, err)
	_, root := w.v.File("root")
	w.id = w.log.Register(root)
	w.bases["root"] = audittest.Parse(t, root)
	must(t, w.v.Put("targets", "firmware.bin", []byte("1")))
	w.release("targets")
	_, targets := w.v.File("targets")
	w.bases["targets"] = audittest.Parse(t, targets)
	w.key, err = proofs.GenerateSigner(nil, "acme.example/expect", proofs.Ed25519)
	must(t, err)
	w.note = filepath.Join(w.dir, "expect.note")
	w.cfg = expected.Config{Name: "acme", Repository: w.id, From: w.note, Keys: []proofs.Key{w.key.Key()}, Now: func() time.Time { return w.now }}
	w.start()
	return w
}

// start starts an auditor and a watcher, as a process does.
func (w *world) start() {
	w.Helper()
	if w.a != nil {
		must(w, w.a.Close())
	}
	var err error
	w.a, err = audit.New(w.Context(), audit.Config{Source: w.log.Source(), Policy: w.log.Policy(), StateDir: filepath.Join(w.dir, "state"), Now: w.cfg.Now})
	must(w, err)
	w.w, err = expected.New(w.cfg)
	must(w, err)
	w.Cleanup(func() { _ = w.a.Close() })
}

// release publishes the next version of roles, and logs it.
func (w *world) release(roles ...string) {
	w.Helper()
	must(w, w.v.Release(roles...))
	_, snapshot := w.v.File("snapshot")
	for _, role := range roles {
		_, file := w.v.File(role)
		w.log.Submit(w.id, role, file, snapshot)
	}
	w.log.Publish(2)
}

// put releases targets with another file.
func (w *world) put(path, content string) {
	w.Helper()
	must(w, w.v.Put("targets", path, []byte(content)))
	w.release("targets")
}

// sign makes expectations with these lines, with the bases of the beginning.
func (w *world) sign(version int64, from, until time.Duration, lines ...string) []byte {
	w.Helper()
	return w.signBy(w.key, version, from, until, lines...)
}

func (w *world) signBy(key *proofs.Signer, version int64, from, until time.Duration, lines ...string) []byte {
	w.Helper()
	e, err := expect.ParseDraft(strings.Join(lines, "\n"))
	must(w, err)
	e.Repository, e.Version, e.From, e.Until = w.id, version, w.now.Add(from), w.now.Add(until)
	e.Bases = expect.BasesOf(w.bases)
	note, err := expect.Sign(e, w.now.Unix(), key)
	must(w, err)
	return note
}

// serve puts expectations where they are read.
func (w *world) serve(note []byte) {
	w.Helper()
	must(w, os.WriteFile(w.note, note, 0o600))
}

// step lets a second pass, and steps; read says that the expectations are read again.
func (w *world) step(read bool) {
	w.Helper()
	w.now = w.now.Add(time.Second)
	w.log.Time = w.now.Unix()
	_, err := w.a.Step(w.Context())
	must(w, err)
	if read {
		w.w.Read(w.Context())
	}
	w.judge(true)
}

// judge lets the watcher step, and read what releases wait for.
func (w *world) judge(whole bool) {
	w.Helper()
	must(w, w.w.Step(w.Context(), w.a, w.log.Source(), whole))
	if w.w.Waits() {
		w.w.Read(w.Context())
		must(w, w.w.Step(w.Context(), w.a, w.log.Source(), whole))
	}
	if w.w.Waits() {
		w.Error("a release waits after expectations were read")
	}
}

// found returns the findings that are there of what is watched here, a line each.
func (w *world) found() string {
	w.Helper()
	list, err := audit.KeptFindings(w.Context(), w.a.State(), false)
	must(w, err)
	var lines []string
	for _, f := range list {
		if strings.HasPrefix(string(f.Kind), "expectations-") || strings.HasPrefix(string(f.Kind), "release-") || f.Kind == audit.UnexpectedRelease {
			if f.Class != f.Kind.Class() {
				w.Errorf("%s has class %s", f.Kind, f.Class)
			}
			lines = append(lines, fmt.Sprintf("%s@%d: %s", f.Kind, f.Index, f.Sentence))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// want fails unless there are as many findings as texts, each with its text.
func (w *world) want(texts ...string) {
	w.Helper()
	found := w.found()
	n := strings.Count(found, "\n") + 1
	if found == "" {
		n = 0
	}
	if n != len(texts) {
		w.Fatalf("want %d findings %q, found\n%s", len(texts), texts, found)
	}
	for _, text := range texts {
		if !strings.Contains(found, text) {
			w.Fatalf("want %q, found\n%s", text, found)
		}
	}
}
