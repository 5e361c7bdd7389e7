package state

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Listed is what a row of what releases list says of its place.
type Listed struct {
	Repository tuf.Digest
	Role       string // whose leaves list it
	First      int64  // the first leaf that does
	// Last is the last one: all right releases of the role between them do. If the
	// role's newest leaf that is a right release lists it, Open is set, and Last is that.
	Last     int64
	Open     bool
	Evidence bool // the leaf is evidence; First is Last

	role, number int64 // of the row
}

// File is a target file, with successive releases of a role that list it.
type File struct {
	Listed
	Path   string
	Length int64      // in bytes; -1: not listed
	SHA256 tuf.Digest // zero: not listed
	SHA512 []byte     // nil: not listed
}

// Query says which files are looked for. All that is not zero must be the file's; one of
// SHA256, SHA512, Path and Repository is required.
type Query struct {
	SHA256     tuf.Digest
	SHA512     []byte // 64 bytes
	Path       string
	Repository tuf.Digest
}

// Files calls fn for the files that a query is about, in no order. An error of fn ends
// that.
func (r *Reader) Files(ctx context.Context, q Query, fn func(File) error) error {
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if !q.SHA256.IsZero() {
		add("t.sha256 = ?", q.SHA256[:])
	}
	if q.SHA512 != nil {
		add("t.sha512 = ?", q.SHA512)
	}
	if q.Path != "" {
		add("t.path = ?", q.Path)
	}
	if !q.Repository.IsZero() {
		number, ok, err := r.knownRepository(ctx, q.Repository)
		if err != nil || !ok {
			return err
		}
		add("r.repository = ?", number)
	}
	if len(where) == 0 {
		return errors.New("auditor state: a query for all files of all repositories")
	}
	return r.files(ctx, "FROM targets t JOIN roles r USING (role) JOIN repositories p USING (repository) WHERE "+strings.Join(where, " AND "), args, fn)
}

// files calls fn for each file of a query.
func (r *Reader) files(ctx context.Context, rest string, args []any, fn func(File) error) error {
	return r.each(ctx, "SELECT "+listedColumns+", t.path, t.length, t.sha256, t.sha512 "+rest, args, func(scan func(...any) error) error {
		var f File
		var sha256 []byte
		if err := scanListed(scan, &f.Listed, &f.Path, &f.Length, &sha256, &f.SHA512); err != nil {
			return err
		}
		if sha256 != nil {
			var err error
			if f.SHA256, err = digest(sha256); err != nil {
				return err
			}
		}
		return fn(f)
	})
}

// listedColumns are those of a table t of what is listed. The last leaf of an open row
// is the newest right release of the role.
const listedColumns = `p.id, r.name, t.first, coalesce(t.last, (SELECT max(leaf) FROM leaves WHERE role = t.role AND kind = 1 AND verdict = 1), t.first), t.last IS NULL, t.evidence, t.role, t.number`

func scanListed(scan func(...any) error, l *Listed, rest ...any) error {
	var id []byte
	if err := scan(append([]any{&id, &l.Role, &l.First, &l.Last, &l.Open, &l.Evidence, &l.role, &l.number}, rest...)...); err != nil {
		return err
	}
	var err error
	l.Repository, err = digest(id)
	return err
}

// KeyUse is a key, with successive releases of a role that list it.
type KeyUse struct {
	Listed
	ID       string
	Identity tuf.KeyIdentity // zero: of a kind of key that is not known
	Signs    []KeyRole       // the first roles that it may sign; empty: none
	More     int64           // how many others there are
}

// KeyUses calls fn for the places where a key is listed: under an id, or if that is
// empty, the key of an identity, under any id. An error of fn ends that.
func (r *Reader) KeyUses(ctx context.Context, id string, identity tuf.KeyIdentity, fn func(KeyUse) error) error {
	where, arg := "t.id = ?", any(id)
	if id == "" {
		where, arg = "t.identity = ?", identity[:]
	}
	return r.keyUses(ctx, keysJoin+where+" ORDER BY t.first", []any{arg}, fn)
}

// KeysOf calls fn for the keys that the leaves of a repository list, in no order. An error
// of fn ends that.
func (r *Reader) KeysOf(ctx context.Context, repository tuf.Digest, fn func(KeyUse) error) error {
	return r.keyUses(ctx, keysJoin+"p.id = ?", []any{repository[:]}, fn)
}

const keysJoin = "FROM keys t JOIN roles r USING (role) JOIN repositories p USING (repository) WHERE "

// keyUses calls fn for each key of a query.
func (r *Reader) keyUses(ctx context.Context, rest string, args []any, fn func(KeyUse) error) error {
	return r.each(ctx, "SELECT "+listedColumns+", t.id, t.identity, t.signs, t.more "+rest,
		args, func(scan func(...any) error) error {
			var k KeyUse
			var identity []byte
			var signs string
			if err := scanListed(scan, &k.Listed, &k.ID, &identity, &signs, &k.More); err != nil {
				return err
			}
			d, err := digest(identity)
			if err != nil {
				return err
			}
			k.Identity = tuf.KeyIdentity(d)
			if err := json.Unmarshal([]byte(signs), &k.Signs); err != nil {
				return damaged("the roles of a key: %v", err)
			}
			return fn(k)
		})
}

// UnderRootKey returns the repositories of which a root names a key for root, at most
// limit: those that did so first.
func (r *Reader) UnderRootKey(ctx context.Context, identity tuf.KeyIdentity, limit int) (ids []tuf.Digest, err error) {
	err = r.each(ctx, `SELECT p.id, min(k.first) FROM keys k JOIN roles r USING (role) JOIN repositories p USING (repository)
		WHERE k.identity = ? AND r.name = 'root' AND NOT k.evidence AND instr(k.signs, '"role":"root"') GROUP BY p.id ORDER BY 2 LIMIT ?`,
		[]any{identity[:], limit}, func(scan func(...any) error) error {
			var id []byte
			var first int64
			if err := scan(&id, &first); err != nil {
				return err
			}
			d, err := digest(id)
			ids = append(ids, d)
			return err
		})
	return ids, err
}
