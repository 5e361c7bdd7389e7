package oracles

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

var update = flag.Bool("update", false, "write README.md")

type oracle struct {
	name, title string
	runs        map[string]func(v vector) outcome
}

var oracles = []oracle{
	{"x/mod", "golang.org/x/mod v0.42.0", xmod},
	{"torchwood", "filippo.io/torchwood v0.9.0", torch},
	{"formats", "github.com/transparency-dev/formats v0.1.1", formats},
}

// line prints a signature line whose signature is one byte.
func line(s note.Signature) string {
	b := append(binary.BigEndian.AppendUint32(nil, s.Hash), 1)
	return "— " + s.Name + " " + base64.StdEncoding.EncodeToString(b) + "\n"
}

// run runs one case, and takes a panic for a verdict of its own.
func (o oracle) run(v vector, f func(v vector) outcome) (verdict, skip string) {
	defer func() {
		if r := recover(); r != nil {
			verdict = fmt.Sprintf("panics: %v", r)
		}
	}()
	out := f(v)
	if out.skip != "" {
		return "", out.skip
	}
	return out.verdict(v), ""
}

// A finding is a case that an oracle sees otherwise.
type finding struct{ oracle, name, verdict string }

// A tally counts the cases of one folder for one oracle.
type tally struct{ ran, disagree, skipped int }

type report struct {
	findings map[finding]bool
	tallies  map[string]map[string]*tally // by oracle and folder
	vectors  map[string]vector            // by name
}

// examine runs everything.
func examine(t *testing.T) report {
	r := report{map[finding]bool{}, map[string]map[string]*tally{}, map[string]vector{}}
	for _, o := range oracles {
		r.tallies[o.name] = map[string]*tally{}
		for _, folder := range slices.Sorted(maps.Keys(o.runs)) {
			count := new(tally)
			r.tallies[o.name][folder] = count
			for _, v := range load(t, folder) {
				r.vectors[v.Name] = v
				verdict, skip := o.run(v, o.runs[folder])
				if skip != "" {
					count.skipped++
					continue
				}
				count.ran++
				if verdict != "" {
					count.disagree++
					r.findings[finding{o.name, v.Name, verdict}] = true
				}
			}
			if count.ran == 0 {
				t.Errorf("%s runs nothing in %s", o.name, folder)
			}
		}
	}
	return r
}

// Every disagreement is listed, and every one listed is there.
func TestDisagreements(t *testing.T) {
	r := examine(t)
	listed := map[finding]bool{}
	for _, d := range disagreements {
		for _, name := range strings.Fields(d.cases) {
			f := finding{d.oracle, name, d.verdict}
			if listed[f] {
				t.Errorf("%v is listed twice", f)
			}
			listed[f] = true
			v, ok := r.vectors[name]
			if !ok {
				t.Errorf("%s lists %s, which does not exist", d.oracle, name)
				continue
			}
			if !r.findings[f] {
				t.Errorf("%s no longer %s %s (%s)", d.oracle, d.verdict, name, v.Desc)
			}
			if v.Choice != "" && d.right != bothRight {
				t.Errorf("%s: %s leaves it open, but the table says who is right", name, v.Spec)
			}
		}
	}
	for f := range r.findings {
		if !listed[f] {
			v := r.vectors[f.name]
			t.Errorf("%s %s %s: %s\n%s: %s", f.oracle, f.verdict, f.name, v.Desc, v.Spec, v.Rule)
		}
	}
}

// README.md is made of the table: go test -run TestReadme -update
func TestReadme(t *testing.T) {
	want := readme(t, examine(t))
	if *update {
		if err := os.WriteFile("README.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("README.md is not what the table gives: go test -run TestReadme -update")
	}
}

const readmeHead = `# Oracles

Other implementations of the formats in package proofs, run against the same
test vectors (testdata/vectors). Their module is not the main one, so that
nothing of them enters that:

	cd bench/vectors && go test -count=1 ./...

(Without -count=1 Go may take the last result, because the vectors lie outside
of this module.) Below is every case in which one of them does something else
than the vector expects, with the sentence that decides it. The test fails for
a disagreement that is not listed and for one that no longer occurs.

"Who is right" is either the vectors, or both: where the specification leaves
the answer open, or where the check has its place in another function.
Functions whose job is not done by an implementation, or not for a type of key,
are not counted as disagreements; the table says how many cases were left out.

This file is written by go test -run TestReadme -update from table_test.go.
`

func readme(t *testing.T, r report) []byte {
	var b bytes.Buffer
	b.WriteString(readmeHead)
	for _, o := range oracles {
		fmt.Fprintf(&b, "\n## %s\n\n| folder | cases | as expected | otherwise | left out |\n|---|---|---|---|---|\n", o.title)
		var sum tally
		for _, folder := range slices.Sorted(maps.Keys(r.tallies[o.name])) {
			c := r.tallies[o.name][folder]
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", folder, c.ran+c.skipped, c.ran-c.disagree, c.disagree, c.skipped)
			sum.ran, sum.disagree, sum.skipped = sum.ran+c.ran, sum.disagree+c.disagree, sum.skipped+c.skipped
		}
		fmt.Fprintf(&b, "| all | %d | %d | %d | %d |\n", sum.ran+sum.skipped, sum.ran-sum.disagree, sum.disagree, sum.skipped)
		for _, right := range []string{vectorsRight, bothRight} {
			writeRows(t, &b, r, o.name, right)
		}
	}
	return b.Bytes()
}

func writeRows(t *testing.T, b *bytes.Buffer, r report, oracle, right string) {
	title := "The vectors are right"
	if right == bothRight {
		title = "Either is right"
	}
	fmt.Fprintf(b, "\n### %s: %s\n", oracle, strings.ToLower(title[:1])+title[1:])
	for _, d := range disagreements {
		if d.oracle != oracle || d.right != right {
			continue
		}
		names := strings.Fields(d.cases)
		fmt.Fprintf(b, "\n**%s** It %s:\n", d.why, d.verdict)
		var rules []string
		for _, name := range names {
			v, ok := r.vectors[name]
			if !ok {
				t.Errorf("no case %s", name)
			}
			rule := fmt.Sprintf("> %s (%s)", v.Rule, v.Spec)
			if v.Choice != "" {
				rule += "\n>\n> Here: " + v.Choice
			}
			if !slices.Contains(rules, rule) {
				rules = append(rules, rule)
			}
		}
		for _, name := range names {
			fmt.Fprintf(b, "- %s: %s\n", name, r.vectors[name].Desc)
		}
		fmt.Fprintf(b, "\n%s\n", strings.Join(rules, "\n>\n"))
	}
}
