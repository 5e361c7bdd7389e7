package serverlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
)

// MakeTree makes a tree at a log server if the storage's URL names none, and returns the URL
// with the tree.
func MakeTree(ctx context.Context, storage string) (complete string, err error) {
	u, err := url.Parse(storage)
	if err != nil {
		return "", fmt.Errorf("--storage: %w", fetch.RedactError(err))
	}
	if u.Path != "" && u.Path != "/" {
		_, err := trillianlog.ParseURL(storage)
		return storage, err
	}
	u.Path = "/1" // any tree will do to read the rest
	cfg, err := trillianlog.ParseURL(u.String())
	if err != nil {
		return "", err
	}
	tree, err := trillianlog.CreateTree(ctx, cfg.Target, cfg.TLS)
	if err != nil {
		return "", err
	}
	u.Path = "/" + strconv.FormatInt(tree, 10)
	return u.String(), nil
}

// emptyTree makes a tree like MakeTree, and refuses one for a new database that has entries:
// they are another log's, or have their files in another database.
func emptyTree(ctx context.Context, storage string) (complete string, cfg trillianlog.Config, err error) {
	if complete, err = MakeTree(ctx, storage); err != nil {
		return "", cfg, err
	}
	if cfg, err = trillianlog.ParseURL(complete); err != nil {
		return "", cfg, err
	}
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return "", cfg, err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	root, err := trillian.Root(ctx)
	if err == nil && root.N > 0 {
		err = fmt.Errorf("tree %d has %d entries already, and the database is empty: give a URL without a tree, and one is made", cfg.TreeID, root.N)
	}
	return complete, cfg, err
}

// Create makes a log on servers where there is none, in a tree that it makes if the storage's
// URL names none; at gets the URL with the tree. prepare is called before the last step: until
// it is done nothing can be served.
func Create(ctx context.Context, at *Servers, origin string, prepare func() error) error {
	db, err := postgres.Open(ctx, postgres.Config{URL: at.State})
	if err != nil {
		return err
	}
	defer db.Close()
	switch origin, _, err := db.Log(ctx); {
	case err == nil:
		return fmt.Errorf("the database has log %q already", origin)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	storage, cfg, err := emptyTree(ctx, at.Storage)
	if err != nil {
		return err
	}
	at.Storage = storage
	if err := prepare(); err != nil {
		return err
	}
	return db.Create(ctx, origin, nameOf(cfg.TreeID))
}

// hasTree reports whether a storage's URL names a tree.
func hasTree(storage string) (bool, error) {
	if server, err := withoutTree(storage); err == nil && server == storage {
		return false, nil
	}
	_, err := trillianlog.ParseURL(storage)
	return err == nil, err
}

// withoutTree cuts the tree off a storage's URL.
func withoutTree(storage string) (string, error) {
	u, err := url.Parse(storage)
	if err != nil {
		return "", fmt.Errorf("--storage: %w", fetch.RedactError(err))
	}
	u.Path = ""
	return u.String(), nil
}
