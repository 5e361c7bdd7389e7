package log

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

const (
	// scanAhead is how many bundles of entries are read before it is their turn.
	scanAhead = 4
	// scanWorkers is how many goroutines read, at most. Whoever takes what they
	// read has work of its own.
	scanWorkers = 2
	// scanBytes is about how much is kept, of the files that the leaves of one
	// bundle name. Others are read when it is their turn.
	scanBytes = 4 << 20
)

// batchReader is what blobs may implement that read many files faster together
// than one by one. It calls each for every file that is there and has its digest,
// in any order; data is valid during the call. What it leaves out is asked for by
// Blob, which says why, unless the error is ErrUnavailable.
type batchReader interface {
	ReadBlobs(ctx context.Context, sums []tuf.Digest, each func(sum tuf.Digest, data []byte)) error
}

// scan reads the entries of a log, and what is needed of the files that their
// leaves name, ahead of whoever takes them. However long the log is, a few bundles
// are in memory.
type scan struct {
	storage Storage
	blobs   admit.Blobs
	from    int64 // the first entry
	size    int64 // of the log
	// need says what is needed for an entry that is a leaf. It is called in
	// several goroutines.
	need func(*scanned)
}

// bundle is what was read of one bundle of entries.
type bundle struct {
	index   int64
	err     error // why it could not be read
	entries []scanned
	read    chan struct{} // closed when all is there
}

// scanned is an entry, with the files that its leaf names.
type scanned struct {
	admit.Record
	hash           proofs.Hash
	end            bool  // it is the log's end, and not a leaf
	bad            error // why it is neither
	file, snapshot named
}

// need is how much is needed of a file.
type need int

const (
	nothing    need = iota
	existence       // and the size
	targetList      // the target files that it lists, too
	everything
)

// named is a file that a leaf names.
type named struct {
	need need
	got  bool // the rest is there

	size    int
	err     error // why it could not be read
	invalid error // why it is no metadata
	targets []Target
	meta    *tuf.Metadata
}

// run calls take for the bundles in order, until it returns an error or the
// context ends.
func (s *scan) run(ctx context.Context, take func(*bundle) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	inOrder, unread := make(chan *bundle, scanAhead), make(chan *bundle)
	working.Go(func() {
		defer close(inOrder)
		defer close(unread)
		for index := s.from / proofs.FullWidth; index*proofs.FullWidth < s.size; index++ {
			b := &bundle{index: index, read: make(chan struct{})}
			for _, to := range []chan<- *bundle{inOrder, unread} {
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

// read reads the entries of a bundle, and what is needed for them.
func (s *scan) read(ctx context.Context, b *bundle) {
	entries, err := readBundle(ctx, s.storage, b.index, s.size)
	if err != nil {
		b.err = err
		return
	}
	first := b.index * proofs.FullWidth
	if s.from > first {
		entries, first = entries[s.from-first:], s.from
	}
	b.entries = make([]scanned, len(entries))
	for i, entry := range entries {
		e := &b.entries[i]
		e.Index, e.hash = first+int64(i), proofs.LeafHash(entry)
		if e.end = leaf.IsEnd(entry); e.end {
			continue
		}
		if e.Leaf, e.bad = leaf.Parse(entry); e.bad == nil {
			s.need(e)
		}
	}
	s.files(ctx, b.entries)
}

// files reads what is needed of the files of some entries, as far as it is not too
// much.
func (s *scan) files(ctx context.Context, entries []scanned) {
	type asking struct {
		file     *named
		encoding tuf.Encoding
	}
	wanted := map[tuf.Digest][]asking{}
	var sums []tuf.Digest
	ask := func(f *named, sum tuf.Digest, encoding tuf.Encoding) {
		if f.need == nothing || f.got {
			return
		}
		if wanted[sum] == nil {
			sums = append(sums, sum)
		}
		wanted[sum] = append(wanted[sum], asking{f, encoding})
	}
	for i := range entries {
		e := &entries[i]
		ask(&e.file, e.Leaf.Metadata, e.Leaf.Encoding)
		ask(&e.snapshot, e.Leaf.Snapshot, e.Leaf.Encoding)
	}
	kept := 0
	take := func(sum tuf.Digest, data []byte, err error) {
		all := wanted[sum]
		delete(wanted, sum)
		for i, a := range all {
			if i > 0 && all[i-1].file.need == a.file.need && all[i-1].encoding == a.encoding {
				*a.file = *all[i-1].file
				continue
			}
			if a.file.need > existence {
				if kept > 0 && kept+len(data) > scanBytes {
					continue
				}
				kept += len(data)
			}
			a.file.take(a.encoding, data, err)
		}
	}
	var away error
	if many, ok := s.blobs.(batchReader); ok {
		away = many.ReadBlobs(ctx, sums, func(sum tuf.Digest, data []byte) { take(sum, data, nil) })
	}
	for _, sum := range sums {
		switch {
		case wanted[sum] == nil || ctx.Err() != nil:
		case errors.Is(away, ErrUnavailable):
			take(sum, nil, away) // each would be waited for
		default:
			var data []byte
			data, away = s.blobs.Blob(ctx, sum)
			take(sum, data, away)
		}
	}
}

// complete reads what was too much to be read before.
func (s *scan) complete(ctx context.Context, e *scanned) {
	for _, f := range []struct {
		*named
		sum tuf.Digest
	}{{&e.file, e.Leaf.Metadata}, {&e.snapshot, e.Leaf.Snapshot}} {
		if f.need != nothing && !f.got {
			data, err := s.blobs.Blob(ctx, f.sum)
			f.take(e.Leaf.Encoding, data, err)
		}
	}
}

// take takes what is needed from a file.
func (f *named) take(encoding tuf.Encoding, data []byte, err error) {
	f.got, f.size, f.err = true, len(data), err
	if err != nil || f.need <= existence {
		return
	}
	if f.need == everything {
		data = slices.Clone(data) // it is kept
	}
	m, err := tuf.Parse(encoding, data)
	if err != nil {
		f.invalid = err
		return
	}
	f.targets = targetsOf(m)
	if f.need == everything {
		f.meta = m
	}
}

// Lists reports whether the metadata of a role may list target files.
func Lists(role string) bool {
	return role != tuf.RoleRoot && role != tuf.RoleSnapshot && role != tuf.RoleTimestamp
}
