package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/sshagent"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// listedKey is what key says of a key.
type listedKey struct {
	VKey   string `json:"vkey"`
	Source string `json:"source"`
	// Error is why the key cannot sign; empty if it can.
	Error string `json:"error,omitempty"`
}

func newKey() *cobra.Command {
	var flags struct {
		dir, agent string
		json       bool
	}
	cmd := &cobra.Command{
		Use:   "key --dir DIR",
		Short: "Print the public keys, and whether the private keys can sign",
		Long: `Key prints the public keys that the witness's state was made for, one a line,
with the place of the private key. It exits with 1 if one of them cannot sign: the
file is missing or readable by others, or the agent does not have the key.`,
		Example: `  witness key --dir ./w1`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := listKeys(flags.dir, flags.agent)
			if err != nil {
				return err
			}
			if flags.json {
				if err := cli.WriteJSON(cmd.OutOrStdout(), keys); err != nil {
					return err
				}
			} else {
				// Not in columns: an ML-DSA-44 key is as long as a page.
				for _, k := range keys {
					state := "ok"
					if k.Error != "" {
						state = k.Error
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s\n", k.VKey, k.Source, state)
				}
			}
			if slices.ContainsFunc(keys, func(k listedKey) bool { return k.Error != "" }) {
				return cli.Failed(cli.ErrReported)
			}
			return nil
		},
	}
	dirFlag(cmd, &flags.dir)
	cmd.Flags().StringVar(&flags.agent, "ssh-agent", "", "socket of the ssh-agent that has the Ed25519 key")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print JSON")
	return cmd
}

func listKeys(dir, agent string) (keys []listedKey, err error) {
	store, err := sqlite.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, k := range store.Signers() {
		l := listedKey{VKey: k.String(), Source: keyPath(dir, k.Algorithm())}
		if name := keyVariable(k.Algorithm()); os.Getenv(name) != "" {
			l.Source = name
		}
		if inAgent(dir, agent, k) {
			l.Source = "ssh-agent " + agent
		}
		signer, err := openSigner(dir, agent, k)
		if p, ok := signer.(heldSigner); err == nil && ok {
			err = p.Ping()
		}
		if err != nil {
			l.Error = err.Error()
		}
		keys = append(keys, l)
	}
	return keys, nil
}

// openSigners opens the private keys of a witness.
func openSigners(dir, agent string, store *sqlite.Store) ([]witness.Signer, error) {
	var signers []witness.Signer
	for _, k := range store.Signers() {
		s, err := openSigner(dir, agent, k)
		if err != nil {
			return nil, err
		}
		signers = append(signers, s)
	}
	return signers, nil
}

// agentAt is the ssh-agent at a socket. One that asks a person before it signs is
// not for witnesses.
func agentAt(socket string) sshagent.Agent {
	return sshagent.Agent{Socket: socket, Timeout: 5 * time.Second}
}

// heldSigner is a signer that can be asked whether its agent has the key.
type heldSigner struct {
	*proofs.Signer
	held *sshagent.Key
}

func (s heldSigner) Ping() error { return s.held.Ping() }

// inAgent says whether a key is to be found in the agent: an Ed25519 key that
// has no file.
func inAgent(dir, agent string, k proofs.Key) bool {
	if agent == "" || k.Algorithm() != proofs.CosignatureV1 || os.Getenv(keyVariable(k.Algorithm())) != "" {
		return false
	}
	_, err := os.Stat(keyPath(dir, k.Algorithm()))
	return errors.Is(err, os.ErrNotExist)
}

// openSigner opens a private key and makes sure that it is the one whose past is
// in the state.
func openSigner(dir, agent string, k proofs.Key) (witness.Signer, error) {
	if inAgent(dir, agent, k) {
		held, err := agentAt(agent).Key(k.PublicKey())
		if err != nil {
			return nil, err
		}
		signer, err := proofs.NewSigner(k.Name(), k.Algorithm(), held)
		return heldSigner{signer, held}, err
	}
	path := keyPath(dir, k.Algorithm())
	skey, ok, err := keyfile.FromEnv(keyVariable(k.Algorithm()))
	if !ok && err == nil {
		skey, err = keyfile.Read(path)
	} else {
		path = keyVariable(k.Algorithm())
	}
	if errors.Is(err, os.ErrNotExist) && k.Algorithm() == proofs.CosignatureV1 {
		return nil, fmt.Errorf("%w (a key in an ssh-agent needs --ssh-agent SOCKET)", err)
	} else if err != nil {
		return nil, err
	}
	signer, err := proofs.ParseSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("key in %s: %w", path, err)
	}
	if signer.Key() != k {
		return nil, fmt.Errorf("the state in %s belongs to another key than %s", dir, signer.Key())
	}
	return signer, nil
}
