package device

import (
	"strings"
	"testing"

	"github.com/tuflog/tuflog/verify"
)

// No name is longer than file systems allow, whatever is put around it.
func TestLongNames(t *testing.T) {
	long := map[string]string{
		strings.Repeat("文", 85) + "/x": "sha256=",
		strings.Repeat("a", 255):       strings.Repeat("a", 255),
		strings.Repeat("a", 256):       "sha256=",
	}
	for path, want := range long {
		if got := targetFileName(path); !strings.HasPrefix(got, want) || len(got) > maxFileName {
			t.Errorf("a target under %d bytes is kept as %q", len(path), got)
		}
	}
	if a, b := targetFileName(strings.Repeat("a", 256)), targetFileName(strings.Repeat("a", 257)); a == b || a != targetFileName(strings.Repeat("a", 256)) {
		t.Errorf("%q and %q", a, b)
	}
	for n := range 400 {
		if got := fileName(strings.Repeat("a", n+1)); len("."+got+verify.LatestSuffix+".4294967295.tmp") > 255 {
			t.Errorf("metadata of a role of %d bytes is kept as %q", n+1, got)
		}
	}

	for _, role := range []string{"Root", "TARGETS", "snapShot"} {
		if got := fileName(role); !strings.HasPrefix(got, "sha256=") {
			t.Errorf("role %s is kept as %q", role, got)
		}
	}
}

func TestTargetFileNames(t *testing.T) {
	for path, want := range map[string]string{
		"app":         "app",
		"a/b.c":       "a%2Fb.c",
		"..":          "%2E%2E",
		".":           "%2E",
		"../../etc/x": "..%2F..%2Fetc%2Fx",
		"a b?":        "a%20b%3F",
	} {
		if got := targetFileName(path); got != want {
			t.Errorf("%q is kept as %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"a/b+c.txt":   "a/b+c.txt",
		"a%20b":       "a%20b",
		"100%":        "100%25",
		"what? #1 ö":  "what%3F%20%231%20%C3%B6",
		"x%2":         "x%252",
		"a/%2e%2e/..": "a/%2e%2e/..",
	} {
		if got := escapePath(path); got != want {
			t.Errorf("%q is fetched as %q, want %q", path, got, want)
		}
	}
}
