package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
)

// server is one for all tests. Each has a database of its own.
var server struct {
	once sync.Once
	*postgresserver.Server
	dir       string
	err       error
	databases atomic.Int64
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.Server != nil {
		server.Stop()
	}
	if server.dir != "" {
		_ = os.RemoveAll(server.dir)
	}
	os.Exit(code)
}

// newDatabase returns the URL of an empty database.
func newDatabase(t testing.TB) string {
	t.Helper()
	server.once.Do(func() {
		if server.dir, server.err = os.MkdirTemp("", "pg"); server.err == nil {
			server.Server, server.err = postgresserver.Start(t.Context(), postgresserver.Config{Dir: server.dir})
		}
	})
	if errors.Is(server.err, postgresserver.ErrMissing) {
		t.Skip(server.err)
	}
	check(t, server.err)
	name := fmt.Sprintf("test%d", server.databases.Add(1))
	check(t, server.CreateDatabase(t.Context(), name))
	return server.URL(name)
}

// open opens a database. Leases last as long as ttl says.
func open(t testing.TB, url string, ttl time.Duration) *DB {
	t.Helper()
	db, err := Open(t.Context(), Config{URL: url})
	check(t, err)
	t.Cleanup(db.Close)
	if ttl > 0 {
		db.ttl = ttl
	}
	return db
}

// newLog opens a new database and makes a log in it.
func newLog(t testing.TB) *DB {
	t.Helper()
	db := open(t, newDatabase(t), 0)
	check(t, db.Create(t.Context(), "log.example", "trillian:1"))
	return db
}

// lead takes the lease, which must be free soon, and gives it back at the end.
func lead(t testing.TB, db *DB, id string) *Lease {
	t.Helper()
	l, err := db.Campaign(t.Context(), Candidate{ID: id, URL: "http://" + id})
	check(t, err)
	t.Cleanup(func() { l.abandon() })
	return l
}

// onClock gives databases a clock of their own, which goes no faster than the server answers:
// it stands still while the machine has no time for this process or for the server, so that
// no lease runs out for want of processor time. It never goes faster than real time.
func onClock(t testing.TB, dbs ...*DB) (now func() time.Time) {
	t.Helper()
	const tick = 10 * time.Millisecond
	begin := time.Now()
	var passed atomic.Int64
	now = func() time.Time { return begin.Add(time.Duration(passed.Load())) }
	for _, db := range dbs {
		db.now = now
	}
	asked := dbs[0].pool.Config().Copy()
	asked.MaxConns, asked.MinConns = 1, 0
	pool, err := pgxpool.NewWithConfig(t.Context(), asked)
	check(t, err)
	ticking, stop := context.WithCancel(t.Context())
	var clock sync.WaitGroup
	clock.Go(func() {
		for wait.For(ticking, tick) == nil {
			if _, err := pool.Exec(ticking, "SELECT 1"); err == nil {
				passed.Add(int64(tick))
			}
		}
	})
	t.Cleanup(func() { stop(); clock.Wait(); pool.Close() })
	return now
}

// abandon leaves the lease to expire, as a process does that is killed. Until and
// Context stay as they are.
func (l *Lease) abandon() {
	l.quit.Do(func() { close(l.abandoned) })
	<-l.stopped
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused wants an error that says something.
func refused(t testing.TB, what string, err, is error, says string) {
	t.Helper()
	if err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v; want %v with %q", what, err, is, says)
	}
}

var _ log.Blobs = (*Blobs)(nil)
