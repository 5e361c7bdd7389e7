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
				return cli.WriteJSON(cmd.OutOrStdout(), struct {
					*client.Plan
					Clients []planClient `json:"clients"`
				}{p, planClients(p)})
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

// planClient is what a client does with a root that names gates. docs/gate.md has what was tried.
type planClient struct {
	Client string `json:"client"`
	Does   string `json:"does"`
	Says   string `json:"says"` // of a timestamp that has only the vendor's signature
}

func planClients(p *client.Plan) []planClient {
	const does = "follows the roots, as always, then takes a timestamp only with the new threshold; not a line or a setting changes"
	return []planClient{
		{"go-tuf v2 (tried)", does, fmt.Sprintf("not enough signatures, got 1, want %d", p.Threshold)},
		{"tuf-js 6 (tried)", does, fmt.Sprintf("timestamp was signed by 1/%d keys", p.Threshold)},
		{"python-tuf, tough, Sigstore's, others", "the same, by TUF's specification (5.3, 5.4)", "that the threshold is not met, in its own words"},
		{"one that is offline for long", "the same once it sees the new root; until then it wants one signature of yours, which is there", ""},
		{"updater, packages verify and device", "the same, and looks at the proofs itself", "bad-metadata"},
	}
}

func printPlan(w io.Writer, p *client.Plan) error {
	if !p.Changed() {
		fmt.Fprintf(w, "Root %d needs no change: a timestamp wants %d signatures, and the root names all %d gates.\n\n", p.Root, p.Threshold, len(p.Gates))
	} else if err := printChange(w, p); err != nil {
		return err
	}
	table := printable.NewTable(w, "client", "what it does with that root", "says without gates' signatures")
	for _, c := range planClients(p) {
		table.Row(c.Client, c.Does, c.Says)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, sentence := range p.Alone {
		fmt.Fprintf(w, "\n%s\n", sentence)
	}
	threshold := "the threshold that you had"
	if p.Changed() {
		threshold = fmt.Sprintf("threshold %d", p.Before)
	}
	fmt.Fprintf(w, "\nTo leave again: publish a root without the gates' keys and with %s. It takes your\nroot keys alone.\n", threshold)
	return nil
}

// printChange prints what has to stand in the next root.
func printChange(w io.Writer, p *client.Plan) error {
	fmt.Fprintf(w, "Root %d has to add %d keys to the role timestamp, and to change its threshold from %d to %d: one signature of yours, and those of %d of %d gates.\n", p.Root+1, len(p.New), p.Before, p.Threshold, p.Needed, len(p.Gates))
	if len(p.New) > 0 {
		fmt.Fprintf(w, "\nAdd to \"keys\":\n")
	}
	for i, k := range p.New {
		value, err := json.Marshal(struct {
			Type   string `json:"keytype"`
			KeyVal any    `json:"keyval"`
			Scheme string `json:"scheme"`
		}{k.Type, k.KeyVal, k.Scheme})
		if err != nil {
			return err
		}
		comma := ","
		if i == len(p.New)-1 {
			comma = ""
		}
		fmt.Fprintf(w, "  %q: %s%s\n", k.KeyID, value, comma)
	}
	role, err := json.MarshalIndent(map[string]any{"keyids": p.KeyIDs, "threshold": p.Threshold}, "  ", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nIn \"roles\" the timestamp is then:\n  \"timestamp\": %s\n", role)
	fmt.Fprintf(w, "\nSign that root with your root keys, submit it (publisher submit), and sign a new timestamp. From\nthen on each timestamp is published after publisher gate.\n\n")
	return nil
}
