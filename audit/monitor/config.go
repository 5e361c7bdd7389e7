package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/tomlfile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of a configuration.
const (
	MaxConfig       = 1 << 20 // bytes of the file
	MaxLogs         = 1000
	MaxRepositories = 1000 // of a log
	MaxURLs         = 32   // of a repository
)

// Default values of a configuration.
const (
	DefaultListen   = "127.0.0.1:7390"
	DefaultInterval = 2 * time.Second
	DefaultEvery    = 5 * time.Minute
	DefaultWithheld = 10 * time.Minute
	DefaultStale    = 24 * time.Hour
)

// Config is the configuration file of a monitor. Paths are relative to the file; Read makes
// them absolute or relative to the working directory.
type Config struct {
	Dir    string `toml:"dir"`    // has all that lasts; required
	Listen string `toml:"listen"` // address of the page, /metrics and the rest; "none": nothing is served; empty: DefaultListen
	URL    string `toml:"url"`    // at which people reach the page; optional
	// Contact says how the operator is reached, on the page; optional.
	Contact string `toml:"contact"`
	// ClientAddressHeader is the header in which a proxy in front gives the client's address;
	// empty: there is no proxy.
	ClientAddressHeader string `toml:"client_address_header"`
	Logs                []Log  `toml:"log"`

	Alerts                // who is told of what
	Cosign *cosign.Config `toml:"cosign"` // nil: this auditor does not cosign
	// Anchors are the instances of Rekor in which checkpoints are anchored, by name.
	Anchors map[string]anchored.Config `toml:"anchor"`
}

// Alerts are the keys route, to and others at the top level.
type Alerts = alert.Config

// Log is a log to follow.
type Log struct {
	Name   string `toml:"name"`   // unique; of its files in Dir
	Policy string `toml:"policy"` // path of the trust policy
	URL    string `toml:"url"`    // empty: the policy names it
	Mirror bool   `toml:"mirror"` // a copy is kept in Dir, and served
	// MirrorMaxBytes is how many bytes the files of the copy may have in all; 0: any number.
	// A copy leaves room on its disk in any case.
	MirrorMaxBytes int64         `toml:"mirror_max_bytes"`
	Interval       time.Duration `toml:"interval"` // between two looks; 0: DefaultInterval
	// Withheld is how long witnesses may have cosigned a larger tree than the log shows; 0:
	// DefaultWithheld.
	Withheld     time.Duration      `toml:"withheld"`
	Repositories []RepositoryConfig `toml:"repository"`

	anchors []anchored.Config // of the instances in which it is anchored
}

// RepositoryConfig is a repository of a log that has a name, and may be watched beside it.
type RepositoryConfig struct {
	ID    string        `toml:"id"`    // whole, in hex: anybody can register another that begins the same
	Name  string        `toml:"name"`  // unique in its log; empty: the ID
	URLs  []string      `toml:"urls"`  // of live metadata
	Every time.Duration `toml:"every"` // how often they are compared; 0: DefaultEvery
	Stale time.Duration `toml:"stale"` // how long they may serve what is older than the log has; 0: DefaultStale

	Expectations    string `toml:"expectations"` // URL or path of signed expectations; empty: none
	ExpectationsKey string `toml:"expectations_key"`
	// ExpectationsLate is how long after a release expectations may come that allow it; it is
	// reported only then. 0: they have to be there before.
	ExpectationsLate time.Duration `toml:"expectations_late"`
}

// Read reads a configuration file. Its errors name the file, the line if it is known, the key,
// and what to do.
func Read(ctx context.Context, path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxConfig+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	c, err := parse(path, b)
	if err != nil {
		return nil, c.withWholeIDs(ctx, err)
	}
	return c, nil
}

// Parse is Read of a text. path is where it stands.
func Parse(path string, text []byte) (*Config, error) {
	c, err := parse(path, text)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// parse is Parse; with an error the configuration is what was understood of it, or nil.
func parse(path string, text []byte) (*Config, error) {
	if len(text) > MaxConfig {
		return nil, fmt.Errorf("%s: %d bytes or more, more than %d", path, len(text), MaxConfig)
	}
	var c Config
	lines, err := tomlfile.Decode(path, text, &c)
	if err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(path))
	c.fill()
	if err := c.Check(); err != nil {
		key, _, _ := strings.Cut(err.Error(), ":")
		if m := routeNumber.FindStringSubmatch(key); m != nil {
			n, _ := strconv.Atoi(m[1])
			key = fmt.Sprintf("route[%d]", n-1)
		}
		return &c, fmt.Errorf("%s:%s%w", path, lines.Of(key), err)
	}
	return &c, nil
}

// routeNumber is how errors of the alerts begin that are about a route.
var routeNumber = regexp.MustCompile(`^route ([0-9]{1,6})$`)

// resolve makes relative paths those from a folder.
func (c *Config) resolve(folder string) {
	from := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) && !strings.Contains(*path, "://") {
			*path = filepath.Join(folder, *path)
		}
	}
	from(&c.Dir)
	c.Alerts.Resolve(folder)
	if c.Cosign != nil {
		in := c.Cosign.In(folder)
		c.Cosign = &in
	}
	for name, a := range c.Anchors {
		c.Anchors[name] = a.In(folder)
	}
	for i := range c.Logs {
		from(&c.Logs[i].Policy)
		for j := range c.Logs[i].Repositories {
			from(&c.Logs[i].Repositories[j].Expectations)
		}
	}
}

// fill puts default values for what is not set.
func (c *Config) fill() {
	c.Listen = cmp.Or(c.Listen, DefaultListen)
	for i := range c.Logs {
		l := &c.Logs[i]
		l.Interval, l.Withheld = cmp.Or(l.Interval, DefaultInterval), cmp.Or(l.Withheld, DefaultWithheld)
		for j := range l.Repositories {
			r := &l.Repositories[j]
			r.Every, r.Stale, r.Name = cmp.Or(r.Every, DefaultEvery), cmp.Or(r.Stale, DefaultStale), cmp.Or(r.Name, r.ID)
		}
	}
	c.fillAnchors()
	if c.Alerts.URL = c.URL; c.URL != "" && !strings.HasSuffix(c.URL, "/") {
		c.Alerts.URL += "/"
	}
	c.Alerts.Logs = []alert.Log{}
	for _, l := range c.Logs {
		told := alert.Log{Name: l.Name, Policy: l.Policy, URL: l.URL, StateDir: StateDir(c.Dir, l.Name)}
		if l.Mirror {
			told.Mirror = MirrorDir(c.Dir, l.Name)
		}
		for _, r := range l.Repositories {
			of := alert.Repository{ID: r.ID, Name: r.Name, Expectations: fetch.Redacted(r.Expectations), ExpectationsKey: r.ExpectationsKey}
			for _, u := range r.URLs {
				of.URLs = append(of.URLs, fetch.Redacted(u))
			}
			told.Repositories = append(told.Repositories, of)
		}
		c.Alerts.Logs = append(c.Alerts.Logs, told)
	}
}

// Check returns what is wrong with a configuration, without reading anything else. The error
// begins with the key: log[1].name is the name in the second [[log]].
func (c *Config) Check() error {
	if c.Dir == "" {
		return errors.New(`dir: want the directory that has all that lasts, such as "/var/lib/tuflog-auditor"`)
	}
	if c.Listen != "" && c.Listen != "none" {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return fmt.Errorf(`listen: %q: want HOST:PORT, such as %q, or "none"`, c.Listen, DefaultListen)
		}
	}
	if c.URL != "" {
		if err := checkURL(c.URL); err != nil {
			return fmt.Errorf("url: %w", err)
		}
	}
	if len(c.Logs) == 0 {
		return errors.New("log: want one [[log]] or more: there is nothing to follow")
	}
	if len(c.Logs) > MaxLogs {
		return fmt.Errorf("log: %d logs, more than %d", len(c.Logs), MaxLogs)
	}
	names := map[string]bool{}
	for i := range c.Logs {
		at, l := fmt.Sprintf("log[%d]", i), &c.Logs[i]
		if err := l.check(at); err != nil {
			return err
		}
		if names[l.Name] {
			return fmt.Errorf("%s.name: %q is the name of another [[log]], too: want another", at, l.Name)
		}
		names[l.Name] = true
	}
	if err := c.checkCosign(); err != nil {
		return err
	}
	if err := c.checkAnchors(); err != nil {
		return err
	}
	return c.Alerts.Check()
}

// checkCosign refuses audited cosignatures of logs whose files are not held.
func (c *Config) checkCosign() error {
	if c.Cosign == nil {
		return nil
	}
	if err := c.Cosign.Check(); err != nil {
		return err
	}
	for _, peer := range c.Cosign.Peers {
		if err := checkURL(peer); err != nil {
			return fmt.Errorf("cosign.peers: %w", err)
		}
	}
	if !slices.ContainsFunc(c.Logs, func(l Log) bool { return l.Mirror }) {
		return errors.New("cosign: no [[log]] has mirror = true: only checkpoints of logs whose every file is held are cosigned")
	}
	return nil
}

func (l *Log) check(at string) error {
	if err := checkName(l.Name); err != nil {
		return fmt.Errorf("%s.name: %w", at, err)
	}
	if l.Policy == "" {
		return fmt.Errorf("%s.policy: want the path of the log's trust policy", at)
	}
	if l.URL != "" {
		if err := checkURL(l.URL); err != nil {
			return fmt.Errorf("%s.url: %w", at, err)
		}
	}
	if err := checkDuration(l.Interval, 100*time.Millisecond); err != nil {
		return fmt.Errorf("%s.interval: %w", at, err)
	}
	if err := checkDuration(l.Withheld, time.Second); err != nil {
		return fmt.Errorf("%s.withheld: %w", at, err)
	}
	if l.MirrorMaxBytes < 0 || l.MirrorMaxBytes > 0 && !l.Mirror {
		return fmt.Errorf("%s.mirror_max_bytes: want a number of bytes for a log with mirror = true", at)
	}
	if len(l.Repositories) > MaxRepositories {
		return fmt.Errorf("%s.repository: %d repositories, more than %d", at, len(l.Repositories), MaxRepositories)
	}
	names := map[string]bool{}
	for i := range l.Repositories {
		at, r := fmt.Sprintf("%s.repository[%d]", at, i), &l.Repositories[i]
		if err := r.check(at); err != nil {
			return err
		}
		if name := cmp.Or(r.Name, r.ID); names[name] {
			return fmt.Errorf("%s.name: %q is the name of another repository of this log, too: want another", at, name)
		}
		names[cmp.Or(r.Name, r.ID)] = true
		for j := range i {
			if l.Repositories[j].ID == r.ID {
				return fmt.Errorf("%s.id: %s is the repository of repository[%d], too: want one entry for each repository", at, r.ID, j)
			}
		}
	}
	return nil
}

func (r *RepositoryConfig) check(at string) error {
	if _, err := tuf.ParseRepository(r.ID); err != nil {
		if alert.IsBeginning(r.ID) {
			return fmt.Errorf("%s.id: %w", at, &alert.BeginningError{Beginning: r.ID})
		}
		return fmt.Errorf("%s.id: %q: want the repository's id, 64 hex digits (auditor show prints it)", at, clip(r.ID))
	}
	if len(r.Name) > 200 || strings.ContainsFunc(r.Name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return fmt.Errorf("%s.name: want up to 200 bytes without control characters", at)
	}
	if len(r.URLs) > MaxURLs {
		return fmt.Errorf("%s.urls: %d URLs, more than %d", at, len(r.URLs), MaxURLs)
	}
	var seen []string
	for _, u := range r.URLs {
		if err := checkURL(u); err != nil {
			return fmt.Errorf("%s.urls: %w", at, err)
		}
		// What is said of them, and what is found, is told apart by this.
		shown := fetch.Redacted(u)
		if slices.Contains(seen, shown) {
			return fmt.Errorf("%s.urls: %q stands twice, perhaps with different passwords: want each once", at, shown)
		}
		seen = append(seen, shown)
	}
	if err := checkDuration(r.Every, time.Second); err != nil {
		return fmt.Errorf("%s.every: %w", at, err)
	}
	if err := checkDuration(r.Stale, time.Second); err != nil {
		return fmt.Errorf("%s.stale: %w", at, err)
	}
	if (r.Expectations == "") != (r.ExpectationsKey == "") {
		return fmt.Errorf("%s.expectations: want both expectations and expectations_key, or neither", at)
	}
	if r.ExpectationsLate < 0 {
		return fmt.Errorf("%s.expectations_late: %v: want 0 or more", at, r.ExpectationsLate)
	}
	if r.ExpectationsKey != "" {
		if _, err := proofs.ParseKey(r.ExpectationsKey); err != nil {
			return fmt.Errorf("%s.expectations_key: %w", at, err)
		}
	}
	if err := checkDuration(r.ExpectationsLate, time.Second); err != nil {
		return fmt.Errorf("%s.expectations_late: %w", at, err)
	}
	if strings.Contains(r.Expectations, "://") {
		if err := checkURL(r.Expectations); err != nil {
			return fmt.Errorf("%s.expectations: %w", at, err)
		}
	}
	if len(r.URLs) == 0 && r.Expectations == "" && r.Name == r.ID {
		return fmt.Errorf("%s: want a name, urls or expectations: the log is followed for all repositories, and nothing is said of this one", at)
	}
	return nil
}

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// checkName refuses a name of a log that cannot be that of its files.
func checkName(s string) error {
	if !name.MatchString(s) || strings.HasSuffix(s, ".status.json") || strings.HasSuffix(s, ".newest") {
		return fmt.Errorf("%q: want up to 64 of a-z, 0-9, \".\", \"_\" and \"-\", a letter or digit first", s)
	}
	return nil
}

func checkDuration(d, least time.Duration) error {
	if d != 0 && d < least {
		return fmt.Errorf(`%v: want %v or more, such as "5m"`, d, least)
	}
	return nil
}

// clip bounds a word of the file in an error.
func clip(s string) string { return s[:min(len(s), 80)] }

// checkURL refuses what no path can be put behind.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q: want http:// or https://, a host and perhaps a path", fetch.Redacted(s))
	}
	return nil
}

// Find returns the repository of a log's configuration that has a name or an id.
func (l *Log) Find(repository string) (*RepositoryConfig, bool) {
	i := slices.IndexFunc(l.Repositories, func(r RepositoryConfig) bool { return r.Name == repository || r.ID == repository })
	if i < 0 {
		return nil, false
	}
	return &l.Repositories[i], true
}
