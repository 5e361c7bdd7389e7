package verify_test

import (
	"strings"
	"testing"

	"github.com/tuflog/tuflog/verify"
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
		if _, err := verify.ParseJSON([]byte(padded)); err == nil {
			t.Errorf("%s: %d bytes beside a payload of %d", where, len(padded), len(honest.Payload))
		}
	}
	most := verify.PayloadFactor*len(honest.Payload) + verify.UnsignedBytes + verify.BytesPerSignature
	fits, err := verify.ParseJSON([]byte(root + strings.Repeat(" ", most-len(root))))
	if err != nil || fits.PayloadDigest != honest.PayloadDigest {
		t.Errorf("what may be added: %v", err)
	}
}
