package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// bundles is a Storage with entries alone.
type bundles struct {
	log.Storage
	entries [][]byte
}

func (b bundles) ReadEntries(_ context.Context, index int64, width int) (bundle []byte, err error) {
	for _, e := range b.entries[index*proofs.FullWidth:][:width] {
		if bundle, err = proofs.AppendEntry(bundle, e); err != nil {
			return nil, err
		}
	}
	return bundle, nil
}

// oneByOne are admit.Blobs that count what is asked of them.
type oneByOne struct {
	files map[tuf.Digest][]byte
	mu    sync.Mutex
	asked []tuf.Digest
}

func (b *oneByOne) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, sum)
	if file, ok := b.files[sum]; ok {
		return slices.Clone(file), nil
	}
	return nil, fs.ErrNotExist
}

// together are blobs that read many at once, and fail half way.
type together struct{ *oneByOne }

func (b together) ReadBlobs(_ context.Context, sums []tuf.Digest, each func(tuf.Digest, []byte)) error {
	for _, sum := range sums[:len(sums)/2] {
		if file, ok := b.files[sum]; ok {
			data := slices.Clone(file)
			each(sum, data)
			clear(data) // nobody may keep it
		}
	}
	return errors.New("the server has gone")
}

// listing is targets metadata of about size bytes with one target file.
func listing(version, size int) []byte {
	hash := tuf.Sum(fmt.Append(nil, version))
	return fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{"file-%d":{"custom":{"padding":"%s"},"hashes":{"sha256":"%v"},"length":%d}},"version":%d}}`,
		version, strings.Repeat("x", size), hash, version, version)
}

// listings are a log of as many leaves of targets, with their files; every second
// has a snapshot, the same for four.
func listings(t *testing.T, n, size int) (bundles, *oneByOne) {
	t.Helper()
	storage, blobs := bundles{}, &oneByOne{files: map[tuf.Digest][]byte{}}
	put := func(file []byte) tuf.Digest {
		sum := tuf.Sum(file)
		blobs.files[sum] = file
		return sum
	}
	for i := range n {
		file := listing(i+1, size)
		l := leaf.Leaf{
			Kind: leaf.Release, Repository: tuf.Sum([]byte("root")), Role: tuf.RoleTargets, Version: int64(i + 1),
			Payload: tuf.Sum(fmt.Append(nil, i)), Metadata: put(file), Size: int64(len(file)), Encoding: tuf.JSON,
		}
		if i%2 == 1 {
			l.Snapshot, l.Listed = put(fmt.Append(nil, "snapshot ", i/8)), leaf.ByVersion
		}
		storage.entries = append(storage.entries, l.Marshal())
	}
	return storage, blobs
}

func needAll(e *Scanned) {
	e.File.Need = Everything
	if !e.Leaf.Snapshot.IsZero() {
		e.Snapshot.Need = Existence
	}
}

// A scan gives every entry in order, with its files, however they are read.
func TestScan(t *testing.T) {
	const n = 3*proofs.FullWidth + 77
	storage, blobs := listings(t, n, 10)
	for name, b := range map[string]admit.Blobs{"one by one": blobs, "together": together{blobs}} {
		for _, from := range []int64{0, 5, proofs.FullWidth, n - 1, n} {
			s := Scan{Storage: storage, Blobs: b, from: from, Size: n, Need: needAll}
			next := from
			err := s.Run(t.Context(), func(b *Bundle) error {
				for i := range b.Entries {
					e := &b.Entries[i]
					if e.Index != next || e.Bad != nil || e.Leaf.Version != next+1 || e.Hash != proofs.LeafHash(storage.entries[next]) {
						t.Fatalf("%s, from %d: entry %d is %+v", name, from, next, e)
					}
					next++
					for _, f := range []Named{e.File, e.Snapshot} {
						if f.Got != (f.Need != Nothing) || f.Err != nil || f.Invalid != nil {
							t.Fatalf("%s: entry %d: %+v", name, e.Index, f)
						}
					}
					if e.File.Size != int(e.Leaf.Size) || !bytes.Equal(e.File.Meta.File, blobs.files[e.Leaf.Metadata]) {
						t.Fatalf("%s: entry %d has another file", name, e.Index)
					}
					if list := e.File.Targets; len(list) != 1 || list[0].Length != next {
						t.Fatalf("%s: entry %d lists %+v", name, e.Index, list)
					}
				}
				return nil
			})
			if err != nil || next != n {
				t.Errorf("%s, from %d: ended at %d of %d: %v", name, from, next, n, err)
			}
		}
	}
	blobs.asked = nil
	s := Scan{Storage: storage, Blobs: blobs, Size: 8, Need: needAll}
	err := s.Run(t.Context(), func(*Bundle) error { return nil })
	if err != nil || len(blobs.asked) != 9 {
		t.Errorf("8 files and a snapshot: %d were read, %v", len(blobs.asked), err)
	}
}

// Of large files not more than a few are in memory, and those of a bundle that are
// too much are there when they are asked for.
func TestScanOfLargeFiles(t *testing.T) {
	const n, size = 40, scanBytes / 8
	storage, blobs := listings(t, n, size)
	s := Scan{Storage: storage, Blobs: blobs, Size: n, Need: needAll}
	err := s.Run(t.Context(), func(b *Bundle) error {
		kept := 0
		for i := range b.Entries {
			if b.Entries[i].File.Got {
				kept += b.Entries[i].File.Size
			}
		}
		if kept == 0 || kept > scanBytes+2*size {
			t.Errorf("%d bytes are in memory", kept)
		}
		for i := range b.Entries {
			e := &b.Entries[i]
			s.Complete(t.Context(), e)
			if !e.File.Got || e.File.Err != nil || e.File.Meta == nil || e.Leaf.Snapshot.IsZero() == e.Snapshot.Got {
				t.Errorf("entry %d: %+v", e.Index, e)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is wrong with one entry is said of it alone.
func TestScanOfDamagedEntries(t *testing.T) {
	const n = 20
	storage, blobs := listings(t, n, 10)
	leafAt := func(i int) leaf.Leaf {
		l, err := leaf.Parse(storage.entries[i])
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	delete(blobs.files, leafAt(3).Metadata)
	blobs.files[leafAt(5).Metadata] = []byte("no JSON")
	storage.entries[7] = []byte("no leaf")
	s := Scan{Storage: storage, Blobs: together{blobs}, Size: n, Need: needAll}
	err := s.Run(t.Context(), func(b *Bundle) error {
		for i, e := range b.Entries {
			missing, invalid, bad := errors.Is(e.File.Err, fs.ErrNotExist), e.File.Invalid != nil, e.Bad != nil
			if missing != (i == 3) || invalid != (i == 5) || bad != (i == 7) {
				t.Errorf("entry %d: missing %v, invalid %v, bad %v", i, missing, invalid, bad)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Size = n + 300 // more than there is
	s.Storage = unreadable{}
	err = s.Run(t.Context(), func(b *Bundle) error { return b.Err })
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("a storage that cannot be read: %v", err)
	}
}

// away are blobs of a server that cannot be reached.
type away struct{ asked atomic.Int32 }

func (b *away) Blob(context.Context, tuf.Digest) ([]byte, error) {
	b.asked.Add(1)
	return nil, fmt.Errorf("blob: %w", log.ErrUnavailable)
}

// A server that is away is waited for once, not for every file.
func TestScanWithoutServer(t *testing.T) {
	const n = 100
	storage, _ := listings(t, n, 10)
	blobs := &away{}
	s := Scan{Storage: storage, Blobs: blobs, Size: n, Need: needAll}
	err := s.Run(t.Context(), func(b *Bundle) error {
		for i := range b.Entries {
			if err := b.Entries[i].File.Err; !errors.Is(err, log.ErrUnavailable) {
				t.Errorf("entry %d: %v", i, err)
			}
		}
		return nil
	})
	if err != nil || blobs.asked.Load() != 1 {
		t.Errorf("asked %d times, %v", blobs.asked.Load(), err)
	}
}

type unreadable struct{ log.Storage }

func (unreadable) ReadEntries(context.Context, int64, int) ([]byte, error) {
	return nil, errors.New("the disk is on fire")
}

// A scan that is broken off leaves nothing behind.
func TestScanEnds(t *testing.T) {
	storage, blobs := listings(t, 10*proofs.FullWidth, 10)
	enough := errors.New("enough")
	synctest.Test(t, func(t *testing.T) {
		s := Scan{Storage: storage, Blobs: blobs, Size: int64(len(storage.entries)), Need: needAll}
		if err := s.Run(t.Context(), func(*Bundle) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("after an error: %v", err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		taken := 0
		err := s.Run(ctx, func(*Bundle) error {
			if taken++; taken == 2 {
				cancel(enough)
			}
			return nil
		})
		if !errors.Is(err, enough) || taken != 2 {
			t.Errorf("after the end of the context: %d bundles, %v", taken, err)
		}
	})
}
