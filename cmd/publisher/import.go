package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/publish"
)

func importCommand() *cobra.Command {
	var o options
	var git, ref, folder string
	cmd := &cobra.Command{
		Use:   "import --policy POLICY {DIR | --git REPOSITORY}",
		Short: "Bring a repository's whole history into the log",
		Long: `Bring a whole history of TUF metadata into the log, commit by commit. DIR holds
index.csv, one line for each file with the columns file, role, version, sha256 and
commit, and the files, in folders or packed in *.tar.gz archives.

Or the history is that of a git repository on this machine: of each commit that leads to
--ref by first parents, oldest first, the *.json files that it added or changed in the
folder --path, and in its root_history. The clone must have the whole history. git must be
installed.

A root that the log knows continues its repository, if the history has that
repository's first root; a root 1 that the log does not know opens another. A history
without root 1 needs --genesis or --repository. A file that needs a later one, such as
the snapshot that lists it, is sent after that. Every proof that the log returns is
checked against POLICY, but not written.

An interrupted import continues when it is run again: logged files keep their index.

Exit codes: 0 every file has a verdict, perhaps a refusal (a history normally holds
drafts and unlisted files; the report names each with the reason);
1 a proof does not verify; 2 wrong usage, an unreadable history, the log could not be
reached, or files are not logged yet because they are held (see submit).`,
		Example: `  publisher import --policy policy.txt --token-file registration.token --token-out vendor.token ./history
  publisher import --policy policy.txt --token-file registration.token --token-out vendor.token --git ./root-signing --path metadata`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, log, err := o.config(cmd)
			if err != nil {
				return err
			}
			var history *publish.History
			switch {
			case (git != "") == (len(args) == 1):
				return errors.New("give either a folder with an index.csv, or a git repository with --git")
			case git != "":
				history, err = publish.ReadGit(cmd.Context(), git, ref, folder)
			default:
				history, err = publish.ReadHistory(args[0])
			}
			if errors.Is(err, fs.ErrNotExist) && git == "" {
				return fmt.Errorf("%w (import reads a history, with an index.csv, or that of a git repository, with --git; publisher submit takes a metadata directory)", err)
			}
			if err != nil {
				return err
			}
			bar := cli.NewProgress(cmd.ErrOrStderr(), "import", int64(history.Len()))
			cfg.Progress = func(files int) { bar.Add(int64(files)) }
			report, err := publish.Import(cmd.Context(), cfg, history)
			bar.Done()
			printNotes(cmd.ErrOrStderr(), report)
			if len(report.Files) > 0 || err == nil {
				if printErr := printImported(cmd, report, o.json); printErr != nil {
					return printErr
				}
			}
			if err != nil {
				return log.explain(fmt.Errorf("after %d of %d files: %w", len(report.Files), history.Len(), err))
			}
			return explainHeld(report, log.sent)
		},
	}
	o.register(cmd)
	cmd.Flags().StringVar(&git, "git", "", "import the history of this git `REPOSITORY`, a folder on this machine")
	cmd.Flags().StringVar(&folder, "path", "metadata", "with --git: the `FOLDER` with the metadata, from the repository's top")
	cmd.Flags().StringVar(&ref, "ref", "HEAD", "with --git: the `COMMIT`, branch or tag at which the history ends")
	return cmd
}

// imported is the JSON form of the report.
type imported struct {
	*publish.Report
	Counts []publish.Count `json:"counts"`
	Total  publish.Count   `json:"total"`
}

func printImported(cmd *cobra.Command, report *publish.Report, asJSON bool) error {
	if asJSON {
		return cli.WriteJSON(cmd.OutOrStdout(), imported{report, report.Counts(), report.Total()})
	}
	return report.WriteCounts(cmd.OutOrStdout())
}
