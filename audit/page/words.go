package page

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/printable"
)

// functions are those of the templates.
func (s *Server) functions() template.FuncMap {
	return template.FuncMap{
		"word":   word,
		"field":  field,
		"say":    printable.Line,
		"hash":   hash,
		"whole":  whole,
		"when":   func(seconds int64) template.HTML { return when(seconds, s.cfg.Now()) },
		"day":    day,
		"past":   func(seconds int64) bool { return seconds > 0 && seconds <= s.cfg.Now().Unix() },
		"number": number,
		"bytes":  bytesOf,
		"plural": plural,
		"path":   pathOf,
		"class":  classWord,
		"tone":   func(class any) string { return tone(audit.Class(fmt.Sprint(class))) },
		"roles":  roleNames,
		"lower":  strings.ToLower,
		"add":    func(a, b int) int { return a + b },
	}
}

// word is a word that others chose: what is not printable in it is written out, and it does
// not turn the direction of what stands around it.
func word(text string) template.HTML {
	return template.HTML("<bdi>" + template.HTMLEscapeString(printable.Line(text)) + "</bdi>") //nolint:gosec // it is escaped
}

// field is what a field is filled with again: nothing, if it could show otherwise than it is.
func field(text string) string {
	if printable.Line(text) != text {
		return ""
	}
	return text
}

// shortHash is how many characters of a hash are shown where many stand together.
const shortHash = 16

// hash is the beginning of a hash or a key id; the whole is in its title.
func hash(v any) template.HTML {
	text := printable.Line(fmt.Sprint(v))
	if len(text) <= shortHash {
		return template.HTML("<code>" + template.HTMLEscapeString(text) + "</code>") //nolint:gosec // it is escaped
	}
	short := text[:shortHash]
	for !utf8.ValidString(short) {
		short = short[:len(short)-1]
	}
	return template.HTML(`<code title="` + template.HTMLEscapeString(text) + `">` + template.HTMLEscapeString(short) + `…</code>`) //nolint:gosec // it is escaped
}

// whole is a hash in full, which is broken anywhere and selected as one.
func whole(v any) template.HTML {
	return template.HTML(`<code class="whole">` + template.HTMLEscapeString(printable.Line(fmt.Sprint(v))) + "</code>") //nolint:gosec // it is escaped
}

// when is a time, and about how long ago it was.
func when(seconds int64, now time.Time) template.HTML {
	if seconds <= 0 {
		return "not known"
	}
	at := audit.When(seconds)
	shown := strings.Replace(strings.TrimSuffix(at, "Z"), "T", " ", 1)
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s UTC</time> <span class="ago">(%s)</span>`, //nolint:gosec // it is escaped
		template.HTMLEscapeString(at), template.HTMLEscapeString(shown), template.HTMLEscapeString(ago(now.Unix()-seconds))))
}

// ago is about how long ago something was, in steps that do not change with each second.
func ago(seconds int64) string {
	switch {
	case seconds < -2*86400:
		return "in " + plural(-seconds/86400, "day")
	case seconds < -2*3600:
		return "in " + plural(-seconds/3600, "hour")
	case seconds < -60:
		return "in " + plural(-seconds/60, "minute")
	case seconds < 20:
		return "just now"
	case seconds < 60:
		return "less than a minute ago"
	case seconds < 2*3600:
		return plural(seconds/60, "minute") + " ago"
	case seconds < 2*86400:
		return plural(seconds/3600, "hour") + " ago"
	default:
		return plural(seconds/86400, "day") + " ago"
	}
}

// day is the date of POSIX seconds, in UTC; the time is in its title.
func day(seconds int64) template.HTML {
	if seconds <= 0 {
		return "not known"
	}
	at := audit.When(seconds)
	d, clock, _ := strings.Cut(at, "T")
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s %s UTC">%s</time>`, //nolint:gosec // it is escaped
		template.HTMLEscapeString(at), template.HTMLEscapeString(d), template.HTMLEscapeString(strings.TrimSuffix(clock, "Z")), template.HTMLEscapeString(d)))
}

// number prints a number with its digits in groups.
func number(v any) string {
	if n, ok := v.(*int64); ok {
		v = *n
	}
	text := fmt.Sprint(v)
	digits, sign := strings.CutPrefix(text, "-")
	if strings.Trim(digits, "0123456789") != "" || len(digits) < 5 {
		return text
	}
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(",")
		}
		b.WriteRune(c)
	}
	if sign {
		return "-" + b.String()
	}
	return b.String()
}

// bytesOf is a length in bytes as metadata says it.
func bytesOf(n int64) string {
	if n < 0 {
		return "not said"
	}
	return number(n)
}

// plural is a number with its noun.
func plural(v any, noun string) string {
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	switch {
	case err == nil && n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y") && !strings.ContainsAny(noun[max(len(noun)-2, 0):len(noun)-1], "aeou"):
		return number(v) + " " + strings.TrimSuffix(noun, "y") + "ies"
	}
	return number(v) + " " + noun + "s"
}

// tone is how a class is coloured; its word says the same.
func tone(c audit.Class) string {
	switch c {
	case audit.Tampering, audit.Equivocation:
		return "bad"
	case audit.Unexpected:
		return "bad"
	case audit.Outage:
		return "wait"
	}
	return "note"
}

// classWord says whom a class blames.
func classWord(c audit.Class) string {
	switch c {
	case audit.Tampering:
		return "the log, or a server of its files, misbehaved"
	case audit.Equivocation:
		return "a vendor signed two things under one version"
	case audit.Unexpected:
		return "something that nobody announced, or that this auditor cannot judge"
	case audit.Outage:
		return "something could not be fetched or checked"
	case audit.Hygiene:
		return "allowed, but worth a look"
	}
	return string(c)
}
