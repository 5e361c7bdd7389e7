package explain

import (
	"math/bits"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// keys is a set of keys, a bit for each key of a universe.
type keys []uint64

func newKeys(n int) keys             { return make(keys, (n+63)/64) }
func (k keys) set(i int)             { k[i/64] |= 1 << (i % 64) }
func (k keys) clear(i int)           { k[i/64] &^= 1 << (i % 64) }
func (k keys) has(i int) bool        { return k[i/64]>>(i%64)&1 != 0 }
func (k keys) equal(other keys) bool { return slices.Equal(k, other) }
func (k keys) clone() keys           { return slices.Clone(k) }
func (k keys) and(other keys) keys {
	return combine(k, other, func(a, b uint64) uint64 { return a & b })
}
func (k keys) without(other keys) keys {
	return combine(k, other, func(a, b uint64) uint64 { return a &^ b })
}

func combine(a, b keys, op func(a, b uint64) uint64) keys {
	c := make(keys, len(a))
	for i := range a {
		c[i] = op(a[i], b[i])
	}
	return c
}

func (k keys) len() int {
	n := 0
	for _, w := range k {
		n += bits.OnesCount64(w)
	}
	return n
}

// members returns the keys of the set in order.
func (k keys) members() []int {
	var all []int
	for i, w := range k {
		for ; w != 0; w &= w - 1 {
			all = append(all, 64*i+bits.TrailingZeros64(w))
		}
	}
	return all
}

// clause is met by any need keys of a set.
type clause struct {
	roles []string // the roles whose threshold it is
	need  int
	of    keys
}

func (c clause) metBy(set keys) bool { return c.of.and(set).len() >= c.need }

// way is one way to replace a file: all clauses, of which there are at most three.
type way struct {
	role    string
	clauses []clause
}

func (w way) metBy(set keys) bool {
	return !slices.ContainsFunc(w.clauses, func(c clause) bool { return !c.metBy(set) })
}

// work bounds how much a calculation does: thresholds may be 1,024 of thousands of keys.
type work struct {
	left int
	of   *work // of which it is a part; nil: of none
}

// spend takes steps, and reports whether there were so many.
func (w *work) spend(n int) bool {
	w.left -= n
	if w.of != nil {
		w.of.left -= n
	}
	return w.left >= 0
}

// least returns the size of the smallest set that meets at most three clauses; -1 if there
// is none. It reports false if that would be too much work.
//
// Keys are alike if they are in the same clauses. Keys that are in all three come first:
// no other is worth more. The keys that are in exactly two are counted through, but for
// the last kind, for which the best number is known: up to where one of its clauses is met
// each of them saves one, and beyond where both are, each costs one.
func least(clauses []clause, w *work) (int, bool) {
	if len(clauses) == 0 {
		return 0, true
	}
	var need [3]int
	var of [3]keys
	for i := range of {
		of[i] = newKeys(64 * len(clauses[0].of))
		if i < len(clauses) {
			need[i], of[i] = clauses[i].need, clauses[i].of
		}
		if of[i].len() < need[i] {
			return -1, true
		}
	}
	if !w.spend(8 * len(of[0])) {
		return 0, false
	}
	all := of[0].and(of[1]).and(of[2])
	pair := func(a, b, not int) int { return of[a].and(of[b]).without(of[not]).len() }
	ab, ac, bc := pair(0, 1, 2), pair(0, 2, 1), pair(1, 2, 0)
	var alone [3]int
	for i := range alone {
		alone[i] = of[i].without(of[(i+1)%3]).without(of[(i+2)%3]).len()
	}
	used := min(all.len(), max(need[0], need[1], need[2]))
	for i := range need {
		need[i] = max(0, need[i]-used)
	}
	best := -1
	for x := range min(ab, max(need[0], need[1])) + 1 {
		top := min(ac, max(need[0], need[2]))
		if !w.spend(top + 1) {
			return 0, false
		}
		for y := range top + 1 {
			a, b, c := max(0, need[0]-x-y), need[1]-x, need[2]-y
			low := max(0, b-alone[1], c-alone[2])
			if a > alone[0] || low > bc {
				continue
			}
			z := min(max(min(b, c), low), bc)
			if size := x + y + z + a + max(0, b-z) + max(0, c-z); best < 0 || size < best {
				best = size
			}
		}
	}
	if best < 0 {
		return -1, true
	}
	return used + best, true
}

// implies reports whether every set that meets the clauses meets c as well. If that would
// be too much work, the answer is no.
func implies(clauses []clause, c clause, w *work) bool {
	if !w.spend(4 * len(c.of)) {
		return false
	}
	// A set may have all keys outside of c, and then as few of c as the clauses ask for.
	var inside []clause
	most, sum := 0, 0
	for _, given := range clauses {
		demand := given.need - given.of.without(c.of).len()
		if demand > 0 {
			inside = append(inside, clause{need: demand, of: given.of.and(c.of)})
			most, sum = max(most, demand), sum+demand
		}
	}
	if most >= c.need || sum < c.need {
		return most >= c.need
	}
	n, ok := least(inside, w)
	return ok && n >= c.need
}

// simplify leaves out each clause that the others imply. Its roles are named with a clause
// of the same keys and threshold, if there is one.
func (w way) simplify(budget *work) way {
	left := slices.Clone(w.clauses)
	for i := 0; i < len(left); {
		others := slices.Delete(slices.Clone(left), i, i+1)
		if len(others) == 0 || !implies(others, left[i], budget) {
			i++
			continue
		}
		for j := range others {
			if others[j].need == left[i].need && others[j].of.equal(left[i].of) {
				roles := append(slices.Clone(others[j].roles), left[i].roles...)
				slices.SortStableFunc(roles, func(a, b string) int { return tuf.Rank(a) - tuf.Rank(b) })
				others[j].roles = roles
				break
			}
		}
		left = others
	}
	return way{w.role, left}
}

// covers reports whether every set of keys that opens other opens w.
func (w way) covers(other way, budget *work) bool {
	for _, c := range w.clauses {
		if !implies(other.clauses, c, budget) {
			return false
		}
	}
	return true
}
