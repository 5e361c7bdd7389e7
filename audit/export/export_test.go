package export_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/export"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/tuf"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newAuditor replays a log in which there is something for each table: releases with
// files, a delegation, evidence, an entry that is not a leaf, findings.
func newAuditor(t *testing.T) (*audit.Auditor, *audittest.Log) {
	t.Helper()
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	l := audittest.New(t)
	_, root := v.File(tuf.RoleRoot)
	id := l.Register(root)
	release := func(v *testvendor.Vendor, path, content string) {
		t.Helper()
		must(t, v.Put(tuf.RoleTargets, path, []byte(content)))
		must(t, v.Release(tuf.RoleTargets))
		_, file := v.File(tuf.RoleTargets)
		_, snapshot := v.File(tuf.RoleSnapshot)
		l.Submit(id, tuf.RoleTargets, file, snapshot)
	}
	release(v, "a,\"b\"\n=1+1", "one")
	l.Publish(2)
	evil, err := v.Clone()
	must(t, err)
	release(v, "app.bin", "for everybody")
	release(evil, "app.bin", "for one")
	l.Append([]byte("not a leaf\n"))
	l.Publish(2)
	a, err := audit.New(t.Context(), audit.Config{Source: l.Source(), Policy: l.Policy()})
	must(t, err)
	t.Cleanup(func() { must(t, a.Close()) })
	_, err = a.Step(t.Context())
	must(t, err)
	_, err = a.Report(t.Context())
	must(t, err)
	return a, l
}

// tables are the rows of each table; a value is a string, an int64, a bool or nil.
type tables map[string][][]any

func readSQLite(t *testing.T, path string) tables {
	t.Helper()
	db, err := sqlitefile.Open(path, export.Version)
	must(t, err)
	defer db.Close()
	all := tables{}
	for _, table := range export.Tables {
		rows, err := db.Query("SELECT * FROM " + table.Name + " ORDER BY rowid")
		must(t, err)
		columns, err := rows.Columns()
		must(t, err)
		wantColumns(t, table, columns)
		all[table.Name] = [][]any{}
		for rows.Next() {
			row, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			must(t, rows.Scan(into...))
			for i, c := range table.Columns {
				if c.Type == export.Boolean && row[i] != nil {
					row[i] = row[i].(int64) == 1
				}
			}
			all[table.Name] = append(all[table.Name], row)
		}
		must(t, rows.Err())
	}
	return all
}

func wantColumns(t *testing.T, table export.Table, got []string) {
	t.Helper()
	var want []string
	for _, c := range table.Columns {
		want = append(want, c.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("table %s has the columns %q, want %q", table.Name, got, want)
	}
}

func readCSV(t *testing.T, dir string) tables {
	t.Helper()
	all := tables{}
	for _, table := range export.Tables {
		f, err := os.Open(filepath.Join(dir, table.Name+".csv"))
		must(t, err)
		defer f.Close()
		records, err := csv.NewReader(f).ReadAll()
		must(t, err)
		wantColumns(t, table, records[0])
		all[table.Name] = [][]any{}
		for _, record := range records[1:] {
			row := make([]any, len(record))
			for i, cell := range record {
				switch c := table.Columns[i]; {
				case cell == "" && c.Null:
				case c.Type == export.Integer:
					row[i], err = strconv.ParseInt(cell, 10, 64)
				case c.Type == export.Boolean:
					row[i], err = strconv.ParseBool(cell)
				default:
					row[i] = cell
				}
				must(t, err)
			}
			all[table.Name] = append(all[table.Name], row)
		}
	}
	return all
}

func readJSONLines(t *testing.T, dir string) tables {
	t.Helper()
	all := tables{}
	for _, table := range export.Tables {
		f, err := os.Open(filepath.Join(dir, table.Name+".jsonl"))
		must(t, err)
		defer f.Close()
		all[table.Name] = [][]any{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			d := json.NewDecoder(strings.NewReader(lines.Text()))
			d.UseNumber()
			var object map[string]any
			must(t, d.Decode(&object))
			row := make([]any, len(table.Columns))
			for i, c := range table.Columns {
				v, ok := object[c.Name]
				if !ok {
					t.Fatalf("table %s: no %s in %s", table.Name, c.Name, lines.Text())
				}
				if n, ok := v.(json.Number); ok {
					v, err = n.Int64()
					must(t, err)
				}
				row[i] = v
			}
			if len(object) != len(row) {
				t.Errorf("table %s: %s", table.Name, lines.Text())
			}
			all[table.Name] = append(all[table.Name], row)
		}
	}
	return all
}

var forms = map[export.Type]*regexp.Regexp{
	export.Hex:  regexp.MustCompile(`^([0-9a-f]{64}){1,2}$`),
	export.Time: regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`),
}

// Three formats have the same rows, of the types that the dictionary says, and the rows
// are those of the log.
func TestExport(t *testing.T) {
	a, l := newAuditor(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "history.sqlite")
	must(t, os.WriteFile(file, []byte("an export of before"), 0o644))
	written, err := export.SQLite(t.Context(), file, a.State(), l.Policy())
	must(t, err)
	got := readSQLite(t, file)
	for _, format := range []export.Format{export.CSV, export.JSONLines} {
		again, err := export.Folder(t.Context(), filepath.Join(dir, "tables"), format, a.State(), l.Policy())
		must(t, err)
		if !reflect.DeepEqual(again, written) {
			t.Errorf("%s: %v rows, want %v", format, again, written)
		}
	}
	for format, other := range map[string]tables{"csv": readCSV(t, filepath.Join(dir, "tables")), "jsonl": readJSONLines(t, filepath.Join(dir, "tables"))} {
		for name, rows := range got {
			if !reflect.DeepEqual(other[name], rows) {
				t.Errorf("table %s in %s:\n%v\nin SQLite:\n%v", name, format, other[name], rows)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	for i, table := range export.Tables {
		rows := got[table.Name]
		if written[i] != (export.Written{Table: table.Name, Rows: int64(len(rows))}) || len(rows) == 0 {
			t.Errorf("table %s has %d rows, %+v were written", table.Name, len(rows), written[i])
		}
		for _, row := range rows {
			for i, c := range table.Columns {
				text, isText := row[i].(string)
				_, isInteger := row[i].(int64)
				_, isBoolean := row[i].(bool)
				form := forms[c.Type]
				if row[i] == nil && !c.Null || row[i] != nil && (isInteger != (c.Type == export.Integer) || isBoolean != (c.Type == export.Boolean)) || isText && form != nil && !form.MatchString(text) {
					t.Errorf("%s.%s has %#v", table.Name, c.Name, row[i])
				}
			}
		}
	}

	is := func(table string, want ...string) {
		t.Helper()
		var rows []string
		for _, row := range got[table] {
			var cells []string
			for i, v := range row {
				if export.Tables[slices.IndexFunc(export.Tables, func(t export.Table) bool { return t.Name == table })].Columns[i].Type != export.Hex {
					cells = append(cells, fmt.Sprint(v))
				}
			}
			rows = append(rows, strings.Join(cells, " "))
		}
		if len(rows) != len(want) {
			t.Fatalf("table %s:\n%s", table, strings.Join(rows, "\n"))
		}
		for i := range rows {
			if !strings.HasPrefix(rows[i], want[i]) {
				t.Errorf("table %s, row %d: %s, want %s", table, i, rows[i], want[i])
			}
		}
	}
	is("log", audittest.Origin+" 5 5 "+audittest.Origin+"\n5\n")
	is("leaves",
		"0 right release root 1 ", "1 right release targets 2 ", "2 right release targets 3 ", "3 right evidence targets 3 ", "4 wrong <nil> <nil> <nil> <nil> <nil> <nil> <nil> <nil>")
	is("files", "targets a,\"b\"\n=1+1 3 1 2 true false", "targets app.bin 13 2 2 true false", "targets a,\"b\"\n=1+1 3 3 3 false true", "targets app.bin 7 3 3 false true")
	is("repositories", "0")
	if f := got["findings"]; !slices.ContainsFunc(f, func(row []any) bool {
		return row[1] == "second-payload" && row[2] == "equivocation" && row[4] == int64(3)
	}) {
		t.Errorf("findings %v", f)
	}
	if len(got["cosignatures"]) != 2*len(got["checkpoints"]) || len(got["keys"]) < 4 || len(got["key_roles"]) < 4 {
		t.Errorf("%d cosignatures of %d checkpoints, %d keys, %d roles", len(got["cosignatures"]), len(got["checkpoints"]), len(got["keys"]), len(got["key_roles"]))
	}
	// A query over tables, as a reader makes it.
	db, err := sqlitefile.Open(file, export.Version)
	must(t, err)
	defer db.Close()
	var version int64
	must(t, db.QueryRow(`SELECT l.version FROM files f JOIN leaves l ON l.leaf = f.first_leaf AND l.repository = f.repository
		WHERE f.sha256 = ? AND NOT f.evidence`, tuf.Sum([]byte("for everybody")).String()).Scan(&version))
	if version != 3 {
		t.Errorf("the file came with version %d", version)
	}
}

// What a process that was killed has left goes with the next export to the same place.
func TestKilled(t *testing.T) {
	a, l := newAuditor(t)
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, ".file.123.tmp"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, ".leaves.csv.456.tmp"), []byte("half"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, ".file.mine.tmp"), []byte("kept"), 0o600))
	if _, err := export.SQLite(t.Context(), filepath.Join(dir, "file"), a.State(), l.Policy()); err != nil {
		t.Fatal(err)
	}
	if _, err := export.Folder(t.Context(), dir, export.CSV, a.State(), l.Policy()); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != ".file.mine.tmp" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// Where something goes wrong, what was there stays, and nothing is left behind.
func TestExportFails(t *testing.T) {
	a, l := newAuditor(t)
	dir := t.TempDir()
	if _, err := export.SQLite(t.Context(), filepath.Join(dir, "none", "x"), a.State(), l.Policy()); err == nil {
		t.Error("written into a folder that is not there")
	}
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("before"), 0o644))
	other := audittest.New(t)
	if _, err := export.SQLite(t.Context(), filepath.Join(dir, "file"), a.State(), other.Policy()); err == nil || !strings.Contains(err.Error(), "table log: the newest checkpoint") {
		t.Errorf("by the policy of another log: %v", err)
	}
	if _, err := export.Folder(t.Context(), filepath.Join(dir, "file"), export.CSV, a.State(), l.Policy()); err == nil {
		t.Error("a file is a folder")
	}
	if _, err := export.Folder(t.Context(), dir, "xml", a.State(), l.Policy()); err == nil || !strings.Contains(err.Error(), `"xml"`) {
		t.Errorf("xml: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if b, _ := os.ReadFile(filepath.Join(dir, "file")); err != nil || len(entries) != 1 || string(b) != "before" {
		t.Errorf("there is %v with %q, %v", entries, b, err)
	}
}

// docs/data.md is the dictionary. With UPDATE_DATA=1 it is written.
func TestDictionary(t *testing.T) {
	const page = "../../docs/data.md"
	text, err := os.ReadFile(page)
	must(t, err)
	before, _, ok := strings.Cut(string(text), "\n## Tables\n")
	if !ok {
		t.Fatalf("%s has no section Tables", page)
	}
	var want strings.Builder
	want.WriteString(before + "\n## Tables\n")
	for _, table := range export.Tables {
		fmt.Fprintf(&want, "\n### `%s`\n\nA row is %s.\n\n| column | type | |\n| --- | --- | --- |\n", table.Name, table.What)
		for _, c := range table.Columns {
			kind := string(c.Type)
			if c.Null {
				kind += ", may be missing"
			}
			fmt.Fprintf(&want, "| `%s` | %s | %s |\n", c.Name, kind, c.What)
		}
	}
	if string(text) == want.String() {
		return
	}
	if os.Getenv("UPDATE_DATA") == "" {
		t.Fatalf("%s is not what the code has: run this test with UPDATE_DATA=1", page)
	}
	must(t, os.WriteFile(page, []byte(want.String()), 0o644))
}
