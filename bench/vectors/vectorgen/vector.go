package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// A file is one file below testdata/vectors.
type file struct {
	path string // "note/plain.json"
	body []byte
}

// A suite collects the case files in the order in which they are made.
type suite struct {
	files []file
	names map[string]bool
	count map[string]int // cases by folder
}

var caseName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// add makes the case file folder/name.json. A bad or repeated name is a bug in
// the table that it comes from, so it panics.
func (s *suite) add(folder, name string, c any) {
	path := folder + "/" + name + ".json"
	if !caseName.MatchString(name) || s.names[path] {
		panic("case name " + path + " is malformed or used twice")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		panic(fmt.Sprintf("case %s: %v", path, err))
	}
	s.names[path] = true
	s.count[folder]++
	s.files = append(s.files, file{path, b.Bytes()})
}

// meta is what every case says about itself.
type meta struct {
	Desc   string `json:"desc"`
	Spec   string `json:"spec"`
	Rule   string `json:"rule"`
	Choice string `json:"choice,omitempty"`
}

func about(desc string, r rule) meta {
	return meta{Desc: desc, Spec: r.spec, Rule: r.text}
}

// choosing marks a case that the specification leaves open.
func (m meta) choosing(why string) meta {
	m.Choice = why
	return m
}

// verdict is what every case expects.
type verdict struct {
	Valid  bool   `json:"valid"`
	Error  string `json:"error,omitempty"`  // category, part of the contract
	Reason string `json:"reason,omitempty"` // finer word, for people
}

var valid = verdict{Valid: true}

func malformed(reason string) verdict { return verdict{Error: "malformed", Reason: reason} }
func refused(category string) verdict { return verdict{Error: category} }

// data is bytes: in a case file a string if they are UTF-8, and otherwise an
// object whose only field is their base64.
type data string

func (d data) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(d)) {
		return quote(string(d)), nil
	}
	return []byte(`{"base64": "` + base64.StdEncoding.EncodeToString([]byte(d)) + `"}`), nil
}

// opaque is data that nobody reads as text.
type opaque string

func (b opaque) MarshalJSON() ([]byte, error) {
	return []byte(`{"base64": "` + base64.StdEncoding.EncodeToString([]byte(b)) + `"}`), nil
}

// quote writes a JSON string in which whatever does not print is escaped, so
// that reviewers see it.
func quote(s string) []byte {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r > 0xffff && !unicode.IsPrint(r):
			v := r - 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+(v>>10), 0xdc00+(v&0x3ff))
		case !unicode.IsPrint(r):
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// number is a 64-bit integer: in a case file a string in decimal, because many
// JSON readers lose digits above 2^53.
type number uint64

func (n number) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strconv.FormatUint(uint64(n), 10) + `"`), nil
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
