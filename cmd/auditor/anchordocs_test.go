package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
)

// changing are the parts of what is printed that are others each time.
var changing = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|[0-9a-f]{16,}`)

// shownCommand is a command of a page, and what the page says that it prints.
type shownCommand struct {
	args   []string
	prints string
}

// sessionOf returns the commands of a page that begin with a dollar sign and a prefix, in their order. A
// backslash at the end of a line continues it.
func sessionOf(page, prefix string) (session []shownCommand) {
	var now *shownCommand
	command, open := "", false
	for line := range strings.Lines(page) {
		text, indented := strings.CutPrefix(line, "    ")
		start, isCommand := strings.CutPrefix(text, "$ ")
		switch {
		case !indented && strings.TrimSpace(line) != "":
			now = nil
		case indented && (isCommand || open):
			if isCommand {
				command = ""
			}
			part, more := strings.CutSuffix(strings.TrimRight(start, "\n"), `\`)
			if command += part; !isCommand {
				command = command + " "
			}
			if open = more; !open {
				now = nil
				if strings.HasPrefix(command, prefix) {
					session = append(session, shownCommand{args: strings.Fields(command)})
					now = &session[len(session)-1]
				}
			}
		case indented && now != nil:
			now.prints += text
		}
	}
	return session
}

// The commands of docs/anchors.md are run as they stand there, in their order, and print what it says; so do
// the examples of --help run.
func TestAnchorDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/anchors.md")
	if err != nil {
		t.Fatal(err)
	}
	session := sessionOf(string(text), "auditor anchor ")
	if len(session) < 6 {
		t.Fatalf("docs/anchors.md has %d commands", len(session))
	}
	w := newWorldOf(t, "log.example/updates")
	anchorable(w)
	v1, flags1 := instance(w, 1, 2*time.Hour)
	v2, flags2 := instance(w, 2, 0)
	place := func(from, to string) {
		b, err := os.ReadFile(from)
		w.must(err)
		w.must(os.WriteFile(to, b, 0o644))
	}
	place(w.policy, "policy.txt")
	place(flags1[7], "rekor.pem")
	place(flags2[7], "rekor2.pem")
	w.must(os.WriteFile("phone.note", w.log.Checkpoint(1, 0), 0o644))
	real := strings.NewReplacer("https://rekor.example", v1.URL(), "https://rekor2.example", v2.URL(), "https://tiles.example", v2.URL())
	run := func(args []string) string {
		var list []string
		for i, arg := range args[1:] {
			switch paths, err := filepath.Glob(arg); {
			case err == nil && strings.Contains(arg, "*"):
				list = append(list, paths...)
			case args[i] == "--rekor-origin", arg == "rekor.example": // an instance is named for its host
				list = append(list, "127.0.0.1")
			default:
				list = append(list, real.Replace(arg))
			}
		}
		out, errs, code := runtest.Run(t, args[0], list...)
		if code != 0 {
			t.Errorf("%s: exit %d: %s", strings.Join(args, " "), code, errs)
		}
		return out
	}
	for _, s := range session {
		out := run(s.args)
		got, want := changing.ReplaceAllString(out, "*"), changing.ReplaceAllString(s.prints, "*")
		if !slices.Equal(strings.Fields(got), strings.Fields(want)) { // the page breaks long lines
			t.Errorf("docs/anchors.md is not up to date: %s prints\n%s", strings.Join(s.args, " "), out)
		}
	}
	receipts, err := filepath.Glob("anchors/rekor1/*/receipts/*.json")
	w.must(err)
	place(receipts[0], "receipt.json")
	for _, command := range []string{"submit", "verify", "list", "audit"} {
		help, _ := w.run(0, "anchor", command, "--help")
		_, examples, _ := strings.Cut(help, "Examples:\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		examples = strings.ReplaceAll(examples, "\\\n", " ")
		n := 0
		for line := range strings.Lines(examples) {
			args := strings.Fields(line)
			if len(args) > 0 {
				run(args)
				n++
			}
		}
		if n == 0 {
			t.Errorf("anchor %s --help has no example", command)
		}
	}
}
