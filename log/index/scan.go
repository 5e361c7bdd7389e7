package index

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

const (
	// scanAhead is the number of bundles that are read ahead of their turn.
	scanAhead = 4
	// scanWorkers is the largest number of goroutines that read. The consumer
	// needs processors, too.
	scanWorkers = 2
	// scanBytes is about how many bytes of files are kept for one bundle.
	// Further files are read when it is their turn.
	scanBytes = 4 << 20
)

// batchReader may be implemented by blobs that read many files faster together
// than one by one. It calls each for every file that is there and has its digest,
// in any order; data is valid during the call. Files that it leaves out are read
// with Blob, which returns the reason, unless the error is ErrUnavailable.
type batchReader interface {
	ReadBlobs(ctx context.Context, sums []tuf.Digest, each func(sum tuf.Digest, data []byte)) error
}

// Scan reads the entries of a log, and the needed files that their leaves name,
// ahead of the consumer. It has only a few bundles in memory, however long the log
// is.
type Scan struct {
	Storage log.Storage
	Blobs   admit.Blobs
	from    int64 // the first entry
	Size    int64 // of the log
	// Need marks the files of a leaf that are needed. It is called from several
	// goroutines.
	Need func(*Scanned)
}

// Bundle is a bundle of entries that was read.
type Bundle struct {
	Index   int64
	Err     error // why it could not be read
	Entries []Scanned
	read    chan struct{} // closed when all is there
}

// Scanned is an entry, with the files that its leaf names.
type Scanned struct {
	admit.Record
	Hash           proofs.Hash
	End            bool  // it is the log's end, and not a leaf
	Bad            error // why it is neither
	File, Snapshot Named
}

// need is the part of a file that is needed.
type need int

const (
	Nothing    need = iota
	Existence       // and the size
	TargetList      // the target files that it lists, too
	Everything
)

// Named is a file that a leaf names.
type Named struct {
	Need need
	Got  bool // the rest is there

	Size    int
	Err     error // why it could not be read
	Invalid error // why it is no metadata
	Targets []log.Target
	Meta    *tuf.Metadata
}

// Run calls take for each bundle in order, until take returns an error or the
// context ends.
func (s *Scan) Run(ctx context.Context, take func(*Bundle) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	inOrder, unread := make(chan *Bundle, scanAhead), make(chan *Bundle)
	working.Go(func() {
		defer close(inOrder)
		defer close(unread)
		for index := s.from / proofs.FullWidth; index*proofs.FullWidth < s.Size; index++ {
			b := &Bundle{Index: index, read: make(chan struct{})}
			for _, to := range []chan<- *Bundle{inOrder, unread} {
				select {
				case to <- b:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	for range min(scanWorkers, runtime.GOMAXPROCS(0)) {
		working.Go(func() {
			for b := range unread {
				s.read(ctx, b)
				close(b.read)
			}
		})
	}
	for b := range inOrder {
		select {
		case <-b.read:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := take(b); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// read reads the entries of a bundle, and the files needed for them.
func (s *Scan) read(ctx context.Context, b *Bundle) {
	entries, err := log.ReadBundle(ctx, s.Storage, b.Index, s.Size)
	if err != nil {
		b.Err = err
		return
	}
	first := b.Index * proofs.FullWidth
	if s.from > first {
		entries, first = entries[s.from-first:], s.from
	}
	b.Entries = make([]Scanned, len(entries))
	for i, entry := range entries {
		e := &b.Entries[i]
		e.Index, e.Hash = first+int64(i), proofs.LeafHash(entry)
		if e.End = leaf.IsEnd(entry); e.End {
			continue
		}
		if e.Leaf, e.Bad = leaf.Parse(entry); e.Bad == nil {
			s.Need(e)
		}
	}
	s.files(ctx, b.Entries)
}

// files reads the needed files of some entries, up to scanBytes.
func (s *Scan) files(ctx context.Context, entries []Scanned) {
	type asking struct {
		file     *Named
		encoding tuf.Encoding
	}
	wanted := map[tuf.Digest][]asking{}
	var sums []tuf.Digest
	ask := func(f *Named, sum tuf.Digest, encoding tuf.Encoding) {
		if f.Need == Nothing || f.Got {
			return
		}
		if wanted[sum] == nil {
			sums = append(sums, sum)
		}
		wanted[sum] = append(wanted[sum], asking{f, encoding})
	}
	for i := range entries {
		e := &entries[i]
		ask(&e.File, e.Leaf.Metadata, e.Leaf.Encoding)
		ask(&e.Snapshot, e.Leaf.Snapshot, e.Leaf.Encoding)
	}
	kept := 0
	take := func(sum tuf.Digest, data []byte, err error) {
		all := wanted[sum]
		delete(wanted, sum)
		for i, a := range all {
			if i > 0 && all[i-1].file.Need == a.file.Need && all[i-1].encoding == a.encoding {
				*a.file = *all[i-1].file
				continue
			}
			if a.file.Need > Existence {
				if kept > 0 && kept+len(data) > scanBytes {
					continue
				}
				kept += len(data)
			}
			a.file.take(a.encoding, data, err)
		}
	}
	var away error
	if many, ok := s.Blobs.(batchReader); ok {
		away = many.ReadBlobs(ctx, sums, func(sum tuf.Digest, data []byte) { take(sum, data, nil) })
	}
	for _, sum := range sums {
		switch {
		case wanted[sum] == nil || ctx.Err() != nil:
		case errors.Is(away, log.ErrUnavailable):
			take(sum, nil, away) // each would be waited for
		default:
			var data []byte
			data, away = s.Blobs.Blob(ctx, sum)
			take(sum, data, away)
		}
	}
}

// Complete reads the needed files that were not read ahead because they are too
// large.
func (s *Scan) Complete(ctx context.Context, e *Scanned) {
	for _, f := range []struct {
		*Named
		sum tuf.Digest
	}{{&e.File, e.Leaf.Metadata}, {&e.Snapshot, e.Leaf.Snapshot}} {
		if f.Need != Nothing && !f.Got {
			data, err := s.Blobs.Blob(ctx, f.sum)
			f.take(e.Leaf.Encoding, data, err)
		}
	}
}

// take keeps the needed part of a file.
func (f *Named) take(encoding tuf.Encoding, data []byte, err error) {
	f.Got, f.Size, f.Err = true, len(data), err
	if err != nil || f.Need <= Existence {
		return
	}
	if f.Need == Everything {
		data = slices.Clone(data) // it is kept
	}
	m, err := codec.Parse(encoding, data)
	if err != nil {
		f.Invalid = err
		return
	}
	f.Targets = log.TargetsOf(m)
	if f.Need == Everything {
		f.Meta = m
	}
}
