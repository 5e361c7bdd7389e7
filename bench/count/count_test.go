package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A small module of which every figure is known.
var files = map[string]string{
	"go.mod": "module example.org/m\n\ngo 1.26\n",
	"a/a.go": `// Package a is the product.
package a

// T is exported, and t is not.
type (
	T[K any] struct{}
	t        struct{}
)

const (
	One, two = 1, 2
	Three    = 3
)

var V, v int

func F() {
}

func f() { _ = t{}; f() }

func (*T[K]) M() {
	// one
	// two
}

func (T[K]) m() {}

func (t) N() {}
`,
	"a/a_test.go":             "package a\n\nfunc Exported() {}\n",
	"a/testdata/x.go":         "package broken, which nobody reads\n",
	"a/internal/i/i.go":       "package i\n\nfunc I() {}\n",
	"bench/b/main.go":         "package main\n\nfunc main() {\n\n\n\n\n\n\n\n}\n",
	"benchmark/b.go":          "package benchmark\n",
	"cmd/demo/main.go":        "package main\n",
	"internal/vectorgen/v.go": "package main\n",
	"log/statetest/s.go":      "package statetest\n\nfunc S() {}\n",
	"only/only_test.go":       "package only\n",
}

func module(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCount(t *testing.T) {
	got, err := read(module(t))
	if err != nil {
		t.Fatal(err)
	}
	aLines := strings.Count(files["a/a.go"], "\n")
	for k, want := range map[kind][2]int{product: {aLines + 3 + 1, 3}, bench: {11 + 1 + 1, 3}, suite: {3, 1}, tests: {3 + 1, 2}} {
		if lines, packages := got.lines(k), got.count(k); lines != want[0] || packages != want[1] {
			t.Errorf("%v: %d lines in %d packages, want %v", k, lines, packages, want)
		}
	}
	byFolder := map[string]*pkg{}
	for _, p := range got.packages {
		byFolder[p.folder] = p
	}
	// T, One, Three, V, F and M.
	if a := byFolder["a"]; a.exported != 6 || a.testLines != 3 || !a.importable() {
		t.Errorf("a: %+v", a)
	}
	for _, folder := range []string{"a/internal/i", "bench/b", "log/statetest", "only"} {
		if byFolder[folder].importable() {
			t.Errorf("%s is for others to import", folder)
		}
	}

	all := got.functions(product)
	if len(all) != 6 || all[0] != (function{"(*T).M", "a/a.go", 4}) || all[1] != (function{"F", "a/a.go", 2}) {
		t.Errorf("functions %v", all)
	}
	if mean := average(all); mean != 10.0/6 || median(all) != 1 || average(nil) != 0 || median(nil) != 0 {
		t.Errorf("on average %v, median %d", mean, median(all))
	}
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	if err := run(&out, module(t), 1); err != nil {
		t.Fatal(err)
	}
	// Two constants in one line, variables in one, F, and T.
	for _, want := range []string{"4      (*T).M", "a/internal/i        product"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if n, err := docLines(filepath.Join(module(t), "a")); err != nil || n != 4 {
		t.Errorf("go doc -short has %d lines (%v), want 4", n, err)
	}
	if err := run(&out, t.TempDir(), 1); err == nil {
		t.Error("an empty folder is counted")
	}
}
