package main

import (
	"bytes"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/leaf"
)

// A report whose leaves come one by one is printed as one that has them.
func TestReportIsPrintedLeafByLeaf(t *testing.T) {
	tricky := "\n  \"leaves\": [<&>\u2028"
	leaves := []audit.LeafReport{
		{Index: 0, Fields: &leaf.Fields{Role: tricky, Version: 1}, Verdict: audit.Right},
		{Index: 1, Verdict: audit.Wrong},
	}
	for n := range len(leaves) + 1 {
		report := &audit.Report{Error: tricky, Leaves: leaves[:n], Findings: []audit.Finding{{Sentence: tricky}}}
		var want, got bytes.Buffer
		if err := cli.WriteJSON(&want, report); err != nil {
			t.Fatal(err)
		}
		err := writeReport(&got, report, func(fn func(audit.LeafReport) error) error {
			for _, l := range leaves[:n] {
				if err := fn(l); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || got.String() != want.String() {
			t.Errorf("%d leaves, %v:\n%s\nwant\n%s", n, err, &got, &want)
		}
	}
}
