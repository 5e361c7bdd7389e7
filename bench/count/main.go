// Command count measures the tree: lines of the product, of the proving ground, of
// suites and of tests, what each package exports, and which functions are longest.
//
//	go run ./bench/count [-longest N] [FOLDER]
//
// Lines are those of Go files with their comments, as wc -l counts them. A function is
// as long as its lines from func to the closing brace. Exported names are functions,
// types, constants, variables, and methods of exported types.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/internal/printable"
)

func main() {
	longest := flag.Int("longest", 10, "print the `N` longest functions of the product")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "count [-longest N] [FOLDER]: measures the Go files below FOLDER, by default this one\n\nExample: go run ./bench/count -longest 20\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 1 || *longest < 0 {
		flag.Usage()
		os.Exit(2)
	}
	root := "."
	if flag.NArg() == 1 {
		root = flag.Arg(0)
	}
	if err := run(os.Stdout, root, *longest); err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		os.Exit(2)
	}
}

func run(w io.Writer, root string, longest int) error {
	t, err := read(root)
	if err != nil {
		return err
	}
	if len(t.packages) == 0 {
		return fmt.Errorf("no Go files below %s", root)
	}
	for _, p := range t.packages {
		if !p.importable() {
			continue
		}
		if p.docLines, err = docLines(filepath.Join(root, filepath.FromSlash(p.folder))); err != nil {
			return err
		}
	}
	return t.print(w, longest)
}

func (t *tree) print(w io.Writer, longest int) error {
	fmt.Fprintf(w, "Lines of Go by what they are for\n\n")
	table := printable.NewTable(w, "KIND", "LINES", "PACKAGES")
	for k := product; k <= tests; k++ {
		table.Row(k, t.lines(k), t.count(k))
	}
	table.Row("all", t.lines(product)+t.lines(bench)+t.lines(suite)+t.lines(tests), len(t.packages))
	if err := table.Flush(); err != nil {
		return err
	}

	lengths := t.functions(product)
	fmt.Fprintf(w, "\n%d functions of the product: %.1f lines on average, %d in the median\n\n", len(lengths), average(lengths), median(lengths))
	table = printable.NewTable(w, "LINES", "LONGEST FUNCTIONS", "IN")
	for _, f := range lengths[:min(longest, len(lengths))] {
		table.Row(f.lines, f.name, f.file)
	}
	if err := table.Flush(); err != nil {
		return err
	}

	fmt.Fprintf(w, "\nPackages; DOC is the lines of go doc -short, of those that others may import\n\n")
	table = printable.NewTable(w, "PACKAGE", "KIND", "LINES", "TESTS", "EXPORTED", "DOC", "LONGEST")
	for _, p := range t.packages {
		exported, doc := "", ""
		if p.name != "main" {
			exported = fmt.Sprint(p.exported)
		}
		if p.importable() {
			doc = fmt.Sprint(p.docLines)
		}
		long := 0
		for _, f := range p.functions {
			long = max(long, f.lines)
		}
		table.Row(p.folder, p.kind, p.lines, p.testLines, exported, doc, long)
	}
	return table.Flush()
}
