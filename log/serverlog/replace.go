package serverlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// Replacement gives a log a new tree of Trillian, with all that was signed and nothing else,
// in stages, of which each can be done once more:
//
//   - confirmed: neither this front end nor a quorum of witnesses knows of more than what was
//     signed, and the copy of the entries has all of it;
//   - made: there is a new tree;
//   - filled: it has what was signed, and every entry was read back;
//   - indexed: the derived state does not have what is left behind;
//   - replaced: front ends find the log in the new tree, and nowhere else;
//   - frozen: the old tree takes nothing any more.
//
// Where To names a tree, which a former run has made, the stages are found, indexed and
// replaced: nothing is made or signed.
type Replacement struct {
	At Servers
	// To is the URL of the log server for the new tree, or of the tree; empty: the log server
	// of At. Run sets it to the URL of the tree.
	To string
	// Publisher returns what is needed to sign the last tree once more and to have it
	// cosigned: keys, policy, witnesses, and the checkpoints that were served. done ends
	// their use.
	Publisher func() (cfg publisher.Config, done func(), err error)
	// Reached is told of each stage that is complete. An error ends Run there, with this
	// error.
	Reached func(stage string) error
	Watch   maintain.Watch
	Logger  *slog.Logger

	log    *Log
	from   string      // the name of the old tree
	record string      // the ledger's
	signed proofs.Tree // all that the new tree is to have
	next   trillianlog.Config
}

// ReplacedError means that the log has got a new tree before.
type ReplacedError = postgres.ReplacedError

// OtherTreeError means that the new tree does not have what was signed, although all of it
// was put there. The log is as it was.
type OtherTreeError struct{ Has, Signed proofs.Tree }

func (e *OtherTreeError) Error() string {
	return fmt.Sprintf("the new tree has size %d and root %v; size %d and root %v were signed", e.Has.N, e.Has.Hash, e.Signed.N, e.Signed.Hash)
}

// Run returns the size of the new tree. It is a *ReplacedError where the log is not in
// the tree of At any more.
func (r *Replacement) Run(ctx context.Context) (size int64, err error) {
	if r.To == "" {
		if r.To, err = withoutTree(r.At.Storage); err != nil {
			return 0, err
		}
	}
	there, err := hasTree(r.To)
	if err != nil {
		return 0, err
	}
	if r.log, err = Open(ctx, r.At, r.Logger); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.log.Close()) }()
	if err := r.log.take(ctx); err != nil {
		return 0, err
	}
	ctx, end := underLease(ctx, r.log.lease)
	defer end()
	type stage struct {
		name string
		do   func(context.Context) error
	}
	stages := []stage{{"confirmed", r.confirm}, {"made", r.make}, {"filled", r.fill}, {"indexed", r.reindex}, {"replaced", r.replace}, {"frozen", r.freeze}}
	if there {
		stages = []stage{{"found", r.find}, {"indexed", r.reindex}, {"replaced", r.replace}}
	}
	for _, stage := range stages {
		if err := stage.do(ctx); err != nil {
			return 0, errors.Join(err, context.Cause(r.log.lease.Context()))
		}
		if err := r.Reached(stage.name); err != nil {
			return 0, err
		}
	}
	return r.signed.N, nil
}

// signedPart is the copy of a log's entries as far as they were signed.
type signedPart struct {
	*trillianlog.Reader
	tree proofs.Tree
}

func (s signedPart) Integrated(context.Context) (proofs.Tree, error) { return s.tree, nil }

// open checks that the copy has what was signed, and returns it.
func (r *Replacement) open(ctx context.Context) (*trillianlog.Reader, error) {
	rec, err := r.log.db.Ledger(r.log.lease).Load(ctx)
	if err != nil {
		return nil, err
	}
	text, err := rec.Marshal()
	if err != nil {
		return nil, err
	}
	r.record, r.signed = string(text), rec.Edge.Tree()
	if _, r.from, err = r.log.db.Log(ctx); err != nil {
		return nil, err
	}
	copied := trillianlog.OpenReader(r.log.db.Tiles(nil))
	tree, err := log.TreeFromTiles(ctx, r.signed.N, copied)
	if err != nil {
		return nil, fmt.Errorf("the copy of the %d entries that were signed: %w", r.signed.N, err)
	}
	if tree != r.signed {
		return nil, fmt.Errorf("at size %d the copy has root %v, and root %v was signed: logserver reindex --tiles makes the copy anew from Trillian's tree, if that has what was signed", tree.N, tree.Hash, r.signed.Hash)
	}
	return copied, nil
}

// find looks at a tree that is there: one that a former run has made, of which a state
// database of an older date does not know. Nothing is signed, so no witness is asked; what
// the tree has beyond what was signed is judged when the log is opened, and held against
// what witnesses know.
func (r *Replacement) find(ctx context.Context) (err error) {
	if _, err := r.open(ctx); err != nil {
		return err
	}
	if r.signed.N == 0 {
		return errors.New("the state database says that nothing was signed: any tree would fit")
	}
	if r.next, err = trillianlog.ParseURL(r.To); err != nil {
		return err
	}
	if err := r.elsewhere(); err != nil {
		return err
	}
	trillian, err := trillianlog.Connect(r.next)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	if state, err := trillian.TreeState(ctx); err != nil || state != "ACTIVE" {
		return cmp.Or(err, fmt.Errorf("%s: its state is %s", r.To, state))
	}
	if _, err := trillian.Compare(ctx, r.signed); err != nil {
		return fmt.Errorf("%s does not go on from what was signed: %w", r.To, err)
	}
	return nil
}

// confirm checks that the copy has what was signed, and that neither this front end nor a
// quorum of witnesses knows of more.
func (r *Replacement) confirm(ctx context.Context) (err error) {
	copied, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := r.usable(ctx); err != nil {
		return err
	}
	cfg, done, err := r.Publisher()
	if err != nil {
		return err
	}
	defer done()
	cfg.Storage, cfg.Ledger, cfg.Checkpoints = signedPart{copied, r.signed}, r.log.db.Ledger(r.log.lease), r.log.db.Checkpoints(r.log.lease)
	cfg.Logger = r.Logger
	p, err := publisher.Open(ctx, cfg)
	if err == nil {
		err = p.Confirm(ctx)
	}
	if err != nil {
		return fmt.Errorf("nothing is replaced before a quorum has cosigned what was signed last: %w", err)
	}
	return nil
}

// usable refuses to replace a tree with which nothing is wrong, unless by one elsewhere.
func (r *Replacement) usable(ctx context.Context) (err error) {
	trillian, err := trillianlog.Connect(r.log.storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	root, err := trillian.Root(ctx)
	if err != nil {
		r.Logger.Warn("the old tree cannot be looked at; the new one is made from the copy alone", "err", err)
		return nil
	}
	to, err := withoutTree(r.To)
	if err != nil {
		return err
	}
	here, err := withoutTree(r.At.Storage)
	if err != nil {
		return err
	}
	if root == r.signed && to == here {
		return fmt.Errorf("%s has what was signed, %d entries, and nothing else: there is nothing to replace", r.from, root.N)
	}
	return nil
}

// make makes the new tree, or finds the one that was begun. One that was begun and cannot
// be filled any more is left where it is, and another is made.
func (r *Replacement) make(ctx context.Context) error {
	_, next, err := r.log.db.StorageURLs(ctx)
	if err != nil {
		return err
	}
	if there, err := withoutTree(next); err == nil && next != "" && there == r.To {
		if r.next, err = trillianlog.ParseURL(next); err != nil {
			return err
		}
		useless, err := r.useless(ctx)
		if err != nil {
			return err
		}
		if useless == nil {
			r.To = next
			return r.elsewhere()
		}
		r.Logger.Warn("the tree that was begun is left where it is, and another is made", "tree", next, "why", useless)
	}
	made, err := MakeTree(ctx, r.To)
	if err != nil {
		return err
	}
	// Until this is known, a tree that was made is empty, and forgotten.
	if err := r.log.db.SetNextStorage(ctx, r.log.lease, made); err != nil {
		return err
	}
	if r.next, err = trillianlog.ParseURL(made); err != nil {
		return err
	}
	r.To = made
	return r.elsewhere()
}

func (r *Replacement) elsewhere() error {
	if nameOf(r.next.TreeID) == r.from {
		return fmt.Errorf("the log is in %s already", r.from)
	}
	return nil
}

// useless says why a tree that was begun can never be what the log needs: it is gone, takes
// no entries, or has others. Roots are compared; fill reads every entry back.
func (r *Replacement) useless(ctx context.Context) (useless, err error) {
	trillian, err := trillianlog.Connect(r.next)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	state, err := trillian.TreeState(ctx)
	switch {
	case errors.Is(err, trillianlog.ErrNoTree):
		return err, nil
	case err != nil:
		return nil, err
	case state != "ACTIVE":
		return fmt.Errorf("its state is %s", state), nil
	}
	root, err := trillian.Root(ctx)
	if err != nil {
		return nil, err
	}
	if root.N > r.signed.N {
		return fmt.Errorf("it has %d entries, and %d were signed", root.N, r.signed.N), nil
	}
	tree, err := log.TreeFromTiles(ctx, root.N, trillianlog.OpenReader(r.log.db.Tiles(nil)))
	if err == nil && tree != root {
		useless = fmt.Errorf("at size %d it has root %v, the copy root %v", root.N, root.Hash, tree.Hash)
	}
	return useless, err
}

// fill puts the entries that were signed into the new tree. What is there already is read
// back like what is added, and compared with the copy.
func (r *Replacement) fill(ctx context.Context) (err error) {
	cfg := r.next
	cfg.Logger, cfg.Until = r.Logger, r.log.lease.Until
	cfg.Tiles = trillianlog.NewMirror(r.log.db.Tiles(nil), r.signed.N)
	to, err := trillianlog.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	add, finished := r.Watch.Begin("fill", r.signed.N)
	err = (&maintain.Migration{
		From: signedPart{trillianlog.OpenReader(r.log.db.Tiles(nil)), r.signed}, Tree: r.signed, To: to,
		Progress: add,
		Logger:   r.Logger,
	}).Run(ctx)
	finished()
	if err != nil {
		return err
	}
	root, err := to.Root(ctx)
	if err == nil && root != r.signed {
		err = &OtherTreeError{root, r.signed}
	}
	return err
}

// reindex makes the derived state anew if it has entries that are left behind.
func (r *Replacement) reindex(ctx context.Context) error {
	have, err := maintain.PositionOf(ctx, r.log.db.State(nil))
	if err != nil || have.N <= r.signed.N {
		return err
	}
	return r.log.indexAnew(ctx, signedPart{trillianlog.OpenReader(r.log.db.Tiles(nil)), r.signed}, r.signed, r.Watch)
}

// replace puts the new tree in the place of the old one. Before it the log is what it was,
// after it front ends that are given the new URL can lead, and no others: those that run
// read where the log is before they take the lease.
func (r *Replacement) replace(ctx context.Context) error {
	action := maintain.ActionNow("tree-replace", fmt.Sprintf("%s, with the %d entries that were signed, by %s", r.At.Storage, r.signed.N, r.To))
	action.Before = r.record
	return r.log.db.ReplaceStorage(ctx, r.log.lease, postgres.Replacement{
		From: r.from, To: nameOf(r.next.TreeID), URL: r.To,
		Size: r.signed.N, Action: action,
	})
}

// freeze asks Trillian to take nothing for the old tree any more. Entries on their way to it
// then are useless, and so is the tree: it may be gone.
func (r *Replacement) freeze(ctx context.Context) error {
	if err := trillianlog.FreezeTree(ctx, r.log.storage); err != nil {
		r.Logger.Warn("the old tree is not frozen; nobody reads it any more", "err", err)
	}
	return nil
}
