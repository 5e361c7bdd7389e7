package leader_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

func openServed(f *logtest.Fixture, path string) *publisher.Served {
	f.T.Helper()
	s, err := publisher.OpenServed(path, []proofs.Key{f.Cfg.Signer.Key()}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	check(f.T, err)
	return s
}

// A front end never goes back, whichever of its logs answers. One is opened to lead, because
// it has been given the lease, while another front end leads and publishes; and one publishes
// still when it has been deposed.
func TestFrontEndDoesNotGoBack(t *testing.T) {
	c := newCluster(t, nil)
	other := c.front(t)
	other.lead(t)
	c.Cfg.Served = openServed(c.Fixture, filepath.Join(t.TempDir(), "served"))
	t.Cleanup(c.Cfg.Served.Close)
	f := c.front(t)
	other.register(t, file(newVendor(t), "root").Data)
	opened, err := leader.Open(t.Context(), c.config())
	check(t, err)
	is := func(what string, want int64) {
		t.Helper()
		resp, body := f.do(t, "GET", "/checkpoint", nil)
		note, err := proofs.ParseNote(body)
		check(t, err)
		cp, err := proofs.ParseCheckpoint(note.Text)
		check(t, err)
		if resp.StatusCode != 200 || cp.Tree.N != want {
			t.Errorf("%s: size %d is served, want %d", what, cp.Tree.N, want)
		}
	}
	other.register(t, file(newVendor(t), "root").Data)
	is("it follows", 2)
	f.front.Switch(opened)
	is("it leads with what it has opened before", 2)
	f.front.Switch(f.follower)
	is("it follows again", 2)

	other.depose()
	led := f.lead(t)
	f.register(t, file(newVendor(t), "root").Data)
	is("it leads", 3)
	f.follower.Continue(led.Board())
	before, err := c.checkpoints.Load(t.Context())
	check(t, err)
	f.register(t, file(newVendor(t), "root").Data)
	is("it is about to lead no more", 4)
	c.checkpoints.set(before, errors.New("the network is down"))
	f.front.Switch(f.follower)
	is("it leads no more, and reads nothing", 4)
}

// What was served is known after a restart, and a file that cannot be relied on is
// refused with words that say what to do.
func TestServed(t *testing.T) {
	f, path := logtest.New(t), filepath.Join(t.TempDir(), "served")
	f.Cfg.Served = openServed(f, path)
	if n := f.Cfg.Served.Newest().Tree.N; n != 0 {
		t.Errorf("at first it has size %d", n)
	}
	p := f.Open()
	f.Grow(p, 2)
	f.Grow(p, 3)
	f.Cfg.Served.Close()
	if got, want := openServed(f, path).Newest(), p.Published(); got.Tree != want.Tree || !bytes.Equal(got.Note, want.Note) {
		t.Errorf("after a restart it has %v, want %v", got.Tree, want.Tree)
	}
	// It is written while the log is served, too, not only at the end.
	f.Cfg.Served = openServed(f, path)
	p = f.Open()
	f.Grow(p, 1)
	eventually(t, "the file has what was served", func() bool { return openServed(f, path).Newest().Tree == p.Published().Tree })

	other := logtest.New(t)
	for name, tt := range map[string]struct {
		change func(note []byte) []byte
		want   string
	}{
		"cut short":      {func(n []byte) []byte { return n[:40] }, "damaged"},
		"empty":          {func([]byte) []byte { return nil }, "damaged"},
		"another size":   {func(n []byte) []byte { return bytes.Replace(n, []byte("\n6\n"), []byte("\n5\n"), 1) }, "no key of the log has signed it"},
		"too large":      {func(n []byte) []byte { return append(n, make([]byte, 1<<20)...) }, "more than"},
		"another origin": {func(n []byte) []byte { return bytes.Replace(n, []byte("log.example\n"), []byte("other.example\n"), 1) }, `of log "other.example"`},
		"another key": {func([]byte) []byte {
			other.Grow(other.Open(), 1)
			b, _ := other.Cfg.Checkpoints.Load(t.Context())
			return b
		}, "no key of the log has signed it"},
	} {
		bad := filepath.Join(t.TempDir(), "served")
		check(t, os.WriteFile(bad, tt.change(bytes.Clone(f.Cfg.Served.Newest().Note)), 0o600))
		_, err := publisher.OpenServed(bad, []proofs.Key{f.Cfg.Signer.Key()}, f.Cfg.Logger)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	// A directory that cannot be written costs the memory, not the log.
	dir := t.TempDir()
	f.Cfg.Served = openServed(f, filepath.Join(dir, "served"))
	check(t, os.Remove(dir))
	p = f.Open()
	f.Grow(p, 1)
	f.Cfg.Served.Close()
	if f.Cfg.Served.Newest().Tree != p.Published().Tree {
		t.Error("it has forgotten in memory what it served")
	}
}

// The key of a log that does not grow is replaced: what was served is signed by the next
// one too, or no front end would start once the old one is gone.
func TestServedWithTheNextKey(t *testing.T) {
	f, path := logtest.New(t), filepath.Join(t.TempDir(), "served")
	f.Cfg.Served = openServed(f, path)
	f.Grow(f.Open(), 2)
	f.Cfg.Served.Close()
	next := logtest.NewSigner(t, "log.example", proofs.Ed25519)
	f.Cfg.Signer, f.Cfg.More = next, []log.Signer{f.Cfg.Signer}
	f.Policy.Logs = append(f.Policy.Logs, proofs.PolicyLog{Key: next.Key()})
	f.Witnesses.LogKeys = 2
	var err error
	f.Cfg.Served, err = publisher.OpenServed(path, []proofs.Key{next.Key(), f.Cfg.More[0].Key()}, f.Cfg.Logger)
	check(t, err)
	p := f.Open()
	check(t, p.Publish(t.Context(), false))
	f.Cfg.Served.Close()
	f.Cfg.More = nil
	if got, want := openServed(f, path).Newest(), p.Published(); got.Tree != want.Tree || !bytes.Equal(got.Note, want.Note) {
		t.Errorf("with the next key alone it has %v, want %v", got.Tree, want.Tree)
	}
}

// A process that has served more than what is there, or something else, signs nothing,
// although ledger, storage and published checkpoint agree with each other and no
// witness answers.
func TestServedMoreThanIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		stored, ledger int // of 5 that were served
		other          bool
		code           log.HaltCode
	}{
		"ledger and storage are old":      {2, 2, false, log.HaltStorageBehind},
		"the ledger is old":               {5, 2, false, log.HaltLedgerBehind},
		"they went on from an older date": {2, 2, true, log.HaltStorageForked},
		"all is there":                    {5, 5, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, path := logtest.New(t), filepath.Join(t.TempDir(), "served")
			f.Cfg.Served = openServed(f, path)
			f.Grow(f.Open(), 2)
			old := f.Ledger.Record
			f.Grow(f.Open(), 3)
			f.Cfg.Served.Close()
			if tt.ledger == 2 {
				f.Ledger.Record = old
				f.Cfg.Checkpoints = logdir.NewCheckpoint(filepath.Join(t.TempDir(), "checkpoint"))
			}
			f.Storage.Truncate(tt.stored)
			f.Witnesses.SetDown(true, true, true)
			if tt.other {
				for range 4 {
					_, err := f.Storage.Append(t.Context(), [][]byte{[]byte("another entry")})
					check(t, err)
				}
			}
			f.Cfg.Served = openServed(f, path) // as after a restart
			if tt.code == "" {
				f.Open()
				return
			}
			signed := f.Ledger.Record.Edge.Tree()
			_, err := publisher.Open(t.Context(), f.Cfg)
			var halt *log.Halt
			if !errors.As(err, &halt) || halt.Code != tt.code || !strings.Contains(halt.What, path) {
				t.Errorf("%v, want %s", err, tt.code)
			}
			if now := f.Ledger.Record.Edge.Tree(); now != signed {
				t.Errorf("size %d was signed", now.N)
			}
		})
	}
}

// A follower that is started over what is of an older date than what it served serves
// that on, is not ready, and passes nothing on.
func TestFollowServedMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "served")
	c, pub, _ := leaderAndFollower(t, nil)
	pub.register(t, file(newVendor(t), "root").Data)
	older, err := c.checkpoints.Load(t.Context())
	check(t, err)
	with := func(cfg *leader.Config) { cfg.Publisher.Served = openServed(c.Fixture, path) }
	c.change = with
	first := c.front(t)
	pub.register(t, file(newVendor(t), "root").Data)
	newest, err := c.checkpoints.Load(t.Context())
	check(t, err)
	eventually(t, "it serves the newest", func() bool {
		_, body := first.do(t, "GET", "/checkpoint", nil)
		return bytes.Equal(body, newest)
	})
	eventually(t, "it keeps that", func() bool { return bytes.Equal(openServed(c.Fixture, path).Newest().Note, newest) })

	c.checkpoints.set(older, nil)
	again := c.front(t)
	for name, f := range map[string]*frontEnd{"running": first, "started again": again} {
		if body := f.ready(t, 503); !bytes.Contains(body, []byte("contradicts")) {
			t.Errorf("%s: /readyz says %s", name, body)
		}
		if _, body := f.do(t, "GET", "/checkpoint", nil); !bytes.Equal(body, newest) {
			t.Errorf("%s: it serves\n%s", name, body)
		}
		resp, body := f.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
		problem(t, resp, body, 503, api.CodeUnavailable)
	}
	c.checkpoints.set(nil, nil)
	if body := again.ready(t, 503); !bytes.Contains(body, []byte("contradicts")) {
		t.Errorf("without a checkpoint: %s", body)
	}
	c.checkpoints.set(newest, nil)
	again.ready(t, 200)
	first.ready(t, 200)
}
