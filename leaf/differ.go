package leaf

import (
	"fmt"
	"strings"
)

// UnknownKind reports whether an entry that did not parse says that it is a kind of leaf
// that this package does not know, and returns its first line: a newer version may know it.
func UnknownKind(raw []byte) (string, bool) {
	line, _, ok := strings.Cut(string(raw), "\n")
	if !ok || !isKindLine(line) || line == "tuflog release v1" || line == "tuflog evidence v1" || line+"\n" == End {
		return "", false
	}
	return line, true
}

// isKindLine reports whether a line is the first one of any kind of leaf, those to come
// included: "tuflog", a word of a-z, 0-9 and - that begins with a letter, and v with a
// number from 1. Package regexp would weigh as much as all of proofs, on devices and in
// browsers.
func isKindLine(line string) bool {
	line, ok := strings.CutPrefix(line, "tuflog ")
	word, number, ok2 := strings.Cut(line, " v")
	return ok && ok2 && word != "" && word[0] >= 'a' && word[0] <= 'z' && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
		number != "" && number[0] != '0' && strings.Trim(number, "0123456789") == ""
}

// Difference words how a leaf differs from the one that the rules give.
func (l Leaf) Difference(want Leaf) string {
	var parts []string
	differ := func(what string, got, want any) {
		if got != want {
			parts = append(parts, fmt.Sprintf("%s is %v, the rules give %v", what, got, want))
		}
	}
	differ("its kind", l.Kind, want.Kind)
	differ("its repository", l.Repository, want.Repository)
	differ("its role", l.Role, want.Role)
	differ("its version", l.Version, want.Version)
	differ("its payload", l.Payload, want.Payload)
	differ("its metadata", l.Metadata, want.Metadata)
	differ("its size", l.Size, want.Size)
	differ("its snapshot", l.Snapshot, want.Snapshot)
	differ("how its snapshot lists it", l.Listed, want.Listed)
	differ("its encoding", l.Encoding, want.Encoding)
	differ("the index it contradicts", l.Contradicts, want.Contradicts)
	return strings.Join(parts, "; ")
}
