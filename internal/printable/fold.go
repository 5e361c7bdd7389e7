package printable

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// Wrap breaks one line of text at spaces into lines of at most width runes, but for longer
// words. Spaces that are not at the end of a line stay.
func Wrap(s string, width int) []string {
	var lines []string
	line, length := "", 0
	for i, word := range strings.Split(s, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case length+1+n > width && strings.Trim(line, " ") != "":
			lines = append(lines, strings.TrimRight(line, " "))
			line, length = "", 0
		case line != "" || len(lines) == 0:
			line, length = line+" ", length+1
		}
		line, length = line+word, length+n
	}
	return append(lines, strings.TrimRight(line, " "))
}

// fold breaks a line of output that is longer than width. If it is a row of a table, whose
// cells are two spaces apart or more, the further lines are below its last cell, where there
// is room for it; otherwise they begin two columns to the right.
func fold(line string, width int) []string {
	if utf8.RuneCountInString(line) <= width {
		return []string{line}
	}
	text := strings.TrimLeft(line, " ")
	indent := min(len(line)-len(text), width/4)
	cells := strings.Split(text, "  ")
	last := strings.TrimLeft(cells[len(cells)-1], " ")
	before := strings.TrimSuffix(line, last)
	left := utf8.RuneCountInString(before)
	if len(cells) == 1 || last == "" || width-left < max(24, width/3) {
		before, left, last = strings.Repeat(" ", indent), indent+2, text
	}
	lines := Wrap(last, width-left)
	for i := range lines {
		if i > 0 {
			lines[i] = strings.Repeat(" ", left) + lines[i]
		}
	}
	lines[0] = before + lines[0]
	return lines
}

// Folder passes on text for a terminal of so many columns, with longer lines broken. What
// comes after the last newline waits for another.
type Folder struct {
	w     io.Writer
	width int
	part  []byte
}

// NewFolder returns a Folder that passes on to w.
func NewFolder(w io.Writer, width int) *Folder { return &Folder{w: w, width: width} }

// Write implements io.Writer.
func (f *Folder) Write(p []byte) (int, error) {
	f.part = append(f.part, p...)
	end := bytes.LastIndexByte(f.part, '\n') + 1
	var out []byte
	for line := range bytes.Lines(f.part[:end]) {
		for _, l := range fold(string(bytes.TrimSuffix(line, []byte("\n"))), f.width) {
			out = append(append(out, l...), '\n')
		}
	}
	f.part = append(f.part[:0], f.part[end:]...)
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := f.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
