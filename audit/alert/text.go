package alert

import (
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// columns is how wide the text of a mail is, but for what is to be pasted.
const columns = 76

// maxSubject bounds a subject: bytes.
const maxSubject = 150

// subject is an event in one line, which names the worst first.
func subject(e *Event) string {
	var s string
	switch e.Type {
	case Opened, Closed:
		f := e.Finding
		s = fmt.Sprintf("%s: %s in %s", f.Class, f.Kind, where(e.Log, e.RepositoryName, f.Repository))
		if e.Type == Closed {
			s = "closed: " + s
		}
		if c := e.Counts; c != nil {
			s += fmt.Sprintf(" (%s)", c)
		}
	case Digest:
		s = fmt.Sprintf("digest: %s, of %s", e.Counts, plural(len(e.Causes)+e.Omitted, "cause"))
		if len(e.Causes) > 0 && e.Causes[0].Class.Fails() {
			c := e.Causes[0]
			s = fmt.Sprintf("%s: %s in %s, and more: %s", c.Class, c.Kind, where(c.Log, c.RepositoryName, c.Repository), e.Counts)
		}
	case Health:
		s = "health: " + e.Text
	case Test:
		s = "test: " + e.Text
	}
	return "[tuflog] " + short(printable.Line(s), maxSubject)
}

// short cuts a text at a rune.
func short(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "..."
}

// String says how many findings opened and closed.
func (c Counts) String() string {
	switch {
	case c.Closed == 0:
		return fmt.Sprintf("%d opened", c.Opened)
	case c.Opened == 0:
		return fmt.Sprintf("%d closed", c.Closed)
	}
	return fmt.Sprintf("%d opened, %d closed", c.Opened, c.Closed)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// where names a repository, or if a finding is about none the log.
func where(log, name string, id tuf.Digest) string {
	switch {
	case id.IsZero():
		return log
	case name != "":
		return name + ", " + log
	}
	return id.Short() + ", " + log
}

// text words an event for a mail.
func text(e *Event) string {
	var b strings.Builder
	switch e.Type {
	case Opened, Closed:
		findingText(&b, e)
	case Digest:
		fmt.Fprintf(&b, "%s, of %s.\n", e.Counts, plural(len(e.Causes)+e.Omitted, "cause"))
		for i := range e.Causes {
			causeText(&b, &e.Causes[i])
		}
		if e.Omitted > 0 {
			fmt.Fprintf(&b, "\nAnd %s that found no room here: the page and auditor findings have all.\n", plural(e.Omitted, "cause"))
		}
	default:
		paragraph(&b, e.Text)
		for _, h := range e.Health {
			b.WriteByte('\n')
			paragraph(&b, h.String())
		}
		if e.Link != "" {
			fmt.Fprintf(&b, "\n%s\n", printable.Line(e.Link))
		}
	}
	if e.Lost > 0 {
		b.WriteByte('\n')
		paragraph(&b, fmt.Sprintf("%d events before this one found no room in the queue of this destination, the least important first. The feeds, the page and auditor findings have them.", e.Lost))
	}
	fmt.Fprintf(&b, "\nevent %s\n", e.ID)
	return b.String()
}

func paragraph(b *strings.Builder, s string) {
	for _, line := range printable.Wrap(printable.Line(s), columns) {
		b.WriteString(line + "\n")
	}
}

func findingText(b *strings.Builder, e *Event) {
	f := e.Finding
	if e.Type == Closed {
		paragraph(b, "This is no longer so:")
		b.WriteByte('\n')
	}
	paragraph(b, f.Sentence)
	b.WriteByte('\n')
	row := func(name, value string) { fmt.Fprintf(b, "%-12s%s\n", name, printable.Line(value)) }
	row("finding", fmt.Sprintf("%s (%s)", f.Kind, f.Class))
	row("log", e.Log+" ("+e.Origin+")")
	if !f.Repository.IsZero() {
		row("repository", strings.TrimSpace(e.RepositoryName+" "+f.Repository.String()))
	}
	if f.Role != "" {
		row("role", tuf.Word(f.Role))
	}
	if f.Version != 0 {
		row("version", fmt.Sprint(f.Version))
	}
	if f.Index >= 0 {
		row("entry", fmt.Sprint(f.Index))
	}
	for _, file := range f.Evidence {
		row("evidence", file.Name)
	}
	row("time", e.Time.Format(time.RFC3339))
	if e.Counts != nil {
		b.WriteByte('\n')
		paragraph(b, fmt.Sprintf("It stands for all events of this kind in this place that came together: %s. The feeds, the page and auditor findings have each.", e.Counts))
		if len(e.Also) > 0 {
			b.WriteString("\nThe newest of the others:\n")
		}
		for _, sentence := range e.Also {
			b.WriteByte('\n')
			paragraph(b, "- "+sentence)
		}
	}
	pasteText(b, "", e.Command, e.Link, e.Asks)
}

func pasteText(b *strings.Builder, indent, command, link string, asks bool) {
	switch {
	case command != "" && asks:
		fmt.Fprintf(b, "\n%sNothing offline proves that something is not there. To look again, over the\n%snetwork, on the auditor's machine:\n\n%s    %s\n", indent, indent, indent, printable.Line(command))
	case command != "":
		fmt.Fprintf(b, "\n%sTo check it, on the auditor's machine:\n\n%s    %s\n", indent, indent, printable.Line(command))
	}
	if link != "" {
		fmt.Fprintf(b, "\n%s%s\n", indent, printable.Line(link))
	}
}

func causeText(b *strings.Builder, c *Cause) {
	fmt.Fprintf(b, "\n%s: %s in %s: %s\n", c.Class, c.Kind, printable.Line(where(c.Log, c.RepositoryName, c.Repository)), c.Counts)
	for _, line := range printable.Wrap(printable.Line(c.Sentence), columns-4) {
		b.WriteString("    " + line + "\n")
	}
	if c.Class.Fails() && c.Command != "" {
		b.WriteString("    " + printable.Line(c.Command) + "\n")
	}
	if c.Link != "" {
		b.WriteString("    " + printable.Line(c.Link) + "\n")
	}
}

// String is the line of a log.
func (h LogHealth) String() string {
	parts := []string{}
	if h.Line != "" {
		parts = append(parts, h.Line)
	}
	if h.Outages > 0 {
		parts = append(parts, plural(h.Outages, "outage")+", such as: "+h.Outage)
	}
	if h.Open > 0 {
		parts = append(parts, plural(h.Open, "finding")+" open")
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing to report")
	}
	return h.Log + ": " + strings.Join(parts, "; ")
}

// link returns the URL of a finding's page.
func (c *Config) link(log string, f *audit.Finding, sum tuf.Digest) string {
	switch {
	case c.Link != nil:
		return c.Link(log, f)
	case c.URL == "":
		return ""
	}
	return c.URL + "logs/" + log + "/findings/" + sum.String()
}
