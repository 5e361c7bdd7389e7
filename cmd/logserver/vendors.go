package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// vendorStore is the part of a log that commands change while it is served: a server
// reads it anew.
type vendorStore struct {
	opened
	tokens log.Tokens
	holds  log.Holds
	state  log.State
	labels map[tuf.Digest]string
}

// openVendors opens it.
func openVendors(ctx context.Context, at place, on shared, stderr io.Writer) (_ *vendorStore, err error) {
	v := &vendorStore{}
	if v.labels, err = readLabels(at.labels()); err != nil {
		return nil, err
	}
	if v.opened, err = openPresent(ctx, at, on, stderr); err != nil {
		return nil, err
	}
	if v.tokens, v.holds, err = v.Vendors(); errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no log in %s: %w; logserver init makes a log", at.dir, err)
	}
	if err == nil {
		if v.state, err = v.State(); err != nil {
			err = fmt.Errorf("%w; logserver reindex makes a new one", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// repository reads the name of a repository: its id, or the operator's label.
func (v *vendorStore) repository(arg string) (tuf.Digest, error) {
	id, err := tuf.ParseRepository(arg)
	if err == nil {
		return id, nil
	}
	found := 0
	for labelled, label := range v.labels {
		if label == arg {
			id, found = labelled, found+1
		}
	}
	switch found {
	case 0:
		return id, fmt.Errorf("%q is neither a repository's 64 hex digits nor one of the labels", arg)
	case 1:
		return id, nil
	}
	return id, fmt.Errorf("%d repositories have the label %q: give the id", found, arg)
}

// knows reports whether the log has a repository.
func (v *vendorStore) knows(ctx context.Context, id tuf.Digest) (bool, error) {
	records, _, err := v.state.Tail(ctx, id, 1)
	return len(records) > 0, err
}

// name is a repository for people: its id, and the label if it has one.
func (v *vendorStore) name(id tuf.Digest) string {
	if label := v.labels[id]; label != "" {
		return fmt.Sprintf("%v %q", id, label)
	}
	return id.String()
}

// refuseTokensFile refuses the file that once had the tokens: those in it would silently
// count for nothing.
func refuseTokensFile(at place) error {
	path := filepath.Join(at.dir, "repository.tokens")
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s is not read any more: make each of these repositories a token with logserver token add, and remove the file", path)
	}
	return nil
}
