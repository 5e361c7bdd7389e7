package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/targetrows"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Apply implements log.StateWriter.
func (s *State) Apply(ctx context.Context, edge *proofs.Edge, leaves []log.StateLeaf) error {
	text, err := edge.MarshalText()
	if err != nil {
		return err
	}
	return s.write(ctx, "apply to the state", func(ctx context.Context, tx pgx.Tx) error {
		a := applier{State: s, tx: tx}
		if err := a.begin(ctx, edge, leaves); err != nil {
			return err
		}
		leaves := leaves
		if n := len(leaves); n > 0 && leaves[n-1].End {
			leaves = leaves[:n-1] // nothing else is kept of it
		}
		if err := a.remember(ctx, leaves); err != nil {
			return err
		}
		for _, l := range leaves {
			a.apply(l)
		}
		return a.write(ctx, text)
	})
}

// write changes the state in a transaction, for the leader.
func (s *State) write(ctx context.Context, what string, change func(context.Context, pgx.Tx) error) error {
	if s.lease == nil && s.schema == "state" {
		return fmt.Errorf("%s: %w", what, ErrNotLeader)
	}
	if s.lease != nil {
		var cancel context.CancelFunc
		ctx, cancel = s.lease.during(ctx)
		defer cancel()
	}
	err := s.db.inTx(ctx, s.lease, func(tx pgx.Tx) error { return change(ctx, tx) })
	if err != nil && s.lease != nil {
		err = s.lease.explain(err)
	}
	return wrap(what, err)
}

// applier collects the rows of one transaction, as columns. All are sent at once:
// a trip for each leaf would take longer than everything else.
type applier struct {
	*State
	tx pgx.Tx

	repositories map[tuf.Digest]int64
	roles        map[targetrows.Name]int64
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
		index, role, version, size  []int64
		kind, listed                []string
		payload, metadata, snapshot [][]byte
		contradicts                 []*int64
	}
	roots struct {
		payload [][]byte
		leaf    []int64
	}
}

// plainPlans keeps a transaction from plans that were made for a small table and would
// read the whole of a large one.
const plainPlans = "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"

// begin checks that the leaves follow the state.
func (a *applier) begin(ctx context.Context, edge *proofs.Edge, leaves []log.StateLeaf) error {
	var text []byte
	var b pgx.Batch
	b.Queue(plainPlans)
	b.Queue(a.in("SELECT edge FROM state.position FOR UPDATE")).QueryRow(func(row pgx.Row) error { return row.Scan(&text) })
	b.Queue(a.in("SELECT coalesce((SELECT max(number) FROM state.repositories), 0), coalesce((SELECT max(number) FROM state.roles), 0)")).
		QueryRow(func(row pgx.Row) error { return row.Scan(&a.lastRepo, &a.lastRole) })
	if err := a.tx.SendBatch(ctx, &b).Close(); err != nil {
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

// remember reads the numbers of the roles that the leaves are of.
func (a *applier) remember(ctx context.Context, leaves []log.StateLeaf) error {
	a.repositories, a.roles = map[tuf.Digest]int64{}, map[targetrows.Name]int64{}
	a.counts.at = map[int64]int{}
	var names []targetrows.Name
	var repositories, roles [][]byte
	asked := map[targetrows.Name]bool{}
	for _, l := range leaves {
		if name := nameOf(l); !asked[name] {
			asked[name] = true
			names = append(names, name)
			repositories, roles = append(repositories, name.Repository[:]), append(roles, []byte(name.Role))
		}
	}
	rows, err := a.tx.Query(ctx, a.in(`SELECT q.at, r.number, n.number
		FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY q(repository, name, at)
		JOIN state.repositories r ON r.id = q.repository
		LEFT JOIN state.roles n ON n.repository = r.number AND n.name = q.name`), repositories, roles)
	if err != nil {
		return err
	}
	var at, repository int64
	var number *int64
	_, err = pgx.ForEachRow(rows, []any{&at, &repository, &number}, func() error {
		name := names[at-1]
		a.repositories[name.Repository] = repository
		if number != nil {
			a.roles[name] = *number
		}
		return nil
	})
	return err
}

func nameOf(l log.StateLeaf) targetrows.Name {
	return targetrows.Name{Repository: l.Leaf.Repository, Role: l.Leaf.Role}
}

// role finds or makes the role of a leaf.
func (a *applier) role(l log.StateLeaf) (role, repository int64) {
	name := nameOf(l)
	repository, ok := a.repositories[name.Repository]
	if !ok {
		a.lastRepo++
		repository = a.lastRepo
		a.repositories[name.Repository] = repository
		n := &a.newRepos
		n.number, n.id, n.encoding = append(n.number, repository), append(n.id, name.Repository[:]), append(n.encoding, string(l.Leaf.Encoding))
	}
	if role, ok = a.roles[name]; !ok {
		a.lastRole++
		role = a.lastRole
		a.roles[name] = role
		n := &a.newRoles
		n.number, n.repository, n.name = append(n.number, role), append(n.repository, repository), append(n.name, []byte(name.Role))
	}
	return role, repository
}

func (a *applier) apply(l log.StateLeaf) {
	role, repository := a.role(l)
	at, ok := a.counts.at[repository]
	if !ok {
		at = len(a.counts.repository)
		a.counts.at[repository] = at
		a.counts.repository = append(a.counts.repository, repository)
		a.counts.releases, a.counts.evidence = append(a.counts.releases, 0), append(a.counts.evidence, 0)
	}
	var contradicts *int64
	if l.Leaf.Kind == leaf.Evidence {
		a.counts.evidence[at]++
		contradicts = &l.Leaf.Contradicts
	} else {
		a.counts.releases[at]++
		if l.Leaf.Role == tuf.RoleRoot {
			a.roots.payload, a.roots.leaf = append(a.roots.payload, l.Leaf.Payload[:]), append(a.roots.leaf, l.Index)
		}
	}
	var snapshot []byte
	if !l.Leaf.Snapshot.IsZero() {
		snapshot = l.Leaf.Snapshot[:]
	}
	c := &a.leaf
	c.index, c.role, c.version, c.size = append(c.index, l.Index), append(c.role, role), append(c.version, l.Leaf.Version), append(c.size, l.Leaf.Size)
	c.kind, c.listed = append(c.kind, string(l.Leaf.Kind)), append(c.listed, string(l.Leaf.Listed))
	c.payload, c.metadata, c.snapshot = append(c.payload, l.Leaf.Payload[:]), append(c.metadata, l.Leaf.Metadata[:]), append(c.snapshot, snapshot)
	c.contradicts = append(c.contradicts, contradicts)
}

// batch collects statements, each of which has to change as many rows as its columns
// have.
type batch struct {
	pgx.Batch
	state *State
}

func (b *batch) queue(rows int, text string, columns ...any) {
	if rows > 0 {
		b.Queue(b.state.in(text), columns...).Exec(func(done pgconn.CommandTag) error {
			if done.RowsAffected() != int64(rows) {
				return errors.New("a row is not there: run logserver reindex")
			}
			return nil
		})
	}
}

// write sends everything.
func (a *applier) write(ctx context.Context, edge []byte) error {
	b := batch{state: a.State}
	b.queue(len(a.newRepos.number), "INSERT INTO state.repositories SELECT *, 0, 0 FROM unnest($1::bigint[], $2::bytea[], $3::text[])",
		a.newRepos.number, a.newRepos.id, a.newRepos.encoding)
	b.queue(len(a.newRoles.number), "INSERT INTO state.roles SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])",
		a.newRoles.number, a.newRoles.repository, a.newRoles.name)
	b.queue(len(a.counts.repository), `UPDATE state.repositories r SET releases = r.releases + q.releases, evidence = r.evidence + q.evidence
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) q(number, releases, evidence) WHERE r.number = q.number`,
		a.counts.repository, a.counts.releases, a.counts.evidence)
	c := &a.leaf
	b.queue(len(c.index), `INSERT INTO state.leaves SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[],
		$6::bytea[], $7::bigint[], $8::bytea[], $9::text[], $10::bigint[])`,
		c.index, c.kind, c.role, c.version, c.payload, c.metadata, c.size, c.snapshot, c.listed, c.contradicts)
	if len(a.roots.leaf) > 0 {
		b.Queue(a.in("INSERT INTO state.roots SELECT * FROM unnest($1::bytea[], $2::bigint[]) ON CONFLICT DO NOTHING"), a.roots.payload, a.roots.leaf)
	}
	b.Queue(a.in("UPDATE state.position SET edge = $1"), edge)
	return a.tx.SendBatch(ctx, &b.Batch).Close()
}
