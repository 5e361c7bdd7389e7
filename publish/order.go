package publish

import (
	"cmp"
	"slices"

	"github.com/tuflog/tuflog/verify"
)

// stages cuts files into what is sent together. As a rule that is all at once. A
// directory that was never logged may hold files signed by keys that its latest
// root no longer lists: these go before that root does, after the last one with
// whose keys they are good.
func (j *job) stages(files []*file) [][]*file {
	var roots []*file
	for _, f := range files {
		if f.isRoot() && f.meta != nil && f.meta.Root != nil {
			roots = append(roots, f)
		}
		if f.isVoucher() {
			j.snapshots = append(j.snapshots, f)
		}
	}
	slices.SortStableFunc(roots, func(a, b *file) int { return cmp.Compare(a.version, b.version) })
	stages := make([][]*file, max(1, len(roots)))
	for i, root := range roots {
		stages[i] = append(stages[i], root)
	}
	for _, f := range files {
		if !slices.Contains(roots, f) {
			i := j.stage(f, roots)
			stages[i] = append(stages[i], f)
		}
	}
	// Roots with nothing to send after them go with the next.
	var merged [][]*file
	var open []*file
	for i, stage := range stages {
		open = append(open, stage...)
		if i == len(stages)-1 || len(stage) > 1 {
			merged, open = append(merged, open), nil
		}
	}
	return merged
}

// stage returns the index of the last root with whose keys f may be accepted, of
// the last root if none has them. For targets metadata its snapshot counts too.
func (j *job) stage(f *file, roots []*file) int {
	end := max(0, len(roots)-1)
	last := func(f *file) int {
		if f.meta == nil || !verify.IsTopLevel(f.role) {
			return end
		}
		for i, root := range slices.Backward(roots) {
			if f.meta.Meets(root.meta.Root.KeySet(f.role)) == nil {
				return i
			}
		}
		return end
	}
	own := last(f)
	vouched := -1
	for _, snapshot := range j.snapshots {
		if f.needsVoucher() && f.isListedIn(snapshot) {
			vouched = max(vouched, last(snapshot))
		}
	}
	if vouched >= 0 {
		return min(own, vouched)
	}
	return own
}
