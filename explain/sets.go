package explain

import (
	"slices"
)

// enumeration lists the minimal sets of keys that open one of several ways: without any one
// of its keys, none of them opens.
type enumeration struct {
	ways  []way
	most  int
	work  *work
	found []keys
	more  bool // there are more sets, or there may be: the work was too much
}

// minimal returns the sets by size, those with the first keys first.
func minimal(ways []way, universe, most int, w *work) *enumeration {
	e := &enumeration{ways: ways, most: most, work: w}
	largest := 0
	for _, way := range ways {
		sum := 0
		for _, c := range way.clauses {
			sum += c.need
		}
		largest = max(largest, sum)
	}
	for size := 0; size <= largest && !e.more && len(e.found) <= most; size++ {
		begin := len(e.found)
		for _, way := range ways {
			kinds := alike(way, universe)
			e.choose(way, kinds, make([]int, len(kinds)), 0, size)
		}
		slices.SortFunc(e.found[begin:], func(a, b keys) int { return slices.Compare(a.members(), b.members()) })
		e.found = e.found[:begin+len(slices.CompactFunc(e.found[begin:], keys.equal))]
	}
	if len(e.found) > most {
		e.found, e.more = e.found[:most], true
	}
	return e
}

// kind is the keys of a way that are in the same clauses.
type kind struct {
	in   uint8 // a bit for each clause
	keys []int
}

func alike(w way, universe int) []kind {
	var kinds []kind
	for i := range universe {
		in := uint8(0)
		for j, c := range w.clauses {
			if c.of.has(i) {
				in |= 1 << j
			}
		}
		if in == 0 {
			continue
		}
		at := 0 // where it is, in order
		for at < len(kinds) && kinds[at].in < in {
			at++
		}
		if at == len(kinds) || kinds[at].in != in {
			kinds = slices.Insert(kinds, at, kind{in: in})
		}
		kinds[at].keys = append(kinds[at].keys, i)
	}
	return kinds
}

// choose tries all numbers of keys of each kind that come to size together.
func (e *enumeration) choose(w way, kinds []kind, n []int, at, size int) {
	if e.stop(len(kinds) + 1) {
		return
	}
	if at == len(kinds) {
		if size == 0 && tight(w, kinds, n) {
			e.pick(w, kinds, n, 0, newKeys(64*len(w.clauses[0].of)))
		}
		return
	}
	most := 0
	for j, c := range w.clauses {
		if kinds[at].in>>j&1 != 0 {
			most = max(most, c.need)
		}
	}
	for n[at] = min(size, most, len(kinds[at].keys)); n[at] >= 0; n[at]-- {
		e.choose(w, kinds, n, at+1, size-n[at])
	}
	n[at] = 0
}

// tight reports whether so many keys of each kind meet all clauses, and none can be spared.
func tight(w way, kinds []kind, n []int) bool {
	exact := uint8(0)
	for j, c := range w.clauses {
		sum := 0
		for i, k := range kinds {
			if k.in>>j&1 != 0 {
				sum += n[i]
			}
		}
		if sum < c.need {
			return false
		}
		if sum == c.need {
			exact |= 1 << j
		}
	}
	for i, k := range kinds {
		if n[i] > 0 && k.in&exact == 0 {
			return false
		}
	}
	return true
}

// pick tries all choices of n[i] keys of kind i.
func (e *enumeration) pick(w way, kinds []kind, n []int, at int, set keys) {
	if at == len(kinds) {
		e.keep(set)
		return
	}
	var next func(from, left int)
	next = func(from, left int) {
		if left == 0 {
			e.pick(w, kinds, n, at+1, set)
			return
		}
		for i := from; i+left <= len(kinds[at].keys) && !e.stop(1); i++ {
			set.set(kinds[at].keys[i])
			next(i+1, left-1)
			set.clear(kinds[at].keys[i])
		}
	}
	next(0, n[at])
}

// keep adds a set that opens one of the ways if no smaller one of its subsets does.
func (e *enumeration) keep(set keys) {
	members := set.members()
	if e.stop(len(members) * len(e.ways) * len(set)) {
		return
	}
	for _, key := range members {
		set.clear(key)
		smaller := slices.ContainsFunc(e.ways, func(w way) bool { return w.metBy(set) })
		set.set(key)
		if smaller {
			return
		}
	}
	e.found = append(e.found, set.clone())
}

// stop reports whether enough is found, or too much was done.
func (e *enumeration) stop(cost int) bool {
	if !e.work.spend(cost) {
		e.more = true
	}
	return e.more || len(e.found) > e.enough()
}

// enough leaves room for sets that two ways have in common.
func (e *enumeration) enough() int { return e.most * (len(e.ways) + 1) }
