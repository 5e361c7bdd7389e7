package main

import (
	"database/sql"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/serverlog"
	"github.com/tuflog/tuflog/tuf"
)

// onDisk writes files for blob add, and one that no log knows behind them.
func onDisk(t *testing.T, files []api.File) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range append(files, api.File{Name: "stranger.json", Data: []byte(`{"signed": {}}`)}) {
		paths = append(paths, filepath.Join(dir, f.Name))
		if err := os.WriteFile(paths[len(paths)-1], f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// said are the lines that blob add prints.
func said(paths []string, what ...string) (lines string) {
	for i, path := range paths {
		lines += path + ": " + what[i] + "\n"
	}
	return lines
}

// A log whose blobs.db, and state.db, are of an older date gets its files back, and
// no others.
func TestBlobAdd(t *testing.T) {
	w := newWorld(t, "--open-registration")
	v := newVendor(t)
	id := w.register(t, v)
	w.Log.Stop(t)
	for _, name := range []string{"blobs.db", "state.db"} {
		copyFile(t, w.Path("log/"+name), w.Path("old-"+name))
	}
	w.Log.Start(t)
	sent := release(t, v, "x")
	if _, err := w.client.Submit(t.Context(), id, sent); err != nil {
		t.Fatal(err)
	}
	paths := onDisk(t, sent)
	add := append([]string{"blob", "add", "--dir", w.Path("log")}, paths...)
	if _, stderr, code := runtest.Run(t, "logserver", add...); code != 2 {
		t.Errorf("added to a log that is served: exit %d\n%s", code, stderr)
	}
	w.Log.Stop(t)
	check := func(what string, want string) {
		t.Helper()
		if stdout, stderr, code := runtest.Run(t, "logserver", add...); code != 1 || stdout != want {
			t.Errorf("%s: exit %d\n%s%swant\n%s", what, code, stdout, stderr, want)
		}
	}
	check("nothing is missing", said(paths, maintain.There, maintain.There, maintain.Unnamed))
	for _, name := range []string{"blobs.db", "state.db"} {
		copyFile(t, w.Path("old-"+name), w.Path("log/"+name))
	}
	if stdout, _, code := runtest.Run(t, "logserver", "fsck", "--dir", w.Path("log")); code != 1 || !strings.Contains(stdout, "file does not exist") {
		t.Errorf("fsck of a log without files: exit %d, %s", code, stdout)
	}
	check("both databases are of an older date", said(paths, maintain.Stored, maintain.Stored, maintain.Unnamed))
	check("again", said(paths, maintain.There, maintain.There, maintain.Unnamed))
	runtest.Must(t, "logserver", "reindex", "--dir", w.Path("log"))
	runtest.Must(t, "logserver", "fsck", "--dir", w.Path("log"))

	db, err := sql.Open("sqlite", w.Path("log/blobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sum := tuf.Sum(sent[1].Data)
	if _, err := db.Exec("DELETE FROM blobs WHERE sum = ?", sum[:]); err != nil {
		t.Fatal(err)
	}
	check("one file is missing", said(paths, maintain.There, maintain.Stored, maintain.Unnamed))
	runtest.Must(t, "logserver", "fsck", "--dir", w.Path("log"))
	runtest.Must(t, "logserver", append(add[:4:4], paths[:2]...)...)
	actions, err := os.ReadFile(filepath.Join(w.Path("log.ledger"), maintain.ActionsFile))
	if err != nil || strings.Count(string(actions), `"action":"blob-add"`) != 3 || strings.Count(string(actions), sum.String()) != 2 {
		t.Errorf("actions: %s, %v", actions, err)
	}
}

// A log on servers that is being served gets a file back; and where Trillian's
// database is of an older date the copy of its entries stays.
func TestServersAreRestored(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	leader, _ := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	w.submitAt(t, leader, id, v, "1")
	sent := files(v)
	paths := onDisk(t, sent)
	sum := tuf.Sum(sent[0].Data)
	w.sql(t, fmt.Sprintf(`DELETE FROM blobs WHERE sum = '\x%v'`, sum))
	blobAdd := append([]string{"blob", "add", "--dir", w.Path("log"), "--storage", w.storage, "--state", w.state}, paths...)
	want := said(paths, maintain.Stored, maintain.There, maintain.Unnamed)
	if stdout, stderr, code := runtest.Run(t, "logserver", blobAdd...); code != 1 || stdout != want {
		t.Errorf("blob add: exit %d\n%s%swant\n%s", code, stdout, stderr, want)
	}
	if status, body := get(t, leader.URL+"/blob/sha256/"+sum.String()); status != 200 || string(body) != string(sent[0].Data) {
		t.Errorf("the file that was put back: %d", status)
	}
	if out, err := w.postgres.Exec(t.Context(), "tuflog", "SELECT * FROM actions"); err != nil || !strings.Contains(out, "blob-add") || !strings.Contains(out, sum.String()) {
		t.Errorf("actions: %s, %v", out, err)
	}
	w.stop(t, 0)

	before := w.statusOf(t, 0).Storage
	storage, err := serverlog.MakeTree(t.Context(), "trillian://"+w.trillian.Target())
	if err != nil {
		t.Fatal(err)
	}
	w.sql(t, fmt.Sprintf("UPDATE log SET storage = 'trillian tree %s'", path.Base(storage)))
	w.storage = storage
	for _, args := range [][]string{{"reindex", "--tiles"}, {"reindex"}} {
		_, stderr, code := w.tool(t, args[0], args[1:]...)
		if code != 2 || !strings.Contains(stderr, "newest database") || strings.Count(stderr, "must not go on") != 1 {
			t.Errorf("%v with an empty Trillian: exit %d\n%s", args, code, stderr)
		}
		if st := w.statusOf(t, 1); st.Code != log.HaltStorageBehind || *st.Storage != *before {
			t.Errorf("%v has changed the copy from %+v to %+v, %s", args, before, st.Storage, st.Code)
		}
	}
}
