package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
)

func newGateKey() *cobra.Command {
	var opts struct {
		out, key, sshAgent, sshKey string
		json                       bool
	}
	cmd := &cobra.Command{
		Use:   "key {--out FILE | --key FILE | --ssh-agent SOCKET}",
		Short: "Make a gate's key, and print the public key",
		Long: `Make an Ed25519 key for a gate in a new file that only its user can read, or take one
that is there, and print the public key, 64 hex digits: give it to vendors (publisher gate
plan --gate-key) and to the operators of the other gates, who put it into their
configuration (key in [[repository.gate]]). With --json it is printed as a root lists it,
and as the gate shows it at /v1/key. The key must not have another use.`,
		Example: `  auditor gate key --out gate.key
  auditor gate key --key gate.key
  auditor gate key --key gate.key --json
  auditor gate key --ssh-agent /run/user/1000/ssh-agent.socket`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			given := 0
			for _, flag := range []string{opts.out, opts.key, opts.sshAgent} {
				if flag != "" {
					given++
				}
			}
			if given != 1 {
				return errors.New("want one of --out, for a new key, --key and --ssh-agent, for one that is there")
			}
			var k *gate.Key
			switch {
			case opts.key != "":
				k, err = gate.ReadKey(opts.key)
			case opts.sshAgent != "":
				k, err = gate.AgentKey(opts.sshAgent, opts.sshKey)
			default:
				if k, err = gate.GenerateKey(); err == nil {
					err = keyfile.Create(opts.out, k.Private())
				}
			}
			if err != nil {
				return err
			}
			if opts.json {
				return cli.WriteJSON(cmd.OutOrStdout(), k.Public())
			}
			fmt.Fprintln(cmd.OutOrStdout(), k)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.out, "out", "", "`FILE` for the new key")
	f.StringVar(&opts.key, "key", "", "`FILE` with a key")
	f.StringVar(&opts.sshAgent, "ssh-agent", "", "`SOCKET` of an ssh-agent that has the Ed25519 key")
	f.StringVar(&opts.sshKey, "ssh-key", "", "`FINGERPRINT` of the key in the agent, SHA256:…, if it has several")
	f.BoolVar(&opts.json, "json", false, "print JSON")
	return cmd
}
