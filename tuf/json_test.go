package tuf

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// canonical reads one value of any kind.
func canonical(text string) (string, error) {
	s := scanner{src: []byte(text)}
	if err := s.skip(); err != nil {
		return "", err
	}
	if s.space(); s.pos < len(text) {
		return "", s.errorf(s.pos, "more after the value")
	}
	return string(s.out), nil
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{}`, `{}`},
		{" [ ] \r\n\t", `[]`},
		{`{"b":1,"a":[true,false,"x"]}`, `{"a":[true,false,"x"],"b":1}`},
		{`{"b":{"d":1,"c":2},"a":{"f":1,"e":{"h":1,"g":2}}}`, `{"a":{"e":{"g":2,"h":1},"f":1},"b":{"c":2,"d":1}}`},
		{`[-1,0,9223372036854775807,-9223372036854775808]`, `[-1,0,9223372036854775807,-9223372036854775808]`},
		{`"\b\f\n\r\t\/\"\\"`, "\"\b\f\n\r\t/\\\"\\\\\""},
		{`"\u0041\u00e4\uD83C\uDF7A\u0000"`, "\"Aä🍺\x00\""},
		{"\"\u00e4🍺\x7f\u2028\"", "\"\u00e4🍺\x7f\u2028\""},
		{`"\uFFFD"`, "\"\uFFFD\""},
		{"\"\uFFFD\"", "\"\uFFFD\""},
		// By bytes, not by UTF-16: U+E000 is below U+1F37A. Both are above ASCII.
		{"{\"🍺\":1,\"\ue000\":2,\"z\":3}", "{\"z\":3,\"\ue000\":2,\"🍺\":1}"},
		// By the bytes meant, not by those printed: a quotation mark is below #,
		// though \" is above; a backslash is above Z and below a.
		{`{"#":1,"\"":2}`, `{"\"":2,"#":1}`},
		{`{"a":1,"\\":2,"Z":3,"":4}`, `{"":4,"Z":3,"\\":2,"a":1}`},
		{`{"\\\"":1,"\\":2,"\\!":3}`, `{"\\":2,"\\!":3,"\\\"":1}`},
		{`{"a/b":1,"a-b":2,"a":3,"aa":4}`, `{"a":3,"a-b":2,"a/b":1,"aa":4}`},
	} {
		got, err := canonical(test.in)
		if err != nil || got != test.want {
			t.Errorf("%s: got %s, %v; want %s", test.in, got, err, test.want)
		}
	}
}

func TestSyntax(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if _, err := canonical(deep(MaxDepth)); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	for _, test := range []struct{ in, want string }{
		{"", "found the end of the file"},
		{"nul", "want a value"},
		{"null", "null is not allowed"},
		{`{"a":[null]}`, `["a"][0]: null is not allowed`},
		{"truetrue", `more after the value`},
		{"trut", "want true or false"},
		{"'a'", `found "'"`},
		{`{"a":1,}`, "want a name"},
		{`[1,]`, "want a value"},
		{`[1 2]`, `want "," or "]", found a number`},
		{`{"a":1 "b":2}`, `want "," or "}", found a string`},
		{`{"a" 1}`, `want ":"`},
		{`{1:1}`, "want a name, found a number"},
		{`{"a":1`, `want "," or "}", found the end`},
		{`[1`, `want "," or "]", found the end`},
		{`1 1`, "more after"},
		{"// a\n1", "want a value"},
		{"\ufeff1", "want a value"},
		{`-`, "without digits"},
		{`-a`, "without digits"},
		{`-0`, "number -0"},
		{`-0.0`, "number -0"},
		{`01`, "leading zero"},
		{`-01`, "leading zero"},
		{`00`, "leading zero"},
		{`1.0`, "not written as an integer"},
		{`0.5`, "not written as an integer"},
		{`1e2`, "not written as an integer"},
		{`1E2`, "not written as an integer"},
		{`+1`, `want a value, found "+"`},
		{`9223372036854775808`, "does not fit in 64 bits"},
		{`-9223372036854775809`, "does not fit in 64 bits"},
		{strings.Repeat("9", 1000), "…"},
		{`"a`, "string does not end"},
		{`"a\`, "string does not end"},
		{`"\x"`, "unknown escape"},
		{`"\u12g4"`, "without four hex digits"},
		{`"\u12"`, "without four hex digits"},
		{"\"a\nb\"", "control character 0x0a"},
		{"\"\x00\"", "control character 0x00"},
		{"\"\xff\"", "invalid UTF-8"},
		{"\"\xc0\x80\"", "invalid UTF-8"},
		{"\"\xed\xa0\x80\"", "invalid UTF-8"}, // a surrogate
		{"\"\xf4\x90\x80\x80\"", "invalid UTF-8"},
		{"\"\xe4\"", "invalid UTF-8"},
		{`"\ud83c"`, "unpaired surrogate"},
		{`"\ud83c\u0041"`, "unpaired surrogate"},
		{`"\ud83c\ud83c"`, "unpaired surrogate"},
		{`"\udf7a"`, "unpaired surrogate"},
		{`"\udf7a\ud83c"`, "unpaired surrogate"},
		{`"\ud83c\n"`, "unpaired surrogate"},
		{`{"a":1,"a":2}`, `name "a" is repeated (byte 7)`},
		{`{"a":1,"b":2,"a":3}`, `name "a" is repeated (byte 13)`},
		{`{"b":1,"a":2,"b":3,"a":4}`, `name "a" is repeated (byte 19)`},
		{`{"a":1,"\u0061":2}`, `name "a" is repeated`},
		{`{"x":{"":1,"":2}}`, `["x"]: name "" is repeated`},
		{`[{"\"":1,"#":1,"\u0022":1}]`, `[0]: name "\"" is repeated`},
		{deep(MaxDepth + 1), "nested deeper than 64"},
	} {
		got, err := canonical(test.in)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.80s: got %.80q, %v; want %s", test.in, got, err, test.want)
		}
		if syntax != nil && (syntax.Offset < 0 || syntax.Offset > len(test.in)) {
			t.Errorf("%.80s: offset %d", test.in, syntax.Offset)
		}
	}
}

// TestHostile reads files that cost a careless reader too much. Each may take
// seconds where the work grows with the square of the size.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("reads many hostile files")
	}
	const size = 2 << 20
	names := func(order func(i, n int) int) string {
		n := size / 12
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%06x":%d,`, order(i, n), i%10)
		}
		return "{" + strings.TrimSuffix(b.String(), ",") + "}"
	}
	nested := strings.Repeat("1,", size/2) + "1"
	for range MaxDepth/2 - 2 {
		nested = `{"b":[` + nested + `],"a":1}` // every level out of order
	}
	files := map[string]string{
		"backwards":     names(func(i, n int) int { return n - i }),
		"interleaved":   names(func(i, n int) int { return (i*7919 + 1) % n }),
		"organ pipe":    names(func(i, n int) int { return min(2*i, 2*(n-i)-1) }),
		"nested":        nested,
		"open brackets": strings.Repeat("[", size),
		"backslashes":   `"` + strings.Repeat(`\\`, size/2) + `"`,
		"no end":        `"` + strings.Repeat(`\u0041`, size/6),
		"equal names":   "{" + strings.Repeat(`"a":1,`, size/6) + `"a":1}`,
		"long names":    `{"` + strings.Repeat("z", size/2) + `":1,"` + strings.Repeat("z", size/2-1) + `":1}`,
		"white space":   "[" + strings.Repeat(" \n", size/2) + "]",
	}
	for name, text := range files {
		start := time.Now()
		for _, file := range []string{text, `{"signed":` + text, `{"signatures":` + text} {
			if _, err := ParseJSON([]byte(file)); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		canonical(text)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %d bytes took %v", name, len(text), took)
		}
	}
}

// FuzzCanonical compares what the scanner prints with cjson, which decodes
// everything and encodes it again.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1,-2,{"d":"x","c":true}],"a":{}}`, `"\ud83c\udf7a\\\""`, `{"\"":1,"#":2,"\\":3}`, "\"\u2028\"",
		`{"z":{"z":{"z":1,"y":2},"y":3},"y":4}`, `[[],{},"",0]`, `{"a":1,"a":2}`, `1e3`, `"\u0000<&>"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := canonical(string(text))
		if err != nil {
			return
		}
		want, err := cjson.EncodeCanonical(json.RawMessage(text))
		if err != nil {
			t.Fatalf("accepted %q, cjson says %v", text, err)
		}
		if got != string(want) {
			t.Errorf("%q: got %q, cjson %q", text, got, want)
		}
		if len(got) > len(text) {
			t.Errorf("%q: the canonical form is longer: %q", text, got)
		}
	})
}
