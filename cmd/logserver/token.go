package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/tuf"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the tokens of repositories",
		Long: `The holder of a repository's token submits in the vendor's name: at once, where the
files of others are held (see logserver hold), and with a quota that nobody else can
use up. Registering a repository with the registration token gives it its first one.
The log keeps the SHA-256 of a token and never its text.

These commands work whether the log is served or not; a server knows at once.`,
	}
	cmd.AddCommand(newTokenAdd(), newTokenList(), newTokenRevoke())
	return cmd
}

func newTokenAdd() *cobra.Command {
	var at place
	var on shared
	var out string
	cmd := &cobra.Command{
		Use:   "add --dir DIR REPOSITORY",
		Short: "Make a token and print it, this once",
		Long: `Add makes a token of a repository, named by its 64 hex digits or by its label, and
prints it: give it to the vendor in private. A repository can have several, as when
one is to be replaced. From its first token on, what others submit for the repository
is held. A repository that is not in the log yet may have one, too.`,
		Example: `  logserver token add --dir ./log 9ab1... --out vendor.token`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			v, err := openVendors(cmd.Context(), at, on, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.Close()) }()
			id, err := v.repository(args[0])
			if err != nil {
				return err
			}
			known, err := v.knows(cmd.Context(), id)
			if err != nil {
				return err
			}
			if !known {
				fmt.Fprintf(cmd.ErrOrStderr(), "the log has no repository %v, or not yet\n", id)
			}
			text := api.GenerateToken()
			token := log.NewToken(id, text, log.ByOperator, time.Now())
			if out != "" { // first: what fails here has made no token
				if err := keyfile.Create(out, text); err != nil {
					return err
				}
			}
			err = v.Record(cmd.Context(), maintain.ActionNow("token-add", fmt.Sprintf("token %s of repository %v", token.ID(), id)))
			if err == nil {
				_, err = v.tokens.AddToken(cmd.Context(), token)
			}
			if err != nil {
				if out != "" {
					err = errors.Join(err, os.Remove(out))
				}
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "token %s of repository %s; it is not shown again\n", token.ID(), v.name(id))
			if out == "" {
				fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			return nil
		},
	}
	vendorFlags(cmd, &at, &on)
	cmd.Flags().StringVar(&out, "out", "", "new file for the token, which only its owner can read (default: print it)")
	return cmd
}

// vendorFlags adds the flags of commands that use openVendors.
func vendorFlags(cmd *cobra.Command, at *place, on *shared) {
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
}

// listedToken is a token as token list prints it.
type listedToken struct {
	Repository string    `json:"repository"`
	Label      string    `json:"label,omitempty"`
	ID         string    `json:"id"`
	Made       time.Time `json:"made"`
	By         string    `json:"by"` // registration or operator
}

func newTokenList() *cobra.Command {
	var at place
	var on shared
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --dir DIR [REPOSITORY]",
		Short: "List the tokens of a repository, or of all",
		Long: `List says of each token which repository it is of, when it was made, and whether by
registering the repository or by the operator.`,
		Example: `  logserver token list --dir ./log
  logserver token list --dir ./log 9ab1... --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			v, err := openVendors(cmd.Context(), at, on, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.Close()) }()
			found, err := v.tokensOf(cmd, args)
			if err != nil {
				return err
			}
			list := []listedToken{}
			for _, t := range found {
				list = append(list, listedToken{t.Repository.String(), v.labels[t.Repository], t.ID(), t.Made, t.By})
			}
			if asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), list)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "tokens: %d\n", len(list))
			table := printable.NewTable(cmd.OutOrStdout())
			if len(list) > 0 {
				table.Row("TOKEN", "REPOSITORY", "MADE", "BY")
			}
			for _, t := range found {
				table.Row(t.ID(), v.name(t.Repository), t.Made.Format(time.RFC3339), t.By)
			}
			return table.Flush()
		},
	}
	vendorFlags(cmd, &at, &on)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tokensOf returns the tokens of the repository that the first argument names, or all.
func (v *vendorStore) tokensOf(cmd *cobra.Command, args []string) (list []log.Token, err error) {
	var only tuf.Digest
	if len(args) > 0 {
		if only, err = v.repository(args[0]); err != nil {
			return nil, err
		}
	}
	all, _, err := v.tokens.Tokens(cmd.Context())
	for _, t := range all {
		if len(args) == 0 || t.Repository == only {
			list = append(list, t)
		}
	}
	return list, err
}

func newTokenRevoke() *cobra.Command {
	var at place
	var on shared
	cmd := &cobra.Command{
		Use:   "revoke --dir DIR REPOSITORY TOKEN...",
		Short: "Revoke tokens of a repository",
		Long: `Revoke takes tokens, named as logserver token list names them, from a repository.
They count for nothing from then on. Without any token left, nothing more of the
repository is held; what is held already stays so until its time. If somebody else
has registered a vendor's root, revoke his token and make the vendor one.`,
		Example: `  logserver token revoke --dir ./log 9ab1... 3f2c51a0b7d4`,
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			v, err := openVendors(cmd.Context(), at, on, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.Close()) }()
			list, err := v.tokensOf(cmd, args[:1])
			if err != nil {
				return err
			}
			byID := map[string]log.Token{}
			for _, t := range list {
				byID[t.ID()] = t
			}
			for _, id := range args[1:] {
				if _, ok := byID[id]; !ok {
					return fmt.Errorf("repository %s has no token %q: see logserver token list", args[0], id)
				}
			}
			for _, id := range args[1:] {
				t := byID[id]
				if err := v.Record(cmd.Context(), maintain.ActionNow("token-revoke", fmt.Sprintf("token %s of repository %v", id, t.Repository))); err != nil {
					return err
				}
				if _, err := v.tokens.RemoveToken(cmd.Context(), t.Repository, t.Hash); err != nil {
					return err
				}
				time.Sleep(log.TokenAge) // then it is revoked wherever the log is served
				fmt.Fprintf(cmd.OutOrStdout(), "%s: revoked\n", id)
			}
			return nil
		},
	}
	vendorFlags(cmd, &at, &on)
	return cmd
}
