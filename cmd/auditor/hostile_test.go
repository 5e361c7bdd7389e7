package main

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// TestHostileLogs has the program replay logs that lie, twice with one state. What it keeps
// of each accusation convinces the program itself, which is given nothing but the policy.
func TestHostileLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty processes; the package audit has the lies without them")
	}
	other := func(w *world) { // another history that begins like this one
		fork := w.log.Beginning(1)
		fork.Append([]byte("tuflog motto v7\n"))
		fork.Append([]byte("tuflog motto v8\n"))
		w.log.Become(fork)
		w.log.Publish(2)
	}
	tests := []struct {
		name          string
		lie, then     func(w *world) // before the first replay, and before the second
		first, second int            // exit codes
		says          string
		evidence      string // a file that evidence check takes; empty: none
	}{
		{"a fork", nil, other, 0, 1, "the log signed two histories", "fork-*/fork.conflict"},
		{"an empty tree", nil, func(w *world) { w.log.Serve(w.log.Checkpoint(0, 2)) }, 0, 1, "of size 0 after one of size 2", ""},
		{"a stranger's release", func(w *world) {
			thief, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
			w.must(err)
			w.must(thief.Release(tuf.RoleTargets))
			_, file := thief.File(tuf.RoleTargets)
			_, snapshot := thief.File(tuf.RoleSnapshot)
			m := audittest.Parse(t, file)
			w.log.Append(leaf.Leaf{Kind: leaf.Release, Repository: w.repo, Role: tuf.RoleTargets, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
				Size: int64(len(file)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByHash, Encoding: tuf.JSON}.Marshal(), file, snapshot)
			w.log.Publish(2)
		}, nil, 1, 1, "should not be in the log", "false-admission-*/*.accusation"},
		{"an entry that is not a leaf", func(w *world) {
			w.log.Append([]byte("hello"))
			w.log.Publish(2)
		}, nil, 1, 1, "is not a leaf", "bad-leaf-*/*.accusation"},
		{"a checkpoint without end", func(w *world) { w.log.Spoil("checkpoint", endless) }, func(w *world) { w.log.Spoil("checkpoint", nil) }, 2, 0, "The log is as it should be", ""},
		{"entries without end", func(w *world) { w.log.Spoil("tile/entries/000.p/2", endless) }, func(w *world) { w.log.Spoil("tile/entries/000.p/2", nil) }, 1, 0, "The log is as it should be", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			state := filepath.Join(t.TempDir(), "state")
			for i, step := range []struct {
				change func(w *world)
				code   int
			}{{tt.lie, tt.first}, {tt.then, tt.second}} {
				if step.change != nil {
					step.change(w)
				}
				out, _ := w.run(step.code, "replay", "--policy", w.policy, "--state", state)
				if i == 1 {
					w.wantAll(out, tt.says)
				}
			}
			if tt.evidence == "" {
				return
			}
			files, err := filepath.Glob(filepath.Join(state, "evidence", tt.evidence))
			w.must(err)
			if len(files) == 0 {
				t.Fatal("no evidence is kept")
			}
			for _, file := range files {
				out, _ := w.run(0, "evidence", "check", "--policy", w.policy, file)
				w.wantAll(out, audittest.Origin)
			}
		})
	}
}

func endless([]byte) ([]byte, error) { return bytes.Repeat([]byte("more "), 40<<20/5), nil }
