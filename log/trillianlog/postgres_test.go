package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
)

var databases atomic.Int64

// state is a new database for what front ends share.
func (c cluster) state(t testing.TB, tree int64) *postgres.DB {
	t.Helper()
	name := fmt.Sprint("state", databases.Add(1))
	if err := c.db.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: c.db.URL(name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Create(t.Context(), "log.example", fmt.Sprint("trillian:", tree)); err != nil {
		t.Fatal(err)
	}
	return db
}

// led is a log with the lease that it is led under.
type led struct {
	*Log
	lease *postgres.Lease
}

func (l led) Close() error {
	return errors.Join(l.Log.Close(), l.lease.Release(context.Background()))
}

// lead takes the lease, if nobody has it, and opens the log.
func lead(t testing.TB, db *postgres.DB, cfg Config) (led, error) {
	_, ok, err := db.Leader(t.Context())
	if err != nil {
		return led{}, err
	}
	if ok {
		return led{}, log.ErrLocked
	}
	lease, err := db.Campaign(t.Context(), postgres.Candidate{ID: t.Name(), URL: "http://localhost"})
	if err != nil {
		return led{}, err
	}
	cfg.Tiles, cfg.Until, cfg.Kept = db.Tiles(lease), lease.Until, lease.Kept
	l, err := Open(t.Context(), cfg)
	if err != nil {
		return led{}, errors.Join(err, lease.Release(t.Context()))
	}
	return led{l, lease}, nil
}

// The same suite with the copy where it belongs, and a real lease.
func TestStorageWithStateInPostgreSQL(t *testing.T) {
	c := need(t)
	var mu sync.Mutex
	type place struct {
		cfg Config
		db  *postgres.DB
	}
	places := map[string]place{}
	storagetest.Test(t, func(t *testing.T, dir string) (log.Storage, error) {
		mu.Lock()
		defer mu.Unlock()
		p, ok := places[dir]
		if !ok {
			p.cfg = c.config(t)
			p.db = c.state(t, p.cfg.TreeID)
			places[dir] = p
		}
		l, err := lead(t, p.db, p.cfg)
		if err != nil {
			return nil, err
		}
		return keeping{l, p.db}, nil
	})
}

// append keeps a batch and appends it, as a leader does.
func (l led) append(ctx context.Context, db *postgres.DB, entries [][]byte) error {
	_, err := keeping{l, db}.Append(ctx, entries)
	return err
}

// keeping keeps each batch that it appends.
type keeping struct {
	led
	db *postgres.DB
}

func (k keeping) Append(ctx context.Context, entries [][]byte) ([]int64, error) {
	tree, err := k.Integrated(ctx)
	if err == nil {
		err = k.db.Blobs().Fenced(k.lease).PutBatch(ctx, nil, tree.N, entries)
	}
	if err != nil {
		return nil, err
	}
	return k.Log.Append(ctx, entries)
}

// finish appends what the leader before was about to.
func (l led) finish(t *testing.T, db *postgres.DB) {
	t.Helper()
	first, entries, err := db.Batch(t.Context())
	if err == nil {
		err = l.Finish(t.Context(), first, entries)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A leader stands still while a batch is on its way to Trillian, of which nothing or a part
// has arrived. Its successor finishes that batch and goes on; then the rest arrives, and
// changes nothing.
func TestLateBatch(t *testing.T) {
	c := need(t)
	for name, tt := range map[string]struct {
		before int  // entries that are there before
		calls  int  // of the batch that arrive in time
		gone   bool // the late ones never arrive
	}{
		"into an empty tree":             {0, 0, false},
		"nothing arrived":                {20, 0, false},
		"nothing arrived, and never did": {20, 0, true},
		"a part arrived":                 {20, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && tt.calls == 0 {
				t.Skip("each has a thousand entries; the one of which a part arrives stays")
			}
			const many = maxLeaves + 30 // more than one call
			cfg := c.config(t)
			db := c.state(t, cfg.TreeID)
			good := cfg
			var stand atomic.Bool
			calls := 0
			standing, goOn := make(chan struct{}), make(chan struct{})
			cfg.dialOptions = intercept(func(ctx context.Context, method string, call func() error) error {
				if method == "AddSequencedLeaves" && stand.Load() {
					if calls++; calls == tt.calls+1 {
						close(standing)
						<-goOn
					}
					if tt.gone && calls > tt.calls {
						return status.Error(codes.InvalidArgument, "gone")
					}
				}
				return call()
			})
			old, err := lead(t, db, cfg)
			if err != nil {
				t.Fatal(err)
			}
			before := batch("before", tt.before)
			if tt.before > 0 {
				if err := old.append(t.Context(), db, before); err != nil {
					t.Fatal(err)
				}
			}
			stand.Store(true)
			late, failed := batch("late", many), make(chan error, 1)
			go func() { failed <- old.append(t.Context(), db, late) }()
			<-standing
			if err := old.lease.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			next, err := lead(t, db, good)
			if err != nil {
				t.Fatal(err)
			}
			next.finish(t, db)
			if n := integrated(t, next.Log).N; n != int64(tt.before+many) {
				t.Errorf("%d entries when the batch is finished, want %d", n, tt.before+many)
			}
			own := batch("own", 3)
			if err := next.append(t.Context(), db, own); err != nil {
				t.Fatal(err)
			}
			close(goOn)
			if err := <-failed; err == nil {
				t.Error("the old leader has appended")
			}
			if err := next.append(t.Context(), db, batch("last", 3)); err != nil {
				t.Fatal(err)
			}
			wantOnce(t, next.Log, before, late, own, batch("last", 3))
			if err := next.Check(t.Context(), nil); err != nil {
				t.Error(err)
			}
			next.finish(t, db) // all is there
			if n := integrated(t, next.Log).N; n != int64(tt.before+many+6) {
				t.Errorf("%d entries at the end", n)
			}
			if err := errors.Join(old.Log.Close(), next.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A batch that is older than the tree, or was kept for another one, is left out. What was not
// kept is not sent.
func TestBatchOfAnotherTree(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	cfg.Kept = func(first int64, entries [][]byte) error {
		if string(entries[0]) == "never 0" {
			return fmt.Errorf("not kept: %d", first)
		}
		return nil
	}
	l := open(t, cfg)
	mustAppend(t, l, "first", 5)
	if _, err := l.Append(t.Context(), batch("never", 2)); err == nil || !strings.Contains(err.Error(), "not kept: 5") {
		t.Errorf("appended what was not kept: %v", err)
	}
	for _, tt := range []struct {
		what    string
		first   int64
		entries [][]byte
		size    int64
	}{
		{"none", 0, nil, 5},
		{"the same", 0, batch("first", 5), 5},
		{"a part of it", 1, batch("first", 5)[1:3], 5},
		{"another", 0, batch("second", 5), 5},
		{"one that goes on otherwise", 4, batch("second", 5), 5},
		{"one behind the tree", 6, batch("second", 5), 5},
		{"one that goes on", 3, append(batch("first", 5)[3:], batch("second", 2)...), 7},
		{"the same again", 3, append(batch("first", 5)[3:], batch("second", 2)...), 7},
		{"one that begins at the end", 7, batch("third", 3), 10},
	} {
		if err := l.Finish(t.Context(), tt.first, tt.entries); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
		if n := integrated(t, l).N; n != tt.size {
			t.Errorf("%s: %d entries, want %d", tt.what, n, tt.size)
		}
	}
	// Something else is appended meanwhile.
	add(t, cfg, 10, []byte("foreign"))
	if err := l.Finish(t.Context(), 10, batch("fourth", 1)); err != nil {
		t.Error(err)
	}
	wantOnce(t, l, batch("first", 5), batch("second", 2), batch("third", 3), [][]byte{[]byte("foreign")})
}

// A leader whose lease is over changes neither Trillian nor the copy.
func TestDeposedLeader(t *testing.T) {
	c := need(t)
	cfg := c.config(t)
	db := c.state(t, cfg.TreeID)
	old, err := lead(t, db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.append(t.Context(), db, batch("old", 300)); err != nil {
		t.Fatal(err)
	}
	late := batch("late", 3)
	err = db.Blobs().Fenced(old.lease).PutBatch(t.Context(), nil, 300, late)
	if err := errors.Join(err, old.lease.Release(t.Context())); err != nil {
		t.Fatal(err)
	}
	next, err := lead(t, db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	next.finish(t, db)
	if err := next.append(t.Context(), db, batch("next", 300)); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Append(t.Context(), late); !errors.Is(err, errNoRight) {
		t.Errorf("the old leader's Append: %v", err)
	}
	if _, err := old.Append(t.Context(), batch("later", 3)); err == nil || !strings.Contains(err.Error(), "not the batch that is kept") {
		t.Errorf("the old leader's Append of what it did not keep: %v", err)
	}
	if err := old.Rebuild(t.Context(), proofs.EmptyTree, nil); err == nil {
		t.Error("the old leader has emptied the copy")
	}
	wantOnce(t, next.Log, batch("old", 300), late, batch("next", 300))
	if err := next.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
	r := OpenReader(db.Tiles(nil))
	if tree, err := r.Integrated(t.Context()); err != nil || tree != integrated(t, next.Log) {
		t.Errorf("a front end reads %v, %v", tree, err)
	}
	if _, err := c.db.Exec(t.Context(), fmt.Sprint("state", databases.Load()), "UPDATE tiles SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = 0 AND index = 1"); err != nil {
		t.Fatal(err)
	}
	if err := next.Check(t.Context(), nil); !errors.Is(err, ErrContradiction) {
		t.Errorf("Check of a copy with a changed tile: %v", err)
	}
	if err := next.Rebuild(t.Context(), integrated(t, next.Log), nil); err != nil {
		t.Fatal(err)
	}
	if err := next.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := errors.Join(old.Log.Close(), next.Close()); err != nil {
		t.Error(err)
	}
}
