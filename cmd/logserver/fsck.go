package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// fsckReport is what fsck found.
type fsckReport struct {
	Size     int64    `json:"size"`
	Files    int64    `json:"files"`
	Seconds  float64  `json:"seconds"`
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
		Example: `  logserver fsck --dir ./log
  logserver fsck --dir ./log --judge --storage trillian://10.0.0.9:8090/1234 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !judge { // which may need more
				limitMemory(on.memory())
			}
			started := time.Now()
			report, err := fsck(cmd.Context(), at, on, judge, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			report.Seconds = time.Since(started).Seconds()
			if asJSON {
				err = cli.WriteJSON(cmd.OutOrStdout(), report)
			} else {
				for _, p := range report.Problems {
					fmt.Fprintln(cmd.OutOrStdout(), p)
				}
				if len(report.Problems) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%d entries, their tiles and their files are as they should be (%d files, %.1f s)\n", report.Size, report.Files, report.Seconds)
				} else {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d entries and %d files checked in %.1f s: %d problems\n", report.Size, report.Files, report.Seconds, len(report.Problems))
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

func fsck(ctx context.Context, at place, on shared, judge bool, stderr io.Writer) (report fsckReport, err error) {
	report.Problems = []string{}
	keys, err := readKeys(at)
	if err != nil {
		return report, err
	}
	k, err := openKept(ctx, at, on, stderr)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	trees, derived, problems, err := knownTrees(ctx, k, keys)
	if err != nil {
		return report, err
	}
	report.Problems = append(report.Problems, problems...)
	blobs, err := k.blobs()
	if err != nil {
		return report, err
	}
	storage, stored, err := k.storage(ctx)
	if errors.Is(err, log.ErrLocked) || errors.Is(err, log.ErrUnavailable) || errors.Is(err, fs.ErrNotExist) {
		return report, err
	}
	var second *secondState
	if err != nil {
		report.Problems = append(report.Problems, fmt.Sprintf("the storage: %v", err))
	} else {
		check := maintain.Fsck{Storage: storage, Stored: stored, Blobs: blobs, Trees: trees, Judge: judge}
		// A state to compare with, made from a log that is known to be damaged,
		// would say nothing.
		if len(report.Problems) == 0 {
			if second, err = k.anew(ctx); err != nil {
				return report, err
			}
			defer func() { err = errors.Join(err, second.drop(context.WithoutCancel(ctx))) }()
			check.Anew, check.AnewSize, check.AnewListed = second.State, derived.N, derived.listed
		}
		report.Size = stored.N
		bar := cli.NewProgress(stderr, "fsck", report.Size*check.Passes())
		check.Progress = func(n int) { bar.Add(int64(n)) }
		found, err := check.Run(ctx)
		bar.Done()
		report.Problems, report.Files = append(report.Problems, found...), check.Files
		if err != nil {
			return report, err
		}
	}
	found, err := k.further(ctx, report.Size, stderr)
	report.Problems = append(report.Problems, found...)
	if err != nil || len(report.Problems) > 0 {
		return report, err
	}
	found, err = compareState(ctx, k, second, derived, stderr)
	report.Problems = append(report.Problems, found...)
	return report, err
}

const derivedState = "the derived state"

// knownTrees reads what the log says of itself beside its entries: first what must
// not be larger than what is read after it, for others may write the log.
func knownTrees(ctx context.Context, k kept, keys []proofs.Key) (trees map[string]proofs.Tree, derived stateSize, problems []string, err error) {
	trees = map[string]proofs.Tree{}
	for _, known := range []struct {
		by   string
		tree func() (proofs.Tree, error)
	}{
		{derivedState, func() (_ proofs.Tree, err error) {
			derived, err = k.state(ctx)
			return derived.Tree, err
		}},
		{"the published checkpoint", func() (proofs.Tree, error) {
			signed, err := k.published(ctx)
			if err != nil || signed == nil {
				return proofs.EmptyTree, err
			}
			cp, _, err := proofs.OpenCheckpoint(signed, keys...)
			return cp.Tree, err
		}},
		{"the ledger", func() (proofs.Tree, error) {
			rec, err := k.ledger(ctx)
			if err != nil {
				return proofs.Tree{}, err
			}
			return rec.Edge.Tree(), nil
		}},
	} {
		tree, err := known.tree()
		switch {
		case errors.Is(err, log.ErrUnavailable):
			return nil, derived, nil, err
		case err != nil:
			problems = append(problems, fmt.Sprintf("%s: %v", known.by, err))
		default:
			trees[known.by] = tree
		}
	}
	return trees, derived, problems, nil
}

// compareState compares the derived state with one that was made anew, as far as it
// went. One that is written meanwhile cannot be compared.
func compareState(ctx context.Context, k kept, second *secondState, size stateSize, stderr io.Writer) ([]string, error) {
	bar := cli.NewProgress(stderr, "derived state", 1)
	bar.Add(0)
	found, err := second.differences(ctx)
	bar.Add(1)
	bar.Done()
	if err != nil {
		return nil, err
	}
	now, err := k.state(ctx)
	if err == nil && now != size {
		fmt.Fprintln(stderr, "the log grew meanwhile, so its derived state was not compared: stop the front ends for that")
		return nil, nil
	}
	return found, err
}
