package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// releases logs n releases and publishes the last.
func (w *world) releases(n int) {
	w.t.Helper()
	for range n {
		w.must(w.vendor.Release(tuf.RoleTargets))
		_, file := w.vendor.File(tuf.RoleTargets)
		_, snapshot := w.vendor.File(tuf.RoleSnapshot)
		if l, _ := w.log.Submit(w.repo, tuf.RoleTargets, file, snapshot); l.Kind != leaf.Release {
			w.t.Fatalf("%+v", l)
		}
	}
	w.log.Publish(2)
}

// A copy that is killed on the way is continued, can be read like the log by every
// command, from its folder and from any web server, and takes nothing that is false.
func TestMirror(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the program some twenty times")
	}
	w := newWorld(t)
	w.releases(300)
	size := w.log.Size()
	dir := filepath.Join(t.TempDir(), "copy")
	mirror := []string{"mirror", dir, "--policy", w.policy}

	reached, release := make(chan bool, 1), make(chan bool)
	w.log.Spoil("tile/files/001.p/46", func(b []byte) ([]byte, error) {
		reached <- true
		<-release
		return b, nil
	})
	cmd := runtest.Command(t, "auditor", mirror...)
	w.must(cmd.Start())
	<-reached
	w.must(cmd.Process.Kill())
	_ = cmd.Wait()
	close(release)
	w.log.Spoil("tile/files/001.p/46", nil)
	if _, err := os.Stat(filepath.Join(dir, "checkpoint")); err == nil {
		t.Fatal("there is a checkpoint over what was not copied yet")
	}
	_, errs := w.run(2, "replay", "--policy", w.policy, "--log", dir)
	w.wantAll(errs, "the checkpoint cannot be read: checkpoint in "+dir)

	out, _ := w.run(0, mirror...)
	w.wantAll(out, fmt.Sprintf("%s is a whole copy of log.test/audit at size %d, root ", dir, size), fmt.Sprintf("%d entries are new; ", size))
	out, _ = w.run(0, mirror...)
	w.wantAll(out, "Nothing is new.")

	static := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer static.Close()
	for _, log := range []string{dir, "file://" + dir, static.URL} {
		out, _ := w.run(0, "replay", "--policy", w.policy, "--log", log)
		w.wantAll(out, fmt.Sprintf("log.test/audit, size %d, root ", size), fmt.Sprintf("%d right, 0 wrong", size), "Nothing was found.")
	}
	out, _ = w.run(0, "lookup", tuf.Sum([]byte("one")).String(), "--policy", w.policy, "--log", dir)
	w.wantAll(out, "YES  ")
	out, _ = w.run(0, "show", w.repo.String()[:8], "--policy", w.policy, "--log", dir)
	w.wantAll(out, "app.bin")
	_, errs = w.run(2, "show", "a label", "--policy", w.policy, "--log", dir)
	w.wantAll(errs, "the copy in "+dir+" has neither the log's labels nor its index")
	_, errs = w.run(2, "lookup", tuf.Sum([]byte("one")).String(), "--quick", "--policy", w.policy, "--log", dir)
	w.wantAll(errs, "the copy in "+dir+" has neither the log's labels nor its index (without --quick the log is replayed)")
	_, errs = w.run(2, "replay", "--policy", w.policy, "--log", dir+".not")
	w.wantAll(errs, "is not an http or https URL, nor a folder")

	// A copy of the copy, which is behind when the log has grown.
	second := filepath.Join(t.TempDir(), "second")
	w.run(0, "mirror", second, "--policy", w.policy, "--log", static.URL)
	w.releases(2)
	out, _ = w.run(0, append(mirror, "--json")...)
	var told mirrorJSON
	w.must(json.Unmarshal([]byte(out), &told))
	if told.Before != size || told.Size != size+2 || told.Files == 0 || told.Missing == nil || told.Origin != "log.test/audit" {
		t.Errorf("%+v", told)
	}
	_, errs = w.run(2, "mirror", dir, "--policy", w.policy, "--log", second)
	w.wantAll(errs, "the log shows an older checkpoint than the one that is copied")
	out, _ = w.run(0, "replay", "--policy", w.policy, "--log", second)
	w.wantAll(out, fmt.Sprintf("size %d, root ", size))
	state := filepath.Join(t.TempDir(), "state")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	out, _ = w.run(2, "replay", "--policy", w.policy, "--state", state, "--log", second)
	w.wantAll(out, "outage   copy-behind", fmt.Sprintf("the copy of the log ends at size %d, and size %d was verified before", size, size+2), "The checked parts are as they should be")
	behind := httptest.NewServer(http.FileServer(http.Dir(second)))
	defer behind.Close()
	out, _ = w.run(1, "replay", "--policy", w.policy, "--state", state, "--log", behind.URL)
	w.wantAll(out, "tampering  rollback")

	// What the log does not serve is said each time.
	at := func(kind string) string {
		return fmt.Sprintf("tile/%s/%03d.p/%d", kind, w.log.Size()/256, w.log.Size()%256)
	}
	w.releases(1)
	_, snapshot := w.vendor.File(tuf.RoleSnapshot)
	withheld := []string{audittest.BlobPath(snapshot), at("files")}
	for _, path := range withheld {
		w.log.Spoil(path, audittest.Missing)
	}
	for range 2 {
		out, errs = w.run(2, mirror...)
		w.wantAll(out, "is a copy, with files missing,")
		w.wantAll(errs, "1 files are not in the copy, because the log does not serve them: they are listed in "+dir+"/missing")
	}
	for _, path := range withheld {
		w.log.Spoil(path, nil)
	}
	w.run(0, mirror...)

	// A log that lies, and one that has shown another history.
	other := w.log.Clone()
	w.releases(1)
	w.log.Spoil(at("entries"), func(b []byte) ([]byte, error) {
		return []byte(strings.Replace(string(b), "targets", "tergets", 1)), nil
	})
	_, errs = w.run(1, mirror...)
	w.wantAll(errs, "the log does not serve what it signed: tile/entries/", "has hash")
	other.Append([]byte("another history"))
	other.Append([]byte("and longer"))
	other.Publish(2)
	fork := httptest.NewServer(other)
	defer fork.Close()
	w.log.Spoil(at("entries"), nil)
	w.run(0, mirror...)
	_, errs = w.run(1, append(mirror, "--log", fork.URL)...)
	conflict := filepath.Join(dir, "fork.conflict")
	w.wantAll(errs, "the proof is in "+conflict)
	w.run(0, "evidence", "check", "--policy", w.policy, conflict)
	w.run(0, "replay", "--policy", w.policy, "--log", dir)
}
