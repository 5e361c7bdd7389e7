package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/targetrows"
)

// key is where a row of the table targets is found in its role.
type key struct {
	first int64
	place int32
}

// role is what List remembers of a role.
type role = targetrows.Role[key]

// List implements log.StateWriter.
func (s *State) List(ctx context.Context, leaves []log.StateLeaf, done func(listed int64)) error {
	listing := targetrows.Listing[key]{Leaves: leaves}
	for len(listing.Leaves) > 0 {
		listed, err := s.listSome(ctx, &listing)
		if err != nil {
			return err
		}
		done(listed)
	}
	return nil
}

// listSome lists what one transaction may hold.
func (s *State) listSome(ctx context.Context, listing *targetrows.Listing[key]) (listed int64, err error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	err = s.write(ctx, "list in the state", func(ctx context.Context, tx pgx.Tx) error {
		l := lister{State: s, tx: tx}
		l.targets.at = map[rowKey]int{}
		size := int64(0)
		if listed, size, err = l.begin(ctx); err != nil {
			return err
		}
		if first := listing.Leaves[0].Index; first != listed || listed+int64(len(listing.Leaves)) > size {
			return fmt.Errorf("leaves from %d on are to be listed in a state of %d leaves, of which %d are listed", first, size, listed)
		}
		if err := l.remember(ctx, listing.Leaves); err != nil {
			return err
		}
		for room := log.MaxListRows; room > 0 && len(listing.Leaves) > 0; {
			if listing.SkipEnd() {
				listed++
				continue
			}
			rows, done, err := l.step(listing, room)
			if err != nil {
				return err
			}
			if room -= rows; done {
				listed++
			}
		}
		return l.write(ctx, listed)
	})
	if err != nil {
		// What is remembered may be of the transaction that was rolled back.
		s.roles.Forget()
	} else if listing.Between() {
		s.roles.Trim()
	}
	return listed, err
}

// lister collects the rows of one transaction, as columns.
type lister struct {
	*State
	tx pgx.Tx

	bases   struct{ index, base []int64 } // of leaves that are begun
	targets struct {
		role, first, length  []int64
		place                []int32
		past                 []*int64
		path, sha256, sha512 [][]byte
		at                   map[rowKey]int // rows of this transaction
	}
	past struct {
		role, first, past []int64
		place             []int32
	}
}

type rowKey struct {
	role int64
	key
}

// begin returns of how many leaves the state has the target files, and how many it
// has.
func (l *lister) begin(ctx context.Context) (listed, size int64, err error) {
	var b pgx.Batch
	var text []byte
	b.Queue(plainPlans)
	b.Queue(l.in("SELECT listed, edge FROM state.position FOR UPDATE")).
		QueryRow(func(row pgx.Row) error { return row.Scan(&listed, &text) })
	if err := l.tx.SendBatch(ctx, &b).Close(); err != nil {
		return 0, 0, err
	}
	edge, err := parseEdge(text)
	if err != nil {
		return 0, 0, err
	}
	return listed, edge.Tree().N, nil
}

// remember reads what is not remembered of the roles that the leaves are of.
func (l *lister) remember(ctx context.Context, leaves []log.StateLeaf) error {
	var names []targetrows.Name
	var first []int64 // each role's first leaf of these
	asked := map[targetrows.Name]bool{}
	for _, leaf := range leaves {
		if name := nameOf(leaf); !leaf.End && l.roles.Get(name) == nil && !asked[name] {
			asked[name] = true
			names, first = append(names, name), append(first, leaf.Index)
		}
	}
	if len(names) == 0 {
		return nil
	}
	// What the leaf before lists has begun since its base.
	rows, err := l.tx.Query(ctx, l.in(`SELECT q.at, l.role, o.base, b.base FROM unnest($1::bigint[]) WITH ORDINALITY q(idx, at)
		JOIN state.leaves l ON l.idx = q.idx LEFT JOIN state.bases o ON o.idx = q.idx
		LEFT JOIN LATERAL (SELECT idx FROM state.leaves WHERE role = l.role AND idx < q.idx ORDER BY role DESC, idx DESC LIMIT 1) p ON true
		LEFT JOIN state.bases b ON b.idx = p.idx`), first)
	if err != nil {
		return err
	}
	byNumber := map[int64]*role{}
	var numbers, from []int64
	var at, number int64
	var own, before *int64
	_, err = pgx.ForEachRow(rows, []any{&at, &number, &own, &before}, func() error {
		index := first[at-1]
		r := &role{Number: number, Base: index}
		start := index
		if before != nil {
			r.Base, start = *before, *before
		}
		if r.Begun = own != nil; r.Begun {
			r.Base = *own
		}
		byNumber[number] = r
		l.roles.Add(names[at-1], r)
		numbers, from = append(numbers, number), append(from, start)
		return nil
	})
	if err != nil {
		return err
	}
	return l.open(ctx, numbers, from, byNumber)
}

// open reads what the last leaves of roles list, and what was begun for the next.
func (l *lister) open(ctx context.Context, numbers, from []int64, roles map[int64]*role) error {
	rows, err := l.tx.Query(ctx, l.in("SELECT t.role, t.first, t.place, t.past IS NULL, "+targetColumns+`
		FROM unnest($1::bigint[], $2::bigint[]) q(role, first) CROSS JOIN LATERAL (SELECT * FROM state.targets WHERE role = q.role AND first >= q.first OFFSET 0) t`), numbers, from)
	if err != nil {
		return err
	}
	var t log.Target
	var c target
	var number int64
	var k key
	var open bool
	_, err = pgx.ForEachRow(rows, append([]any{&number, &k.first, &k.place, &open}, c.columns(&t)...), func() error {
		r := roles[number]
		if k.first >= r.Base {
			r.Rows++
		}
		if !open {
			return nil
		}
		now := log.Target{Length: t.Length}
		if err := c.finish(&now); err != nil {
			return err
		}
		l.roles.Begin(r, now, k)
		return nil
	})
	return err
}

// spare is how many more rows than twice a leaf's files may have begun since its
// base, before all begin anew. It is part of the format: two states of one log
// are the same.
const spare = 64

// step ends and begins rows for what the next leaf lists differently from the last
// of its role, as far as there is room.
func (l *lister) step(listing *targetrows.Listing[key], room int) (rows int, done bool, err error) {
	leaf := listing.Leaves[0]
	r := l.roles.Get(nameOf(leaf))
	if r == nil {
		return 0, false, fmt.Errorf("leaf %d has no role: run logserver reindex", leaf.Index)
	}
	listing.Begin(func(leaf log.StateLeaf) ([]log.Target, []targetrows.Row[key]) { return l.compare(r, leaf) })
	rows, done, err = listing.Step(room, func(row targetrows.Row[key]) error {
		l.end(r.Number, row.Key, leaf.Index)
		l.roles.End(r, row)
		return nil
	}, func(t log.Target) error {
		k := key{leaf.Index, r.Placed}
		r.Placed++
		r.Rows++
		l.insert(r.Number, k, t)
		l.roles.Begin(r, t, k)
		return nil
	})
	if done {
		r.Begun, r.Placed = false, 0
	}
	return rows, done, err
}

// compare says what is left to do for a leaf. Where too many rows have begun since
// the base, all begin anew; that is decided before the first of them does, and kept
// with the leaf.
func (l *lister) compare(r *role, leaf log.StateLeaf) (fresh []log.Target, past []targetrows.Row[key]) {
	stale := func(row targetrows.Row[key]) bool { return row.Key.first < r.Base }
	if r.Begun {
		for _, row := range r.Open {
			if row.Key.first == leaf.Index {
				r.Placed++
			}
		}
		return r.Compare(leaf.Targets, stale)
	}
	fresh, past = r.Compare(leaf.Targets, nil)
	if r.Rows+len(fresh) > spare+2*len(leaf.Targets) {
		r.Base, r.Rows = leaf.Index, 0
		fresh, past = r.Compare(leaf.Targets, stale)
	}
	r.Begun = true
	if log.Lists(leaf.Leaf.Role) {
		l.bases.index, l.bases.base = append(l.bases.index, leaf.Index), append(l.bases.base, r.Base)
	}
	return fresh, past
}

func (l *lister) insert(role int64, k key, t log.Target) {
	c := &l.targets
	var sha256, sha512 []byte
	if !t.SHA256.IsZero() {
		sha256 = t.SHA256[:]
	}
	if t.SHA512 != (log.SHA512{}) {
		sha512 = t.SHA512[:]
	}
	c.at[rowKey{role, k}] = len(c.role)
	c.role, c.first, c.place, c.past = append(c.role, role), append(c.first, k.first), append(c.place, k.place), append(c.past, nil)
	c.path, c.length = append(c.path, []byte(t.Path)), append(c.length, t.Length)
	c.sha256, c.sha512 = append(c.sha256, sha256), append(c.sha512, sha512)
}

func (l *lister) end(role int64, k key, index int64) {
	if at, ok := l.targets.at[rowKey{role, k}]; ok {
		l.targets.past[at] = &index
		return
	}
	p := &l.past
	p.role, p.first, p.place, p.past = append(p.role, role), append(p.first, k.first), append(p.place, k.place), append(p.past, index)
}

// write sends everything.
func (l *lister) write(ctx context.Context, listed int64) error {
	b := batch{state: l.State}
	b.queue(len(l.bases.index), "INSERT INTO state.bases SELECT * FROM unnest($1::bigint[], $2::bigint[])", l.bases.index, l.bases.base)
	p := &l.past
	b.queue(len(p.role), `UPDATE state.targets t SET past = q.past FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[]) q(role, first, place, past)
		WHERE t.role = q.role AND t.first = q.first AND t.place = q.place`, p.role, p.first, p.place, p.past)
	t := &l.targets
	b.queue(len(t.role), "INSERT INTO state.targets SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[], $8::bytea[])",
		t.role, t.first, t.place, t.past, t.path, t.length, t.sha256, t.sha512)
	b.Queue(l.in("UPDATE state.position SET listed = $1"), listed)
	return l.tx.SendBatch(ctx, &b.Batch).Close()
}
