package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Leaf is an entry of the log with its verdict.
type Leaf struct {
	Index   int64
	Verdict Verdict
	leaf.Leaf
	Raw     []byte // the bytes of the entry; nil of one that is a leaf: they are to be made
	Expires int64  // POSIX seconds; 0: not known
}

// IsLeaf reports whether the entry is a leaf of a known kind.
func (l *Leaf) IsLeaf() bool { return l.Kind != "" }

// Entry returns the bytes that the log holds.
func (l *Leaf) Entry() []byte {
	if l.IsLeaf() {
		return l.Marshal()
	}
	return l.Raw
}

// Append adds the next leaf.
func (db *DB) Append(ctx context.Context, l *Leaf) error {
	if l.Index != db.tree.Size() {
		return &Error{fmt.Errorf("leaf %d comes after %d leaves", l.Index, db.tree.Size())}
	}
	if l.Index == 0 {
		db.payloads.begin()
	}
	verdict, err := code(verdicts, l.Verdict)
	if err != nil {
		return err
	}
	if !l.IsLeaf() {
		if _, err := db.write(ctx, "INSERT INTO leaves (leaf, verdict) VALUES (?, ?)", l.Index, verdict); err != nil {
			return err
		}
		if _, err := db.write(ctx, "INSERT INTO entries (leaf, raw) VALUES (?, ?)", l.Index, nonNil(l.Raw)); err != nil {
			return err
		}
		db.count(l.Verdict)
		return db.grow(proofs.LeafHash(l.Raw))
	}
	kind, err1 := code(kinds, l.Kind)
	listed, err2 := code(listings, l.Listed)
	encoding, err3 := code(encodings, l.Encoding)
	role, err4 := db.role(ctx, l.Repository, l.Role)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	previous, err := db.isActive(ctx, l)
	if err != nil {
		return err
	}
	var snapshot, contradicts, expires any
	if !l.Snapshot.IsZero() {
		snapshot = l.Snapshot[:]
	}
	if l.Kind == leaf.Evidence {
		contradicts = l.Contradicts
	}
	if l.Expires != 0 {
		expires = l.Expires
	}
	_, err = db.writeNow(ctx, "INSERT INTO leaves (leaf, role, kind, verdict, version, payload, metadata, size, snapshot, listed, contradicts, encoding, expires, previous) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		l.Index, role, kind, verdict, l.Version, l.Payload[:], l.Metadata[:], l.Size, snapshot, listed, contradicts, encoding, expires, previous)
	if err != nil {
		return err
	}
	db.payloads.add(l.Payload)
	entry := l.Raw
	if entry == nil {
		entry = l.Marshal()
	}
	db.count(l.Verdict)
	return db.grow(proofs.LeafHash(entry))
}

// nonNil is for columns that are never NULL.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SetVerdict changes the verdict on a leaf that was judged again, and when it expires; 0:
// not known.
func (db *DB) SetVerdict(ctx context.Context, index int64, v Verdict, expires int64) error {
	verdict, err := code(verdicts, v)
	if err != nil {
		return err
	}
	var when any
	if expires != 0 {
		when = expires
	}
	if err := db.recount(ctx, index, v); err != nil {
		return err
	}
	_, err = db.write(ctx, "UPDATE leaves SET verdict = ?, expires = ? WHERE leaf = ?", verdict, when, index)
	return err
}

const leafColumns = "l.leaf, l.verdict, coalesce(l.kind, 0), l.version, l.payload, l.metadata, l.size, l.snapshot, l.listed, l.contradicts, l.encoding, l.expires, r.name, p.id"

const leafJoin = " FROM leaves l LEFT JOIN roles r USING (role) LEFT JOIN repositories p USING (repository) "

// scanLeaf reads the leafColumns. Of an entry that is not a leaf the bytes are missing.
func scanLeaf(scan func(...any) error) (Leaf, error) {
	var l Leaf
	var verdict, kind int64
	var version, size, listed, contradicts, encoding, expires *int64
	var payload, metadata, snapshot, id []byte
	var role *string
	if err := scan(&l.Index, &verdict, &kind, &version, &payload, &metadata, &size, &snapshot, &listed, &contradicts, &encoding, &expires, &role, &id); err != nil {
		return l, err
	}
	var err error
	if l.Verdict, err = word(verdicts, verdict); err != nil {
		return l, err
	}
	if kind == 0 {
		return l, nil
	}
	if version == nil || size == nil || listed == nil || encoding == nil || role == nil {
		return l, damaged("leaf %d lacks a part", l.Index)
	}
	l.Role, l.Version, l.Size = *role, *version, *size
	var errs [7]error
	l.Kind, errs[0] = word(kinds, kind)
	l.Listed, errs[1] = word(listings, *listed)
	l.Encoding, errs[2] = word(encodings, *encoding)
	l.Repository, errs[3] = digest(id)
	l.Payload, errs[4] = digest(payload)
	l.Metadata, errs[5] = digest(metadata)
	if snapshot != nil {
		l.Snapshot, errs[6] = digest(snapshot)
	}
	if contradicts != nil {
		l.Contradicts = *contradicts
	}
	if expires != nil {
		l.Expires = *expires
	}
	return l, errors.Join(errs[:]...)
}

func digest(b []byte) (d tuf.Digest, err error) {
	if len(b) != len(d) {
		return d, damaged("a digest of %d bytes", len(b))
	}
	copy(d[:], b)
	return d, nil
}

// leaves calls fn for each leaf of a query. Entries that are not leaves have their bytes.
func (r *Reader) leaves(ctx context.Context, rest string, args []any, fn func(Leaf) error) error {
	return r.each(ctx, "SELECT "+leafColumns+leafJoin+rest, args, func(scan func(...any) error) error {
		l, err := scanLeaf(scan)
		if err != nil {
			return err
		}
		if !l.IsLeaf() {
			if ok, err := r.row(ctx, "SELECT raw FROM entries WHERE leaf = ?", []any{l.Index}, &l.Raw); err != nil || !ok {
				return errors.Join(err, damaged("entry %d is missing", l.Index))
			}
		}
		return fn(l)
	})
}

// Leaf returns the leaf at an index; false: it has not been judged.
func (r *Reader) Leaf(ctx context.Context, index int64) (found Leaf, ok bool, err error) {
	err = r.leaves(ctx, "WHERE l.leaf = ?", []any{index}, func(l Leaf) error {
		found, ok = l, true
		return nil
	})
	return found, ok, err
}

// Leaves calls fn for the leaves from one index up to but not including another, in log
// order. Its error ends that.
func (r *Reader) Leaves(ctx context.Context, from, to int64, fn func(Leaf) error) error {
	return r.leaves(ctx, "WHERE l.leaf >= ? AND l.leaf < ? ORDER BY l.leaf", []any{from, to}, fn)
}

// LeavesOf calls fn for the leaves of a repository, in log order, whatever their verdict.
func (r *Reader) LeavesOf(ctx context.Context, repository tuf.Digest, fn func(Leaf) error) error {
	number, ok, err := r.knownRepository(ctx, repository)
	if err != nil || !ok {
		return err
	}
	return r.leaves(ctx, "WHERE l.role IN (SELECT role FROM roles WHERE repository = ?) ORDER BY l.leaf", []any{number}, fn)
}

// LeavesOfFrom is LeavesOf for the leaves from an index on.
func (r *Reader) LeavesOfFrom(ctx context.Context, repository tuf.Digest, from int64, fn func(Leaf) error) error {
	number, ok, err := r.knownRepository(ctx, repository)
	if err != nil || !ok {
		return err
	}
	return r.leaves(ctx, "WHERE l.role IN (SELECT role FROM roles WHERE repository = ?) AND l.leaf >= ? ORDER BY l.leaf", []any{number, from}, fn)
}

// NewestOf calls fn for the right leaves of a repository, in log order: of each role for
// the last ones, at most so many, and for all of root.
func (r *Reader) NewestOf(ctx context.Context, repository tuf.Digest, most int, fn func(Leaf) error) error {
	number, ok, err := r.knownRepository(ctx, repository)
	if err != nil || !ok {
		return err
	}
	return r.leaves(ctx, `WHERE l.leaf IN (
		SELECT n.leaf FROM roles o JOIN leaves n USING (role) WHERE o.repository = ?1 AND o.name = 'root' AND n.verdict = 1 UNION ALL
		SELECT n.leaf FROM roles o JOIN leaves n ON n.leaf IN (SELECT leaf FROM leaves WHERE role = o.role AND verdict = 1 ORDER BY leaf DESC LIMIT ?2)
			WHERE o.repository = ?1 AND o.name <> 'root') ORDER BY l.leaf`, []any{number, most}, fn)
}

// LeavesOfVersion calls fn for the leaves of a version of a role, in log order, whatever their
// verdict.
func (r *Reader) LeavesOfVersion(ctx context.Context, repository tuf.Digest, role string, version int64, fn func(Leaf) error) error {
	number, ok, err := r.knownRepository(ctx, repository)
	if err != nil || !ok {
		return err
	}
	return r.leaves(ctx, "WHERE l.role = (SELECT role FROM roles WHERE repository = ? AND name = ?) AND l.version = ? ORDER BY l.leaf", []any{number, role, version}, fn)
}

// FirstWith returns the first right release that has a payload: of a root, if root is
// true, otherwise of another role.
func (r *Reader) FirstWith(ctx context.Context, payload tuf.Digest, root bool) (first Leaf, ok bool, err error) {
	var index int64
	found, err := r.row(ctx, `SELECT min(l.leaf) FROM leaves l JOIN roles r USING (role)
		WHERE substr(l.payload, 1, 8) = ?1 AND l.payload = ?2 AND l.verdict = 1 AND l.kind = 1 AND (r.name = 'root') = ?3 HAVING count(*) > 0`, []any{payload[:8], payload[:], root}, &index)
	if err != nil || !found {
		return Leaf{}, false, err
	}
	return r.Leaf(ctx, index)
}

// FirstWith is that of the Reader, and mostly knows without looking that there is none.
func (db *DB) FirstWith(ctx context.Context, payload tuf.Digest, root bool) (first Leaf, ok bool, err error) {
	if db.payloads.lacks(payload) {
		return Leaf{}, false, nil
	}
	return db.Reader.FirstWith(ctx, payload, root)
}

// ForgetNames says that Naming will not be asked: what makes that fast is not kept.
func (db *DB) ForgetNames(ctx context.Context) error {
	_, err := db.conn.ExecContext(context.WithoutCancel(ctx), "DROP INDEX leaves_by_metadata")
	return explained(err)
}

// Naming calls fn for the leaves that name a file as their metadata or payload, in log
// order, whatever their verdict.
func (r *Reader) Naming(ctx context.Context, sum tuf.Digest, fn func(Leaf) error) error {
	return r.leaves(ctx, `WHERE l.leaf IN (
		SELECT leaf FROM leaves WHERE substr(payload, 1, 8) = ?1 AND payload = ?2 UNION
		SELECT leaf FROM leaves WHERE substr(metadata, 1, 8) = ?1 AND metadata = ?2) ORDER BY l.leaf`, []any{sum[:8], sum[:]}, fn)
}
