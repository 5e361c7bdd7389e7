package audit

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// This file reads ahead of the judgement, on all cores: bundles, the files that their
// leaves name, and whether the keys that are likely to count have signed them. The
// judgement alone decides, in log order, and finds its work done; what it finds missing
// or unlikely it does itself.

// Limits of what is read ahead of the leaf that is being judged.
const (
	bundlesAhead = 3        // bundles with their packs
	filesAhead   = 4        // bundles that are hashed, or tiles that are compared
	leavesAhead  = 512      // leaves: they are read while the judgement waits for the disk
	singlesAhead = 8        // of them, those with a file that is fetched by itself
	bytesAhead   = 64 << 20 // what their leaves say that their files take, parsed

	maxLikelySnapshot = 4 << 20 // bytes of a snapshot, of which the leaf does not name the size
	perLeaf           = 16 << 10
)

// item is an entry to be judged.
type item struct {
	index int64
	raw   []byte
	last  bool // of its bundle
	final bool // no other follows

	leaf    leaf.Leaf
	leafErr error
	files   map[tuf.Digest][]byte // that the pack of its bundle has
	single  bool                  // one of its files may have to be fetched by itself
	pack    string                // what is wrong with the pack, said with the first leaf of its bundle
}

// packed reports whether all of an entry's files are in the pack of its bundle.
func (it *item) packed() bool {
	_, metadata := it.files[it.leaf.Metadata]
	_, snapshot := it.files[it.leaf.Snapshot]
	return metadata && (snapshot || it.leaf.Snapshot.IsZero())
}

// loaded is an entry with the files that its leaf names.
type loaded struct {
	item
	metadata *tuf.Metadata
	parts    *parts        // of the metadata
	snapshot *tuf.Metadata // nil: none named
	err      error         // why a file is not here: *badBlob, *outage or *malformed
	later    bool          // a file is larger than it was said to be: it is read when it is its turn
}

// line is a row of leaves that are read ahead. Those who take out a leaf give back its
// room.
type line struct {
	queue  chan chan *loaded
	bytes  *room
	single *room
	err    error // why nothing follows; set before queue is closed
}

// readAhead reads the files of the entries that feed puts, until ctx ends. working is done
// when nothing is being read any more.
func (a *Auditor) readAhead(ctx context.Context, working *sync.WaitGroup, feed func(ctx context.Context, put func(item) bool) error) *line {
	ln := &line{queue: make(chan chan *loaded, leavesAhead), bytes: newRoom(bytesAhead), single: newRoom(singlesAhead)}
	type job struct {
		item
		done chan<- *loaded
	}
	jobs := make(chan job, singlesAhead)
	// While as many as may be wait for files, there are enough to keep the cores busy.
	for range singlesAhead + runtime.GOMAXPROCS(0) {
		working.Go(func() {
			for j := range jobs {
				j.done <- a.load(ctx, j.item, true)
			}
		})
	}
	working.Go(func() {
		defer close(ln.queue)
		defer close(jobs)
		ln.err = feed(ctx, func(it item) bool {
			it.leaf, it.leafErr = leaf.Parse(it.raw)
			it.single = it.leafErr == nil && !it.packed()
			if !ln.bytes.take(ctx, it.weight()) || it.single && !ln.single.take(ctx, 1) {
				return false
			}
			c := make(chan *loaded, 1)
			select {
			case ln.queue <- c:
			case <-ctx.Done():
				return false
			}
			jobs <- job{it, c}
			return true
		})
		if ln.err == nil {
			ln.err = ctx.Err()
		}
	})
	return ln
}

// done says that a leaf has been judged.
func (ln *line) done(l *loaded) {
	ln.bytes.give(l.weight())
	if l.single {
		ln.single.give(1)
	}
}

// weight is about how many bytes the files of the leaf take, if it says the truth.
func (it *item) weight() int64 {
	const copies = 3 // the file, the payload and what is made of it
	return perLeaf + copies*min(max(it.leaf.Size, 0), tuf.MaxFileSize)
}

// room is what may be taken up at once. One goroutine takes, another gives.
type room struct {
	most  int64
	freed chan struct{}

	mu    sync.Mutex
	taken int64
}

func newRoom(most int64) *room { return &room{most: most, freed: make(chan struct{}, 1)} }

// take takes n, and waits until there is room, or all of it: what is larger goes by
// itself. It returns false if the context ends before.
func (r *room) take(ctx context.Context, n int64) bool {
	for {
		r.mu.Lock()
		fits := r.taken == 0 || r.taken+n <= r.most
		if fits {
			r.taken += n
		}
		r.mu.Unlock()
		if fits {
			return true
		}
		select {
		case <-r.freed:
		case <-ctx.Done():
			return false
		}
	}
}

func (r *room) give(n int64) {
	r.mu.Lock()
	r.taken -= n
	r.mu.Unlock()
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// load reads and parses the files of an entry. ahead says that others wait for their turn
// beside it: then a file that is larger than its leaf says is left for later.
func (a *Auditor) load(ctx context.Context, it item, ahead bool) *loaded {
	l := &loaded{item: it}
	if l.leafErr != nil {
		return l
	}
	l.err = a.loadFiles(ctx, l, ahead)
	if l.later = errors.Is(l.err, errLater); l.err == nil {
		a.likely.check(l)
	}
	return l
}

func (a *Auditor) loadFiles(ctx context.Context, l *loaded, ahead bool) (err error) {
	content, packed := l.files[l.leaf.Metadata]
	if !packed {
		if content, err = a.blobs.get(ctx, l.leaf.Metadata); err != nil {
			return err
		}
	}
	if ahead && int64(len(content)) > l.leaf.Size {
		return errLater
	}
	if l.metadata, err = parse("its metadata", content, l.leaf.Metadata, l.leaf.Encoding); err != nil {
		return err
	}
	l.parts = partsOf(l.metadata)
	if packed && l.metadata.Root != nil {
		a.blobs.keep(l.leaf.Metadata, bytes.Clone(content)) // it is asked for again and again
	}
	if l.leaf.Snapshot.IsZero() {
		return nil
	}
	l.snapshot, err = a.snapshots.get(ctx, l.leaf.Snapshot, func() (*tuf.Metadata, error) {
		content, packed := l.files[l.leaf.Snapshot]
		if packed {
			content = bytes.Clone(content) // it outlives its pack
		} else if content, err = a.blobs.get(ctx, l.leaf.Snapshot); err != nil {
			return nil, err
		}
		if ahead && len(content) > maxLikelySnapshot {
			return nil, errLater
		}
		return parse("its snapshot", content, l.leaf.Snapshot, l.leaf.Encoding)
	})
	return err
}

// errLater means that a file is to be read when it is its turn.
var errLater = errors.New("a large file")

// sharedFiles are the files that were parsed last: one snapshot may vouch for thousands of
// leaves. The zero value is empty; it is safe for concurrent use.
type sharedFiles struct {
	mu    sync.Mutex
	files []*sharedFile // the one that was used last at the end
	bytes int
}

type sharedFile struct {
	sum  tuf.Digest
	read chan struct{} // closed when it has been read
	m    *tuf.Metadata // nil: see err
	err  error
	size int // bytes; 0: not known yet
}

// Limits of sharedFiles.
const (
	maxShared      = 64
	maxSharedBytes = 16 << 20
)

// get returns a file that was parsed, or calls read, once for all that ask at the same
// time.
func (s *sharedFiles) get(ctx context.Context, sum tuf.Digest, read func() (*tuf.Metadata, error)) (*tuf.Metadata, error) {
	f, is := s.of(sum)
	if !is {
		f.m, f.err = read()
		s.keep(f)
		close(f.read)
	}
	select {
	case <-f.read:
		return f.m, f.err
	case <-ctx.Done():
		return nil, &outage{"blob " + sum.String(), ctx.Err()}
	}
}

// of returns a file that is there, or being read; if it is not, it is for the caller to
// read.
func (s *sharedFiles) of(sum tuf.Digest) (f *sharedFile, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.files {
		if f.sum == sum {
			s.files = append(slices.Delete(s.files, i, i+1), f)
			return f, true
		}
	}
	f = &sharedFile{sum: sum, read: make(chan struct{})}
	s.files = append(s.files, f)
	return f, false
}

func (s *sharedFiles) keep(f *sharedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch i := slices.Index(s.files, f); {
	case i < 0: // it was dropped meanwhile
	case f.err != nil:
		s.drop(i) // it may be there another time
	default:
		f.size = len(f.m.File) + f.m.Memory()
		s.bytes += f.size
		for len(s.files) > 1 && (s.bytes > maxSharedBytes || len(s.files) > maxShared) {
			s.drop(0)
		}
	}
}

func (s *sharedFiles) drop(i int) {
	s.bytes -= s.files[i].size
	s.files = slices.Delete(s.files, i, i+1)
}

// changed means that a bundle is served with other bytes than before.
type changed struct {
	bundle
	served []byte
}

func (c *changed) Error() string {
	return proofs.EntriesPath(c.index, c.width) + " is served with other bytes than before"
}

// readBundle is a bundle that was read ahead.
type readBundle struct {
	entries [][]byte
	files   map[tuf.Digest][]byte // of its pack
	pack    string                // what is wrong with the pack
	err     error                 // *changed or *outage
}

// feedBundles puts the entries of bundles, from the leaf next on.
func (a *Auditor) feedBundles(ctx context.Context, bundles []bundle, next int64, put func(item) bool) error {
	from := next
	for i, b := range inOrder(ctx, len(bundles), bundlesAhead, func(ctx context.Context, i int) readBundle { return a.readBundle(ctx, bundles[i], from) }) {
		if b.err != nil {
			return b.err
		}
		for n, raw := range b.entries {
			index := bundles[i].index*proofs.FullWidth + int64(n)
			last := n == len(b.entries)-1
			if index < next {
				continue
			}
			if !put(item{index: index, raw: raw, last: last, final: last && i == len(bundles)-1, files: b.files, pack: b.pack}) {
				return ctx.Err()
			}
			next = index + 1 // the beginning of a bundle may be a bundle, too
			b.pack = ""
		}
	}
	return nil
}

// readBundle reads a bundle whose entries were hashed, and the files of those that are to
// be judged, from the leaf next on.
func (a *Auditor) readBundle(ctx context.Context, b bundle, next int64) (r readBundle) {
	data := b.data
	if data == nil {
		var err error
		if data, err = a.cfg.Source.Entries(ctx, b.index, b.width); err != nil && !errors.Is(err, ErrTooLarge) {
			return readBundle{err: &outage{proofs.EntriesPath(b.index, b.width), err}}
		}
		if tuf.Sum(data) != b.sum {
			if data, err = freshly(a.cfg.Source).Entries(ctx, b.index, b.width); err != nil && !errors.Is(err, ErrTooLarge) {
				return readBundle{err: &outage{proofs.EntriesPath(b.index, b.width), err}}
			}
		}
		if tuf.Sum(data) != b.sum {
			return readBundle{err: &changed{b, data}}
		}
	}
	if r.entries, r.err = proofs.ParseEntries(data); r.err == nil {
		wanted := b.index*proofs.FullWidth + int64(len(r.entries)) - next
		r.files, r.pack = a.packs.read(ctx, b, r.entries, int(min(wanted, int64(len(r.entries)))))
		a.blobs.keepPack(r.files)
	}
	return r
}

// inOrder gets n things, some at once, and yields them in order. It returns when nothing
// is being got any more.
func inOrder[T any](ctx context.Context, n, atOnce int, get func(ctx context.Context, i int) T) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		var getting sync.WaitGroup
		defer getting.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var queue []chan T
		next := 0
		for i := range n {
			for next < min(n, i+atOnce) {
				c, at := make(chan T, 1), next
				queue = append(queue, c)
				getting.Go(func() { c <- get(ctx, at) })
				next++
			}
			got := <-queue[0]
			queue = queue[1:]
			if !yield(i, got) {
				return
			}
		}
	}
}
