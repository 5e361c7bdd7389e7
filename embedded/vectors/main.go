// Command vectors writes the cases that the verifier in embedded/ must pass: those of
// testdata/vectors that apply to it, and releases with their claims.
//
//	go run ./embedded/vectors > cases.bin
//	go run ./embedded/vectors -cuts 17 > fewer.bin
//
// A case of testdata/vectors applies if what it is about is part of a sidecar's check. Where a
// folder has less than a sidecar, the rest is made around it with keys of our own. Cases whose
// policy has more keys or groups than fit, or a quorum of keys of other types, do not apply.
// Standard error says how many of each folder do.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/tuflog/tuflog/embedded/cases"
)

func main() {
	cuts := flag.Int("cuts", 1, "bytes from one cut of a sidecar to the next")
	flag.Parse()
	if err := run(max(*cuts, 1)); err != nil {
		fmt.Fprintf(os.Stderr, "vectors: %v\n", err)
		os.Exit(1)
	}
}

func run(cuts int) error {
	all, err := cases.Scenes(cuts)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d cases of releases\n", len(all))
	edges, err := cases.Edges()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d cases at the edges of what is read\n", len(edges))
	all = append(all, edges...)
	vectors, report, err := cases.Vectors("testdata/vectors")
	if err != nil {
		return err
	}
	for _, line := range report {
		fmt.Fprintln(os.Stderr, line)
	}
	w := bufio.NewWriter(os.Stdout)
	for _, c := range append(all, vectors...) {
		_, err := w.Write(cases.Append(nil, c))
		if err != nil {
			return err
		}
	}
	return errors.Join(err, w.Flush())
}
