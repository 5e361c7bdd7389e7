package state

import "context"

// activity is what a repository is listed by, of those that have leaves. It is written with
// a Commit, once for all leaves of a transaction.
type activity struct {
	repository     int64
	newest, leaves int64
	kept           bool // there is a row
	waits          bool // it is yet to be written
}

// isActive notes that a repository gets a leaf, and returns its leaf before that; nil: none.
func (db *DB) isActive(ctx context.Context, l *Leaf) (previous any, err error) {
	number, err := db.repository(ctx, l.Repository)
	if err != nil {
		return nil, err
	}
	a := db.active[number]
	if a == nil {
		a = &activity{repository: number}
		if a.kept, err = db.rowNow(ctx, "SELECT newest, leaves FROM activity WHERE repository = ?", []any{number}, &a.newest, &a.leaves); err != nil {
			return nil, err
		}
		db.active[number] = a
	}
	if a.leaves > 0 {
		previous = a.newest
	}
	a.newest, a.leaves = l.Index, a.leaves+1
	if !a.waits {
		a.waits = true
		db.behind = append(db.behind, a)
	}
	return previous, nil
}

// saveActivity writes what waits.
func (db *DB) saveActivity(ctx context.Context) error {
	for _, a := range db.behind {
		statement := "INSERT INTO activity (newest, leaves, repository, findings) SELECT ?1, ?2, ?3, " + openFindings + " FROM repositories p WHERE p.repository = ?3"
		if a.kept {
			statement = "UPDATE activity SET newest = ?, leaves = ? WHERE repository = ?"
		}
		if _, err := db.write(ctx, statement, a.newest, a.leaves, a.repository); err != nil {
			return err
		}
		a.kept, a.waits = true, false
	}
	db.behind = db.behind[:0]
	return nil
}
