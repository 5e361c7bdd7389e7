package tuf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// SyntaxError tells where and why a metadata file is refused.
type SyntaxError struct {
	Path   string // the value meant, such as signed.targets["a.bin"].length; empty: the whole file
	Offset int    // in bytes from the start of the file
	Reason string
}

// Error names the place, the reason and the offset.
func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("metadata: %s (byte %d)", e.Reason, e.Offset)
	}
	return fmt.Sprintf("metadata: %s: %s (byte %d)", e.Path, e.Reason, e.Offset)
}

// inside returns err with one more step at the front of its path.
func inside(err error, step string) error {
	if e, ok := err.(*SyntaxError); ok {
		e.Path = step + e.Path
	}
	return err
}

// scanner reads JSON once, from front to back. Whatever it reads it also
// appends to out as canonical JSON (OLPC's, as TUF uses it): no white space,
// names sorted by their bytes, only " and \ escaped in strings, integers as they
// are. The typed readers in this package are built from its methods, so decoding
// and canonicalising cannot disagree about what a file says.
//
// The canonical form is never longer than the input. Every step is linear, but that
// an object whose members are not in order has their names sorted, and is copied
// once. Besides out, memory is taken for four bytes for each member of the objects
// that are open, and for one object that is being sorted as much again as it has and
// four more bytes for each member.
type scanner struct {
	src       []byte
	canonical bool // src is canonical JSON, which has control characters in strings
	pos       int
	out       []byte
	starts    []uint32 // where each member of the objects that are open begins in out
	order     []uint32 // of the members of an object that is being sorted
	scratch   []byte
	depth     int
	nulls     int // above 0: inside a target's "custom", where null is allowed
	nameAt    int // where the last name began
	kept      int // about how many bytes take what was read to keep
}

func (s *scanner) errorf(at int, format string, args ...any) error {
	return &SyntaxError{Offset: at, Reason: fmt.Sprintf(format, args...)}
}

// space skips white space and returns the byte after it, 0 at the end.
func (s *scanner) space() byte {
	for ; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

// found Describes the next value or byte for an error message.
func (s *scanner) found() string {
	switch c := s.space(); {
	case s.pos >= len(s.src):
		return "the end of the file"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == '-' || '0' <= c && c <= '9':
		return "a number"
	case s.at("null"):
		return "null"
	case s.at("true"), s.at("false"):
		return "a boolean"
	default:
		return strconv.QuoteToASCII(string(s.src[s.pos : s.pos+1]))
	}
}

func (s *scanner) want(what string) error {
	found := s.found()
	return s.errorf(s.pos, "want %s, found %s", what, found)
}

// open enters an object or array.
func (s *scanner) open(bracket byte, what string) error {
	if s.space() != bracket {
		return s.want(what)
	}
	if s.depth++; s.depth > MaxDepth {
		return s.errorf(s.pos, "nested deeper than %d", MaxDepth)
	}
	s.pos++
	s.out = append(s.out, bracket)
	return nil
}

// close leaves an object or array; the caller has seen the bracket.
func (s *scanner) close(bracket byte) {
	s.depth--
	s.pos++
	s.out = append(s.out, bracket)
}

// record reads an object whose names have a meaning fixed by the specification:
// known lists them all. read is called with the scanner at each value and must
// consume it. A name that differs from a known one only in case is refused,
// because some readers (encoding/json) take one for the other.
func (s *scanner) record(known []string, read func(name string) error) error {
	return s.object(known, true, func(name []byte) error {
		for _, k := range known {
			if string(name) == k {
				return read(k) // without a copy
			}
		}
		return read(string(name))
	})
}

// dict reads an object whose names are data, which read must copy to keep. known
// may list names with a special meaning, as for record.
func (s *scanner) dict(known []string, read func(name []byte) error) error {
	return s.object(known, false, read)
}

func (s *scanner) object(known []string, dotted bool, read func(name []byte) error) error {
	s.space()
	at := s.pos
	if err := s.open('{', "an object"); err != nil {
		return err
	}
	first := len(s.starts)
	sorted, last := true, []byte(nil)
	for n := 0; ; n++ {
		c := s.space()
		if n == 0 && c == '}' {
			break
		}
		nameAt := s.pos
		if n == MaxListed {
			return s.errorf(nameAt, "more than %d members", MaxListed)
		}
		s.starts = append(s.starts, uint32(len(s.out)))
		s.nameAt = nameAt
		if c != '"' {
			return s.want("a name")
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if n > 0 && sorted {
			switch c := bytes.Compare(name, last); {
			case c == 0:
				return s.errorf(nameAt, "name %q is repeated", Clip(string(name)))
			case c < 0:
				sorted = false
			}
		}
		last = name
		if err := s.checkCase(known, name, nameAt); err != nil {
			return err
		}
		if s.space() != ':' {
			return s.want(`":"`)
		}
		s.pos++
		s.out = append(s.out, ':')
		s.space()
		if err := read(name); err != nil {
			return inside(err, step(string(name), dotted))
		}
		if c := s.space(); c == '}' {
			break
		} else if c != ',' {
			return s.want(`"," or "}"`)
		}
		s.pos++
		s.out = append(s.out, ',')
	}
	if !sorted {
		if err := s.sort(s.starts[first:], at); err != nil {
			return err
		}
	}
	s.starts = s.starts[:first]
	s.close('}')
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

// step writes one step of an error's path.
func step(name string, dotted bool) string {
	if dotted && name != "" && strings.Trim(name, letters) == "" {
		return "." + name
	}
	return "[" + strconv.QuoteToGraphic(Clip(name)) + "]"
}

func (s *scanner) checkCase(known []string, name []byte, at int) error {
	for _, k := range known {
		if string(name) == k {
			return nil
		}
	}
	for _, k := range known {
		// EqualFold also knows that U+017F folds to s and U+212A to k, as
		// encoding/json does.
		if strings.EqualFold(k, string(name)) {
			return s.errorf(at, "name %q differs only in case from %q", Clip(string(name)), k)
		}
	}
	return nil
}

// sort puts the members of an object in order, and refuses repeated names. The
// object begins at in src; its members' canonical text begins at starts in out, of
// which it is the end.
func (s *scanner) sort(starts []uint32, at int) error {
	s.order = slices.Grow(s.order[:0], len(starts))
	for i := range starts {
		s.order = append(s.order, uint32(i))
	}
	slices.SortFunc(s.order, func(a, b uint32) int {
		return cmp.Or(compareNames(s.out[starts[a]:], s.out[starts[b]:]), cmp.Compare(a, b))
	})
	body := starts[0]
	s.scratch = slices.Grow(s.scratch[:0], len(s.out)-int(body))
	for i, m := range s.order {
		if i > 0 {
			if compareNames(s.out[starts[s.order[i-1]]:], s.out[starts[m]:]) == 0 {
				return s.repeated(int(m), at)
			}
			s.scratch = append(s.scratch, ',')
		}
		end := len(s.out)
		if next := int(m) + 1; next < len(starts) {
			end = int(starts[next]) - len(",")
		}
		s.scratch = append(s.scratch, s.out[starts[m]:end]...)
	}
	copy(s.out[body:], s.scratch)
	return nil
}

// repeated says that a member of the object at in src has the name of an earlier
// one. It reads the object again.
func (s *scanner) repeated(member, at int) error {
	again := scanner{src: s.src, canonical: s.canonical, pos: at, nulls: 1}
	stop := errors.New("found")
	var found error
	err := again.dict(nil, func(name []byte) error {
		if member == 0 {
			found = s.errorf(again.nameAt, "name %q is repeated", Clip(string(name)))
			return stop
		}
		member--
		return again.skip()
	})
	if err != stop {
		return err
	}
	return found
}

// compareNames compares two strings, each at the beginning of canonical JSON, by
// the bytes they stand for.
func compareNames(a, b []byte) int {
	for i, j := 1, 1; ; i, j = i+1, j+1 {
		endA, endB := a[i] == '"', b[j] == '"'
		if endA || endB {
			switch {
			case !endA:
				return 1
			case !endB:
				return -1
			}
			return 0
		}
		if a[i] == '\\' {
			i++
		}
		if b[j] == '\\' {
			j++
		}
		if a[i] != b[j] {
			return cmp.Compare(a[i], b[j])
		}
	}
}

// stringEnd returns where the string at i of canonical JSON ends.
func stringEnd(b []byte, i int) int {
	for i++; ; {
		i += bytes.IndexByte(b[i:], '"') + 1
		// It is escaped if it is behind an odd number of backslashes.
		n := i - 1
		for b[n-1] == '\\' {
			n--
		}
		if (i-1-n)%2 == 0 {
			return i
		}
	}
}

// valueEnd returns where the value at i of canonical JSON ends.
func valueEnd(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case ',', ':':
			i++
			continue
		case '}', ']':
			depth--
			i++
		default:
			for i++; i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']'; i++ {
			}
		}
		if depth <= 0 {
			return i
		}
	}
	return i
}

// members yields where the members of the object at i of canonical JSON begin.
func members(b []byte, i int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for b[i] != '}' && b[i+1] != '}' {
			i++ // the bracket, or a comma
			if !yield(i) {
				return
			}
			i = valueEnd(b, stringEnd(b, i)+len(":"))
		}
	}
}

// ObjectMembers yields the members of an object of canonical JSON, such as Metadata.Member
// returns: each name as it is written there, without its quotation marks, and its value.
func ObjectMembers(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := range members(object, 0) {
			end := stringEnd(object, i)
			from := end + len(":")
			if !yield(string(object[i+1:end-1]), object[from:valueEnd(object, from)]) {
				return
			}
		}
	}
}

// ArrayElements yields the elements of an array of canonical JSON.
func ArrayElements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 1; array[i] != ']'; {
			end := valueEnd(array, i)
			if !yield(array[i:end]) || array[end] == ']' {
				return
			}
			i = end + len(",")
		}
	}
}

// array reads an array; read is called with the scanner at each element.
func (s *scanner) array(read func(i int) error) error {
	if err := s.open('[', "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if c := s.space(); i == 0 && c == ']' {
			break
		}
		if err := read(i); err != nil {
			return inside(err, "["+strconv.Itoa(i)+"]")
		}
		if c := s.space(); c == ']' {
			break
		} else if c != ',' {
			return s.want(`"," or "]"`)
		}
		s.pos++
		s.out = append(s.out, ',')
	}
	s.close(']')
	return nil
}

// skip reads any value for which the specification has no meaning.
func (s *scanner) skip() error {
	switch c := s.space(); {
	case c == '{':
		return s.dict(nil, func([]byte) error { return s.skip() })
	case c == '[':
		return s.array(func(int) error { return s.skip() })
	case c == '"':
		_, err := s.text()
		return err
	case c == 't', c == 'f':
		_, err := s.boolean()
		return err
	case c == 'n':
		return s.null()
	case c == '-' || '0' <= c && c <= '9':
		_, err := s.number()
		return err
	default:
		return s.want("a value")
	}
}
