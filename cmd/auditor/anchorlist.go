package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

// listedAnchor is a receipt in a folder, or an entry of an instance.
type listedAnchor struct {
	Instance string    `json:"instance"`
	Log      string    `json:"log"`
	Size     int64     `json:"size"` // -1: not known, there is no receipt
	Digest   string    `json:"digest,omitempty"`
	LogIndex int64     `json:"log_index"` // -1: of a receipt that was not verified
	Time     time.Time `json:"time,omitzero"`
	Receipt  string    `json:"receipt,omitempty"`
}

func newAnchorList() *cobra.Command {
	var opts struct {
		instanceFlags
		policy string
		remote bool
		json   bool
	}
	cmd := &cobra.Command{
		Use:   "list [--policy FILE] [--remote]",
		Short: "List the receipts that are kept, or what Rekor has",
		Long: `List the receipts in DIR or, with --remote, what the instances have under the keys of the log
of a policy. Of version 1 that is what its index says, which is not proved: it may hide
entries. Of version 2, which has no search, every entry is read, the first time from the
beginning. Nothing is compared with the log: that is what audit does.

Exit codes:
  0  all of it was listed
  2  wrong usage, or not all could be read`,
		Example: `  auditor anchor list
  auditor anchor list --remote --policy policy.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []listedAnchor
			var err error
			if opts.remote {
				if opts.policy == "" {
					return errors.New("--remote: give the log's key with --policy")
				}
				list, err = listRemote(cmd, &opts.instanceFlags, opts.policy)
			} else {
				list, err = listKept(opts.dir, opts.name)
			}
			if opts.json {
				if list == nil {
					list = []listedAnchor{}
				}
				return firstOf(cli.WriteJSON(cmd.OutOrStdout(), list), err)
			}
			w := cli.Folded(cmd.OutOrStdout())
			fmt.Fprintf(w, "%s\n", plural(len(list), "anchor"))
			t := printable.NewTable(w, "INSTANCE", "LOG", "SIZE", "ENTRY", "SINCE", "WHAT")
			for _, a := range list {
				size, index, at := "", "", ""
				if a.Size >= 0 {
					size = fmt.Sprint(a.Size)
				}
				if a.LogIndex >= 0 {
					index = fmt.Sprint(a.LogIndex)
				}
				if !a.Time.IsZero() {
					at = a.Time.Format(time.RFC3339)
				}
				what := a.Receipt
				if what == "" {
					what = a.Digest
				}
				t.Row(printable.Line(a.Instance), printable.Line(a.Log), size, index, at, printable.Line(what))
			}
			return firstOf(t.Flush(), err)
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.policy, "policy", "", "`FILE` with the trust policy, which has the log's key")
	cmd.Flags().BoolVar(&opts.remote, "remote", false, "list what the instances have")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

// listKept lists the receipts of a directory, of one instance or of all.
func listKept(dir, instance string) ([]listedAnchor, error) {
	names := []string{instance}
	if instance == "" {
		var err error
		if names, err = anchored.Instances(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var list []listedAnchor
	var bad error
	for _, name := range names {
		folders, err := anchored.Folders(dir, name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return list, err
		}
		for _, f := range folders {
			err := f.Receipts(func(k anchored.Kept) error {
				note, err := proofs.ParseNote(k.Receipt.Note)
				if err != nil {
					return fmt.Errorf("%s: %w", k.Path, err)
				}
				c, err := proofs.ParseCheckpoint(note.Text)
				if err != nil {
					return fmt.Errorf("%s: %w", k.Path, err)
				}
				list = append(list, listedAnchor{Instance: name, Log: c.Origin, Size: c.Tree.N, LogIndex: -1, Receipt: k.Path})
				return nil
			})
			if err != nil && !errors.Is(err, anchored.ErrNoReceipt) {
				return list, err
			}
			bad = errors.Join(bad, err)
		}
	}
	return list, bad
}

// listRemote lists what instances have under the keys of a log.
func listRemote(cmd *cobra.Command, flags *instanceFlags, path string) ([]listedAnchor, error) {
	policy, err := cli.ReadPolicy(path)
	if err != nil {
		return nil, err
	}
	origin, keys, err := anchoredLog(policy)
	if err != nil {
		return nil, err
	}
	instances, err := flags.instances()
	if err != nil {
		return nil, err
	}
	var list []listedAnchor
	var errs error
	for _, instance := range instances {
		ledger, err := instance.ledger(flags.dir, origin, keys)
		if err != nil {
			return list, err
		}
		lock, err := ledger.Folder.Lock()
		if err != nil {
			return list, err
		}
		entries, err := ledger.Entries(cmd.Context())
		_ = lock.Release()
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", instance.Name, err))
		}
		for _, e := range entries {
			list = append(list, listedAnchor{Instance: instance.Name, Log: origin, Size: -1, Digest: e.Digest, LogIndex: e.LogIndex, Time: e.Time})
		}
	}
	return list, errs
}
