package publish

import (
	"cmp"
	"slices"

	"github.com/tuflog/tuflog/log/api"
)

// maxVouchers bounds how many snapshots go along with one file. One is the rule;
// where several list a file, the first may be signed by keys that are gone.
const maxVouchers = 3

// vouchers returns snapshots that list f and that r has not seen beside it in vain: of
// those that appeared with f or after it the earliest, then the latest of those
// before; but first those that list its hash, which binds it to its role.
func (j *job) vouchers(f *file, r *repo) []*file {
	if !f.needsVoucher() {
		return nil
	}
	// A snapshot that was not enough is not enough again; but where something else
	// was missing, it goes along again.
	var seen map[*file]bool
	if t := f.tries[r]; t != nil && r.roots == t.roots && (t.code == api.CodeSnapshotNeeded || r.releases == t.releases) {
		seen = t.vouchers
	}
	var after, before []*file
	for _, v := range j.snapshots {
		switch {
		case seen[v] || !f.isListedIn(v):
		case v.commit >= f.commit:
			after = append(after, v)
		default:
			before = append(before, v)
		}
	}
	slices.Reverse(before)
	var found []*file
	room := maxGroupSize - len(f.data)
	all := append(after, before...)
	slices.SortStableFunc(all, func(a, b *file) int { return cmp.Compare(f.rankIn(a), f.rankIn(b)) })
	for _, v := range all {
		if len(found) < maxVouchers && len(v.data) <= room {
			found = append(found, v)
			room -= len(v.data)
		}
	}
	return found
}

// batch is one tar.
type batch struct {
	files    []*file // in the order sent
	names    map[string]*file
	vouchers map[*file][]*file
	size     int
}

// Limits of a batch: well below the log's, so that a progress bar moves.
const (
	maxBatchFiles = 64
	maxBatchSize  = 8 << 20 // bytes, unless one file and its snapshots have more
	maxGroupSize  = api.MaxSubmission - 1<<20
)

// pack distributes files over tars. In a tar every name is unique, so two files
// for one version of a role travel apart, in order.
func (j *job) pack(r *repo, files []*file) []*batch {
	var batches []*batch
	var b *batch
	for _, f := range files {
		vouchers := j.vouchers(f, r)
		group := append([]*file{f}, vouchers...)
		if b == nil || !b.fits(group) {
			b = &batch{names: map[string]*file{}, vouchers: map[*file][]*file{}}
			batches = append(batches, b)
		}
		b.vouchers[f] = vouchers
		for _, g := range group {
			if b.names[g.sent()] == nil {
				b.names[g.sent()] = g
				b.files = append(b.files, g)
				b.size += len(g.data)
			}
		}
	}
	return batches
}

func (b *batch) fits(group []*file) bool {
	files, size := len(b.files), b.size
	for _, g := range group {
		switch b.names[g.sent()] {
		case g:
		case nil:
			files++
			size += len(g.data)
		default:
			return false
		}
	}
	return files <= maxBatchFiles && size <= maxBatchSize
}
