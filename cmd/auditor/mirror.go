package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func newMirror() *cobra.Command {
	var opts struct {
		url, policy string
		json        bool
	}
	cmd := &cobra.Command{
		Use:   "mirror DIR --policy FILE",
		Short: "Copy a log into a directory, or bring the copy up to date",
		Long: `Copy a log into a directory, or bring the copy up to date: the checkpoint, tiles, entries
and all files. Everything is verified before it gets its name in DIR, by the log's key
and its witnesses' as the policy says; the checkpoint is replaced last. A copy that was
interrupted is continued by the next run.

Any static web server can serve DIR as the URL of a log, and every command reads it with
--log DIR. The copy is not judged: replay it.

A file that the log does not serve is left out, listed in DIR/missing, and asked for again
by the next run. If the log has signed another history than the one in DIR, the proof is
put into DIR/fork.conflict (auditor evidence check).

Exit codes:
  0  the copy has everything that the log's checkpoint covers
  1  the log, or the server of its files, serves something else than the log signed, or
     shows another history: nothing of that is in the copy
  2  wrong usage, or an outage: not everything could be copied`,
		Example: `  auditor mirror ./copy --log https://log.example.com --policy policy.txt
  auditor replay --log ./copy --policy policy.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, err := cli.ReadPolicy(opts.policy)
			if err != nil {
				return err
			}
			src, err := openLog(opts.url, policy)
			if err != nil {
				return err
			}
			bar := progress{stderr: cmd.ErrOrStderr(), label: "mirror"}
			r, err := mirror.Update(cmd.Context(), mirror.Config{Dir: args[0], Source: src, Policy: policy, Progress: bar.to})
			bar.done()
			if errors.Is(err, mirror.ErrUntrue) || errors.As(err, new(*mirror.ForkError)) {
				return cli.Failed(err)
			}
			if err != nil {
				return err
			}
			if err := printMirror(cmd.OutOrStdout(), args[0], r, opts.json); err != nil {
				return err
			}
			if n := len(r.Missing); n > 0 {
				return fmt.Errorf("%d files are not in the copy, because the log does not serve them: they are listed in %s/missing", n, args[0])
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.url, "log", "", "`URL` of the log, or of a copy, or the folder of one (default: the URL that the policy names)")
	flags.StringVar(&opts.policy, "policy", "", "`FILE` with the trust policy (c2sp.org/tlog-policy): the log's key, the witnesses and the quorum")
	flags.BoolVar(&opts.json, "json", false, "print JSON")
	cobra.CheckErr(cmd.MarkFlagRequired("policy"))
	return cmd
}

// mirrorJSON is what mirror --json prints.
type mirrorJSON struct {
	Origin  string   `json:"origin"`  // of the log
	Before  int64    `json:"before"`  // entries that the copy had
	Size    int64    `json:"size"`    // entries that it has now
	Root    string   `json:"root"`    // of the tree, in base64
	Files   int64    `json:"files"`   // that were written
	Bytes   int64    `json:"bytes"`   // in them
	Missing []string `json:"missing"` // SHA-256 of the files that the log does not serve
}

func printMirror(w io.Writer, dir string, r *mirror.Result, asJSON bool) error {
	if asJSON {
		out := mirrorJSON{Origin: r.Origin, Before: r.Before, Size: r.Tree.N, Root: r.Tree.Hash.String(), Files: r.Files, Bytes: r.Bytes, Missing: []string{}}
		for _, m := range r.Missing {
			out.Missing = append(out.Missing, m.Digest.String())
		}
		return cli.WriteJSON(w, out)
	}
	state := "is a whole copy"
	if len(r.Missing) > 0 {
		state = "is a copy, with files missing,"
	}
	news := "Nothing is new."
	if r.Tree.N > r.Before || r.Files > 0 {
		news = fmt.Sprintf("%d entries are new; %d files with %d bytes were written.", r.Tree.N-r.Before, r.Files, r.Bytes)
	}
	_, err := fmt.Fprintf(w, "%s %s of %s at size %d, root %v.\n%s\n", printable.Line(dir), state, printable.Line(r.Origin), r.Tree.N, r.Tree.Hash, news)
	return err
}
