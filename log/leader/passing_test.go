package leader_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// one is one call of a method that fails.
type one struct {
	method string
	nth    int
	err    error
	after  bool // it has done its work all the same

	mu    sync.Mutex
	calls map[string]int
	hit   bool
}

// fails reports whether this call is the one.
func (o *one) fails(method string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[method]++
	if method != o.method || o.calls[method] != o.nth {
		return false
	}
	o.hit = true
	return true
}

func (o *one) wasHit() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hit
}

// read is a call that changes nothing.
func read[T any](o *one, method string, call func() (T, error)) (T, error) {
	if o.fails(method) {
		var none T
		return none, o.err
	}
	return call()
}

// write is a call that changes something: it fails before it has, or after.
func write[T any](o *one, method string, call func() (T, error)) (T, error) {
	if !o.fails(method) {
		return call()
	}
	var none T
	if o.after {
		if _, err := call(); err != nil {
			return none, err
		}
	}
	return none, o.err
}

func writeOnly(o *one, method string, call func() error) error {
	_, err := write(o, method, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// faulty are the parts of a log of which one call fails.
type (
	faultyStorage struct {
		log.Storage
		*one
	}
	faultyLedger struct {
		log.Ledger
		*one
	}
	faultyCheckpoints struct {
		log.Checkpoints
		*one
	}
	faultyBlobs struct {
		log.Blobs
		*one
	}
	faultyState struct {
		log.State
		*one
	}
)

func (f faultyStorage) Append(ctx context.Context, entries [][]byte) ([]int64, error) {
	return write(f.one, "Storage.Append", func() ([]int64, error) { return f.Storage.Append(ctx, entries) })
}

func (f faultyStorage) Integrated(ctx context.Context) (proofs.Tree, error) {
	return read(f.one, "Storage.Integrated", func() (proofs.Tree, error) { return f.Storage.Integrated(ctx) })
}

func (f faultyStorage) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return read(f.one, "Storage.ReadTile", func() ([]byte, error) { return f.Storage.ReadTile(ctx, level, index, width) })
}

func (f faultyStorage) ReadEntries(ctx context.Context, index int64, width int) ([]byte, error) {
	return read(f.one, "Storage.ReadEntries", func() ([]byte, error) { return f.Storage.ReadEntries(ctx, index, width) })
}

func (f faultyLedger) Load(ctx context.Context) (log.LedgerRecord, error) {
	return read(f.one, "Ledger.Load", func() (log.LedgerRecord, error) { return f.Ledger.Load(ctx) })
}

func (f faultyLedger) Swap(ctx context.Context, old, new log.LedgerRecord) error {
	return writeOnly(f.one, "Ledger.Swap", func() error { return f.Ledger.Swap(ctx, old, new) })
}

func (f faultyCheckpoints) Load(ctx context.Context) ([]byte, error) {
	return read(f.one, "Checkpoints.Load", func() ([]byte, error) { return f.Checkpoints.Load(ctx) })
}

func (f faultyCheckpoints) Store(ctx context.Context, note []byte) error {
	return writeOnly(f.one, "Checkpoints.Store", func() error { return f.Checkpoints.Store(ctx, note) })
}

func (f *faultyBlobs) wraps(blobs log.Blobs) { f.Blobs = blobs }

func (f *faultyBlobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return read(f.one, "Blobs.Blob", func() ([]byte, error) { return f.Blobs.Blob(ctx, sum) })
}

func (f *faultyBlobs) Put(ctx context.Context, files [][]byte) error {
	return writeOnly(f.one, "Blobs.Put", func() error { return f.Blobs.Put(ctx, files) })
}

func (f *faultyState) wraps(state log.State) { f.State = state }

func (f *faultyState) Position(ctx context.Context) (*proofs.Edge, error) {
	return read(f.one, "State.Position", func() (*proofs.Edge, error) { return f.State.Position(ctx) })
}

func (f *faultyState) Listed(ctx context.Context) (int64, error) {
	return read(f.one, "State.Listed", func() (int64, error) { return f.State.Listed(ctx) })
}

func (f *faultyState) Apply(ctx context.Context, edge *proofs.Edge, leaves []log.StateLeaf) error {
	return writeOnly(f.one, "State.Apply", func() error { return f.State.Apply(ctx, edge, leaves) })
}

func (f *faultyState) List(ctx context.Context, leaves []log.StateLeaf, done func(int64)) error {
	return writeOnly(f.one, "State.List", func() error { return f.State.List(ctx, leaves, done) })
}

func (f *faultyState) Records(ctx context.Context, repository tuf.Digest) ([]admit.Record, error) {
	return read(f.one, "State.Records", func() ([]admit.Record, error) { return f.State.Records(ctx, repository) })
}

func (f *faultyState) Tail(ctx context.Context, repository tuf.Digest, keep int) (tail []admit.Record, floors map[string]int64, err error) {
	return read2(f.one, "State.Tail", func() ([]admit.Record, map[string]int64, error) { return f.State.Tail(ctx, repository, keep) })
}

func (f *faultyState) Same(ctx context.Context, repository tuf.Digest, role string, version int64, payload tuf.Digest) ([]int64, error) {
	return read(f.one, "State.Same", func() ([]int64, error) { return f.State.Same(ctx, repository, role, version, payload) })
}

func (f *faultyState) Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	return read2(f.one, "State.Root", func() (admit.Record, bool, error) { return f.State.Root(ctx, payload) })
}

func (f *faultyState) Repositories(ctx context.Context, size int64) ([]log.RepositoryCount, error) {
	return read(f.one, "State.Repositories", func() ([]log.RepositoryCount, error) { return f.State.Repositories(ctx, size) })
}

func (f *faultyState) Lookup(ctx context.Context, sum tuf.Digest, limit int) ([]admit.Record, []log.Listing, error) {
	return read2(f.one, "State.Lookup", func() ([]admit.Record, []log.Listing, error) { return f.State.Lookup(ctx, sum, limit) })
}

func (f *faultyState) ListPath(ctx context.Context, path string, limit int) ([]log.Listing, error) {
	return read(f.one, "State.ListPath", func() ([]log.Listing, error) { return f.State.ListPath(ctx, path, limit) })
}

func (f *faultyState) Files(ctx context.Context, index int64, limit int) (rec admit.Record, files []log.Target, ok bool, err error) {
	if f.fails("State.Files") {
		return rec, nil, false, f.err
	}
	return f.State.Files(ctx, index, limit)
}

func (f *faultyState) Versions(ctx context.Context, repository tuf.Digest, role string) ([]admit.Record, error) {
	return read(f.one, "State.Versions", func() ([]admit.Record, error) { return f.State.Versions(ctx, repository, role) })
}

func read2[T, U any](o *one, method string, call func() (T, U, error)) (T, U, error) {
	if o.fails(method) {
		var t T
		var u U
		return t, u, o.err
	}
	return call()
}

// passingErrors are those of parts that are not there for a moment.
var passingErrors = []error{
	fmt.Errorf("the database is %w", log.ErrUnavailable),
	fmt.Errorf("read: %w", context.DeadlineExceeded),
	&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
}

// Whatever call of whatever part of a log fails once, when it is opened over entries that
// nobody has judged or while a release is brought into it, nothing halts: the log is
// opened again, or goes on by itself, and has each entry once.
func TestNoPassingErrorHalts(t *testing.T) {
	r := start(t, nil)
	v, w := newPlainVendor(t, "vendor"), newPlainVendor(t, "another")
	r.history(t, v, 3)
	r.unjudged(t, w, 2)
	was := r.remember(t)
	errs := passingErrors
	if testing.Short() {
		errs = passingErrors[:1]
	}
	methods := map[string]bool{
		"Storage.Append": true, "Storage.Integrated": false, "Storage.ReadTile": false, "Storage.ReadEntries": false,
		"Blobs.Blob": false, "Blobs.Put": true, "Ledger.Load": false, "Ledger.Swap": true, "Checkpoints.Load": false, "Checkpoints.Store": true,
		"State.Position": false, "State.Listed": false, "State.Apply": true, "State.List": true, "State.Records": false, "State.Tail": false, "State.Same": false,
		"State.Root": false, "State.Repositories": false, "State.Lookup": false, "State.ListPath": false, "State.Files": false, "State.Versions": false,
	}
	runs := 0
	for _, method := range slices.Sorted(maps.Keys(methods)) {
		for i := 0; i < 2*len(errs); i++ {
			after := i%2 == 1
			if after && !methods[method] {
				continue
			}
			nth := 1
			for ; ; nth++ {
				o := &one{method: method, nth: nth, err: errs[i/2], after: after, calls: map[string]int{}}
				was.restore(t)
				r.withOneFault(t, o, v, w)
				runs++
				if !o.wasHit() {
					break
				}
			}
			if nth == 1 {
				t.Errorf("nobody calls %s", method)
			}
		}
	}
	t.Logf("%d runs", runs)
}

// withOneFault opens a log and submits a release, with one call that fails.
func (r *running) withOneFault(t *testing.T, o *one, v, w *plainVendor) {
	t.Helper()
	what := fmt.Sprintf("call %d of %s (after: %v), %v", o.nth, o.method, o.after, o.err)
	fixed := r.Cfg
	defer func() { r.Cfg = fixed }()
	r.Cfg.Storage, r.Cfg.Ledger, r.Cfg.Checkpoints = faultyStorage{r.Cfg.Storage, o}, faultyLedger{r.Cfg.Ledger, o}, faultyCheckpoints{r.Cfg.Checkpoints, o}
	r.config.Blobs, r.config.State = &faultyBlobs{one: o}, &faultyState{one: o}
	var halt *log.Halt
	err := r.tryOpen(t)
	if err != nil && (errors.As(err, &halt) || !o.wasHit()) {
		t.Errorf("%s: opened: %v", what, err)
		return
	}
	if err != nil {
		if err = r.tryOpen(t); err != nil {
			t.Errorf("%s: opened again: %v", what, err)
			return
		}
	}
	r.log.KeepVersions(1) // so that the state is asked for what is not in memory
	r.serve()
	defer r.close(t)
	before := len(r.Storage.Entries())
	goes := func(why string, try func() (done bool, said string)) bool {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			done, said := try()
			if done {
				return true
			}
			if err := r.log.Publisher().Halted(); err != nil || time.Now().After(deadline) {
				t.Errorf("%s: %s: %s; %v", what, why, said, err)
				return false
			}
		}
	}
	for _, version := range []int64{4, 1} { // the second is logged already
		if !goes("submitted", func() (bool, string) {
			status, body := r.send(t, v, v.release(t, version, 1))
			return status == 200, string(body)
		}) {
			return
		}
	}
	for _, path := range []string{
		"/v1/repositories", "/v1/repositories/" + w.id.String(), "/v1/repositories/" + w.id.String() + "/roles/targets", "/v1/lookup/path/0",
		"/v1/lookup/sha256/" + w.id.String(), fmt.Sprintf("/v1/entries/%d/files", before), fmt.Sprintf("/v1/entries/%d/proof", before), "/readyz",
	} {
		if !goes("GET "+path, func() (bool, string) {
			resp, body := r.do(t, "GET", path, nil)
			return resp.StatusCode == 200, string(body)
		}) {
			return
		}
	}
	entries, seen := r.Storage.Entries(), map[string]bool{}
	for _, e := range entries {
		seen[string(e)] = true
	}
	if len(entries) != before+1 || len(seen) != len(entries) || r.log.Publisher().Published().Tree.N != int64(len(entries)) {
		t.Errorf("%s: %d entries, %d of them different, want %d; published %d", what, len(entries), len(seen), before+1, r.log.Publisher().Published().Tree.N)
	}
}

// memory is a log as it was.
type memory struct {
	r       *running
	dir     string
	entries int
	ledger  log.LedgerRecord
	note    []byte
	seen    []proofs.Tree
}

// remember takes down how a log is that is closed.
func (r *running) remember(t *testing.T) *memory {
	t.Helper()
	m := &memory{r: r, dir: r.dir, entries: len(r.Storage.Entries()), ledger: r.Ledger.Record}
	var err error
	m.note, err = r.Cfg.Checkpoints.Load(t.Context())
	check(t, err)
	for _, w := range r.Witnesses.All {
		m.seen = append(m.seen, w.Seen)
	}
	return m
}

// restore makes it as it was.
func (m *memory) restore(t *testing.T) {
	t.Helper()
	if strings.HasPrefix(m.r.dir, m.dir+"-") {
		check(t, os.RemoveAll(m.r.dir))
	}
	m.r.dir = m.dir + "-again"
	check(t, os.CopyFS(m.r.dir, os.DirFS(m.dir)))
	m.r.Storage.Truncate(m.entries)
	m.r.Ledger.Record = m.ledger
	m.r.Cfg.Checkpoints = &memCheckpoints{note: m.note}
	for i, w := range m.r.Witnesses.All {
		w.Seen = m.seen[i]
	}
}
