package cases

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Mutate returns a sidecar that differs from another in a few places, as a liar or a bad disk
// would have it: bytes, lines, and parts of a second sidecar.
func Mutate(r *rand.Rand, sidecar, other []byte) []byte {
	b := slices.Clone(sidecar)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			return b
		}
		at := r.IntN(len(b))
		switch r.IntN(12) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[at] = "\n\r =+/A0123456789abcdef\x00\x80\xc2\xe2\xf4\xff—"[r.IntN(32)]
		case 2:
			b = slices.Delete(b, at, min(at+1+r.IntN(4), len(b)))
		case 3:
			b = slices.Insert(b, at, []byte(" \n+=0A\xe2\x80\x94")[r.IntN(9)])
		case 4:
			b = slices.Insert(b, at, b[at:min(at+r.IntN(90), len(b))]...)
		case 5:
			b = b[:at]
		case 6, 7:
			b = mutateLeaf(r, b)
		default:
			b = mutateLines(r, b, other)
		}
	}
	return b
}

// mutateLeaf changes a byte of what the base64 of the extra data says.
func mutateLeaf(r *rand.Rand, b []byte) []byte {
	head, rest, _ := bytes.Cut(b, []byte("extra "))
	line, rest, ok := bytes.Cut(rest, []byte("\n"))
	leaf, err := base64.StdEncoding.DecodeString(string(line))
	if !ok || err != nil || len(leaf) == 0 {
		return b
	}
	at := r.IntN(len(leaf))
	switch c := "\n %0123456789AFaf-~/\x00\xc3"[r.IntN(22)]; r.IntN(3) {
	case 0:
		leaf[at] = c
	case 1:
		leaf = slices.Insert(leaf, at, c)
	default:
		leaf = slices.Delete(leaf, at, at+1)
	}
	return fmt.Appendf(nil, "%sextra %s\n%s", head, base64.StdEncoding.EncodeToString(leaf), rest)
}

func mutateLines(r *rand.Rand, b, other []byte) []byte {
	lines, others := bytes.SplitAfter(b, []byte("\n")), bytes.SplitAfter(other, []byte("\n"))
	i, j := r.IntN(len(lines)), r.IntN(len(lines))
	switch r.IntN(5) {
	case 0:
		lines[i], lines[j] = lines[j], lines[i]
	case 1:
		lines = slices.Delete(lines, i, i+1)
	case 2:
		lines = slices.Insert(lines, i, lines[j])
	case 3:
		lines[i] = others[min(i, len(others)-1)]
	case 4:
		lines = slices.Insert(lines, i, others[r.IntN(len(others))])
	}
	return bytes.Join(lines, nil)
}
