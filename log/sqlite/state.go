package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

const stateVersion = 1

// The table digests finds leaves by the first 8 bytes of the digests they name;
// the leaf has the rest.
const stateSchema = `
CREATE TABLE position (edge BLOB NOT NULL);
INSERT INTO position VALUES (CAST('0' || char(10) AS BLOB));
CREATE TABLE repositories (
	number INTEGER PRIMARY KEY,
	id BLOB NOT NULL UNIQUE,
	encoding TEXT NOT NULL,
	releases INTEGER NOT NULL DEFAULT 0,
	evidence INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE leaves (
	idx INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	repository INTEGER NOT NULL,
	role TEXT NOT NULL,
	version INTEGER NOT NULL,
	payload BLOB NOT NULL,
	metadata BLOB NOT NULL,
	size INTEGER NOT NULL,
	snapshot BLOB,
	contradicts INTEGER
);
CREATE INDEX leaves_of ON leaves (repository);
CREATE INDEX leaves_roots ON leaves (idx) WHERE role = 'root';
CREATE TABLE digests (
	start INTEGER NOT NULL,
	leaf INTEGER NOT NULL,
	PRIMARY KEY (start, leaf)
) WITHOUT ROWID;
CREATE TABLE targets (
	sum BLOB NOT NULL,
	leaf INTEGER NOT NULL,
	path TEXT NOT NULL,
	length INTEGER NOT NULL,
	PRIMARY KEY (sum, leaf, path)
) WITHOUT ROWID`

// State implements log.State.
type State struct{ db *sql.DB }

// CreateState makes an empty state.
func CreateState(path string) error { return create(path, "NORMAL", stateVersion, stateSchema) }

// OpenState opens a file that CreateState made.
func OpenState(path string) (*State, error) {
	db, err := open(path, "NORMAL", stateVersion)
	if err != nil {
		return nil, err
	}
	return &State{db}, nil
}

// Close closes the file.
func (s *State) Close() error { return s.db.Close() }

// Position implements log.StateWriter.
func (s *State) Position(ctx context.Context) (*proofs.Edge, error) {
	return position(s.db.QueryRowContext(ctx, "SELECT edge FROM position"))
}

func position(row *sql.Row) (*proofs.Edge, error) {
	var text []byte
	if err := row.Scan(&text); err != nil {
		return nil, fmt.Errorf("position of the state: %w", err)
	}
	edge := new(proofs.Edge)
	if err := edge.UnmarshalText(text); err != nil {
		return nil, fmt.Errorf("position of the state: %w", err)
	}
	return edge, nil
}

// Apply implements log.StateWriter.
func (s *State) Apply(ctx context.Context, edge *proofs.Edge, leaves []log.StateLeaf) error {
	text, err := edge.MarshalText()
	if err != nil {
		return err
	}
	err = inTx(ctx, s.db, func(tx *sql.Tx) error {
		before, err := position(tx.QueryRowContext(ctx, "SELECT edge FROM position"))
		if err != nil {
			return err
		}
		next := before.Tree().N
		for _, l := range leaves {
			if l.Index != next {
				return fmt.Errorf("leaf %d follows a state of size %d", l.Index, next)
			}
			next++
		}
		if next != edge.Tree().N {
			return fmt.Errorf("%d leaves lead to size %d, the edge has size %d", len(leaves), next, edge.Tree().N)
		}
		a, err := newApplier(ctx, tx)
		if err != nil {
			return err
		}
		for _, l := range leaves {
			if err := a.apply(l); err != nil {
				return fmt.Errorf("leaf %d: %w", l.Index, err)
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE position SET edge = ?", text)
		return err
	})
	if err != nil {
		return fmt.Errorf("apply to the state: %w", err)
	}
	return nil
}

// applier holds the statements of one transaction, which ends them.
type applier struct {
	ctx                                     context.Context
	repository, count, leaf, digest, target *sql.Stmt
}

func newApplier(ctx context.Context, tx *sql.Tx) (*applier, error) {
	a := &applier{ctx: ctx}
	for _, s := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&a.repository, "INSERT INTO repositories (id, encoding) VALUES (?, ?) ON CONFLICT DO NOTHING"},
		{&a.count, "UPDATE repositories SET releases = releases + ?, evidence = evidence + ? WHERE id = ? RETURNING number"},
		{&a.leaf, "INSERT INTO leaves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&a.digest, "INSERT INTO digests VALUES (?, ?) ON CONFLICT DO NOTHING"},
		{&a.target, "INSERT INTO targets VALUES (?, ?, ?, ?)"},
	} {
		var err error
		if *s.stmt, err = tx.PrepareContext(ctx, s.text); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *applier) apply(l log.StateLeaf) error {
	releases, evidence := 1, 0
	var contradicts any
	if l.Leaf.Kind == verify.Evidence {
		releases, evidence, contradicts = 0, 1, l.Leaf.Contradicts
	}
	var snapshot any
	if !l.Leaf.Snapshot.IsZero() {
		snapshot = l.Leaf.Snapshot[:]
	}
	if _, err := a.repository.ExecContext(a.ctx, l.Leaf.Repository[:], string(l.Leaf.Encoding)); err != nil {
		return err
	}
	var number int64
	if err := a.count.QueryRowContext(a.ctx, releases, evidence, l.Leaf.Repository[:]).Scan(&number); err != nil {
		return err
	}
	if _, err := a.leaf.ExecContext(a.ctx, l.Index, string(l.Leaf.Kind), number, l.Leaf.Role, l.Leaf.Version,
		l.Leaf.Payload[:], l.Leaf.Metadata[:], l.Leaf.Size, snapshot, contradicts); err != nil {
		return err
	}
	for _, sum := range []verify.Digest{l.Leaf.Payload, l.Leaf.Metadata, l.Leaf.Snapshot} {
		if sum.IsZero() {
			continue
		}
		if _, err := a.digest.ExecContext(a.ctx, start(sum), l.Index); err != nil {
			return err
		}
	}
	for _, t := range l.Targets {
		if _, err := a.target.ExecContext(a.ctx, t.SHA256[:], l.Index, t.Path, t.Length); err != nil {
			return err
		}
	}
	return nil
}

func start(sum verify.Digest) int64 { return int64(binary.BigEndian.Uint64(sum[:8])) }

const leafColumns = `l.idx, l.kind, r.id, l.role, l.version, l.payload, l.metadata, l.size, l.snapshot, r.encoding, l.contradicts`

// scanLeaf reads leafColumns and then more.
func scanLeaf(rows *sql.Rows, more ...any) (verify.Record, error) {
	var rec verify.Record
	var repository, payload, metadata, snapshot []byte
	var contradicts sql.NullInt64
	l := &rec.Leaf
	err := rows.Scan(append([]any{&rec.Index, &l.Kind, &repository, &l.Role, &l.Version, &payload, &metadata, &l.Size, &snapshot, &l.Encoding, &contradicts}, more...)...)
	if err != nil {
		return rec, err
	}
	l.Contradicts = contradicts.Int64
	for _, d := range []struct {
		to   *verify.Digest
		from []byte
	}{{&l.Repository, repository}, {&l.Payload, payload}, {&l.Metadata, metadata}, {&l.Snapshot, snapshot}} {
		if copy(d.to[:], d.from) != len(d.to) && d.from != nil {
			return rec, fmt.Errorf("leaf %d: a digest of %d bytes", rec.Index, len(d.from))
		}
	}
	return rec, nil
}

// query calls scan for each row.
func (s *State) query(ctx context.Context, scan func(*sql.Rows) error, text string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	for rows.Next() && err == nil {
		err = scan(rows)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	return nil
}

// leaves returns the leaves that match a condition.
func (s *State) leaves(ctx context.Context, where string, args ...any) ([]verify.Record, error) {
	var list []verify.Record
	err := s.query(ctx, func(rows *sql.Rows) error {
		rec, err := scanLeaf(rows)
		list = append(list, rec)
		return err
	}, "SELECT "+leafColumns+" FROM leaves l JOIN repositories r ON r.number = l.repository WHERE "+where, args...)
	return list, err
}

// Records implements log.StateReader.
func (s *State) Records(ctx context.Context, repository verify.Digest) ([]verify.Record, error) {
	return s.leaves(ctx, "r.id = ? ORDER BY l.idx", repository[:])
}

// Roots implements log.StateReader.
func (s *State) Roots(ctx context.Context, fn func(verify.Record)) error {
	return s.query(ctx, func(rows *sql.Rows) error {
		rec, err := scanLeaf(rows)
		if err == nil {
			fn(rec)
		}
		return err
	}, "SELECT "+leafColumns+" FROM leaves l JOIN repositories r ON r.number = l.repository WHERE l.role = 'root' AND l.kind = 'release' ORDER BY l.idx")
}

// Repositories implements log.StateReader.
func (s *State) Repositories(ctx context.Context, size int64) ([]log.RepositoryCount, error) {
	var list []log.RepositoryCount
	err := s.query(ctx, func(rows *sql.Rows) error {
		var c log.RepositoryCount
		var id []byte
		err := rows.Scan(&id, &c.Encoding, &c.Releases, &c.Evidence)
		copy(c.ID[:], id)
		if c.Releases > 0 {
			list = append(list, c)
		}
		return err
	}, `SELECT id, encoding,
		releases - (SELECT count(*) FROM leaves WHERE idx >= ?1 AND repository = number AND kind = 'release'),
		evidence - (SELECT count(*) FROM leaves WHERE idx >= ?1 AND repository = number AND kind = 'evidence')
		FROM repositories ORDER BY number`, size)
	return list, err
}

// Lookup implements log.StateReader.
func (s *State) Lookup(ctx context.Context, sum verify.Digest, limit int) ([]verify.Record, []log.Listing, error) {
	leaves, err := s.leaves(ctx, "l.idx IN (SELECT leaf FROM digests WHERE start = ? ORDER BY leaf LIMIT ?) ORDER BY l.idx", start(sum), limit)
	if err != nil {
		return nil, nil, err
	}
	leaves = slices.DeleteFunc(leaves, func(rec verify.Record) bool {
		return rec.Leaf.Payload != sum && rec.Leaf.Metadata != sum && rec.Leaf.Snapshot != sum
	})
	var listings []log.Listing
	err = s.query(ctx, func(rows *sql.Rows) error {
		l := log.Listing{Target: log.Target{SHA256: sum}}
		var err error
		l.Record, err = scanLeaf(rows, &l.Path, &l.Length)
		listings = append(listings, l)
		return err
	}, "SELECT "+leafColumns+", t.path, t.length FROM targets t JOIN leaves l ON l.idx = t.leaf JOIN repositories r ON r.number = l.repository WHERE t.sum = ? ORDER BY t.leaf, t.path LIMIT ?", sum[:], limit)
	return leaves, listings, err
}
