package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/targetrows"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// digestsAtOnce is how many rows of digests one statement inserts.
const digestsAtOnce = 24

// State implements log.State.
type State struct {
	db    *sql.DB
	stmts statements

	applying sync.Mutex // held for a transaction; guards numbers and roles
	numbers  map[targetrows.Name]numbers
	roles    targetrows.Roles[int64]
}

// numbers are those of a role and its repository.
type numbers struct{ role, repository int64 }

// statements are those of Apply and List.
type statements struct{ repository, count, leaf, root, digests, target, past *sql.Stmt }

func (s *statements) all() []**sql.Stmt {
	return []**sql.Stmt{&s.repository, &s.count, &s.leaf, &s.root, &s.digests, &s.target, &s.past}
}

// CreateState makes an empty state.
func CreateState(path string) error {
	return create(path, "NORMAL", stateVersion, stateTables+";"+stateIndices)
}

// OpenState opens a file that CreateState made.
func OpenState(path string) (*State, error) {
	db, err := open(path, "NORMAL", stateVersion)
	if errors.Is(err, sqlitefile.ErrVersion) {
		err = fmt.Errorf("%w: run logserver reindex", err)
	}
	if err != nil {
		return nil, err
	}
	s := &State{db: db}
	if err := s.prepare("digests", " ON CONFLICT DO NOTHING"); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.Close())
	}
	return s, nil
}

// prepare prepares the statements of Apply and List, of which the first inserts digests into a table.
func (s *State) prepare(digests, conflict string) (err error) {
	for i, text := range []string{
		"INSERT INTO repositories (id, encoding) VALUES (?, ?) ON CONFLICT DO NOTHING",
		"UPDATE repositories SET releases = releases + ?, evidence = evidence + ? WHERE number = ?",
		"INSERT INTO leaves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"INSERT INTO roots VALUES (?, ?) ON CONFLICT DO NOTHING",
		"INSERT INTO " + digests + " VALUES (?, ?)" + strings.Repeat(", (?, ?)", digestsAtOnce-1) + conflict,
		"INSERT INTO targets VALUES (NULL, ?, ?, NULL, ?, ?, ?, ?)",
		"UPDATE targets SET past = ? WHERE number = ?",
	} {
		if *s.stmts.all()[i], err = s.db.Prepare(text); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the file.
func (s *State) Close() error {
	var errs []error
	for _, stmt := range s.stmts.all() {
		if *stmt != nil {
			errs = append(errs, (*stmt).Close())
		}
	}
	return errors.Join(append(errs, s.db.Close())...)
}

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

// Listed implements log.StateWriter.
func (s *State) Listed(ctx context.Context) (n int64, err error) {
	if err := s.db.QueryRowContext(ctx, "SELECT listed FROM position").Scan(&n); err != nil {
		return 0, fmt.Errorf("position of the state: %w", err)
	}
	return n, nil
}

const (
	leafColumns = `l.idx, l.kind, r.id, n.name, l.version, l.payload, l.metadata, l.size, l.snapshot, l.listed, r.encoding, l.contradicts`
	leafTables  = ` JOIN roles n ON n.number = l.role JOIN repositories r ON r.number = n.repository WHERE `
)

// scanLeaf reads leafColumns and then more.
func scanLeaf(rows *sql.Rows, more ...any) (admit.Record, error) {
	var rec admit.Record
	var repository, payload, metadata, snapshot []byte
	var contradicts sql.NullInt64
	l := &rec.Leaf
	err := rows.Scan(append([]any{&rec.Index, &l.Kind, &repository, &l.Role, &l.Version, &payload, &metadata, &l.Size, &snapshot, &l.Listed, &l.Encoding, &contradicts}, more...)...)
	if err != nil {
		return rec, err
	}
	l.Contradicts = contradicts.Int64
	for _, d := range []struct {
		to   *tuf.Digest
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
func (s *State) leaves(ctx context.Context, where string, args ...any) ([]admit.Record, error) {
	var list []admit.Record
	err := s.query(ctx, func(rows *sql.Rows) error {
		rec, err := scanLeaf(rows)
		list = append(list, rec)
		return err
	}, "SELECT "+leafColumns+" FROM leaves l"+leafTables+where, args...)
	return list, err
}

// Records implements log.StateReader.
func (s *State) Records(ctx context.Context, repository tuf.Digest) ([]admit.Record, error) {
	return s.leaves(ctx, "r.id = ? ORDER BY l.idx", repository[:])
}

// Tail implements log.StateReader.
func (s *State) Tail(ctx context.Context, repository tuf.Digest, keep int) ([]admit.Record, map[string]int64, error) {
	type tailed struct {
		number, floor int64
		name          string
		cut           bool
	}
	var roles []tailed
	err := s.query(ctx, func(rows *sql.Rows) error {
		var r tailed
		err := rows.Scan(&r.number, &r.name)
		roles = append(roles, r)
		return err
	}, "SELECT number, name FROM roles WHERE repository = (SELECT number FROM repositories WHERE id = ?)", repository[:])
	floors := map[string]int64{}
	for i := range roles {
		r := &roles[i]
		if err != nil || r.name == tuf.RoleRoot {
			continue
		}
		err = s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&r.floor) },
			"SELECT version FROM leaves WHERE role = ? AND kind = 'release' ORDER BY version DESC LIMIT 1 OFFSET ?", r.number, keep-1)
		if err == nil {
			err = s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&r.cut) },
				"SELECT EXISTS (SELECT 1 FROM leaves WHERE role = ? AND version < ?)", r.number, r.floor)
		}
		if r.cut {
			floors[r.name] = r.floor
		}
	}
	var tail []admit.Record
	for _, r := range roles {
		if err != nil {
			return nil, nil, err
		}
		var leaves []admit.Record
		leaves, err = s.leaves(ctx, "l.role = ? AND l.version >= ?", r.number, r.floor)
		tail = append(tail, leaves...)
	}
	slices.SortFunc(tail, func(a, b admit.Record) int { return cmp.Compare(a.Index, b.Index) })
	return tail, floors, err
}

// Same implements log.StateReader.
func (s *State) Same(ctx context.Context, repository tuf.Digest, role string, version int64, payload tuf.Digest) ([]int64, error) {
	var found []int64
	err := s.query(ctx, func(rows *sql.Rows) error {
		var index int64
		err := rows.Scan(&index)
		found = append(found, index)
		return err
	}, `SELECT l.idx FROM digests d JOIN leaves l ON l.idx = d.leaf JOIN roles n ON n.number = l.role JOIN repositories r ON r.number = n.repository
			WHERE d.start = ?1 AND l.payload = ?2 AND r.id = ?3
		UNION SELECT l.idx FROM repositories r JOIN roles n ON n.repository = r.number AND n.name = ?4 JOIN leaves l ON l.role = n.number AND l.version = ?5
			WHERE r.id = ?3`, start(payload), payload[:], repository[:], role, version)
	return found, err
}

// Root implements log.StateReader.
func (s *State) Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	found, err := s.leaves(ctx, "l.idx = (SELECT leaf FROM roots WHERE payload = ?)", payload[:])
	if err != nil || len(found) == 0 {
		return admit.Record{}, false, err
	}
	return found[0], true, nil
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
		releases - (SELECT count(*) FROM leaves l JOIN roles n ON n.number = l.role WHERE l.idx >= ?1 AND n.repository = r.number AND kind = 'release'),
		evidence - (SELECT count(*) FROM leaves l JOIN roles n ON n.number = l.role WHERE l.idx >= ?1 AND n.repository = r.number AND kind = 'evidence')
		FROM repositories r ORDER BY number`, size)
	return list, err
}

// Lookup implements log.StateReader.
func (s *State) Lookup(ctx context.Context, sum tuf.Digest, limit int) ([]admit.Record, []log.Listing, error) {
	leaves, err := s.leaves(ctx, "l.idx IN (SELECT leaf FROM digests WHERE start = ? ORDER BY leaf LIMIT ?) ORDER BY l.idx", start(sum), limit)
	if err != nil {
		return nil, nil, err
	}
	leaves = slices.DeleteFunc(leaves, func(rec admit.Record) bool {
		return rec.Leaf.Payload != sum && rec.Leaf.Metadata != sum && rec.Leaf.Snapshot != sum
	})
	listings, err := s.listings(ctx, "substr(sha256, 1, 8) = substr(?1, 1, 8) AND sha256 = ?1", sum[:], limit)
	return leaves, listings, err
}
