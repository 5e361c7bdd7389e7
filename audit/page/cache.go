package page

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// cache keeps the values that were used last. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	most int

	mu    sync.Mutex
	order *list.List // of cached, the latest first
	held  map[K]*list.Element
}

type cached[K comparable, V any] struct {
	key   K
	value V
	until time.Time // it is kept; zero: as long as there is room
}

func newCache[K comparable, V any](most int) *cache[K, V] {
	return &cache[K, V]{most: most, order: list.New(), held: map[K]*list.Element{}}
}

func (c *cache[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.held[key]
	if !ok {
		return value, false
	}
	kept := e.Value.(cached[K, V])
	if !kept.until.IsZero() && time.Now().After(kept.until) {
		return value, false
	}
	c.order.MoveToFront(e)
	return kept.value, true
}

func (c *cache[K, V]) put(key K, value V) { c.putUntil(key, value, time.Time{}) }

// putUntil keeps a value that will be another one.
func (c *cache[K, V]) putUntil(key K, value V, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.held[key]; ok {
		e.Value = cached[K, V]{key, value, until}
		c.order.MoveToFront(e)
		return
	}
	c.held[key] = c.order.PushFront(cached[K, V]{key, value, until})
	for c.order.Len() > c.most {
		delete(c.held, c.order.Remove(c.order.Back()).(cached[K, V]).key)
	}
}

// clear forgets all values.
func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order.Init()
	clear(c.held)
}

const (
	// maxFiles is how many bytes of the log's files are kept at hand.
	maxFiles = 32 << 20
	// maxRead and maxReadFiles are how much is read for one page, a file that is read twice
	// counted twice: it is parsed twice.
	maxRead      = 32 << 20
	maxReadFiles = 2000
)

// files reads the files that leaves name and keeps the last ones. It is safe for concurrent
// use.
type files struct {
	source *asking // nil: there is none

	mu    sync.Mutex
	bytes int
	order *list.List // of heldFile, the latest first
	held  map[tuf.Digest]*list.Element
}

type heldFile struct {
	sum     tuf.Digest
	content []byte
}

func newFiles(source *asking) *files {
	return &files{source: source, order: list.New(), held: map[tuf.Digest]*list.Element{}}
}

// errNoSource means that there is neither a mirror nor a log to read files from.
var errNoSource = errors.New("this page is made of the audit state alone, which does not keep the files themselves")

// errTooMuch means that a page would take too many files.
var errTooMuch = errors.New("it takes more files than one page may read")

func (f *files) cached(sum tuf.Digest) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.held[sum]
	if !ok {
		return nil, false
	}
	f.order.MoveToFront(e)
	return e.Value.(heldFile).content, true
}

func (f *files) get(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if content, ok := f.cached(sum); ok {
		return content, nil
	}
	if f.source == nil {
		return nil, errNoSource
	}
	content, err := f.source.Blob(ctx, sum)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", sum.Short(), err)
	}
	f.keep(sum, content)
	return content, nil
}

func (f *files) keep(sum tuf.Digest, content []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.held[sum]; ok || len(content) > maxFiles/4 {
		return
	}
	f.held[sum] = f.order.PushFront(heldFile{sum, content})
	f.bytes += len(content)
	for f.bytes > maxFiles {
		oldest := f.order.Remove(f.order.Back()).(heldFile)
		f.bytes -= len(oldest.content)
		delete(f.held, oldest.sum)
	}
}

// reading is files as admit.Blobs, for one page: its reads are bounded.
type reading struct {
	files       *files
	left, bytes int
}

func (f *files) forPage() *reading { return &reading{f, maxReadFiles, maxRead} }

// Blob implements admit.Blobs.
func (r *reading) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.left--; r.left < 0 || r.bytes < 0 {
		return nil, errTooMuch
	}
	content, err := r.files.get(ctx, sum)
	r.bytes -= len(content)
	return content, err
}
