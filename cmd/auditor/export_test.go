package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

func TestExport(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	file, folder, state := filepath.Join(dir, "history.sqlite"), filepath.Join(dir, "tables"), filepath.Join(dir, "state")
	out, _ := w.run(0, "export", file, "--policy", w.policy, "--state", state)
	w.wantAll(out, file+" has 2 entries of the log", "TABLE", "leaves        2\n", "files         1\n")
	if b, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(b), "SQLite format 3\x00") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	w.release("app.bin", "two")
	out, _ = w.run(0, "export", folder, "--policy", w.policy, "--state", state, "--format", "csv", "--json")
	var told struct {
		Out     string
		Entries int64
		Tables  []struct {
			Table string
			Rows  int64
		}
	}
	w.must(json.Unmarshal([]byte(out), &told))
	if told.Out != folder || told.Entries != 3 || len(told.Tables) != 10 || told.Tables[0].Table != "log" || told.Tables[0].Rows != 1 {
		t.Errorf("%+v", told)
	}
	files, err := os.ReadFile(filepath.Join(folder, "files.csv"))
	w.must(err)
	w.wantAll(string(files), "repository,role,path,length,sha256,", ",targets,app.bin,3,"+tuf.Sum([]byte("two")).String()+",")

	// What is found stands in it, whatever the exit code says.
	w.log.Append([]byte("no leaf"))
	w.log.Publish(2)
	_, errs := w.run(1, "export", folder, "--policy", w.policy, "--format", "jsonl")
	w.wantAll(errs, "tampering: bad-leaf")
	findings, err := os.ReadFile(filepath.Join(folder, "findings.jsonl"))
	w.must(err)
	w.wantAll(string(findings), `"kind":"bad-leaf","class":"tampering"`)

	_, errs = w.run(2, "export", folder, "--policy", w.policy, "--format", "xml")
	w.wantAll(errs, "--format xml: want sqlite, csv or jsonl")
	_, errs = w.run(2, "export", filepath.Join(dir, "none", "x"), "--policy", w.policy)
	w.wantAll(errs, "no such file or directory")

	// Not over what it reads.
	_, errs = w.run(2, "export", filepath.Join(state, "state.sqlite"), "--policy", w.policy, "--state", state)
	w.wantAll(errs, "is in the directory of the state")
	_, errs = w.run(2, "export", state, "--policy", w.policy, "--state", state, "--format", "csv")
	w.wantAll(errs, "is in the directory of the state")
	w.run(0, "findings", "--state", state)
}
