package export

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/proofs"
)

// Version is the version of the tables, which the database has as its user_version. It is
// raised when a column goes or changes its meaning.
const Version = 1

// Written says how many rows of a table were written.
type Written struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// SQLite writes the tables into a database at path, in the place of a file that is there.
// The file appears whole or not at all. Checkpoints are read by the policy.
func SQLite(ctx context.Context, path string, db *state.DB, policy *proofs.Policy) ([]Written, error) {
	if err := sweep(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, err
	}
	var all []Written
	temporary := filepath.Join(dir, "export")
	var schema strings.Builder
	for _, t := range Tables {
		schema.WriteString(create(t))
	}
	from := &source{db, policy}
	err = sqlitefile.Create(temporary, 0o644, Version, schema.String(), func(tx *sql.Tx) error {
		for _, t := range Tables {
			n, err := insert(ctx, tx, from, t)
			if err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
			all = append(all, Written{t.Name, n})
		}
		return nil
	}, "journal_mode(MEMORY)", "synchronous(OFF)")
	if err == nil {
		err = durable.SyncAll(dir)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	return all, errors.Join(err, os.RemoveAll(dir))
}

// sweep removes what exports to the same path have left that were killed. One that is at
// work beside this one ends with an error.
func sweep(path string) error {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return err
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), "."+base+".")
		number, temporary := strings.CutSuffix(rest, ".tmp")
		if _, err := strconv.ParseUint(number, 10, 64); !ours || !temporary || err != nil {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// create is the statement that makes a table.
func create(t Table) string {
	var columns []string
	for _, c := range t.Columns {
		text := c.Name + " TEXT"
		if c.Type == Integer || c.Type == Boolean {
			text = c.Name + " INTEGER"
		}
		if !c.Null {
			text += " NOT NULL"
		}
		columns = append(columns, text)
	}
	return fmt.Sprintf("CREATE TABLE %s (\n\t%s\n);\n", t.Name, strings.Join(columns, ",\n\t"))
}

func insert(ctx context.Context, tx *sql.Tx, from *source, t Table) (n int64, err error) {
	add, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s VALUES (?%s)", t.Name, strings.Repeat(", ?", len(t.Columns)-1)))
	if err != nil {
		return 0, err
	}
	defer add.Close()
	err = t.rows(ctx, from, func(row ...any) error {
		n++
		_, err := add.ExecContext(ctx, row...)
		return err
	})
	return n, err
}

// Format is how Folder writes a table.
type Format string

// The formats of text.
const (
	// CSV is RFC 4180: a line with the names of the columns, and lines that end in LF. A
	// value that is missing is empty.
	CSV Format = "csv"
	// JSONLines is an object a line, with all columns in their order.
	JSONLines Format = "jsonl"
)

// Folder writes each table into a file of a folder, TABLE.csv or TABLE.jsonl, in the place
// of those that are there. The folder is made if it does not exist. Each file appears whole or not at
// all.
func Folder(ctx context.Context, dir string, format Format, db *state.DB, policy *proofs.Policy) ([]Written, error) {
	if format != CSV && format != JSONLines {
		return nil, fmt.Errorf("format %q is neither csv nor jsonl", format)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	from := &source{db, policy}
	var all []Written
	for _, t := range Tables {
		n, err := writeTable(ctx, filepath.Join(dir, t.Name+"."+string(format)), format, from, t)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Name, err)
		}
		all = append(all, Written{t.Name, n})
	}
	return all, durable.SyncDir(dir)
}

func writeTable(ctx context.Context, path string, format Format, from *source, t Table) (n int64, err error) {
	if err := sweep(path); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return 0, err
	}
	counted := t
	counted.rows = func(ctx context.Context, from *source, emit func(...any) error) error {
		return t.rows(ctx, from, func(row ...any) error {
			n++
			return emit(row...)
		})
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if format == CSV {
		err = writeCSV(ctx, w, from, counted)
	} else {
		err = writeJSONLines(ctx, w, from, counted)
	}
	if err == nil {
		err = w.Flush()
	}
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(f.Name()))
	}
	return n, nil
}

func writeCSV(ctx context.Context, w io.Writer, from *source, t Table) error {
	out := csv.NewWriter(w)
	cells := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		cells[i] = c.Name
	}
	if err := out.Write(cells); err != nil {
		return err
	}
	err := t.rows(ctx, from, func(row ...any) error {
		for i, v := range row {
			switch v := v.(type) {
			case nil:
				cells[i] = ""
			case string:
				cells[i] = v
			case int64:
				cells[i] = strconv.FormatInt(v, 10)
			case bool:
				cells[i] = strconv.FormatBool(v)
			default:
				return fmt.Errorf("column %s has a %T", t.Columns[i].Name, v)
			}
		}
		return out.Write(cells)
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

func writeJSONLines(ctx context.Context, w *bufio.Writer, from *source, t Table) error {
	return t.rows(ctx, from, func(row ...any) error {
		for i, v := range row {
			value, err := json.Marshal(v)
			if err != nil {
				return err
			}
			before := byte(',')
			if i == 0 {
				before = '{'
			}
			_ = w.WriteByte(before)
			_, _ = fmt.Fprintf(w, "%q:%s", t.Columns[i].Name, value)
		}
		_, err := w.WriteString("}\n") // an error of the writer stays
		return err
	})
}
