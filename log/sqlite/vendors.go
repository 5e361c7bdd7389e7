package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"time"

	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// The number of changes is a row, which may be lost as any other: the tokens can be read
// without it, and the next change makes it anew, with a number that it never had before.
const tokenChanges = "SELECT coalesce((SELECT number FROM token_changes), -1)"

// TokenChanges implements log.Tokens.
func (b *Blobs) TokenChanges(ctx context.Context) (n int64, err error) {
	err = b.db.QueryRowContext(ctx, tokenChanges).Scan(&n)
	return n, wrapped("read the tokens", err)
}

// Tokens implements log.Tokens.
func (b *Blobs) Tokens(ctx context.Context) (list []log.Token, changes int64, err error) {
	err = sqlitefile.InTx(ctx, b.db, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, tokenChanges).Scan(&changes); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, "SELECT repository, hash, made, by FROM tokens ORDER BY repository, made, hash")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t log.Token
			var repository, hash []byte
			var made int64
			if err := rows.Scan(&repository, &hash, &made, &t.By); err != nil {
				return err
			}
			copy(t.Repository[:], repository)
			copy(t.Hash[:], hash)
			t.Made = at(made)
			list = append(list, t)
		}
		return rows.Err()
	})
	return list, changes, wrapped("read the tokens", err)
}

// AddToken implements log.Tokens.
func (b *Blobs) AddToken(ctx context.Context, t log.Token) (bool, error) {
	return b.changeTokens(ctx, "INSERT INTO tokens VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", t.Repository[:], t.Hash[:], t.Made.UnixMilli(), t.By)
}

// RemoveToken implements log.Tokens.
func (b *Blobs) RemoveToken(ctx context.Context, repository, hash tuf.Digest) (bool, error) {
	return b.changeTokens(ctx, "DELETE FROM tokens WHERE repository = ? AND hash = ?", repository[:], hash[:])
}

func (b *Blobs) changeTokens(ctx context.Context, statement string, args ...any) (changed bool, err error) {
	err = sqlitefile.InTx(ctx, b.db, func(tx *sql.Tx) error {
		var err error
		if changed, err = changes(tx.ExecContext(ctx, statement, args...)); err != nil || !changed {
			return err
		}
		if raised, err := changes(tx.ExecContext(ctx, "UPDATE token_changes SET number = number + 1")); err != nil || raised {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO token_changes VALUES (?)", time.Now().UnixMicro())
		return err
	})
	return changed, wrapped("change the tokens", err)
}

// changes reports whether a statement has changed a row.
func changes(done sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

const heldColumns = "id, repository, role, version, name, kind, source, size, since, until, ended, status, leaf, code, detail"

// Hold implements log.Holds.
func (b *Blobs) Hold(ctx context.Context, h log.Held, file, snapshot []byte, room log.HoldRoom) (kept log.Held, err error) {
	err = sqlitefile.InTx(ctx, b.db, func(tx *sql.Tx) error {
		list, err := readHeld(tx.QueryContext(ctx, "SELECT "+heldColumns+" FROM held WHERE id = ? AND ended = 0", h.ID))
		if err != nil || len(list) == 1 {
			if err == nil {
				kept = list[0]
			}
			return err
		}
		var have log.HoldUse
		err = tx.QueryRowContext(ctx, `SELECT
			count(*) FILTER (WHERE repository = ?1), coalesce(sum(size) FILTER (WHERE repository = ?1), 0),
			count(*) FILTER (WHERE repository = ?1 AND source = ?2), coalesce(sum(size) FILTER (WHERE repository = ?1 AND source = ?2), 0),
			count(*), coalesce(sum(size), 0),
			count(*) FILTER (WHERE source = ?2), coalesce(sum(size) FILTER (WHERE source = ?2), 0)
			FROM held WHERE ended = 0`, h.Repository[:], h.Source).
			Scan(&have.Files, &have.Bytes, &have.SourceFiles, &have.SourceBytes, &have.AllFiles, &have.AllBytes, &have.AllSourceFiles, &have.AllSourceBytes)
		if err == nil {
			err = room.Check(have, h.Size)
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO held ("+heldColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', -1, '', '')",
			h.ID, h.Repository[:], []byte(h.Role), h.Version, []byte(h.Name), string(h.Kind), h.Source, h.Size, h.Since.UnixMilli(), h.Until.UnixMilli()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO held_files VALUES (?, ?, ?)", h.ID, file, snapshot)
		kept = h
		return err
	})
	return kept, wrapped("hold a file", err)
}

// Held implements log.Holds.
func (b *Blobs) Held(ctx context.Context, id string) (log.Held, error) {
	list, err := readHeld(b.db.QueryContext(ctx, "SELECT "+heldColumns+" FROM held WHERE id = ?", id))
	if err == nil && len(list) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return log.Held{}, wrapped("held file "+id, err)
	}
	return list[0], nil
}

// HeldFiles implements log.Holds.
func (b *Blobs) HeldFiles(ctx context.Context, id string) (file, snapshot []byte, err error) {
	err = b.db.QueryRowContext(ctx, "SELECT file, snapshot FROM held_files WHERE id = ?", id).Scan(&file, &snapshot)
	return file, snapshot, wrapped("held file "+id, err)
}

// ListHeld implements log.Holds.
func (b *Blobs) ListHeld(ctx context.Context) ([]log.Held, error) {
	list, err := readHeld(b.db.QueryContext(ctx, "SELECT "+heldColumns+" FROM held WHERE ended = 0 ORDER BY until, id"))
	return list, wrapped("list held files", err)
}

// DueHolds implements log.Holds.
func (b *Blobs) DueHolds(ctx context.Context, now time.Time, limit int) ([]log.Held, error) {
	list, err := readHeld(b.db.QueryContext(ctx, `SELECT `+heldColumns+` FROM (
			SELECT *, row_number() OVER (PARTITION BY source ORDER BY until, id) AS place FROM held WHERE ended = 0 AND until <= ?
		) ORDER BY place, until, id LIMIT ?`, now.UnixMilli(), limit))
	return list, wrapped("list held files", err)
}

// EndHolds implements log.Holds.
func (b *Blobs) EndHolds(ctx context.Context, repository tuf.Digest, role string, version int64, now time.Time) error {
	_, err := b.db.ExecContext(ctx, "UPDATE held SET until = ?1 WHERE repository = ?2 AND role = ?3 AND version = ?4 AND ended = 0 AND until > ?1", now.UnixMilli(), repository[:], []byte(role), version)
	return wrapped("end the hold of files", err)
}

// ReleaseHold implements log.Holds.
func (b *Blobs) ReleaseHold(ctx context.Context, id string, now time.Time) (bool, error) {
	ok, err := changes(b.db.ExecContext(ctx, "UPDATE held SET until = min(until, ?) WHERE id = ? AND ended = 0", now.UnixMilli(), id))
	return ok, wrapped("release held file "+id, err)
}

// SettleHold implements log.Holds.
func (b *Blobs) SettleHold(ctx context.Context, id string, o log.Outcome, now time.Time) (ok bool, err error) {
	err = sqlitefile.InTx(ctx, b.db, func(tx *sql.Tx) error {
		const settle = "UPDATE held SET ended = ?1, status = ?2, leaf = ?3, code = ?4, detail = ?5 WHERE id = ?6 AND "
		args := []any{now.UnixMilli(), string(o.Status), o.Index, o.Code, []byte(o.Detail), id}
		ok, err = changes(tx.ExecContext(ctx, settle+"ended = 0", args...))
		if err == nil && !ok {
			_, err = tx.ExecContext(ctx, settle+"?3 >= 0 AND leaf < 0", args...)
		}
		if err != nil || !ok {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM held_files WHERE id = ?", id)
		return err
	})
	return ok, wrapped("settle held file "+id, err)
}

// ForgetHolds implements log.Holds.
func (b *Blobs) ForgetHolds(ctx context.Context, before time.Time) error {
	_, err := b.db.ExecContext(ctx, "DELETE FROM held WHERE ended > 0 AND ended < ?", before.UnixMilli())
	return wrapped("forget held files", err)
}

// readHeld reads rows of heldColumns, and closes them.
func readHeld(rows *sql.Rows, err error) (list []log.Held, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h log.Held
		var repository, role, name, detail []byte
		var kind, status string
		var since, until, ended int64
		if err := rows.Scan(&h.ID, &repository, &role, &h.Version, &name, &kind, &h.Source, &h.Size, &since, &until, &ended, &status, &h.Outcome.Index, &h.Outcome.Code, &detail); err != nil {
			return nil, err
		}
		copy(h.Repository[:], repository)
		h.Role, h.Name, h.Kind = string(role), string(name), leaf.Kind(kind)
		h.Since, h.Until = at(since), at(until)
		h.Outcome.Status, h.Outcome.Detail = api.Status(status), string(detail)
		if ended > 0 {
			h.Ended = at(ended)
		}
		list = append(list, h)
	}
	return list, rows.Err()
}

func at(milli int64) time.Time { return time.UnixMilli(milli).UTC() }

// wrapped says what failed.
func wrapped(what string, err error) error {
	switch err {
	case nil, log.ErrHoldFull, log.ErrHoldShare:
		return err
	case sql.ErrNoRows:
		err = fs.ErrNotExist
	}
	return fmt.Errorf("%s: %w", what, err)
}
