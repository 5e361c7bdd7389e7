package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

func newInit() *cobra.Command {
	var at place
	var on shared
	var made newLog
	cmd := &cobra.Command{
		Use:   "init --dir DIR --origin ORIGIN [--storage URL --state URL]",
		Short: "Make a new log: keys, an empty tree and a ledger",
		Long: `Init makes a new log in a directory, which it creates if need be, and prints the
log's public keys, one a line: give them to the witnesses that are to cosign the log,
and to everyone who is to trust it. The origin is the log's name for ever: a URL
without a scheme, not necessarily reachable.

It makes two keys, and the log signs every checkpoint with both: Ed25519, the log's
own, which every verifier knows and which is printed first, and ML-DSA-44, which
withstands quantum computers, in DIR/keys/ml-dsa-44.key. A policy that names one of
them needs that signature; one that names both takes either. --only ed25519 makes no
ML-DSA-44 key; logserver key add makes one later.

With --ecdsa the log has an ECDSA P-256 key as well from the start, as logserver key
add --type ecdsa-p256 rekor makes one later: the public transparency log Rekor takes
checkpoints by that signature. Its public key is printed last. A policy may list it in
a line log of its own: auditor anchor needs that line, devices do not
(docs/anchors.md).

With --ssh-agent the Ed25519 key is one that an ssh-agent holds, and there is no file
of it: logserver serve then takes --ssh-agent, too. The other keys are files all the
same.

With --storage and --state the log is made on servers, for several front ends: the
entries in a tree of Trillian's log server, which is made if the URL names none, and
all else in an empty PostgreSQL database, which must exist. The directory then holds
just the keys and the token. Copy it, in private, for each further front end.`,
		Example: `  logserver init --dir ./log --origin log.example/tuf
  logserver init --dir ./log --origin log.example/tuf --only ed25519
  logserver init --dir ./log --origin log.example/tuf --ecdsa
  logserver init --dir ./log --origin log.example/tuf --ssh-agent "$SSH_AUTH_SOCK" --ssh-key SHA256:...
  logserver init --dir ./log --origin log.example/tuf --storage trillian://10.0.0.9:8090 --state postgres://tuflog@10.0.0.8/tuflog`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cli.CheckName(made.origin); err != nil {
				return fmt.Errorf("--origin: %w", err)
			}
			if on.on() {
				keys, err := initializeShared(cmd.Context(), at, &on, made)
				if err == nil {
					keys.print(cmd.OutOrStdout())
					fmt.Fprintf(cmd.ErrOrStderr(), handOutShared, keys.own, keys.own, keys.handOutMLDSA(), at.token(), keys.handOutECDSA(), at.dir, serveSharedWith(at, on, made))
				}
				return err
			}
			keys, err := initialize(cmd.Context(), at, made)
			if err != nil {
				return err
			}
			keys.print(cmd.OutOrStdout())
			fmt.Fprintf(cmd.ErrOrStderr(), handOut, keys.own, keys.own, keys.handOutMLDSA(), at.token(), keys.handOutECDSA(), serveWith(at, made), at.ledgerDir())
			return nil
		},
	}
	at.flags(cmd)
	at.ledgerFlag(cmd)
	on.sharedFlags(cmd)
	cmd.Flags().StringVar(&made.origin, "origin", "", "name of the log (required)")
	cmd.Flags().StringVar(&made.agent, "ssh-agent", "", "socket of an ssh-agent that holds the log's Ed25519 key")
	cmd.Flags().StringVar(&made.fingerprint, "ssh-key", "", "which Ed25519 key of the ssh-agent, by its fingerprint as ssh-add -l prints it")
	cmd.Flags().StringVar(&made.only, "only", "", "make no key beside the log's own, which is of this type: ed25519")
	cmd.Flags().BoolVar(&made.ecdsa, "ecdsa", false, "make an ECDSA P-256 key as well, by whose signature Rekor takes checkpoints")
	cmd.MarkFlagsRequiredTogether("ssh-agent", "ssh-key")
	if err := cmd.MarkFlagRequired("origin"); err != nil {
		panic(err) // the flag was defined one line above
	}
	return cmd
}

const handOut = `
What to hand out:
  to witnesses             witness log add --dir WITNESS --url https://... %s
  to vendors, devices and  a trust policy with the line below, with the log's URL,
  auditors                 the witnesses that cosign, and their quorum
                             log %s https://...
%s  to vendors, in private   the registration token in %s
  to devices, as well      the repository's id, which registering it returns
                           (publisher submit prints it)
%sNext: write the policy with the witnesses' keys and URLs, then
  logserver serve %s
Keep the ledger %s on another disk than the log, and never restore it from a backup.
`

// serveWith returns the flags with which the new log is served.
func serveWith(at place, made newLog) string {
	if at.config != "" {
		return "--config " + printable.ShellWord(at.config)
	}
	flags := "--dir " + printable.ShellWord(at.dir)
	if at.ledger != "" {
		flags += " --ledger " + printable.ShellWord(at.ledger)
	}
	if made.agent != "" {
		flags += " --ssh-agent " + printable.ShellWord(made.agent)
	}
	return flags + " --policy POLICY"
}

// newLog has the settings of a log that is to be made.
type newLog struct {
	origin, agent, fingerprint string
	only                       string // "ed25519": without an ML-DSA-44 key; empty: with one
	ecdsa                      bool   // with an ECDSA key
}

// newKeys are the keys of a log that is made.
type newKeys struct {
	own     proofs.Key
	private string         // of own; empty if an agent holds it
	mldsa   *proofs.Signer // nil with --only ed25519
	ecdsa   *proofs.Signer // nil unless asked for
}

// Names of the further keys that init makes, in DIR/keys.
const (
	mldsaName = "ml-dsa-44"
	ecdsaName = "rekor"
)

// print prints the public keys, the log's own first, in the order in which it signs with
// them and key list prints them.
func (k *newKeys) print(w io.Writer) {
	fmt.Fprintln(w, k.own)
	for _, s := range []*proofs.Signer{k.mldsa, k.ecdsa} {
		if s != nil {
			fmt.Fprintln(w, s.Key())
		}
	}
}

// handOutMLDSA is what to hand out for the ML-DSA-44 key, if there is one.
func (k *newKeys) handOutMLDSA() string {
	if k.mldsa == nil {
		return ""
	}
	return fmt.Sprintf(`                           or, if proofs have to withstand quantum computers, with
                           this line in its place (and witnesses' ML-DSA-44 keys)
                             log %v https://...
`, k.mldsa.Key())
}

// handOutECDSA is the line of what to hand out for the ECDSA key, if there is one.
func (k *newKeys) handOutECDSA() string {
	if k.ecdsa == nil {
		return ""
	}
	return fmt.Sprintf("  to auditors, for Rekor   one more line of the trust policy (docs/anchors.md)\n                             log %v https://...\n", k.ecdsa.Key())
}

// keys makes the log's keys, of which its own may be in an agent.
func (n *newLog) keys() (k *newKeys, err error) {
	switch n.only {
	case "", "ed25519":
	case "ml-dsa-44":
		return nil, errors.New("--only ml-dsa-44: a log's own key is of type Ed25519, which all witnesses know; without --only it has both, and a policy may name the ML-DSA-44 key alone")
	default:
		return nil, fmt.Errorf("--only %q: want ed25519", n.only)
	}
	k = &newKeys{}
	if k.own, k.private, err = n.key(); err != nil {
		return nil, err
	}
	if n.only == "" {
		k.mldsa, err = proofs.GenerateSigner(rand.Reader, n.origin, proofs.MLDSA44)
		if err != nil && len(n.origin) > proofs.MaxCosignerName {
			return nil, fmt.Errorf("%w (--only ed25519 makes no such key)", err)
		} else if err != nil {
			return nil, err
		}
	}
	if n.ecdsa {
		if k.ecdsa, err = proofs.GenerateSigner(rand.Reader, n.origin, proofs.ECDSA); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// key makes the log's own key, or finds it in the agent: then there is nothing to
// keep.
func (n *newLog) key() (key proofs.Key, private string, err error) {
	if n.agent == "" {
		signer, err := proofs.GenerateSigner(rand.Reader, n.origin, proofs.Ed25519)
		if err != nil {
			return key, "", err
		}
		return signer.Key(), signer.PrivateKey(), nil
	}
	held, err := inAgent(n.agent).Keys()
	if err != nil {
		return key, "", err
	}
	for _, k := range held {
		if k.Fingerprint == n.fingerprint {
			signer, err := proofs.NewSigner(n.origin, proofs.Ed25519, k)
			if err != nil {
				return key, "", err
			}
			return signer.Key(), "", nil
		}
	}
	return key, "", fmt.Errorf("the ssh-agent at %s holds no Ed25519 key with the fingerprint %q; ssh-add -l lists what it holds", n.agent, n.fingerprint)
}

// checkEmpty refuses a directory that holds anything.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name == "log.vkey" || name == "ledger" {
			return fmt.Errorf("there is a log in %s already: it is not empty, it holds %s; logserver status says how it is", dir, name)
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: it holds %s", dir, entries[0].Name())
	}
	return nil
}

// initialize makes a log where there is none.
func initialize(ctx context.Context, at place, made newLog) (*newKeys, error) {
	if err := at.log().Check(); err != nil {
		return nil, err
	}
	keys, err := made.keys()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{at.dir, at.ledgerDir()} {
		if err := checkEmpty(dir); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(at.dir, 0o755); err != nil {
		return nil, err
	}
	// The keys come last: without them nothing can be served, so a log that
	// was made only in part is never mistaken for a whole one.
	if err := at.log().Create(ctx, made.origin); err != nil {
		return nil, err
	}
	return keys, writeKeys(at, keys)
}

// writeKeys writes the keys of a new log and its registration token. The log's own keys
// come last, so that there is no log that lacks a further one.
func writeKeys(at place, keys *newKeys) error {
	if err := os.MkdirAll(at.dir, 0o755); err != nil {
		return err
	}
	if err := keyfile.Create(at.token(), rand.Text()); err != nil {
		return err
	}
	for name, signer := range map[string]*proofs.Signer{mldsaName: keys.mldsa, ecdsaName: keys.ecdsa} {
		if signer == nil {
			continue
		}
		if err := writeMoreKey(at, name, signer); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(at.vkey(), []byte(keys.own.String()+"\n"), 0o644); err != nil {
		return err
	}
	if keys.private == "" {
		return nil
	}
	return keyfile.Create(at.key(), keys.private)
}
