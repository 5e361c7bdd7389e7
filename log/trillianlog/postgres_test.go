package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

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
	cfg.Tiles, cfg.Until = db.Tiles(lease), lease.Until
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
		return l, nil
	})
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
	mustAppend(t, old.Log, "old", 300)
	if err := old.lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	next, err := lead(t, db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, next.Log, "next", 300)
	if _, err := old.Append(t.Context(), batch("late", 3)); !errors.Is(err, ErrNoRight) {
		t.Errorf("the old leader's Append: %v", err)
	}
	if err := old.Rebuild(t.Context(), proofs.EmptyTree, nil); err == nil {
		t.Error("the old leader has emptied the copy")
	}
	wantOnce(t, next.Log, batch("old", 300), batch("next", 300))
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
