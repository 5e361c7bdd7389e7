package serverlog

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
)

// Destination is a maintain.Destination: a tree of Trillian's, which the storage's URL may not
// name yet, and a database.
type Destination struct {
	log   Log
	at    *Servers
	watch maintain.Watch
}

// Arrive opens servers to which a log is moved. When the tree is known, at gets the URL with
// the tree.
func Arrive(ctx context.Context, at *Servers, watch maintain.Watch, logger *slog.Logger) (*Destination, error) {
	db, err := postgres.Open(ctx, postgres.Config{URL: at.State, Logger: logger})
	if err != nil {
		return nil, err
	}
	return &Destination{log: Log{db: db, logger: logger}, at: at, watch: watch}, nil
}

// Close implements maintain.Destination.
func (d *Destination) Close() error {
	d.log.db.Close()
	return nil
}

// Log implements maintain.Destination.
func (d *Destination) Log(ctx context.Context) (origin, storage string, arriving bool, err error) {
	if origin, storage, err = d.log.db.Log(ctx); err != nil {
		return "", "", false, err
	}
	storage, arriving = postgres.Arriving(storage)
	return origin, storage, arriving, nil
}

// ID implements maintain.Destination.
func (d *Destination) ID(ctx context.Context) (string, error) { return d.log.db.ID(ctx) }

// Ledger implements maintain.Destination.
func (d *Destination) Ledger(ctx context.Context) (log.LedgerRecord, error) {
	return d.log.db.Ledger(nil).Load(ctx)
}

// Find implements maintain.Destination. It takes the number of the tree from the name of a
// storage, if the URL has none.
func (d *Destination) Find(name string) error {
	number, _ := strings.CutPrefix(name, "trillian tree ")
	u, err := url.Parse(d.at.Storage)
	if err != nil {
		return fmt.Errorf("--storage: %w", fetch.RedactError(err))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/" + number
		d.at.Storage = u.String()
	}
	if d.log.storage, err = trillianlog.ParseURL(d.at.Storage); err != nil {
		return err
	}
	if nameOf(d.log.storage.TreeID) != name {
		return fmt.Errorf("the log is on its way to %s, not to tree %d", name, d.log.storage.TreeID)
	}
	return nil
}

// Create implements maintain.Destination.
func (d *Destination) Create(ctx context.Context, origin string) (storage string, err error) {
	if d.at.Storage, d.log.storage, err = emptyTree(ctx, d.at.Storage); err != nil {
		return "", err
	}
	name := nameOf(d.log.storage.TreeID)
	return name, d.log.db.CreateArriving(ctx, origin, name)
}

// Database implements maintain.Destination.
func (d *Destination) Database() string { return d.log.db.Where() }

// Where implements maintain.Destination.
func (d *Destination) Where() string {
	return fmt.Sprintf("%s at %s, and the %s", nameOf(d.log.storage.TreeID), d.log.storage.Target, d.log.db.Where())
}

// Take implements maintain.Destination.
func (d *Destination) Take(ctx context.Context) (maintain.Arriving, error) {
	lease, err := takeLease(ctx, d.log.db)
	if err != nil {
		return nil, err
	}
	return &arriving{lease, d}, nil
}

// arriving is a maintain.Arriving.
type arriving struct {
	lease *postgres.Lease
	to    *Destination
}

func (a *arriving) Context() context.Context { return a.lease.Context() }

func (a *arriving) Entries(ctx context.Context) (maintain.EntryStore, error) {
	cfg := a.to.log.storage
	cfg.Tiles, cfg.Until = a.to.log.db.Tiles(a.lease), a.lease.Until
	return trillianlog.Open(ctx, cfg)
}

func (a *arriving) Copied() log.Storage { return trillianlog.OpenReader(a.to.log.db.Tiles(nil)) }

func (a *arriving) Check(ctx context.Context, size int64) ([]string, error) {
	return a.to.log.Beneath(ctx, size, a.to.watch)
}

func (a *arriving) Blobs() log.Blobs { return a.to.log.db.Blobs() }

func (a *arriving) State() log.StateWriter { return a.to.log.db.State(a.lease) }

func (a *arriving) Vendors(ctx context.Context, tokens []log.Token, held []log.Held, files func(id string) (file, snapshot []byte, err error)) error {
	return a.to.log.db.Holds(a.lease).Arrive(ctx, tokens, held, files)
}

func (a *arriving) Arrive(ctx context.Context, arrival maintain.Arrival) error {
	return a.to.log.db.Arrive(ctx, a.lease, nameOf(a.to.log.storage.TreeID), arrival)
}

func (a *arriving) Release(ctx context.Context) { giveUp(ctx, a.lease, a.to.log.logger) }
