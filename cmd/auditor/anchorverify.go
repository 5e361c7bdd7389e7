package main

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

// verifiedReceipt is what is said of one receipt.
type verifiedReceipt struct {
	File     string     `json:"file"`
	Verified bool       `json:"verified"`
	Anchor   *submitted `json:"anchor,omitempty"`
	Error    string     `json:"error,omitempty"`
}

func newAnchorVerify() *cobra.Command {
	var opts struct {
		dir       string
		keys      []string
		policy    string
		rekorKeys []string
		json      bool
	}
	cmd := &cobra.Command{
		Use:   "verify (--policy FILE | --key VKEY) RECEIPT...",
		Short: "Verify receipts offline, with public keys alone",
		Long: `Verify receipts that submit has kept, or that somebody else has: the log's signature of the
note, that Rekor's entry is of that note, signature and key, that Rekor's tree has the entry,
and Rekor's own signature. Nothing is asked. Rekor's keys are those that DIR keeps of the
instance that the receipt names, or those of --rekor-key.

That Rekor itself shows one tree to everybody is not verified: its own witnesses and
monitors are for that.

Exit codes:
  0  every receipt is right
  1  a receipt is not
  2  wrong usage, a file that cannot be read, or the keys of an instance are not known`,
		Example: `  auditor anchor verify --policy policy.txt anchors/*/*/receipts/*.json
  auditor anchor verify --policy policy.txt --rekor-key rekor.pem receipt.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := cli.Keys(opts.keys, opts.policy)
			if err != nil {
				return err
			}
			var log []proofs.Key
			for _, k := range keys {
				if k.Algorithm() == proofs.ECDSA {
					log = append(log, k)
				}
			}
			if len(log) == 0 {
				return errors.New("give the log's key of type ECDSA: --key or --policy")
			}
			given, err := anchored.ReadKeys(opts.rekorKeys...)
			if err != nil {
				return fmt.Errorf("--rekor-key: %w", err)
			}
			said := []verifiedReceipt{}
			var failed, unknown error
			for _, path := range args {
				v, wrong, err := verifyReceipt(path, opts.dir, given, log)
				said = append(said, v)
				failed, unknown = errors.Join(failed, wrong), errors.Join(unknown, err)
			}
			if opts.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), said)
			} else {
				err = printReceipts(cli.Folded(cmd.OutOrStdout()), said)
			}
			if err != nil {
				return err
			}
			if failed != nil {
				return cli.Failed(errors.Join(failed, unknown))
			}
			return unknown
		},
	}
	cmd.Flags().StringVar(&opts.dir, "dir", "anchors", "`DIR` with the instances and their keys")
	cmd.Flags().StringArrayVar(&opts.keys, "key", nil, "public key of the log (may be repeated)")
	cmd.Flags().StringVar(&opts.policy, "policy", "", "`FILE` with the trust policy, which has the log's key")
	cmd.Flags().StringArrayVar(&opts.rekorKeys, "rekor-key", nil, "`FILE` with a public key of the instance in PEM (may be repeated; default: those that DIR keeps)")
	cmd.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}

// verifyReceipt verifies a receipt in a file. It is wrong, or the error says why that cannot be told.
func verifyReceipt(path, dir string, given []crypto.PublicKey, log []proofs.Key) (v verifiedReceipt, wrong, err error) {
	v.File = path
	fail := func(err error) error {
		v.Error = err.Error()
		return err
	}
	r, err := anchored.ReadReceipt(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, "*?[") {
			err = fmt.Errorf("%w: no receipt has such a name", err)
		}
		return v, nil, fail(err)
	}
	l := anchored.Ledger{Keys: given, Log: log}
	if len(given) == 0 {
		if _, l.Keys, err = anchored.KnownInstance(dir, r.Instance); err != nil {
			return v, nil, fail(fmt.Errorf("%s: the keys of Rekor %s are not known: give them with --rekor-key: %w", path, printable.Line(r.Instance), err))
		}
	}
	a, err := l.Verify(r)
	if err != nil {
		return v, fail(fmt.Errorf("%s: %w", path, err)), nil
	}
	c, _, err := proofs.OpenCheckpoint(r.Note, log...)
	if err != nil {
		return v, fail(fmt.Errorf("%s: %w", path, err)), nil
	}
	v.Verified = true
	v.Anchor = &submitted{r.Instance, c.Origin, c.Tree.N, c.Tree.Hash.String(), a.UUID, a.LogIndex, a.Time.UTC(), path}
	return v, nil, nil
}

func printReceipts(w io.Writer, said []verifiedReceipt) error {
	right := 0
	for _, v := range said {
		if v.Verified {
			right++
		}
	}
	fmt.Fprintf(w, "%d of %s verified: the log signed these checkpoints, and Rekor has them.\n", right, plural(len(said), "receipt"))
	if right == 0 {
		return nil
	}
	t := printable.NewTable(w, "LOG", "SIZE", "INSTANCE", "ENTRY", "SINCE", "RECEIPT")
	for _, v := range said {
		if v.Verified {
			t.Row(printable.Line(v.Anchor.Log), v.Anchor.Size, printable.Line(v.Anchor.Instance), v.Anchor.LogIndex, promised(v.Anchor.Time), printable.Line(v.File))
		}
	}
	return t.Flush()
}
