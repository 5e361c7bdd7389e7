package leaf

import (
	"strings"
	"testing"
)

// FuzzEnd: the end of a log has one spelling, and is not a leaf.
func FuzzEnd(f *testing.F) {
	for _, s := range []string{End, "", "tuflog end v1", "tuflog end v1\r\n", "tuflog end v1\n\n", "tuflog end v2\n", "tuflog end v1\nrepository\n", "Tuflog end v1\n", "tuflog release v1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := Parse(b)
		if IsEnd(b) && (err == nil || string(b) != "tuflog end v1\n") {
			t.Errorf("%q is the end, and as a leaf %v", b, err)
		}
		if !IsEnd(b) && string(b) == End {
			t.Errorf("%q is not the end", b)
		}
		if strings.HasPrefix(string(b), "tuflog end ") && err == nil {
			t.Errorf("%q is a leaf", b)
		}
	})
}
