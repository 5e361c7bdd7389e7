package state

import (
	"context"
	"encoding/hex"
	"encoding/json"
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
const maxOpen = 1 << 14

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
	number  int64
	waiting int64 // its number among those that are written together; -1: it has been written
	what    T
	seen    int64 // the leaf that last listed it, while one is compared
}

func (o *open[T]) trim() {
	if o.items > maxOpen {
		*o = open[T]{}
	}
}

// table is how a kind of items is kept.
type table[T comparable] struct {
	name string
	load string // number, name and the rest of the open rows of a role
	end  string
	new  func(*DB) *behind
	scan func(scan func(...any) error) (number int64, name string, what T, err error)
	args func(name string, what T) []any
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
func (r *openRole[T]) begin(ctx context.Context, db *DB, t *table[T], role, index int64, evidence bool, name string, what T, last any) (row[T], error) {
	began := row[T]{number: r.next, what: what, seen: index}
	r.next++
	var err error
	began.waiting, err = t.new(db).add(ctx, db, append([]any{role, began.number, index, last, evidence}, t.args(name, what)...)...)
	return began, err
}

// end ends a row with the release before the one at hand.
func (r *openRole[T]) end(ctx context.Context, db *DB, t *table[T], role int64, ends row[T]) error {
	if values := t.new(db).row(ends.waiting); values != nil {
		values[lastColumn] = r.last
		return nil
	}
	_, err := db.writeNow(ctx, t.end, r.last, role, ends.number)
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
		if err := r.end(ctx, db, t, role, before); err != nil {
			return err
		}
	} else {
		name = strings.Clone(name) // it is a part of a file's text
		o.items++
	}
	began, err := r.begin(ctx, db, t, role, index, false, name, what, nil)
	r.items[name] = began
	return err
}

// list writes what a leaf lists. A leaf of evidence has rows of its own.
func list[T comparable](ctx context.Context, db *DB, o *open[T], t *table[T], role, index int64, evidence bool, items iter.Seq2[string, T]) error {
	r, err := o.role(ctx, db, t, role)
	if err != nil {
		return err
	}
	if evidence {
		for name, what := range items {
			if _, err := r.begin(ctx, db, t, role, index, true, strings.Clone(name), what, index); err != nil {
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
			if err := r.end(ctx, db, t, role, item); err != nil {
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
		r.items[name] = row[T]{number: number, waiting: -1, what: what, seen: -1}
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
	name: "targets",
	load: "SELECT number, path, length, sha256, sha512 FROM targets WHERE role = ? AND last IS NULL",
	end:  "UPDATE targets SET last = ? WHERE role = ? AND number = ?",
	new:  func(db *DB) *behind { return &db.waiting.targets },
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
	name: "keys",
	load: "SELECT number, id, identity, signs, more FROM keys WHERE role = ? AND last IS NULL",
	end:  "UPDATE keys SET last = ? WHERE role = ? AND number = ?",
	new:  func(db *DB) *behind { return &db.waiting.keys },
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
