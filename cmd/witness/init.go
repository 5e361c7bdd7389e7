package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/ledger"
	"github.com/tuflog/tuflog/witness/sqlite"
)

type initFlags struct {
	dir, name, ledger string
	only              string
	agent, sshKey     string
}

func newInit() *cobra.Command {
	var flags initFlags
	cmd := &cobra.Command{
		Use:   "init --dir DIR --name NAME",
		Short: "Make a new witness: keys, an empty state and an empty ledger",
		Long: `Init makes a new witness in a directory, which it creates if necessary, and prints
the witness's public keys, one a line. The name goes into the keys and cannot be
changed: a URL without a scheme that identifies the witness, not necessarily
reachable.

It makes two keys, and every answer carries a cosignature by each: Ed25519, which
every verifier knows, and ML-DSA-44, which withstands quantum computers. A policy can
name either or both. --only makes one of them. With --ssh-agent the Ed25519 key is not
made but taken from an ssh-agent: a new key that must never be used for another
purpose.`,
		Example: `  witness init --dir ./w1 --name witness.example/w1
  witness init --dir ./w2 --name witness.example/w2 --only ed25519`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			vkeys, err := initialize(flags)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), vkeys)
			fmt.Fprintf(cmd.ErrOrStderr(), next, printable.ShellWord(flags.dir), serveWith(flags), policyLines(vkeys))
			return nil
		},
	}
	dirFlag(cmd, &flags.dir)
	f := cmd.Flags()
	f.StringVar(&flags.name, "name", "", "name of the witness (required)")
	f.StringVar(&flags.ledger, "ledger", "", "directory of the ledger (default DIR.ledger)")
	f.StringVar(&flags.only, "only", "", "make one key of this type only: ed25519 or ml-dsa-44")
	f.StringVar(&flags.agent, "ssh-agent", "", "socket of an ssh-agent that has the Ed25519 key")
	f.StringVar(&flags.sshKey, "ssh-key", "", "fingerprint of the key in the agent, SHA256:…, if it has several")
	required(cmd, "name")
	return cmd
}

const next = `
Next: for every log to be cosigned
  witness log add --dir %s --url URL-OF-THE-LOG KEY-OF-THE-LOG
then
  witness serve %s
and hand out the keys above, with the witness's URL: a log asks only the witnesses
that its policy lists. In a policy:
%s`

// policyLines are lines of a policy for the public keys of one witness, which counts
// once, whichever of its keys has cosigned.
func policyLines(vkeys string) string {
	var lines, names string
	all := strings.Fields(vkeys)
	for _, vkey := range all {
		name := "w"
		if k, err := proofs.ParseKey(vkey); err == nil && len(all) > 1 {
			name += "-" + keyTypes[k.Algorithm()]
		}
		lines += fmt.Sprintf("  witness %s %s URL-OF-THE-WITNESS\n", name, vkey)
		names += " " + name
	}
	if len(all) > 1 {
		lines += "  group w any" + names + "\n"
	}
	return lines
}

// keyTypes are the types of a witness's keys, as --only has them.
var keyTypes = map[proofs.Algorithm]string{proofs.CosignatureV1: "ed25519", proofs.MLDSA44: "ml-dsa-44"}

// serveWith returns the flags with which the new witness is served.
func serveWith(flags initFlags) string {
	serve := "--dir " + printable.ShellWord(flags.dir)
	if flags.ledger != "" {
		serve += " --ledger " + printable.ShellWord(flags.ledger)
	}
	if flags.agent != "" {
		serve += " --ssh-agent " + printable.ShellWord(flags.agent)
	}
	return serve
}

// initialize returns the public keys, one a line.
func initialize(flags initFlags) (vkeys string, err error) {
	if err := cli.CheckName(flags.name); err != nil {
		return "", fmt.Errorf("--name: %w", err)
	}
	ledgerDir, err := ledgerPath(flags.dir, flags.ledger)
	if err != nil {
		return "", err
	}
	// All keys are made before anything is written: a name that is too long for one
	// of them leaves nothing behind.
	keys, signers, err := makeKeys(flags)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(flags.dir, 0o700); err != nil {
		return "", err
	}
	// The keys come first: a state whose key is missing would be mistaken for
	// a witness that lost it.
	if err := writeKeys(flags.dir, signers); err != nil {
		return "", err
	}
	if err := sqlite.Create(flags.dir, keys...); err != nil {
		return "", err
	}
	if err := ledger.Create(ledgerDir, keys...); err != nil {
		return "", err
	}
	for _, k := range keys {
		vkeys += k.String() + "\n"
	}
	return vkeys, durable.WriteFile(vkeyPath(flags.dir), []byte(vkeys), 0o644)
}

// makeKeys makes the private keys, and finds the one in an agent. The public keys are
// those of both.
func makeKeys(flags initFlags) (keys []proofs.Key, signers []*proofs.Signer, err error) {
	made := func(alg proofs.Algorithm) bool { return flags.only == "" || flags.only == keyTypes[alg] }
	var algorithms []proofs.Algorithm
	switch {
	case flags.only != "" && !made(proofs.CosignatureV1) && !made(proofs.MLDSA44):
		return nil, nil, fmt.Errorf("--only %q: want ed25519 or ml-dsa-44", flags.only)
	case flags.agent != "" && !made(proofs.CosignatureV1):
		return nil, nil, errors.New("--ssh-agent has the Ed25519 key, which --only leaves out")
	case flags.agent != "":
		k, err := agentKey(flags)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, k)
	case flags.sshKey != "":
		return nil, nil, errors.New("--ssh-key needs --ssh-agent")
	case made(proofs.CosignatureV1):
		algorithms = append(algorithms, proofs.CosignatureV1)
	}
	if made(proofs.MLDSA44) {
		algorithms = append(algorithms, proofs.MLDSA44)
	}
	for _, alg := range algorithms {
		signer, err := proofs.GenerateSigner(nil, flags.name, alg)
		if err != nil && alg == proofs.MLDSA44 && len(flags.name) > proofs.MaxCosignerName {
			return nil, nil, fmt.Errorf("%w (--only ed25519 makes no such key)", err)
		} else if err != nil {
			return nil, nil, err
		}
		keys, signers = append(keys, signer.Key()), append(signers, signer)
	}
	return keys, signers, nil
}

// writeKeys writes all private keys, or none where one is there.
func writeKeys(dir string, signers []*proofs.Signer) error {
	for _, s := range signers {
		path := keyPath(dir, s.Key().Algorithm())
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s exists already and is not overwritten", path))
		}
	}
	for _, s := range signers {
		if err := keyfile.Create(keyPath(dir, s.Key().Algorithm()), s.PrivateKey()); err != nil {
			return err
		}
	}
	return nil
}

// agentKey finds the key in the agent.
func agentKey(flags initFlags) (proofs.Key, error) {
	listed, err := agentAt(flags.agent).Keys()
	if err != nil {
		return proofs.Key{}, err
	}
	var prints []string
	for _, l := range listed {
		if l.Fingerprint == flags.sshKey || flags.sshKey == "" && len(listed) == 1 {
			signer, err := proofs.NewSigner(flags.name, proofs.CosignatureV1, l)
			if err != nil {
				return proofs.Key{}, err
			}
			return signer.Key(), nil
		}
		prints = append(prints, l.Fingerprint+" ("+l.Comment+")")
	}
	if len(listed) == 0 {
		return proofs.Key{}, fmt.Errorf("the ssh-agent at %s has no Ed25519 key; add one with ssh-add", flags.agent)
	}
	return proofs.Key{}, fmt.Errorf("choose a key of the ssh-agent with --ssh-key; it has %s", strings.Join(prints, ", "))
}
