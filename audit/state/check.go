package state

import (
	"context"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/proofs"
)

// Check is the result of a check of a state.
type Check struct {
	Tree     proofs.Tree `json:"tree"`     // of the leaves
	Verified proofs.Tree `json:"verified"` // of the newest checkpoint; zero: none
	Leaves   int64       `json:"leaves"`
	Bytes    int64       `json:"bytes"`  // of the database, with what is not written into it yet
	Tables   []Table     `json:"tables"` // the largest first
}

// Table is a table or an index of the database, and the room that it takes.
type Table struct {
	Name  string `json:"name"`
	Rows  int64  `json:"rows"` // -1: of an index
	Bytes int64  `json:"bytes"`
}

// Check reads the whole state: SQLite's own checks, each leaf, whose hashes must give the
// edge, which must give the newest checkpoint where that has as many leaves, and all rows
// that point to others. The error wraps ErrDamaged where something is wrong. progress,
// which may be nil, is told of the leaves.
func (db *DB) Check(ctx context.Context, progress func(done, total int64)) (*Check, error) {
	c := &Check{Tree: db.tree.Tree()}
	if err := db.integrity(ctx); err != nil {
		return nil, err
	}
	verified, _, err := db.Verified(ctx)
	if err != nil {
		return nil, err
	}
	if verified != nil {
		note, _, err := parseNote(verified)
		if err != nil {
			return nil, err
		}
		checkpoint, err := proofs.ParseCheckpoint(note.Text)
		if err != nil {
			return nil, err
		}
		c.Verified = checkpoint.Tree
	}
	rebuilt := new(proofs.Edge)
	err = db.Leaves(ctx, 0, db.Size(), func(l Leaf) error {
		if l.Index != c.Leaves {
			return damaged("leaf %d is missing", c.Leaves)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c.Leaves++
		if progress != nil {
			progress(c.Leaves, db.Size())
		}
		return rebuilt.Append(proofs.LeafHash(l.Entry()))
	})
	if err != nil {
		return nil, err
	}
	tree := rebuilt.Tree()
	switch {
	case tree != c.Tree:
		return nil, damaged("its %d leaves have root %v, and its edge is that of %d with root %v", tree.N, tree.Hash, c.Tree.N, c.Tree.Hash)
	case c.Verified.N == tree.N && c.Verified != tree && verified != nil:
		return nil, damaged("its %d leaves have root %v, and the checkpoint that was verified has root %v", tree.N, tree.Hash, c.Verified.Hash)
	case c.Verified.N < tree.N:
		return nil, damaged("it has %d leaves, and the newest checkpoint that was verified has %d", tree.N, c.Verified.N)
	}
	if err := db.references(ctx); err != nil {
		return nil, err
	}
	if err := db.Notes(ctx, func([]byte) error { return nil }); err != nil {
		return nil, err
	}
	if err := db.Findings(ctx, true, func(Finding) error { return nil }); err != nil {
		return nil, err
	}
	return c, db.room(ctx, c)
}

func (db *DB) integrity(ctx context.Context) error {
	problem := ""
	err := db.each(ctx, "PRAGMA integrity_check(10)", nil, func(scan func(...any) error) error {
		var s string
		if err := scan(&s); err != nil {
			return err
		}
		if s != "ok" && problem == "" {
			problem = s
		}
		return nil
	})
	if err == nil && problem != "" {
		err = damaged("SQLite finds: %s", problem)
	}
	return err
}

// references looks for rows that point to nothing.
func (db *DB) references(ctx context.Context) error {
	for _, q := range []struct{ what, query string }{
		{"a role of no repository", "SELECT role FROM roles WHERE repository NOT IN (SELECT repository FROM repositories) LIMIT 1"},
		{"facts of no repository", "SELECT repository FROM facts WHERE repository NOT IN (SELECT repository FROM repositories) LIMIT 1"},
		{"a target file of no role", "SELECT role FROM targets WHERE role NOT IN (SELECT role FROM roles) LIMIT 1"},
		{"a key of no role", "SELECT role FROM keys WHERE role NOT IN (SELECT role FROM roles) LIMIT 1"},
		{"a target file of no leaf", "SELECT first FROM targets WHERE first > (SELECT coalesce(max(leaf), -1) FROM leaves) OR last < first LIMIT 1"},
		{"a key of no leaf", "SELECT first FROM keys WHERE first > (SELECT coalesce(max(leaf), -1) FROM leaves) OR last < first LIMIT 1"},
		{"a genesis that is not a right leaf", "SELECT genesis FROM repositories p LEFT JOIN leaves l ON l.leaf = p.genesis WHERE p.genesis IS NOT NULL AND (l.verdict IS NOT 1 OR l.payload IS NOT p.id) LIMIT 1"},
	} {
		var n int64
		if found, err := db.row(ctx, q.query, nil, &n); err != nil {
			return err
		} else if found {
			return damaged("%s: %d", q.what, n)
		}
	}
	return nil
}

// room says where the space goes.
func (db *DB) room(ctx context.Context, c *Check) error {
	err := db.each(ctx, "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC", nil, func(scan func(...any) error) error {
		t := Table{Rows: -1}
		if err := scan(&t.Name, &t.Bytes); err != nil {
			return err
		}
		c.Tables = append(c.Tables, t)
		c.Bytes += t.Bytes
		return nil
	})
	if err != nil {
		return err
	}
	for i := range c.Tables {
		t := &c.Tables[i]
		var n int
		if ok, err := db.row(ctx, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? AND name NOT LIKE 'sqlite%'", []any{t.Name}, &n); err != nil {
			return err
		} else if ok {
			if _, err := db.row(ctx, `SELECT count(*) FROM "`+t.Name+`"`, nil, &t.Rows); err != nil {
				return err
			}
		}
	}
	if db.dir == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Join(db.dir, FileName+"-wal")); err == nil {
		c.Bytes += info.Size()
	}
	return nil
}
