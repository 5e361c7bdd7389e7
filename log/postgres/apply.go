package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/targetrows"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// key is where a row of the table targets is found in its role.
type key struct {
	first int64
	place int32
}

// Apply implements log.StateWriter.
func (s *State) Apply(ctx context.Context, edge *proofs.Edge, leaves []log.StateLeaf) error {
	text, err := edge.MarshalText()
	if err != nil {
		return err
	}
	if s.lease == nil && s.schema == "state" {
		return fmt.Errorf("apply to the state: %w", ErrNotLeader)
	}
	if s.lease != nil {
		var cancel context.CancelFunc
		ctx, cancel = s.lease.during(ctx)
		defer cancel()
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	s.roles.Trim()
	err = s.db.inTx(ctx, s.lease, func(tx pgx.Tx) error {
		a := applier{State: s, ctx: ctx, tx: tx}
		if err := a.begin(edge, leaves); err != nil {
			return err
		}
		leaves := leaves
		if n := len(leaves); n > 0 && leaves[n-1].End {
			leaves = leaves[:n-1] // nothing else is kept of it
		}
		if err := a.remember(leaves); err != nil {
			return err
		}
		for _, l := range leaves {
			if err := a.apply(l); err != nil {
				return fmt.Errorf("leaf %d: %w", l.Index, err)
			}
		}
		return a.write(text)
	})
	if err != nil {
		// What is remembered may be of the transaction that was rolled back.
		s.roles.Forget()
		if s.lease != nil {
			err = s.lease.explain(err)
		}
		return wrap("apply to the state", err)
	}
	return nil
}

// applier collects the rows of one transaction, as columns. All are sent at once:
// a trip for each leaf would take longer than everything else.
type applier struct {
	*State
	ctx context.Context
	tx  pgx.Tx

	repositories map[verify.Digest]int64
	lastRepo     int64
	lastRole     int64

	newRepos struct {
		number   []int64
		id       [][]byte
		encoding []string
	}
	newRoles struct {
		number, repository []int64
		name               [][]byte
	}
	counts struct {
		at                 map[int64]int // by repository
		repository         []int64
		releases, evidence []int64
	}
	leaf struct {
		index, role, version, size, base []int64
		kind, listed                     []string
		payload, metadata, snapshot      [][]byte
		contradicts                      []*int64
	}
	roots struct {
		payload [][]byte
		leaf    []int64
	}
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

// begin checks that the leaves follow the state.
func (a *applier) begin(edge *proofs.Edge, leaves []log.StateLeaf) error {
	var text []byte
	var b pgx.Batch
	// A plan made for a small table would read the whole of a large one.
	b.Queue("SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)")
	b.Queue(a.in("SELECT edge FROM state.position FOR UPDATE")).QueryRow(func(row pgx.Row) error { return row.Scan(&text) })
	b.Queue(a.in("SELECT coalesce((SELECT max(number) FROM state.repositories), 0), coalesce((SELECT max(number) FROM state.roles), 0)")).
		QueryRow(func(row pgx.Row) error { return row.Scan(&a.lastRepo, &a.lastRole) })
	if err := a.tx.SendBatch(a.ctx, &b).Close(); err != nil {
		return err
	}
	before, err := parseEdge(text)
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
	return nil
}

// remember reads what is not remembered of the roles that the leaves are of.
func (a *applier) remember(leaves []log.StateLeaf) error {
	a.repositories = map[verify.Digest]int64{}
	a.counts.at = map[int64]int{}
	a.targets.at = map[rowKey]int{}
	var names []targetrows.Name
	var repositories, roles [][]byte
	asked := map[targetrows.Name]bool{}
	for _, l := range leaves {
		name := targetrows.Name{Repository: l.Leaf.Repository, Role: l.Leaf.Role}
		if a.roles.Get(name) == nil && !asked[name] {
			asked[name] = true
			names = append(names, name)
			repositories, roles = append(repositories, name.Repository[:]), append(roles, []byte(name.Role))
		}
	}
	if len(names) == 0 {
		return nil
	}
	rows, err := a.tx.Query(a.ctx, a.in(`SELECT q.at, r.number, n.number, b.base
		FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY q(repository, name, at)
		JOIN state.repositories r ON r.id = q.repository
		LEFT JOIN state.roles n ON n.repository = r.number AND n.name = q.name
		LEFT JOIN LATERAL (SELECT base FROM state.leaves WHERE role = n.number ORDER BY role DESC, idx DESC LIMIT 1) b ON true`), repositories, roles)
	if err != nil {
		return err
	}
	byNumber := map[int64]*targetrows.Role[key]{}
	named := map[int64]targetrows.Name{}
	var numbers, bases []int64
	var at, repository int64
	var number, base *int64
	_, err = pgx.ForEachRow(rows, []any{&at, &repository, &number, &base}, func() error {
		name := names[at-1]
		a.repositories[name.Repository] = repository
		if number == nil {
			return nil
		}
		if base == nil {
			return fmt.Errorf("role %q has no leaf: run logserver reindex", name.Role)
		}
		byNumber[*number] = &targetrows.Role[key]{Number: *number, Repository: repository, Base: *base}
		named[*number] = name
		numbers, bases = append(numbers, *number), append(bases, *base)
		return nil
	})
	if err != nil || len(numbers) == 0 {
		return err
	}
	return a.open(numbers, bases, byNumber, named)
}

// open reads what the last leaves of roles list.
func (a *applier) open(numbers, bases []int64, roles map[int64]*targetrows.Role[key], names map[int64]targetrows.Name) error {
	for number, r := range roles {
		a.roles.Add(names[number], r)
	}
	rows, err := a.tx.Query(a.ctx, a.in("SELECT t.role, t.first, t.place, t.past IS NULL, "+targetColumns+`
		FROM unnest($1::bigint[], $2::bigint[]) q(role, base) CROSS JOIN LATERAL (SELECT * FROM state.targets WHERE role = q.role AND first >= q.base OFFSET 0) t`), numbers, bases)
	if err != nil {
		return err
	}
	var t log.Target
	var c target
	var role int64
	var k key
	var open bool
	_, err = pgx.ForEachRow(rows, append([]any{&role, &k.first, &k.place, &open}, c.columns(&t)...), func() error {
		r := roles[role]
		r.Rows++
		if !open {
			return nil
		}
		now := log.Target{Length: t.Length}
		if err := c.finish(&now); err != nil {
			return err
		}
		a.roles.Begin(r, now, k)
		return nil
	})
	return err
}

// role finds or makes the role of a leaf.
func (a *applier) role(l log.StateLeaf) *targetrows.Role[key] {
	name := targetrows.Name{Repository: l.Leaf.Repository, Role: l.Leaf.Role}
	if r := a.roles.Get(name); r != nil {
		return r
	}
	repository, ok := a.repositories[name.Repository]
	if !ok {
		a.lastRepo++
		repository = a.lastRepo
		a.repositories[name.Repository] = repository
		n := &a.newRepos
		n.number, n.id, n.encoding = append(n.number, repository), append(n.id, name.Repository[:]), append(n.encoding, string(l.Leaf.Encoding))
	}
	a.lastRole++
	r := &targetrows.Role[key]{Number: a.lastRole, Repository: repository, Base: l.Index}
	n := &a.newRoles
	n.number, n.repository, n.name = append(n.number, r.Number), append(n.repository, repository), append(n.name, []byte(name.Role))
	a.roles.Add(name, r)
	return r
}

func (a *applier) apply(l log.StateLeaf) error {
	r := a.role(l)
	at, ok := a.counts.at[r.Repository]
	if !ok {
		at = len(a.counts.repository)
		a.counts.at[r.Repository] = at
		a.counts.repository = append(a.counts.repository, r.Repository)
		a.counts.releases, a.counts.evidence = append(a.counts.releases, 0), append(a.counts.evidence, 0)
	}
	var contradicts *int64
	if l.Leaf.Kind == verify.Evidence {
		a.counts.evidence[at]++
		contradicts = &l.Leaf.Contradicts
	} else {
		a.counts.releases[at]++
		if l.Leaf.Role == verify.RoleRoot {
			a.roots.payload, a.roots.leaf = append(a.roots.payload, l.Leaf.Payload[:]), append(a.roots.leaf, l.Index)
		}
	}
	if err := a.list(r, l); err != nil {
		return err
	}
	var snapshot []byte
	if !l.Leaf.Snapshot.IsZero() {
		snapshot = l.Leaf.Snapshot[:]
	}
	c := &a.leaf
	c.index, c.role, c.version, c.size, c.base = append(c.index, l.Index), append(c.role, r.Number), append(c.version, l.Leaf.Version), append(c.size, l.Leaf.Size), append(c.base, r.Base)
	c.kind, c.listed = append(c.kind, string(l.Leaf.Kind)), append(c.listed, string(l.Leaf.Listed))
	c.payload, c.metadata, c.snapshot = append(c.payload, l.Leaf.Payload[:]), append(c.metadata, l.Leaf.Metadata[:]), append(c.snapshot, snapshot)
	c.contradicts = append(c.contradicts, contradicts)
	return nil
}

// spare is how many more rows than twice a leaf's files may have begun since its
// base, before all begin anew. It is part of the format: two states of one log
// are the same.
const spare = 64

// list ends and begins rows for what the leaf lists differently from the last of
// its role.
func (a *applier) list(r *targetrows.Role[key], l log.StateLeaf) error {
	fresh, past := r.Compare(l.Targets)
	if r.Rows+len(fresh) > spare+2*len(l.Targets) {
		fresh, past = l.Targets, nil
		for _, row := range r.Open {
			past = append(past, row)
		}
		r.Base, r.Rows = l.Index, 0
	}
	for _, row := range past {
		a.end(r.Number, row.Key, l.Index)
		a.roles.End(r, row)
	}
	r.Rows += len(fresh)
	for i, t := range fresh {
		k := key{l.Index, int32(i)}
		c := &a.targets
		var sha256, sha512 []byte
		if t.SHA256 != (verify.Digest{}) {
			sha256 = t.SHA256[:]
		}
		if t.SHA512 != (log.SHA512{}) {
			sha512 = t.SHA512[:]
		}
		c.at[rowKey{r.Number, k}] = len(c.role)
		c.role, c.first, c.place, c.past = append(c.role, r.Number), append(c.first, k.first), append(c.place, k.place), append(c.past, nil)
		c.path, c.length = append(c.path, []byte(t.Path)), append(c.length, t.Length)
		c.sha256, c.sha512 = append(c.sha256, sha256), append(c.sha512, sha512)
		a.roles.Begin(r, t, k)
	}
	return nil
}

func (a *applier) end(role int64, k key, index int64) {
	if at, ok := a.targets.at[rowKey{role, k}]; ok {
		a.targets.past[at] = &index
		return
	}
	p := &a.past
	p.role, p.first, p.place, p.past = append(p.role, role), append(p.first, k.first), append(p.place, k.place), append(p.past, index)
}

// write sends everything.
func (a *applier) write(edge []byte) error {
	var b pgx.Batch
	queue := func(rows int, text string, columns ...any) {
		if rows > 0 {
			b.Queue(a.in(text), columns...).Exec(func(done pgconn.CommandTag) error {
				if done.RowsAffected() != int64(rows) {
					return errors.New("a row is not there: run logserver reindex")
				}
				return nil
			})
		}
	}
	queue(len(a.newRepos.number), "INSERT INTO state.repositories SELECT *, 0, 0 FROM unnest($1::bigint[], $2::bytea[], $3::text[])",
		a.newRepos.number, a.newRepos.id, a.newRepos.encoding)
	queue(len(a.newRoles.number), "INSERT INTO state.roles SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])",
		a.newRoles.number, a.newRoles.repository, a.newRoles.name)
	queue(len(a.counts.repository), `UPDATE state.repositories r SET releases = r.releases + q.releases, evidence = r.evidence + q.evidence
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) q(number, releases, evidence) WHERE r.number = q.number`,
		a.counts.repository, a.counts.releases, a.counts.evidence)
	c := &a.leaf
	queue(len(c.index), `INSERT INTO state.leaves SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[],
		$6::bytea[], $7::bigint[], $8::bytea[], $9::text[], $10::bigint[], $11::bigint[])`,
		c.index, c.kind, c.role, c.version, c.payload, c.metadata, c.size, c.snapshot, c.listed, c.contradicts, c.base)
	if len(a.roots.leaf) > 0 {
		b.Queue(a.in("INSERT INTO state.roots SELECT * FROM unnest($1::bytea[], $2::bigint[]) ON CONFLICT DO NOTHING"), a.roots.payload, a.roots.leaf)
	}
	p := &a.past
	queue(len(p.role), `UPDATE state.targets t SET past = q.past FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[]) q(role, first, place, past)
		WHERE t.role = q.role AND t.first = q.first AND t.place = q.place`, p.role, p.first, p.place, p.past)
	t := &a.targets
	queue(len(t.role), "INSERT INTO state.targets SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[], $8::bytea[])",
		t.role, t.first, t.place, t.past, t.path, t.length, t.sha256, t.sha512)
	b.Queue(a.in("UPDATE state.position SET edge = $1"), edge)
	return a.tx.SendBatch(a.ctx, &b).Close()
}
