package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// SyntaxError says where and why a metadata file is refused.
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
// The canonical form is never longer than the input, and apart from sorting an
// object's members every step is linear.
type scanner struct {
	src     string
	pos     int
	out     []byte
	members []member // a stack: the members so far of every object that is open
	scratch []byte
	depth   int
	nulls   int // above 0: inside a target's "custom", where null is allowed
}

// member is one name and value of an object that is being read.
type member struct {
	at                  uint32 // where the name begins in src
	start, nameEnd, end uint32 // `"name":value` in out
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

// found describes the next value or byte for an error message.
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
	case strings.HasPrefix(s.src[s.pos:], "null"):
		return "null"
	case strings.HasPrefix(s.src[s.pos:], "true"), strings.HasPrefix(s.src[s.pos:], "false"):
		return "a boolean"
	default:
		return strconv.QuoteToASCII(s.src[s.pos : s.pos+1])
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
	return s.object(known, true, read)
}

// dict reads an object whose names are data. known may list names with a
// special meaning, as for record.
func (s *scanner) dict(known []string, read func(name string) error) error {
	return s.object(known, false, read)
}

func (s *scanner) object(known []string, dotted bool, read func(name string) error) error {
	if err := s.open('{', "an object"); err != nil {
		return err
	}
	base, body := len(s.members), len(s.out)
	sorted, last := true, ""
	for n := 0; ; n++ {
		c := s.space()
		if n == 0 && c == '}' {
			break
		}
		m := member{at: uint32(s.pos), start: uint32(len(s.out))}
		if c != '"' {
			return s.want("a name")
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		m.nameEnd = uint32(len(s.out))
		if n > 0 && name <= last {
			if name == last {
				return s.repeated(m)
			}
			sorted = false
		}
		last = name
		if err := s.checkCase(known, name, int(m.at)); err != nil {
			return err
		}
		if s.space() != ':' {
			return s.want(`":"`)
		}
		s.pos++
		s.out = append(s.out, ':')
		s.space()
		if err := read(name); err != nil {
			return inside(err, step(name, dotted))
		}
		m.end = uint32(len(s.out))
		s.members = append(s.members, m)
		if c := s.space(); c == '}' {
			break
		} else if c != ',' {
			return s.want(`"," or "}"`)
		}
		s.pos++
		s.out = append(s.out, ',')
	}
	if !sorted {
		if err := s.sort(s.members[base:], body); err != nil {
			return err
		}
	}
	s.members = s.members[:base]
	s.close('}')
	return nil
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

// step writes one step of an error's path.
func step(name string, dotted bool) string {
	if dotted && name != "" && strings.Trim(name, letters) == "" {
		return "." + name
	}
	return "[" + strconv.QuoteToGraphic(clip(name)) + "]"
}

func (s *scanner) checkCase(known []string, name string, at int) error {
	if slices.Contains(known, name) {
		return nil
	}
	for _, k := range known {
		// EqualFold also knows that U+017F folds to s and U+212A to k, as
		// encoding/json does.
		if strings.EqualFold(k, name) {
			return s.errorf(at, "name %q differs only in case from %q", clip(name), k)
		}
	}
	return nil
}

func (s *scanner) repeated(m member) error {
	again := scanner{src: s.src, pos: int(m.at)}
	name, err := again.text()
	if err != nil {
		return err
	}
	return s.errorf(int(m.at), "name %q is repeated", clip(name))
}

// sort puts the members of an object, whose canonical text begins at body, in
// order, and refuses repeated names.
func (s *scanner) sort(members []member, body int) error {
	compare := func(a, b member) int {
		return compareEscaped(s.out[a.start+1:a.nameEnd-1], s.out[b.start+1:b.nameEnd-1])
	}
	slices.SortFunc(members, func(a, b member) int {
		if c := compare(a, b); c != 0 {
			return c
		}
		return cmp.Compare(a.at, b.at)
	})
	s.scratch = s.scratch[:0]
	for i, m := range members {
		if i > 0 {
			if compare(members[i-1], m) == 0 {
				return s.repeated(m)
			}
			s.scratch = append(s.scratch, ',')
		}
		s.scratch = append(s.scratch, s.out[m.start:m.end]...)
	}
	copy(s.out[body:], s.scratch)
	return nil
}

// compareEscaped compares two strings, given as their canonical JSON, by the
// bytes they stand for.
func compareEscaped(a, b []byte) int {
	for i, j := 0, 0; ; i, j = i+1, j+1 {
		switch {
		case i == len(a) && j == len(b):
			return 0
		case i == len(a):
			return -1
		case j == len(b):
			return 1
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
		return s.dict(nil, func(string) error { return s.skip() })
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
