package main

import (
	"strings"
	"testing"

	"github.com/tuflog/tuflog/publish"
)

// The name of a file in another's folder or repository makes no line of its own.
func TestNotesAreALineEach(t *testing.T) {
	var b strings.Builder
	printNotes(&b, &publish.Report{Notes: []string{"one"}, Ignored: []publish.Ignored{{File: "x\nnote: all is well.json", Why: "not metadata"}}})
	if got, want := b.String(), "note: one\nnote: \"x\\nnote: all is well.json\" is ignored: not metadata\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
