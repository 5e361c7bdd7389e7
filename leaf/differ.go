package leaf

import (
	"fmt"
	"regexp"
	"strings"
)

// kindLine is the first line of every kind of leaf, those to come included.
var kindLine = regexp.MustCompile(`^tuflog [a-z][a-z0-9-]* v[1-9][0-9]*\n`)

// UnknownKind reports whether an entry that did not parse says that it is a kind of leaf
// that this package does not know, and returns its first line: a newer version may know it.
func UnknownKind(raw []byte) (string, bool) {
	line := string(kindLine.Find(raw))
	if line == "" || line == "tuflog release v1\n" || line == "tuflog evidence v1\n" || line == End {
		return "", false
	}
	return strings.TrimSuffix(line, "\n"), true
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
