// Command witness cosigns the checkpoints of transparency logs
// (c2sp.org/tlog-witness): it promises that a log showed it one history only.
//
// A witness lives in a directory, and beside it:
//
//	DIR/witness.key        the private key, readable by its owner only
//	DIR/witness-mldsa.key  the second one, if any
//	DIR/witness.vkey       the public keys, for logs and verifiers
//	DIR/bastion.key        the key by which bastions know the witness, if it uses one
//	DIR/state.db           the known logs and the last checkpoint cosigned of each
//	DIR/evidence/          proof of logs that showed two histories
//	DIR/lock               held by the process that serves
//	DIR.ledger/            the last signature of each log, once more
//
// The ledger is not below DIR so that restoring DIR from a backup does not
// restore it: a witness that finds it knows less than the ledger, or than the
// logs, stops cosigning until a person acts (witness latch); so does one whose
// clock is in doubt (witness clock).
package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
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
  witness log add --dir ./w1 --origin "go.sum database tree" sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8
  witness log list --dir ./w1
  witness serve --dir ./w1 --listen 127.0.0.1:7380`,
	}
	root.AddCommand(newInit(), newKey(), newLog(), newLatch(), newClock(), newEvidence(), newServe(), newConformance(), newList())
	return root
}

// dirFlag adds the flag nearly every command needs.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "directory of the witness (required)")
	required(cmd, "dir")
}

func required(cmd *cobra.Command, flag string) {
	if err := cmd.MarkFlagRequired(flag); err != nil {
		panic(err) // the flag has been defined
	}
}

func vkeyPath(dir string) string { return filepath.Join(dir, "witness.vkey") }

// keyPath returns the file of a private key.
func keyPath(dir string, alg proofs.Algorithm) string {
	if alg == proofs.MLDSA44 {
		return filepath.Join(dir, "witness-mldsa.key")
	}
	return filepath.Join(dir, "witness.key")
}

// keyVariable returns the environment variable that may have a private key; it comes
// before the file.
func keyVariable(alg proofs.Algorithm) string {
	if alg == proofs.MLDSA44 {
		return "TUFLOG_WITNESS_MLDSA_KEY"
	}
	return "TUFLOG_WITNESS_KEY"
}

// ledgerPath returns the directory of the ledger, which is beside DIR unless a
// flag says otherwise.
func ledgerPath(dir, flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return abs + ".ledger", nil
}

func evidenceDir(dir string) *witness.EvidenceDir {
	return &witness.EvidenceDir{Path: filepath.Join(dir, "evidence")}
}
