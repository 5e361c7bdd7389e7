package audit_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
)

// section is what docs/findings.md says of a kind.
type section struct {
	kind, class, text string
}

func sectionsOfFindings(t *testing.T) []section {
	t.Helper()
	b, err := os.ReadFile("../docs/findings.md")
	must(t, err)
	var sections []section
	class := ""
	for _, part := range regexp.MustCompile(`(?m)^##`).Split(string(b), -1)[1:] {
		head, text, _ := strings.Cut(part, "\n")
		names := regexp.MustCompile("`([a-z0-9-]+)`").FindStringSubmatch(head)
		if names == nil {
			t.Fatalf("the heading %q names neither a class nor a kind", head)
		}
		if !strings.HasPrefix(part, "#") {
			class = names[1]
			continue
		}
		sections = append(sections, section{names[1], class, text})
	}
	return sections
}

// Every kind has a section under its class, which says all that the page promises.
func TestEveryKindIsExplained(t *testing.T) {
	var explained []audit.Kind
	for _, s := range sectionsOfFindings(t) {
		kind := audit.Kind(s.kind)
		explained = append(explained, kind)
		if string(kind.Class()) != s.class {
			t.Errorf("%s stands under %s, and is %s", kind, s.class, kind.Class())
		}
		for _, part := range []string{"\n**Why.** ", "\n**Do.** ", "\nExample (", "\n> "} {
			if strings.Count(s.text, part) != 1 {
				t.Errorf("%s: want one %q", kind, part)
			}
		}
	}
	slices.Sort(explained)
	if want := audit.Kinds(); !slices.Equal(explained, want) {
		t.Errorf("explained are\n%v\nkinds are\n%v", explained, want)
	}
}

// An example that is marked as real is what an auditor says of that history.
func TestRealExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("two seconds of processor time for three histories")
	}
	examples := 0
	for _, s := range sectionsOfFindings(t) {
		m := regexp.MustCompile("(?s)\nExample \\((made[^)]*|real: `([a-z_]+)`(?:, entry ([0-9]+))?)\\).*\n> (.*?)\n").FindStringSubmatch(s.text)
		if m == nil {
			t.Errorf("%s: the example is marked neither as real nor as made", s.kind)
			continue
		}
		history, sentence := m[2], m[4]
		if history == "" {
			continue
		}
		examples++
		index := int64(-1)
		if m[3] != "" {
			var err error
			index, err = strconv.ParseInt(m[3], 10, 64)
			must(t, err)
		}
		if !slices.ContainsFunc(findingsOf(t, history), func(f audit.Finding) bool {
			return string(f.Kind) == s.kind && f.Index == index && f.Sentence == sentence
		}) {
			t.Errorf("%s: nothing in %s says at %d: %s", s.kind, history, index, sentence)
		}
	}
	if examples < 11 {
		t.Errorf("%d examples are real", examples)
	}
}

// at sets an auditor's clock, in POSIX seconds.
func at(seconds int64) func(*audit.Config) {
	return func(c *audit.Config) { c.Now = func() time.Time { return time.Unix(seconds, 0) } }
}
