package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// The log signs every checkpoint with the key in log.key and with those in the
// files keys/*.key beside it, in the order of their names. So keys are rotated
// without a gap: the new one is put into keys/, handed out, and moved to log.key
// when everyone has it.

func newKey() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Add, list and retire the keys of a log"}
	cmd.AddCommand(newKeyAdd(), newKeyList(), newKeyRetire())
	return cmd
}

// keyTypes are the types of key that a log can have, by the name of a flag.
var keyTypes = map[string]proofs.Algorithm{
	"ed25519":    proofs.Ed25519,
	"ecdsa-p256": proofs.ECDSA,
	"ml-dsa-44":  proofs.MLDSA44,
}

func newKeyAdd() *cobra.Command {
	var at place
	var kind string
	cmd := &cobra.Command{
		Use:   "add --dir DIR --type TYPE NAME",
		Short: "Make a further key, with which every checkpoint is signed from the next start on",
		Long: `Add makes a key in DIR/keys/NAME.key and prints the public key. From its next start
on the log signs every checkpoint with it, too. Policies that do not list the key
are not affected.

Rekor takes ecdsa-p256; ml-dsa-44 withstands quantum computers; an ed25519 key is
for replacing the log's own: add it, hand it out to witnesses, vendors, devices and
auditors, and when all policies list it, stop the log, move DIR/log.key to
DIR/keys/old.key and the new key to DIR/log.key, write its public key to
DIR/log.vkey, and start the log. Once no policy needs the old key any more, retire it:
logserver key retire old.`,
		Example: `  logserver key add --dir ./log --type ecdsa-p256 rekor`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			alg, ok := keyTypes[kind]
			if !ok {
				return fmt.Errorf("--type %q: want ed25519, ecdsa-p256 or ml-dsa-44", kind)
			}
			if err := checkKeyName(args[0]); err != nil {
				return err
			}
			keys, err := readKeys(at)
			if err != nil {
				return err
			}
			signer, err := createMoreKey(at, args[0], keys[0].Name(), alg)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), signer.Key())
			return nil
		},
	}
	at.flags(cmd)
	cmd.Flags().StringVar(&kind, "type", "", "ed25519, ecdsa-p256 or ml-dsa-44 (required)")
	if err := cmd.MarkFlagRequired("type"); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

// checkKeyName checks the name of a further key's files.
func checkKeyName(name string) error {
	if strings.ContainsAny(name, "/\\.") || name == "" {
		return fmt.Errorf("%q is not a name for a file", name)
	}
	return nil
}

func newKeyList() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:     "list --dir DIR",
		Short:   "Print the public keys that the log signs with",
		Example: `  logserver key list --dir ./log`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := readKeys(at)
			for _, key := range keys {
				fmt.Fprintln(cmd.OutOrStdout(), key)
			}
			if err != nil {
				return err
			}
			lonely, err := lonelyKeys(at, keys)
			for _, k := range lonely {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s has no private key beside it: nothing is signed with it from here\n", filepath.Join(at.moreKeys(), k.name+".vkey"))
			}
			return err
		},
	}
	at.flags(cmd)
	return cmd
}

func (p *place) moreKeys() string { return filepath.Join(p.dir, "keys") }

// moreKeyFiles returns the files of the further keys, sorted. A directory that cannot be
// read is an error: the log would go on without the keys that are in it.
func (p *place) moreKeyFiles() ([]string, error) {
	entries, err := os.ReadDir(p.moreKeys())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".key" {
			paths = append(paths, filepath.Join(p.moreKeys(), e.Name()))
		}
	}
	return paths, nil
}

// createMoreKey makes a further key of the log in keys/NAME.key.
func createMoreKey(at place, name, origin string, alg proofs.Algorithm) (*proofs.Signer, error) {
	signer, err := proofs.GenerateSigner(rand.Reader, origin, alg)
	if err != nil {
		return nil, err
	}
	return signer, writeMoreKey(at, name, signer)
}

// writeMoreKey writes a further key of the log to keys/NAME.key.
func writeMoreKey(at place, name string, signer *proofs.Signer) error {
	if err := os.MkdirAll(at.moreKeys(), 0o755); err != nil {
		return err
	}
	if err := keyfile.GiveTo(at.moreKeys()); err != nil {
		return err
	}
	path := filepath.Join(at.moreKeys(), name+".key")
	if err := keyfile.Create(path, signer.PrivateKey()); err != nil {
		return err
	}
	return notePublic(path, signer.Key())
}

// publicPath is where the public key of a further key is, for commands that may not read
// the private one.
func publicPath(private string) string { return strings.TrimSuffix(private, ".key") + ".vkey" }

// notePublic writes the public key beside the private one, if it is not there.
func notePublic(private string, key proofs.Key) error {
	path, text := publicPath(private), key.String()+"\n"
	if b, err := os.ReadFile(path); err == nil && string(b) == text {
		return nil
	}
	return errors.Join(durable.WriteFile(path, []byte(text), 0o644), keyfile.GiveTo(path))
}

// readMorePublic returns the public keys of the further keys. One that has none beside
// it is read, if that may be.
func readMorePublic(at place) (keys []proofs.Key, err error) {
	paths, err := at.moreKeyFiles()
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		var key proofs.Key
		b, err := os.ReadFile(publicPath(path))
		if err == nil {
			key, err = proofs.ParseKey(strings.TrimSpace(string(b)))
		} else if errors.Is(err, fs.ErrNotExist) {
			var skey string
			var signer *proofs.Signer
			if skey, err = keyfile.Read(path); err == nil {
				if signer, err = proofs.ParseSigner(skey); err == nil {
					key = signer.Key()
				}
			}
		}
		if errors.Is(err, fs.ErrPermission) {
			continue // serve has not put the public one beside it yet
		}
		if err != nil {
			return nil, fmt.Errorf("public key of %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// openMoreKeys opens the further keys of the log, if there are any.
func openMoreKeys(at place) ([]log.Signer, error) {
	paths, err := at.moreKeyFiles()
	if err != nil {
		return nil, err
	}
	var signers []log.Signer
	for _, path := range paths {
		skey, err := keyfile.Read(path)
		if err != nil {
			return nil, err
		}
		signer, err := proofs.ParseSigner(skey)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", path, err)
		}
		if err := notePublic(path, signer.Key()); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
			return nil, err
		}
		signers = append(signers, signer)
	}
	return signers, nil
}
