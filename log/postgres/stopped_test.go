package postgres

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// stalling passes on what programs send until it is told to stop. Then it passes on so
// many bytes more, and stands still with its connections open: as the kernel of a machine
// does on which a program is stopped in the middle of a write.
type stalling struct {
	listener net.Listener
	to       string
	left     atomic.Int64 // that are passed on; negative: no end
	stalled  chan struct{}
	standing context.Context
}

// stall makes it stand still after so many bytes more.
func (s *stalling) stall(after int64) { s.left.Store(after) }

// stallingURL is the URL of a database behind a stalling network.
func stallingURL(t *testing.T, database string) (*stalling, string) {
	t.Helper()
	u, err := url.Parse(database)
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &stalling{listener: l, to: u.Host, stalled: make(chan struct{}, 64), standing: t.Context()}
	s.left.Store(-1)
	t.Cleanup(func() { _ = l.Close() })
	go s.accept()
	u.Host = l.Addr().String()
	return s, u.String()
}

func (s *stalling) accept() {
	for {
		near, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.join(near)
	}
}

func (s *stalling) join(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", s.to)
	if err != nil {
		return
	}
	defer far.Close()
	go func() { _, _ = io.Copy(near, far) }()
	buf := make([]byte, 16<<10)
	for {
		n, err := near.Read(buf)
		if err != nil {
			return
		}
		if left := s.left.Load(); left >= 0 {
			if s.left.Store(max(0, left-int64(n))); left < int64(n) {
				_, _ = far.Write(buf[:left])
				s.stalled <- struct{}{}
				<-s.standing.Done()
				return
			}
		}
		if _, err := far.Write(buf[:n]); err != nil {
			return
		}
	}
}

// A leader that is stopped in the middle of what it writes, in a message or between two of
// them, keeps neither the lease nor anything else that it has locked from its successor.
func TestStoppedWhileWriting(t *testing.T) {
	const ttl = 900 * time.Millisecond
	tiles := map[proofs.TileID][]byte{}
	for i := range int64(12) { // what 3,000 entries add to the copy
		tiles[proofs.TileID{Level: -1, Index: i, Width: proofs.FullWidth}] = bytes.Repeat([]byte("x"), 90<<10)
	}
	// Two statements, of which the first is done.
	files := [][]byte{bytes.Repeat([]byte("a"), putBytes/2), bytes.Repeat([]byte("b"), putBytes/2), bytes.Repeat([]byte("c"), putBytes/2)}
	leaves := releases(0, 3000, 5, 1)
	edge := grow(t, new(proofs.Edge), leaves)
	for _, tt := range []struct {
		name  string
		after int64 // bytes
		write func(ctx context.Context, db *DB, l *Lease) error
	}{
		{"the copy", 300 << 10, func(ctx context.Context, db *DB, l *Lease) error { return db.Tiles(l).Extend(ctx, 0, 3072, tiles) }},
		{"files", putBytes + putBytes/4, func(ctx context.Context, db *DB, l *Lease) error { return db.Blobs().Fenced(l).Put(ctx, files) }},
		{"the derived state", 100 << 10, func(ctx context.Context, db *DB, l *Lease) error { return db.State(l).Apply(ctx, edge, leaves) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			database := newDatabase(t)
			network, through := stallingURL(t, database)
			old, next := open(t, through, ttl), open(t, database, ttl)
			check(t, old.Create(t.Context(), "log.example", "trillian:1"))
			a := lead(t, old, "old")
			network.stall(tt.after)
			failed := make(chan error, 1)
			go func() { failed <- tt.write(t.Context(), old, a) }()
			<-network.stalled
			stopped := time.Now()
			b := lead(t, next, "next")
			t.Logf("the next one leads after %v", time.Since(stopped).Round(time.Millisecond))
			if err := tt.write(t.Context(), next, b); err != nil {
				t.Errorf("the successor: %v", err)
			}
			if err := <-failed; err == nil {
				t.Error("the one that was stopped has written")
			}
		})
	}
}
