package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
)

// Defaults of a Config.
const (
	defaultCollapse = 10 * time.Minute
	defaultOffAfter = 5 * 24 * time.Hour
	defaultKeep     = 10_000
	day             = 24 * time.Hour
)

// Config says who is told of what. Its fields with a toml tag are keys at the top level of
// the monitor's file; the others are the process's.
type Config struct {
	Routes []Route       `toml:"route"` // the first that matches; behind them the default ones
	To     map[string]To `toml:"to"`    // destinations by name

	Collapse    time.Duration `toml:"collapse"`  // events of one cause within it are one message; 0: 10 minutes; negative: each is one
	OffAfter    time.Duration `toml:"off_after"` // a destination that fails for so long is switched off; 0: 5 days
	Keep        int           `toml:"keep"`      // events that are kept for feeds, and that may wait for a destination; 0: 10,000
	HealthMails HealthMails   `toml:"health"`

	URL     string                                       `toml:"-"` // of the page, ends with a slash; empty: events have no links
	Logs    []Log                                        `toml:"-"` // what events say of a log beside its findings
	Command func(log string, f *audit.Finding) string    `toml:"-"` // checks a finding; nil or empty: one that follows from Logs
	Link    func(log string, f *audit.Finding) string    `toml:"-"` // leads to it; nil: URL/logs/LOG/findings/ID
	Line    func(ctx context.Context, log string) string `toml:"-"` // the line of a log in the health mail; nil: none
	Now     func() time.Time                             `toml:"-"` // nil: time.Now
	Logger  *slog.Logger                                 `toml:"-"` // nil: nothing is logged
	Stdout  io.Writer                                    `toml:"-"` // where a destination of type jsonl with path "-" writes; nil: it is refused
}

// Log is what the process knows of a log.
type Log struct {
	Name         string
	Policy       string // path of the trust policy
	URL          string // where the log is read from; empty: the policy names it
	StateDir     string // audit.Config.StateDir
	Mirror       string // a folder with a copy; empty: none
	Repositories []Repository
}

// Repository is a repository with a name.
type Repository struct {
	ID   string // 64 hex digits
	Name string
	// URLs are where it is served, without passwords.
	URLs []string
	// Expectations is where its expectations are read, without a password; empty: nowhere.
	Expectations string
	// ExpectationsKey is the key that signs its expectations; empty: none are configured.
	ExpectationsKey string
}

// Route says where some findings go. An empty list matches all.
type Route struct {
	Classes      []string      `toml:"classes"`
	Kinds        []string      `toml:"kinds"`
	Logs         []string      `toml:"logs"`
	Repositories []string      `toml:"repositories"` // whole ids, or names of Logs
	Roles        []string      `toml:"roles"`
	To           []string      `toml:"to"`     // empty: nobody is told
	Digest       time.Duration `toml:"digest"` // collected for so long; 0: each at once
}

// HealthMails says who is told every day how the logs and the destinations are.
type HealthMails struct {
	To    []string      `toml:"to"`    // nil: all of type mail
	Every time.Duration `toml:"every"` // 0: 24 h; negative: never
}

// The types of destinations.
const (
	typeMail    = "mail"
	typeWebhook = "webhook"
	typeHooks   = "hooks"
	typeJSONL   = "jsonl"
)

// To is a destination. Each type has keys of its own.
type To struct {
	Type    string        `toml:"type"`    // mail, webhook, hooks, jsonl
	Timeout time.Duration `toml:"timeout"` // of one attempt; 0: 30 s

	// mail
	Addresses    []string `toml:"addresses"`
	From         string   `toml:"from"`
	Sendmail     []string `toml:"sendmail"`      // command that reads a message; nil: /usr/sbin/sendmail -t -i
	SMTP         string   `toml:"smtp"`          // host:port of a server instead
	TLS          string   `toml:"tls"`           // of it: starttls (the default), implicit, or none
	User         string   `toml:"user"`          // at it; empty: without authentication
	PasswordFile string   `toml:"password_file"` // of the user
	CAFile       string   `toml:"ca_file"`       // certificates in PEM that its own is signed by; empty: those of the system

	// webhook
	URL          string `toml:"url"`
	SecretFile   string `toml:"secret_file"`   // whsec_ and base64, for the signatures
	AllowPrivate bool   `toml:"allow_private"` // the receiver may be in a private network, and its URL http

	// hooks
	Dir string `toml:"dir"` // of executables

	// jsonl
	Path string `toml:"path"` // of a file; "-": stdout
}

// keys are the keys of a type of destination, by name, with whether each is set.
func (t *To) keys() map[string]map[string]bool {
	return map[string]map[string]bool{
		typeMail: {
			"addresses": t.Addresses != nil, "from": t.From != "", "sendmail": t.Sendmail != nil, "smtp": t.SMTP != "",
			"tls": t.TLS != "", "user": t.User != "", "password_file": t.PasswordFile != "", "ca_file": t.CAFile != "",
		},
		typeWebhook: {"url": t.URL != "", "secret_file": t.SecretFile != "", "allow_private": t.AllowPrivate},
		typeHooks:   {"dir": t.Dir != ""},
		typeJSONL:   {"path": t.Path != ""},
	}
}

// errConfig is wrapped by the errors of Check.
var errConfig = errors.New("refused")

// destinationName is what a destination may be called: it is a label of metrics.
var destinationName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// Resolve makes the paths absolute, which are relative to a folder: that of the file with
// the settings.
func (c *Config) Resolve(folder string) {
	resolve := func(path *string) {
		if *path != "" && *path != "-" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
	for name, to := range c.To {
		resolve(&to.PasswordFile)
		resolve(&to.CAFile)
		resolve(&to.SecretFile)
		resolve(&to.Dir)
		resolve(&to.Path)
		c.To[name] = to
	}
}

// Check returns an error that names the first key that is wrong. It reads no file: Open
// does.
func (c *Config) Check() error {
	for _, name := range slices.Sorted(maps.Keys(c.To)) {
		if !destinationName.MatchString(name) {
			return fmt.Errorf("to.%s: %w: the name of a destination is up to 32 of a-z, 0-9, _ and -", clip(name), errConfig)
		}
		to := c.To[name]
		if err := to.check(); err != nil {
			return fmt.Errorf("to.%s.%w", name, err)
		}
	}
	for i := range c.Routes {
		if err := c.checkRoute(i); err != nil {
			return fmt.Errorf("route %d: %w", i+1, err)
		}
	}
	for _, name := range c.HealthMails.To {
		if _, ok := c.To[name]; !ok {
			return fmt.Errorf("health.to: %w: there is no destination %q", errConfig, clip(name))
		}
	}
	switch {
	case c.HealthMails.Every > 0 && c.HealthMails.Every < time.Hour:
		return fmt.Errorf("health.every: %w: %v, want an hour or more", errConfig, c.HealthMails.Every)
	case c.OffAfter < 0 || c.OffAfter > 0 && c.OffAfter < time.Minute:
		return fmt.Errorf("off_after: %w: %v, want a minute or more", errConfig, c.OffAfter)
	case c.Collapse > day:
		return fmt.Errorf("collapse: %w: %v, want at most 24h", errConfig, c.Collapse)
	case c.Keep < 0 || c.Keep > 0 && c.Keep < 100:
		return fmt.Errorf("keep: %w: %d, want 100 or more", errConfig, c.Keep)
	}
	return nil
}

// CheckSenders reads what the destinations need, such as the files with their secrets, as Open
// does, and asks none of them. Nothing is written: the files of type jsonl are not opened.
func (c *Config) CheckSenders() error {
	cfg := c.withDefaults()
	for _, name := range slices.Sorted(maps.Keys(cfg.To)) {
		if cfg.To[name].Type == typeJSONL {
			continue
		}
		if _, err := newSender(name, cfg.To[name], &cfg); err != nil {
			return fmt.Errorf("to.%s.%w", name, err)
		}
	}
	return nil
}

func (t *To) check() error {
	keys := t.keys()
	if keys[t.Type] == nil {
		return fmt.Errorf("type: %w: %q, want one of %v", errConfig, clip(t.Type), slices.Sorted(maps.Keys(keys)))
	}
	for other, set := range keys {
		for _, key := range slices.Sorted(maps.Keys(set)) {
			if other != t.Type && set[key] {
				return fmt.Errorf("%s: %w: a destination of type %s does not have it", key, errConfig, t.Type)
			}
		}
	}
	if t.Timeout < 0 || t.Timeout > time.Hour {
		return fmt.Errorf("timeout: %w: %v, want at most 1h", errConfig, t.Timeout)
	}
	switch t.Type {
	case typeMail:
		return t.checkMail()
	case typeWebhook:
		return t.checkWebhook()
	case typeHooks:
		return required("dir", t.Dir)
	default:
		return required("path", t.Path)
	}
}

func required(key, value string) error {
	if value == "" {
		return fmt.Errorf("%s: %w: it is missing", key, errConfig)
	}
	if strings.ContainsRune(value, 0) {
		return fmt.Errorf("%s: %w: it has a NUL", key, errConfig)
	}
	return nil
}

// withDefaults returns the settings with what a zero value stands for.
func (c Config) withDefaults() Config {
	orDefault(&c.Collapse, defaultCollapse)
	orDefault(&c.OffAfter, defaultOffAfter)
	orDefault(&c.Keep, defaultKeep)
	orDefault(&c.HealthMails.Every, day)
	if c.HealthMails.To == nil {
		for _, name := range slices.Sorted(maps.Keys(c.To)) {
			if c.To[name].Type == typeMail {
				c.HealthMails.To = append(c.HealthMails.To, name)
			}
		}
	}
	// A command may be pasted in any folder.
	c.Logs = slices.Clone(c.Logs)
	for i := range c.Logs {
		l := &c.Logs[i]
		for _, path := range []*string{&l.Policy, &l.StateDir, &l.Mirror} {
			if abs, err := filepath.Abs(*path); err == nil && *path != "" {
				*path = abs
			}
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func orDefault[T comparable](value *T, byDefault T) {
	if *value == *new(T) {
		*value = byDefault
	}
}

// clip bounds a word from a file of settings in an error.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
