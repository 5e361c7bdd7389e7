package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

// submitted is a checkpoint in an instance.
type submitted struct {
	Instance string    `json:"instance"`
	Log      string    `json:"log"`
	Size     int64     `json:"size"`
	Root     string    `json:"root"`
	UUID     string    `json:"uuid"`
	LogIndex int64     `json:"log_index"` // in Rekor
	Time     time.Time `json:"time,omitzero"`
	Receipt  string    `json:"receipt"` // path
}

func newAnchorSubmit() *cobra.Command {
	var opts struct {
		instanceFlags
		policy, log string
		json        bool
	}
	cmd := &cobra.Command{
		Use:   "submit [NOTE] --policy FILE",
		Short: "Pin a checkpoint in Rekor and keep the receipt",
		Long: `Pin a checkpoint in Rekor: the newest that the log shows, or the signed note in a file. The
log's signature of type ECDSA is all that it needs; cosignatures do not matter. The receipt,
with the note in it, is verified and kept in DIR. A checkpoint that is there already gives a
receipt of that entry.

Rekor gets the SHA-256 of the note's text, the signature and the log's public key, and not
the text: keep the receipts, for without a note an entry says little.

Exit codes:
  0  it is there, and the receipt is kept
  1  the instance answered what no Rekor may answer, or refuses the entry
  2  wrong usage, or it could not be done now, such as while the instance is away`,
		Example: `  auditor anchor submit --policy policy.txt --url https://rekor.example --rekor-key rekor.pem
  auditor anchor submit --policy policy.txt phone.note`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, err := cli.ReadPolicy(opts.policy)
			if err != nil {
				return err
			}
			origin, keys, err := anchoredLog(policy)
			if err != nil {
				return err
			}
			instances, err := opts.instances()
			if err != nil {
				return err
			}
			var note []byte
			if len(args) > 0 {
				note, err = cli.ReadAtMost(args[0], proofs.MaxNoteSize)
			} else {
				note, err = newestNote(cmd, opts.log, policy)
			}
			if err != nil {
				return err
			}
			var done []submitted
			var errs error
			for _, instance := range instances {
				s, err := instance.submit(cmd, opts.dir, origin, keys, note)
				if err != nil {
					errs = errors.Join(errs, fmt.Errorf("%s: %w", instance.Name, err))
					continue
				}
				done = append(done, *s)
			}
			if opts.json {
				if err := cli.WriteJSON(cmd.OutOrStdout(), done); err != nil {
					return err
				}
			} else {
				w := cli.Folded(cmd.OutOrStdout())
				for _, s := range done {
					fmt.Fprintf(w, "%s has the checkpoint of size %d of %s, as entry %d (%s)\n", s.Instance, s.Size, printable.Line(s.Log), s.LogIndex, printable.Line(s.UUID))
					fmt.Fprintf(w, "receipt: %s\n", printable.Line(s.Receipt))
				}
			}
			if errors.Is(errs, rekor.ErrMisbehaved) || errors.Is(errs, rekor.ErrRefused) || errors.Is(errs, anchored.ErrNotSigned) {
				return cli.Failed(errs)
			}
			return errs
		},
	}
	opts.register(cmd)
	cmd.Flags().StringVar(&opts.policy, "policy", "", "`FILE` with the trust policy: the log's key of type ECDSA, and its URL")
	cobra.CheckErr(cmd.MarkFlagRequired("policy"))
	cmd.Flags().StringVar(&opts.log, "log", "", "`URL` of the log (default: the URL that the policy names)")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

// newestNote reads the newest checkpoint of the log. Whether it is one is seen by its signature.
func newestNote(cmd *cobra.Command, flag string, policy *proofs.Policy) ([]byte, error) {
	src, err := openLog(flag, policy)
	if err != nil {
		return nil, err
	}
	return src.Checkpoint(cmd.Context())
}

func (o *opened) submit(cmd *cobra.Command, dir, origin string, keys []proofs.Key, note []byte) (*submitted, error) {
	ledger, err := o.ledger(dir, origin, keys)
	if err != nil {
		return nil, err
	}
	path, a, err := ledger.Submit(cmd.Context(), note)
	if err != nil {
		return nil, err
	}
	c, _, err := proofs.OpenCheckpoint(note, keys...)
	if err != nil {
		return nil, err
	}
	return &submitted{o.Name, c.Origin, c.Tree.N, c.Tree.Hash.String(), a.UUID, a.LogIndex, a.Time.UTC(), path}, nil
}
