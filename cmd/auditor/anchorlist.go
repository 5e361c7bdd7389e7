package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
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
	LogIndex int64     `json:"log_index"` // -1: the receipt does not say it
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
		Use:   "list [--remote --policy FILE]",
		Short: "List the receipts that are kept, or what Rekor has",
		Long: `List the receipts in DIR, as what they say, or with --remote what the instances have under
the keys of the logs of a policy. Of version 1 that is what its index lists, which is not
proved: it may hide entries. Of version 2, which has no search, every entry is read, the
first time from the beginning. Of several entries with one text one is listed. What an
earlier look has read is remembered in DIR. Nothing is verified of receipts, and entries are
not compared with the log: that is what verify and audit do.

Exit codes:
  0  all of it was listed
  2  wrong usage, or not all could be read`,
		Example: `  auditor anchor list
  auditor anchor list --remote --policy policy.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			said := anchorListing{Anchors: []listedAnchor{}, remote: opts.remote}
			var err error
			switch flag := opts.says(); {
			case opts.remote && opts.policy == "":
				return errors.New("--remote: give the log's key with --policy")
			case opts.remote:
				err = said.addRemote(cmd, &opts.instanceFlags, opts.policy)
			case flag != "" || opts.policy != "":
				return fmt.Errorf("--%s: without --remote the receipts in --dir are listed, and nothing else is asked", cmp.Or(flag, "policy"))
			default:
				err = said.addKept(opts.dir, opts.name)
			}
			if opts.json {
				return firstOf(cli.WriteJSON(cmd.OutOrStdout(), said.Anchors), err)
			}
			return firstOf(said.print(cli.Folded(cmd.OutOrStdout()), opts.dir), err)
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.policy, "policy", "", "`FILE` with the trust policy, which has the log's key")
	cmd.Flags().BoolVar(&opts.remote, "remote", false, "list what the instances have")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

// anchorListing is what was listed.
type anchorListing struct {
	Anchors []listedAnchor
	remote  bool
}

func (s *anchorListing) print(w io.Writer, dir string) error {
	if s.remote {
		fmt.Fprintf(w, "Rekor has %s under the keys of the policy's logs.\n", plural(len(s.Anchors), "anchor"))
	} else {
		fmt.Fprintf(w, "There are %s in %s, which say:\n", plural(len(s.Anchors), "receipt"), printable.Line(dir))
	}
	if len(s.Anchors) == 0 {
		return nil
	}
	var t printable.Table
	if s.remote {
		t = printable.NewTable(w, "INSTANCE", "LOG", "ENTRY", "SINCE", "SHA-256 OF THE TEXT")
	} else {
		t = printable.NewTable(w, "INSTANCE", "LOG", "SIZE", "ENTRY", "SINCE", "RECEIPT")
	}
	for _, a := range s.Anchors {
		instance, log := printable.Line(a.Instance), printable.Line(a.Log)
		if s.remote {
			t.Row(instance, log, a.LogIndex, a.Time.UTC().Format(time.RFC3339), a.Digest)
			continue
		}
		index := "not said"
		if a.LogIndex >= 0 {
			index = fmt.Sprint(a.LogIndex)
		}
		t.Row(instance, log, a.Size, index, promised(a.Time), printable.Line(a.Receipt))
	}
	return t.Flush()
}

// addKept adds the receipts in a directory, of one instance or of all: those of a monitor, too, which
// keeps its instances in its configuration.
func (s *anchorListing) addKept(dir, instance string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	found := false
	var bad error
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || anchored.CheckName(name) != nil || instance != "" && instance != name {
			continue
		}
		found = true
		folders, err := anchored.Folders(dir, name)
		if err != nil {
			return err
		}
		for _, f := range folders {
			err := f.Receipts(func(k anchored.Kept) error { return s.addReceipt(name, k) })
			if err != nil && !errors.Is(err, anchored.ErrNoReceipt) {
				return err
			}
			bad = errors.Join(bad, err)
		}
	}
	slices.SortStableFunc(s.Anchors, func(x, y listedAnchor) int {
		return cmp.Or(cmp.Compare(x.Instance, y.Instance), cmp.Compare(x.Log, y.Log), cmp.Compare(x.Size, y.Size))
	})
	if instance != "" && !found {
		return fmt.Errorf("%s has no instance %s", dir, printable.Line(instance))
	}
	return bad
}

func (s *anchorListing) addReceipt(instance string, k anchored.Kept) error {
	note, err := proofs.ParseNote(k.Receipt.Note)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Path, err)
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Path, err)
	}
	a := listedAnchor{
		Instance: instance, Log: c.Origin, Size: c.Tree.N, LogIndex: -1, Receipt: k.Path,
		Digest: fmt.Sprintf("%x", sha256.Sum256([]byte(note.Text))),
	}
	if index, at, err := k.Receipt.Claim(); err == nil {
		a.LogIndex, a.Time = index, at
	}
	s.Anchors = append(s.Anchors, a)
	return nil
}

// addRemote adds what instances have under the keys of a policy's logs.
func (s *anchorListing) addRemote(cmd *cobra.Command, flags *instanceFlags, path string) error {
	policy, err := cli.ReadPolicy(path)
	if err != nil {
		return err
	}
	logs, err := anchoredLogs(policy)
	if err != nil {
		return err
	}
	instances, err := flags.instances()
	if err != nil {
		return err
	}
	var errs error
	for i := range instances {
		instance := &instances[i]
		for _, log := range logs {
			entries, err := instance.entries(cmd.Context(), &log)
			if err != nil {
				errs = errors.Join(errs, instance.explain(err))
			}
			for _, e := range entries {
				s.Anchors = append(s.Anchors, listedAnchor{Instance: instance.Name, Log: log.origin, Size: -1, Digest: e.Digest, LogIndex: e.LogIndex, Time: e.Time})
			}
		}
	}
	return errs
}

// entries reads what an instance has under a log's keys. With an error, what could be read.
func (o *opened) entries(ctx context.Context, log *anchoredLog) ([]anchored.Entry, error) {
	ledger, err := o.ledger(log.origin, log.keys)
	if err != nil {
		return nil, err
	}
	lock, err := ledger.Folder.Lock()
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Release() }()
	entries, err := ledger.Entries(ctx)
	if err == nil || errors.Is(err, anchored.ErrMore) {
		err = errors.Join(err, o.works())
	}
	return entries, err
}
