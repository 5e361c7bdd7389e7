package trillianserver_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/trillianserver"
)

// What Trillian does with leaves is tested where they come from; here, that its
// programs start over an empty database, and again over a used one.
func TestStartsAndRestarts(t *testing.T) {
	db, err := postgresserver.Start(t.Context(), postgresserver.Config{Dir: t.TempDir()})
	if errors.Is(err, postgresserver.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := db.CreateDatabase(t.Context(), "trillian"); err != nil {
		t.Fatal(err)
	}
	bin, err := trillianserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cfg := trillianserver.Config{Bin: bin, DatabaseURL: db.URL("trillian")}
	for range 2 {
		s, err := trillianserver.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		target := s.Target()
		s.KillServer()
		if conn, err := net.DialTimeout("tcp", target, time.Second); err == nil {
			conn.Close()
			t.Fatal("the log server that was killed answers")
		}
		if err := s.PauseSigner(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(s.RestartServer(t.Context()), s.ResumeSigner(), s.Analyze(t.Context())); err != nil {
			t.Fatal(err)
		}
		if s.Target() != target {
			t.Errorf("was %s, is %s", target, s.Target())
		}
		if err := s.RestartServer(t.Context()); err == nil {
			t.Error("started a second log server")
		}
		s.Stop()
	}
	if _, err := trillianserver.Start(t.Context(), trillianserver.Config{Bin: bin, DatabaseURL: db.URL("none")}); err == nil {
		t.Error("started over a database that is not there")
	}
}
