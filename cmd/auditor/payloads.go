package main

import (
	"fmt"
	"io"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/tuf"
)

// checkPayloads says why two files of targets metadata by themselves prove nothing
// against their vendor, however they are signed. Its error is the verdict.
func checkPayloads(w io.Writer, paths []string) error {
	var files [2]*tuf.Metadata
	for i, path := range paths {
		b, err := cli.ReadAtMost(path, largestOf(path))
		if err != nil {
			return err
		}
		m, err := parseFile(path, b)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if m.Targets == nil {
			return fmt.Errorf("%s is %s metadata: only two files of targets metadata can be compared", path, m.Type)
		}
		files[i] = m
	}
	a, b := files[0], files[1]
	for i, m := range files {
		fmt.Fprintf(w, "%s: version %d, payload %v\n", paths[i], m.Version, m.PayloadDigest)
	}
	switch {
	case a.PayloadDigest == b.PayloadDigest:
		return cli.Failed(fmt.Errorf("both files have one payload: they are one release"))
	case a.Encoding != b.Encoding:
		return cli.Failed(fmt.Errorf("the files are %s and %s: no repository has both", a.Encoding, b.Encoding))
	case a.Version == b.Version && a.Encoding == tuf.Pigweed:
		return cli.Failed(fmt.Errorf("two payloads of version %d are not a proof by themselves: it takes the roots that say whose keys signed both. A log that has both says so in a leaf of evidence", a.Version))
	case a.Version != b.Version:
		return cli.Failed(fmt.Errorf("the files have versions %d and %d: these are two releases", a.Version, b.Version))
	}
	return cli.Failed(fmt.Errorf("two payloads of version %d are not a proof of equivocation: targets metadata does not name its role, and one key may serve two roles. "+
		"It takes two snapshots, signed by the repository's keys, that list both files by their hashes as one role's: a log that has both says so in a leaf of evidence", a.Version))
}
