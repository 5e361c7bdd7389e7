package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/cli"
)

// writeReport prints a report as cli.WriteJSON does, with leaves that are not all in memory:
// there may be a million.
func writeReport(out io.Writer, report *audit.Report, leaves func(func(audit.LeafReport) error) error) error {
	report.Leaves = []audit.LeafReport{}
	var rest bytes.Buffer
	if err := cli.WriteJSON(&rest, report); err != nil {
		return err
	}
	// No string of JSON has a newline, and no member of an inner object so few spaces before it.
	const begin = "\n  \"leaves\": ["
	before, after, _ := bytes.Cut(rest.Bytes(), []byte(begin))
	w := bufio.NewWriter(out)
	w.Write(before)
	w.WriteString(begin)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("    ", "  ")
	enc.SetEscapeHTML(false)
	separator, end := "\n    ", ""
	err := leaves(func(l audit.LeafReport) error {
		text.Reset()
		if err := enc.Encode(l); err != nil {
			return err
		}
		w.WriteString(separator)
		separator, end = ",\n    ", "\n  "
		_, err := w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
		return err
	})
	if err != nil {
		return err
	}
	w.WriteString(end)
	w.Write(after)
	return w.Flush() // says what was wrong before
}
