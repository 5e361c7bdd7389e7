package tuf

import (
	"strings"
	"testing"
)

func TestDigest(t *testing.T) {
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if got := Sum(nil).String(); got != empty {
		t.Errorf("Sum(nil) = %s, want %s", got, empty)
	}
	d, err := ParseDigest(empty)
	if err != nil || d != Sum(nil) {
		t.Errorf("ParseDigest(%s) = %v, %v", empty, d, err)
	}
	if d.IsZero() || !(Digest{}).IsZero() {
		t.Error("IsZero is wrong")
	}
	var u Digest
	if text, err := d.MarshalText(); err != nil || u.UnmarshalText(text) != nil || u != d {
		t.Errorf("MarshalText and UnmarshalText: %s, %v, %v", text, err, u)
	}
	for _, bad := range []string{"", empty[:63], empty + "0", strings.ToUpper(empty), "g" + empty[1:], " " + empty[1:]} {
		if d, err := ParseDigest(bad); err == nil {
			t.Errorf("ParseDigest(%q) = %v, want an error", bad, d)
		}
		if _, err := ParseRepository(bad); err == nil {
			t.Errorf("ParseRepository takes %q", bad)
		}
	}
	if id, err := ParseRepository(empty); err != nil || id != d {
		t.Error(id, err)
	}
	if _, err := ParseRepository(Digest{}.String()); err == nil {
		t.Error("zeros name a repository")
	}
}
