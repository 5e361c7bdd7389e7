package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/targetrows"
)

// role is what List remembers of a role. Rows of the table targets are found by
// their number.
type role = targetrows.Role[int64]

// List implements log.StateWriter.
func (s *State) List(ctx context.Context, leaves []log.StateLeaf, done func(listed int64)) error {
	listing := targetrows.Listing[int64]{Leaves: leaves}
	for len(listing.Leaves) > 0 {
		listed, err := s.listSome(ctx, &listing)
		if err != nil {
			return fmt.Errorf("list in the state: %w", err)
		}
		done(listed)
	}
	return nil
}

// listSome lists what one transaction may hold.
func (s *State) listSome(ctx context.Context, listing *targetrows.Listing[int64]) (listed int64, err error) {
	s.applying.Lock()
	defer s.applying.Unlock()
	err = sqlitefile.InTx(ctx, s.db, func(tx *sql.Tx) error {
		edge, err := position(tx.QueryRowContext(ctx, "SELECT edge FROM position"))
		if err != nil {
			return err
		}
		size := edge.Tree().N
		if err := tx.QueryRowContext(ctx, "SELECT listed FROM position").Scan(&listed); err != nil {
			return err
		}
		// For a context that can end the driver starts a goroutine with every
		// statement.
		ctx := context.WithoutCancel(ctx)
		l := &lister{State: s, tx: tx, stmts: s.in(ctx, tx)}
		for room := log.MaxListRows; room > 0 && len(listing.Leaves) > 0; {
			leaf := listing.Leaves[0]
			if leaf.Index != listed || listed >= size {
				return fmt.Errorf("leaf %d is to be listed in a state of %d leaves, of which %d are listed", leaf.Index, size, listed)
			}
			if listing.SkipEnd() {
				listed++
				continue
			}
			rows, done, err := l.step(ctx, listing, room)
			if err != nil {
				return fmt.Errorf("leaf %d: %w", leaf.Index, err)
			}
			if room -= rows; done {
				listed++
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE position SET listed = ?", listed)
		return err
	})
	if err != nil {
		// What is remembered may be of the transaction that was rolled back.
		s.roles.Forget()
	} else if listing.Between() {
		s.roles.Trim()
	}
	return listed, err
}

// lister lists leaves in one transaction.
type lister struct {
	*State
	tx    *sql.Tx
	stmts statements // in tx, which ends them
}

// step writes what the next leaf's metadata lists differently from the last leaf of
// its role, as far as there is room.
func (l *lister) step(ctx context.Context, listing *targetrows.Listing[int64], room int) (rows int, done bool, err error) {
	leaf := listing.Leaves[0]
	r, err := l.role(ctx, leaf)
	if err != nil {
		return 0, false, err
	}
	listing.Begin(func(leaf log.StateLeaf) ([]log.Target, []targetrows.Row[int64]) { return r.Compare(leaf.Targets, nil) })
	return listing.Step(room, func(row targetrows.Row[int64]) error {
		if _, err := l.stmts.past.ExecContext(ctx, leaf.Index, row.Key); err != nil {
			return err
		}
		l.roles.End(r, row)
		return nil
	}, func(t log.Target) error {
		number, err := l.insert(ctx, r, leaf.Index, t)
		if err == nil {
			l.roles.Begin(r, t, number)
		}
		return err
	})
}

// insert adds a file that a role's leaf lists and returns the number of its row.
func (l *lister) insert(ctx context.Context, r *role, index int64, t log.Target) (number int64, err error) {
	var sha256, sha512 any
	if !t.SHA256.IsZero() {
		sha256 = t.SHA256[:]
	}
	if t.SHA512 != (log.SHA512{}) {
		sha512 = t.SHA512[:]
	}
	done, err := l.stmts.target.ExecContext(ctx, r.Number, index, t.Path, t.Length, sha256, sha512)
	if err != nil {
		return 0, err
	}
	return done.LastInsertId()
}

// role finds the role of a leaf, and reads what is open of it.
func (l *lister) role(ctx context.Context, leaf log.StateLeaf) (*role, error) {
	name := targetrows.Name{Repository: leaf.Leaf.Repository, Role: leaf.Leaf.Role}
	if r := l.roles.Get(name); r != nil {
		return r, nil
	}
	r := &role{Open: map[string]targetrows.Row[int64]{}}
	if err := l.tx.QueryRowContext(ctx, "SELECT role FROM leaves WHERE idx = ?", leaf.Index).Scan(&r.Number); err != nil {
		return nil, err
	}
	if err := l.open(ctx, r); err != nil {
		return nil, err
	}
	l.roles.Add(name, r)
	return r, nil
}

// open reads what the last leaf of a role lists, and what was begun for the next.
func (l *lister) open(ctx context.Context, r *role) error {
	rows, err := l.tx.QueryContext(ctx, "SELECT "+targetColumns+", t.number FROM targets t WHERE t.role = ? AND t.past IS NULL", r.Number)
	if err != nil {
		return err
	}
	for rows.Next() && err == nil {
		var t targetrows.Row[int64]
		err = scanTarget(&t.Target, func(columns ...any) error { return rows.Scan(append(columns, &t.Key)...) })
		r.Open[t.Path] = t
	}
	return errors.Join(err, rows.Err(), rows.Close())
}
