package rehearsal

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Row is a line of the table: one fault in one variant.
type Row struct {
	Fault    string
	Injected int
	Outcomes map[string]int // what the log made of it, and how often
	Skipped  string         // why nothing was injected
	Held     error          // nil: everything held
}

// NewRow returns a row for a fault.
func NewRow(fault string) Row { return Row{Fault: fault, Outcomes: map[string]int{}} }

// Saw says what the log did.
func (r Row) Saw() string {
	if r.Skipped != "" {
		return "skipped: " + r.Skipped
	}
	var words []string
	for what, n := range r.Outcomes {
		words = append(words, fmt.Sprintf("%s: %d", what, n))
	}
	slices.Sort(words)
	return strings.Join(words, "; ")
}

// PrintTable prints the rows in Markdown and returns the exit code.
func PrintTable(w io.Writer, rows []Row) (code int) {
	fmt.Fprintln(w, "| fault | injected | what the log did | held |")
	fmt.Fprintln(w, "|---|---|---|---|")
	for _, r := range rows {
		held := "yes"
		switch {
		case r.Held != nil:
			held, code = "**NO**", 1
		case r.Skipped != "":
			held = "-"
		}
		fmt.Fprintf(w, "| %s | %d | %s | %s |\n", r.Fault, r.Injected, r.Saw(), held)
	}
	for _, r := range rows {
		if r.Held != nil {
			fmt.Fprintf(w, "\n%s did not hold:\n%v\n", r.Fault, r.Held)
		}
	}
	return code
}
