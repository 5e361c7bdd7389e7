package admit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// Anybody can take a vendor's public root and add to it what no signature covers.
// A log must not keep that as the vendor's: however it is added, there is little.
func TestPaddedRoot(t *testing.T) {
	if testing.Short() {
		t.Skip("reads large files again and again")
	}
	root := string(forge(t, forgedRoot(1, usual), "r1"))
	honest := parse(t, []byte(root))
	text := strings.Repeat("whatever is unlawful where the operator lives. ", 31<<20/47)
	for where, padded := range map[string]string{
		"a field of a signature":  strings.Replace(root, `{"keyid"`, `{"method":"`+text+`","keyid"`, 1),
		"a bundle":                strings.Replace(root, `{"keyid"`, `{"bundle":{"x":"`+text+`"},"keyid"`, 1),
		"a key id":                strings.Replace(root, `"signatures":[`, `"signatures":[{"keyid":"`+text+`","sig":""},`, 1),
		"a signature":             strings.Replace(root, `"signatures":[`, `"signatures":[{"keyid":"x","sig":"`+text+`"},`, 1),
		"a signature in hex":      strings.Replace(root, `"signatures":[`, `"signatures":[{"keyid":"x","sig":"`+strings.Repeat("ab", 15<<20)+`"},`, 1),
		"the name of a field":     strings.Replace(root, `{"keyid"`, `{"`+text+`":1,"keyid"`, 1),
		"white space":             root + strings.Repeat(" ", 31<<20),
		"escapes":                 strings.Replace(root, `"r1"`, `"`+strings.Repeat(`\u0072`, 5<<20)+`1"`, 1),
		"white space in the root": strings.Replace(root, `"_type"`, strings.Repeat("\n", 1<<20)+`"_type"`, 1),
	} {
		if padded == root {
			t.Fatalf("%s: nothing is added", where)
		}
		if _, err := tuf.ParseJSON([]byte(padded)); err == nil {
			t.Errorf("%s: %d bytes beside a payload of %d", where, len(padded), len(honest.Payload))
		}
	}
	most := tuf.PayloadFactor*len(honest.Payload) + tuf.UnsignedBytes + tuf.BytesPerSignature
	fits, err := tuf.ParseJSON([]byte(root + strings.Repeat(" ", most-len(root))))
	if err != nil || fits.PayloadDigest != honest.PayloadDigest {
		t.Errorf("what may be added: %v", err)
	}
}

// Each signature has room of its own, and anybody can add signatures under ids that
// the role does not have. They give a vendor's file no room in the log, nor one that
// vouches for it.
func TestPaddedWithSignatures(t *testing.T) {
	junk := func(file []byte, ids func(i int) string, n int) []byte {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"keyid":%q,"sig":"%02x","bundle":%q},`, ids(i), i, strings.Repeat("x", tuf.BytesPerSignature-100))
		}
		return []byte(strings.Replace(string(file), `{"signatures":[`, `{"signatures":[`+b.String(), 1))
	}
	// Others may have signed as well, within what every file may have.
	others, most := func(i int) string { return fmt.Sprint("other", i) }, tuf.UnsignedBytes/tuf.BytesPerSignature
	roles := topLevel{"r1 u1 k1 k2 k3 k4 k5 k6 k7 k8/1", "t1", "s1", "x1"}
	root := forge(t, forgedRoot(1, roles), "r1")
	refused := func(what string, err error) {
		t.Helper()
		var r *admit.Refused
		if !errors.As(err, &r) || r.Code != admit.RefusedMalformed {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := admit.JudgeGenesis(parse(t, junk(root, others, most+2)))
	refused("a genesis", err)
	for what, padded := range map[string][]byte{
		"a few":                              junk(root, others, most),
		"keys of the role, readable and not": junk(root, func(i int) string { return []string{"u1", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"}[i] }, 9),
	} {
		if _, err := admit.JudgeGenesis(parse(t, padded)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}

	w := newWorld(t, roles)
	next := forge(t, forgedRoot(2, topLevel{"q1", "t1", "s1", "x1"}), "r1", "q1")
	_, err = w.judge("root", junk(next, others, most+4))
	refused("a root", err)
	w.mustRelease("root", junk(next, func(i int) string { return fmt.Sprint("k", i+1) }, 8)) // of the root before
	file := w.targets("t1", 1, "x")
	large := junk(file, others, most+2)
	_, err = w.judge("targets", large, w.beside("targets", large))
	refused("targets", err)
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", file, junk(w.beside("targets", file), others, most+2))
	at := w.mustRelease("targets", file, junk(w.beside("targets", file), others, most+2), w.beside("targets", file))
	// What is logged stays logged.
	w.mustBeLogged(at, "targets", large, w.beside("targets", large))
}
