package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
)

func newHold() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "List, release and drop the files that are held",
		Long: `Where a repository has a token, the submissions of others are held before they are
logged: for the time that serve --hold says, or until the vendor's own file of the same
role and version is logged. These commands list held files and end their hold by hand.

They work whether the log is served or not: a server looks each second, one that does
not run when it starts.`,
	}
	cmd.AddCommand(newHoldList(), newHoldRelease(), newHoldDrop())
	return cmd
}

// heldFile is a held file as hold list prints it.
type heldFile struct {
	ID         string    `json:"id"`
	Repository string    `json:"repository"`
	Label      string    `json:"label,omitempty"`
	Role       string    `json:"role"`
	Version    int64     `json:"version"`
	File       string    `json:"file"`
	Kind       string    `json:"kind"`   // what it would have become: release or evidence
	Source     string    `json:"source"` // the network it came from; empty: this host
	Size       int64     `json:"size"`   // bytes, with the snapshot beside it
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
}

func newHoldList() *cobra.Command {
	var at place
	var on shared
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --dir DIR [REPOSITORY]",
		Short: "List the held files of a repository, or of all",
		Long: `List shows for each held file its role and version, where it came from, and when it
is judged. WOULD BE is the leaf that it would have become when it came.`,
		Example: `  logserver hold list --dir ./log
  logserver hold list --dir ./log 9ab1... --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			v, err := openVendors(cmd.Context(), at, on, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.Close()) }()
			held, err := v.held(cmd.Context(), args)
			if err != nil {
				return err
			}
			list := []heldFile{}
			for _, h := range held {
				list = append(list, heldFile{h.ID, h.Repository.String(), v.labels[h.Repository], h.Role, h.Version, h.Name, string(h.Kind), h.Source, h.Size, h.Since, h.Until})
			}
			if asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), list)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "held files: %d\n", len(list))
			table := printable.NewTable(cmd.OutOrStdout())
			if len(held) > 0 {
				table.Row("ID", "ROLE", "VERSION", "WOULD BE", "BYTES", "FROM", "UNTIL", "REPOSITORY")
			}
			for _, h := range held {
				from := h.Source
				if from == "" {
					from = "this host"
				}
				table.Row(h.ID, h.Role, h.Version, h.Kind, h.Size, from, h.Until.Format(time.RFC3339), v.name(h.Repository))
			}
			return table.Flush()
		},
	}
	vendorFlags(cmd, &at, &on)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// held returns the held files of the repository that the first argument names, or all.
func (v *vendorStore) held(ctx context.Context, args []string) (list []log.Held, err error) {
	all, err := v.holds.ListHeld(ctx)
	if err != nil || len(args) == 0 {
		return all, err
	}
	only, err := v.repository(args[0])
	for _, h := range all {
		if h.Repository == only {
			list = append(list, h)
		}
	}
	return list, err
}

func newHoldRelease() *cobra.Command {
	return holdCommand(&cobra.Command{
		Use:   "release --dir DIR ID...",
		Short: "End the hold of files now",
		Long: `Release ends the hold of files now, as if they had been sent with the repository's token:
they become releases or evidence, or are refused. ID is as hold list prints it, or the
beginning of it that no other has.`,
		Example: `  logserver hold release --dir ./log 5e1f09c3`,
	}, "released", func(ctx context.Context, v *vendorStore, h log.Held) (bool, error) {
		return v.holds.ReleaseHold(ctx, h.ID, time.Now())
	})
}

func newHoldDrop() *cobra.Command {
	return holdCommand(&cobra.Command{
		Use:   "drop --dir DIR ID...",
		Short: "Forget held files",
		Long: `Drop forgets files: they are not judged, and a client that asks is told that the
operator has dropped them. Sent again they are held again. One that is being logged at
the same moment is logged all the same, and a client that asks is told so. ID is as hold
list prints it, or the beginning of it that no other has.`,
		Example: `  logserver hold drop --dir ./log 5e1f09c3`,
	}, "dropped", func(ctx context.Context, v *vendorStore, h log.Held) (bool, error) {
		return v.holds.SettleHold(ctx, h.ID, log.Dropped, time.Now())
	})
}

// holdCommand completes a command that ends the hold of files.
func holdCommand(cmd *cobra.Command, done string, end func(context.Context, *vendorStore, log.Held) (bool, error)) *cobra.Command {
	var at place
	var on shared
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		ctx := cmd.Context()
		v, err := openVendors(ctx, at, on, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, v.Close()) }()
		all, err := v.holds.ListHeld(ctx)
		if err != nil {
			return err
		}
		var ending []log.Held
		for _, arg := range args {
			h, err := heldBy(all, arg)
			if err != nil {
				return err
			}
			ending = append(ending, h)
		}
		for _, h := range ending {
			if err := v.Record(ctx, maintain.ActionNow("hold-"+cmd.Name(), fmt.Sprintf("%s, %q version %d of repository %v", h.ID, h.Role, h.Version, h.Repository))); err != nil {
				return err
			}
			ok, err := end(ctx, v, h)
			if err != nil {
				return err
			}
			said := done
			if !ok {
				said = "was not held any more"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", h.ID, said)
		}
		return nil
	}
	vendorFlags(cmd, &at, &on)
	return cmd
}

// heldBy returns the one whose ID begins so.
func heldBy(all []log.Held, id string) (found log.Held, err error) {
	n := 0
	for _, h := range all {
		if id != "" && strings.HasPrefix(h.ID, id) {
			found, n = h, n+1
		}
	}
	switch n {
	case 0:
		return found, fmt.Errorf("nothing is held under %q: %w; see logserver hold list", id, fs.ErrNotExist)
	case 1:
		return found, nil
	}
	return found, fmt.Errorf("%d files are held whose IDs begin with %q: give more of it", n, id)
}
