package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
)

// destination is a maintain.Destination: a tree of Trillian's, which storage may not name
// yet, and a database.
type destination struct {
	*servers
	flags  *migrateFlags
	stderr io.Writer
}

func openDestination(ctx context.Context, flags *migrateFlags, stderr io.Writer, logger *slog.Logger) (*destination, error) {
	db, err := postgres.Open(ctx, postgres.Config{URL: flags.stateURL, Logger: logger})
	if err != nil {
		return nil, err
	}
	return &destination{&servers{db: db, logger: logger}, flags, stderr}, nil
}

// Close implements maintain.Destination.
func (d *destination) Close() error {
	d.db.Close()
	return nil
}

// Log implements maintain.Destination.
func (d *destination) Log(ctx context.Context) (origin, storage string, arriving bool, err error) {
	if origin, storage, err = d.db.Log(ctx); err != nil {
		return "", "", false, err
	}
	storage, arriving = postgres.Arriving(storage)
	return origin, storage, arriving, nil
}

// ID implements maintain.Destination.
func (d *destination) ID(ctx context.Context) (string, error) { return d.db.ID(ctx) }

// Ledger implements maintain.Destination.
func (d *destination) Ledger(ctx context.Context) (log.LedgerRecord, error) {
	return d.db.Ledger(nil).Load(ctx)
}

// Find implements maintain.Destination. It takes the number of the tree from the name of a
// storage, if the URL has none.
func (d *destination) Find(name string) error {
	number, _ := strings.CutPrefix(name, "trillian tree ")
	u, err := url.Parse(d.flags.storageURL)
	if err != nil {
		return fmt.Errorf("--storage: %w", fetch.RedactError(err))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/" + number
		d.flags.storageURL = u.String()
	}
	if d.storage, err = trillianlog.ParseURL(d.flags.storageURL); err != nil {
		return err
	}
	if storageName(d.storage.TreeID) != name {
		return fmt.Errorf("the log is on its way to %s, not to tree %d", name, d.storage.TreeID)
	}
	return nil
}

// Create implements maintain.Destination.
func (d *destination) Create(ctx context.Context, origin string) (storage string, err error) {
	tree, err := d.flags.makeTree(ctx)
	if err != nil {
		return "", err
	}
	if d.storage, err = trillianlog.ParseURL(d.flags.storageURL); err != nil {
		return "", err
	}
	if err := checkTree(ctx, d.storage); err != nil {
		return "", err
	}
	return storageName(tree), d.db.CreateArriving(ctx, origin, storageName(tree))
}

// checkTree refuses a tree for a new database that has entries: they are another
// log's, or have their files in another database.
func checkTree(ctx context.Context, cfg trillianlog.Config) (err error) {
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	root, err := trillian.Root(ctx)
	if err == nil && root.N > 0 {
		err = fmt.Errorf("tree %d has %d entries already, and the database is empty: give a URL without a tree, and one is made", cfg.TreeID, root.N)
	}
	return err
}

// Database implements maintain.Destination.
func (d *destination) Database() string { return d.db.Where() }

// Where implements maintain.Destination.
func (d *destination) Where() string {
	return fmt.Sprintf("%s at %s, and the %s", storageName(d.storage.TreeID), d.storage.Target, d.db.Where())
}

// Take implements maintain.Destination.
func (d *destination) Take(ctx context.Context) (maintain.Arriving, error) {
	lease, err := takeLease(ctx, d.db)
	if err != nil {
		return nil, err
	}
	return &arriving{lease, d}, nil
}

// arriving is a maintain.Arriving.
type arriving struct {
	lease *postgres.Lease
	to    *destination
}

func (a *arriving) Context() context.Context { return a.lease.Context() }

func (a *arriving) Entries(ctx context.Context) (maintain.EntryStore, error) {
	cfg := a.to.storage
	cfg.Tiles, cfg.Until = a.to.db.Tiles(a.lease), a.lease.Until
	return trillianlog.Open(ctx, cfg)
}

func (a *arriving) Copied() log.Storage { return trillianlog.OpenReader(a.to.db.Tiles(nil)) }

func (a *arriving) Check(ctx context.Context, size int64) ([]string, error) {
	return a.to.checkTrillian(ctx, size, a.to.stderr)
}

func (a *arriving) Blobs() log.Blobs { return a.to.db.Blobs() }

func (a *arriving) State() log.StateWriter { return a.to.db.State(a.lease) }

func (a *arriving) Vendors(ctx context.Context, tokens []log.Token, held []log.Held, files func(id string) (file, snapshot []byte, err error)) error {
	return a.to.db.Holds(a.lease).Arrive(ctx, tokens, held, files)
}

func (a *arriving) Arrive(ctx context.Context, arrival maintain.Arrival) error {
	return a.to.db.Arrive(ctx, a.lease, storageName(a.to.storage.TreeID), arrival)
}

func (a *arriving) Release(ctx context.Context) { giveUp(ctx, a.lease, a.to.logger) }
