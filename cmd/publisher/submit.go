package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/publish"
)

func submitCommand() *cobra.Command {
	var o options
	var dryRun bool
	var out string
	cmd := &cobra.Command{
		Use:   "submit --policy POLICY PATH...",
		Short: "Submit metadata files and write their proofs beside them",
		Long: `Submit the metadata files of one TUF repository and wait for their witnessed
proofs. PATH is a metadata file or a metadata directory, of which all *.json files
are taken, and the roots in its folder root_history (tuf-on-ci). Roles follow from the
file names: ROLE.json, VERSION.ROLE.json or HASH.ROLE.json. Other JSON, such as
mirrors.json, is ignored. Targets metadata needs the snapshot that lists it among the
files.

A repository begins with its first root forever, and devices with an older root cannot
use its proofs. So the repository is the one of the log that begins with a root 1 among
the files; if the log does not know any of the roots, root 1 is registered and names the
repository. In all other cases submit stops before it sends a file, unless --repository
or --genesis decides.

Registering takes the log's registration token (--token-file), if the log asks for one,
and gives the repository a token of its own. --token-out names the file to keep it in, and
sends it from then on; or give it as --token-file, or in the environment as TUFLOG_TOKEN.
Submissions without it may be held for a day, because anyone could have sent them; submit
prints until when. A token that the log does not know, for example because it was revoked,
is an error.

With --dry-run no file is sent: the log is read, and its rules are applied here. The
token is not checked.

Every proof is checked against POLICY before it is written to FILE.tlog-proof beside
FILE. An existing proof that still satisfies POLICY is kept; a proof of another log is
overwritten only with --replace. Snapshots and timestamps that the log does not
log serve as vouchers and get no proof.

A file *.pb is Pigweed's: root or targets metadata, or an update bundle. Of a bundle the
metadata is logged, and the proofs are put into it, as the payloads tlog_proof and
tlog_proof_root, which other devices ignore; nothing else of it changes. It is written to
--out, or as NAME.logged.pb beside NAME.pb, and only if all its metadata is released. A
bundle without its first root, as later ones are, needs --repository.

If POLICY needs auditors (its group "auditors"), the proofs are written as soon as the
witnesses have cosigned, and say that they are not enough yet: auditors cosign what is
published. publisher refresh --wait replaces them then.

Exit codes: 0 all files are logged that devices may require (files of the past, such as
a version of a withdrawn role that was never logged, are reported but are not a failure);
1 a file was refused, is logged as evidence, or its proof does not verify; 2 wrong usage,
a decision is needed before any file is sent, the log could not be reached, or files are
not logged yet because they are held.`,
		Example: `  publisher submit --policy policy.txt --token-file registration.token --token-out vendor.token ./metadata
  publisher submit --policy policy.txt --token-file vendor.token ./metadata/1.root.json ./metadata/7.targets.json ./metadata/8.snapshot.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			cfg, log, err := o.config(cmd)
			if err != nil {
				return err
			}
			files, err := publish.ReadFiles(paths)
			if err != nil {
				return err
			}
			var report *publish.Report
			if out != "" {
				if err := files.BundlesTo(out); err != nil {
					return fmt.Errorf("--out: %w", err)
				}
			}
			if dryRun {
				report, err = publish.Rehearse(cmd.Context(), cfg, log.Client, files)
			} else {
				report, err = publish.Submit(cmd.Context(), cfg, files)
			}
			return told(cmd, report, o.json, err, log)
		},
	}
	o.register(cmd)
	cmd.Flags().StringVar(&out, "out", "", "write the bundle with its proofs to this `FILE` (default: NAME.logged.pb beside NAME.pb)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "report what the log would do, without sending or writing")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "overwrite proofs of other logs than the policy's")
	cmd.Flags().BoolVar(&o.allSignatures, "all-signatures", false, "keep in the proofs also the signatures that the policy cannot use, for devices with other policies")
	return cmd
}

// printNotes tells what else a person should know.
func printNotes(stderr io.Writer, report *publish.Report) {
	for _, note := range report.Notes {
		fmt.Fprintf(stderr, "note: %s\n", note)
	}
	for _, ignored := range report.Ignored {
		fmt.Fprintf(stderr, "note: %s is ignored: %s\n", printable.Line(ignored.File), ignored.Why)
	}
}
