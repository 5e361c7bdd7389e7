package main

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitCommand(t *testing.T) {
	for text, want := range map[string][]string{
		"cmd {}":                    {"cmd", "{}"},
		"  cmd\t-v \n {}  --x=y ":   {"cmd", "-v", "{}", "--x=y"},
		`/opt/my' 'cmd "a b" '{}'`:  {"/opt/my cmd", "a b", "{}"},
		`cmd '' "" "{}"`:            {"cmd", "", "", "{}"},
		`cmd a'b'"c" {}`:            {"cmd", "abc", "{}"},
		`sh -c 'x "$1" | y' sh {}`:  {"sh", "-c", `x "$1" | y`, "sh", "{}"},
		`cmd "it's; (so)" {} %s {x`: {"cmd", "it's; (so)", "{}", "%s", "{x"},
	} {
		if got, err := splitCommand(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for text, why := range map[string]string{
		"":                   "want a command",
		"  ":                 "want a command",
		"{}":                 "want a command",
		"'' {}":              "want a command",
		"cmd":                "there 0 times",
		"cmd {} {}":          "there 2 times",
		"cmd --file={}":      "a word of its own",
		"sh -c 'install {}'": "a word of its own",
		"cmd {} && reboot":   `'&' has a meaning for a shell`,
		"cmd {} | tee x":     `'|' has a meaning for a shell`,
		"cmd {}; reboot":     `';' has a meaning for a shell`,
		"cmd {} > /dev/null": `'>' has a meaning for a shell`,
		"cmd $HOME {}":       `'$' has a meaning for a shell`,
		`cmd "$HOME" {}`:     `'$' has a meaning for a shell`,
		"cmd \"`x`\" {}":     "has a meaning for a shell",
		`cmd a\ b {}`:        "has a meaning for a shell",
		"~/cmd {}":           `'~' has a meaning for a shell`,
		"cmd *.bin {}":       `'*' has a meaning for a shell`,
		"cmd {} # x":         `'#' has a meaning for a shell`,
		"cmd\x00 {}":         "has a meaning for a shell",
		"cmd '{}":            "a ' is not closed",
		`cmd "{}`:            `a " is not closed`,
	} {
		if got, err := splitCommand(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, why)
		}
	}
}
