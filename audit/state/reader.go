package state

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Reader reads a state: that of a DB, with what has been written and not committed, or that
// of a View at one moment. It is not safe for concurrent use.
type Reader struct {
	conn   *sql.Conn
	file   uint64 // see File
	stmts  map[string]*sql.Stmt
	settle func(context.Context) error // writes the rows that wait; nil: none do
	tally  func(context.Context) error // writes the activity that waits; nil: none does

	reading int               // queries whose rows are being read
	size    int64             // how many leaves there are
	counts  map[Verdict]int64 // of these leaves; nil: not known
	meta    map[string]string
	repos   map[tuf.Digest]int64
}

// forget drops what is remembered of the database.
func (r *Reader) forget() {
	r.counts, r.meta, r.repos = nil, map[string]string{}, map[tuf.Digest]int64{}
}

func (r *Reader) close() error {
	var errs []error
	for _, s := range r.stmts {
		errs = append(errs, s.Close())
	}
	r.stmts = nil
	if r.conn != nil {
		errs = append(errs, r.conn.Close())
	}
	r.conn = nil
	return errors.Join(errs...)
}

// before comes before everything that is read.
func (r *Reader) before(ctx context.Context) error {
	if r.settle == nil {
		return nil
	}
	return r.settle(ctx)
}

// Size returns how many leaves the state has: those that were judged.
func (r *Reader) Size() int64 { return r.size }

// File returns the number of the file that a View has opened, from 1: another one means that
// the state may be another one, so that nothing read before belongs to it. It is 0 in a DB.
func (r *Reader) File() uint64 { return r.file }

// Judged returns the tree of the leaves that the state has, as of the last Commit.
func (r *Reader) Judged(ctx context.Context) (proofs.Tree, error) {
	text, err := r.Get(ctx, edgeName)
	if err != nil {
		return proofs.Tree{}, err
	}
	edge, err := parseEdge(text)
	if err != nil {
		return proofs.Tree{}, err
	}
	return edge.Tree(), nil
}

// stmt prepares a statement once. Contexts that can be cancelled cost a goroutine for
// each statement, and there are several for a leaf.
func (r *Reader) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := r.stmts[query]; s != nil {
		return s, nil
	}
	if r.conn == nil {
		return nil, &Error{errors.New("it is closed")}
	}
	s, err := r.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, explained(err)
	}
	if r.stmts == nil {
		r.stmts = map[string]*sql.Stmt{}
	}
	r.stmts[query] = s
	return s, nil
}

// exec runs a statement.
func (r *Reader) exec(ctx context.Context, query string, args ...any) error {
	s, err := r.stmt(ctx, query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, args...)
	return explained(err)
}

// row reads one row; sql.ErrNoRows is false.
func (r *Reader) row(ctx context.Context, query string, args []any, into ...any) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	if err := r.before(ctx); err != nil {
		return false, err
	}
	return r.rowNow(ctx, query, args, into...)
}

// rowNow is row for what does not depend on the rows that wait.
func (r *Reader) rowNow(ctx context.Context, query string, args []any, into ...any) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	s, err := r.stmt(ctx, query)
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, explained(err)
	}
	return true, nil
}

// each calls fn for each row; an error of fn ends it.
func (r *Reader) each(ctx context.Context, query string, args []any, fn func(scan func(...any) error) error) error {
	ctx = context.WithoutCancel(ctx)
	if err := r.before(ctx); err != nil {
		return err
	}
	s, err := r.stmt(ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return explained(err)
	}
	r.reading++
	defer func() {
		r.reading--
		_ = rows.Close() // what went wrong is told by Err
	}()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return explained(err)
	}
	return nil
}

// Get returns what Set has kept.
func (r *Reader) Get(ctx context.Context, name string) (string, error) {
	if value, ok := r.meta[name]; ok {
		return value, nil
	}
	var b []byte
	if _, err := r.row(ctx, "SELECT value FROM meta WHERE name = ?", []any{name}, &b); err != nil {
		return "", err
	}
	r.meta[name] = string(b)
	return string(b), nil
}

// Names returns the names of what Set has kept that begin with a prefix, in order.
func (r *Reader) Names(ctx context.Context, prefix string) (list []string, err error) {
	err = r.each(ctx, "SELECT name FROM meta WHERE substr(name, 1, ?) = ? ORDER BY name", []any{len([]rune(prefix)), prefix}, func(scan func(...any) error) error {
		var name string
		if err := scan(&name); err != nil {
			return err
		}
		list = append(list, name)
		return nil
	})
	return list, err
}
