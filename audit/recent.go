package audit

import (
	"container/list"
	"context"

	"github.com/tuflog/tuflog/tuf"
)

// maxRecent is about how many bytes the files take that are kept as they were read: each is
// compared with the next one of its role.
const maxRecent = 16 << 20

// parts is a file, and where its payload is compared with that of another.
type parts struct {
	*tuf.Metadata
	targets, delegations string // in canonical JSON, of targets metadata; empty: none
}

func partsOf(m *tuf.Metadata) *parts {
	p := &parts{Metadata: m}
	if m.Targets != nil {
		p.targets, p.delegations = string(m.Member("targets")), string(m.Member("delegations"))
	}
	return p
}

func (p *parts) size() int {
	size := len(p.File) + p.Memory()
	if p.targets != "" {
		size += len(p.Payload)
	}
	return size
}

// recent keeps the last files that were read. The zero value is empty.
type recent struct {
	bytes int
	order list.List // of *parts, the latest first
	held  map[tuf.Digest]*list.Element
}

func (r *recent) keep(p *parts) {
	if _, ok := r.held[p.FileDigest]; ok || p.size() > maxRecent/4 {
		return
	}
	if r.held == nil {
		r.held = map[tuf.Digest]*list.Element{}
	}
	r.held[p.FileDigest] = r.order.PushFront(p)
	r.bytes += p.size()
	for r.bytes > maxRecent {
		oldest := r.order.Remove(r.order.Back()).(*parts)
		r.bytes -= oldest.size()
		delete(r.held, oldest.FileDigest)
	}
}

// logged returns the file of the leaf at an index.
func (a *Auditor) logged(ctx context.Context, index int64) (*parts, error) {
	logged, ok, err := a.leafAt(ctx, index)
	if err != nil {
		return nil, err
	}
	if ok {
		if e, ok := a.recent.held[logged.Metadata]; ok {
			a.recent.order.MoveToFront(e)
			return e.Value.(*parts), nil
		}
	}
	m, err := a.earlier(ctx, index)
	if err != nil {
		return nil, err
	}
	return partsOf(m), nil
}
