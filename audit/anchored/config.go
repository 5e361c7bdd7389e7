package anchored

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"time"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
)

// Default values of a Config.
const (
	DefaultEvery = time.Hour
	DefaultAudit = 6 * time.Hour
)

// Limits of what is configured.
const (
	MaxKeys    = 16
	maxKeyFile = 64 << 10 // bytes
)

// Config says which instance of Rekor is meant, and how often it is used.
type Config struct {
	Name    string   `toml:"-"`       // of the instance, and of its files
	URL     string   `toml:"url"`     // where it answers
	Tiles   string   `toml:"tiles"`   // of v2: where its tiles are; empty: at URL
	Version int      `toml:"version"` // 1 or 2; 0: 1
	Origin  string   `toml:"origin"`  // of its checkpoints; see rekor.Config
	Keys    []string `toml:"keys"`    // paths of its public keys in PEM: the current one first, then older ones
	Logs    []string `toml:"logs"`    // names of the logs to anchor; empty: all that sign with ECDSA

	Every time.Duration `toml:"every"` // between two anchors of a log; 0: DefaultEvery
	Audit time.Duration `toml:"audit"` // between two looks at all that it has; 0: DefaultAudit
}

var instanceName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,63}$`)

// CheckName refuses what cannot be the name of an instance.
func CheckName(name string) error {
	if !instanceName.MatchString(name) {
		return fmt.Errorf("%q: want up to 64 of a-z, 0-9, \".\" and \"-\", a letter or digit first, as the name of the instance", name)
	}
	return nil
}

// In returns a configuration whose relative paths are those from a folder.
func (c Config) In(folder string) Config {
	keys := make([]string, len(c.Keys))
	for i, path := range c.Keys {
		if keys[i] = path; path != "" && !filepath.IsAbs(path) {
			keys[i] = filepath.Join(folder, path)
		}
	}
	c.Keys = keys
	return c
}

// Check returns what is wrong with a configuration, without reading the keys. The error begins
// with the key.
func (c *Config) Check() error {
	switch {
	case CheckName(c.Name) != nil:
		return fmt.Errorf("name: %w", CheckName(c.Name))
	case c.Version < 0 || c.Version > 2:
		return fmt.Errorf("version: %d: want 1 or 2", c.Version)
	case len(c.Keys) == 0 || len(c.Keys) > MaxKeys:
		return fmt.Errorf("keys: %d of them: want 1 to %d files with public keys of the instance in PEM, the current one first: it is believed by them alone", len(c.Keys), MaxKeys)
	case c.Every != 0 && c.Every < time.Second:
		return fmt.Errorf(`every: %v: want 1s or more, such as "1h"`, c.Every)
	case c.Audit != 0 && c.Audit < time.Second:
		return fmt.Errorf(`audit: %v: want 1s or more, such as "6h"`, c.Audit)
	}
	return nil
}

// Open reads the keys and returns the instance. It does not connect to it.
func (c *Config) Open(client *http.Client) (*rekor.Instance, []crypto.PublicKey, error) {
	keys, err := ReadKeys(c.Keys...)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	instance, err := open(c, keys, client)
	return instance, keys, err
}

func open(c *Config, keys []crypto.PublicKey, client *http.Client) (*rekor.Instance, error) {
	version := c.Version
	if version == 0 {
		version = 1
	}
	return rekor.New(rekor.Config{Name: c.Name, URL: c.URL, Tiles: c.Tiles, Version: version, Origin: c.Origin, Keys: keys, Client: fetch.Direct(client)})
}

// ReadKeys reads public keys in PEM (PUBLIC KEY), in the order of the files.
func ReadKeys(paths ...string) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for _, path := range paths {
		b, err := regular.ReadSome(path, maxKeyFile+1)
		if err != nil {
			return nil, err
		}
		if len(b) > maxKeyFile {
			return nil, fmt.Errorf("%s: more than %d bytes", path, maxKeyFile)
		}
		more, err := parseKeys(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		keys = append(keys, more...)
	}
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("%d keys, more than %d", len(keys), MaxKeys)
	}
	return keys, nil
}

func parseKeys(b []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		if b = rest; block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("it has PEM of type %q, want PUBLIC KEY", block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no public key in PEM")
	}
	return keys, nil
}

// printKey returns a public key in PEM.
func printKey(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// sameKey reports whether two public keys are one.
func sameKey(x, y crypto.PublicKey) bool {
	k, ok := x.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(y)
}

// ErrNoKey means that a log does not sign so that its checkpoints can be anchored.
var ErrNoKey = errors.New("the policy has no key of the log of type ECDSA, and no other signature of a checkpoint can be an entry of Rekor (docs/anchors.md)")

// LogKeys returns the keys of a log of a policy whose signatures can be anchored: those of type
// ECDSA, in the order of the policy. There is one at least, or the error is ErrNoKey.
func LogKeys(policy *proofs.Policy, origin string) ([]proofs.Key, error) {
	var keys []proofs.Key
	for _, l := range policy.Logs {
		if l.Key.Algorithm() == proofs.ECDSA && l.Key.Name() == origin {
			keys = append(keys, l.Key)
		}
	}
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	return keys, nil
}
