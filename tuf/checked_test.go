package tuf

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// Whatever has been checked before, every question has the answer that it has of a file
// of which nothing is known.
func TestCheckChangesNoAnswer(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 14))
	ids := slices.Sorted(maps.Keys(pool()))
	pick := func() testKey { return pool()[ids[random.IntN(len(ids))]] }
	payload := []byte("a payload")
	made := map[string][]byte{} // signatures cost time: one of each key
	sign := func(k testKey) []byte {
		name := k.key.Type + k.key.Scheme + k.key.Public
		if made[name] == nil {
			made[name] = k.sign(payload)
		}
		return made[name]
	}
	met := 0
	for round := range 60 {
		m := &Metadata{Payload: payload}
		for i := range random.IntN(6) {
			sig := slices.Clone(sign(pick()))
			if random.IntN(4) == 0 {
				sig[random.IntN(len(sig))] ^= 1
			}
			m.Signatures = append(m.Signatures, Signature{fmt.Sprint("id", i), sig})
		}
		var sets []KeySet
		for range 4 {
			keys, role := map[string]*Key{}, Role{Threshold: 1 + random.IntN(2)}
			for i := range 6 { // one id stands for different keys
				id := fmt.Sprint("id", i)
				keys[id] = pick().key
				role.KeyIDs = append(role.KeyIDs, id)
			}
			sets = append(sets, NewKeySet(keys, role))
		}
		warm := &Metadata{Payload: m.Payload, Signatures: m.Signatures}
		var checking sync.WaitGroup
		for _, ks := range sets[:random.IntN(len(sets)+1)] {
			checking.Go(func() { warm.Check(ks) })
		}
		answers := func(m *Metadata) (all []string) {
			for _, ks := range sets {
				all = append(all, fmt.Sprint(m.Signers(ks), m.Meets(ks)))
				if m.Meets(ks) == nil {
					met++
				}
			}
			return append(all, fmt.Sprint(m.LastMet(sets)))
		}
		during := answers(warm)
		checking.Wait()
		if want := answers(m); !slices.Equal(answers(warm), want) || !slices.Equal(during, want) {
			t.Fatalf("round %d: %q, while it was checked %q, want %q", round, answers(warm), during, want)
		}
	}
	if met < 10 {
		t.Errorf("files met sets %d times", met)
	}
}

// What was checked is not checked again.
func TestCheckIsRemembered(t *testing.T) {
	k := ed25519TestKey(t)
	m := &Metadata{Payload: []byte("payload"), Signatures: []Signature{{"a", k.sign([]byte("payload"))}}}
	ks := NewKeySet(map[string]*Key{"a": k.key}, Role{KeyIDs: []string{"a"}, Threshold: 1})
	m.Check(ks)
	m.Signatures[0].Sig = []byte("nobody looks at it again")
	if err := m.Meets(ks); err != nil {
		t.Error(err)
	}
}
