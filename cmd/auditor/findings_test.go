package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/lockfile"
)

// The life of a finding: new once, told, acknowledged; and the state that has it.
func TestFindingsLife(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(t.TempDir(), "state")
	_, errs := w.run(2, "findings", "--state", state)
	w.wantAll(errs, "there is no state in "+state, "auditor replay --state")
	_, errs = w.run(2, "replay", "--policy", w.policy, "--new-only")
	w.wantAll(errs, "--new-only needs --state")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	out, _ := w.run(0, "replay", "--policy", w.policy, "--state", state, "--new-only")
	if out != "Nothing was found up to size 2.\n" {
		t.Errorf("nothing: %s", out)
	}
	out, _ = w.run(0, "findings", "--state", state)
	w.wantAll(out, "There are no findings.")

	w.equivocate()
	// Who looks for something else has not told them.
	w.run(0, "show", "--policy", w.policy, "--state", state)
	out, _ = w.run(1, "replay", "--policy", w.policy, "--state", state, "--new-only")
	if w.wantAll(out, "second-payload", "FINDING"); strings.Contains(out, "ENCODING") {
		t.Errorf("it lists the repositories:\n%s", out)
	}
	out, _ = w.run(0, "replay", "--policy", w.policy, "--state", state, "--new-only")
	if strings.Contains(out, "second-payload") {
		t.Errorf("told again:\n%s", out)
	}
	if want := "Nothing new was found up to size 4. Known, and still there: 1, of which 1 of class tampering, equivocation or unexpected (auditor findings lists them).\n"; out != want {
		t.Errorf("nothing new:\n%s", out)
	}
	out, _ = w.run(0, "replay", "--policy", w.policy, "--state", state, "--new-only", "-v")
	w.wantAll(out, "Nothing new was found. Known, and still there: 1, of which 1 of class tampering", "REPOSITORY",
		"The log is as it should be", "A vendor's keys signed two payloads")
	out, _ = w.run(1, "replay", "--policy", w.policy, "--state", state) // all that is there
	w.wantAll(out, "second-payload")

	kept := func(args ...string) (list []audit.Finding) {
		t.Helper()
		out, _ := w.run(0, append([]string{"findings", "--json", "--state", state}, args...)...)
		w.must(json.Unmarshal([]byte(out), &list))
		return list
	}
	list := kept()
	if len(list) != 1 || list[0].Kind != audit.SecondPayload || list[0].New || list[0].Time == 0 || list[0].Last < list[0].Time || len(list[0].ID) != 64 {
		t.Fatalf("kept: %+v", list)
	}
	id := list[0].ID
	_, errs = w.run(2, "findings", "ack", id, "--state", state)
	w.wantAll(errs, "want either --reason TEXT or --undo")
	_, errs = w.run(2, "findings", "ack", "000000", "--reason", "x", "--state", state)
	w.wantAll(errs, "no such finding")
	out, _ = w.run(0, "findings", "ack", id[:6], "--reason", "the vendor told us", "--state", state)
	w.wantAll(out, id[:12]+" acknowledged: second-payload")
	out, _ = w.run(0, "findings", "--state", state)
	w.wantAll(out, "There is 1 finding, of which 1 acknowledged.", id[:12], "the vendor told us")
	// Also while another has the directory.
	lock, err := lockfile.AcquireDir(state)
	w.must(err)
	w.run(0, "findings", "ack", id, "--undo", "--state", state)
	if list := kept(); list[0].Acked != 0 {
		t.Errorf("undone: %+v", list)
	}
	w.must(lock.Release())

	// An outage goes, and stays known.
	w.log.Spoil("checkpoint", func([]byte) ([]byte, error) { return nil, os.ErrDeadlineExceeded })
	w.run(2, "replay", "--policy", w.policy, "--state", state, "--new-only")
	w.log.Spoil("checkpoint", nil)
	w.run(0, "replay", "--policy", w.policy, "--state", state, "--new-only")
	if there, all := kept(), kept("--all"); len(there) != 1 || len(all) != 2 || all[0].Gone != 0 || all[1].Kind != audit.Unreachable || all[1].Gone < all[1].Time || all[1].Gone == 0 {
		t.Errorf("there %+v, all %+v", there, all)
	}

	out, _ = w.run(0, "state", "check", "--state", state)
	w.wantAll(out, "The state is whole: its 4 leaves have root ", "as the newest checkpoint", "bytes for each leaf", "leaves_by_role")
	out, _ = w.run(0, "state", "check", "--state", state, "--json")
	var checked struct {
		Tree, Verified struct {
			Size int64
			Root string
		}
	}
	w.must(json.Unmarshal([]byte(out), &checked))
	if checked.Tree.Size != 4 || len(checked.Tree.Root) != 44 || checked.Verified != checked.Tree {
		t.Errorf("checked: %s", out)
	}
	path := filepath.Join(state, "state.sqlite")
	b, err := os.ReadFile(path)
	w.must(err)
	w.must(os.WriteFile(path, b[:len(b)/2], 0o644))
	_, errs = w.run(1, "state", "check", "--state", state)
	w.wantAll(errs, "the state is damaged", "put back a copy")
}
