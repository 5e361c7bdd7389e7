package audit

import (
	"container/list"
	"context"

	"github.com/tuflog/tuflog/tuf"
)

// maxRecent is how many bytes the files take that are kept as they were read: each is
// compared with the next one of its role.
const maxRecent = 32 << 20

// recent keeps the last files that were read. The zero value is empty.
type recent struct {
	bytes int
	order list.List // of *tuf.Metadata, the latest first
	held  map[tuf.Digest]*list.Element
}

func sizeOf(m *tuf.Metadata) int { return len(m.File) + m.Memory() }

func (r *recent) keep(m *tuf.Metadata) {
	if _, ok := r.held[m.FileDigest]; ok || sizeOf(m) > maxRecent/4 {
		return
	}
	if r.held == nil {
		r.held = map[tuf.Digest]*list.Element{}
	}
	r.held[m.FileDigest] = r.order.PushFront(m)
	r.bytes += sizeOf(m)
	for r.bytes > maxRecent {
		oldest := r.order.Remove(r.order.Back()).(*tuf.Metadata)
		r.bytes -= sizeOf(oldest)
		delete(r.held, oldest.FileDigest)
	}
}

// logged returns the file of the leaf at an index.
func (a *Auditor) logged(ctx context.Context, index int64) (*tuf.Metadata, error) {
	if logged, ok := a.leafAt(index); ok {
		if e, ok := a.recent.held[logged.Metadata]; ok {
			a.recent.order.MoveToFront(e)
			return e.Value.(*tuf.Metadata), nil
		}
	}
	return a.earlier(ctx, index)
}
