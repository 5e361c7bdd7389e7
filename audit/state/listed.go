package state

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// This file is about what releases list: target files, and keys. Releases of a role
// mostly list the same as the one before. So there is one row for an item and all
// successive releases of a role that list it, and only the differences from the role's
// last release are written for a leaf. What the last release lists is remembered, as
// far as memory allows.

// maxOpen is how many items are remembered between leaves.
const maxOpen = 1 << 16

// open is what the last releases of roles list.
type open[T comparable] struct {
	roles map[int64]*openRole[T]
	items int
}

type openRole[T comparable] struct {
	items map[string]row[T] // by path or key id
	next  int64             // the number of the next row
	last  int64             // the last release; -1: none
}

type row[T comparable] struct {
	number int64
	what   T
	seen   int64 // the leaf that last listed it, while one is compared
}

func (o *open[T]) trim() {
	if o.items > maxOpen {
		*o = open[T]{}
	}
}

// table is how a kind of items is kept.
type table[T comparable] struct {
	name   string
	load   string // number, name and the rest of the open rows of a role
	insert string
	end    string
	scan   func(scan func(...any) error) (number int64, name string, what T, err error)
	args   func(name string, what T) []any
}

// role returns what the last release of a role lists.
func (o *open[T]) role(ctx context.Context, db *DB, t *table[T], role int64) (*openRole[T], error) {
	if r := o.roles[role]; r != nil {
		return r, nil
	}
	r, err := loadOpen(ctx, db, t, role)
	if err != nil {
		return nil, err
	}
	if o.roles == nil {
		o.roles = map[int64]*openRole[T]{}
	}
	o.roles[role] = r
	o.items += len(r.items)
	return r, nil
}

// begin begins a row; last is nil for one that stays open.
func (r *openRole[T]) begin(ctx context.Context, db *DB, t *table[T], role, index int64, evidence bool, name string, what T, last any) error {
	args := append([]any{role, r.next, index, last, evidence}, t.args(name, what)...)
	_, err := db.write(ctx, t.insert, args...)
	r.next++
	return err
}

// end ends a row with the release before the one at hand.
func (r *openRole[T]) end(ctx context.Context, db *DB, t *table[T], role, number int64) error {
	_, err := db.write(ctx, t.end, r.last, role, number)
	return err
}

// lists notes that a release lists an item.
func (o *open[T]) lists(ctx context.Context, db *DB, t *table[T], r *openRole[T], role, index int64, name string, what T) error {
	before, there := r.items[name]
	if there && before.what == what {
		before.seen = index
		r.items[name] = before
		return nil
	}
	if there {
		if err := r.end(ctx, db, t, role, before.number); err != nil {
			return err
		}
	} else {
		name = strings.Clone(name) // it is a part of a file's text
		o.items++
	}
	r.items[name] = row[T]{r.next, what, index}
	return r.begin(ctx, db, t, role, index, false, name, what, nil)
}

// list writes what a leaf lists. A leaf of evidence has rows of its own.
func list[T comparable](ctx context.Context, db *DB, o *open[T], t *table[T], role, index int64, evidence bool, items iter.Seq2[string, T]) error {
	r, err := o.role(ctx, db, t, role)
	if err != nil {
		return err
	}
	if evidence {
		for name, what := range items {
			if err := r.begin(ctx, db, t, role, index, true, name, what, index); err != nil {
				return err
			}
		}
		return nil
	}
	seen := 0
	for name, what := range items {
		if err := o.lists(ctx, db, t, r, role, index, name, what); err != nil {
			return err
		}
		seen++
	}
	if seen < len(r.items) {
		for name, item := range r.items {
			if item.seen == index {
				continue
			}
			if err := r.end(ctx, db, t, role, item.number); err != nil {
				return err
			}
			delete(r.items, name)
			o.items--
		}
	}
	r.last = index
	return nil
}

func loadOpen[T comparable](ctx context.Context, db *DB, t *table[T], role int64) (*openRole[T], error) {
	r := &openRole[T]{items: map[string]row[T]{}}
	if _, err := db.row(ctx, "SELECT coalesce(max(number), -1) + 1 FROM "+t.name+" WHERE role = ?", []any{role}, &r.next); err != nil {
		return nil, err
	}
	// The release whose items are open is the last right one before the leaf at hand,
	// which is not listed yet.
	if _, err := db.row(ctx, "SELECT coalesce(max(leaf), -1) FROM leaves WHERE role = ? AND kind = 1 AND verdict = 1", []any{role}, &r.last); err != nil {
		return nil, err
	}
	if r.next == 0 {
		return r, nil
	}
	err := db.each(ctx, t.load, []any{role}, func(scan func(...any) error) error {
		number, name, what, err := t.scan(scan)
		r.items[name] = row[T]{number, what, -1}
		return err
	})
	return r, err
}

// target is what a release says of a file.
type target struct {
	length         int64
	sha256, sha512 string // raw; empty: not listed
}

var targetTable = &table[target]{
	name:   "targets",
	load:   "SELECT number, path, length, sha256, sha512 FROM targets WHERE role = ? AND last IS NULL",
	insert: "INSERT INTO targets (role, number, first, last, evidence, path, length, sha256, sha512) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	end:    "UPDATE targets SET last = ? WHERE role = ? AND number = ?",
	scan: func(scan func(...any) error) (number int64, path string, t target, err error) {
		var sha256, sha512 []byte
		err = scan(&number, &path, &t.length, &sha256, &sha512)
		t.sha256, t.sha512 = string(sha256), string(sha512)
		return number, path, t, err
	},
	args: func(path string, t target) []any { return []any{path, t.length, blob(t.sha256), blob(t.sha512)} },
}

// blob is a column that is NULL when it is empty.
func blob(s string) any {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func targetOf(f tuf.TargetFile) target {
	t := target{length: f.Length}
	for algorithm, sum := range f.Hashes {
		raw, err := hex.DecodeString(sum)
		if err != nil {
			continue
		}
		switch {
		case algorithm == "sha256" && len(raw) == 32:
			t.sha256 = string(raw)
		case algorithm == "sha512" && len(raw) == 64:
			t.sha512 = string(raw)
		}
	}
	return t
}

// key is what a release says of a key.
type key struct {
	identity string
	signs    string // JSON of []KeyRole
	more     int64  // other roles that it may sign
}

var keyTable = &table[key]{
	name:   "keys",
	load:   "SELECT number, id, identity, signs, more FROM keys WHERE role = ? AND last IS NULL",
	insert: "INSERT INTO keys (role, number, first, last, evidence, id, identity, signs, more) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	end:    "UPDATE keys SET last = ? WHERE role = ? AND number = ?",
	scan: func(scan func(...any) error) (number int64, id string, k key, err error) {
		var identity []byte
		err = scan(&number, &id, &identity, &k.signs, &k.more)
		k.identity = string(identity)
		return number, id, k, err
	},
	args: func(id string, k key) []any { return []any{id, []byte(k.identity), k.signs, k.more} },
}

// KeyRole is a role that a key may sign, and how many keys must.
type KeyRole struct {
	Role      string `json:"role"`
	Threshold int    `json:"threshold"`
}

// maxKeyRoles is how many roles are kept of those that a release lets a key sign.
const maxKeyRoles = 8

// keysOf yields the keys that a file lists, by id, with the roles that they may sign.
func keysOf(m *tuf.Metadata) map[string]key {
	roles := map[string]tuf.Role{}
	var order []string
	var keys map[string]*tuf.Key
	switch {
	case m.Root != nil:
		keys = m.Root.Keys
		for name, role := range m.Root.Roles {
			roles[name] = role
		}
		order = slices.Sorted(maps.Keys(roles))
	case m.Targets != nil && m.Targets.Delegations != nil:
		d := m.Targets.Delegations
		keys = d.Keys
		for _, role := range d.Roles {
			if _, twice := roles[role.Name]; !twice {
				order = append(order, role.Name)
			}
			roles[role.Name] = role.Role
		}
		if s := d.Succinct; s != nil {
			name := s.NamePrefix + "-*"
			roles[name] = s.Role
			order = append(order, name)
		}
	}
	signs := map[string][]KeyRole{}
	more := map[string]int64{}
	for _, name := range order {
		for _, id := range roles[name].KeyIDs {
			if len(signs[id]) == maxKeyRoles {
				more[id]++
				continue
			}
			signs[id] = append(signs[id], KeyRole{name, roles[name].Threshold})
		}
	}
	found := make(map[string]key, len(keys))
	for id, k := range keys {
		identity, _ := k.Identity()
		text, err := json.Marshal(signs[id])
		if err != nil || signs[id] == nil {
			text = []byte("[]")
		}
		found[id] = key{string(identity[:]), string(text), more[id]}
	}
	return found
}

// List notes what a right leaf lists: target files, and keys. It comes before the leaf is
// appended, or its verdict set.
func (db *DB) List(ctx context.Context, l *Leaf, m *tuf.Metadata) error {
	if m.Root == nil && m.Targets == nil {
		return nil
	}
	role, err := db.role(ctx, l.Repository, l.Role)
	if err != nil {
		return err
	}
	evidence := l.Kind != "release"
	if m.Targets != nil {
		err = list(ctx, db, &db.targets, targetTable, role, l.Index, evidence, func(yield func(string, target) bool) {
			for path, file := range m.Targets.Files() {
				if !yield(path, targetOf(file)) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return list(ctx, db, &db.keys, keyTable, role, l.Index, evidence, func(yield func(string, key) bool) {
		found := keysOf(m)
		for _, id := range slices.Sorted(maps.Keys(found)) {
			if !yield(id, found[id]) {
				return
			}
		}
	})
}

// Since is what a release lists that the one before it does not.
type Since struct {
	Before   int64                             // the leaf of the release before, of the role
	Targets  iter.Seq2[string, tuf.TargetFile] // those that are new or say something else
	SameKeys bool                              // it lists the same keys for the same roles
}

// ListSince is List for a release of which it is known what it lists that the one before
// it does not. It comes to the same, without reading the rest.
func (db *DB) ListSince(ctx context.Context, l *Leaf, m *tuf.Metadata, since Since) error {
	if m.Targets == nil || l.Kind != "release" {
		return db.List(ctx, l, m)
	}
	role, err := db.role(ctx, l.Repository, l.Role)
	if err != nil {
		return err
	}
	targets, err := db.targets.role(ctx, db, targetTable, role)
	if err != nil {
		return err
	}
	keys, err := db.keys.role(ctx, db, keyTable, role)
	if err != nil {
		return err
	}
	if targets.last != since.Before || keys.last != since.Before || !since.SameKeys {
		return db.List(ctx, l, m)
	}
	for path, file := range since.Targets {
		if err := db.targets.lists(ctx, db, targetTable, targets, role, l.Index, path, targetOf(file)); err != nil {
			return err
		}
	}
	if len(targets.items) != m.Targets.Len() {
		return db.List(ctx, l, m) // some are listed no more
	}
	targets.last, keys.last = l.Index, l.Index
	return nil
}

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
func (db *DB) Files(ctx context.Context, q Query, fn func(File) error) error {
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if !q.SHA256.IsZero() {
		add("substr(t.sha256, 1, 8) = ? AND t.sha256 IS NOT NULL AND t.sha256 = ?", q.SHA256[:8], q.SHA256[:])
	}
	if len(q.SHA512) >= 8 {
		add("substr(t.sha512, 1, 8) = ? AND t.sha512 IS NOT NULL AND t.sha512 = ?", q.SHA512[:8], q.SHA512)
	}
	if q.Path != "" {
		add("t.path = ?", q.Path)
	}
	if !q.Repository.IsZero() {
		number, ok, err := db.knownRepository(ctx, q.Repository)
		if err != nil || !ok {
			return err
		}
		add("r.repository = ?", number)
	}
	if len(where) == 0 {
		return errors.New("auditor state: a query for all files of all repositories")
	}
	return db.each(ctx, "SELECT "+listedColumns+", t.path, t.length, t.sha256, t.sha512 FROM targets t JOIN roles r USING (role) JOIN repositories p USING (repository) WHERE "+strings.Join(where, " AND "),
		args, func(scan func(...any) error) error {
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
const listedColumns = `p.id, r.name, t.first, coalesce(t.last, (SELECT max(leaf) FROM leaves WHERE role = t.role AND kind = 1 AND verdict = 1), t.first), t.last IS NULL, t.evidence`

func scanListed(scan func(...any) error, l *Listed, rest ...any) error {
	var id []byte
	if err := scan(append([]any{&id, &l.Role, &l.First, &l.Last, &l.Open, &l.Evidence}, rest...)...); err != nil {
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
func (db *DB) KeyUses(ctx context.Context, id string, identity tuf.KeyIdentity, fn func(KeyUse) error) error {
	where, arg := "t.id = ?", any(id)
	if id == "" {
		where, arg = "t.identity = ?", identity[:]
	}
	return db.keyUses(ctx, where+" ORDER BY t.first", arg, fn)
}

// KeysOf calls fn for the keys that the leaves of a repository list, in no order. An error
// of fn ends that.
func (db *DB) KeysOf(ctx context.Context, repository tuf.Digest, fn func(KeyUse) error) error {
	return db.keyUses(ctx, "p.id = ?", repository[:], fn)
}

func (db *DB) keyUses(ctx context.Context, where string, arg any, fn func(KeyUse) error) error {
	return db.each(ctx, "SELECT "+listedColumns+", t.id, t.identity, t.signs, t.more FROM keys t JOIN roles r USING (role) JOIN repositories p USING (repository) WHERE "+where,
		[]any{arg}, func(scan func(...any) error) error {
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
func (db *DB) UnderRootKey(ctx context.Context, identity tuf.KeyIdentity, limit int) (ids []tuf.Digest, err error) {
	err = db.each(ctx, `SELECT p.id, min(k.first) FROM keys k JOIN roles r USING (role) JOIN repositories p USING (repository)
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
