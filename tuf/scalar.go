package tuf

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// This file reads the values that have no parts: words, numbers and strings.

// at reports whether the text at the scanner begins with a word.
func (s *scanner) at(word string) bool {
	return len(s.src)-s.pos >= len(word) && string(s.src[s.pos:s.pos+len(word)]) == word
}

func (s *scanner) literal(word string) bool {
	if !s.at(word) {
		return false
	}
	s.pos += len(word)
	s.out = append(s.out, word...)
	return true
}

func (s *scanner) null() error {
	at := s.pos
	if !s.literal("null") {
		return s.want("a value")
	}
	if s.nulls == 0 {
		return s.errorf(at, "null is not allowed outside a target's custom")
	}
	return nil
}

func (s *scanner) boolean() (bool, error) {
	s.space()
	switch {
	case s.literal("true"):
		return true, nil
	case s.literal("false"):
		return false, nil
	}
	return false, s.want("true or false")
}

// number reads an integer; JSON's other numbers have no canonical form.
func (s *scanner) number() (int64, error) {
	c := s.space()
	start := s.pos
	end := start
	if c == '-' {
		end++
	}
	first := end
	for end < len(s.src) && '0' <= s.src[end] && s.src[end] <= '9' {
		end++
	}
	switch {
	case end == start:
		return 0, s.want("an integer")
	case end == first:
		return 0, s.errorf(start, "number without digits")
	case s.src[first] == '0' && end > first+1:
		return 0, s.errorf(start, "number %s has a leading zero", Clip(string(s.src[start:end])))
	case s.src[first] == '0' && first > start:
		return 0, s.errorf(start, "number -0")
	case end < len(s.src) && (s.src[end] == '.' || s.src[end] == 'e' || s.src[end] == 'E'):
		return 0, s.errorf(start, "number is not written as an integer")
	}
	var n int64
	const fits = 18 // digits, whatever they are
	if end-first <= fits {
		for _, c := range s.src[first:end] {
			n = 10*n + int64(c-'0')
		}
		if first > start {
			n = -n
		}
	} else {
		var err error
		if n, err = strconv.ParseInt(string(s.src[start:end]), 10, 64); err != nil {
			return 0, s.errorf(start, "number %s does not fit in 64 bits", Clip(string(s.src[start:end])))
		}
	}
	s.pos = end
	s.out = append(s.out, s.src[start:end]...)
	return n, nil
}

// integer reads an integer between low and high.
func (s *scanner) integer(low, high int64) (int64, error) {
	s.space()
	at := s.pos
	n, err := s.number()
	if err == nil && (n < low || n > high) {
		err = s.errorf(at, "number %d is not between %d and %d", n, low, high)
	}
	return n, err
}

// plain holds the bytes that a string in JSON may contain as they are and that
// cannot begin a character of several bytes.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// word reads a string to keep.
func (s *scanner) word() (string, error) {
	text, err := s.text()
	s.kept += 16 + len(text)
	return string(text), err
}

// text reads a string. Where it can, it returns a part of the source.
func (s *scanner) text() ([]byte, error) {
	if s.space() != '"' {
		return nil, s.want("a string")
	}
	src, start := s.src, s.pos+1
	i := start
	for i < len(src) && plain[src[i]] {
		i++
	}
	if i < len(src) && src[i] == '"' {
		s.out = append(s.out, src[s.pos:i+1]...)
		s.pos = i + 1
		return src[start:i], nil
	}
	return s.oddText(start, i)
}

// oddText reads a string that begins at start and has something other than
// plain bytes at i.
func (s *scanner) oddText(start, i int) ([]byte, error) {
	src := s.src
	buf := bytes.Clone(src[start:i])
	for i < len(src) {
		switch c := src[i]; {
		case c == '"':
			s.pos = i + 1
			s.quote(buf)
			return buf, nil
		case plain[c]:
			buf = append(buf, c)
			i++
		case c == '\\':
			next, r, err := s.escape(i)
			if err != nil {
				return nil, err
			}
			buf = utf8.AppendRune(buf, r)
			i = next
		case c < 0x20 && !s.canonical:
			return nil, s.errorf(i, "control character %#02x in a string", c)
		default:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, s.errorf(i, "invalid UTF-8")
			}
			buf = append(buf, src[i:i+n]...)
			i += n
		}
	}
	return nil, s.errorf(start-1, "string does not end")
}

// quote appends b as a canonical string.
func (s *scanner) quote(b []byte) {
	s.out = append(s.out, '"')
	for _, c := range b {
		if c == '"' || c == '\\' {
			s.out = append(s.out, '\\')
		}
		s.out = append(s.out, c)
	}
	s.out = append(s.out, '"')
}

// escape decodes the escape sequence at i and returns where it ends.
func (s *scanner) escape(i int) (int, rune, error) {
	if i+1 >= len(s.src) {
		return 0, 0, s.errorf(i, "string does not end")
	}
	switch c := s.src[i+1]; c {
	case '"', '\\', '/':
		return i + 2, rune(c), nil
	case 'b':
		return i + 2, '\b', nil
	case 'f':
		return i + 2, '\f', nil
	case 'n':
		return i + 2, '\n', nil
	case 'r':
		return i + 2, '\r', nil
	case 't':
		return i + 2, '\t', nil
	case 'u':
	default:
		return 0, 0, s.errorf(i, "unknown escape in a string")
	}
	r, ok := s.hex4(i)
	if !ok {
		return 0, 0, s.errorf(i, `\u without four hex digits`)
	}
	if !utf16.IsSurrogate(r) {
		return i + 6, r, nil
	}
	low, ok := s.hex4(i + 6)
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0, s.errorf(i, "unpaired surrogate in a string")
	}
	return i + 12, r, nil
}

// hex4 decodes the \uXXXX at i.
func (s *scanner) hex4(i int) (rune, bool) {
	if len(s.src)-i < 6 || s.src[i] != '\\' || s.src[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s.src[i+2 : i+6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
