package audit

import (
	"container/list"
	"context"

	"github.com/tuflog/tuflog/tuf"
)

// maxRecent is about how many bytes the files take that are kept as they were read: each is
// compared with the next one of its role.
const maxRecent = 8 << 20

// parts is a file, and where its payload is compared with that of another.
type parts struct {
	*tuf.Metadata
	targets, delegations []byte // parts of the payload, of targets metadata; empty: none
}

func partsOf(m *tuf.Metadata) *parts {
	p := &parts{Metadata: m}
	if m.Targets != nil {
		p.targets, p.delegations = m.Member("targets"), m.Member("delegations")
	}
	return p
}

func (p *parts) size() int { return len(p.File) + p.Memory() }

// recent keeps the files of the last leaves that were judged. The zero value is empty.
type recent struct {
	bytes int
	order list.List               // of recentFile, the latest first
	held  map[int64]*list.Element // by the index of the leaf
}

type recentFile struct {
	*parts
	index int64
	of    roleOf
}

// keep keeps a file, and returns those for which there is no room any more.
func (r *recent) keep(f recentFile) (dropped []recentFile) {
	if _, ok := r.held[f.index]; ok || f.size() > maxRecent/4 {
		return nil
	}
	if r.held == nil {
		r.held = map[int64]*list.Element{}
	}
	r.held[f.index] = r.order.PushFront(f)
	r.bytes += f.size()
	for r.bytes > maxRecent {
		oldest := r.order.Remove(r.order.Back()).(recentFile)
		r.bytes -= oldest.size()
		delete(r.held, oldest.index)
		dropped = append(dropped, oldest)
	}
	return dropped
}

// keepRecent keeps the file of a leaf that was judged. Those for which there is no room any
// more go to disk, if the next one of their role has not come yet.
func (a *Auditor) keepRecent(l *loaded, p *parts) {
	if p.Root != nil {
		a.blobs.spill.put(p.FileDigest, p.File) // it is asked for whenever its repository is read again
	}
	for _, f := range a.recent.keep(recentFile{p, l.index, roleOf{l.leaf.Repository, l.leaf.Role}}) {
		if repo := a.repos[f.of.repository]; repo == nil || repo.roles[f.of.role] == nil || repo.roles[f.of.role].highest <= f.Version {
			a.blobs.spill.put(f.FileDigest, f.File)
		}
	}
}

// atHand returns the file of the leaf at an index, if it was judged lately.
func (a *Auditor) atHand(index int64) (*parts, bool) {
	e, ok := a.recent.held[index]
	if !ok {
		return nil, false
	}
	a.recent.order.MoveToFront(e)
	return e.Value.(recentFile).parts, true
}

// logged returns the file of the leaf at an index.
func (a *Auditor) logged(ctx context.Context, index int64) (*parts, error) {
	if p, ok := a.atHand(index); ok {
		return p, nil
	}
	if a.before.parts != nil && a.before.index == index {
		return a.before.parts, nil
	}
	m, err := a.earlier(ctx, index)
	if err != nil {
		return nil, err
	}
	a.before = recentFile{parts: partsOf(m), index: index}
	return a.before.parts, nil
}
