package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

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
		Long: `Pin a checkpoint in Rekor: the newest that each log of the policy shows, or the signed note
in a file. The log's signature of type ECDSA is all that it needs; cosignatures do not matter.
The receipt, with the note in it, is verified and kept in DIR. A checkpoint that is there
already gives a receipt of that entry.

Without --url or --instance it goes to every instance that DIR has. An instance is kept in DIR
once it has taken a checkpoint.

Rekor gets the SHA-256 of the note's text, the signature and the log's public key, and not
the text: keep the receipts, for without a note an entry says little.

Exit codes:
  0  it is there, and the receipt is kept
  1  the instance answered what no Rekor may answer, or refuses the entry, or the log has not
     signed the note with ECDSA
  2  wrong usage, or it could not be done now, such as while the instance is away`,
		Example: `  auditor anchor submit --policy policy.txt --url https://rekor.example --rekor-key rekor.pem
  auditor anchor submit --policy policy.txt
  auditor anchor submit --policy policy.txt phone.note
  auditor anchor submit --policy policy.txt --instance rekor2 --url https://rekor2.example \
    --rekor-version 2 --rekor-origin rekor2.example --tiles https://tiles.example --rekor-key rekor2.pem`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, err := cli.ReadPolicy(opts.policy)
			if err != nil {
				return err
			}
			logs, err := anchoredLogs(policy)
			if err != nil {
				return err
			}
			instances, err := opts.instances()
			if err != nil {
				return err
			}
			var notes [][]byte
			var errs error
			if len(args) > 0 {
				note, err := readNote(args[0])
				if err != nil {
					return err
				}
				if _, _, err := anchoredBy(logs, note); err != nil {
					return cli.Failed(fmt.Errorf("%s: %w", args[0], err))
				}
				notes = append(notes, note)
			} else {
				notes, errs = newestNotes(cmd, opts.log, policy, logs)
			}
			said := submission{Pins: []submitted{}}
			for _, note := range notes {
				errs = errors.Join(errs, said.add(cmd, logs, instances, note))
			}
			if opts.json {
				err = cli.WriteJSON(cmd.OutOrStdout(), said.Pins)
			} else {
				err = said.print(cli.Folded(cmd.OutOrStdout()))
			}
			if err != nil {
				return err
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

// submission is what was submitted.
type submission struct {
	Pins      []submitted
	sentences []string // one of each checkpoint
}

// add submits a note to instances. With an error, what it could be submitted to was noted.
func (s *submission) add(cmd *cobra.Command, logs []anchoredLog, instances []opened, note []byte) (errs error) {
	log, c, err := anchoredBy(logs, note)
	if err != nil {
		return cli.Failed(err)
	}
	pinned := 0
	for i := range instances {
		p, err := instances[i].submit(cmd, log, c, note)
		if err != nil {
			wrong := errors.Is(err, rekor.ErrMisbehaved) || errors.Is(err, rekor.ErrRefused) && !errors.Is(err, rekor.ErrNotThere)
			if err = instances[i].explain(err); wrong {
				err = cli.Failed(err)
			}
			errs = errors.Join(errs, err)
			continue
		}
		pinned++
		s.Pins = append(s.Pins, *p)
	}
	s.sentences = append(s.sentences, fmt.Sprintf("The checkpoint of size %d of log %s is pinned in %d of %s of Rekor.",
		c.Tree.N, printable.Line(c.Origin), pinned, plural(len(instances), "instance")))
	return errs
}

func (s *submission) print(w io.Writer) error {
	for _, sentence := range s.sentences {
		fmt.Fprintln(w, sentence)
	}
	if len(s.Pins) == 0 {
		return nil
	}
	t := printable.NewTable(w, "INSTANCE", "ENTRY", "SINCE", "RECEIPT")
	for _, p := range s.Pins {
		t.Row(printable.Line(p.Instance), p.LogIndex, promised(p.Time), printable.Line(p.Receipt))
	}
	return t.Flush()
}

// promised says when Rekor took an entry, if it says so: version 2 does not.
func promised(t time.Time) string {
	if t.IsZero() {
		return "not said"
	}
	return t.UTC().Format(time.RFC3339)
}

func (o *opened) submit(cmd *cobra.Command, log *anchoredLog, c *proofs.Checkpoint, note []byte) (*submitted, error) {
	ledger, err := o.ledger(log.origin, log.keys)
	if err != nil {
		return nil, err
	}
	path, a, err := ledger.Submit(cmd.Context(), note)
	if err != nil {
		return nil, err
	}
	return &submitted{o.Name, c.Origin, c.Tree.N, c.Tree.Hash.String(), a.UUID, a.LogIndex, a.Time.UTC(), path}, o.works()
}
