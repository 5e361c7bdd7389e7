package expected_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/expected"
	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

const month = 30 * 24 * time.Hour

func firmware(content string) string {
	return fmt.Sprintf("file firmware.bin %d sha256:%s,sha512:%x", len(content), tuf.Sum([]byte(content)), sha512.Sum512([]byte(content)))
}

// What was said is expected, what the build system was tricked into is not, and stays
// unexpected until the vendor says otherwise.
func TestTricked(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, month, "release targets 3", firmware("2"), "release targets any"))
	w.step(true)
	w.want()
	w.put("firmware.bin", "2")
	w.step(false)
	w.want()
	w.release("targets") // signed again
	w.step(false)
	w.want()
	w.put("evil.bin", "evil")
	w.step(false)
	evil := "unexpected-release@4: targets 5 of acme is not what its vendor said would be released (expectations 1): it lists evil.bin (4 bytes, sha256 b5c1fb2efc6d6b46)"
	w.want(evil)
	w.release("targets")
	w.step(false)
	w.want(evil, "unexpected-release@5: targets 6 of acme is not")

	must(t, w.v.Rotate("targets"))
	_, root := w.v.File("root")
	w.log.Submit(w.id, "root", root)
	w.log.Publish(2)
	w.step(false)
	w.want(evil, "@5", "unexpected-release@6: root 2 of acme is not what its vendor said would be released (expectations 1): no release of root is expected")

	// The vendor takes them as they are now.
	for _, role := range []string{"root", "targets"} {
		_, file := w.v.File(role)
		w.bases[role] = audittest.Parse(t, file)
	}
	w.serve(w.sign(2, 0, month, "release targets any"))
	w.step(true)
	w.release("targets")
	w.step(false)
	w.want(evil, "@5", "@6")
	if s := w.w.Status(); s.Version != 2 || !s.InForce || s.Trouble != "" || s.Read.IsZero() {
		t.Errorf("status %+v", s)
	}
}

// Whoever has the build system's keys cannot widen the expectations, and not keep monitors
// from those that were seen.
func TestThief(t *testing.T) {
	w := newWorld(t)
	old := w.sign(1, 0, month, "release targets any", "paths *")
	newer := w.sign(2, time.Second, month, "release targets any")
	w.serve(old)
	w.step(true)
	w.serve(newer)
	w.step(true)
	w.want()

	// An older note is served again.
	w.serve(old)
	w.step(true)
	back := "expectations-rolled-back@-1: " + w.note + " has expectations 1 of acme, and expectations 2 were there before: these still count"
	w.want(back)
	w.step(true) // and the time at which both could count is over
	w.put("evil.bin", "evil")
	w.step(true)
	evil := "unexpected-release@2: targets 3 of acme is not what its vendor said would be released (expectations 2): it lists evil.bin"
	w.want(back, evil)
	w.start() // another process remembers
	w.step(true)
	w.want(back, evil)
	w.serve(newer)
	w.step(true)
	w.want(evil)

	// One that another key signed, and none.
	thief, err := proofs.GenerateSigner(nil, "acme.example/expect", proofs.Ed25519)
	must(t, err)
	w.serve(w.signBy(thief, 3, 0, month, "release targets any", "paths *"))
	w.step(true)
	missing := "expectations-missing@-1: the expectations of acme cannot be read: " + w.note + ": not signed by a key for these expectations; expectations 2 still count, until 2026-12-30T12:00:00Z"
	w.want(evil, missing)
	w.put("evil2.bin", "evil")
	w.step(true)
	w.want(evil, missing, "unexpected-release@3: targets 4 of acme")
	w.now = w.now.Add(expected.DefaultStale)
	w.step(true)
	w.want(evil, strings.Replace(missing, "missing", "stale", 1), "@3")
	w.serve(newer)
	w.step(true)
	w.want(evil, "@3")

	// The key itself signs two.
	w.serve(w.sign(2, 0, month, "release targets any", "paths *"))
	w.step(true)
	two := "expectations-rolled-back@-1: two different expectations 2 of acme are signed: those that were seen first still count"
	w.want(evil, "@3", two)
	w.serve(newer)
	w.step(true)
	w.want(evil, "@3", two)
	list, err := audit.KeptFindings(t.Context(), w.a.State(), false)
	must(t, err)
	for _, f := range list {
		if f.Kind == audit.ExpectationsRolledBack && len(f.Evidence) != 2 {
			t.Errorf("evidence %+v", f.Evidence)
		}
	}
	// Those of another repository.
	id := w.id
	w.id = tuf.Sum(nil)
	w.serve(w.sign(9, 0, month, "release targets any"))
	w.id = id
	w.step(true)
	w.want(evil, "@3", two, "has expectations of repository e3b0c44298fc1c14, not of "+id.Short())
}

// Whoever loses the audit's state, or makes its owner begin it anew, does not bring back older
// expectations that still last.
func TestStateLost(t *testing.T) {
	w := newWorld(t)
	w.cfg.Beside = filepath.Join(w.dir, "state.")
	w.start()
	old := w.sign(1, 0, month, "release targets any", "paths *")
	w.serve(old)
	w.step(true)
	w.serve(w.sign(2, time.Second, month, "release targets any"))
	w.step(true)
	w.want()
	must(t, w.a.Close())
	must(t, os.RemoveAll(filepath.Join(w.dir, "state")))
	w.start()
	w.serve(old)
	w.step(true)
	back := "expectations-rolled-back@-1: " + w.note + " has expectations 1 of acme, and expectations 2 were there before: these still count"
	w.want(back)
	w.step(true)
	w.put("evil.bin", "evil")
	w.step(true)
	w.want(back, "targets 3 of acme is not what its vendor said would be released (expectations 2): it lists evil.bin")

	// A file that cannot be used is written again, if the state has what it had.
	beside, err := filepath.Glob(filepath.Join(w.dir, "state.*."+w.id.String()+"."+expected.NoteName))
	if must(t, err); len(beside) != 1 {
		t.Fatalf("files beside the state: %q", beside)
	}
	kept, err := os.ReadFile(beside[0])
	must(t, err)
	must(t, os.WriteFile(beside[0], nil, 0o600))
	w.start()
	w.step(true)
	w.want(back, "targets 3 of acme")
	if again, err := os.ReadFile(beside[0]); err != nil || !bytes.Equal(again, kept) {
		t.Errorf("written again: %q, %v", again, err)
	}
	// If that has nothing, it is said, and it holds up nobody.
	must(t, w.a.Close())
	must(t, os.RemoveAll(filepath.Join(w.dir, "state")))
	must(t, os.WriteFile(beside[0], nil, 0o600))
	w.start()
	w.step(false)
	w.want("expectations-missing@-1: what was kept of the expectations of acme in " + filepath.Base(beside[0]) + " cannot be used, so that older ones may count now")
	w.serve(old)
	w.step(true)
	w.step(true)
	w.want()
	// One that cannot be written neither.
	must(t, os.Remove(beside[0]))
	must(t, os.Mkdir(beside[0], 0o700))
	must(t, os.WriteFile(filepath.Join(beside[0], "x"), nil, 0o600))
	w.serve(w.sign(3, 0, month, "release targets any"))
	w.step(true)
	w.step(true)
	w.want("expectations-missing@-1: expectations 3 of acme cannot be written to " + filepath.Base(beside[0]))
}

// Without expectations in force, no release is expected.
func TestEnded(t *testing.T) {
	w := newWorld(t)
	note := w.sign(1, 0, time.Minute, "release targets any")
	end := w.now.Add(time.Minute)
	w.serve(note)
	w.step(true)
	w.now = end.Add(-time.Second)
	w.step(false)
	w.want("expectations-missing@-1: expectations 1 of acme have ended at 2026-11-30T12:01:00Z, and there are no newer ones: no release is expected")
	w.step(false)
	w.release("targets")
	w.step(false)
	ended := "unexpected-release@2: targets 3 of acme is not what its vendor said would be released (expectations 1): no expectations are in force: expectations 1 ended at 2026-11-30T12:01:00Z"
	w.want("expectations-missing", ended)
	w.now = end.Add(expected.DefaultStale)
	w.step(false)
	w.want("expectations-stale@-1: expectations 1 of acme have ended at 2026-11-30T12:01:00Z, and there are no newer ones: no release is expected", ended)
	w.serve(w.sign(2, 0, month, "release targets any"))
	w.step(true)
	w.want(ended)
	w.release("targets")
	w.step(false)
	w.want(ended)
}

// Each release is judged once, those that came while nobody watched as well, by the
// expectations of the time: here those that ended while nobody watched, and those after.
func TestAway(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, time.Hour, "release targets next", firmware("2")))
	w.step(true)
	must(t, w.a.Close())
	w.a = nil
	w.now = w.now.Add(30 * time.Minute)
	w.put("firmware.bin", "2")
	w.now = w.now.Add(2 * time.Hour)
	w.put("firmware.bin", "3")
	w.put("firmware.bin", "4")
	w.serve(w.sign(2, 0, month, "release targets 4", firmware("3"), "release targets 5", firmware("5")))
	w.start()
	w.step(true)
	w.want("unexpected-release@4: targets 5 of acme is not what its vendor said would be released (expectations 2): firmware.bin is another file")
	w.start()
	w.step(true)
	w.want("@4")
}

// A watcher that comes later judges what came since the bases; and one whose expectations
// come later waits for them.
func TestLooksBack(t *testing.T) {
	w := newWorld(t)
	note := w.sign(1, 0, month, "release targets any")
	w.put("evil.bin", "evil")
	w.step(true)
	w.want("expectations-missing@-1: the expectations of acme cannot be read, so that no release is judged: there is no file " + w.note)
	w.serve(note)
	w.step(true)
	w.want("unexpected-release@2: targets 3 of acme is not")

	// Without a base in the log it begins at the end.
	w = newWorld(t)
	clear(w.bases)
	w.put("evil.bin", "evil")
	w.serve(w.sign(1, 0, month, "release targets any"))
	w.step(true)
	w.want()
	w.release("targets")
	w.step(true)
	w.want("unexpected-release@3: targets 4 of acme is not what its vendor said would be released (expectations 1): it lists evil.bin")
}

// Expectations that are signed a moment before the release count, and with Late those that
// come after it.
func TestInTime(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, month))
	w.step(true)
	w.serve(w.sign(2, 0, month, "release targets any")) // not read yet
	w.release("targets")
	w.step(false)
	w.want()

	w = newWorld(t)
	w.cfg.Late = time.Minute
	w.start()
	w.serve(w.sign(1, 0, month))
	w.step(true)
	w.release("targets")
	w.step(false)
	w.want()
	w.now = w.now.Add(50 * time.Second)
	w.serve(w.sign(2, 0, month, "release targets 3"))
	w.start()
	w.step(true)
	w.release("targets")
	w.step(false)
	w.want()
	w.now = w.now.Add(time.Minute)
	w.step(false)
	w.want("unexpected-release@3: targets 4 of acme is not what its vendor said would be released (expectations 2): version 4 is not expected, 3 is")
}

// Metadata that the log does not serve any more is waited for, and not for ever.
func TestWithheld(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, month, "release targets any"))
	w.step(true)
	w.release("targets")
	_, file := w.v.File("targets")
	w.now = w.now.Add(time.Second)
	_, err := w.a.Step(t.Context())
	must(t, err)
	w.log.Spoil(audittest.BlobPath(file), audittest.Missing)
	w.judge(true)
	w.want()
	w.log.Spoil(audittest.BlobPath(file), nil)
	w.step(false)
	w.want()
	w.release("targets")
	_, file = w.v.File("targets")
	w.now = w.now.Add(time.Second)
	_, err = w.a.Step(t.Context())
	must(t, err)
	w.log.Spoil(audittest.BlobPath(file), audittest.Missing)
	w.judge(true)
	w.now = w.now.Add(time.Minute)
	w.step(false)
	w.want("release-unseen@3: targets 4 of acme cannot be compared with what its vendor said would be released: its metadata is not at hand")
	// While the log is away nobody knows more. A file that is missing while all else is there is
	// withheld; it accuses the vendor of nothing, and the release is judged when it is there.
	w.now = w.now.Add(time.Hour)
	w.judge(false)
	w.want("release-unseen@3")
	w.step(false)
	w.want("release-withheld@3: targets 4 of acme cannot be compared")
	w.judge(false)
	w.start()
	w.step(true)
	w.want("release-withheld@3")
	w.log.Spoil(audittest.BlobPath(file), nil)
	w.step(false)
	w.want()
}

// A process that dies between the finding and its memory finds the same once more, which is
// one.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, month, "release targets any"))
	w.step(true)
	name := "expectations " + w.id.String()
	before, err := w.a.State().Get(t.Context(), name)
	must(t, err)
	w.put("evil.bin", "evil")
	w.step(false)
	w.want("@2")
	must(t, w.a.State().Set(t.Context(), name, before))
	must(t, w.a.State().Commit(t.Context()))
	w.serve(w.sign(2, 0, month, "release targets next"))
	w.start()
	w.step(true)
	w.want("@2: targets 3 of acme is not what its vendor said would be released (expectations 1)")
	// What is kept and damaged is said.
	must(t, w.a.State().Set(t.Context(), name, "{"))
	must(t, w.a.State().Commit(t.Context()))
	w.start()
	if err := w.w.Step(t.Context(), w.a, w.log.Source(), true); err == nil || !strings.Contains(err.Error(), "the state is damaged") {
		t.Errorf("a damaged memory: %v", err)
	}
}

// A server of expectations is asked with a tag, and is not trusted.
func TestServed(t *testing.T) {
	w := newWorld(t)
	note := w.sign(1, 0, month, "release targets any")
	answer, whole, unchanged := http.StatusOK, 0, 0
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if answer == http.StatusFound {
			http.Redirect(rw, r, "http://169.254.169.254/latest", http.StatusFound)
			return
		}
		rw.Header().Set("ETag", `"1"`)
		if answer == http.StatusOK && r.Header.Get("If-None-Match") == `"1"` {
			unchanged++
			rw.WriteHeader(http.StatusNotModified)
			return
		}
		whole++
		rw.WriteHeader(answer)
		_, _ = rw.Write(body)
	}))
	defer server.Close()
	w.cfg.From = strings.Replace(server.URL, "http://", "http://user:secret@", 1) + "/expect.note"
	w.start()
	body = note
	w.step(true)
	w.step(true)
	if whole != 1 || unchanged != 1 {
		t.Errorf("%d whole answers, %d that nothing changed", whole, unchanged)
	}
	w.want()
	for _, tt := range []struct {
		answer int
		body   []byte
		want   string
	}{
		{http.StatusNotFound, nil, "answers 404"},
		{http.StatusFound, nil, "redirects to"},
		{http.StatusOK, make([]byte, expect.MaxSize+1), "has more than 262144 bytes"},
		{http.StatusOK, note[:len(note)-9], "expect.note"},
	} {
		answer, body = tt.answer, tt.body
		w.start() // without the tag
		w.step(true)
		w.want("cannot be read")
		if trouble := w.w.Status().Trouble; !strings.Contains(trouble, tt.want) || strings.Contains(w.found()+trouble, "secret") {
			t.Errorf("want %q and no password: %s", tt.want, trouble)
		}
	}
	answer, body = http.StatusOK, note
	w.start()
	w.step(true)
	w.want()
	// Run reads by itself.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.w.Run(ctx); close(done) }()
	cancel()
	<-done

	for _, cfg := range []expected.Config{{}, {Name: "x", Repository: w.id, From: "y"}, {Name: "x", Repository: w.id, From: "y", Keys: []proofs.Key{w.log.Witnesses[0].Key()}}} {
		if _, err := expected.New(cfg); err == nil {
			t.Errorf("a watcher of %+v", cfg)
		}
	}
}

// The examples of docs/findings.md are sentences as they are made.
func TestDocumented(t *testing.T) {
	w := newWorld(t)
	note := w.sign(1, 0, time.Minute, "release targets any")
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	w.cfg.From = server.URL + "/expect.note"
	w.start()
	w.step(true)
	all := w.found()
	w.cfg.From = w.note
	w.start()
	w.serve(note)
	w.step(true)
	w.release("targets")
	w.release("targets")
	w.put("evil.bin", "evil")
	w.step(true)
	w.serve(w.sign(2, -2*time.Second, time.Minute-2*time.Second, "release targets any"))
	w.step(true)
	w.serve(note)
	w.step(true)
	all += strings.ReplaceAll(w.found(), w.note, server.URL+"/expect.note")
	w = newWorld(t)
	w.serve(w.sign(1, 0, time.Minute))
	w.step(true)
	w.now = w.now.Add(2 * time.Hour)
	w.step(false)
	all += w.found()
	b, err := os.ReadFile("../../docs/findings.md")
	must(t, err)
	for _, kind := range []audit.Kind{audit.UnexpectedRelease, audit.ExpectationsStale, audit.ExpectationsRolledBack, audit.ExpectationsMissing} {
		_, section, _ := strings.Cut(string(b), "### `"+string(kind)+"`\n")
		_, example, _ := strings.Cut(section, "\n> ")
		example, _, _ = strings.Cut(example, "\n")
		if example == "" || !strings.Contains(strings.ReplaceAll(all, server.URL, "https://acme.example"), example) {
			t.Errorf("%s: nothing says: %s\n%s", kind, example, all)
		}
	}
}
