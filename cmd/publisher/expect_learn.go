package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

func expectLearnCommand() *cobra.Command {
	var log, repository string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "learn {PATH... | --log URL --repository ID}",
		Short: "Propose expectations from what was released so far",
		Long: `Propose the tightest expectations that a repository's history would have met, as a
draft for a person to edit and sign (expect sign). PATH is a folder with an index.csv, as
import takes it, or metadata as submit takes it, with older versions; or the history is
read from a log. A log's answers are not verified: it is a proposal.

Comments of the draft say over how many releases it would have been met, and what stood
out. Learn never proposes what gives power: keys, delegations, members that TUF does not
define. Releases that changed these stand out, and a person has to write them.`,
		Example: `  publisher expect learn ./history > draft.txt
  publisher expect learn --log https://log.example/ --repository $ID > draft.txt`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			if (log == "") == (len(paths) == 0) || (log == "") != (repository == "") {
				return errors.New("give either metadata, or --log and --repository")
			}
			var history []expect.Released
			var err error
			if log != "" {
				history, err = fromLog(cmd.Context(), log, repository)
			} else {
				history, err = readReleased(paths)
			}
			if err != nil {
				return err
			}
			p := expect.Learn(history)
			if p.Repository.IsZero() {
				return fmt.Errorf("none of %d files is a root that its own keys have signed: there is no repository to learn about", len(history))
			}
			if asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), struct {
					*expect.Proposal
					Draft string `json:"draft"`
				}{p, p.Draft()})
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), p.Draft())
			return err
		},
	}
	cmd.Flags().StringVar(&log, "log", "", "`URL` of a log to read the history from")
	cmd.Flags().StringVar(&repository, "repository", "", "with --log: the repository (64 hex digits)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// fromLog reads the releases of a repository from a log.
func fromLog(ctx context.Context, url, repository string) (history []expect.Released, err error) {
	if err := cli.CheckBaseURL(url); err != nil {
		return nil, fmt.Errorf("--log: %w", err)
	}
	id, err := repositoryID(repository)
	if err != nil {
		return nil, err
	}
	client := &api.Client{Base: url}
	all, err := client.Repository(ctx, id.String())
	if err != nil {
		return nil, err
	}
	for _, l := range all.Leaves {
		if l.Kind != "release" {
			continue
		}
		file, err := client.Blob(ctx, l.Metadata)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", l.Index, err)
		}
		m, err := codec.Parse(tuf.Encoding(l.Encoding), file)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", l.Index, err)
		}
		history = append(history, expect.Released{Role: l.Role, Metadata: m})
	}
	return history, nil
}
