package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

func TestLease(t *testing.T) {
	url := newDatabase(t)
	first, second := open(t, url, 0), open(t, url, 0)
	now := onClock(t, first, second)
	if l, ok, err := first.Leader(t.Context()); ok || err != nil {
		t.Fatalf("a leader at first: %v, %v", l, err)
	}
	a := lead(t, first, "a")
	if l, ok, err := second.Leader(t.Context()); err != nil || !ok || l.ID != "a" || l.URL != "http://a" || l.Epoch != a.Epoch() {
		t.Fatalf("leader: %v, %v, %v", l, ok, err)
	}
	// Nobody gets a lease that is renewed, longer than it would last.
	ctx, cancel := context.WithTimeout(t.Context(), leaseTTL+leaseTTL/3)
	defer cancel()
	if l, err := second.Campaign(ctx, Candidate{ID: "b"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("campaigned beside a leader: %v, %v", l, err)
	}
	if left := a.Until().Sub(now()); left <= 0 || left > leaseTTL || a.Context().Err() != nil {
		t.Fatalf("the leader has %v left, %v", left, context.Cause(a.Context()))
	}
	check(t, a.Release(t.Context()))
	refused(t, "context", context.Cause(a.Context()), errReleased, "")
	refused(t, "a write after the release", first.Tiles(a).Reset(t.Context()), ErrNotLeader, "released")
	// A released lease is taken at once: on a clock that stands still none runs out.
	still := now()
	second.now = func() time.Time { return still }
	b := lead(t, second, "b")
	if b.Epoch() <= a.Epoch() {
		t.Errorf("epoch %d after %d", b.Epoch(), a.Epoch())
	}
}

// A leader that is gone is followed when its lease is over, and not before. What
// it sends later is refused, even if it believes that it leads.
func TestSuccessor(t *testing.T) {
	const ttl = 900 * time.Millisecond
	url := newDatabase(t)
	first, second := open(t, url, ttl), open(t, url, ttl)
	clock := onClock(t, second)
	first.now = clock
	check(t, first.Create(t.Context(), "log.example", "trillian:1"))
	a := lead(t, first, "a")
	renewed := clock()
	a.abandon()
	until := a.Until()
	// Its clock stands still.
	now := clock()
	first.now = func() time.Time { return now }

	b := lead(t, second, "b")
	if wait := clock().Sub(renewed); wait < ttl-ttl/leaseRenewals || clock().Before(until) {
		t.Errorf("followed after %v, %v before the right had ended", wait, until.Sub(clock()))
	} else if wait > ttl+time.Second {
		t.Errorf("followed after %v", wait)
	}
	a.mu.Lock()
	a.until = now.Add(time.Hour)
	a.mu.Unlock()
	for what, write := range writes(t, first, a) {
		refused(t, what, write(), ErrNotLeader, "epoch 1")
		// It goes by the refusal, also if the row should name it again later.
		refused(t, "right after "+what, context.Cause(a.Context()), ErrNotLeader, "epoch 1")
		a.ctx, a.cancel = context.WithCancelCause(context.Background())
	}
	for what, write := range writes(t, first, nil) {
		refused(t, what, write(), ErrNotLeader, "")
	}
	a.pool = first.pool // its own is closed
	if err := a.renew(); !errors.Is(err, ErrNotLeader) {
		t.Errorf("renewed: %v", err)
	}
	// Releasing does not touch another's lease.
	check(t, a.Release(t.Context()))
	all := writes(t, second, b)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		if err := all[what](); err != nil {
			t.Errorf("%s by the leader: %v", what, err)
		}
	}
	if b.Epoch() != a.Epoch()+1 {
		t.Errorf("epoch %d after %d", b.Epoch(), a.Epoch())
	}
}

// The database's clock makes neither two leaders nor none: whatever expires says, a lease
// that is renewed is nobody else's, and one that is not has a successor.
func TestClockSteps(t *testing.T) {
	const ttl = 900 * time.Millisecond
	url := newDatabase(t)
	first, second := open(t, url, ttl), open(t, url, ttl)
	clock := onClock(t, first, second)
	a := lead(t, first, "a")
	taken := make(chan *Lease, 1)
	go func() {
		l, err := second.Campaign(t.Context(), Candidate{ID: "b"})
		if err != nil {
			t.Error(err)
		}
		taken <- l
	}()
	step := func(expires string) {
		t.Helper()
		// As it would be after a step of the clock, until the next renewal.
		_, err := first.pool.Exec(t.Context(), "UPDATE lease SET expires = "+expires)
		check(t, err)
	}
	for range 10 {
		before := a.Until()
		for _, expires := range []string{"clock_timestamp() - interval '1 hour'", "to_timestamp(0)", "clock_timestamp() + interval '1 hour'"} {
			step(expires)
			time.Sleep(campaigning / 3)
		}
		select {
		case <-a.Context().Done():
			t.Fatalf("the leader has lost its right: %v", context.Cause(a.Context()))
		case l := <-taken:
			t.Fatalf("taken in epoch %d beside a leader", l.Epoch())
		default:
		}
		for a.Until().Equal(before) {
			time.Sleep(time.Millisecond)
		}
	}
	a.abandon()
	gone := clock()
	step("clock_timestamp() + interval '1 hour'")
	b := <-taken
	t.Cleanup(b.abandon)
	if wait := clock().Sub(gone); wait < ttl-ttl/leaseRenewals-campaigning {
		t.Errorf("followed after %v", wait)
	}
	if b.Epoch() != a.Epoch()+1 {
		t.Errorf("epoch %d after %d", b.Epoch(), a.Epoch())
	}
}

// A front end of a version that knows nothing of renewals keeps its lease, and gives it
// up, by expires alone.
func TestRenewedByExpires(t *testing.T) {
	const ttl = 900 * time.Millisecond
	url := newDatabase(t)
	first, second := open(t, url, ttl), open(t, url, ttl)
	clock := onClock(t, first, second)
	a := lead(t, first, "a")
	a.abandon()
	set := func(expires string) {
		t.Helper()
		_, err := first.pool.Exec(t.Context(), "UPDATE lease SET expires = "+expires+" WHERE epoch = $1 AND holder = $2", a.epoch, a.holder)
		check(t, err)
	}
	taken := make(chan *Lease, 1)
	go func() {
		l, err := second.Campaign(t.Context(), Candidate{ID: "b"})
		if err != nil {
			t.Error(err)
		}
		taken <- l
	}()
	for began := clock(); clock().Sub(began) < ttl+ttl/2; {
		set("clock_timestamp() + interval '900 milliseconds'")
		select {
		case l := <-taken:
			t.Fatalf("taken in epoch %d from one that renews it", l.Epoch())
		case <-time.After(ttl / leaseRenewals):
		}
	}
	set("'-infinity'")
	var holder string
	check(t, first.pool.QueryRow(t.Context(), "SELECT holder FROM lease").Scan(&holder))
	if holder == "a" {
		t.Error("a lease that was given up has its holder still")
	}
	b := <-taken
	t.Cleanup(b.abandon)
	if b.Epoch() != a.Epoch()+1 {
		t.Errorf("epoch %d after %d", b.Epoch(), a.Epoch())
	}
}

// A candidate goes by its own clock, and by nothing that it was told before.
func TestWatching(t *testing.T) {
	now := time.Now()
	w := watching{ttl: time.Second, logger: slog.New(slog.DiscardHandler)}
	held := leaseRow{epoch: 1, renewals: 5, holder: "a"}
	for i, tt := range []struct {
		row   leaseRow
		after time.Duration
		want  bool
	}{
		{held, 0, false},
		{held, 900 * time.Millisecond, false},
		{leaseRow{1, 6, "a"}, 50 * time.Millisecond, false}, // renewed
		{leaseRow{1, 6, "a"}, 999 * time.Millisecond, false},
		{leaseRow{2, 6, "a"}, time.Millisecond, false}, // taken anew
		{leaseRow{2, 6, "b"}, time.Second, false},
		{leaseRow{2, 6, "b"}, time.Second, true},
		{leaseRow{2, 6, ""}, 0, true}, // given up
	} {
		now = now.Add(tt.after)
		if got := w.free(tt.row, time.Hour, now); got != tt.want {
			t.Errorf("step %d: free is %v", i, got)
		}
	}
}

// writes are all that only a leader may do.
func writes(t *testing.T, db *DB, l *Lease) map[string]func() error {
	empty, one := recordOf(t, 0), recordOf(t, 1)
	return map[string]func() error{
		"swap": func() error { return db.Ledger(l).Swap(t.Context(), empty, one) },
		"put":  func() error { return db.Blobs().Fenced(l).Put(t.Context(), [][]byte{[]byte("a file")}) },
		"put a batch": func() error {
			return db.Blobs().Fenced(l).PutBatch(t.Context(), nil, 7, [][]byte{[]byte("an entry")})
		},
		"store":  func() error { return db.Checkpoints(l).Store(t.Context(), one.Note) },
		"extend": func() error { return db.Tiles(l).Extend(t.Context(), 0, 0, nil) },
		"reset":  func() error { return db.Tiles(l).Reset(t.Context()) },
		"apply": func() error {
			leaves := releases(0, 2, 1, 1)
			return db.State(l).Apply(t.Context(), grow(t, new(proofs.Edge), leaves), leaves)
		},
		"list": func() error { return db.State(l).List(t.Context(), releases(0, 1, 1, 1), func(int64) {}) },
	}
}

// A transaction that began in time keeps the lease from a successor until it has
// committed, and does not keep its holder from renewing it.
func TestTransactionOutlivesLease(t *testing.T) {
	const ttl = 600 * time.Millisecond
	url := newDatabase(t)
	first, second := open(t, url, ttl), open(t, url, ttl)
	second.blocking = time.Hour
	onClock(t, first, second)
	a := lead(t, first, "a")
	tx, err := first.pool.Begin(t.Context())
	check(t, err)
	_, err = tx.Exec(t.Context(), fence, a.epoch, a.holder)
	check(t, err)
	check(t, a.renew()) // while the transaction holds the row
	a.abandon()
	taken := make(chan *Lease, 1)
	go func() {
		if l, err := second.Campaign(t.Context(), Candidate{ID: "b"}); err == nil {
			taken <- l
		}
	}()
	select {
	case <-taken:
		t.Fatal("taken over in the middle of a transaction")
	case <-time.After(2 * ttl):
	}
	check(t, tx.Commit(t.Context()))
	l := <-taken
	t.Cleanup(l.abandon)
}

// A candidate that could not lead leaves the lease to others, and is asked again.
func TestUnableCandidate(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases of real length")
	}
	url := newDatabase(t)
	first, second := open(t, url, 0), open(t, url, 0)
	var asked, able atomic.Int64
	taken := make(chan *Lease, 1)
	go func() {
		l, err := first.Campaign(t.Context(), Candidate{ID: "a", Able: func(context.Context) error {
			asked.Add(1)
			if able.Load() == 0 {
				return errors.New("not now")
			}
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
		taken <- l
	}()
	began := time.Now()
	for asked.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took < 2*unable-unable/4 {
		t.Errorf("asked three times within %v", took)
	}
	b := lead(t, second, "b")
	if b.Epoch() != 1 {
		t.Errorf("epoch %d: one that was unable has led", b.Epoch())
	}
	able.Store(1)
	check(t, b.Release(t.Context()))
	a := <-taken
	t.Cleanup(a.abandon)
	if a.Epoch() != 2 {
		t.Errorf("epoch %d", a.Epoch())
	}
}

// A leader whose transactions end in silence, because it was stopped or is cut
// off, does not keep its successor out.
func TestStoppedInTransaction(t *testing.T) {
	const ttl = 300 * time.Millisecond
	url := newDatabase(t)
	first, second := open(t, url, ttl), open(t, url, ttl)
	a := lead(t, first, "a")
	tx, err := first.pool.Begin(t.Context())
	check(t, err)
	_, err = tx.Exec(t.Context(), fence, a.epoch, a.holder)
	check(t, err)
	a.abandon()
	lead(t, second, "b")
	if err := tx.Commit(t.Context()); err == nil {
		t.Error("committed after another had taken over")
	}
}

// The right ends in time when the database does not answer.
func TestLeaseEndsWithoutDatabase(t *testing.T) {
	const ttl = 900 * time.Millisecond
	url := newDatabase(t)
	db := open(t, url, ttl)
	clock := onClock(t, db)
	l := lead(t, db, "a")
	check(t, execAs(t, url, "ALTER TABLE lease RENAME TO elsewhere"))
	<-l.Context().Done()
	if late := clock().Sub(l.until); late > ttl/4 {
		t.Errorf("the context ended %v after the right", late)
	}
	if until := l.Until(); !until.IsZero() {
		t.Errorf("the right that has ended lasts until %v", until)
	}
	refused(t, "context", context.Cause(l.Context()), ErrNotLeader, "")
}

// Renewals and reads go on after the server was started again.
func TestRestart(t *testing.T) {
	if testing.Short() {
		t.Skip("restarts a real server many times")
	}
	db := newLog(t)
	db.ttl = 2 * time.Minute // a busy machine takes its time to start a server
	l := lead(t, db, "a")
	tiles := db.Tiles(l)
	check(t, tiles.Extend(t.Context(), 0, 1, map[proofs.TileID][]byte{{Level: 0, Width: 1}: make([]byte, 32)}))
	old := l.Until()
	check(t, server.Kill())
	_, err := tiles.Size(t.Context())
	refused(t, "read without a server", err, log.ErrUnavailable, "")
	// The lease's own turn comes late: this one does not wait for it.
	renewed := make(chan error, 1)
	go func() { renewed <- l.renew() }()
	check(t, server.Restart(t.Context()))
	if size, err := tiles.Size(t.Context()); err != nil || size != 1 {
		t.Errorf("size after the restart: %d, %v", size, err)
	}
	if err := <-renewed; err != nil || !l.Until().After(old) {
		t.Fatalf("the lease was not renewed after a time without a server: %v", err)
	}
	if leader, ok, err := db.Leader(t.Context()); err != nil || !ok || leader.Epoch != l.Epoch() {
		t.Errorf("leader: %v, %v, %v", leader, ok, err)
	}
	check(t, db.Ledger(l).Swap(t.Context(), recordOf(t, 0), recordOf(t, 1)))
}

// Who cannot campaign says what is in the way: a lease whose row is gone, say, and how it
// comes back. The epoch after that is larger than any before.
func TestNoLease(t *testing.T) {
	url := newDatabase(t)
	db := open(t, url, 0)
	check(t, db.Create(t.Context(), "log.example", "trillian:1"))
	before := lead(t, db, "a")
	check(t, before.Release(t.Context()))
	check(t, execAs(t, url, "DELETE FROM lease"))
	barred := make(chan error, 100)
	taken := make(chan *Lease)
	go func() {
		l, err := db.Campaign(t.Context(), Candidate{ID: "b", Barred: func(err error) { barred <- err }})
		if err != nil {
			t.Error(err)
		}
		taken <- l
	}()
	err := <-barred
	if err == nil || !strings.Contains(err.Error(), "lost its row") {
		t.Fatalf("without the row: %v", err)
	}
	_, statement, _ := strings.Cut(err.Error(), "bring it back: ")
	check(t, execAs(t, url, statement))
	l := <-taken
	defer func() { check(t, l.Release(context.WithoutCancel(t.Context()))) }()
	for last := err; last != nil; last = <-barred {
	}
	if l.Epoch() <= before.Epoch() {
		t.Errorf("epoch %d after %d", l.Epoch(), before.Epoch())
	}
	check(t, db.Ledger(l).Swap(t.Context(), recordOf(t, 0), recordOf(t, 1)))
}

// A server that is read-only for a while, because its disk is full, say, is read by who is
// started meanwhile, and is not available for the rest.
func TestReadOnly(t *testing.T) {
	url := newDatabase(t)
	check(t, open(t, url, 0).Create(t.Context(), "log.example", "trillian:1"))
	db := open(t, url+"&default_transaction_read_only=on", 0)
	if origin, _, err := db.Log(t.Context()); err != nil || origin != "log.example" {
		t.Errorf("read: %q, %v", origin, err)
	}
	if _, err := db.FrontEnds(t.Context()); err != nil {
		t.Errorf("front ends: %v", err)
	}
	_, err := db.Tell(t.Context(), FrontEnd{ID: "a"})
	refused(t, "tell", err, log.ErrUnavailable, "read-only")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = db.Campaign(ctx, Candidate{ID: "a", Barred: func(err error) {
		refused(t, "campaign", err, log.ErrUnavailable, "read-only")
		cancel()
	}})
	refused(t, "campaign", err, context.Canceled, "")
	// What is new to the program has to be made first, and can be later.
	_, err = Open(t.Context(), Config{URL: newDatabase(t) + "&default_transaction_read_only=on"})
	refused(t, "open", err, log.ErrUnavailable, "read-only")
}

// A server without a connection to spare is busy, not broken.
func TestTooManyConnections(t *testing.T) {
	url := newDatabase(t)
	db := open(t, url, 0)
	check(t, execAs(t, url, "CREATE ROLE guest LOGIN CONNECTION LIMIT 0"))
	_, err := Open(t.Context(), Config{URL: url + "&user=guest"})
	refused(t, "open", err, log.ErrUnavailable, "too many connections")
	db.config.ConnConfig.Port = 1
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = db.Campaign(ctx, Candidate{ID: "a"})
	refused(t, "campaign without a server", err, context.DeadlineExceeded, "")
}

func execAs(t *testing.T, url, text string) error {
	t.Helper()
	db := open(t, url, 0)
	_, err := db.pool.Exec(t.Context(), text)
	if err != nil {
		err = fmt.Errorf("%s: %w", text, err)
	}
	return err
}
