package printable

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"targets":             "targets",
		"größer, 更新":          "größer, 更新",
		"\x1b[2J":             `"\x1b[2J"`,
		"two\nlines":          `"two\nlines"`,
		"a\tcell":             `"a\tcell"`,
		"\xff":                `"\xff"`,
		"\u202egnp.exe":       `"\u202egnp.exe"`,
		"\u009b31m":           `"\u009b31m"`,
		"\u00a0":              `"\u00a0"`,
		"says \"so\"":         `says "so"`,
		"says \"so\" and \a!": `"says \"so\" and \a!"`,
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestWriter(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext\n":  "plain\n\ttext\n",
		"größer, 更新, 😀":    "größer, 更新, 😀",
		"\x1b]0;title\a":   `\u001b]0;title\u0007`,
		"\r\n":             `\u000d` + "\n",
		"\u009b31m":        `\u009b31m`,
		"\x7f":             `\u007f`,
		"\u202e\u2066":     `\u202e\u2066`,
		"a\xffb\xc3":       `a\xffb\xc3`,
		"\U000e0041 hides": `\udb40\udc41 hides`,
	} {
		for step := 1; step <= len(in); step++ {
			var out strings.Builder
			w := NewWriter(&out)
			for rest := in; rest != ""; {
				n := min(step, len(rest))
				if wrote, err := w.Write([]byte(rest[:n])); wrote != n || err != nil {
					t.Fatalf("Write = %d, %v", wrote, err)
				}
				rest = rest[n:]
			}
			if err := w.Flush(); err != nil || out.String() != want {
				t.Errorf("%q in steps of %d: %q, want %q, %v", in, step, out.String(), want, err)
			}
		}
	}
}

func TestWriterKeepsJSON(t *testing.T) {
	value := "\u0085\u009b \x1b \x7f \u202e \U000e0041 \u2028 größer"
	var out strings.Builder
	w := NewWriter(&out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back != value {
		t.Fatalf("%s reads as %q, %v", out.String(), back, err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriterError(t *testing.T) {
	if n, err := NewWriter(broken{}).Write([]byte("x")); n != 0 || err == nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	table := NewTable(&out, "ROLE", "VERSION")
	table.Row("targets", 7)
	table.Row("a\tb\n\x1b[1m", 12)
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "ROLE               VERSION\ntargets            7\n\"a\\tb\\n\\x1b[1m\"    12\n"
	if strings.Join(strings.Fields(out.String()), " ") != strings.Join(strings.Fields(want), " ") || strings.Count(out.String(), "\n") != 3 {
		t.Fatalf("got\n%s", out.String())
	}
}

// What a Writer passes on is printable, whatever it is given and in which parts.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("\x1b[2J\xc3"), []byte("\xa4\u202e"))
	f.Add([]byte("\xf0\x9f"), []byte("\x98\x80\xff"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var parts, whole strings.Builder
		w := NewWriter(&parts)
		_, _ = w.Write(a)
		_, _ = w.Write(b)
		_ = w.Flush()
		one := NewWriter(&whole)
		_, _ = one.Write([]byte(string(a) + string(b)))
		_ = one.Flush()
		if parts.String() != whole.String() {
			t.Fatalf("%q in parts, %q whole", parts.String(), whole.String())
		}
		for _, r := range parts.String() {
			if !unicode.IsPrint(r) && r != '\n' && r != '\t' || !utf8.ValidString(parts.String()) {
				t.Fatalf("%q is passed on", parts.String())
			}
		}
	})
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"./log": "./log", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "x&y": "'x&y'", "~x": "'~x'", "a;b": "'a;b'", "$x": "'$x'", "postgres://u@h/d?a=b": "'postgres://u@h/d?a=b'"} {
		if got := ShellWord(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
