package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// checkedRelease is what expectations say of a file.
type checkedRelease struct {
	Role     string `json:"role"`
	Version  int64  `json:"version"`
	Expected bool   `json:"expected"`
	Why      string `json:"why"`
}

// checkedNote is what expect check says.
type checkedNote struct {
	Repository tuf.Digest       `json:"repository"`
	Version    int64            `json:"version"`
	From       time.Time        `json:"from"`
	Until      time.Time        `json:"until"`
	InForce    bool             `json:"in_force"`
	Releases   []checkedRelease `json:"releases"`
}

func expectCheckCommand() *cobra.Command {
	var vkeys, before []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check NOTE --key VKEY [PATH...]",
		Short: "Verify expectations, and say what they say of metadata",
		Long: `Verify a note of expectations with the public key, print it, and say of each metadata
file of PATH whether it is expected. PATH is as for submit, and has what is released now
as well as what will be, since a release is compared with the one before it: what is
beside a newer version of its role is that one's predecessor. Or --had names what the
roles have, which is then taken as it is.

Exit codes: 0 everything is expected; 1 a file is not, the note is not signed by the key,
or it is not in force; 2 wrong usage, or the check was not possible.`,
		Example: `  publisher expect check expect.note --key "$(cat expect.vkey)" ./metadata`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := cli.Keys(vkeys, "")
			if err != nil {
				return err
			}
			if len(keys) == 0 {
				return errors.New("give the public key of the expectations with --key VKEY")
			}
			e, err := readNote(args[0], keys)
			if err != nil {
				return err
			}
			checked := checkedNote{Repository: e.Repository, Version: e.Version, From: e.From, Until: e.Until, InForce: e.InForce(time.Now()), Releases: []checkedRelease{}}
			if len(args) > 1 {
				history, err := readReleased(args[1:])
				if err != nil {
					return err
				}
				old, err := readReleased(before)
				if err != nil {
					return err
				}
				checked.Releases = checkReleases(e, newestOf(old), history)
			}
			return printChecked(cmd, e, checked, asJSON)
		},
	}
	cmd.Flags().StringArrayVar(&vkeys, "key", nil, "`VKEY` that has signed the note (repeatable: one of them suffices)")
	cmd.Flags().StringArrayVar(&before, "had", nil, "`PATH` of metadata that the roles had before (repeatable)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkReleases judges a history from what the roles had, and the bases, on.
func checkReleases(e *expect.Expectations, had map[string]*tuf.Metadata, history []expect.Released) []checkedRelease {
	list := []checkedRelease{}
	for _, r := range history {
		base, hasBase := e.Base(r.Role)
		switch {
		case hasBase && r.Metadata.PayloadDigest == base.Payload && (had[r.Role] == nil || had[r.Role].Version < base.Version):
			had[r.Role] = r.Metadata
		case hasBase && r.Metadata.Version < base.Version:
			continue // it was before what the note is about
		}
		l := leaf.Leaf{Kind: leaf.Release, Repository: e.Repository, Role: r.Role, Version: r.Metadata.Version, Payload: r.Metadata.PayloadDigest}
		why, ok := e.Judge(l, r.Metadata, had[r.Role])
		if ok {
			had[r.Role] = r.Metadata
		}
		list = append(list, checkedRelease{Role: r.Role, Version: r.Metadata.Version, Expected: ok, Why: why})
	}
	return list
}

func printChecked(cmd *cobra.Command, e *expect.Expectations, checked checkedNote, asJSON bool) error {
	unexpected := 0
	for _, r := range checked.Releases {
		if !r.Expected {
			unexpected++
		}
	}
	if asJSON {
		if err := cli.WriteJSON(cmd.OutOrStdout(), checked); err != nil {
			return err
		}
	} else {
		out := cmd.OutOrStdout()
		state := "in force"
		if now := time.Now(); now.Before(e.From) {
			state = "not in force yet"
		} else if !checked.InForce {
			state = "no longer in force"
		}
		fmt.Fprintf(out, "Expectations %d of repository %s, %s: from %s until %s.\n", e.Version, e.Repository, state, e.From.Format(time.RFC3339), e.Until.Format(time.RFC3339))
		if len(checked.Releases) > 0 {
			fmt.Fprintf(out, "%d of %d files are not expected.\n", unexpected, len(checked.Releases))
			table := printable.NewTable(out)
			for _, r := range checked.Releases {
				verdict := "expected"
				if !r.Expected {
					verdict = "unexpected"
				}
				table.Row(tuf.Word(r.Role), fmt.Sprint(r.Version), verdict, r.Why)
			}
			if err := table.Flush(); err != nil {
				return err
			}
		}
	}
	if slices.ContainsFunc(checked.Releases, func(r checkedRelease) bool { return strings.Contains(r.Why, "cannot be compared with version") }) {
		fmt.Fprintln(cmd.ErrOrStderr(), "hint: a release is compared with the one before it: --had names the metadata that was released before")
	}
	if unexpected > 0 || !checked.InForce {
		return cli.Failed(cli.ErrReported)
	}
	return nil
}
