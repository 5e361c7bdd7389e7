package state

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
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

// Check reads the whole state: the checksum of each page that is in use, SQLite's own
// checks, which compare indexes with their tables, each leaf, whose hashes must give the
// edge, which must give the newest checkpoint where that has as many leaves, and all rows
// that point to others. The error wraps ErrDamaged where something is wrong. progress,
// which may be nil, is told of the leaves.
func (db *DB) Check(ctx context.Context, progress func(done, total int64)) (*Check, error) {
	c := &Check{Tree: db.tree.Tree()}
	if err := db.integrity(ctx); err != nil {
		return nil, err
	}
	verified, err := db.Verified(ctx)
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
	if err := db.checkCounts(ctx); err != nil {
		return nil, err
	}
	if err := db.checkNotes(ctx); err != nil {
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

// references looks for rows that point to nothing, and for those that are not there.
func (db *DB) references(ctx context.Context) error {
	type query struct{ what, query string }
	queries := []query{
		{"a role of no repository", "SELECT role FROM roles WHERE repository NOT IN (SELECT repository FROM repositories) LIMIT 1"},
		{"facts of no repository", "SELECT repository FROM facts WHERE repository NOT IN (SELECT repository FROM repositories) LIMIT 1"},
		{"a genesis that is not a right leaf", "SELECT genesis FROM repositories p LEFT JOIN leaves l ON l.leaf = p.genesis WHERE p.genesis IS NOT NULL AND (l.verdict IS NOT 1 OR l.payload IS NOT p.id) LIMIT 1"},
		{"a leaf whose predecessor in its repository is another than it says", `SELECT leaf FROM (
			SELECT leaf, previous, lag(leaf) OVER (PARTITION BY repository ORDER BY leaf) AS before FROM leaves JOIN roles USING (role))
			WHERE previous IS NOT before LIMIT 1`},
		{"a repository with other leaves, or other findings, than are counted", `SELECT l.repository FROM (
			SELECT repository, max(leaf) AS newest, count(*) AS n FROM leaves JOIN roles USING (role) GROUP BY repository) l
			JOIN repositories p USING (repository) LEFT JOIN activity a USING (repository)
			WHERE a.newest IS NOT l.newest OR a.leaves IS NOT l.n OR a.findings IS NOT ` + openFindings + ` LIMIT 1`},
		{"activity of a repository without leaves", "SELECT repository FROM activity WHERE repository NOT IN (SELECT repository FROM leaves JOIN roles USING (role)) LIMIT 1"},
		{"findings of a kind that are not as many as are counted", `SELECT max(number) FROM (
			SELECT number, repository, kind, status, 1 AS n FROM findings UNION ALL SELECT 0, repository, kind, status, -count FROM finding_counts)
			GROUP BY repository, kind, status HAVING sum(n) <> 0 LIMIT 1`},
		{"findings of a kind that are not as many as are counted in all", `SELECT max(number) FROM (
			SELECT number, kind, class, status, 1 AS n FROM findings UNION ALL SELECT 0, kind, class, status, -count FROM finding_totals)
			GROUP BY kind, class, status HAVING sum(n) <> 0 LIMIT 1`},
		{"two findings with the same change", "SELECT changed FROM findings GROUP BY changed HAVING count(*) > 1 OR changed < 1 LIMIT 1"},
		{"the bytes of an entry that is a leaf, or of none", "SELECT e.leaf FROM entries e LEFT JOIN leaves l USING (leaf) WHERE l.leaf IS NULL OR l.role IS NOT NULL LIMIT 1"},
	}
	for table, name := range map[string]string{"targets": "path", "keys": "id"} {
		queries = append(queries,
			query{table + ": a row of no role", "SELECT role FROM " + table + " WHERE role NOT IN (SELECT role FROM roles) LIMIT 1"},
			// Rows are numbered without gaps, and go with all others of their repository.
			query{table + ": rows are missing of role", "SELECT role FROM " + table + " GROUP BY role HAVING count(*) <> max(number) + 1 LIMIT 1"},
			query{table + ": a row that ends before it begins", "SELECT first FROM " + table + " WHERE last < first LIMIT 1"},
			query{table + ": an item that is listed twice", "SELECT first FROM (SELECT first, lag(coalesce(last, 1 << 62)) OVER (PARTITION BY role, " + name + " ORDER BY first) AS before FROM " + table + " WHERE NOT evidence) WHERE before >= first LIMIT 1"},
		)
		for _, end := range []string{"first", "last"} {
			queries = append(queries, query{table + ": a row that begins or ends with a leaf that does not list it",
				"SELECT t." + end + " FROM " + table + " t LEFT JOIN leaves l ON l.leaf = t." + end + " WHERE t." + end + " IS NOT NULL AND (l.role IS NOT t.role OR l.verdict IS NOT 1 OR (l.kind = 2) IS NOT t.evidence) LIMIT 1"})
		}
	}
	for _, q := range queries {
		var n int64
		if found, err := db.row(ctx, q.query, nil, &n); err != nil {
			return err
		} else if found {
			return damaged("%s: %d", q.what, n)
		}
	}
	return nil
}

// checkNotes reads all notes, and compares each with what it is kept by.
func (db *DB) checkNotes(ctx context.Context) error {
	return db.each(ctx, "SELECT text, size, note FROM notes", nil, func(scan func(...any) error) error {
		var key, b []byte
		var size int64
		if err := scan(&key, &size, &b); err != nil {
			return err
		}
		note, n, err := parseNote(b)
		if err != nil {
			return err
		}
		if sum := tuf.Sum([]byte(note.Text)); !bytes.Equal(sum[:], key) || n != size {
			return damaged("the note of a tree of %d leaves is kept as another, of %d", n, size)
		}
		return nil
	})
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
