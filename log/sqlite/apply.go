package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/internal/sqlitefile"
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
	s.applying.Lock()
	defer s.applying.Unlock()
	err = sqlitefile.InTx(ctx, s.db, func(tx *sql.Tx) error {
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
		// For a context that can end the driver starts a goroutine with every
		// statement.
		through := context.WithoutCancel(ctx)
		a := s.applier(through, tx)
		for _, l := range leaves {
			err := ctx.Err()
			if err == nil && !l.End {
				err = a.apply(through, l)
			}
			if err != nil {
				return fmt.Errorf("leaf %d: %w", l.Index, err)
			}
		}
		if err := a.flush(through); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE position SET edge = ?", text)
		return err
	})
	if err != nil {
		// What is remembered may be of the transaction that was rolled back.
		s.numbers = nil
		return fmt.Errorf("apply to the state: %w", err)
	}
	return nil
}

// applier applies the leaves of one transaction.
type applier struct {
	*State
	tx     *sql.Tx
	stmts  statements          // in tx, which ends them
	counts map[int64]*[2]int64 // releases and evidence, by repository
	// digests are the rows of that table. They go in together, sorted: one by
	// one, each would be somewhere else in the file.
	digests []digest
}

// digest is a row of the table digests.
type digest struct{ start, leaf int64 }

func (s *State) applier(ctx context.Context, tx *sql.Tx) *applier {
	if s.numbers == nil || len(s.numbers) > maxNumbers {
		s.numbers = map[targetrows.Name]numbers{}
	}
	return &applier{State: s, tx: tx, stmts: s.in(ctx, tx), counts: map[int64]*[2]int64{}}
}

// maxNumbers is how many roles' numbers are remembered.
const maxNumbers = 1 << 14

// in returns the statements in a transaction.
func (s *State) in(ctx context.Context, tx *sql.Tx) (in statements) {
	for i, stmt := range s.stmts.all() {
		*in.all()[i] = tx.StmtContext(ctx, *stmt)
	}
	return in
}

func (a *applier) exec(ctx context.Context, stmt *sql.Stmt, args ...any) error {
	_, err := stmt.ExecContext(ctx, args...)
	return err
}

func (a *applier) apply(ctx context.Context, l log.StateLeaf) error {
	r, err := a.role(ctx, l)
	if err != nil {
		return err
	}
	count := a.counts[r.repository]
	if count == nil {
		count = new([2]int64)
		a.counts[r.repository] = count
	}
	var contradicts, snapshot any
	a.digests = append(a.digests, digest{start(l.Leaf.Payload), l.Index}, digest{start(l.Leaf.Metadata), l.Index})
	if l.Leaf.Kind == leaf.Evidence {
		count[1]++
		contradicts = l.Leaf.Contradicts
	} else {
		count[0]++
		if l.Leaf.Role == tuf.RoleRoot {
			if err := a.exec(ctx, a.stmts.root, l.Leaf.Payload[:], l.Index); err != nil {
				return err
			}
		}
	}
	if !l.Leaf.Snapshot.IsZero() {
		a.digests = append(a.digests, digest{start(l.Leaf.Snapshot), l.Index})
		snapshot = l.Leaf.Snapshot[:]
	}
	return a.exec(ctx, a.stmts.leaf, l.Index, string(l.Leaf.Kind), r.role, l.Leaf.Version,
		l.Leaf.Payload[:], l.Leaf.Metadata[:], l.Leaf.Size, snapshot, string(l.Leaf.Listed), contradicts)
}

// role finds or makes the role of a leaf.
func (a *applier) role(ctx context.Context, l log.StateLeaf) (n numbers, err error) {
	name := targetrows.Name{Repository: l.Leaf.Repository, Role: l.Leaf.Role}
	if n, ok := a.numbers[name]; ok {
		return n, nil
	}
	if err := a.exec(ctx, a.stmts.repository, l.Leaf.Repository[:], string(l.Leaf.Encoding)); err != nil {
		return n, err
	}
	if err := a.tx.QueryRowContext(ctx, "SELECT number FROM repositories WHERE id = ?", l.Leaf.Repository[:]).Scan(&n.repository); err != nil {
		return n, err
	}
	err = a.tx.QueryRowContext(ctx, "SELECT number FROM roles WHERE repository = ? AND name = ?", n.repository, l.Leaf.Role).Scan(&n.role)
	if errors.Is(err, sql.ErrNoRows) {
		err = a.tx.QueryRowContext(ctx, "INSERT INTO roles (repository, name) VALUES (?, ?) RETURNING number", n.repository, l.Leaf.Role).Scan(&n.role)
	}
	if err == nil {
		a.numbers[name] = n
	}
	return n, err
}

// flush writes what was only collected.
func (a *applier) flush(ctx context.Context) error {
	slices.SortFunc(a.digests, func(a, b digest) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.leaf, b.leaf)) })
	// A row that fills up the last statement is in the table by then.
	for rows := range slices.Chunk(a.digests, digestsAtOnce) {
		args := make([]any, 0, 2*digestsAtOnce)
		for i := range digestsAtOnce {
			row := rows[min(i, len(rows)-1)]
			args = append(args, row.start, row.leaf)
		}
		if err := a.exec(ctx, a.stmts.digests, args...); err != nil {
			return err
		}
	}
	for repository, n := range a.counts {
		if err := a.exec(ctx, a.stmts.count, n[0], n[1], repository); err != nil {
			return err
		}
	}
	return nil
}

func start(sum tuf.Digest) int64 { return int64(binary.BigEndian.Uint64(sum[:8])) }
