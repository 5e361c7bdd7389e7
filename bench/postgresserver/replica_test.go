package postgresserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
)

func TestReplica(t *testing.T) {
	if testing.Short() {
		t.Skip("runs two servers")
	}
	s := start(t, postgresserver.Config{Dir: t.TempDir()})
	if err := s.CreateDatabase(t.Context(), "things"); err != nil {
		t.Fatal(err)
	}
	exec1(t, s, "CREATE TABLE thing (n int)")
	r, err := s.Replica(t.Context(), postgresserver.Config{Dir: t.TempDir()}, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
	}()
	exec1(t, s, "INSERT INTO thing VALUES (1)")
	err = process.Eventually(t.Context(), "the replica follows", time.Minute, func() bool {
		return exec1(t, r, "SELECT count(*) FROM thing") == "1"
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Exec(context.Background(), "things", "INSERT INTO thing VALUES (2)"); err == nil {
		t.Fatal("a replica was written that follows")
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec1(t, r, "INSERT INTO thing VALUES (2)")
}
