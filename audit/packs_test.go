package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/tuf"
)

// packsOf are a log's packs as a test wants them.
type packsOf struct {
	audit.Source
	pack func(ctx context.Context, index int64, width int) ([]byte, error)
}

func (p packsOf) Pack(ctx context.Context, index int64, width int) ([]byte, error) {
	return p.pack(ctx, index, width)
}

func packs(source audit.Source) audit.Packs { return source.(audit.Packs) }

// withPacks lets an auditor read packs by a function.
func withPacks(l *audittest.Log, pack func(ctx context.Context, index int64, width int) ([]byte, error)) func(*audit.Config) {
	return func(c *audit.Config) { c.Source = packsOf{l.Source(), pack} }
}

// newHistoryOf returns a log of some bundles, whose leaves have files.
func newHistoryOf(t *testing.T, size int64) *history {
	t.Helper()
	h := newHistory(t)
	for i := 0; h.Size() < size; i++ {
		h.release(tuf.RoleTargets, "app.bin", fmt.Sprint("version ", i))
	}
	h.Publish(2)
	return h
}

// padding is the kind of the leaves with which pad fills a log.
const padding = "tuflog padding v1"

// pad appends leaves that no auditor can read yet, whose findings need no evidence.
func (h *history) pad(size int64) {
	for h.Size() < size {
		h.Append(fmt.Appendf(nil, "%s\nnumber %d\n", padding, h.Size()))
	}
}

// blobsRead counts the files that were read by themselves.
func blobsRead(l *audittest.Log) (n int) {
	for _, path := range l.Read() {
		if strings.HasPrefix(path, "blob/") {
			n++
		}
	}
	return n
}

func packsRead(l *audittest.Log) (paths []string) {
	for _, path := range l.Read() {
		if strings.HasPrefix(path, "tile/files/") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths) // some are asked for at once
	return paths
}

// Whether files come in packs or by themselves, the audit is the same.
func TestPacks(t *testing.T) {
	h := newHistoryOf(t, 300)
	a := newAuditor(t, h.Log, at(h.Time))
	step(t, a)
	with := report(t, a)
	if !with.Vouches || blobsRead(h.Log) > 20 || !slices.Equal(packsRead(h.Log), []string{"tile/files/000", "tile/files/001.p/44"}) {
		t.Errorf("vouches %v, %d blobs and packs %v were read", with.Vouches, blobsRead(h.Log), packsRead(h.Log))
	}
	alone := newAuditor(t, h.Log, withoutPacks, at(h.Time))
	step(t, alone)
	if without := report(t, alone); !reflect.DeepEqual(with, without) {
		t.Errorf("with packs %+v\nwithout %+v", with, without)
	}

	// A few new leaves are not worth the pack of their bundle.
	h.release(tuf.RoleTargets, "app.bin", "one more")
	h.Publish(2)
	step(t, a)
	if got := packsRead(h.Log); len(got) != 2 || !report(t, a).Vouches {
		t.Errorf("for one new leaf these packs were read: %v", got)
	}
}

// A partial pack may be gone when its bundle has grown.
func TestPackOfABundleThatHasGrown(t *testing.T) {
	h := newHistoryOf(t, 40)
	served := h.Checkpoint(30, 2)
	h.Serve(served)
	h.pad(256)
	h.Spoil("tile/files/000.p/30", audittest.Missing)
	a := newAuditor(t, h.Log)
	step(t, a)
	if r := report(t, a); !r.Vouches || r.Judged != 30 || blobsRead(h.Log) > 20 {
		t.Errorf("vouches %v for %d leaves, %d blobs were read", r.Vouches, r.Judged, blobsRead(h.Log))
	}
}

// A log without packs is asked for one, and not for that of each bundle; one that lacks a
// pack is asked for the others.
func TestLogWithoutPacks(t *testing.T) {
	h := newHistoryOf(t, 40)
	h.pad(5 * 256)
	h.Publish(2)
	for name, tt := range map[string]struct {
		lacks func(index int64) bool
		asked int // at most: a few are asked for ahead
	}{
		"none": {func(int64) bool { return true }, 3},
		"one":  {func(index int64) bool { return index == 2 }, 5},
	} {
		asked := make(chan int64, 100)
		a := newAuditor(t, h.Log, withPacks(h.Log, func(ctx context.Context, index int64, width int) ([]byte, error) {
			asked <- index
			if tt.lacks(index) {
				return nil, audit.ErrNotFound
			}
			return packs(h.Log.Source()).Pack(ctx, index, width)
		}))
		step(t, a)
		if r := report(t, a); r.Judged != h.Size() || len(asked) > tt.asked {
			t.Errorf("%s: %d of %d leaves were judged, %d packs were asked for", name, r.Judged, h.Size(), len(asked))
		}
	}
}

// A pack that is not the one of its bundle says nothing about the log: it is found, and
// its files are read by themselves.
func TestWrongPacks(t *testing.T) {
	h := newHistory(t)
	right, err := packs(h.Log.Source()).Pack(t.Context(), 0, historySize)
	must(t, err)
	first := 36 + int(right[35]) + int(right[34])<<8 // where the second file's record begins
	a := newAuditor(t, h.Log, at(h.Time))
	step(t, a)
	want := report(t, a)
	for name, tt := range map[string]struct {
		served []byte
		err    error
		says   string // empty: nothing is found
	}{
		"a bit of a file":             {served: flipped(right, 40), says: "SHA-256"},
		"a bit of a digest":           {served: flipped(right, 3), says: "not named by any leaf"},
		"cut short":                   {served: right[:len(right)-1], says: "cut short"},
		"something behind":            {served: append(slices.Clone(right), 0), says: "1 bytes where a digest"},
		"a file twice":                {served: append(slices.Clone(right[:first]), right[:first]...), says: "twice"},
		"in another order":            {served: append(slices.Clone(right[first:]), right[:first]...), says: "named after it"},
		"larger than a pack may be":   {err: audit.ErrTooLarge, says: fmt.Sprint("more than ", pack.MaxSize)},
		"an outage":                   {err: errors.New("connection refused")},
		"a file left out":             {served: right[first:]},
		"no files":                    {served: []byte{}},
		"an error page with code 200": {served: []byte("<html>please log in</html>"), says: "is not the pack of its bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuditor(t, h.Log, at(h.Time), withPacks(h.Log, func(context.Context, int64, int) ([]byte, error) { return tt.served, tt.err }))
			step(t, a)
			got := report(t, a)
			i := slices.IndexFunc(got.Findings, func(f audit.Finding) bool { return f.Kind == audit.PackMismatch })
			if found := i >= 0; found != (tt.says != "") {
				t.Fatalf("found %+v", got.Findings)
			} else if found {
				if f := got.Findings[i]; f.Index != 0 || f.Class != audit.Hygiene || !strings.Contains(f.Sentence, tt.says) {
					t.Errorf("found %+v; want …%s…", f, tt.says)
				}
				got.Findings = slices.Delete(got.Findings, i, i+1)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// flipped returns a copy with another bit.
func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// Packs that do not come hold an audit up for less time than files that do not come could.
func TestSlowPacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		const bundles = 12
		h.pad(bundles * 256)
		h.Publish(2)
		const patience = time.Minute // of a client
		asked := make(chan int64, 100)
		a := newAuditor(t, h.Log, withPacks(h.Log, func(ctx context.Context, index int64, _ int) ([]byte, error) {
			asked <- index
			select {
			case <-ctx.Done():
			case <-time.After(patience):
			}
			return nil, errors.New("it does not come")
		}))
		began := time.Now()
		step(t, a)
		if took := time.Since(began); took > patience || len(asked) > 3 || report(t, a).Judged != h.Size() {
			t.Errorf("%d bundles took %v, %d packs were asked for, %d of %d leaves were judged", bundles, took, len(asked), report(t, a).Judged, h.Size())
		}
	})
}

// What an auditor need not keep for its reports changes none of them.
func TestReportOnly(t *testing.T) {
	h := newHistory(t)
	whole := newAuditor(t, h.Log, at(h.Time))
	step(t, whole)
	a := newAuditor(t, h.Log, at(h.Time), func(c *audit.Config) { c.ReportOnly = true })
	step(t, a)
	if got, want := report(t, a), report(t, whole); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if _, err := audit.New(t.Context(), audit.Config{Source: h.Source(), Policy: h.Policy(), StateDir: t.TempDir(), ReportOnly: true}); err == nil {
		t.Error("a state without what releases list was taken")
	}
}
