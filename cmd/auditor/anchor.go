package main

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
)

func newAnchor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "anchor",
		Short: "Pin checkpoints in Rekor, and hold a log to what stands there under its key",
		Long: `Rekor is a public ledger that others run (https://docs.sigstore.dev). The signature of a log
that signs with ECDSA (logserver init --ecdsa) is an entry of Rekor as it stands: whoever
has seen a checkpoint can pin it there, and the log cannot take back that it signed it, even
if all its witnesses help. docs/anchors.md says what that proves, and what it does not.

DIR keeps the receipts, and the instances with the public keys that you gave. An instance is
believed by these keys alone: another key that it shows is reported and never taken over.`,
		Example: `  auditor anchor submit --policy policy.txt --url https://rekor.example --rekor-key rekor.pem
  auditor anchor verify --policy policy.txt anchors/*/*/receipts/*.json
  auditor anchor list
  auditor anchor audit --policy policy.txt --state audit.state`,
	}
	cmd.AddCommand(newAnchorSubmit(), newAnchorVerify(), newAnchorList(), newAnchorAudit())
	return cmd
}

// instanceFlags name an instance of Rekor.
type instanceFlags struct {
	dir  string
	name string
	anchored.Config
}

func (o *instanceFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", "anchors", "`DIR` with receipts, and with the instances and their keys")
	flags.StringVar(&o.name, "instance", "", "`NAME` of the instance (default: the host of --url, or the ones that DIR has)")
	flags.StringVar(&o.URL, "url", "", "`URL` of the instance; DIR keeps it")
	flags.StringVar(&o.Tiles, "tiles", "", "`URL` of the tiles of an instance of version 2, if it is another")
	flags.IntVar(&o.Version, "rekor-version", 1, "version of Rekor that the instance runs: 1 or 2")
	flags.StringVar(&o.Origin, "rekor-origin", "", "origin of the instance's checkpoints (default: as rekor names them)")
	flags.StringArrayVar(&o.Keys, "rekor-key", nil, "`FILE` with a public key of the instance in PEM, the current one first (may be repeated); DIR keeps it")
}

// opened is an instance with the keys by which it is believed.
type opened struct {
	anchored.Config
	keys []crypto.PublicKey
}

// instances returns those that the flags name, or all that DIR has, and keeps what is new.
func (o *instanceFlags) instances() ([]opened, error) {
	if o.URL != "" || len(o.Keys) > 0 || o.name != "" {
		one, err := o.one()
		if err != nil {
			return nil, err
		}
		return []opened{*one}, nil
	}
	names, err := anchored.Instances(o.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no instance of Rekor: name one with --url, and its public key with --rekor-key", o.dir)
	}
	var list []opened
	for _, name := range names {
		c, keys, err := anchored.KnownInstance(o.dir, name)
		if err != nil {
			return nil, err
		}
		list = append(list, opened{*c, keys})
	}
	return list, nil
}

// one returns the instance that the flags name.
func (o *instanceFlags) one() (*opened, error) {
	name := o.name
	if o.URL != "" {
		if err := cli.CheckBaseURL(o.URL); err != nil {
			return nil, err
		}
		if u, err := url.Parse(o.URL); err == nil && name == "" {
			name = strings.ToLower(u.Hostname())
		}
	}
	if name == "" {
		return nil, errors.New("give the instance with the key: --url or --instance")
	}
	if err := anchored.CheckName(name); err != nil {
		return nil, fmt.Errorf("--instance: %w", err)
	}
	known, keys, err := anchored.KnownInstance(o.dir, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if known == nil && o.URL == "" {
		return nil, fmt.Errorf("%s has no instance %s: give its --url and its --rekor-key", o.dir, name)
	}
	if o.URL == "" && len(o.Keys) == 0 {
		return &opened{*known, keys}, nil
	}
	given, err := anchored.ReadKeys(o.Keys...)
	if err != nil {
		return nil, fmt.Errorf("--rekor-key: %w", err)
	}
	if len(given)+len(keys) == 0 {
		return nil, errors.New("--rekor-key: want the public key of the instance, from somebody that you trust: it is believed by that alone")
	}
	c := o.Config
	if c.Name = name; o.URL == "" {
		c = *known
	}
	if keys, err = anchored.KeepInstance(o.dir, c, given); err != nil {
		return nil, err
	}
	return &opened{c, keys}, nil
}

// ledger returns the ledger of an instance for a log.
func (o *opened) ledger(dir, origin string, keys []proofs.Key) (*anchored.Ledger, error) {
	instance, err := anchored.OpenInstance(&o.Config, o.keys)
	if err != nil {
		return nil, err
	}
	folder, err := anchored.NewFolder(dir, o.Name, origin)
	if err != nil {
		return nil, err
	}
	return &anchored.Ledger{Instance: instance, Keys: o.keys, Log: keys, Folder: folder}, nil
}

// anchoredLog returns the log of a policy whose checkpoints can be anchored, and its keys.
func anchoredLog(policy *proofs.Policy) (string, []proofs.Key, error) {
	for _, l := range policy.Logs {
		if keys, err := anchored.LogKeys(policy, l.Key.Name()); err == nil {
			return l.Key.Name(), keys, nil
		}
	}
	return "", nil, anchored.ErrNoKey
}
