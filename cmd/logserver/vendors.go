package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/tuf"
)

// vendorStore is the part of a log that commands change while it is served: a server
// reads it anew.
type vendorStore struct {
	tokens log.Tokens
	holds  log.Holds
	state  interface { // of log.State
		Tail(ctx context.Context, repository tuf.Digest, keep int) ([]admit.Record, map[string]int64, error)
	}
	record  func(ctx context.Context, a maintain.Action) error
	labels  map[tuf.Digest]string
	closers []func() error
}

func (v *vendorStore) Close() error {
	var err error
	for i := len(v.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, v.closers[i]())
	}
	return err
}

// openVendors opens it in the log's directory or in its database.
func openVendors(ctx context.Context, at place, on shared, stderr io.Writer) (v *vendorStore, err error) {
	v = &vendorStore{}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	if v.labels, err = readLabels(at.labels()); err != nil {
		return v, err
	}
	if on.on() {
		c, err := on.connect(ctx, slog.New(slog.NewTextHandler(stderr, nil)))
		if err != nil {
			return v, err
		}
		db := c.db
		v.closers = append(v.closers, func() error { db.Close(); return nil })
		v.tokens, v.holds, v.state, v.record = db.Tokens(), db.Holds(nil), db.State(nil), db.AppendAction
		return v, nil
	}
	if err := at.moved(); err != nil {
		return v, err
	}
	blobs, err := sqlite.OpenBlobs(at.blobs())
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("no log in %s: %w; logserver init makes a log", at.dir, err)
	}
	if err != nil {
		return v, err
	}
	v.closers = append(v.closers, blobs.Close)
	state, err := sqlite.OpenState(at.state())
	if err != nil {
		return v, fmt.Errorf("%w; logserver reindex makes a new one", err)
	}
	v.closers = append(v.closers, state.Close)
	v.tokens, v.holds, v.state = blobs, blobs, state
	v.record = func(_ context.Context, a maintain.Action) error { return maintain.AppendAction(at.ledgerDir(), a) }
	return v, nil
}

// repository reads the name of a repository: its id, or the operator's label.
func (v *vendorStore) repository(arg string) (tuf.Digest, error) {
	id, err := tuf.ParseDigest(arg)
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

// refuseTokensFile refuses the file that once had the tokens: those in it would count
// for nothing, without a word.
func refuseTokensFile(at place) error {
	path := filepath.Join(at.dir, "repository.tokens")
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s is not read any more: make each of these repositories a token with logserver token add, and remove the file", path)
	}
	return nil
}
