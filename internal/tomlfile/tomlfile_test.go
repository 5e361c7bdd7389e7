package tomlfile

import (
	"testing"
	"time"
)

func TestDecode(t *testing.T) {
	type config struct {
		Dir  string `toml:"dir"`
		Logs []struct {
			Name  string        `toml:"name"`
			Every time.Duration `toml:"every"`
		} `toml:"log"`
	}
	for _, tt := range []struct{ text, err string }{
		{"dir = \"a\"\n[[log]]\nname = \"b\"\nevery = \"5s\"\n", ""},
		{"dir = \"a\"\ndri = \"b\"\n", `c.toml:2: dri: unknown key: remove it, or write one of dir, log`},
		{"[[log]]\nname = \"b\"\n[[log]]\nnmae = \"c\"\n", `c.toml:4: log.nmae: unknown key: remove it, or write one of every, name`},
		{"dir = 1\n", `c.toml:1: dir: incompatible types: TOML value has type int64; destination has type string`},
		{"dir = \"a\ndir", `c.toml:1: dir: strings cannot contain newlines`},
	} {
		var c config
		lines, err := Decode("c.toml", []byte(tt.text), &c)
		if got := ""; err != nil || tt.err != "" {
			if err != nil {
				got = err.Error()
			}
			if got != tt.err {
				t.Errorf("%q: %s\nwant %s", tt.text, got, tt.err)
			}
			continue
		}
		if at := lines.Of("log[0].every"); at != "4: " {
			t.Errorf("%q: every is in line %q", tt.text, at)
		}
	}
}
