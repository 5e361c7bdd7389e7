package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// Until Arrive, a log that moves into a database is there under a storage name
// that no front end uses. So it cannot be served, and above all cannot be signed
// for with the empty ledger, before it is complete and signs nowhere else.
const arriving = " (not all of it)"

// CreateArriving creates a log in the database as Create does, but it cannot be
// served until Arrive.
func (db *DB) CreateArriving(ctx context.Context, origin, storage string) error {
	return db.Create(ctx, origin, storage+arriving)
}

// Arriving takes the storage that Log returns apart: into its name, and whether the
// log has not arrived yet.
func Arriving(storage string) (name string, yet bool) { return strings.CutSuffix(storage, arriving) }

// Arrive completes a log that CreateArriving has made: in one transaction it gets
// its ledger, its checkpoint and its past, and can be served. The log must not be
// able to sign anywhere else by now. The error is fs.ErrExist if it has arrived
// before.
func (db *DB) Arrive(ctx context.Context, l *Lease, storage string, a maintain.Arrival) error {
	err := db.arrive(ctx, l, storage, a)
	return wrap("hand over the log", err)
}

func (db *DB) arrive(ctx context.Context, l *Lease, storage string, a maintain.Arrival) error {
	record, err := a.Record.Marshal()
	if err != nil {
		return err
	}
	empty, err := log.LedgerRecord{Origin: a.Record.Origin, Edge: new(proofs.Edge)}.Marshal()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, l.Until())
	defer cancel()
	return db.inTx(ctx, l, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, "UPDATE log SET storage = $2 WHERE storage = $1 AND origin = $3", storage+arriving, storage, a.Record.Origin)
		if err == nil && done.RowsAffected() == 0 {
			return fmt.Errorf("no log %q waits for it in %s: %w", a.Record.Origin, storage, fs.ErrExist)
		}
		if err != nil {
			return err
		}
		if done, err = tx.Exec(ctx, "UPDATE ledger SET record = $2 WHERE record = $1", empty, record); err != nil {
			return err
		}
		if done.RowsAffected() == 0 {
			return log.ErrLedgerConflict
		}
		if a.Checkpoint != nil {
			if err := publish(ctx, tx, a.Checkpoint); err != nil {
				return err
			}
		}
		for _, action := range a.Actions {
			text, err := json.Marshal(action)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "INSERT INTO actions (action) VALUES ($1)", string(text)); err != nil {
				return err
			}
		}
		return nil
	})
}

// publish stores the first published checkpoint.
func publish(ctx context.Context, tx pgx.Tx, signed []byte) error {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return err
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return err
	}
	done, err := tx.Exec(ctx, "INSERT INTO checkpoint (size, note) VALUES ($1, $2) ON CONFLICT DO NOTHING", cp.Tree.N, signed)
	if err == nil && done.RowsAffected() == 0 {
		err = errors.New("a checkpoint is published already")
	}
	return err
}

// ID names the database permanently: another database for the same log has
// another ID. It is not secret.
func (db *DB) ID(ctx context.Context) (string, error) {
	secret, err := db.Secret(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte("name of the database with the secret " + secret))
	return hex.EncodeToString(sum[:16]), nil
}

// Where describes the database for people, without a password.
func (db *DB) Where() string {
	c := db.config.ConnConfig
	return fmt.Sprintf("PostgreSQL database %q at %s:%d", c.Database, c.Host, c.Port)
}
