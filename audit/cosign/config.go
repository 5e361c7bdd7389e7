package cosign

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/sshagent"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/ledger"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// Config configures a Cosigner: the section [cosign] of a monitor's configuration.
type Config struct {
	// Name is the auditor's name, which is in its keys: a URL without a scheme that
	// identifies it, not necessarily reachable.
	Name string `toml:"name"`
	// Keys are the files of the private keys: one of type Ed25519, one of type ML-DSA-44, or
	// both.
	Keys []string `toml:"keys"`
	// SSHAgent is the socket of an ssh-agent that has the Ed25519 key instead of a file.
	SSHAgent string `toml:"ssh_agent"`
	// SSHKey is the fingerprint of that key, SHA256:…; empty if the agent has one alone.
	SSHKey string `toml:"ssh_key"`
	// Ledger is the directory of the ledger, which must never be restored from a backup;
	// empty is the directory of the state with .ledger behind its name.
	Ledger string `toml:"ledger"`
	// Peers are monitoring prefixes, such as the auditor's own public one, where
	// cosignatures are looked for that the state has lost.
	Peers []string `toml:"peers"`

	// Now is the clock; nil is time.Now.
	Now func() time.Time `toml:"-"`
}

// Check returns an error that names the key of a value that is wrong.
func (c *Config) Check() error {
	if c.Name == "" {
		return errors.New("cosign.name: want the auditor's name, as in its keys")
	}
	if _, err := proofs.GenerateSigner(nil, c.Name, proofs.MLDSA44); err != nil {
		return fmt.Errorf("cosign.name: %w", err)
	}
	if len(c.Keys) == 0 && c.SSHAgent == "" {
		return errors.New("cosign.keys: want a key file, or an ssh_agent")
	}
	if most := 2; len(c.Keys) > most || c.SSHAgent != "" && len(c.Keys) == most {
		return errors.New("cosign.keys: want one key of type Ed25519, one of type ML-DSA-44, or both")
	}
	for _, path := range c.Keys {
		if path == "" {
			return errors.New("cosign.keys: the name of a key file is empty")
		}
	}
	if c.SSHKey != "" && c.SSHAgent == "" {
		return errors.New("cosign.ssh_key: there is no ssh_agent that has the key")
	}
	return nil
}

// In returns the configuration with paths that are relative to a folder.
func (c Config) In(folder string) Config {
	in := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(folder, path)
	}
	keys := make([]string, len(c.Keys))
	for i, path := range c.Keys {
		keys[i] = in(path)
	}
	c.Keys, c.SSHAgent, c.Ledger = keys, in(c.SSHAgent), in(c.Ledger)
	return c
}

// ledgerDir returns the directory of the ledger of the state in dir.
func (c *Config) ledgerDir(dir string) string {
	if c.Ledger != "" {
		return c.Ledger
	}
	return filepath.Clean(dir) + ".ledger"
}

// ErrKeysExist means that a key is there already, which may have cosigned.
var ErrKeysExist = errors.New("there is a key already, and an empty state knows nothing of what it has cosigned: a log could have a second history cosigned")

// Create makes what a Cosigner needs: the key files of the configuration, an Ed25519 key first,
// an empty state in dir and an empty ledger. It returns the public keys. It refuses to
// replace a state or a ledger. Keys that exist, those of an ssh-agent too, are taken only
// if unused says that they have never cosigned: ErrKeysExist.
func Create(dir string, cfg Config, unused bool) ([]proofs.Key, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	for _, path := range []string{filepath.Join(dir, sqlite.FileName), cfg.ledgerDir(dir)} {
		if _, err := os.Stat(path); err == nil {
			return nil, fmt.Errorf("%s exists already and is not replaced: an auditor that forgets what it cosigned can be made to cosign a fork", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if !unused {
		if cfg.SSHAgent != "" {
			return nil, fmt.Errorf("the ssh-agent %s: %w", cfg.SSHAgent, ErrKeysExist)
		}
		for _, path := range cfg.Keys {
			if _, err := os.Lstat(path); err == nil {
				return nil, fmt.Errorf("%s: %w", path, ErrKeysExist)
			}
		}
	}
	if err := makeKeys(cfg); err != nil {
		return nil, err
	}
	signers, err := cfg.signers()
	if err != nil {
		return nil, err
	}
	var keys []proofs.Key
	for _, s := range signers {
		keys = append(keys, s.Key())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := sqlite.Create(dir, keys...); err != nil {
		return nil, err
	}
	return keys, ledger.Create(cfg.ledgerDir(dir), keys...)
}

// makeKeys makes the key files that do not exist.
func makeKeys(cfg Config) error {
	have := map[proofs.Algorithm]bool{proofs.CosignatureV1: cfg.SSHAgent != ""}
	var missing []string
	for _, path := range cfg.Keys {
		s, err := readKey(path)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, path)
			continue
		}
		if err != nil {
			return err
		}
		have[s.Key().Algorithm()] = true
	}
	for _, path := range missing {
		alg := proofs.CosignatureV1
		if have[alg] {
			alg = proofs.MLDSA44
		}
		if have[alg] {
			return fmt.Errorf("cosign.keys: %s does not exist, and there are keys of both types", path)
		}
		have[alg] = true
		s, err := proofs.GenerateSigner(nil, cfg.Name, alg)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := keyfile.Create(path, s.PrivateKey()); err != nil {
			return err
		}
	}
	return nil
}

func readKey(path string) (*proofs.Signer, error) {
	text, err := keyfile.Read(path)
	if err != nil {
		return nil, err
	}
	s, err := proofs.ParseSigner(text)
	if err != nil {
		return nil, fmt.Errorf("key in %s: %w", path, err)
	}
	return s, nil
}

// signers opens the private keys, the Ed25519 key first.
func (c *Config) signers() ([]witness.Signer, error) {
	byType := map[proofs.Algorithm]witness.Signer{}
	if c.SSHAgent != "" {
		s, err := c.agentSigner()
		if err != nil {
			return nil, err
		}
		byType[proofs.CosignatureV1] = s
	}
	for _, path := range c.Keys {
		s, err := readKey(path)
		if err != nil {
			return nil, err
		}
		k := s.Key()
		switch {
		case k.Name() != c.Name:
			return nil, fmt.Errorf("cosign.name: the key in %s has the name %q, not %q", path, k.Name(), c.Name)
		case !k.Algorithm().ForWitnesses():
			return nil, fmt.Errorf("cosign.keys: the key in %s has type %v, want %v or %v", path, k.Algorithm(), proofs.CosignatureV1, proofs.MLDSA44)
		case byType[k.Algorithm()] != nil:
			return nil, fmt.Errorf("cosign.keys: the key in %s is a second one of type %v", path, k.Algorithm())
		}
		byType[k.Algorithm()] = s
	}
	var signers []witness.Signer
	for _, alg := range []proofs.Algorithm{proofs.CosignatureV1, proofs.MLDSA44} {
		if s := byType[alg]; s != nil {
			signers = append(signers, s)
		}
	}
	return signers, nil
}

// agentTimeout bounds an exchange with an ssh-agent. One that asks a person before it signs
// is not for auditors that sign by themselves.
const agentTimeout = 5 * time.Second

// agentSigner finds the key in the ssh-agent.
func (c *Config) agentSigner() (witness.Signer, error) {
	keys, err := sshagent.Agent{Socket: c.SSHAgent, Timeout: agentTimeout}.Keys()
	if err != nil {
		return nil, fmt.Errorf("cosign.ssh_agent: %w", err)
	}
	var found []*sshagent.Key
	for _, k := range keys {
		if c.SSHKey == "" || k.Fingerprint == c.SSHKey {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("cosign.ssh_key: the ssh-agent at %s has %d Ed25519 keys that this could name, want one", c.SSHAgent, len(found))
	}
	return proofs.NewSigner(c.Name, proofs.CosignatureV1, found[0])
}

// PolicyText returns lines for the policies of devices, in the format of
// c2sp.org/tlog-policy: the auditor's keys as witnesses that are served at a monitoring
// prefix, "" if it is not known, and a group of them. A comment says how to require it
// beside the witnesses.
func PolicyText(keys []proofs.Key, prefix string) string {
	var b strings.Builder
	var names []string
	for _, k := range keys {
		name := k.Name()
		if k.Algorithm() == proofs.MLDSA44 {
			name += "/ml-dsa-44"
		}
		names = append(names, name)
		b.WriteString(strings.TrimRight(fmt.Sprintf("witness %s %s %s", name, k, prefix), " ") + "\n")
	}
	fmt.Fprintf(&b, "group auditors any %s\n", strings.Join(names, " "))
	b.WriteString("# To require the auditor beside a group WITNESSES that the policy has, end it in:\n")
	b.WriteString("# group audited all WITNESSES auditors\n")
	b.WriteString("# quorum audited\n")
	return b.String()
}

// WritePublicKeys writes the public keys to a file, one a line.
func WritePublicKeys(path string, keys []proofs.Key) error {
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k.String() + "\n")
	}
	return durable.WriteFile(path, []byte(b.String()), 0o644)
}
