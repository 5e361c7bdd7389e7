package gate

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/internal/tomlfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of a configuration.
const (
	MaxConfig       = 1 << 20 // bytes of the file
	MaxRepositories = 1000
	MaxGates        = 64 // of a repository
)

// Default values of a configuration.
const (
	DefaultListen        = "127.0.0.1:7385"
	DefaultMaxBody       = 32 << 20 // bytes
	DefaultMaxFiles      = 8192     // of a staged repository
	DefaultMaxLifetime   = 14 * 24 * time.Hour
	DefaultMaxJump       = 100
	DefaultMaxRoles      = 1024
	DefaultFetchTimeout  = 10 * time.Second
	DefaultPerAddress    = 10. // requests a second
	DefaultPerRepository = 1.  // timestamps a second
)

// Config is the configuration file of a gate. Paths are relative to the file; Read makes them
// absolute or relative to the working directory.
type Config struct {
	Dir      string `toml:"dir"`       // has all that lasts; required
	Listen   string `toml:"listen"`    // empty: DefaultListen
	Key      string `toml:"key"`       // path of the key file; or
	SSHAgent string `toml:"ssh_agent"` // path of the socket of an ssh-agent with the key
	SSHKey   string `toml:"ssh_key"`   // fingerprint of the key in the agent, if it has several
	// ClientAddressHeader is the header in which a proxy in front gives the client's address;
	// empty: there is no proxy.
	ClientAddressHeader string `toml:"client_address_header"`
	// MaxBody is how many bytes a staged repository may have; 0: DefaultMaxBody.
	MaxBody int64 `toml:"max_body"`
	// FetchTimeout is how long one file may take that is fetched from where a repository is
	// staged; 0: DefaultFetchTimeout.
	FetchTimeout time.Duration `toml:"fetch_timeout"`
	// PerAddress is how many requests a second one address may send, ten times as many at
	// once; 0: DefaultPerAddress; negative: any number.
	PerAddress float64 `toml:"max_per_address"`
	// PerRepository is how many timestamps a second of one repository are judged, ten times as
	// many at once, and as many again of those that are not signed by a key of the
	// repository's; and how many are fetched for one address, ten times as many for all; 0: DefaultPerRepository; negative: any number.
	PerRepository float64            `toml:"max_per_repository"`
	Repositories  []RepositoryConfig `toml:"repository"`
}

// RepositoryConfig is a repository that the gate signs for.
type RepositoryConfig struct {
	Name   string `toml:"name"`   // unique; in metrics and the gate's log; required
	ID     string `toml:"id"`     // hex; empty: the root is the repository's first
	Root   string `toml:"root"`   // path of the root in which trust begins; required
	Policy string `toml:"policy"` // path of the trust policy; required
	Served string `toml:"served"` // URL of the metadata that clients see; required
	// Fetch are the beginnings of URLs that staged repositories may be fetched from, each with
	// a slash at its end; empty: none, they are sent.
	Fetch []string `toml:"fetch"`
	// MaxLifetime is how long a timestamp may live from now; 0: DefaultMaxLifetime.
	MaxLifetime time.Duration `toml:"max_lifetime"`
	// MaxJump is how far a timestamp's version may be above the last one; 0: DefaultMaxJump.
	MaxJump int64 `toml:"max_jump"`
	// MaxRoles is how many roles of targets are judged; 0: DefaultMaxRoles.
	MaxRoles int `toml:"max_roles"`
	// WithoutHashes accepts timestamps and snapshots that list versions without hashes:
	// clients then take any file of that version that its keys have signed (docs/gate.md).
	WithoutHashes bool         `toml:"without_hashes"`
	Gates         []PeerConfig `toml:"gate"` // the other gates of the repository

	id tuf.Digest
}

// PeerConfig is another gate of a repository.
type PeerConfig struct {
	Key string `toml:"key"` // its public key, 64 hex digits
	URL string `toml:"url"` // where it answers; empty: it is not asked

	key client.Key
}

// Read reads a configuration file. Its errors name the file, the line if it is known, the key,
// and what to do.
func Read(path string) (*Config, error) {
	b, err := regular.ReadSome(path, MaxConfig+1)
	if err != nil {
		return nil, err
	}
	return Parse(path, b)
}

// Parse is Read of a text. path is where it stands.
func Parse(path string, text []byte) (*Config, error) {
	if len(text) > MaxConfig {
		return nil, fmt.Errorf("%s: %d bytes or more, more than %d", path, len(text), MaxConfig)
	}
	var c Config
	lines, err := tomlfile.Decode(path, text, &c)
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	from := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	for _, path := range []*string{&c.Dir, &c.Key, &c.SSHAgent} {
		from(path)
	}
	for i := range c.Repositories {
		from(&c.Repositories[i].Root)
		from(&c.Repositories[i].Policy)
	}
	err = c.written(lines)
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		key, _, _ := strings.Cut(err.Error(), ":")
		return nil, fmt.Errorf("%s:%s%w", path, lines.Of(key), err)
	}
	return &c, nil
}

// written refuses zeros, and an empty id, that stand in a file: to Check they are what is left
// out, and would be another value than the one that was written.
func (c *Config) written(lines tomlfile.Lines) error {
	check := func(key string, zero bool) error {
		if _, is := lines[key]; is && zero {
			return fmt.Errorf("%s: zero, or empty: leave it out if its default value is meant", key)
		}
		return nil
	}
	errs := []error{
		check("max_body", c.MaxBody == 0), check("fetch_timeout", c.FetchTimeout == 0),
		check("max_per_address", c.PerAddress == 0), check("max_per_repository", c.PerRepository == 0),
	}
	for i, r := range c.Repositories {
		at := fmt.Sprintf("repository[%d].", i)
		errs = append(errs, check(at+"id", r.ID == ""), check(at+"max_lifetime", r.MaxLifetime == 0),
			check(at+"max_jump", r.MaxJump == 0), check(at+"max_roles", r.MaxRoles == 0))
	}
	return cmp.Or(errs...)
}

// Check puts default values for what is not set, and returns what is wrong, without reading
// anything. The error begins with the key.
func (c *Config) Check() error {
	c.Listen, c.MaxBody = cmp.Or(c.Listen, DefaultListen), cmp.Or(c.MaxBody, DefaultMaxBody)
	c.FetchTimeout = cmp.Or(c.FetchTimeout, DefaultFetchTimeout)
	c.PerAddress, c.PerRepository = cmp.Or(c.PerAddress, DefaultPerAddress), cmp.Or(c.PerRepository, DefaultPerRepository)
	switch {
	case c.Dir == "":
		return errors.New(`dir: want the directory that has all that lasts, such as "/var/lib/tuflog-gate"`)
	case (c.Key == "") == (c.SSHAgent == ""):
		return errors.New("key: want either key, the path of a key file (auditor gate key makes one), or ssh_agent, the path of the socket of an ssh-agent")
	case c.SSHKey != "" && c.SSHAgent == "":
		return errors.New("ssh_key: want ssh_agent, too")
	case c.MaxBody < 64<<10:
		return fmt.Errorf("max_body: %d: want 65536 bytes or more", c.MaxBody)
	case c.FetchTimeout < 100*time.Millisecond || c.FetchTimeout > fetchFor:
		return fmt.Errorf("fetch_timeout: %v: want 100ms to %v", c.FetchTimeout, fetchFor)
	case len(c.Repositories) == 0:
		return errors.New("repository: want a section [[repository]] for each repository that is signed for")
	case len(c.Repositories) > MaxRepositories:
		return fmt.Errorf("repository: %d, more than %d", len(c.Repositories), MaxRepositories)
	}
	names := map[string]bool{}
	for i := range c.Repositories {
		r := &c.Repositories[i]
		if err := r.check(); err != nil {
			return fmt.Errorf("repository[%d].%w", i, err)
		}
		if names[r.Name] {
			return fmt.Errorf("repository[%d].name: %q twice", i, r.Name)
		}
		names[r.Name] = true
	}
	return nil
}

func (r *RepositoryConfig) check() (err error) {
	r.MaxLifetime, r.MaxJump, r.MaxRoles = cmp.Or(r.MaxLifetime, DefaultMaxLifetime), cmp.Or(r.MaxJump, DefaultMaxJump), cmp.Or(r.MaxRoles, DefaultMaxRoles)
	switch {
	case r.Name == "" || len(r.Name) > 100 || strings.ContainsFunc(r.Name, func(c rune) bool { return c <= ' ' || c > '~' }):
		return fmt.Errorf("name: %q: want a word of printable ASCII", tuf.Clip(r.Name))
	case r.Root == "":
		return errors.New("root: want the path of the root in which trust begins")
	case r.Policy == "":
		return errors.New("policy: want the path of the trust policy")
	case r.MaxLifetime < time.Minute:
		return fmt.Errorf("max_lifetime: %v: want a minute or more", r.MaxLifetime)
	case r.MaxJump < 1:
		return fmt.Errorf("max_jump: %d: want 1 or more", r.MaxJump)
	case r.MaxRoles < 1 || r.MaxRoles > DefaultMaxFiles:
		return fmt.Errorf("max_roles: %d: want 1 to %d", r.MaxRoles, DefaultMaxFiles)
	case len(r.Gates) > MaxGates:
		return fmt.Errorf("gate: %d, more than %d", len(r.Gates), MaxGates)
	}
	if r.ID != "" {
		if r.id, err = tuf.ParseRepository(r.ID); err != nil {
			return fmt.Errorf("id: %w", err)
		}
	}
	if err := checkURL(r.Served); err != nil {
		return fmt.Errorf("served: %w", err)
	}
	for _, base := range r.Fetch {
		if err := checkURL(base); err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		if !strings.HasSuffix(base, "/") || !allowed([]string{base}, base) {
			return fmt.Errorf("fetch: %q: want a plain URL that ends in a slash", fetch.Redacted(base))
		}
	}
	for i := range r.Gates {
		g := &r.Gates[i]
		if g.key, err = client.ParseKey(g.Key); err != nil {
			return fmt.Errorf("gate[%d].key: %w", i, err)
		}
		if g.URL != "" {
			if err := checkURL(g.URL); err != nil {
				return fmt.Errorf("gate[%d].url: %w", i, err)
			}
		}
	}
	return nil
}

func checkURL(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(s, "?#") {
		return fmt.Errorf("%q: want an http or https URL without a query", fetch.Redacted(s))
	}
	return nil
}

// read reads the files that a repository's section names.
func (r *RepositoryConfig) read() (root []byte, policy *proofs.Policy, err error) {
	if root, err = regular.ReadSome(r.Root, tuf.MaxFileSize+1); err != nil {
		return nil, nil, fmt.Errorf("root, in which trust begins: %w", err)
	}
	text, err := regular.ReadSome(r.Policy, proofs.MaxPolicySize+1)
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	if policy, err = proofs.ParsePolicy(text); err != nil {
		return nil, nil, fmt.Errorf("policy: %s: %w", r.Policy, err)
	}
	return root, policy, nil
}

// key opens the gate's key.
func (c *Config) key() (*Key, error) {
	if c.SSHAgent != "" {
		return AgentKey(c.SSHAgent, c.SSHKey)
	}
	return ReadKey(c.Key)
}

func rateOf(perSecond float64) rates.Rate {
	if perSecond < 0 {
		return rates.Rate{}
	}
	return rates.Rate{PerSecond: perSecond, Burst: max(1, 10*perSecond)}
}

func (c *Config) perRepository() rates.Rate { return rateOf(c.PerRepository) }
