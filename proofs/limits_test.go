package proofs

import (
	"runtime"
	"strings"
	"testing"
)

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Verifying a proof with a log's signature and three cosignatures stays cheap.
func TestProofAllocations(t *testing.T) {
	c := newProofCase(t, newWorld(t), 70_000)
	c.verify(t)
	if n := testing.AllocsPerRun(20, func() { c.verify(t) }); n >= 60 {
		t.Errorf("%v allocations, want fewer than 60", n)
	}
	const runs = 20
	bytes := allocated(func() {
		for range runs {
			c.verify(t)
		}
	})
	if bytes/runs >= 32<<10 {
		t.Errorf("%d bytes allocated, want less than 32 KiB", bytes/runs)
	}
}

// No input makes a parser allocate out of proportion to its length.
func TestMemoryIsBounded(t *testing.T) {
	w := newWorld(t)
	signed := string(w.checkpoint(t, Tree{N: 7, Hash: LeafHash(nil)}))
	const sig = "— a AAAAAQI=\n"
	h := LeafHash(nil).String() + "\n"
	const head = "c2sp.org/tlog-proof@v1\n"
	fill := func(unit string, size int) string { return strings.Repeat(unit, size/len(unit)) }
	note := func(s string) { _, _ = ParseNote([]byte(s)) }
	proof := func(s string) { _, _ = ParseProof([]byte(s)) }
	policy := func(s string) { _, _ = ParsePolicy([]byte(s)) }
	for name, tt := range map[string]struct {
		in    string
		parse func(string)
	}{
		"note of newlines":        {fill("\n", MaxNoteSize-len(sig)) + sig, note},
		"note of signatures":      {"a\n\n" + fill(sig, MaxNoteSize-3), note},
		"note of dashes":          {"a\n\n" + fill("— \n", MaxNoteSize-3), note},
		"note too large":          {fill("\n", 8*MaxNoteSize), note},
		"signatures of newlines":  {fill("\n", MaxNoteSize), func(s string) { _, _ = ParseSignatures([]byte(s)) }},
		"checkpoint of lines":     {"a\n1\n" + h + fill("x\n", MaxNoteSize), func(s string) { _, _ = ParseCheckpoint(s) }},
		"proof of hashes":         {head + "index 0\n" + fill(h, MaxProofSize-len(signed)-40) + "\n" + signed, proof},
		"proof of newlines":       {head + fill("\n", MaxProofSize-len(head)), proof},
		"proof of extra":          {head + "extra " + fill("AAAA", MaxProofSize-len(signed)-100) + "\nindex 0\n\n" + signed, proof},
		"proof too large":         {head + fill("x\n", 8*MaxProofSize), proof},
		"policy of newlines":      {fill("\n", MaxPolicySize), policy},
		"policy of letters":       {fill("a ", MaxPolicySize-1) + "\n", policy},
		"policy of members":       {w.policyText + "group g any" + fill(" x", MaxPolicySize-len(w.policyText)-20) + "\n", policy},
		"policy of control bytes": {fill("\x01\n", MaxPolicySize), policy},
		"key of A":                {"a+00000000+" + fill("AAAA", 1<<20), func(s string) { _, _ = ParseKey(s) }},
		"name of a key":           {fill("a", 1<<20) + "+00000000+AQ==", func(s string) { _, _ = ParseKey(s) }},
		"bundle of nothing":       {fill("\x00", 1<<20), func(s string) { _, _ = ParseEntries([]byte(s)) }},
		"edge of newlines":        {"1\n" + fill("\n", 1<<20), func(s string) { _ = new(Edge).UnmarshalText([]byte(s)) }},
		"tile path of slashes":    {"tile/0/" + fill("x999/", 1<<20), func(s string) { _, _ = ParseTilePath(s) }},
	} {
		bytes := allocated(func() { tt.parse(tt.in) })
		if limit := uint64(12*len(tt.in) + 16<<10); bytes > limit {
			t.Errorf("%s: %d bytes allocated for %d bytes of input", name, bytes, len(tt.in))
		}
	}
}
