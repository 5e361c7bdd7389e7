package labels

import (
	"maps"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

func TestParse(t *testing.T) {
	a, b := tuf.Sum([]byte("a")), tuf.Sum([]byte("b"))
	names, err := Parse([]byte("# vendors\n\n" + a.String() + " Acme Inc. \r\n" + b.String() + "  ü"))
	if err != nil || !maps.Equal(names, map[tuf.Digest]string{a: "Acme Inc.", b: "ü"}) {
		t.Error(names, err)
	}
	for text, says := range map[string]string{
		"\ufeff" + a.String() + " x":            "byte order mark",
		"\n" + a.String():                       "line 2: want a repository's 64 hex digits",
		a.String()[1:] + " x":                   "line 1: want",
		strings.ToUpper(a.String()) + " x":      "line 1: want",
		tuf.Digest{}.String() + " x":            "line 1: want",
		a.String() + " x\n" + a.String() + " y": "line 2: repository " + a.String() + " has a name already",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
