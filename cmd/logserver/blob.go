package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

func newBlob() *cobra.Command {
	cmd := &cobra.Command{Use: "blob", Short: "Put back files that a log lacks"}
	cmd.AddCommand(newBlobAdd())
	return cmd
}

func newBlobAdd() *cobra.Command {
	var at place
	var on shared
	cmd := &cobra.Command{
		Use:   "add --dir DIR FILE...",
		Short: "Put back files that leaves name and the log lacks",
		Long: `Add puts files back into a log whose blobs.db, or state database, was restored from
an old copy: logserver fsck says what is missing. Vendors, auditors, mirrors and
caches (/blob/sha256/...) have them. A file is stored if a leaf names its SHA-256 as
metadata or as snapshot and the log has no such file; add says for each what it did.

Nothing else puts a file back: a submission of what is logged already does not, for
a file may be missing because the operator withholds it. Which of the two it is only
the operator knows; so do not add what you withhold. Each file that is stored is
recorded, in actions.jsonl in the ledger's directory.

What the files list can be looked up after logserver reindex.

The log must not be served meanwhile. A log on servers (--storage, --state) may be; its
record is in the database.

It exits 1 if there was a file that no leaf names.`,
		Example: `  logserver blob add --dir ./log 3.targets.json 3.snapshot.json
  logserver blob add --dir ./log --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog *.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return addBlobs(cmd.Context(), at, on, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	return cmd
}

func addBlobs(ctx context.Context, at place, on shared, paths []string, stdout, stderr io.Writer) (err error) {
	l, err := openPresent(ctx, at, on, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	// Of a log on servers this needs no lease: a file is stored under its SHA-256, so
	// anybody else who adds it adds the same.
	storage, _, err := l.Storage(ctx)
	if err != nil {
		return err
	}
	blobs, err := l.Blobs()
	if err != nil {
		return err
	}
	state, err := stateOf(l)
	if err != nil {
		return err
	}
	names, err := openNames(ctx, storage, state)
	if err != nil {
		return err
	}
	unnamed := false
	for _, path := range paths {
		did, err := addBlob(ctx, path, names, blobs, l.Record)
		if err != nil {
			return err
		}
		unnamed = unnamed || did == blobUnnamed
		fmt.Fprintf(stdout, "%s: %s\n", path, did)
	}
	if unnamed {
		return cli.Failed(cli.ErrReported)
	}
	return nil
}

// What became of a file.
const (
	blobStored  = "stored"
	blobThere   = "there already"
	blobUnnamed = "no leaf names it"
)

// addBlob stores a file, once the action is recorded, and says what it did.
func addBlob(ctx context.Context, path string, names *names, blobs log.Blobs, record func(context.Context, maintain.Action) error) (did string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := tuf.Sum(data)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	if ok, err := names.has(ctx, sum); err != nil || !ok {
		return blobUnnamed, err
	}
	if _, err = blobs.Blob(ctx, sum); !errors.Is(err, fs.ErrNotExist) {
		return blobThere, err
	}
	if err := record(ctx, maintain.ActionNow("blob-add", fmt.Sprintf("the file with SHA-256 %v", sum))); err != nil {
		return "", err
	}
	return blobStored, blobs.Put(ctx, [][]byte{data})
}

// names are the SHA-256 of the files that leaves name.
type names struct {
	state log.State
	later map[tuf.Digest]bool // of leaves that the derived state does not have
}

// openNames reads the leaves that the derived state does not have: after a restore
// these are the ones whose files are missing.
func openNames(ctx context.Context, storage log.Storage, state log.State) (*names, error) {
	// First the position, which must not be larger than the tree that is read after it.
	position, err := state.Position(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return nil, err
	}
	n := &names{state: state, later: map[tuf.Digest]bool{}}
	for index := position.Tree().N / proofs.FullWidth; index*proofs.FullWidth < stored.N; index++ {
		bundle, err := storage.ReadEntries(ctx, index, proofs.TileWidth(stored.N, -1, index))
		if err != nil {
			return nil, err
		}
		entries, err := proofs.ParseEntries(bundle)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			if leaf.IsEnd(e) {
				continue
			}
			leaf, err := leaf.Parse(e)
			if err != nil {
				return nil, fmt.Errorf("entry %d: %w", index*proofs.FullWidth+int64(i), err)
			}
			n.later[leaf.Metadata], n.later[leaf.Snapshot] = true, true
		}
	}
	return n, nil
}

func (n *names) has(ctx context.Context, sum tuf.Digest) (bool, error) {
	if n.later[sum] {
		return true, nil
	}
	// One leaf that names a file does; others have it as their payload at most.
	records, _, err := n.state.Lookup(ctx, sum, 100)
	for _, rec := range records {
		if rec.Leaf.Metadata == sum || rec.Leaf.Snapshot == sum {
			return true, err
		}
	}
	return false, err
}
