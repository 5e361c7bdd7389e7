package audit

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"iter"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// keyFindings looks at the ids under which a file lists keys. TUF wants an id to
// be the hash of its key; nothing depends on it here, since a key counts by
// itself, but clients that check it will not accept the file.
func (r *repository) keyFindings(l *loaded) []Finding {
	var keys []byte
	switch m := l.metadata; {
	case m.Root != nil:
		keys = m.Member("keys")
	case m.Targets != nil:
		keys, _ = member(m.Member("delegations"), "keys")
	}
	var found []Finding
	for name, value := range members(keys) {
		// A key is looked at once, not in each release that lists it.
		id, key := string(name), string(value)
		seen := tuf.Sum([]byte(id + "\x00" + key))
		if r.keys[seen] {
			continue
		}
		r.keys[seen] = true
		r.fact("key/"+seen.String(), true)
		if !isKeyID(id, key) {
			found = append(found, aboutLeaf(KeyID, l.index, l.leaf, "%s %d lists a key under id %s, which is not the hash of that key", tuf.Word(l.leaf.Role), l.leaf.Version, tuf.Word(clip(id, 64))))
		}
	}
	return found
}

// isKeyID reports whether id is a hash of the key object, given as canonical
// JSON. Implementations differ in what they hash: all of it, or only the members
// that the specification defines, with or without keyid_hash_algorithms.
func isKeyID(id, key string) bool {
	candidates := []string{key}
	all := slices.Collect(pairs(members([]byte(key))))
	without := func(drop func(name string) bool) string {
		var kept []string
		for _, p := range all {
			if !drop(p.name) {
				kept = append(kept, p.name+`":`+p.value)
			}
		}
		if len(kept) == 0 {
			return "{}"
		}
		return `{"` + strings.Join(kept, `,"`) + "}"
	}
	defined := func(name string) bool { return name != "keytype" && name != "keyval" && name != "scheme" }
	candidates = append(candidates,
		without(func(name string) bool { return name == "keyid_hash_algorithms" }),
		without(func(name string) bool { return defined(name) && name != "keyid_hash_algorithms" }),
		without(defined))
	minimal := without(defined)
	candidates = append(candidates, `{"keyid_hash_algorithms":["sha256","sha512"],`+minimal[1:])
	for _, c := range candidates {
		sum256, sum512 := sha256.Sum256([]byte(c)), sha512.Sum512([]byte(c))
		if id == hex.EncodeToString(sum256[:]) || id == hex.EncodeToString(sum512[:]) {
			return true
		}
	}
	return false
}

type pair struct{ name, value string }

func pairs(seq iter.Seq2[[]byte, []byte]) iter.Seq[pair] {
	return func(yield func(pair) bool) {
		for name, value := range seq {
			if !yield(pair{string(name), string(value)}) {
				return
			}
		}
	}
}

// member returns the value of a member of an object in canonical JSON.
func member(object []byte, name string) ([]byte, bool) {
	for n, value := range members(object) {
		if string(n) == name {
			return value, true
		}
	}
	return nil, false
}

// members yields the members of an object in canonical JSON: names as they are
// spelled between the quotes, values as they stand. encoding/json cannot do it,
// because canonical JSON has control characters in strings. It stops at what is
// no object.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for m := newMembers(object); m.ok && yield(m.name, m.value); m.next() {
		}
	}
}

// elements yields the elements of an array in canonical JSON.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest, ok := bytes.CutPrefix(array, []byte("["))
		for ok {
			end := valueEnd(rest)
			if end == 0 || !yield(rest[:end]) {
				return
			}
			rest, ok = bytes.CutPrefix(rest[end:], []byte(","))
		}
	}
}

// memberCursor goes through the members of an object.
type memberCursor struct {
	name, value []byte
	ok          bool // there is one
	rest        []byte
}

func newMembers(object []byte) memberCursor {
	m := memberCursor{}
	if m.rest, m.ok = bytes.CutPrefix(object, []byte("{")); m.ok {
		m.read()
	}
	return m
}

func (m *memberCursor) next() {
	if m.rest, m.ok = bytes.CutPrefix(m.rest, []byte(",")); m.ok {
		m.read()
	}
}

func (m *memberCursor) read() {
	m.ok = false
	end := valueEnd(m.rest)
	if end < 2 || m.rest[0] != '"' {
		return
	}
	m.name = m.rest[1 : end-1]
	var colon bool
	if m.rest, colon = bytes.CutPrefix(m.rest[end:], []byte(":")); !colon {
		return
	}
	if end = valueEnd(m.rest); end == 0 {
		return
	}
	m.value, m.rest, m.ok = m.rest[:end], m.rest[end:], true
}

// valueEnd returns how many bytes of s its first value takes, 0 if there is
// none or it does not end.
func valueEnd(s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			n := stringEnd(s[i+1:])
			if n == 0 {
				return 0
			}
			if i += n; depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i // the value before it ended here
			}
			if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return 0
}

// stringEnd returns how many bytes of s there are up to the quote that ends a string, with
// that; 0 if it does not end. Most of a file is in strings, so it looks for quotes only.
func stringEnd(s []byte) int {
	for at := 0; ; {
		quote := bytes.IndexByte(s[at:], '"')
		if quote < 0 {
			return 0
		}
		backslashes := 0
		for i := at + quote - 1; i >= 0 && s[i] == '\\'; i-- {
			backslashes++
		}
		if at += quote + 1; backslashes%2 == 0 {
			return at
		}
	}
}
