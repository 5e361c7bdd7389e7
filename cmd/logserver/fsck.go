package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/proofs"
)

// fsckReport is what fsck found.
type fsckReport struct {
	Size     int64    `json:"size"`
	Problems []string `json:"problems"`
}

func newFsck() *cobra.Command {
	var at place
	var on shared
	var judge, asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck --dir DIR",
		Short: "Check everything that a log stores",
		Long: `Fsck hashes every entry, tile and blob of a log anew, holds the tree against the
ledger and the published checkpoint, and makes the derived state once more, in a
temporary file beside it, to compare. With --judge every leaf is judged again, as
an auditor would. The log must not be served meanwhile. Nothing is repaired.

A log on servers (--storage, --state) may be served meanwhile; only its derived state
cannot be compared while it grows. Its tiles are held against Trillian's leaves, too.

It exits 1 and says what differs, one line for each.`,
		Example: `  logserver fsck --dir ./log`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			check := fsck
			if on.on() {
				check = on.fsck
			}
			report, err := check(cmd.Context(), at, judge, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if asJSON {
				err = cli.WriteJSON(cmd.OutOrStdout(), report)
			} else {
				for _, p := range report.Problems {
					fmt.Fprintln(cmd.OutOrStdout(), p)
				}
				if len(report.Problems) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%d entries, their tiles and their files are as they should be\n", report.Size)
				}
			}
			if err == nil && len(report.Problems) > 0 {
				err = cli.Failed(cli.ErrReported)
			}
			return err
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	cmd.Flags().BoolVar(&judge, "judge", false, "judge every leaf again")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func fsck(ctx context.Context, at place, judge bool, stderr io.Writer) (report fsckReport, err error) {
	closing := func(c io.Closer) { err = errors.Join(err, c.Close()) }
	storage, err := tesseralog.OpenReader(at.tree())
	if err != nil {
		return report, err
	}
	defer closing(storage)
	blobs, err := sqlite.OpenBlobs(at.blobs())
	if err != nil {
		return report, err
	}
	defer closing(blobs)
	report = fsckReport{Size: storage.State().N, Problems: []string{}}
	trees, problems := knownTrees(at)
	report.Problems = append(report.Problems, problems...)
	state, err := sqlite.OpenState(at.state())
	if err != nil {
		report.Problems = append(report.Problems, fmt.Sprintf("the derived state: %v", err))
	} else {
		defer closing(state)
		edge, err := state.Position(ctx)
		if err != nil {
			return report, err
		}
		trees["the derived state"] = edge.Tree()
	}
	bar := cli.NewProgress(stderr, "fsck", report.Size)
	check := log.Fsck{Storage: storage, Stored: storage.State(), Blobs: blobs, Trees: trees, Judge: judge, Progress: func(n int) { bar.Add(int64(n)) }}
	found, err := check.Run(ctx)
	bar.Done()
	report.Problems = append(report.Problems, found...)
	if err != nil || len(report.Problems) > 0 || state == nil {
		// A state made from a damaged log would say nothing.
		return report, err
	}
	found, err = compareState(ctx, at, storage, blobs, state, trees["the derived state"], stderr)
	report.Problems = append(report.Problems, found...)
	return report, err
}

// knownTrees reads what the ledger and the published checkpoint say.
func knownTrees(at place) (trees map[string]proofs.Tree, problems []string) {
	trees = map[string]proofs.Tree{}
	if rec, err := readLedger(at); err != nil {
		problems = append(problems, fmt.Sprintf("the ledger: %v", err))
	} else {
		trees["the ledger"] = rec.Edge.Tree()
	}
	signed, err := os.ReadFile(at.checkpoint())
	if errors.Is(err, os.ErrNotExist) {
		return trees, problems
	}
	var cp proofs.Checkpoint
	if err == nil {
		var keys []proofs.Key
		if keys, err = readKeys(at); err == nil {
			cp, _, err = proofs.OpenCheckpoint(signed, keys...)
		}
	}
	if err != nil {
		return trees, append(problems, fmt.Sprintf("the published checkpoint: %v", err))
	}
	trees["the published checkpoint"] = cp.Tree
	return trees, problems
}

// compareState makes the derived state anew, as far as it goes, and compares.
func compareState(ctx context.Context, at place, storage log.Storage, blobs log.Blobs, state *sqlite.State, tree proofs.Tree, stderr io.Writer) (found []string, err error) {
	dir, err := os.MkdirTemp(at.dir, "fsck-*.tmp")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "state.db")
	if err := sqlite.CreateState(path); err != nil {
		return nil, err
	}
	anew, err := sqlite.OpenState(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, anew.Close()) }()
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return nil, err
	}
	indexer, err := log.OpenIndexer(ctx, storage, blobs, anew, stored, slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return nil, err
	}
	bar := cli.NewProgress(stderr, "derived state", tree.N)
	err = indexer.CatchUp(ctx, tree, func(n int) { bar.Add(int64(n)) })
	bar.Done()
	if err != nil {
		return nil, err
	}
	return state.Differences(ctx, path)
}
