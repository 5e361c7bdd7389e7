package publish

import (
	"cmp"
	"slices"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// maxVouchers bounds how many snapshots go along with one file. One is the rule;
// where several list a file, the first may be signed by keys that are gone.
const maxVouchers = 3

// vouchers returns snapshots that list f: first those that the last root of r at hand
// vouches for; of these first those that list its hash, which binds it to its role; of
// these those that appeared with f or after it, the earliest first, then the latest of
// those before.
func (j *job) vouchers(f *file, r *repo) []*file {
	if !f.needsVoucher() {
		return nil
	}
	var after, before []*file
	for _, v := range j.snapshots {
		switch {
		case !f.isListedIn(v):
		case v.commit >= f.commit:
			after = append(after, v)
		default:
			before = append(before, v)
		}
	}
	slices.Reverse(before)
	all := append(after, before...)
	slices.SortStableFunc(all, func(a, b *file) int { return cmp.Compare(f.rankIn(a), f.rankIn(b)) })
	var found, signedByOthers []*file
	room := maxGroupSize - len(f.data)
	take := func(v *file) {
		if len(found) < maxVouchers && len(v.data) <= room {
			found = append(found, v)
			room -= len(v.data)
		}
	}
	for _, v := range all {
		if len(found) == maxVouchers {
			break
		}
		if r.vouchesFor(v) {
			take(v)
		} else {
			signedByOthers = append(signedByOthers, v)
		}
	}
	for _, v := range signedByOthers {
		take(v)
	}
	return found
}

// vouchesFor reports whether the keys of r for snapshots have signed v, as far as a root
// at hand says.
func (r *repo) vouchesFor(v *file) bool {
	return r.root == nil || v.meta.Meets(r.root.meta.Root.KeySet(tuf.RoleSnapshot)) == nil
}

// batch is one tar.
type batch struct {
	files []*file // in the order sent
	names map[string]*file
	size  int
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
		group := append([]*file{f}, j.vouchers(f, r)...)
		if b == nil || !b.fits(group) {
			b = &batch{names: map[string]*file{}}
			batches = append(batches, b)
		}
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
