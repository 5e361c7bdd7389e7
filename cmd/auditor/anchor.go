package main

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
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
	given func(flag string) bool
}

// aboutInstance are the flags that say what an instance is.
var aboutInstance = []string{"url", "tiles", "rekor-version", "rekor-origin", "rekor-key"}

func (o *instanceFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", "anchors", "`DIR` with receipts, and with the instances and their keys")
	flags.StringVar(&o.name, "instance", "", "`NAME` of the instance (default: the host of --url, or all that DIR has)")
	flags.StringVar(&o.URL, "url", "", "`URL` of the instance; DIR keeps it")
	flags.StringVar(&o.Tiles, "tiles", "", "`URL` of the tiles of an instance of version 2, if it is another; DIR keeps it")
	flags.IntVar(&o.Version, "rekor-version", 1, "version of Rekor that the instance runs: 1 or 2; DIR keeps it")
	flags.StringVar(&o.Origin, "rekor-origin", "", "origin of the instance's checkpoints, their first line (default: of version 2, the host of --url); DIR keeps it")
	flags.StringArrayVar(&o.Keys, "rekor-key", nil, "`FILE` with a public key of the instance in PEM, the current one first (may be repeated); DIR keeps it")
	o.given = flags.Changed
}

// says returns the first flag that was given of those that say what an instance is.
func (o *instanceFlags) says() string {
	if i := slices.IndexFunc(aboutInstance, o.given); i >= 0 {
		return aboutInstance[i]
	}
	return ""
}

// opened is an instance with the keys by which it is believed.
type opened struct {
	anchored.Config
	keys []crypto.PublicKey
	dir  string
	new  bool // DIR does not have it yet
}

// works keeps an instance that DIR does not have, now that it has answered as it should.
func (o *opened) works() error {
	if !o.new {
		return nil
	}
	o.new = false
	_, err := anchored.KeepInstance(o.dir, o.Config, o.keys)
	return err
}

// instances returns those that the flags name, or all that DIR has.
func (o *instanceFlags) instances() ([]opened, error) {
	if o.name != "" || o.says() != "" {
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
		list = append(list, opened{Config: *c, keys: keys, dir: o.dir})
	}
	return list, nil
}

// one returns the instance that the flags name. What they say of one that DIR has is kept now.
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
		return nil, fmt.Errorf("--%s: of which instance? Give --instance, or --url", o.says())
	}
	if err := anchored.CheckName(name); err != nil {
		return nil, fmt.Errorf("--instance: %w", err)
	}
	known, keys, err := anchored.KnownInstance(o.dir, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c, err := o.merged(name, known)
	if err != nil {
		return nil, err
	}
	given, err := anchored.ReadKeys(o.Keys...)
	if err != nil {
		return nil, fmt.Errorf("--rekor-key: %w", err)
	}
	if len(given)+len(keys) == 0 {
		return nil, errors.New("--rekor-key: want the public key of the instance, from somebody that you trust: it is believed by that alone")
	}
	if known == nil {
		return &opened{c, given, o.dir, true}, nil
	}
	if o.says() != "" {
		if keys, err = anchored.KeepInstance(o.dir, c, given); err != nil {
			return nil, err
		}
	}
	return &opened{c, keys, o.dir, false}, nil
}

// merged returns an instance as the flags change what DIR knows of it.
func (o *instanceFlags) merged(name string, known *anchored.Config) (anchored.Config, error) {
	c := o.Config
	c.Name = name
	if known == nil {
		if o.URL == "" {
			return c, fmt.Errorf("%s has no instance %s: give its --url and its --rekor-key", o.dir, name)
		}
		return c, nil
	}
	c = *known
	if o.URL != "" {
		c.URL = o.URL
	}
	if o.given("tiles") {
		c.Tiles = o.Tiles
	}
	if o.given("rekor-version") {
		c.Version = o.Version
	}
	if o.given("rekor-origin") {
		c.Origin = o.Origin
	}
	if other := strings.TrimRight(c.URL, "/") != strings.TrimRight(known.URL, "/") || c.Version != known.Version; other && o.name == "" {
		return c, fmt.Errorf("%s has an instance %s already, version %d at %s: call this one otherwise with --instance, or give --instance %s to put it in the place of that one",
			o.dir, name, known.Version, known.URL, name)
	}
	return c, nil
}

// explain adds to an error of an instance its name, and what to try.
func (o *opened) explain(err error) error {
	var origin *rekor.OriginError
	if errors.As(err, &origin) {
		err = fmt.Errorf("%w; if that is the instance that you mean, give it once more with --rekor-origin %s", err, shellword(origin.Have))
	}
	if errors.Is(err, rekor.ErrNotThere) {
		hint := "is that an instance of version 2 (--rekor-version 2)?"
		if o.Version == 2 {
			hint = "are its checkpoint and tiles elsewhere (--tiles), or is it of version 1 (--rekor-version 1)?"
		}
		err = fmt.Errorf("%w; %s", err, hint)
	}
	return fmt.Errorf("%s: %w", o.Name, err)
}

// shellword quotes what a shell would not take for one word.
func shellword(s string) string {
	s = printable.Line(s)
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:", r)
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// ledger returns the ledger of an instance for a log.
func (o *opened) ledger(origin string, keys []proofs.Key) (*anchored.Ledger, error) {
	instance, err := anchored.OpenInstance(&o.Config, o.keys)
	if err != nil {
		return nil, err
	}
	folder, err := anchored.NewFolder(o.dir, o.Name, origin)
	if err != nil {
		return nil, err
	}
	return &anchored.Ledger{Instance: instance, Keys: o.keys, Log: keys, Folder: folder}, nil
}
