package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/targetrows"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// State implements log.State.
type State struct {
	db     *DB
	lease  *Lease
	schema string
	alive  *pgx.Conn // of a state that Scratch made: has others know that it is used

	listing sync.Mutex // guards roles
	roles   targetrows.Roles[key]
}

// State returns the derived state. Only the leader can apply; l is nil for the
// others.
func (db *DB) State(l *Lease) *State { return &State{db: db, lease: l, schema: "state"} }

// in has a statement concern the schema of this state.
func (s *State) in(text string) string {
	if s.schema == "state" {
		return text
	}
	return strings.ReplaceAll(text, "state.", s.schema+".")
}

// query calls scan for each row. What it has collected must be forgotten when
// begin is called.
func (s *State) query(ctx context.Context, begin func(), scan func(pgx.Rows) error, text string, args ...any) error {
	err := s.db.read(ctx, func(ctx context.Context) error {
		begin()
		rows, err := s.db.pool.Query(ctx, s.in(text), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return wrap("read the state", err)
}

// Position implements log.StateWriter.
func (s *State) Position(ctx context.Context) (*proofs.Edge, error) {
	var text []byte
	err := s.query(ctx, func() {}, func(rows pgx.Rows) error { return rows.Scan(&text) }, "SELECT edge FROM state.position")
	if err != nil {
		return nil, err
	}
	return parseEdge(text)
}

// Listed implements log.StateWriter.
func (s *State) Listed(ctx context.Context) (n int64, err error) {
	err = s.query(ctx, func() {}, func(rows pgx.Rows) error { return rows.Scan(&n) }, "SELECT listed FROM state.position")
	return n, err
}

func parseEdge(text []byte) (*proofs.Edge, error) {
	edge := new(proofs.Edge)
	if err := edge.UnmarshalText(text); err != nil {
		return nil, fmt.Errorf("position of the state: %w", err)
	}
	return edge, nil
}

const (
	leafColumns = `l.idx, l.kind, r.id, n.name, l.version, l.payload, l.metadata, l.size, l.snapshot, l.listed, r.encoding, l.contradicts`
	leafNames   = ` JOIN state.roles n ON n.number = l.role JOIN state.repositories r ON r.number = n.repository `
)

// scanLeaf reads leafColumns and then more.
func scanLeaf(rows pgx.Rows, more ...any) (admit.Record, error) {
	var rec admit.Record
	var repository, name, payload, metadata, snapshot []byte
	var kind, listed, encoding string
	var contradicts *int64
	l := &rec.Leaf
	err := rows.Scan(append([]any{&rec.Index, &kind, &repository, &name, &l.Version, &payload, &metadata, &l.Size, &snapshot, &listed, &encoding, &contradicts}, more...)...)
	if err != nil {
		return rec, err
	}
	l.Kind, l.Role, l.Listed, l.Encoding = leaf.Kind(kind), string(name), leaf.Listing(listed), tuf.Encoding(encoding)
	if contradicts != nil {
		l.Contradicts = *contradicts
	}
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

// leaves returns the leaves l that what follows the names of roles and
// repositories in the statement picks.
func (s *State) leaves(ctx context.Context, which string, args ...any) ([]admit.Record, error) {
	var list []admit.Record
	err := s.query(ctx, func() { list = nil }, func(rows pgx.Rows) error {
		rec, err := scanLeaf(rows)
		list = append(list, rec)
		return err
	}, "SELECT "+leafColumns+" FROM state.leaves l"+leafNames+which, args...)
	return list, err
}

// Records implements log.StateReader.
func (s *State) Records(ctx context.Context, repository tuf.Digest) ([]admit.Record, error) {
	return s.leaves(ctx, "WHERE r.id = $1 ORDER BY l.idx", repository[:])
}

// Tail implements log.StateReader. OFFSET 0 keeps the planner from reading all
// leaves of a role and then dropping most.
func (s *State) Tail(ctx context.Context, repository tuf.Digest, keep int) ([]admit.Record, map[string]int64, error) {
	var tail []admit.Record
	var floors map[string]int64
	err := s.query(ctx, func() { tail, floors = nil, map[string]int64{} }, func(rows pgx.Rows) error {
		var floor *int64
		rec, err := scanLeaf(rows, &floor)
		tail = append(tail, rec)
		if floor != nil {
			floors[rec.Leaf.Role] = *floor
		}
		return err
	}, `WITH f AS MATERIALIZED (
			SELECT n.number, CASE WHEN n.name <> $3 THEN (SELECT version FROM state.leaves
				WHERE role = n.number AND kind = 'release' ORDER BY version DESC LIMIT 1 OFFSET $2) END AS floor
			FROM state.roles n WHERE n.repository = (SELECT number FROM state.repositories WHERE id = $1)),
		c AS MATERIALIZED (SELECT number, floor, EXISTS (SELECT FROM state.leaves WHERE role = f.number AND version < f.floor) AS cut FROM f)
		SELECT `+leafColumns+`, CASE WHEN c.cut THEN c.floor END
		FROM c CROSS JOIN LATERAL (SELECT * FROM state.leaves WHERE role = c.number AND version >= coalesce(c.floor, 0) OFFSET 0) l`+leafNames+`ORDER BY l.idx`,
		repository[:], keep-1, []byte(tuf.RoleRoot))
	return tail, floors, err
}

// Same implements log.StateReader.
func (s *State) Same(ctx context.Context, repository tuf.Digest, role string, version int64, payload tuf.Digest) ([]int64, error) {
	var found []int64
	err := s.query(ctx, func() { found = nil }, func(rows pgx.Rows) error {
		var index int64
		err := rows.Scan(&index)
		found = append(found, index)
		return err
	}, `SELECT l.idx FROM state.leaves l`+leafNames+`WHERE substr(l.payload, 1, 8) = substr($2::bytea, 1, 8) AND l.payload = $2 AND r.id = $1
		UNION SELECT l.idx FROM state.repositories r JOIN state.roles n ON n.repository = r.number AND n.name = $3
			JOIN state.leaves l ON l.role = n.number AND l.version = $4 WHERE r.id = $1`,
		repository[:], payload[:], []byte(role), version)
	return found, err
}

// Root implements log.StateReader.
func (s *State) Root(ctx context.Context, payload tuf.Digest) (admit.Record, bool, error) {
	found, err := s.leaves(ctx, "WHERE l.idx = (SELECT leaf FROM state.roots WHERE payload = $1)", payload[:])
	if err != nil || len(found) == 0 {
		return admit.Record{}, false, err
	}
	return found[0], true, nil
}

// Repositories implements log.StateReader.
func (s *State) Repositories(ctx context.Context, size int64) ([]log.RepositoryCount, error) {
	var list []log.RepositoryCount
	err := s.query(ctx, func() { list = nil }, func(rows pgx.Rows) error {
		var c log.RepositoryCount
		var id []byte
		var encoding string
		if err := rows.Scan(&id, &encoding, &c.Releases, &c.Evidence); err != nil {
			return err
		}
		if copy(c.ID[:], id) != len(c.ID) {
			return fmt.Errorf("a repository's name has %d bytes", len(id))
		}
		c.Encoding = tuf.Encoding(encoding)
		list = append(list, c)
		return nil
	}, `SELECT r.id, r.encoding, r.releases - coalesce(later.releases, 0), r.evidence - coalesce(later.evidence, 0)
		FROM state.repositories r LEFT JOIN (
			SELECT n.repository, count(*) FILTER (WHERE l.kind = 'release') AS releases, count(*) FILTER (WHERE l.kind <> 'release') AS evidence
			FROM state.leaves l JOIN state.roles n ON n.number = l.role WHERE l.idx >= $1 GROUP BY n.repository
		) later ON later.repository = r.number
		WHERE r.releases > coalesce(later.releases, 0) ORDER BY r.number`, size)
	return list, err
}

// Lookup implements log.StateReader.
func (s *State) Lookup(ctx context.Context, sum tuf.Digest, limit int) ([]admit.Record, []log.Listing, error) {
	// Ordered by an expression, so that no plan runs through the log from its
	// start.
	var parts []string
	for _, column := range []string{"payload", "metadata", "snapshot"} {
		parts = append(parts, strings.ReplaceAll("(SELECT idx FROM state.leaves WHERE substr(COL, 1, 8) = substr($1::bytea, 1, 8) AND COL = $1 ORDER BY idx + 0 LIMIT $2)", "COL", column))
	}
	leaves, err := s.leaves(ctx, "WHERE l.idx IN ("+strings.Join(parts, " UNION ")+") ORDER BY l.idx LIMIT $2", sum[:], limit)
	if err != nil {
		return nil, nil, err
	}
	listings, err := s.listings(ctx, "substr(sha256, 1, 8) = substr($1::bytea, 1, 8) AND sha256 = $1", sum[:], limit)
	return leaves, listings, err
}

const targetColumns = "t.path, t.length, t.sha256, t.sha512"

// target is a target file as the database has it.
type target struct{ path, sha256, sha512 []byte }

// columns are where to scan targetColumns to.
func (c *target) columns(t *log.Target) []any { return []any{&c.path, &t.Length, &c.sha256, &c.sha512} }

// finish completes what columns have received.
func (c *target) finish(t *log.Target) error {
	t.Path = string(c.path)
	if c.sha256 != nil && copy(t.SHA256[:], c.sha256) != len(t.SHA256) || c.sha512 != nil && copy(t.SHA512[:], c.sha512) != len(t.SHA512) {
		return fmt.Errorf("target file %q: a digest is cut short", t.Path)
	}
	return nil
}

// listings returns the leaves that list a target file for which a condition with
// one argument holds. Each row has a leaf at which it begins: none after the first
// limit of them, in that order, is needed for as many leaves.
func (s *State) listings(ctx context.Context, where string, arg any, limit int) ([]log.Listing, error) {
	var list []log.Listing
	err := s.query(ctx, func() { list = nil }, func(rows pgx.Rows) (err error) {
		var l log.Listing
		var c target
		if l.Record, err = scanLeaf(rows, c.columns(&l.Target)...); err == nil {
			err = c.finish(&l.Target)
		}
		list = append(list, l)
		return err
	}, "SELECT "+leafColumns+", "+targetColumns+
		" FROM (SELECT * FROM state.targets WHERE "+where+" ORDER BY first, path LIMIT $2) t"+
		" CROSS JOIN LATERAL (SELECT * FROM state.leaves WHERE role = t.role AND idx >= t.first AND idx < coalesce(t.past, 9223372036854775807) ORDER BY role, idx LIMIT $2) l"+
		leafNames+"WHERE l.idx < (SELECT listed FROM state.position) ORDER BY l.idx, t.path LIMIT $2", arg, limit)
	return list, err
}

// ListSHA512 implements log.StateSearcher.
func (s *State) ListSHA512(ctx context.Context, sum log.SHA512, limit int) ([]log.Listing, error) {
	return s.listings(ctx, "substr(sha512, 1, 8) = substr($1::bytea, 1, 8) AND sha512 = $1", sum[:], limit)
}

// ListPath implements log.StateSearcher.
func (s *State) ListPath(ctx context.Context, path string, limit int) ([]log.Listing, error) {
	return s.listings(ctx, "substr(sha256(path), 1, 8) = substr(sha256($1::bytea), 1, 8) AND path = $1", []byte(path), limit)
}

// ListLength implements log.StateSearcher.
func (s *State) ListLength(ctx context.Context, length int64, limit int) ([]log.Listing, error) {
	return s.listings(ctx, "length = $1", length, limit)
}

// Files implements log.StateSearcher.
func (s *State) Files(ctx context.Context, index int64, limit int) (admit.Record, []log.Target, bool, error) {
	found, err := s.leaves(ctx, "WHERE l.idx = $1", index)
	if err != nil || len(found) == 0 {
		return admit.Record{}, nil, false, err
	}
	var list []log.Target
	err = s.query(ctx, func() { list = nil }, func(rows pgx.Rows) error {
		var t log.Target
		var c target
		err := rows.Scan(c.columns(&t)...)
		if err == nil {
			err = c.finish(&t)
		}
		list = append(list, t)
		return err
	}, "SELECT "+targetColumns+` FROM state.leaves l JOIN state.bases b ON b.idx = l.idx JOIN state.targets t ON t.role = l.role AND t.first BETWEEN b.base AND l.idx
		WHERE l.idx = $1 AND l.idx < (SELECT listed FROM state.position) AND (t.past IS NULL OR t.past > l.idx) ORDER BY t.path LIMIT $2`, index, limit)
	return found[0], list, true, err
}

// Versions implements log.StateSearcher.
func (s *State) Versions(ctx context.Context, repository tuf.Digest, role string) ([]admit.Record, error) {
	return s.leaves(ctx, "WHERE r.id = $1 AND n.name = $2 ORDER BY l.idx", repository[:], []byte(role))
}
