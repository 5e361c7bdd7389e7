package monitor

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// lines are where the keys of a configuration stand. The TOML package does not tell for keys
// that are read well and mean nothing. This looks at lines that begin with a key or a table
// alone: a key within an inline table has the line of that.
type lines map[string]int

// findLines finds the lines of keys: under their path (log.name, the first one) and under
// that with places in arrays of tables (log[1].name).
func findLines(text string) lines {
	found := lines{}
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

// of returns the line of a key, or of the closest table around it, as "12: ", and " " if it is
// not known.
func (l lines) of(key string) string {
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
func unknownKey(key toml.Key) string {
	known := keysAt(reflect.TypeFor[Config](), key[:len(key)-1])
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
