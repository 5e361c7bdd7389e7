package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/runtest"
)

// What a phone, a mail and a witness saw is compared with the log. A fork becomes a file
// that proves it, and what is ahead of the log is kept until the log gets there.
func TestGossip(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program ten times")
	}
	w := newWorld(t)
	other := w.log.Clone()
	w.release("app.bin", "two")
	for i := range 3 {
		other.Append(fmt.Appendf(nil, "of another history %d", i))
	}
	dir := t.TempDir()
	file := func(name string, content string) string {
		path := filepath.Join(dir, name)
		w.must(os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	small := string(w.log.Checkpoint(2, 1))
	phone := file("phone.note", strings.ReplaceAll(small, "\n", "\r\n"))
	mail := file("mail.txt", "Hello,\n> "+strings.ReplaceAll(strings.TrimSuffix(small, "\n"), "\n", "\n> ")+"\nis what I see.\n")
	page := fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(audittest.Origin)))
	witness := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != page {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write(w.log.Checkpoint(3, 2))
	}))
	defer witness.Close()
	out, _ := w.run(0, "gossip", "--policy", w.policy, phone, mail, witness.URL, w.url+"/checkpoint")
	w.wantAll(out, "4 checkpoints, all of one history with what the log publishes\n", phone+":1", mail+":2", witness.URL+page+":1", "w1.test, w2.test")
	cmd := runtest.Command(t, "auditor", "gossip", "--policy", w.policy, "-")
	cmd.Stdin = strings.NewReader("Look:\n" + small)
	stdin, err := cmd.Output()
	if w.must(err); !strings.HasPrefix(string(stdin), "1 checkpoint, all of one history") {
		t.Errorf("from stdin: %s", stdin)
	}

	_, errs := w.run(2, "gossip", "--policy", w.policy, w.policy)
	w.wantAll(errs, "no whole checkpoint of "+audittest.Origin)
	out, errs = w.run(2, "gossip", "--policy", w.policy, phone, file("stranger.note", string(audittest.New(t).Checkpoint(0, 2))))
	w.wantAll(out, "2 checkpoints: 1 of one history with what the log publishes, 0 ahead of it, 1 that could not be compared\n")
	w.wantAll(errs, "stranger.note:1: it proves nothing")

	fork := file("fork.note", string(other.Checkpoint(3, 0)))
	out, _ = w.run(1, "gossip", "--policy", w.policy, "--out", filepath.Join(dir, "evidence"), fork, phone)
	w.wantAll(out, "FORK: the log signed two histories (1 of 2 checkpoints)\n")
	files, err := filepath.Glob(filepath.Join(dir, "evidence", "fork-3-3-*.conflict"))
	if w.must(err); len(files) != 1 {
		t.Fatal(files)
	}
	out, _ = w.run(0, "evidence", "check", "--key", w.log.Signer.Key().String(), files[0])
	w.wantAll(out, audittest.Origin+" showed two histories")

	// While the log is away, the state answers.
	state := filepath.Join(dir, "state")
	_, errs = w.run(2, "gossip", "--policy", w.policy, "--state", state, "--log", nobody, phone)
	w.wantAll(errs, "the log's checkpoint: ", "nor does the state have a checkpoint to compare with")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	out, errs = w.run(2, "gossip", "--policy", w.policy, "--state", state, "--log", nobody, phone)
	w.wantAll(out, "1 checkpoint, all of one history with what the state has of the log\n")
	w.wantAll(errs, "the log's checkpoint: ")
	out, _ = w.run(1, "gossip", "--policy", w.policy, "--state", state, "--log", nobody, "--out", filepath.Join(dir, "evidence"), fork)
	w.wantAll(out, "FORK: the log signed two histories", "in what the state has of the log")

	// Ahead of the log: nothing can be said now. The next replay of a larger tree can.
	ahead := file("ahead.note", string(other.Checkpoint(4, 0)))
	out, _ = w.run(0, "gossip", "--policy", w.policy, "--state", state, ahead)
	w.wantAll(out, "1 checkpoint: 0 of one history with what the log publishes, 1 ahead of it", "does not show it, so it cannot be compared yet")
	w.release("app.bin", "three")
	w.release("app.bin", "four")
	out, _ = w.run(1, "replay", "--policy", w.policy, "--state", state)
	w.wantAll(out, "fork", "size 4")
}
