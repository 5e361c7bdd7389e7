// Package tomlfile reads TOML files strictly: [Decode] refuses keys that mean nothing, and every
// error names the file, the line if it is known, and the key.
package tomlfile

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Decode reads text into a struct. path is where it stands, for errors.
func Decode(path string, text []byte, into any) (Lines, error) {
	meta, err := toml.Decode(string(text), into)
	if parse := (toml.ParseError{}); errors.As(err, &parse) {
		key := ""
		if parse.LastKey != "" {
			key = parse.LastKey + ": "
		}
		return nil, fmt.Errorf("%s:%d: %s%s", path, parse.Position.Line, key, parse.Message)
	}
	if err != nil { // of a type, with the line and the key in its text
		return nil, fmt.Errorf("%s:%s", path, wrongType.ReplaceAllString(err.Error(), "$1: $2: "))
	}
	lines := findLines(string(text))
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		key := unknown[0]
		return nil, fmt.Errorf("%s:%s%s", path, lines.Of(key.String()), unknownKey(reflect.TypeOf(into), key))
	}
	return lines, nil
}

// wrongType is the beginning of an error of the TOML package about a value of another type.
var wrongType = regexp.MustCompile(`^toml: line ([0-9]+) \(last key "([^"]*)"\): `)

// Lines are where the keys of a configuration stand. The TOML package does not tell for keys
// that are read well and mean nothing. This looks at lines that begin with a key or a table
// alone: a key within an inline table has the line of that.
type Lines map[string]int

// findLines finds the lines of keys: under their path (log.name, the first one) and under
// that with places in arrays of tables (log[1].name).
func findLines(text string) Lines {
	found := Lines{}
	count := map[string]int{}
	plain, indexed := "", ""
	note := func(plain, indexed string, line int) {
		for _, key := range []string{plain, indexed} {
			if _, is := found[key]; !is {
				found[key] = line
			}
		}
	}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "[["):
			head, _, ok := strings.Cut(line[2:], "]]")
			if !ok {
				continue
			}
			plain = keyOf(head)
			parent, last := "", plain
			if at := strings.LastIndex(plain, "."); at >= 0 {
				parent, last = indexedOf(plain[:at], count)+".", plain[at+1:]
			}
			list := parent + last
			indexed = fmt.Sprintf("%s[%d]", list, count[list])
			count[list]++
			note(plain, list, i+1)
			note(plain, indexed, i+1)
		case strings.HasPrefix(line, "["):
			if head, _, ok := strings.Cut(line[1:], "]"); ok {
				plain = keyOf(head)
				indexed = indexedOf(plain, count)
				note(plain, indexed, i+1)
			}
		default:
			key, _, ok := strings.Cut(line, "=")
			if key = keyOf(key); !ok || key == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if plain == "" {
				note(key, key, i+1)
			} else {
				note(plain+"."+key, indexed+"."+key, i+1)
			}
		}
	}
	return found
}

// indexedOf returns a path with the places in arrays of tables that are the last so far.
func indexedOf(path string, count map[string]int) string {
	at := ""
	for part := range strings.SplitSeq(path, ".") {
		if at != "" {
			at += "."
		}
		at += part
		if n := count[at]; n > 0 {
			at = fmt.Sprintf("%s[%d]", at, n-1)
		}
	}
	return at
}

// keyOf returns a dotted key as it is without spaces and quotes.
func keyOf(s string) string {
	parts := strings.Split(s, ".")
	for i := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(parts[i]), `"'`)
	}
	return strings.Join(parts, ".")
}

// Of returns the line of a key, or of the closest table around it, as "12: ", and " " if it is
// not known.
func (l Lines) Of(key string) string {
	for {
		if line, ok := l[key]; ok {
			return fmt.Sprintf("%d: ", line)
		}
		at := strings.LastIndexAny(key, ".[")
		if at < 0 {
			return " "
		}
		key = key[:at]
	}
}

// unknownKey says that a key means nothing, and which there are in its place.
func unknownKey(config reflect.Type, key toml.Key) string {
	known := keysAt(config, key[:len(key)-1])
	if len(known) == 0 {
		return fmt.Sprintf("%s: unknown key: remove it", key)
	}
	return fmt.Sprintf("%s: unknown key: remove it, or write one of %s", key, strings.Join(known, ", "))
}

// keysAt returns the keys of the table at a path, sorted; nil: any, or it is not a table.
func keysAt(t reflect.Type, path toml.Key) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Map && len(path) > 0 {
		return keysAt(t.Elem(), path[1:])
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case f.Anonymous && tag == "":
			if len(path) == 0 {
				keys = append(keys, keysAt(f.Type, nil)...)
			} else if within := keysAt(f.Type, path); within != nil {
				return within
			}
		case tag == "" || tag == "-":
		case len(path) == 0:
			keys = append(keys, tag)
		case tag == path[0]:
			return keysAt(f.Type, path[1:])
		}
	}
	slices.Sort(keys)
	return keys
}
