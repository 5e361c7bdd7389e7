package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

type diffFlags struct {
	logFlags
	dir, repository, role string
}

func newDiff() *cobra.Command {
	var opts diffFlags
	cmd := &cobra.Command{
		Use:   "diff A B [--dir DIR | --policy FILE [--repository REPOSITORY]]",
		Short: "Tell what changed between two releases, files or folders",
		Long: `Tell what changed from A to B: targets, keys, thresholds, delegations, expiry, custom
data. A and B are
  two metadata files in JSON, or two of Pigweed (*.pb: metadata, or bundles, of which
  the targets metadata counts)
  two folders with metadata, of which what would be in force counts: what a
  device has, say, and what it is offered
  with --dir, two versions in a folder: targets:13 targets:14
  with --policy, two entries of the log, by their indices; with --repository (an id, a
  file or a label, see auditor show) two versions, too
Of files and folders the signatures are not checked, and neither policy nor log is needed.

Exit codes:
  0  the changes, or that there are none
  1  the replay has findings of class tampering or unexpected (see replay)
  2  wrong usage, no such release or file, or an outage`,
		Example: `  auditor diff 13.targets.json 14.targets.json
  auditor diff /var/lib/updater/metadata offered
  auditor diff targets:13 targets:14 --repository cd7549b1 --policy policy.txt`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var d diff
			var outcome error
			switch {
			case opts.policy != "" && opts.dir != "":
				return errors.New("want --dir or --policy, and not both")
			case opts.policy != "":
				var err error
				if outcome, err = d.ofLog(cmd, &opts, args[0], args[1]); err != nil {
					return err
				}
			case opts.repository != "":
				return errors.New("--repository: want --policy, too")
			case opts.dir != "":
				if err := d.ofVersions(opts.dir, args[0], args[1]); err != nil {
					return err
				}
			default:
				if err := d.ofPaths(&opts, args[0], args[1]); err != nil {
					return err
				}
			}
			if opts.json {
				return firstOf(cli.WriteJSON(cmd.OutOrStdout(), d), outcome)
			}
			return firstOf(d.print(cli.Folded(cmd.OutOrStdout())), outcome)
		},
	}
	opts.flags(cmd)
	cmd.Flags().StringVar(&opts.dir, "dir", "", "`DIR` with metadata, of which A and B are versions")
	cmd.Flags().StringVar(&opts.repository, "repository", "", "`REPOSITORY` in the log, of which A and B are versions or entries")
	cmd.Flags().StringVar(&opts.role, "role", "", "`ROLE` of two files (default: as their names say)")
	return cmd
}

// diff is the answer of the command.
type diff struct {
	Repository string             `json:"repository,omitempty"` // its id, where it is in the log
	From       *releaseInfo       `json:"from,omitempty"`       // absent where files or folders are compared
	To         *releaseInfo       `json:"to,omitempty"`
	Files      []*explain.Changes `json:"files"` // that differ, of folders; of two files or releases always one
	Notes      []string           `json:"notes,omitempty"`
}

// ofPaths compares two files or folders.
func (d *diff) ofPaths(opts *diffFlags, a, b string) error {
	infoA, err := os.Stat(a)
	if err != nil {
		return fmt.Errorf("%w (for releases in the log give --policy, for versions in a folder --dir)", err)
	}
	infoB, err := os.Stat(b)
	if err != nil {
		return err
	}
	if infoA.IsDir() != infoB.IsDir() {
		return fmt.Errorf("%s and %s: want two files or two folders", a, b)
	}
	if infoA.IsDir() {
		return d.ofFolders(a, b)
	}
	roleA, before, err := readMetadata(a)
	if err != nil {
		return err
	}
	roleB, after, err := readMetadata(b)
	if err != nil {
		return err
	}
	role := opts.role
	switch {
	case role != "":
	case roleA == roleB:
		role = roleA
	case before.Type == after.Type:
		role = after.Type
	default:
		return fmt.Errorf("%s is %s and %s is %s: only files of one role can be compared", a, before.Type, b, after.Type)
	}
	return d.add(role, before, after)
}

func (d *diff) add(role string, before, after *tuf.Metadata) error {
	c, err := explain.Diff(role, before, after)
	d.Files = append(d.Files, c)
	return err
}

// ofFolders compares all files of two folders.
func (d *diff) ofFolders(a, b string) error {
	before, err := readFolder(a)
	if err != nil {
		return err
	}
	after, err := readFolder(b)
	if err != nil {
		return err
	}
	then, _ := before.inForce(nil)
	now, dropped := after.inForce(nil)
	if then.Root == nil || now.Root == nil {
		return fmt.Errorf("%s and %s: want a root in both", a, b)
	}
	d.Notes = after.notes(now, dropped)
	d.Files, err = explain.DiffRepositories(then, now)
	return err
}

// ofVersions compares two versions in a folder.
func (d *diff) ofVersions(dir, a, b string) error {
	f, err := readFolder(dir)
	if err != nil {
		return err
	}
	var files [2]*tuf.Metadata
	var releases [2]release
	for i, name := range []string{a, b} {
		if releases[i], err = parseRelease(name); err != nil || releases[i].index >= 0 {
			return fmt.Errorf("%q: want ROLE:VERSION, such as targets:14", name)
		}
		if files[i], err = f.at(releases[i]); err != nil {
			return err
		}
	}
	if releases[0].role != releases[1].role {
		return fmt.Errorf("%s and %s: want two versions of one role", a, b)
	}
	d.From = &releaseInfo{Role: releases[0].role, Version: releases[0].version}
	d.To = &releaseInfo{Role: releases[1].role, Version: releases[1].version}
	return d.add(releases[0].role, files[0], files[1])
}

// ofLog compares two leaves. Its first error is the verdict on the replay.
func (d *diff) ofLog(cmd *cobra.Command, opts *diffFlags, a, b string) (outcome, err error) {
	if opts.repository == "" {
		for _, name := range []string{a, b} {
			if r, err := parseRelease(name); err != nil || r.index < 0 {
				return nil, fmt.Errorf("%q: want --repository, or the index of an entry", name)
			}
		}
	}
	var h *history.History
	var done func() error
	if opts.repository != "" {
		h, outcome, done, err = opts.history(cmd, opts.repository)
	} else {
		h, outcome, done, err = opts.historyOf(cmd, "", func(ctx context.Context, auditor *audit.Auditor) (string, error) {
			return repositoryWith(ctx, auditor, a, b)
		})
	}
	if err != nil {
		return nil, err
	}
	defer done()
	from, err := findRelease(h, a)
	if err != nil {
		return nil, err
	}
	to, err := findRelease(h, b)
	if err != nil {
		return nil, err
	}
	return outcome, d.ofLeaves(cmd.Context(), h, from, to)
}

// repositoryWith returns the repository that has two entries.
func repositoryWith(ctx context.Context, a *audit.Auditor, entries ...string) (string, error) {
	id := ""
	for _, name := range entries {
		r, err := parseRelease(name)
		if err != nil {
			return "", err
		}
		found, ok, err := a.State().Leaf(ctx, r.index)
		switch {
		case err != nil:
			return "", err
		case !ok || !found.IsLeaf():
			return "", fmt.Errorf("the log has no release at entry %s", name)
		case id != "" && id != found.Repository.String():
			return "", fmt.Errorf("entry %s is of repository %v, and entry %s of %s: want two of one repository", name, found.Repository, entries[0], id)
		}
		id = found.Repository.String()
	}
	return id, nil
}

func (d *diff) ofLeaves(ctx context.Context, h *history.History, from, to history.Record) error {
	if from.Leaf.Role != to.Leaf.Role {
		return fmt.Errorf("entry %d is of role %q and entry %d of %q: want two of one role", from.Index, from.Leaf.Role, to.Index, to.Leaf.Role)
	}
	before, err := h.File(ctx, from.Leaf)
	if err != nil {
		return err
	}
	after, err := h.File(ctx, to.Leaf)
	if err != nil {
		return err
	}
	d.Repository = h.ID().String()
	d.From = &releaseInfo{from.Leaf.Role, from.Leaf.Version, &from.Index}
	d.To = &releaseInfo{to.Leaf.Role, to.Leaf.Version, &to.Index}
	return d.add(to.Leaf.Role, before, after)
}

func (d *diff) print(w io.Writer) error {
	if len(d.Files) == 0 {
		fmt.Fprintln(w, "Nothing differs.")
	}
	for _, c := range d.Files {
		for _, line := range c.Sentences() {
			fmt.Fprintln(w, printable.Line(line))
		}
	}
	for _, note := range d.Notes {
		fmt.Fprintf(w, "Note: %s\n", printable.Line(note))
	}
	return nil
}
