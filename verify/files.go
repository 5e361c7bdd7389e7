package verify

import (
	"fmt"
	"hash/fnv"
	"slices"
)

// This file holds what a Repository keeps of the files that its leaves name. All
// of it can be read again from the blobs, and is bounded.

const (
	// maxCached is about how many bytes the parts of files may take that
	// judgements need again and again; one file's may take more.
	maxCached = 4 << 20

	maxVerdicts = 512 // of files under keys
	maxPending  = 64  // summaries of files that were judged and are not logged
	maxKeyIDs   = 16  // signatures in a summary
)

// fileCache keeps roots, and delegations of targets metadata, of the files that
// were used last.
type fileCache struct {
	entries []cachedFile // the last used at the end: there are few
	bytes   int
}

type cachedFile struct {
	file        Digest
	size        int
	root        *Metadata
	delegations *Delegations
}

func (c *fileCache) get(file Digest) (cachedFile, bool) {
	for i, e := range c.entries {
		if e.file == file {
			c.entries = append(slices.Delete(c.entries, i, i+1), e)
			return e, true
		}
	}
	return cachedFile{}, false
}

func (c *fileCache) put(e cachedFile) {
	c.entries = append(c.entries, e)
	c.bytes += e.size
	for len(c.entries) > 1 && c.bytes > maxCached {
		c.bytes -= c.entries[0].size
		c.entries = slices.Delete(c.entries, 0, 1)
	}
}

// Cached returns about how many bytes are kept of the files that leaves name.
func (r *Repository) Cached() int { return r.files.bytes }

// Forget drops what is kept of files. They are read again when they are needed.
func (r *Repository) Forget() { r.files = fileCache{} }

// rootFile reads the root of a record.
func (r *Repository) rootFile(position int) (*Metadata, error) {
	file := r.records[position].Leaf.Metadata
	if e, ok := r.files.get(file); ok && e.root != nil {
		return e.root, nil
	}
	m, err := r.read(position)
	if err != nil {
		return nil, err
	}
	if m.Root == nil {
		return nil, fmt.Errorf("the file of leaf %d is no root", r.records[position].Index)
	}
	const copies = 4 // the file, its text, the payload and the maps
	r.files.put(cachedFile{file: file, size: copies * len(m.File), root: m})
	return m, nil
}

// delegations reads the delegations of a record; nil where there are none.
func (r *Repository) delegations(position int) (*Delegations, error) {
	file := r.records[position].Leaf.Metadata
	if !r.mayDelegate(position) {
		return nil, nil
	}
	if e, ok := r.files.get(file); ok {
		return e.delegations, nil
	}
	m, err := r.read(position)
	if err != nil {
		return nil, err
	}
	return r.keepDelegations(m), nil
}

// keepDelegations keeps and returns what a file delegates, and nothing else of
// the file.
func (r *Repository) keepDelegations(m *Metadata) *Delegations {
	if m.Targets == nil || m.Targets.Delegations == nil {
		return nil
	}
	d, size := m.Targets.Delegations.clone()
	r.files.put(cachedFile{file: m.FileDigest, size: size, delegations: d})
	return d
}

// read reads the whole file of a record.
func (r *Repository) read(position int) (*Metadata, error) {
	rec := r.records[position]
	file, err := r.blobs.Blob(rec.Leaf.Metadata)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of leaf %d: %w", rec.Index, err)
	}
	m, err := Parse(rec.Leaf.Encoding, file)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of leaf %d: %w", rec.Index, err)
	}
	if m.FileDigest != rec.Leaf.Metadata {
		return nil, fmt.Errorf("read the metadata of leaf %d: got a file with SHA-256 %v, want %v", rec.Index, m.FileDigest, rec.Leaf.Metadata)
	}
	r.signed.learn(position, m)
	return m, nil
}

// Parse reads a metadata file strictly, in the encoding that the repository has.
func Parse(encoding Encoding, file []byte) (*Metadata, error) {
	switch encoding {
	case JSON:
		return ParseJSON(file)
	default:
		return nil, fmt.Errorf("metadata in encoding %q cannot be read", encoding)
	}
}

// question asks whether files meet a set of keys.
type question struct {
	keys  KeySet
	print Digest          // the keys' fingerprint
	ids   map[uint32]bool // short hashes of the key ids that count
}

func ask(keys KeySet) question {
	q := question{keys: keys, print: keys.Fingerprint(), ids: make(map[uint32]bool, len(keys.Role.KeyIDs))}
	for _, id := range keys.Role.KeyIDs {
		q.ids[shortHash(id)] = true
	}
	return q
}

// shortHash makes key ids small. Two that collide cost a reading, nothing else.
func shortHash(keyID string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(keyID))
	return h.Sum32()
}

// signedCache remembers, of each record, who may have signed it, and of some
// files, whether they meet some keys. After a rotation thousands of releases may
// have to be passed over: their files need not be read for it.
type signedCache struct {
	summaries []*summary // by position; nil: the file has not been read
	pending   map[Digest]*summary
	verdicts  map[verdict]bool
}

// verdict is a question whose answer never changes.
type verdict struct {
	file Digest
	keys Digest
}

// summary is what is known of a file from having read it.
type summary struct {
	keyIDs    []uint32 // short hashes of the key ids of its signatures
	many      bool     // there are more than maxKeyIDs: keyIDs is not complete
	delegates bool     // it is targets metadata with delegations
}

func summarize(m *Metadata) *summary {
	s := &summary{delegates: m.Targets != nil && m.Targets.Delegations != nil}
	for _, sig := range m.Signatures {
		id := shortHash(sig.KeyID)
		if slices.Contains(s.keyIDs, id) {
			continue
		}
		if s.many = len(s.keyIDs) >= maxKeyIDs; s.many {
			break
		}
		s.keyIDs = append(s.keyIDs, id)
	}
	s.keyIDs = slices.Clip(s.keyIDs)
	return s
}

// mayMeet is false if the file cannot meet the keys: each counts only under an id
// that a signature has.
func (s *summary) mayMeet(q question) bool {
	have := 0
	for _, id := range s.keyIDs {
		if q.ids[id] {
			have++
		}
	}
	return s.many || have >= q.keys.Role.Threshold
}

func (c *signedCache) of(position int) *summary {
	if position < len(c.summaries) {
		return c.summaries[position]
	}
	return nil
}

// learn keeps the summary of a record's file.
func (c *signedCache) learn(position int, m *Metadata) {
	if c.of(position) == nil {
		c.set(position, summarize(m))
	}
}

func (c *signedCache) set(position int, s *summary) {
	for len(c.summaries) <= position {
		c.summaries = append(c.summaries, nil)
	}
	c.summaries[position] = s
}

// judged keeps the summary of a file that may soon be a record's, and that it
// meets the keys.
func (c *signedCache) judged(m *Metadata, q question) {
	if c.pending == nil || len(c.pending) >= maxPending {
		c.pending = map[Digest]*summary{}
	}
	c.pending[m.FileDigest] = summarize(m)
	c.answer(verdict{m.FileDigest, q.print}, true)
}

// logged says that a file has become a record's.
func (c *signedCache) logged(position int, file Digest) {
	if s := c.pending[file]; s != nil {
		c.set(position, s)
		delete(c.pending, file)
	}
}

func (c *signedCache) answer(v verdict, meets bool) {
	if c.verdicts == nil || len(c.verdicts) >= maxVerdicts {
		c.verdicts = map[verdict]bool{}
	}
	c.verdicts[v] = meets
}

// stands reports whether a release's signers meet the keys and threshold that
// its role has now. Roots always stand.
func (r *Repository) stands(position int, q question) (bool, error) {
	leaf := r.records[position].Leaf
	if leaf.Role == RoleRoot {
		return true, nil
	}
	if s := r.signed.of(position); s != nil && !s.mayMeet(q) {
		return false, nil
	}
	v := verdict{leaf.Metadata, q.print}
	if meets, known := r.signed.verdicts[v]; known {
		return meets, nil
	}
	m, err := r.read(position)
	if err != nil {
		return false, err
	}
	meets := m.Meets(q.keys) == nil
	r.signed.answer(v, meets)
	if _, ok := r.files.get(m.FileDigest); meets && !ok {
		r.keepDelegations(m) // they are likely to be asked for next
	}
	return meets, nil
}

// meets says whether a file meets keys, and remembers it: one snapshot may come
// beside thousands of files.
func (r *Repository) meets(m *Metadata, q question) bool {
	v := verdict{m.FileDigest, q.print}
	meets, known := r.signed.verdicts[v]
	if !known {
		meets = m.Meets(q.keys) == nil
		r.signed.answer(v, meets)
	}
	return meets
}
