// Package printable keeps untrusted text, such as names from a vendor or answers of
// a server, from controlling a terminal or passing for a program's own words.
package printable

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"unicode/utf8"
)

// Line returns s as it is if it is one line of printable text, and quoted, as in Go,
// if it is not.
func Line(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}

// Writer passes on text, in which it replaces everything that a terminal could take
// for a command, or show differently: \u001b, say, stands for an escape, and \xff for
// a byte that is not UTF-8. Newlines and tabs stay. The meaning of JSON does not
// change. It is safe for concurrent use. The last rune of a call may be incomplete;
// the next call continues it.
type Writer struct {
	w    io.Writer
	mu   sync.Mutex
	part []byte // the beginning of a rune
}

// NewWriter returns a Writer that passes on to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Unwrap returns the writer that the Writer passes on to.
func (w *Writer) Unwrap() io.Writer { return w.w }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.part) > 0 {
		text = append(w.part, p...)
		w.part = nil
	}
	if tail := unfinished(text); tail > 0 {
		w.part = append([]byte(nil), text[len(text)-tail:]...)
		text = text[:len(text)-tail]
	}
	return w.pass(text, len(p))
}

// Flush writes the beginning of an incomplete rune.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	part := w.part
	w.part = nil
	if len(part) == 0 {
		return nil
	}
	_, err := w.pass(part, 0)
	return err
}

func (w *Writer) pass(text []byte, n int) (int, error) {
	out := escape(text)
	if len(out) == 0 {
		return n, nil
	}
	if _, err := w.w.Write(out); err != nil {
		return 0, err
	}
	return n, nil
}

// unfinished returns how many bytes at the end of text are the beginning of a rune.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if tail := text[len(text)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// escape returns text itself if there is nothing to replace.
func escape(text []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text[i:])
		}
		bad := r == utf8.RuneError && size == 1
		if !bad && (strconv.IsPrint(r) || r == '\n' || r == '\t') {
			i += size
			continue
		}
		out = append(out, text[done:i]...)
		switch {
		case bad:
			out = fmt.Appendf(out, `\x%02x`, text[i])
		case r > 0xffff: // as JSON has it
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += size
		done = i
	}
	if out == nil {
		return text
	}
	return append(out, text[done:]...)
}

// Table prints aligned columns, each cell as by Line.
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table with a row of heads, if any.
func NewTable(w io.Writer, heads ...any) Table {
	t := Table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(heads) > 0 {
		t.Row(heads...)
	}
	return t
}

// Row adds a row.
func (t Table) Row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, Line(fmt.Sprint(c)))
	}
	fmt.Fprint(t.w, "\n")
}

// Line adds text between rows. The columns above it and below it are aligned
// separately.
func (t Table) Line(format string, args ...any) { fmt.Fprintf(t.w, format, args...) }

// Flush prints the rows. Their columns are as wide as their contents.
func (t Table) Flush() error { return t.w.Flush() }

// ShellWord returns s quoted so that a shell reads it as one word.
func ShellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,~") == "" && !strings.HasPrefix(s, "~") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
