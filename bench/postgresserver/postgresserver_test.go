package postgresserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
)

func start(t *testing.T, cfg postgresserver.Config) *postgresserver.Server {
	t.Helper()
	s, err := postgresserver.Start(t.Context(), cfg)
	if errors.Is(err, postgresserver.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func exec1(t *testing.T, s *postgresserver.Server, sql string) string {
	t.Helper()
	out, err := s.Exec(t.Context(), "things", sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestKeepsWhatWasCommitted(t *testing.T) {
	s := start(t, postgresserver.Config{Dir: t.TempDir(), Settings: map[string]string{"max_connections": "17"}})
	if err := s.CreateDatabase(t.Context(), "things"); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateDatabase(t.Context(), "things"); err == nil {
		t.Error("made a database twice")
	}
	exec1(t, s, "CREATE TABLE thing (n int)")
	if got := exec1(t, s, "SHOW max_connections") + exec1(t, s, "SHOW fsync"); got != "17on" {
		t.Errorf("settings are %s", got)
	}
	url := s.URL("things")
	for i, end := range []func() error{s.Stop, s.Kill, func() error { return nil }} {
		exec1(t, s, fmt.Sprintf("INSERT INTO thing VALUES (%d)", i))
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := exec1(t, s, "SELECT count(*) FROM thing"); got != fmt.Sprint(i+1) {
			t.Fatalf("%s rows after the end of kind %d", got, i)
		}
	}
	if s.URL("things") != url {
		t.Errorf("was %s, is %s", url, s.URL("things"))
	}
	if _, err := s.Exec(t.Context(), "things", "SELECT nothing FROM nowhere"); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("bad SQL: %v", err)
	}
}

// Nothing of a server that was killed is left in the way of the next one, however
// busy it was.
func TestKillsAllOfIt(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills a real server")
	}
	dir := t.TempDir()
	s := start(t, postgresserver.Config{Dir: dir})
	if err := s.CreateDatabase(t.Context(), "things"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var busy sync.WaitGroup
	var answers atomic.Int64
	for range 6 {
		busy.Go(func() {
			for ctx.Err() == nil {
				// Killed in the middle of it, mostly.
				if _, err := s.Exec(ctx, "things", "SELECT count(*) FROM generate_series(1, 1000000)"); err == nil {
					answers.Add(1)
				}
			}
		})
	}
	for range 6 {
		before, began := answers.Load(), time.Now()
		for answers.Load() < before+3 {
			if time.Since(began) > time.Minute {
				t.Fatalf("%d answers in a minute", answers.Load()-before)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := errors.Join(s.Kill(), s.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	busy.Wait()
	said, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(said)) {
		if strings.Contains(line, "still in use") || strings.Contains(line, "already in use") {
			t.Errorf("started in vain: %s", line)
		}
	}
}

// parent is set for the process that starts a server and is killed.
const parent = "TUFLOG_POSTGRES_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parent); dir != "" {
		s, err := postgresserver.Start(context.Background(), postgresserver.Config{Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.URL("postgres"))
		select {}
	}
	os.Exit(m.Run())
}

func TestDiesWithItsParent(t *testing.T) {
	if _, err := postgresserver.Find(); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parent+"="+t.TempDir())
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(pipe).ReadString('\n')
	if err := errors.Join(err, cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	url = strings.TrimSpace(url)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := postgresserver.Exec(t.Context(), url, "SELECT 1"); err != nil {
			if !strings.Contains(err.Error(), "onnection") && !strings.Contains(err.Error(), "shutting down") {
				t.Fatal(err)
			}
			if strings.Contains(err.Error(), "refused") {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the server has outlived the process that started it")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
