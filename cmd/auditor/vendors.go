package main

import (
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/labels"
	"github.com/tuflog/tuflog/tuf"
)

// vendorFlags say whose releases count.
type vendorFlags struct {
	repository string // an id, or a name in labels
	labels     string // a file
}

// read returns the repositories that count, with their names; none: all count.
func (v vendorFlags) read() (map[tuf.Digest]string, error) {
	names := map[tuf.Digest]string{}
	if v.labels != "" {
		text, err := cli.ReadAtMost(v.labels, labels.MaxSize)
		if err != nil {
			return nil, err
		}
		if names, err = labels.Parse(text); err != nil {
			return nil, fmt.Errorf("%s: %w", v.labels, err)
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("%s names no repository", v.labels)
		}
	}
	if v.repository == "" {
		return names, nil
	}
	if id, err := tuf.ParseDigest(strings.ToLower(v.repository)); err == nil {
		return map[tuf.Digest]string{id: names[id]}, nil
	}
	found := map[tuf.Digest]string{}
	for id, name := range names {
		if name == v.repository {
			found[id] = name
		}
	}
	switch {
	case len(found) == 0 && v.labels != "":
		return nil, fmt.Errorf("--repository %q: neither a repository's id, 64 hex digits, nor a name in %s", v.repository, v.labels)
	case len(found) == 0:
		return nil, fmt.Errorf("--repository %q: want a repository's id, 64 hex digits (auditor show lists them), or a name in --labels", v.repository)
	}
	return found, nil
}
