package state

import (
	"context"
	"strings"
)

// This file is about rows that are not written at once: those of what releases list. They
// wait until there are some, until something is read or written otherwise, or until a
// Commit. Most of what a release lists anew it lists instead of something else, so that
// rows have an end soon: one that waits has it when it is written, and is not written again.

// maxBehind is how many rows of a table may wait. When they are written, everything else
// waits for them.
const maxBehind = 1024

// behind are rows of a table that are yet to be written.
type behind struct {
	insert  string
	columns int
	values  []any
	written int64 // rows before those that wait
}

func newBehind(table string, columns ...string) behind {
	return behind{columns: len(columns), insert: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"}
}

// waiting are the rows that wait for the transaction.
type waiting struct{ targets, keys behind }

func newWaiting() waiting {
	return waiting{
		newBehind("targets", "role", "number", "first", "last", "evidence", "path", "length", "sha256", "sha512"),
		newBehind("keys", "role", "number", "first", "last", "evidence", "id", "identity", "signs", "more"),
	}
}

// lastColumn is where both have the last leaf.
const lastColumn = 3

func (w *waiting) any() bool { return len(w.targets.values)+len(w.keys.values) > 0 }

func (w *waiting) drop() {
	w.targets.drop()
	w.keys.drop()
}

// add adds a row, and returns its number among all that have been added.
func (b *behind) add(ctx context.Context, db *DB, values ...any) (int64, error) {
	if len(b.values) >= maxBehind*b.columns {
		if err := b.write(ctx, db); err != nil {
			return 0, err
		}
	}
	at := b.written + int64(len(b.values)/b.columns)
	b.values = append(b.values, values...)
	return at, nil
}

// row returns the values of a row that is yet to be written; nil: it has been.
func (b *behind) row(number int64) []any {
	if number < b.written {
		return nil
	}
	at := int(number-b.written) * b.columns
	return b.values[at : at+b.columns]
}

// drop drops the rows that wait.
func (b *behind) drop() {
	b.written += int64(len(b.values) / b.columns)
	clear(b.values)
	b.values = b.values[:0]
}

// write writes the rows that wait.
func (b *behind) write(ctx context.Context, db *DB) error {
	for rest := b.values; len(rest) > 0; rest = rest[b.columns:] {
		if _, err := db.writeNow(ctx, b.insert, rest[:b.columns]...); err != nil {
			return err
		}
	}
	b.drop()
	return nil
}

// flush writes all rows that wait.
func (db *DB) flush(ctx context.Context) error {
	for _, b := range []*behind{&db.waiting.targets, &db.waiting.keys} {
		if err := b.write(ctx, db); err != nil {
			return err
		}
	}
	return nil
}
