// Vectorgen writes the test vectors in testdata/vectors:
//
//	go run -C bench/vectors ./vectorgen
//
// Each case is one file, and each run writes the same files. What a case
// expects is said beside it in a table, or follows from how it is made: with
// signatures of the standard library and of filippo.io/mldsa, and with a slow
// Merkle tree of its own. Nothing here is the code that the vectors test.
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	out := flag.String("out", "../../testdata/vectors", "write the files to `DIR`, and remove others there that end in .json")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(*out, generate()); err != nil {
		fmt.Fprintln(os.Stderr, "vectorgen:", err)
		os.Exit(1)
	}
}

// generate makes all files, the README included.
func generate() []file {
	s := &suite{names: map[string]bool{}, count: map[string]int{}}
	s.notes()
	s.vkeys()
	s.verifyCases()
	s.checkpoints()
	s.policies()
	s.quorums()
	s.manyQuorums()
	s.witnessed()
	s.proofs()
	s.verify()
	s.inclusion()
	s.consistency()
	s.tilePaths()
	s.entries()
	s.edges()
	s.build()
	s.tileWidths()
	s.bundles()
	s.refresh()
	s.ecdsaVkeys()
	s.ecdsaSignatures()
	s.mldsaCases()
	return append(s.files, file{"README.md", readme(s.count)})
}

//go:embed README.md.in
var readmeText string

// readme fills the table of counts.
func readme(count map[string]int) []byte {
	var table strings.Builder
	total := 0
	table.WriteString("| folder | cases |\n|---|---|\n")
	for _, folder := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(&table, "| %s | %d |\n", folder, count[folder])
		total += count[folder]
	}
	fmt.Fprintf(&table, "\n%d cases in all.\n", total)
	return []byte(strings.Replace(readmeText, "COUNTS\n", table.String(), 1))
}

// write puts the files below dir and removes case files that are not among
// them.
func write(dir string, files []file) error {
	keep := map[string]bool{}
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.path))
		keep[path] = true
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.body) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.body, 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || keep[path] || !strings.HasSuffix(path, ".json") {
			return err
		}
		return os.Remove(path)
	})
}
