package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/tuflog/tuflog/internal/printable"
)

// Progress is a bar on a terminal. If stderr is not a terminal it prints
// nothing, so that logs stay readable. It is safe for concurrent use.
type Progress struct {
	mu      sync.Mutex
	w       io.Writer // nil: silent
	label   string
	total   int64
	done    int64
	started time.Time
	drawn   time.Time
}

// NewProgress starts a bar of total steps on w; with a total of 0 it only
// counts.
func NewProgress(w io.Writer, label string, total int64) *Progress {
	p := &Progress{label: label, total: total, started: time.Now()}
	if f := terminal(w); f != nil {
		p.w = f // what it draws is its own
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
	if now := time.Now(); p.w != nil && now.Sub(p.drawn) >= 100*time.Millisecond {
		p.drawn = now
		fmt.Fprint(p.w, "\r", p.line(now), "\x1b[K")
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

const barWidth = 30

func (p *Progress) line(now time.Time) string {
	elapsed := now.Sub(p.started)
	rate := float64(p.done) / max(elapsed.Seconds(), 0.001)
	if p.total <= 0 {
		return fmt.Sprintf("%s %d (%.0f/s)", p.label, p.done, rate)
	}
	filled := min(int(p.done*barWidth/p.total), barWidth)
	line := fmt.Sprintf("%s [%s%s] %d/%d (%.0f/s)", p.label, strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), p.done, p.total, rate)
	if left := p.total - p.done; left > 0 && p.done > 0 {
		line += " " + (elapsed * time.Duration(left) / time.Duration(p.done)).Round(time.Second).String() + " left"
	}
	return line
}
