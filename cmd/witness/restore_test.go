package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// restored is a witness whose memory is tampered with, and the log that might
// show it a fork afterwards.
type restored struct {
	t   *testing.T
	dir string
	key proofs.Key
	log *witnesstest.Log

	server    *httptest.Server
	mu        sync.Mutex
	published []byte
}

func newRestored(t *testing.T) *restored {
	t.Helper()
	r := &restored{t: t, log: witnesstest.NewLog(t, "log.example")}
	r.dir, r.key = newWitness(t)
	r.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if req.URL.Path != "/checkpoint" || r.published == nil {
			http.NotFound(rw, req)
			return
		}
		if _, err := rw.Write(r.published); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(r.server.Close)
	mustRun(t, "log", "add", "--dir", r.dir, "--url", r.server.URL, r.log.Key().String())
	return r
}

// cosign has the log's present checkpoint cosigned, and publishes it.
func (r *restored) cosign(p *serving, old int64) {
	r.t.Helper()
	req := r.log.Request(old)
	sigs, err := p.client(r.key).AddCheckpoint(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = append(req.Checkpoint, sigs[0].String()...)
}

// grow makes the log grow to a size and has that cosigned.
func (r *restored) grow(p *serving, size int64) {
	r.t.Helper()
	old := r.log.Size()
	r.log.Grow(size-old, "")
	r.cosign(p, old)
}

// served runs the witness until it has cosigned a size of the log.
func (r *restored) served(size int64) {
	r.t.Helper()
	p := serveProgram(r.t, r.dir)
	r.grow(p, size)
	p.stop()
}

// fork returns another history of the log that shares its first entries.
func (r *restored) fork(common, size int64) *witnesstest.Log {
	l := witnesstest.NewLog(r.t, "log.example")
	l.Signer = r.log.Signer
	l.Grow(common, "")
	l.Grow(size-common, "fork")
	return l
}

// stopped sends checkpoints that a witness which forgot what it cosigned after
// size old would cosign, and expects none of them to be.
func (r *restored) stopped(p *serving, old int64) {
	r.t.Helper()
	size := r.log.Size()
	honest := r.fork(size, size+1)
	for _, l := range []*witnesstest.Log{r.fork(old, size), r.fork(old, size+1), honest} {
		_, err := p.client(r.key).AddCheckpoint(r.t.Context(), l.Request(old))
		var status *client.StatusError
		if !errors.As(err, &status) || status.Code != http.StatusServiceUnavailable {
			r.t.Fatalf("size %d from size %d: %v, want 503", l.Size(), old, err)
		}
	}
}

// latches checks what latch list says.
func (r *restored) latches(dir string, why ...string) {
	r.t.Helper()
	got := runProgram(r.t, "latch", "list", "--dir", dir, "--json")
	var listed []listedLatch
	if err := json.Unmarshal([]byte(got.stdout), &listed); err != nil {
		r.t.Fatal(err)
	}
	want := cli.ExitOK
	if len(why) > 0 {
		want = cli.ExitFailed
	}
	if got.code != want || len(listed) != len(why) {
		r.t.Fatalf("exit %d, %s; want %d latches", got.code, got.stdout, len(why))
	}
	for i, l := range listed {
		if l.Origin != "log.example" || !strings.Contains(l.Why, why[i]) || l.Cleared != "" {
			r.t.Errorf("latch %+v, want %q", l, why[i])
		}
	}
}

// resumes clears the latch and expects the witness to go on from where it was
// before its memory was tampered with.
func (r *restored) resumes(p *serving, dir string, old int64) {
	r.t.Helper()
	mustRefuse(r.t, "reason", "latch", "clear", "--dir", dir, "log.example")
	mustRun(r.t, "latch", "clear", "--dir", dir, "log.example", "--reason", "a test")
	r.latches(dir)
	size := r.log.Size()
	// The serving process notices soon; until then it says that it is stopped.
	var conflict *client.ConflictError
	eventually(r.t, func() error {
		_, err := p.client(r.key).AddCheckpoint(r.t.Context(), r.fork(old, size+1).Request(old))
		if !errors.As(err, &conflict) {
			return errors.Join(errors.New("a fork was not answered with a conflict"), err)
		}
		return nil
	})
	if conflict.Size != size {
		r.t.Fatalf("resumed at size %d, want %d", conflict.Size, size)
	}
	r.grow(p, size+2)
	if all := mustRun(r.t, "latch", "list", "--dir", dir, "--all"); !strings.Contains(all, "a test") {
		r.t.Errorf("the reason is not recorded: %q", all)
	}
}

// copyDir copies a directory, to a place where there is nothing.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// CopyFS is generous with permissions.
	for _, name := range []string{"witness.key", "witness-mldsa.key"} {
		if err := os.Chmod(filepath.Join(to, name), 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func replaceDir(t *testing.T, dir, by string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	copyDir(t, by, dir)
}

// TestRestoredState: yesterday's database, with the ledger of today.
func TestRestoredState(t *testing.T) {
	r := newRestored(t)
	r.served(5)
	backup := filepath.Join(t.TempDir(), "backup")
	copyDir(t, r.dir, backup)
	r.served(9)
	replaceDir(t, r.dir, backup)
	r.published = nil // the ledger alone must do
	p := serveProgram(t, r.dir)
	r.stopped(p, 5)
	r.latches(r.dir, "size 9 was cosigned, but the state ends at size 5")
	// Neither does it forget by being restarted, or restored once more.
	p.stop()
	p = serveProgram(t, r.dir)
	r.stopped(p, 5)
	p.stop()
	replaceDir(t, r.dir, backup)
	p = serveProgram(t, r.dir)
	r.stopped(p, 5)
	r.resumes(p, r.dir, 5)
	p.stop()
	p = serveProgram(t, r.dir)
	r.grow(p, 20)
}

// TestRestoredStateAndLedger: both are of yesterday; but the log has published
// what was cosigned since.
func TestRestoredStateAndLedger(t *testing.T) {
	r := newRestored(t)
	r.served(5)
	backup := filepath.Join(t.TempDir(), "backup")
	copyDir(t, r.dir, backup)
	copyDir(t, r.dir+".ledger", backup+".ledger")
	r.served(9)
	replaceDir(t, r.dir, backup)
	replaceDir(t, r.dir+".ledger", backup+".ledger")
	p := serveProgram(t, r.dir)
	// Not even the first request gets in before the log has been looked at.
	r.stopped(p, 5)
	r.latches(r.dir, "size 9 was cosigned, but the state ends at size 5")
	r.resumes(p, r.dir, 5)
}

// TestClonedState: a copy runs beside the witness, with the same key.
func TestClonedState(t *testing.T) {
	for _, how := range []string{"the log publishes", "a peer shows"} {
		t.Run(how, func(t *testing.T) {
			r := newRestored(t)
			r.served(5)
			clone := filepath.Join(t.TempDir(), "clone")
			copyDir(t, r.dir, clone)
			copyDir(t, r.dir+".ledger", clone+".ledger")
			q := serveProgram(t, clone)
			flags := []string{"--check-every", "100ms"}
			if how == "a peer shows" {
				// As it would be at the witness's own public address.
				flags = append(flags, "--peer", q.URL)
			}
			p := serveProgram(t, r.dir, flags...)
			if how == "a peer shows" {
				r.server.Close()
				mustRun(t, "log", "remove", "--dir", r.dir, "log.example")
				mustRun(t, "log", "add", "--dir", r.dir, r.log.Key().String())
				mustRun(t, "log", "remove", "--dir", clone, "log.example")
				mustRun(t, "log", "add", "--dir", clone, r.log.Key().String())
			}
			eventually(r.t, func() error { // the processes have noticed
				_, err := q.client(r.key).AddCheckpoint(t.Context(), r.log.Request(5))
				return err
			})
			r.grow(q, 9) // the copy cosigns, and the witness does not know
			eventually(r.t, func() error {
				if l := runProgram(t, "latch", "list", "--dir", r.dir); l.code != cli.ExitFailed {
					return errors.New("not latched")
				}
				return nil
			})
			r.stopped(p, 5)
		})
	}
}

// TestEmptiedState: the database is made anew, with the same key.
func TestEmptiedState(t *testing.T) {
	for _, how := range []string{"with the ledger", "without the ledger"} {
		t.Run(how, func(t *testing.T) {
			r := newRestored(t)
			r.served(9)
			files, err := filepath.Glob(filepath.Join(r.dir, "state.db*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			var keys []proofs.Key
			for vkey := range strings.Lines(mustRead(t, filepath.Join(r.dir, "witness.vkey"))) {
				key, err := proofs.ParseKey(strings.TrimSpace(vkey))
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, key)
			}
			if err := sqlite.Create(r.dir, keys...); err != nil {
				t.Fatal(err)
			}
			add := []string{"log", "add", "--dir", r.dir, r.log.Key().String()}
			if how == "without the ledger" {
				if err := os.RemoveAll(r.dir + ".ledger"); err != nil {
					t.Fatal(err)
				}
				add = append(add, "--url", r.server.URL)
			}
			p := serveProgram(t, r.dir)
			mustRun(t, add...)
			r.stopped(p, 0)
			r.latches(r.dir, "size 9 was cosigned, but the state knows of no checkpoint")
			r.resumes(p, r.dir, 0)
		})
	}
}

// TestLostLedger: the state may be an old one, moved to a new machine without
// its ledger. Nothing tells, so a person must.
func TestLostLedger(t *testing.T) {
	r := newRestored(t)
	r.served(5)
	if err := os.RemoveAll(r.dir + ".ledger"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the ledger that is made in its place changes nothing
		p := serveProgram(t, r.dir)
		r.stopped(p, 5)
		r.latches(r.dir, "the ledger was missing")
		p.stop()
	}
	mustRun(t, "latch", "clear", "--dir", r.dir, "--all", "--reason", "moved to another machine")
	r.served(7)

	// A ledger of another witness is no ledger.
	other, _ := newWitness(t)
	replaceDir(t, r.dir+".ledger", other+".ledger")
	mustRefuse(t, "belongs to another witness", "serve", "--dir", r.dir, "--listen", "127.0.0.1:0")
}
