package admit

import (
	"container/list"
	"context"
	"fmt"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// This file holds what a Repository keeps of the files that its leaves name. All
// of it can be read again from the blobs, and is bounded.

// maxCached is about how many bytes the parts of files may take that judgements
// need again and again; one file's may take more.
const maxCached = 4 << 20

// fileCache keeps roots, and delegations of targets metadata, of the files that
// were used last. The zero value is empty.
type fileCache struct {
	entries map[cachedPart]*list.Element // of used
	used    list.List                    // of cachedFile, the last used at the end
	bytes   int
}

// cachedPart is what is kept of a file.
type cachedPart struct {
	file  tuf.Digest
	paths bool // delegations are whole, with the paths that they cover
}

type cachedFile struct {
	cachedPart
	size        int
	root        *tuf.Metadata
	delegations *tuf.Delegations
}

func (c *fileCache) get(file tuf.Digest, paths bool) (cachedFile, bool) {
	e, ok := c.entries[cachedPart{file, paths}]
	if !ok {
		return cachedFile{}, false
	}
	c.used.MoveToBack(e)
	return e.Value.(cachedFile), true
}

func (c *fileCache) put(f cachedFile) {
	if c.entries == nil {
		c.entries = map[cachedPart]*list.Element{}
	}
	if before, ok := c.entries[f.cachedPart]; ok {
		c.drop(before)
	}
	c.entries[f.cachedPart] = c.used.PushBack(f)
	c.bytes += f.size
	for c.used.Len() > 1 && c.bytes > maxCached {
		c.drop(c.used.Front())
	}
}

func (c *fileCache) drop(e *list.Element) {
	f := c.used.Remove(e).(cachedFile)
	delete(c.entries, f.cachedPart)
	c.bytes -= f.size
}

// rootKeys are the keys that one root gives to top-level roles. A judgement asks for them
// several times.
type rootKeys struct {
	root *tuf.Metadata
	sets map[string]tuf.KeySet
}

// keysOf returns the keys of a top-level role by a root.
func (r *Repository) keysOf(root *tuf.Metadata, role string) tuf.KeySet {
	if r.rootKeys.root != root {
		r.rootKeys = rootKeys{root, map[string]tuf.KeySet{}}
	}
	keys, ok := r.rootKeys.sets[role]
	if !ok {
		keys = root.Root.KeySet(role)
		r.rootKeys.sets[role] = keys
	}
	return keys
}

// Cached returns about how many bytes the cache takes: files that leaves name,
// current releases, and signers of snapshots.
func (r *Repository) Cached() int {
	const perCurrent, perVerdict = 256, 128
	return r.files.bytes + perCurrent*len(r.currents) + perVerdict*len(r.signed.verdicts)
}

// Forget drops the cache that Cached counts. Files are read again when they are
// needed.
func (r *Repository) Forget() {
	r.files = fileCache{}
	r.rootKeys = rootKeys{}
	r.currents = map[placeKey]*current{}
	r.signed.verdicts = nil
}

// rootFile reads the root of a record.
func (r *Repository) rootFile(ctx context.Context, position int) (*tuf.Metadata, error) {
	file := r.records[position].Leaf.Metadata
	if e, ok := r.files.get(file, false); ok && e.root != nil {
		return e.root, nil
	}
	m, err := r.read(ctx, position)
	if err != nil {
		return nil, err
	}
	if m.Root == nil {
		return nil, fmt.Errorf("the file of leaf %d is not a root", r.records[position].Index)
	}
	const copies = 4 // the file, its text, the payload and the maps
	r.files.put(cachedFile{cachedPart: cachedPart{file: file}, size: copies * len(m.File), root: m})
	return m, nil
}

// delegations reads the delegations of a record, with the paths that they cover or
// without, which are most of them; nil where there are none.
func (r *Repository) delegations(ctx context.Context, position int, paths bool) (*tuf.Delegations, error) {
	file := r.records[position].Leaf.Metadata
	if s := r.signed.of(position); s != nil && !s.delegates {
		return nil, nil
	}
	if e, ok := r.files.get(file, paths); ok {
		return e.delegations, nil
	}
	m, err := r.read(ctx, position)
	if err != nil {
		return nil, err
	}
	return r.keepDelegations(m, paths), nil
}

// keepDelegations keeps and returns what a file delegates, and nothing else of
// the file.
func (r *Repository) keepDelegations(m *tuf.Metadata, paths bool) *tuf.Delegations {
	if m.Targets == nil || m.Targets.Delegations == nil {
		return nil
	}
	d, size := m.Targets.Delegations.Clone(paths)
	r.files.put(cachedFile{cachedPart: cachedPart{m.FileDigest, paths}, size: size, delegations: d})
	return d
}

// read reads the whole file of a record.
func (r *Repository) read(ctx context.Context, position int) (*tuf.Metadata, error) {
	rec := r.records[position]
	file, err := r.blobs.Blob(ctx, rec.Leaf.Metadata)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of leaf %d: %w", rec.Index, err)
	}
	m, err := codec.Parse(rec.Leaf.Encoding, file)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of leaf %d: %w", rec.Index, err)
	}
	if m.FileDigest != rec.Leaf.Metadata {
		return nil, fmt.Errorf("read the metadata of leaf %d: got a file with SHA-256 %v, want %v", rec.Index, m.FileDigest, rec.Leaf.Metadata)
	}
	if r.signed.of(position) == nil {
		s := summarize(m)
		r.signed.set(position, s)
		r.learned(position, s)
	}
	return m, nil
}
