package expect

import (
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Line is the first line of a note of expectations.
const Line = "tuflog expectations v1"

// timeForm is how times are written: UTC, whole seconds.
const timeForm = "2006-01-02T15:04:05Z"

// Text returns the text of the note. It does not check e: ParseText reads back only what is
// sorted and within the limits.
func (e *Expectations) Text() string {
	var b strings.Builder
	line := func(words ...string) {
		b.WriteString(strings.Join(words, " "))
		b.WriteByte('\n')
	}
	line(Line)
	line("repository", e.Repository.String())
	line("version", strconv.FormatInt(e.Version, 10))
	line("from", e.From.UTC().Format(timeForm))
	line("until", e.Until.UTC().Format(timeForm))
	e.body(line)
	return b.String()
}

// body prints what is after the first five lines.
func (e *Expectations) body(line func(words ...string)) {
	for _, base := range e.Bases {
		line("base", tuf.EscapeRole(base.Role), strconv.FormatInt(base.Version, 10), base.Payload.String())
	}
	for i := range e.Releases {
		e.Releases[i].lines(line)
	}
}

func (r *Release) lines(line func(words ...string)) {
	line("release", escape(r.Role, "*"), r.Versions.String())
	if !r.Payload.IsZero() {
		line("payload", r.Payload.String())
	}
	for _, f := range r.Files {
		size := "-"
		if f.Length >= 0 {
			size = strconv.FormatInt(f.Length, 10)
		}
		hashes := make([]string, len(f.Hashes))
		for i, h := range f.Hashes {
			hashes[i] = escape(h.Algorithm, "/") + ":" + h.Hex
		}
		words := []string{"file", escape(f.Path, pathBytes), size, strings.Join(hashes, ",")}
		switch {
		case f.AnyCustom:
			words = append(words, customWord+"any")
		case !f.Custom.IsZero():
			words = append(words, customWord+f.Custom.String())
		}
		line(words...)
	}
	for _, pattern := range r.Removed {
		line("remove", escape(pattern, patternBytes))
	}
	for _, pattern := range r.Paths {
		line("paths", escape(pattern, patternBytes))
	}
	for _, k := range r.Keys {
		line(append([]string{"keys"}, k.words()...)...)
	}
	for _, d := range r.Delegations {
		var patterns []string
		for _, pattern := range d.Paths {
			patterns = append(patterns, escape(pattern, patternBytes))
		}
		for _, prefix := range d.Hashes {
			patterns = append(patterns, hashWord+prefix)
		}
		words := append([]string{"delegation"}, d.words()...)
		words = append(words, orNone(strings.Join(patterns, ",")))
		if d.Terminating {
			words = append(words, "terminating")
		}
		line(words...)
	}
	for _, role := range r.NoDelegations {
		line("no-delegation", tuf.EscapeRole(role))
	}
	if r.AnyDelegations {
		line("delegations", "any")
	}
	for _, name := range r.Members {
		line("member", tuf.EscapeRole(name))
	}
}

func (k *Keys) words() []string {
	ids := make([]string, len(k.Keys))
	for i, id := range k.Keys {
		ids[i] = id.String()
	}
	return []string{tuf.EscapeRole(k.Role), strconv.Itoa(k.Threshold), strings.Join(ids, ",")}
}

// customWord is before what is said of a target's custom data.
const customWord = "custom:"

// hashWord is before a prefix of a path's hash, where a pattern could be: no pattern is
// written with a colon.
const hashWord = "hash:"

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// The bytes that names have as they are, beside those that roles have.
const (
	pathBytes    = "/+@"
	patternBytes = pathBytes + "*?"
)

// escape is tuf.EscapeRole for names that also have some other bytes as they are.
func escape(name, also string) string {
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		if strings.IndexByte(also, name[i]) >= 0 {
			b = append(b, name[i])
		} else {
			b = tuf.AppendRole(b, name[i:i+1])
		}
	}
	return string(b)
}
