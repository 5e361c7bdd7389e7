package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
)

func gatePlanCommand() *cobra.Command {
	var gates, keys []string
	var need int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan {--gate URL | --gate-key KEY}... [--need K] DIR",
		Short: "Print what a root has to change for gates to be needed",
		Long: `Print what the next root of the repository in DIR has to change so that its timestamp needs
one signature of yours and those of --need of the gates: the keys to add to the role
timestamp, its threshold, and what each client does with that. Nothing is changed: sign the
root with the tool that you sign roots with.

The keys are asked from the gates; compare them with what their operators have told you. Or
give them with --gate-key: what auditor gate key prints, 64 hex digits, or JSON with --json.`,
		Example: `  publisher gate plan --gate https://gate.example --gate https://gate2.example --need 1 ./metadata
  publisher gate plan --gate-key "$(cat gate.pub)" --need 1 ./metadata`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			staged, err := client.ReadStaged(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			var list []client.Key
			for _, url := range gates {
				if err := cli.CheckBaseURL(url); err != nil {
					return fmt.Errorf("--gate: %w", err)
				}
				k, err := client.Gate{URL: url}.Key(ctx)
				if err != nil {
					return err
				}
				list = append(list, k)
			}
			for _, text := range keys {
				k, err := client.ParseKey(text)
				if err != nil {
					return fmt.Errorf("--gate-key: %w", err)
				}
				list = append(list, k)
			}
			if len(list) == 0 {
				return errors.New("want --gate URL or --gate-key KEY for each gate")
			}
			if need == 0 {
				need = len(list)/2 + 1
			}
			p, err := client.NewPlan(staged.Root, list, need)
			if err != nil {
				return err
			}
			if asJSON {
				return cli.WriteJSON(cmd.OutOrStdout(), p)
			}
			return printPlan(cmd.OutOrStdout(), p)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&gates, "gate", nil, "`URL` of a gate (repeatable)")
	f.StringArrayVar(&keys, "gate-key", nil, "`KEY` of a gate (repeatable)")
	f.IntVar(&need, "need", 0, "how many of the gates a timestamp needs, k (default: more than half)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// planClients is what clients do with a root that names gates. docs/gate.md has the table.
var planClients = []struct{ client, does string }{
	{"go-tuf v2, python-tuf, tuf-js, tough, Sigstore's clients", "follows the roots, then takes a timestamp only with the new threshold; not a line or a setting changes"},
	{"a client that is offline for long", "as soon as it sees the new root; until then it wants one signature of yours, which is there"},
	{"updater, packages verify and device", "the same, and looks at the proofs itself"},
}

func printPlan(w io.Writer, p *client.Plan) error {
	if len(p.New) == 0 && p.Before == p.Threshold {
		fmt.Fprintf(w, "Root %d needs no change: a timestamp wants %d signatures, and the root names all %d gates.\n", p.Root, p.Threshold, len(p.Gates))
	} else {
		fmt.Fprintf(w, "Root %d has to add %d keys to the role timestamp, and to change its threshold from %d to %d: one signature of yours, and those of %d of %d gates.\n", p.Root+1, len(p.New), p.Before, p.Threshold, p.Needed, len(p.Gates))
	}
	fmt.Fprintf(w, "\nAdd to \"keys\", and each id to \"keyids\" of roles.timestamp:\n")
	for _, k := range p.New {
		value, err := json.Marshal(struct {
			Type   string `json:"keytype"`
			KeyVal any    `json:"keyval"`
			Scheme string `json:"scheme"`
		}{k.Type, k.KeyVal, k.Scheme})
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %q: %s\n", k.KeyID, value)
	}
	fmt.Fprintf(w, "Then set roles.timestamp.threshold to %d, sign the root, submit it (publisher submit), and\nsign a new timestamp. From then on each timestamp is published after publisher gate.\n\n", p.Threshold)
	table := printable.NewTable(w, "client", "what it does with that root")
	for _, c := range planClients {
		table.Row(c.client, c.does)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, sentence := range p.Alone {
		fmt.Fprintf(w, "\n%s\n", sentence)
	}
	fmt.Fprintf(w, "\nTo leave again: publish a root without the gates' keys and with threshold %d. It takes your\nroot keys alone.\n", p.Before)
	return nil
}
