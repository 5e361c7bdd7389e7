package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// Tokens implements log.Tokens.
type Tokens struct{ db *DB }

// Tokens returns the tokens of repositories. They are changed by the front end that
// leads and by commands; each change is independent, so none needs the lease.
func (db *DB) Tokens() *Tokens { return &Tokens{db} }

// The number of changes is a row, which may be lost as any other: the tokens can be read
// without it, and the next change makes it anew, with a number that it never had before.
const (
	tokenChanges  = "SELECT coalesce((SELECT number FROM token_changes), -1)"
	tokensChanged = `INSERT INTO token_changes (number) SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
		ON CONFLICT (only_row) DO UPDATE SET number = token_changes.number + 1`
)

// TokenChanges implements log.Tokens.
func (t *Tokens) TokenChanges(ctx context.Context) (n int64, err error) {
	err = t.db.read(ctx, func(ctx context.Context) error {
		return t.db.pool.QueryRow(ctx, tokenChanges).Scan(&n)
	})
	return n, wrap("read the tokens", err)
}

// Tokens implements log.Tokens.
func (t *Tokens) Tokens(ctx context.Context) (list []log.Token, changes int64, err error) {
	err = t.db.read(ctx, func(ctx context.Context) error {
		// The number first: what changes in between is read again.
		if err := t.db.pool.QueryRow(ctx, tokenChanges).Scan(&changes); err != nil {
			return err
		}
		rows, err := t.db.pool.Query(ctx, "SELECT repository, hash, made, by FROM tokens ORDER BY repository, made, hash")
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (token log.Token, err error) {
			var repository, hash []byte
			err = row.Scan(&repository, &hash, &token.Made, &token.By)
			copy(token.Repository[:], repository)
			copy(token.Hash[:], hash)
			token.Made = token.Made.UTC()
			return token, err
		})
		return err
	})
	return list, changes, wrap("read the tokens", err)
}

// AddToken implements log.Tokens.
func (t *Tokens) AddToken(ctx context.Context, token log.Token) (bool, error) {
	return t.change(ctx, "INSERT INTO tokens VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", token.Repository[:], token.Hash[:], token.Made, token.By)
}

// RemoveToken implements log.Tokens.
func (t *Tokens) RemoveToken(ctx context.Context, repository, hash tuf.Digest) (bool, error) {
	return t.change(ctx, "DELETE FROM tokens WHERE repository = $1 AND hash = $2", repository[:], hash[:])
}

func (t *Tokens) change(ctx context.Context, statement string, args ...any) (changed bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = t.db.inTx(ctx, nil, func(tx pgx.Tx) error {
		if changed, err = one(tx.Exec(ctx, statement, args...)); err != nil || !changed {
			return err
		}
		_, err := tx.Exec(ctx, tokensChanged)
		return err
	})
	return changed, wrap("change the tokens", err)
}

// one reports whether a statement has changed a row.
func one(done pgconn.CommandTag, err error) (bool, error) { return done.RowsAffected() > 0, err }

// Holds implements log.Holds.
type Holds struct {
	db    *DB
	lease *Lease
}

// Holds returns the held files. With a lease nothing is written once another front
// end leads. Commands, which release and drop, do not need one: each of their changes
// is one independent statement.
func (db *DB) Holds(l *Lease) *Holds { return &Holds{db, l} }

const heldColumns = "id, repository, role, version, name, kind, source, size, since, until, ended, status, leaf, code, detail"

// Hold implements log.Holds.
func (h *Holds) Hold(ctx context.Context, held log.Held, file, snapshot []byte, room log.HoldRoom) (kept log.Held, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = h.db.inTx(ctx, h.lease, func(tx pgx.Tx) error {
		// One after the other, or two could take the same room.
		if _, err := tx.Exec(ctx, "LOCK TABLE held_files IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		list, err := readHeld(tx.Query(ctx, "SELECT "+heldColumns+" FROM held WHERE id = $1 AND ended IS NULL", held.ID))
		if err != nil || len(list) == 1 {
			if err == nil {
				kept = list[0]
			}
			return err
		}
		var have log.HoldUse
		if err := tx.QueryRow(ctx, `SELECT
			count(*) FILTER (WHERE repository = $1), coalesce(sum(size) FILTER (WHERE repository = $1), 0)::bigint,
			count(*) FILTER (WHERE repository = $1 AND source = $2), coalesce(sum(size) FILTER (WHERE repository = $1 AND source = $2), 0)::bigint,
			count(*), coalesce(sum(size), 0)::bigint,
			count(*) FILTER (WHERE source = $2), coalesce(sum(size) FILTER (WHERE source = $2), 0)::bigint
			FROM held WHERE ended IS NULL`, held.Repository[:], held.Source).
			Scan(&have.Files, &have.Bytes, &have.SourceFiles, &have.SourceBytes, &have.AllFiles, &have.AllBytes, &have.AllSourceFiles, &have.AllSourceBytes); err != nil {
			return err
		}
		if err := room.Check(have, held.Size); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM held WHERE id = $1", held.ID); err != nil {
			return err
		}
		kept = held
		return insertHeld(ctx, tx, held, file, snapshot)
	})
	if errors.Is(err, log.ErrHoldFull) || errors.Is(err, log.ErrHoldShare) {
		return kept, err
	}
	return kept, wrap("hold a file", err)
}

func insertHeld(ctx context.Context, tx pgx.Tx, h log.Held, file, snapshot []byte) error {
	if _, err := tx.Exec(ctx, "INSERT INTO held (id, repository, role, version, name, kind, source, size, since, until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		h.ID, h.Repository[:], []byte(h.Role), h.Version, []byte(h.Name), string(h.Kind), h.Source, h.Size, h.Since.UnixMilli(), h.Until.UnixMilli()); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO held_files VALUES ($1, $2, $3)", h.ID, file, snapshot)
	return err
}

// Held implements log.Holds.
func (h *Holds) Held(ctx context.Context, id string) (log.Held, error) {
	list, err := h.list(ctx, "held WHERE id = $1", id)
	if err == nil && len(list) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return log.Held{}, wrap("held file "+id, err)
	}
	return list[0], nil
}

// HeldFiles implements log.Holds.
func (h *Holds) HeldFiles(ctx context.Context, id string) (file, snapshot []byte, err error) {
	err = h.db.read(ctx, func(ctx context.Context) error {
		return h.db.pool.QueryRow(ctx, "SELECT file, snapshot FROM held_files WHERE id = $1", id).Scan(&file, &snapshot)
	})
	return file, snapshot, wrap("held file "+id, err)
}

// ListHeld implements log.Holds.
func (h *Holds) ListHeld(ctx context.Context) ([]log.Held, error) {
	list, err := h.list(ctx, "held WHERE ended IS NULL ORDER BY until, id")
	return list, wrap("list held files", err)
}

// DueHolds implements log.Holds.
func (h *Holds) DueHolds(ctx context.Context, now time.Time, limit int) ([]log.Held, error) {
	list, err := h.list(ctx, `(
			SELECT *, row_number() OVER (PARTITION BY source ORDER BY until, id) AS place FROM held WHERE ended IS NULL AND until <= $1
		) AS due ORDER BY place, until, id LIMIT $2`, now.UnixMilli(), limit)
	return list, wrap("list held files", err)
}

func (h *Holds) list(ctx context.Context, from string, args ...any) (list []log.Held, err error) {
	err = h.db.read(ctx, func(ctx context.Context) error {
		list, err = readHeld(h.db.pool.Query(ctx, "SELECT "+heldColumns+" FROM "+from, args...))
		return err
	})
	return list, err
}

// EndHolds implements log.Holds.
func (h *Holds) EndHolds(ctx context.Context, repository tuf.Digest, role string, version int64, now time.Time) error {
	_, err := h.update(ctx, "UPDATE held SET until = $1 WHERE repository = $2 AND role = $3 AND version = $4 AND ended IS NULL AND until > $1", now.UnixMilli(), repository[:], []byte(role), version)
	return wrap("end the hold of files", err)
}

// ReleaseHold implements log.Holds.
func (h *Holds) ReleaseHold(ctx context.Context, id string, now time.Time) (bool, error) {
	ok, err := h.update(ctx, "UPDATE held SET until = least(until, $1) WHERE id = $2 AND ended IS NULL", now.UnixMilli(), id)
	return ok, wrap("release held file "+id, err)
}

// SettleHold implements log.Holds.
func (h *Holds) SettleHold(ctx context.Context, id string, o log.Outcome, now time.Time) (bool, error) {
	ok, err := h.update(ctx, `WITH settled AS (
			UPDATE held SET ended = $1, status = $2, leaf = $3, code = $4, detail = $5 WHERE id = $6 AND ended IS NULL RETURNING id)
		DELETE FROM held_files WHERE id IN (SELECT id FROM settled)`, now.UnixMilli(), string(o.Status), o.Index, o.Code, []byte(o.Detail), id)
	if err == nil && !ok && o.Index >= 0 {
		_, err = h.update(ctx, "UPDATE held SET ended = $1, status = $2, leaf = $3, code = $4, detail = $5 WHERE id = $6 AND leaf < 0",
			now.UnixMilli(), string(o.Status), o.Index, o.Code, []byte(o.Detail), id)
	}
	return ok, wrap("settle held file "+id, err)
}

// ForgetHolds implements log.Holds.
func (h *Holds) ForgetHolds(ctx context.Context, before time.Time) error {
	_, err := h.update(ctx, "DELETE FROM held WHERE ended < $1", before.UnixMilli())
	return wrap("forget held files", err)
}

// update runs a statement that changes rows.
func (h *Holds) update(ctx context.Context, statement string, args ...any) (changed bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = h.db.inTx(ctx, h.lease, func(tx pgx.Tx) error {
		changed, err = one(tx.Exec(ctx, statement, args...))
		return err
	})
	return changed, err
}

// Arrive stores the tokens and the held files of a log that is moved here. It
// removes those that are there already, which are from an interrupted attempt.
func (h *Holds) Arrive(ctx context.Context, tokens []log.Token, held []log.Held, files func(id string) (file, snapshot []byte, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, migrating)
	defer cancel()
	err := h.db.inTx(ctx, h.lease, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM tokens"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM held"); err != nil {
			return err
		}
		for _, t := range tokens {
			if _, err := tx.Exec(ctx, "INSERT INTO tokens VALUES ($1, $2, $3, $4)", t.Repository[:], t.Hash[:], t.Made, t.By); err != nil {
				return err
			}
		}
		for _, one := range held {
			file, snapshot, err := files(one.ID)
			if err != nil {
				return err
			}
			if err := insertHeld(ctx, tx, one, file, snapshot); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, tokensChanged)
		return err
	})
	return wrap("take over tokens and held files", err)
}

// readHeld reads rows of heldColumns.
func readHeld(rows pgx.Rows, err error) ([]log.Held, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h log.Held, err error) {
		var repository, role, name, detail []byte
		var kind, status string
		var since, until int64
		var ended *int64
		if err := row.Scan(&h.ID, &repository, &role, &h.Version, &name, &kind, &h.Source, &h.Size, &since, &until, &ended, &status, &h.Outcome.Index, &h.Outcome.Code, &detail); err != nil {
			return h, fmt.Errorf("a held file: %w", err)
		}
		copy(h.Repository[:], repository)
		h.Role, h.Name, h.Kind = string(role), string(name), leaf.Kind(kind)
		h.Since, h.Until = time.UnixMilli(since).UTC(), time.UnixMilli(until).UTC()
		h.Outcome.Status, h.Outcome.Detail = api.Status(status), string(detail)
		if ended != nil {
			h.Ended = time.UnixMilli(*ended).UTC()
		}
		return h, nil
	})
}
