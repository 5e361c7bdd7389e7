package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

type replaceFlags struct {
	place
	shared
	policy, agent, to string

	// after, which may be nil, is called when a stage is complete; an error
	// ends the command there. It is for tests.
	after func(stage string) error
}

func newTree() *cobra.Command {
	cmd := &cobra.Command{Use: "tree", Short: "Replace Trillian's tree of a log on servers"}
	cmd.AddCommand(newTreeReplace())
	return cmd
}

func newTreeReplace() *cobra.Command {
	var flags replaceFlags
	cmd := &cobra.Command{
		Use:   "replace --dir DIR --policy POLICY --storage URL --state URL",
		Short: "Continue a log in a new tree of Trillian, with all that was signed",
		Long: `Replace is the way back for a log on servers whose tree cannot be used any more:
Trillian removes nothing, so an entry that is there twice, or that something else has
appended, stays there, and the log must not sign it (repeated-entry, foreign-entry);
or entries that were signed are lost with Trillian's database (storage-behind), or
were changed there (storage-forked).

It makes a new tree, puts the entries that were signed into it, from their copy in the
state database, reads each of them back, checks that the new tree has the very root
that was signed, and puts it in the place of the old one. Every entry keeps its index,
every root stays what it is: witnesses, devices, vendors and auditors notice nothing.
What lies behind the last signed entry is left behind. None of it was acknowledged;
whoever has sent it sends it again.

A quorum of the witnesses is asked before that to cosign what was signed last: where
one has seen more, or more was served from DIR, the state database is of an older date,
and nothing is replaced.

The new tree is made at the same log server, or at the one that --to names; the old one
is frozen. Where --to names a tree, it is one that replace has made before, of which a
state database of an older date does not know: then nothing is made or signed, and that
tree, which must begin with what was signed, takes the place of the old one. The front ends that have the log's key must be stopped, and all of them need
the new URL, which is printed, afterwards. If replace is broken off, at whatever point,
run it again: it goes on. Run once more after the end it says so and changes nothing.
What it did is recorded in the database, with both URLs.`,
		Example: `  logserver tree replace --dir ./log --policy policy.txt --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog
  logserver tree replace --config /etc/tuflog/logserver-1.conf --to trillian://10.0.0.7:8090`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			size, err := replaceTree(cmd.Context(), &flags, cmd.ErrOrStderr())
			var done *postgres.ReplacedError
			switch {
			case errors.As(err, &done):
				fmt.Fprintf(cmd.OutOrStdout(), "nothing was changed: %v\n", done)
				return nil
			case err != nil:
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the log has a new tree, with %d entries; every front end needs its URL\n  --storage %s\n", size, printable.ShellWord(flags.to))
			return nil
		},
	}
	flags.flags(cmd)
	flags.sharedFlags(cmd)
	cmd.Flags().StringVar(&flags.policy, "policy", "", "trust policy: the witnesses with their URLs, and the quorum (required)")
	cmd.Flags().StringVar(&flags.agent, "ssh-agent", "", "socket of the ssh-agent that holds the log's key")
	cmd.Flags().StringVar(&flags.to, "to", "", "Trillian's log server for the new tree, trillian://HOST:PORT or trillians://HOST:PORT?ca=FILE (default: that of --storage); with a tree, /TREE, that one, which replace has made before")
	for _, name := range []string{"storage", "state", "policy"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

// replacement is a tree on its way to another's place.
type replacement struct {
	*servers
	flags  *replaceFlags
	stderr io.Writer
	lease  *postgres.Lease
	from   string      // the name of the old tree
	record string      // the ledger's
	signed proofs.Tree // all that the new tree is to have
	to     trillianlog.Config
}

// stage is a part of it that can be done once more.
type stage struct {
	name string
	do   func(context.Context) error
}

// replaceTree gives a log a new tree and sets flags.to to its URL. It is a
// *postgres.ReplacedError where the log is not in the tree of flags.storageURL any more.
func replaceTree(ctx context.Context, flags *replaceFlags, stderr io.Writer) (size int64, err error) {
	if flags.to == "" {
		if flags.to, err = withoutTree(flags.storageURL); err != nil {
			return 0, err
		}
	}
	there, err := hasTree(flags.to)
	if err != nil {
		return 0, err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	c, lease, done, err := flags.take(ctx, logger)
	if err != nil {
		return 0, err
	}
	defer done()
	ctx, end := underLease(ctx, lease)
	defer end()
	r := &replacement{servers: c, flags: flags, stderr: stderr, lease: lease}
	stages := []stage{{"confirmed", r.confirm}, {"made", r.make}, {"filled", r.fill}, {"indexed", r.reindex}, {"replaced", r.replace}, {"frozen", r.freeze}}
	if there {
		stages = []stage{{"found", r.find}, {"indexed", r.reindex}, {"replaced", r.replace}}
	}
	for _, stage := range stages {
		if err := stage.do(ctx); err != nil {
			return 0, errors.Join(err, context.Cause(lease.Context()))
		}
		fmt.Fprintln(stderr, stage.name)
		if flags.after != nil {
			if err := flags.after(stage.name); err != nil {
				return 0, err
			}
		}
	}
	return r.signed.N, nil
}

// hasTree reports whether a storage's URL names a tree, which is optional here.
func hasTree(storage string) (bool, error) {
	if server, err := withoutTree(storage); err == nil && server == storage {
		return false, nil
	}
	_, err := trillianlog.ParseURL(storage)
	return err == nil, err
}

// withoutTree cuts the tree off a storage's URL.
func withoutTree(storage string) (string, error) {
	u, err := url.Parse(storage)
	if err != nil {
		return "", fmt.Errorf("--storage: %w", fetch.RedactError(err))
	}
	u.Path = ""
	return u.String(), nil
}

// signedPart is the copy of a log's entries as far as they were signed.
type signedPart struct {
	*trillianlog.Reader
	tree proofs.Tree
}

func (s signedPart) Integrated(context.Context) (proofs.Tree, error) { return s.tree, nil }

// open checks that the copy has what was signed, and returns it.
func (r *replacement) open(ctx context.Context) (*trillianlog.Reader, error) {
	rec, err := r.db.Ledger(r.lease).Load(ctx)
	if err != nil {
		return nil, err
	}
	text, err := rec.Marshal()
	if err != nil {
		return nil, err
	}
	r.record, r.signed = string(text), rec.Edge.Tree()
	if _, r.from, err = r.db.Log(ctx); err != nil {
		return nil, err
	}
	copied := trillianlog.OpenReader(r.db.Tiles(nil))
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
func (r *replacement) find(ctx context.Context) (err error) {
	if _, err := r.open(ctx); err != nil {
		return err
	}
	if r.signed.N == 0 {
		return errors.New("the state database says that nothing was signed: any tree would fit")
	}
	if r.to, err = trillianlog.ParseURL(r.flags.to); err != nil {
		return err
	}
	if err := r.elsewhere(); err != nil {
		return err
	}
	trillian, err := trillianlog.Connect(r.to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	if state, err := trillian.TreeState(ctx); err != nil || state != "ACTIVE" {
		return cmp.Or(err, fmt.Errorf("%s: its state is %s", r.flags.to, state))
	}
	if _, err := trillian.Compare(ctx, r.signed); err != nil {
		return fmt.Errorf("%s does not go on from what was signed: %w", r.flags.to, err)
	}
	return nil
}

// confirm checks that the copy has what was signed, and that neither this front end nor a
// quorum of witnesses knows of more.
func (r *replacement) confirm(ctx context.Context) (err error) {
	copied, err := r.open(ctx)
	if err != nil {
		return err
	}
	if err := r.usable(ctx); err != nil {
		return err
	}
	keys, err := readKeys(r.flags.place)
	if err != nil {
		return err
	}
	served, err := publisher.OpenServed(r.flags.served(), keys, r.logger)
	if err != nil {
		return err
	}
	defer served.Close()
	cfg := publisher.Config{
		Storage:     signedPart{copied, r.signed},
		Ledger:      r.db.Ledger(r.lease),
		Checkpoints: r.db.Checkpoints(r.lease),
		Served:      served,
		Logger:      r.logger,
	}
	if cfg.Signer, err = openSigner(r.flags.place, r.flags.agent); err != nil {
		return err
	}
	if cfg.More, err = openMoreKeys(r.flags.place); err != nil {
		return err
	}
	if cfg.Policy, err = cli.ReadPolicy(r.flags.policy); err != nil {
		return err
	}
	gatherer, err := client.NewGatherer(cfg.Policy, nil)
	if err != nil {
		return err
	}
	defer gatherer.Close()
	cfg.Witnesses = gatherer
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
func (r *replacement) usable(ctx context.Context) (err error) {
	trillian, err := trillianlog.Connect(r.storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	root, err := trillian.Root(ctx)
	if err != nil {
		r.logger.Warn("the old tree cannot be looked at; the new one is made from the copy alone", "err", err)
		return nil
	}
	to, err := withoutTree(r.flags.to)
	if err != nil {
		return err
	}
	here, err := withoutTree(r.flags.storageURL)
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
func (r *replacement) make(ctx context.Context) error {
	_, next, err := r.db.StorageURLs(ctx)
	if err != nil {
		return err
	}
	if there, err := withoutTree(next); err == nil && next != "" && there == r.flags.to {
		if r.to, err = trillianlog.ParseURL(next); err != nil {
			return err
		}
		useless, err := r.useless(ctx)
		if err != nil {
			return err
		}
		if useless == nil {
			r.flags.to = next
			return r.elsewhere()
		}
		r.logger.Warn("the tree that was begun is left where it is, and another is made", "tree", next, "why", useless)
	}
	to := shared{storageURL: r.flags.to}
	if _, err := to.makeTree(ctx); err != nil {
		return err
	}
	// Until this is known, a tree that was made is empty, and forgotten.
	if err := r.db.SetNextStorage(ctx, r.lease, to.storageURL); err != nil {
		return err
	}
	if r.to, err = trillianlog.ParseURL(to.storageURL); err != nil {
		return err
	}
	r.flags.to = to.storageURL
	return r.elsewhere()
}

func (r *replacement) elsewhere() error {
	if storageName(r.to.TreeID) == r.from {
		return fmt.Errorf("the log is in %s already", r.from)
	}
	return nil
}

// useless says why a tree that was begun can never be what the log needs: it is gone, takes
// no entries, or has others. Roots are compared; fill reads every entry back.
func (r *replacement) useless(ctx context.Context) (useless, err error) {
	trillian, err := trillianlog.Connect(r.to)
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
	tree, err := log.TreeFromTiles(ctx, root.N, trillianlog.OpenReader(r.db.Tiles(nil)))
	if err == nil && tree != root {
		useless = fmt.Errorf("at size %d it has root %v, the copy root %v", root.N, root.Hash, tree.Hash)
	}
	return useless, err
}

// fill puts the entries that were signed into the new tree. What is there already is read
// back like what is added, and compared with the copy.
func (r *replacement) fill(ctx context.Context) (err error) {
	cfg := r.to
	cfg.Logger, cfg.Until = r.logger, r.lease.Until
	cfg.Tiles = trillianlog.NewMirror(r.db.Tiles(nil), r.signed.N)
	to, err := trillianlog.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	bar := cli.NewProgress(r.stderr, "fill", r.signed.N)
	err = (&maintain.Migration{
		From: signedPart{trillianlog.OpenReader(r.db.Tiles(nil)), r.signed}, Tree: r.signed, To: to,
		Progress: func(n int) { bar.Add(int64(n)) },
		Logger:   r.logger,
	}).Run(ctx)
	bar.Done()
	if err != nil {
		return err
	}
	root, err := to.Root(ctx)
	if err == nil && root != r.signed {
		err = cli.Failed(fmt.Errorf("the new tree has size %d and root %v; size %d and root %v were signed", root.N, root.Hash, r.signed.N, r.signed.Hash))
	}
	return err
}

// reindex makes the derived state anew if it has entries that are left behind.
func (r *replacement) reindex(ctx context.Context) error {
	have, err := sizeOf(ctx, r.db.State(nil))
	if err != nil || have.N <= r.signed.N {
		return err
	}
	return r.indexAnew(ctx, r.lease, signedPart{trillianlog.OpenReader(r.db.Tiles(nil)), r.signed}, r.signed, r.stderr)
}

// replace puts the new tree in the place of the old one. Before it the log is what it was,
// after it front ends that are given the new URL can lead, and no others: those that run
// read where the log is before they take the lease.
func (r *replacement) replace(ctx context.Context) error {
	action := actionNow("tree-replace", fmt.Sprintf("%s, with the %d entries that were signed, by %s", r.flags.storageURL, r.signed.N, r.flags.to))
	action.Before = r.record
	return r.db.ReplaceStorage(ctx, r.lease, postgres.Replacement{
		From: r.from, To: storageName(r.to.TreeID), URL: r.flags.to,
		Size: r.signed.N, Action: action,
	})
}

// freeze has the old tree take nothing any more. What is on its way to it then is of no
// use to anybody, and neither is the tree: it may be gone.
func (r *replacement) freeze(ctx context.Context) error {
	if err := trillianlog.FreezeTree(ctx, r.storage); err != nil {
		r.logger.Warn("the old tree is not frozen; nobody reads it any more", "err", err)
	}
	return nil
}
