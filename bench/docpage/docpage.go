// Package docpage reads the pages of docs for the tests that keep them true: [Read] a page,
// and [Example] what stands in it under a name.
package docpage

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Read returns a page of the project's docs, such as "formats.md", from a test of any package.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	for dir := "."; ; dir = filepath.Join("..", dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			page, err := os.ReadFile(filepath.Join(dir, "docs", name))
			if err != nil {
				t.Fatal(err)
			}
			return page
		}
		if abs, err := filepath.Abs(dir); err != nil || abs == filepath.Dir(abs) {
			t.Fatal("no go.mod above the test")
		}
	}
}

// Example returns the block of a page below the comment "example: NAME".
func Example(t testing.TB, page []byte, name string) []byte {
	t.Helper()
	m := regexp.MustCompile("(?s)<!-- example: " + regexp.QuoteMeta(name) + " -->\n```[a-z]+\n(.*?)```\n").FindSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no example %q", name)
	}
	return m[1]
}
