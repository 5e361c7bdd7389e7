package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// String returns one line, or two where there is a detail, for a table.
func (r Result) String() string {
	line := fmt.Sprintf("%3d  %-6s  %s  %s: %s", r.Number, r.Level, r.Outcome, r.Name, r.quote())
	if r.Detail != "" {
		line += "\n                   " + strings.ReplaceAll(r.Detail, "\n", "\n                   ")
	}
	return line
}

// String returns one line for a list.
func (c Case) String() string {
	return fmt.Sprintf("%3d  %-6s  %s: %s", c.Number, c.Level, c.Name, c.quote())
}

// quote is the sentence and where it stands.
func (r Rule) quote() string { return fmt.Sprintf("“%s” (%s)", r.Sentence, r.Document) }

// Summary returns one line with the number of cases per outcome.
func (r *Report) Summary() string {
	musts := 0
	for _, res := range r.Results {
		if res.Outcome == Fail && res.Level == Must {
			musts++
		}
	}
	return fmt.Sprintf("%d cases: %d passed, %d failed (%d of level MUST), %d notes, %d skipped",
		len(r.Results), r.Count(Pass), r.Count(Fail), musts, r.Count(Note), r.Count(Skip))
}

// TableHeader is the line above the results.
const TableHeader = "  #  level   result  what is sent: “the sentence that it tests”"

// cell escapes text for a cell of a Markdown table.
var cell = strings.NewReplacer("<", "&lt;", ">", "&gt;", "|", "\\|", "\n", " ")

// Markdown writes a list of cases as a Markdown table.
func Markdown(w io.Writer, cases []Case) error {
	if _, err := io.WriteString(w, "| # | level | case | sentence |\n|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, c := range cases {
		sentence := cell.Replace(c.Sentence)
		if _, err := fmt.Fprintf(w, "| %d | %s | %s | %s (%s) |\n", c.Number, c.Level, c.Name, sentence, strings.TrimPrefix(c.Document, "c2sp.org/")); err != nil {
			return err
		}
	}
	return nil
}

// MarkdownResults writes the cases that did not pass as a Markdown table.
func (r *Report) MarkdownResults(w io.Writer) error {
	if _, err := io.WriteString(w, "| # | result | level | case | what happened | sentence |\n|---|---|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, res := range r.Results {
		if res.Outcome == Pass {
			continue
		}
		detail := cell.Replace(strings.TrimSpace(res.Detail))
		if _, err := fmt.Fprintf(w, "| %d | %s | %s | %s | %s | %s (%s) |\n", res.Number, res.Outcome, res.Level, res.Name, detail, cell.Replace(res.Sentence), strings.TrimPrefix(res.Document, "c2sp.org/")); err != nil {
			return err
		}
	}
	return nil
}

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suite   junitSuite
}

type junitSuite struct {
	XMLName   xml.Name    `xml:"testsuite"`
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure,omitempty"`
	Skipped *junitMessage `xml:"skipped,omitempty"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit writes the report as JUnit XML. The type of a failure is its level; a note is
// in the output of a case that passed.
func (r *Report) JUnit(w io.Writer) error {
	suite := junitSuite{
		Name: "tlog-witness " + string(r.Spec) + ": " + r.URL, Timestamp: r.Began,
		Tests: len(r.Results), Failures: r.Count(Fail), Skipped: r.Count(Skip),
	}
	total := 0.0
	for _, res := range r.Results {
		total += res.Seconds
		c := junitCase{Class: res.Document, Name: fmt.Sprintf("%03d %s", res.Number, res.Name), Time: seconds(res.Seconds)}
		switch res.Outcome {
		case Fail:
			c.Failure = &junitMessage{Message: clean(res.Detail), Type: string(res.Level), Text: res.Sentence}
		case Note:
			c.Out = clean(res.Detail)
		case Skip:
			c.Skipped = &junitMessage{Message: clean(res.Detail)}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = seconds(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Suite: suite}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// clean keeps what XML can hold. Details quote what a witness sent.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' {
			return '�'
		}
		return r
	}, s)
}
