// Command witness cosigns the checkpoints of transparency logs
// (c2sp.org/tlog-witness): it promises that a log showed it one history only.
//
// A witness lives in a directory:
//
//	witness.key   the private key, readable by its owner only
//	witness.vkey  the public key, for those who trust the witness
//	state.db      the logs it knows and what it cosigned of each
//	lock          held by the process that serves
//
// Losing state.db, or restoring an old copy, would let a log show the witness
// another history. Then make a new witness, with a new key.
package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/cmd/internal/cli"
)

func main() { cli.Main(newRoot) }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "witness",
		Short: "Cosign checkpoints of transparency logs",
		Long: `Witness cosigns the checkpoints of transparency logs that it knows, each only
after the log has proved that its tree begins with the one cosigned before.
It speaks c2sp.org/tlog-witness.`,
		Example: `  witness init --dir ./w1 --name witness.example/w1
  witness log add --dir ./w1 sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8
  witness log list --dir ./w1
  witness serve --dir ./w1 --listen 127.0.0.1:7380`,
	}
	root.AddCommand(newInit(), newLog(), newServe())
	return root
}

// dirFlag adds the flag every command needs.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "directory of the witness (required)")
	if err := cmd.MarkFlagRequired("dir"); err != nil {
		panic(err) // the flag was defined one line above
	}
}

func keyPath(dir string) string  { return filepath.Join(dir, "witness.key") }
func vkeyPath(dir string) string { return filepath.Join(dir, "witness.vkey") }
