package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// row is a line of the table: one fault in one variant.
type row struct {
	fault    string
	injected int
	outcomes map[string]int // what the log made of it, and how often
	skipped  string         // why nothing was injected
	held     error          // nil: everything held
}

func newRow(fault string) row { return row{fault: fault, outcomes: map[string]int{}} }

func (r row) saw() string {
	if r.skipped != "" {
		return "skipped: " + r.skipped
	}
	var words []string
	for what, n := range r.outcomes {
		words = append(words, fmt.Sprintf("%s: %d", what, n))
	}
	slices.Sort(words)
	return strings.Join(words, "; ")
}

// printTable prints the rows in Markdown and returns the exit code.
func printTable(w io.Writer, rows []row) (code int) {
	fmt.Fprintln(w, "| fault | injected | what the log did | held |")
	fmt.Fprintln(w, "|---|---|---|---|")
	for _, r := range rows {
		held := "yes"
		switch {
		case r.held != nil:
			held, code = "**NO**", 1
		case r.skipped != "":
			held = "-"
		}
		fmt.Fprintf(w, "| %s | %d | %s | %s |\n", r.fault, r.injected, r.saw(), held)
	}
	for _, r := range rows {
		if r.held != nil {
			fmt.Fprintf(w, "\n%s did not hold:\n%v\n", r.fault, r.held)
		}
	}
	return code
}
