package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/tuflog/tuflog/internal/printable"
)

// Progress is a bar on a terminal. If stderr is not a terminal it prints a line every half
// minute, so that logs stay readable. It is safe for concurrent use.
type Progress struct {
	mu      sync.Mutex
	w       io.Writer // nil: no terminal
	plain   io.Writer
	label   string
	total   int64
	done    int64
	started time.Time
	drawn   time.Time
}

// NewProgress starts a bar of total steps on w; with a total of 0 it only
// counts.
func NewProgress(w io.Writer, label string, total int64) *Progress {
	p := &Progress{plain: w, label: label, total: total, started: time.Now()}
	p.drawn = p.started
	if f := terminal(w); f != nil {
		p.w, p.drawn = f, time.Time{} // what it draws is its own
	}
	return p
}

// Columns returns the width of the terminal that w writes to, or 0 if w is not
// a terminal.
func Columns(w io.Writer) int {
	f := terminal(w)
	if f == nil {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		return 80
	}
	return columns
}

// Folded returns a writer for text that a person reads: on a terminal, lines that are longer
// than it is wide are broken, and elsewhere nothing is changed. What is written has to end
// with a newline.
func Folded(w io.Writer) io.Writer {
	if columns := Columns(w); columns > 0 {
		return printable.NewFolder(w, max(columns, minColumns))
	}
	return w
}

// minColumns is the width below which a terminal breaks lines as it likes.
const minColumns = 40

// terminal returns the terminal that w writes to, behind what makes it printable.
func terminal(w io.Writer) *os.File {
	switch v := w.(type) {
	case *printable.Writer:
		w = v.Unwrap()
	case *results:
		w = v.exact
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// Add moves the bar by n steps.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	// A redraw per step would cost more than many of the steps.
	switch now := time.Now(); {
	case p.w != nil && now.Sub(p.drawn) >= 100*time.Millisecond:
		p.drawn = now
		fmt.Fprint(p.w, "\r", p.line(now), "\x1b[K")
	case p.w == nil && now.Sub(p.drawn) >= plainEvery:
		p.drawn = now
		fmt.Fprintln(p.plain, p.text(now))
	}
}

// Done draws the bar a last time and ends its line.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil {
		fmt.Fprint(p.w, "\r", p.line(time.Now()), "\x1b[K\n")
	}
}

const (
	barWidth   = 30
	plainEvery = 30 * time.Second
)

// text is the line for what is not a terminal.
func (p *Progress) text(now time.Time) string {
	if p.total <= 0 {
		return fmt.Sprintf("%s %d%s", p.label, p.done, p.pace(now))
	}
	return fmt.Sprintf("%s %d/%d%s", p.label, p.done, p.total, p.pace(now))
}

// pace says how fast it goes, and how long it still takes.
func (p *Progress) pace(now time.Time) string {
	elapsed := now.Sub(p.started)
	pace := fmt.Sprintf(" (%.0f/s)", float64(p.done)/max(elapsed.Seconds(), 0.001))
	if left := p.total - p.done; left > 0 && p.done > 0 {
		// A log can say that it has any number of leaves.
		if rest := float64(elapsed) * float64(left) / float64(p.done); rest < math.MaxInt64 {
			pace += " " + time.Duration(rest).Round(time.Second).String() + " left"
		}
	}
	return pace
}

func (p *Progress) line(now time.Time) string {
	if p.total <= 0 {
		return p.text(now)
	}
	filled := min(int(p.done*barWidth/p.total), barWidth)
	return fmt.Sprintf("%s [%s%s] %d/%d%s", p.label, strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), p.done, p.total, p.pace(now))
}
