package witness

import (
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// ListFault is what is wrong with a line of a list of logs.
type ListFault struct {
	Line int    `json:"line"` // from 1 on
	What string `json:"what"`
}

// ListedLog is a log of a list, and the lines that say it.
type ListedLog struct {
	NewLog
	// Line is that of the vkey, QPDLine that of the requests a day.
	Line, QPDLine int
	Contact       string
}

// CheckList reads a list of logs as ParseList, and names all that is wrong with it: also what
// ParseList passes over, such as a second log of a name, an unreadable key, or lines in an
// order that other readers of the format do not take. Without a fault, ParseList reads the
// same logs.
func CheckList(b []byte) (logs []ListedLog, faults []ListFault) {
	c := listChecker{names: map[string]int{}, keys: map[string]int{}}
	if len(b) > MaxListSize {
		return nil, []ListFault{{1, fmt.Sprintf("list of %d bytes, more than %d", len(b), MaxListSize)}}
	}
	for i, line := range strings.Split(string(b), "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			c.at = i + 1
			c.line(line)
		}
	}
	switch {
	case !c.begun:
		c.at = 1
		c.fault("no line %q", listHeader)
	case c.next != "vkey":
		c.fault("the list ends where %s should follow", c.wants())
	}
	return c.logs, c.faults
}

// listChecker reads one line after the other.
type listChecker struct {
	at     int // the line
	begun  bool
	next   string // the word that has to come
	seen   map[string]bool
	now    ListedLog
	broken bool // the log that is read has a fault
	logs   []ListedLog
	faults []ListFault
	names  map[string]int // lines by origin
	keys   map[string]int // and by key
}

// maxFaults is how many faults are named.
const maxFaults = 1000

func (c *listChecker) fault(format string, args ...any) {
	c.broken = true
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, ListFault{c.at, fmt.Sprintf(format, args...)})
	}
}

// wants says what may come. The format's page has bastion before qpd, which is not used.
func (c *listChecker) wants() string {
	switch c.next {
	case "qpd":
		return "a line of origin, bastion or qpd"
	default:
		return "a " + c.next + " line"
	}
}

func (c *listChecker) line(line string) {
	if !c.begun {
		if c.begun, c.next = true, "vkey"; line != listHeader {
			c.fault("%.80q is not %q", line, listHeader)
		}
		return
	}
	word, value, _ := strings.Cut(line, " ")
	value = strings.TrimSpace(value)
	switch {
	case word == "vkey" && c.next != "vkey":
		c.fault("a log begins where %s should follow", c.wants())
	case word == "vkey", word == c.next:
	case c.next == "qpd" && (word == "origin" && len(c.seen) == 0 || word == "bastion" && !c.seen[word]):
		c.seen[word] = true
	case c.next == "contact" && word == "bastion" && !c.seen[word]:
		c.seen[word] = true
	default:
		c.fault("%.80q where %s should follow", word, c.wants())
		return
	}
	if value == "" {
		c.fault("%s has no value", word)
	}
	c.value(word, value)
}

// value takes a line that stands where it may.
func (c *listChecker) value(word, value string) {
	switch word {
	case "vkey":
		c.now, c.broken, c.next, c.seen = ListedLog{Line: c.at}, false, "qpd", map[string]bool{}
		key, err := proofs.ParseKey(value)
		if err == nil {
			err = CheckLogKey(key)
		}
		if err != nil {
			c.fault("%v", err)
			return
		}
		c.now.Key = key
	case "origin":
		if err := checkOrigin(value); err != nil {
			c.fault("%v", err)
		} else if !c.broken && value == c.now.Key.Name() {
			c.now.Origin = "" // the same, said twice
		} else if value != "none" {
			c.now.Origin = value
		}
	case "qpd":
		perDay, err := parsePerDay(value)
		if err != nil {
			c.fault("%v", err)
		}
		c.now.PerDay, c.now.QPDLine, c.next = perDay, c.at, "contact"
	case "contact":
		c.now.Contact, c.next = value, "vkey"
		c.add()
	}
}

// checkOrigin returns an error for what cannot be the first line of a checkpoint.
func checkOrigin(s string) error {
	if len(s) > 1024 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return fmt.Errorf("%.80q is no origin", s)
	}
	return nil
}

// add takes a log whose lines are complete.
func (c *listChecker) add() {
	if c.broken {
		return
	}
	at := c.at
	c.at = c.now.Line
	defer func() { c.at = at }()
	key := c.now.Key.String()
	switch other, again := c.names[c.now.Name()], c.keys[key]; {
	case other != 0:
		c.fault("a second log named %.80q; the first is at line %d", c.now.Name(), other)
		return
	case again != 0:
		c.fault("a second log with the key %s; the first is at line %d", key, again)
		return
	case len(c.logs) == maxListLogs:
		c.fault("more than %d logs", maxListLogs)
		return
	}
	c.names[c.now.Name()], c.keys[key] = c.now.Line, c.now.Line
	c.logs = append(c.logs, c.now)
}
