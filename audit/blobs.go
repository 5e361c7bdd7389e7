package audit

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/tuf"
)

// How many bytes are kept at hand: of blobs, and of packs. One snapshot vouches for many
// files, a judgement reads the current root again and again, and a report asks for what was
// released last.
const (
	maxCached = 8 << 20
	maxPacked = 8 << 20
)

// blobCache reads blobs, checks their hashes, and keeps the last ones. It is
// safe for concurrent use.
type blobCache struct {
	source Source
	fresh  Source // for what was served wrong

	mu    sync.Mutex
	bytes int
	order *list.List // of tuf.Digest, the latest first
	held  map[tuf.Digest]heldBlob

	packs  []packed // the latest last
	packed int      // bytes of packs

	spill spill
}

// packed is the files of a pack.
type packed struct {
	files map[tuf.Digest][]byte
	bytes int
}

type heldBlob struct {
	content []byte
	at      *list.Element
}

func newBlobCache(source Source) *blobCache {
	return &blobCache{source: source, fresh: freshly(source), order: list.New(), held: map[tuf.Digest]heldBlob{}}
}

// badBlob is a blob that the log lacks, or serves wrong.
type badBlob struct {
	sum    tuf.Digest
	kind   Kind // BlobMissing or BlobMismatch
	served []byte
	detail string
}

func (b *badBlob) Error() string { return b.detail }

// get returns the blob. The error is a *badBlob or an *outage. One that is served wrong is
// read again: a single wrong answer, as of a network that wants a log-in first, accuses
// nobody.
func (c *blobCache) get(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if content, ok := c.cached(sum); ok {
		return content, nil
	}
	if content, ok := c.spill.get(sum); ok {
		return content, nil
	}
	content, err := c.read(ctx, c.source, sum)
	if bad := (*badBlob)(nil); errors.As(err, &bad) && bad.kind == BlobMismatch {
		content, err = c.read(ctx, c.fresh, sum)
	}
	if err != nil {
		return nil, err
	}
	c.keep(sum, content)
	return content, nil
}

func (c *blobCache) read(ctx context.Context, from Source, sum tuf.Digest) ([]byte, error) {
	content, err := from.Blob(ctx, sum)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, &badBlob{sum, BlobMissing, nil, fmt.Sprintf("the log does not serve blob %v", sum)}
	case errors.Is(err, ErrTooLarge):
		return nil, &badBlob{sum, BlobMismatch, nil, fmt.Sprintf("blob %v is served with more than %d bytes", sum, tuf.MaxFileSize)}
	case err != nil:
		return nil, &outage{fmt.Sprintf("blob %v", sum), err}
	}
	if got := tuf.Sum(content); got != sum {
		return nil, &badBlob{sum, BlobMismatch, content, fmt.Sprintf("blob %v is served as %d bytes with SHA-256 %v", sum, len(content), got)}
	}
	return content, nil
}

func (c *blobCache) cached(sum tuf.Digest) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.held[sum]; ok {
		c.order.MoveToFront(b.at)
		return b.content, true
	}
	for _, p := range slices.Backward(c.packs) {
		if content, ok := p.files[sum]; ok {
			return content, true
		}
	}
	return nil, false
}

// keepPack keeps the files of a pack, which are the right ones.
func (c *blobCache) keepPack(files map[tuf.Digest][]byte) {
	p := packed{files: files}
	for _, content := range files {
		p.bytes += len(content)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.bytes == 0 || p.bytes > maxPacked {
		return
	}
	c.packs = append(c.packs, p)
	for c.packed += p.bytes; c.packed > maxPacked; c.packs = c.packs[1:] {
		c.packed -= c.packs[0].bytes
		c.packs[0] = packed{}
	}
}

func (c *blobCache) keep(sum tuf.Digest, content []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.held[sum]; ok || len(content) > maxCached/4 {
		return
	}
	c.held[sum] = heldBlob{content, c.order.PushFront(sum)}
	c.bytes += len(content)
	for c.bytes > maxCached {
		oldest := c.order.Remove(c.order.Back()).(tuf.Digest)
		c.bytes -= len(c.held[oldest].content)
		delete(c.held, oldest)
	}
}

// stepBlobs is the cache as admit.Blobs, in the running step.
type stepBlobs struct{ a *Auditor }

// Blob implements admit.Blobs.
func (b stepBlobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return b.a.blobs.get(ctx, sum)
}
