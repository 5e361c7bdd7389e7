package leaf_test

import (
	"testing"

	"github.com/tuflog/tuflog/leaf"
)

func TestUnknownKind(t *testing.T) {
	for raw, want := range map[string]string{
		"tuflog release v2\nx":  "tuflog release v2",
		"tuflog key-list v13\n": "tuflog key-list v13",
		"tuflog release v1\nx":  "",
		"tuflog evidence v1\nx": "",
		"tuflog release v2":     "",
		"tuflog release v02\n":  "",
		"tuflog  v2\n":          "",
		"tuflog a v\n":          "",
		"tuflog a v1 v2\n":      "",
		"tuflog 9a v2\n":        "",
		"tuflog a_b v2\n":       "",
		"tuflog a vv2\n":        "",
		"tuflog a v2x\n":        "",
		"other release v2\n":    "",
		"":                      "",
	} {
		if got, ok := leaf.UnknownKind([]byte(raw)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func FuzzUnknownKind(f *testing.F) {
	f.Add([]byte("tuflog release v2\nx"))
	f.Add([]byte("tuflog release v1\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, ok := leaf.UnknownKind(b)
		if !ok {
			return
		}
		if _, err := leaf.Parse(b); err == nil {
			t.Fatalf("%q is a leaf and of an unknown kind %q", b, kind)
		}
	})
}
