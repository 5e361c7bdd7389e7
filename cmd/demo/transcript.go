package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tuflog/tuflog/internal/printable"
)

// transcript is what the reader of the demo sees. Each step is one line: the time
// since the start, who does what, what came of it and how long it took. What does
// not fit goes below.
//
//	0.2s  vendor     releases firmware 1.1: targets 3 = entry 3 (26 ms)
//	1.3s  mirror     serves release 2.1 again, proofs and all
//	                 REFUSED rollback: timestamp version 7, but this device has … (82 ms)
type transcript struct {
	w     io.Writer
	width int // of a line below a step, without the indent
	start time.Time
	open  bool // a line is not ended
}

// newTranscript begins a transcript for a terminal of so many columns; 0: for none.
func newTranscript(w io.Writer, columns int) *transcript {
	t := &transcript{w: w, width: lineWidth, start: time.Now()}
	if columns > 0 {
		t.width = min(max(columns-len(indent), lineWidth/3), lineWidth)
	}
	return t
}

const (
	indent    = "                    " // of a line below a step
	lineWidth = 100                    // of such a line at most, without the indent
)

// say prints a line that stands for itself.
func (t *transcript) say(format string, args ...any) {
	t.endLine()
	fmt.Fprintf(t.w, format+"\n", args...)
}

// chapter prints a heading.
func (t *transcript) chapter(title string) {
	t.say("\n%s", title)
}

// endLine ends the line of a step that has no outcome yet, so that an error can
// be printed.
func (t *transcript) endLine() {
	if t.open {
		fmt.Fprintln(t.w)
		t.open = false
	}
}

// step is something that somebody does. Its outcome has to follow.
type step struct {
	t     *transcript
	start time.Time
	width int // of what stands on the line already, without the indent
}

// step announces what actor does now.
func (t *transcript) step(actor, format string, args ...any) *step {
	now := time.Now()
	t.endLine()
	lines := wrap(fmt.Sprintf(format, args...), t.width)
	fmt.Fprintf(t.w, "%6.1fs  %-9s  %s", now.Sub(t.start).Seconds(), actor, strings.Join(lines, "\n"+indent))
	t.open = true
	return &step{t: t, start: now, width: utf8.RuneCountInString(lines[len(lines)-1])}
}

// outcome says what came of the step: on its own line, if there is room.
func (s *step) outcome(format string, args ...any) {
	text := fmt.Sprintf(format, args...) + " " + s.took()
	if s.width+2+utf8.RuneCountInString(text) > s.t.width {
		s.below(format, args...)
		return
	}
	s.t.open = false
	fmt.Fprintf(s.t.w, ": %s\n", text)
}

// below says what came of the step below it, on as many lines as it takes.
func (s *step) below(format string, args ...any) {
	s.t.endLine()
	for _, line := range wrap(fmt.Sprintf(format, args...)+" "+s.took(), s.t.width) {
		fmt.Fprintf(s.t.w, "%s%s\n", indent, line)
	}
}

// refused says that the step was refused, with the code and the reason, which is
// shortened to some lines, and the digests in it to their beginning.
func (s *step) refused(code, reason string, lines int) {
	const others = len("REFUSED : (1000 ms) ")
	reason = digest.ReplaceAllString(reason, "${1}…")
	// Each line but the last may end early, before a long word.
	s.below("REFUSED %s: %s", code, clip(reason, lines*(lineWidth-10)+10-others-len(code)))
}

var digest = regexp.MustCompile(`\b([0-9a-f]{8})[0-9a-f]{56}\b`)

// afterHead returns what follows the first empty line of what a program prints.
func afterHead(text string) string {
	if _, after, ok := strings.Cut(text, "\n\n"); ok {
		return after
	}
	return text
}

// table prints lines below a step: no empty ones, and the long ones cut.
func (s *step) table(text string) {
	s.t.endLine()
	width := s.t.width
	if width == lineWidth {
		width += 30
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			fmt.Fprintf(s.t.w, "%s%s\n", indent, cut(line, width))
		}
	}
}

// folded adds text that a program printed, its lines broken where they are too long. Further
// lines begin two columns to the right.
func (s *step) folded(text string) {
	s.t.endLine()
	for line := range strings.Lines(text) {
		body := strings.TrimLeft(strings.TrimRight(line, " \n"), " ")
		if body == "" {
			continue
		}
		left := strings.Repeat(" ", min(len(line)-len(strings.TrimLeft(line, " ")), s.t.width/4))
		for i, part := range wrap(body, s.t.width-len(left)-2) {
			if i > 0 {
				part = "  " + part
			}
			fmt.Fprintf(s.t.w, "%s%s%s\n", indent, left, part)
		}
	}
}

func (s *step) took() string {
	return fmt.Sprintf("(%d ms)", time.Since(s.start).Milliseconds())
}

// clip shortens a text to n runes in one line.
func clip(s string, n int) string {
	return cut(strings.Join(strings.Fields(s), " "), n)
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// wrap breaks a text into lines of at most width runes, but for longer words.
func wrap(s string, width int) []string {
	return printable.Wrap(strings.Join(strings.Fields(s), " "), width)
}
