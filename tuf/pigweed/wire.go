package pigweed

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf"
)

// message is a message of a file that is being read.
type message struct {
	b     []byte
	at    int // offset of b in the file
	up    *message
	name  string // of the field of up that holds it
	index int    // among up's fields of that name, from 0; -1: the field is not repeated
}

// kind says how a known field is written.
type kind struct {
	name     string
	wire     protowire.Type // VarintType or BytesType
	repeated bool
}

// schema has the known fields of a message.
type schema map[protowire.Number]kind

// maxKnown is the highest number of a known field.
const maxKnown = 7

// field is one field of a message.
type field struct {
	kind                    // the zero value for an unknown field
	number protowire.Number // 1 to 2^29-1
	raw    []byte           // tag and all
	bytes  []byte           // of BytesType: the value
	n      uint64           // of VarintType: the value
	at     int              // offset of the value in the file
	index  int              // as in message
}

// each reads the fields in their order. An unknown field has no name. It refuses every
// spelling of tags, lengths and numbers but the shortest, known fields of another wire
// type, which other readers take for unknown ones, groups, and a second field where there
// is to be one: other readers take the first, the last, or both merged.
func (m *message) each(known schema, do func(field) error) error {
	var counts [maxKnown + 1]int
	for pos := 0; pos < len(m.b); {
		f, size, err := m.field(pos, known)
		if err != nil {
			return err
		}
		if f.name != "" {
			switch n := counts[f.number]; {
			case f.repeated:
				f.index = n
			case n > 0:
				return m.errorf(pos, "second %s", f.name)
			}
			counts[f.number]++
		}
		if err := do(f); err != nil {
			return err
		}
		pos += size
	}
	return nil
}

// field reads the field at pos, and returns how many bytes it has.
func (m *message) field(pos int, known schema) (f field, size int, err error) {
	b := m.b[pos:]
	number, wire, n := protowire.ConsumeTag(b)
	switch {
	case n < 0:
		return f, 0, m.errorf(pos, "tag of a field %s", unreadable(n))
	case n != protowire.SizeTag(number):
		return f, 0, m.errorf(pos, "tag of field %d takes %d bytes, want %d", number, n, protowire.SizeTag(number))
	case number >= protowire.FirstReservedNumber && number <= protowire.LastReservedNumber:
		return f, 0, m.errorf(pos, "field %d: the numbers %d to %d are protobuf's own, and Pigweed's reader stops there",
			number, protowire.FirstReservedNumber, protowire.LastReservedNumber)
	}
	f = field{number: number, at: m.at + pos + n, index: -1}
	f.kind = known[number]
	if f.name != "" && wire != f.wire {
		return f, 0, m.errorf(pos, "%s (field %d) has wire type %d, want %d", f.name, number, wire, f.wire)
	}
	switch wire {
	case protowire.VarintType:
		f.n, size, err = m.varint(pos + n)
	case protowire.Fixed32Type:
		size = 4
	case protowire.Fixed64Type:
		size = 8
	case protowire.BytesType:
		var length uint64
		if length, size, err = m.varint(pos + n); err != nil {
			break
		}
		n += size
		f.at += size
		if length > uint64(len(b)-n) {
			return f, 0, m.errorf(pos, "field %d of %d bytes, %d are left", number, length, len(b)-n)
		}
		size = int(length)
		f.bytes = b[n : n+size : n+size]
	default:
		return f, 0, m.errorf(pos, "field %d has wire type %d: groups are not read", number, wire)
	}
	if err != nil {
		return f, 0, err
	}
	if n+size > len(b) {
		return f, 0, m.errorf(pos, "field %d of %d bytes, %d are left", number, size, len(b)-n)
	}
	f.raw = b[: n+size : n+size]
	return f, n + size, nil
}

// varint reads a number in its shortest spelling.
func (m *message) varint(pos int) (v uint64, size int, err error) {
	v, size = protowire.ConsumeVarint(m.b[pos:])
	switch {
	case size < 0:
		return 0, 0, m.errorf(pos, "number %s", unreadable(size))
	case size != protowire.SizeVarint(v):
		return 0, 0, m.errorf(pos, "number %d takes %d bytes, want %d", v, size, protowire.SizeVarint(v))
	}
	return v, size, nil
}

// unreadable says what is wrong with a tag or number for which protowire returns a negative
// size. The library's own words are not the same in every build.
func unreadable(size int) string {
	if errors.Is(protowire.ParseError(size), io.ErrUnexpectedEOF) {
		return "is cut off"
	}
	return "is larger than protobuf has them, or 0 for a field"
}

// sub returns the message that a field of m holds.
func (m *message) sub(f field) *message {
	return &message{b: f.bytes, at: f.at, up: m, name: f.name, index: f.index}
}

// text returns the value of a field of type string.
func (m *message) text(f field) (string, error) {
	if !utf8.Valid(f.bytes) {
		return "", m.sub(f).errorf(0, "invalid UTF-8")
	}
	return string(f.bytes), nil
}

// number returns the value of a field that is between low and high.
func (m *message) number(f field, low, high uint64) (int64, error) {
	if f.n < low || f.n > high {
		return 0, m.sub(f).errorf(0, "%d is not between %d and %d", f.n, low, high)
	}
	return int64(f.n), nil
}

// fileName returns the value of a field that names a target, as tuf.ParseJSON takes them.
func (m *message) fileName(f field) (string, error) {
	name, err := m.text(f)
	if err != nil {
		return "", err
	}
	if why := badName(name); why != "" {
		return "", m.sub(f).errorf(0, "%s", why)
	}
	return name, nil
}

// errorf returns the error that something is wrong at pos of the message.
func (m *message) errorf(pos int, format string, args ...any) error {
	return &tuf.SyntaxError{Path: m.path(), Offset: m.at + pos, Reason: fmt.Sprintf(format, args...)}
}

// path returns the way from the file to the message.
func (m *message) path() string {
	if m.up == nil {
		return ""
	}
	step := m.name
	if m.index >= 0 {
		step += "[" + strconv.Itoa(m.index) + "]"
	}
	if before := m.up.path(); before != "" {
		return before + "." + step
	}
	return step
}
