package fraud

import (
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/proofs"
)

// party is those who answer for keys.
type party struct {
	label string // names it among the given keys: see partiesOf
	keys  []proofs.Key
	log   bool
}

// partiesOf tells who holds the given keys, in their order. Each key is a party by itself,
// because a name is its holder's choice: two witnesses may have the same one, or the log's.
// Only the log's keys are one party together: those of a type that logs sign with and whose
// name is the origin.
//
// A party is labelled by the name of its keys. Where that is not enough to tell it from
// another, or from the log, the key's id follows, as in a verifier key: w1.example+37d89063.
func partiesOf(origin string, keys []proofs.Key) []party {
	var all []party
	log := -1
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			continue
		}
		isLogs := k.Name() == origin && k.Algorithm().ForLogs()
		switch {
		case isLogs && log >= 0:
			all[log].keys = append(all[log].keys, k)
			continue
		case isLogs:
			log = len(all)
		}
		all = append(all, party{label: k.Name(), keys: []proofs.Key{k}, log: isLogs})
	}
	named := map[string]int{}
	for _, p := range all {
		named[p.label]++
	}
	for i := range all {
		p := &all[i]
		if !p.log && (named[p.label] > 1 || p.label == origin) {
			p.label = fmt.Sprintf("%s+%08x", p.label, p.keys[0].ID())
		}
	}
	return all
}
