package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

func newState() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "state",
		Short:   "Check what earlier replays have kept",
		Long:    `The state is what replay --state keeps: leaves with their verdicts, notes, findings.`,
		Example: `  auditor state check --state audit.state`,
	}
	cmd.AddCommand(newStateCheck())
	return cmd
}

func newStateCheck() *cobra.Command {
	var opts struct {
		state string
		json  bool
	}
	cmd := &cobra.Command{
		Use:   "check --state DIR",
		Short: "Say whether the state is whole, how large it is and where the space goes",
		Long: `Say whether the state is whole, how large it is and where the space goes. The log is not
read. All pages and indexes of the database are checked, and the tree is built again from
all leaves: it must have the root of the edge that is kept and, if all leaves of the
newest checkpoint have been judged, of that. What was found is read, and not judged again:
for that replay the log under another directory.

Exit codes:
  0  the state is whole
  1  it is damaged
  2  wrong usage, or there is no state in DIR, or it could not be read`,
		Example: `  auditor state check --state audit.state`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bar := &progress{stderr: cmd.ErrOrStderr(), label: "check"}
			var c *state.Check
			err := withState(cmd.Context(), opts.state, func(db *state.DB) error {
				var err error
				c, err = db.Check(cmd.Context(), bar.to)
				bar.done()
				if err == nil {
					err = audit.CheckKept(cmd.Context(), db)
				}
				if errors.Is(err, state.ErrDamaged) {
					err = fmt.Errorf("%w (%s)", err, state.Advice)
				}
				return err
			})
			if errors.Is(err, state.ErrDamaged) {
				return cli.Failed(err)
			}
			if err != nil {
				return err
			}
			if opts.json {
				return cli.WriteJSON(cmd.OutOrStdout(), struct {
					*state.Check
					Tree     tree `json:"tree"`
					Verified tree `json:"verified"`
				}{c, treeOf(c.Tree), treeOf(c.Verified)})
			}
			return printCheck(cli.Folded(cmd.OutOrStdout()), c)
		},
	}
	cmd.Flags().StringVar(&opts.state, "state", "", "`DIR` that replay --state keeps")
	cobra.CheckErr(cmd.MarkFlagRequired("state"))
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

// A tree is written as in the JSON of other commands.
type tree struct {
	Size int64  `json:"size"`
	Root string `json:"root"` // base64
}

func treeOf(t proofs.Tree) tree { return tree{t.N, t.Hash.String()} }

func printCheck(w io.Writer, c *state.Check) error {
	fmt.Fprintf(w, "The state is whole: its %d leaves have root %v", c.Leaves, c.Tree.Hash)
	switch {
	case c.Verified.N == c.Leaves && c.Leaves > 0:
		fmt.Fprint(w, ", as the newest checkpoint that was verified.\n")
	case c.Verified.N > 0:
		fmt.Fprintf(w, "; the newest checkpoint that was verified has %d.\n", c.Verified.N)
	default:
		fmt.Fprint(w, "; no checkpoint was verified.\n")
	}
	each := ""
	if c.Leaves > 0 {
		each = fmt.Sprintf(", %d bytes for each leaf", c.Bytes/c.Leaves)
	}
	fmt.Fprintf(w, "It takes %.1f MB%s.\n\n", float64(c.Bytes)/1e6, each)
	t := printable.NewTable(w, "PART", "ROWS", "BYTES")
	for _, part := range c.Tables {
		rows := ""
		if part.Rows >= 0 {
			rows = fmt.Sprint(part.Rows)
		}
		t.Row(part.Name, rows, part.Bytes)
	}
	return t.Flush()
}
