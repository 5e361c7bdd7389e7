package printable

import (
	"strings"
	"testing"
)

func TestFolder(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"short", "short\n\n  lines\n", "short\n\n  lines\n"},
		{"exactly as wide", strings.Repeat("x", 40) + "\n", strings.Repeat("x", 40) + "\n"},
		{"a sentence", "a sentence of several words that is longer than the line\n", "a sentence of several words that is\n  longer than the line\n"},
		{"with an indent", "    a sentence of several words that is longer\n", "    a sentence of several words that\n      is longer\n"},
		{"a row", "fork  -  what the log signed was not the same for all\n", "fork  -  what the log signed was not the\n         same for all\n"},
		{"a row without room for the last cell", "app.bin  123456  sha256:0123456789abcdef  targets 2  1\n", "app.bin  123456\n  sha256:0123456789abcdef  targets 2  1\n"},
		{"a long word", strings.Repeat("x", 50) + " and more\n", strings.Repeat("x", 50) + "\n  and more\n"},
		{"runes", strings.Repeat("ü", 30) + " größer als die Zeile\n", strings.Repeat("ü", 30) + " größer\n  als die Zeile\n"},
		{"spaces alone", strings.Repeat(" ", 50) + "\n", strings.Repeat(" ", 10) + "\n"},
	} {
		for _, step := range []int{1, 7, 1000} {
			var out strings.Builder
			f := NewFolder(&out, 40)
			for in := []byte(tt.in); len(in) > 0; {
				n := min(step, len(in))
				if _, err := f.Write(in[:n]); err != nil {
					t.Fatal(err)
				}
				in = in[n:]
			}
			if got := out.String(); got != tt.want {
				t.Errorf("%s, %d bytes at a time:\n%s\nwant\n%s", tt.name, step, got, tt.want)
			}
		}
	}
}
