package main

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/demo.txt anew")

// page is the transcript that the README shows.
const page = "../../docs/demo.txt"

// varies is what differs from one run of the demo to the next.
var varies = []struct{ what, with string }{
	{`:?\s+`, " "}, // what came of a step goes below it where there is no room
	{`\(\d+ ms\)`, "(N ms)"},
	{`\b\d+\.\ds\b`, "N.Ns"},
	{`in \d+\.\d s\.`, "in N.N s."},
	{`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
	{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
	{`\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+`, "+ID+KEY"},
	{`\b[0-9a-f]{8,}(…|\b)`, "HEX"},
	{`WARNING /[^…]*…`, "WARNING PATH …"}, // it is cut where the path leaves off
	{`cosigned by \w+((,| and) \w+)+`, "cosigned by two"},
	{`\(missing \w+, \w+\)`, "(missing two)"},
}

// keyLines are keys that can replace a file, in the order of their ids: new ones each time.
var keyLines = regexp.MustCompile(`(?m)(^ +[+-]? *key .*\n)+`)

func steady(transcript string) string {
	transcript = keyLines.ReplaceAllStringFunc(transcript, func(block string) string {
		lines := slices.Collect(strings.Lines(regexp.MustCompile(`\b[0-9a-f]{8}\b`).ReplaceAllString(block, "HEX")))
		slices.Sort(lines)
		return strings.Join(lines, "")
	})
	for _, v := range varies {
		transcript = regexp.MustCompile(v.what).ReplaceAllString(transcript, v.with)
	}
	return strings.TrimSpace(transcript)
}

var source = regexp.MustCompile(`programs from \S+: done`)

// checkPage checks that docs/demo.txt is a transcript as the demo, in dir, prints it today.
func checkPage(t *testing.T, transcript, dir string) {
	t.Helper()
	transcript = strings.ReplaceAll(transcript, dir, "/tmp/tuflog")
	transcript = source.ReplaceAllString(transcript, "programs from /home/me/tuflog: done")
	if *update {
		if err := os.WriteFile(page, []byte(transcript), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got, shown := steady(transcript), steady(string(want))
	if got == shown {
		return
	}
	at := 0
	for at < min(len(got), len(shown)) && got[at] == shown[at] {
		at++
	}
	t.Errorf("docs/demo.txt is not what the demo prints (go test ./cmd/demo -run TestDemoOnce -update writes it anew):\nit says …%q\nthe demo …%q",
		shown[max(0, at-60):min(len(shown), at+100)], got[max(0, at-60):min(len(got), at+100)])
}
