package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

type radiusFlags struct {
	logFlags
	dir, before, repository, release string
}

func newRadius() *cobra.Command {
	var opts radiusFlags
	cmd := &cobra.Command{
		Use:   "radius [PATH|PATTERN] {--dir DIR | --repository REPOSITORY --policy FILE}",
		Short: "Tell who could replace a file, before and after a release",
		Long: `Tell who could replace a file: whose keys, how many of them, and what a release
changed about that. PATH is the path of a target; a PATTERN, in which * and ? stand for
characters other than a slash, answers for all paths that it matches. Without either the
answer is for all files.

The attacker holds some keys and answers all of a device's requests; the device has the
metadata in force and follows the TUF specification. So he needs the keys of root, or
those of snapshot, of timestamp and of a role that is asked for the path. (Of Pigweed,
which has neither snapshots nor timestamps, those of targets suffice.)

With --dir the metadata is what a device would have in force of that in a folder. It is
compared with --before, another folder, or with the folder as it was before --release,
if either is given. Neither policy nor log is needed. With --repository (an id, a file or
a label, see auditor show) it is that of a repository in the log, before and after
--release: the newest one if it is not given.

Exit codes:
  0  the answer
  1  the replay has findings of class tampering or unexpected (see replay)
  2  wrong usage, no such release, or an outage`,
		Example: `  auditor radius --dir metadata --release targets:14
  auditor radius firmware.bin --dir offered --before /var/lib/updater/metadata
  auditor radius 'maps/*' --repository cd7549b1 --policy policy.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern := ""
			if len(args) == 1 {
				if pattern = args[0]; pattern == "" {
					return errors.New("the path is empty")
				}
			}
			r := &radius{Pattern: pattern}
			var outcome error
			switch {
			case (opts.dir == "") == (opts.repository == ""):
				return errors.New("want either --dir, a folder with metadata, or --repository, a repository in the log")
			case opts.dir != "":
				if err := r.ofFolder(&opts); err != nil {
					return err
				}
			case opts.policy == "" || opts.before != "":
				return errors.New("--repository: want --policy, and not --before")
			default:
				h, verdict, done, err := opts.history(cmd, opts.repository)
				if err != nil {
					return err
				}
				defer done()
				outcome = verdict
				if err := r.ofLog(cmd.Context(), h, opts.release); err != nil {
					return err
				}
			}
			if opts.json {
				return firstOf(cli.WriteJSON(cmd.OutOrStdout(), r), outcome)
			}
			return firstOf(r.print(cli.Folded(cmd.OutOrStdout())), outcome)
		},
	}
	opts.flags(cmd)
	cmd.Flags().StringVar(&opts.dir, "dir", "", "`DIR` with metadata, named as in a TUF repository")
	cmd.Flags().StringVar(&opts.before, "before", "", "`DIR` with the metadata before, such as what a device has")
	cmd.Flags().StringVar(&opts.repository, "repository", "", "`REPOSITORY` in the log")
	cmd.Flags().StringVar(&opts.release, "release", "", "`RELEASE` before and after which to answer: ROLE:VERSION, or the index of an entry")
	return cmd
}

// radius is the answer of the command.
type radius struct {
	Repository string          `json:"repository,omitempty"` // its id, where it is in the log
	Release    *releaseInfo    `json:"release,omitempty"`    // before and after which; absent: nothing is compared, or two folders are
	Pattern    string          `json:"pattern,omitempty"`    // absent: all paths
	Impact     *explain.Impact `json:"impact"`
	Unused     []explain.Power `json:"unused"`                // keys that may sign a role and never have
	MoreUnused bool            `json:"more_unused,omitempty"` // there are more
	Notes      []string        `json:"notes,omitempty"`
}

// releaseInfo is a release by its names.
type releaseInfo struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Index   *int64 `json:"index,omitempty"` // in the log
}

// ofFolder answers from folders.
func (r *radius) ofFolder(opts *radiusFlags) error {
	if opts.before != "" && opts.release != "" {
		return errors.New("want --before or --release, and not both")
	}
	f, err := readFolder(opts.dir)
	if err != nil {
		return err
	}
	var at *release
	if opts.release != "" {
		named, err := parseRelease(opts.release)
		if err != nil || named.index >= 0 {
			return fmt.Errorf("--release %q: want ROLE:VERSION, such as targets:14", opts.release)
		}
		if _, err := f.at(named); err != nil {
			return err
		}
		at = &named
	}
	after, dropped := f.inForce(at)
	if after.Root == nil {
		return fmt.Errorf("%s has no root, which says whose keys count", opts.dir)
	}
	var before *explain.Repository
	switch {
	case at != nil:
		if slices.Contains(dropped, at.role) {
			return fmt.Errorf("nothing in force in %s delegates to %s", opts.dir, at.role)
		}
		then := after
		then.Delegated = maps.Clone(after.Delegated)
		then.Put(at.role, f.before(*at))
		if then.Root == nil {
			return fmt.Errorf("%s has no root before %d", opts.dir, at.version)
		}
		before, r.Release = &then, &releaseInfo{Role: at.role, Version: at.version}
	case opts.before != "":
		older, err := readFolder(opts.before)
		if err != nil {
			return err
		}
		then, _ := older.inForce(nil)
		if then.Root == nil {
			return fmt.Errorf("%s has no root, which says whose keys count", opts.before)
		}
		before = &then
	}
	r.Notes = f.notes(after, dropped)
	return r.answer(before, after, f.signed(after))
}

// ofLog answers from a repository in the log.
func (r *radius) ofLog(ctx context.Context, h *history.History, name string) error {
	at, err := newestRelease(h), error(nil)
	if name != "" {
		if at, err = findRelease(h, name); err != nil {
			return err
		}
	}
	r.Repository = h.ID().String()
	r.Release = &releaseInfo{Role: at.Leaf.Role, Version: at.Leaf.Version, Index: &at.Index}
	before, after, err := h.Around(ctx, at.Index)
	if err != nil {
		return err
	}
	signed, err := h.Signed(ctx, at.Index+1)
	if err != nil {
		return err
	}
	return r.answer(before, *after, signed)
}

func (r *radius) answer(before *explain.Repository, after explain.Repository, signed explain.Signed) (err error) {
	if r.Impact, err = explain.ImpactOf(before, after, r.Pattern); err != nil {
		return err
	}
	r.Unused = []explain.Power{}
	unused, more, err := explain.Unused(after, signed)
	for _, p := range unused {
		if _, seen := signed[p.Role]; seen { // of a role without any file it is not known who signs it
			r.Unused = append(r.Unused, p)
		}
	}
	r.MoreUnused = more
	return err
}

func (r *radius) print(w io.Writer) error {
	lines := r.Impact.Sentences()
	if r.Release != nil {
		at := ""
		if r.Release.Index != nil {
			at = fmt.Sprintf(" (entry %d)", *r.Release.Index)
		}
		lines[0] = fmt.Sprintf("%s %d%s: %s", tuf.Word(r.Release.Role), r.Release.Version, at, lines[0])
	}
	if len(r.Unused) > 0 {
		lines = append(lines, "", "Power that was never used, in these files:")
	}
	for _, line := range explain.UnusedSentences(r.Unused) {
		lines = append(lines, "  "+line)
	}
	for _, line := range lines {
		fmt.Fprintln(w, printable.Line(line))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "Note: %s\n", printable.Line(note))
	}
	return nil
}

// newestRelease returns the last release of a repository.
func newestRelease(h *history.History) history.Record {
	at := h.Records[0]
	for _, r := range h.Records {
		if r.Leaf.Kind == leaf.Release {
			at = r
		}
	}
	return at
}

// findRelease returns the leaf that a name means.
func findRelease(h *history.History, name string) (history.Record, error) {
	want, err := parseRelease(name)
	if err != nil {
		return history.Record{}, err
	}
	var found []history.Record
	payloads := map[tuf.Digest]bool{}
	for _, r := range h.Records {
		if want.index >= 0 && r.Index == want.index || want.index < 0 && r.Leaf.Kind == leaf.Release && r.Leaf.Role == want.role && r.Leaf.Version == want.version {
			found = append(found, r)
			payloads[r.Leaf.Payload] = true
		}
	}
	switch {
	case len(found) == 0:
		return history.Record{}, fmt.Errorf("repository %v has no release %s", h.ID(), name)
	case len(payloads) > 1:
		return history.Record{}, fmt.Errorf("repository %v has %d payloads of %s: name one by its entry, such as %d or %d", h.ID(), len(payloads), name, found[0].Index, found[len(found)-1].Index)
	}
	return found[0], nil
}
