package tuf

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ThresholdError means that too few keys of a role signed. It lists the
// signatures that could not be counted.
type ThresholdError struct {
	Have, Want int // distinct public keys

	// Unchecked are the keys of the role, by kind, that cannot check a
	// signature although the file has a possible one under their ids.
	Unchecked []UncheckedKeys
	// NotHex is how many of the role's other keys have a signature that is not
	// hexadecimal.
	NotHex int

	reader string // who could not check the keys; empty: the log
}

// UncheckedKeys are keys of one kind that cannot check signatures.
type UncheckedKeys struct {
	Type, Scheme string // as the metadata lists them
	// Supported reports whether the kind is known; then these keys are
	// malformed or of small order.
	Supported bool
	Keys      int // key ids
}

// Short returns the error for m if only have keys of the role signed the
// payload.
func (m *Metadata) Short(ks KeySet, have int) *ThresholdError {
	e := &ThresholdError{Have: have, Want: max(1, ks.threshold)}
	kinds := map[UncheckedKeys]int{}
	// unchecked notes a key that checks nothing, and reports whether it is one.
	unchecked := func(key *Key) bool {
		_, readable := key.Identity()
		if !readable {
			kinds[UncheckedKeys{Type: key.Type, Scheme: key.Scheme, Supported: keyReader(key.Type, key.Scheme) != nil}]++
		}
		return !readable
	}
	for _, sig := range m.Signatures {
		if key := ks.Key(sig.KeyID); key != nil {
			unchecked(key)
		}
	}
	for _, id := range m.NotHex {
		if key := ks.Key(id); key != nil && !unchecked(key) {
			e.NotHex++
		}
	}
	for _, kind := range slices.SortedStableFunc(maps.Keys(kinds), func(a, b UncheckedKeys) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Scheme, b.Scheme))
	}) {
		n := kinds[kind]
		kind.Keys = n
		e.Unchecked = append(e.Unchecked, kind)
	}
	return e
}

// Error tells how many keys signed and how many must, and names the kinds of the
// keys that could not be checked.
func (e *ThresholdError) Error() string {
	var b strings.Builder
	if len(e.Unchecked) == 0 {
		fmt.Fprintf(&b, "signed by %d keys of the role, %d needed", e.Have, e.Want)
	} else {
		e.writeUnchecked(&b)
		fmt.Fprintf(&b, "; the role needs %d", e.Want)
	}
	switch {
	case e.NotHex == 1:
		b.WriteString("; 1 signature of the role is not hexadecimal, and counts as none")
	case e.NotHex > 1:
		fmt.Fprintf(&b, "; %d signatures of the role are not hexadecimal, and count as none", e.NotHex)
	}
	return b.String()
}

func (e *ThresholdError) writeUnchecked(b *strings.Builder) {
	all := e.Have
	for _, kind := range e.Unchecked {
		all += kind.Keys
	}
	fmt.Fprintf(b, "signed by %s, ", count(all, "key"))
	if all > 1 {
		b.WriteString("of which ")
	}
	for i, kind := range e.Unchecked {
		if i > 0 {
			b.WriteString(", and ")
		}
		if all > 1 {
			fmt.Fprintf(b, "%d %s ", kind.Keys, plural(kind.Keys, "is", "are"))
		}
		fmt.Fprintf(b, "of type %s", Word(kind.Type))
		switch {
		case kind.Supported:
			fmt.Fprintf(b, " but cannot be read as %s", Word(kind.Scheme))
		case keyTypes[kind.Type]:
			fmt.Fprintf(b, " and scheme %s, which %s cannot check", Word(kind.Scheme), cmp.Or(e.reader, "this log"))
		default:
			fmt.Fprintf(b, ", which %s cannot check", cmp.Or(e.reader, "this log"))
		}
	}
}

// OnDevice rewords err for the user of a device.
func OnDevice(err error) error {
	if e, ok := err.(*ThresholdError); ok {
		told := *e
		told.reader = "this device"
		return &told
	}
	return err
}

func count(n int, what string) string { return fmt.Sprintf("%d %s", n, plural(n, what, what+"s")) }

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}
