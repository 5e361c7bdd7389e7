package alert_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/tuflog/tuflog/audit/alert"
)

func parse(t *testing.T, text string) (alert.Config, error) {
	t.Helper()
	var cfg alert.Config
	meta, err := toml.Decode(text, &cfg)
	if err != nil {
		return cfg, err
	}
	if left := meta.Undecoded(); len(left) > 0 {
		t.Fatalf("keys that nobody reads: %v", left)
	}
	return cfg, cfg.Check()
}

const wholeConfig = `
collapse = "5m"
off_after = "48h"
keep = 500
[health]
to = ["ops"]
every = "24h"
[[route]]
classes = ["tampering", "equivocation"]
kinds = ["fork"]
logs = ["example"]
repositories = ["acme", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
roles = ["targets"]
to = ["ops", "pager"]
[[route]]
classes = ["hygiene"]
to = ["ops"]
digest = "24h"
[to.ops]
type = "mail"
addresses = ["Ops <ops@example.com>"]
from = "auditor@example.com"
smtp = "mail.example.com:587"
user = "auditor"
password_file = "password"
[to.pager]
type = "webhook"
url = "https://pager.example.com/in"
secret_file = "secret"
timeout = "10s"
[to.local]
type = "hooks"
dir = "hooks.d"
[to.lines]
type = "jsonl"
path = "alerts.jsonl"
`

func TestConfig(t *testing.T) {
	cfg, err := parse(t, wholeConfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Resolve("/etc/tuflog")
	if got := cfg.To["lines"].Path; got != "/etc/tuflog/alerts.jsonl" {
		t.Errorf("the path is %s", got)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"type", `type = "jsonl"`, `type = "smoke"`, `to.lines.type: refused: "smoke"`},
		{"key of another type", `path = "alerts.jsonl"`, "path = \"x\"\nurl = \"https://x.example\"", "to.lines.url: refused: a destination of type jsonl"},
		{"name", "[to.lines]", `[to."A b"]`, "to.A b: refused"},
		{"address", "ops@example.com>", "ops@example.com>\\nBcc: all@example.com", "to.ops.addresses: refused"},
		{"no address", `["Ops <ops@example.com>"]`, "[]", "to.ops.addresses: refused"},
		{"from", `from = "auditor@example.com"`, "", "to.ops.from: refused: it is missing"},
		{"smtp", "mail.example.com:587", "mail.example.com", "to.ops.smtp: refused"},
		{"password without TLS", `user = "auditor"`, "user = \"auditor\"\ntls = \"none\"", "to.ops.tls: refused"},
		{"user without password", `password_file = "password"`, "", "to.ops.password_file: refused"},
		{"http", "https://pager", "http://pager", "to.pager.url: refused: http"},
		{"no host", "https://pager.example.com/in", "https:///in", "to.pager.url: refused"},
		{"scheme", "https://pager", "file://pager", "to.pager.url: refused"},
		{"no secret", `secret_file = "secret"`, "", "to.pager.secret_file: refused"},
		{"no folder", `dir = "hooks.d"`, "", "to.local.dir: refused"},
		{"class", `"tampering", "equivocation"`, `"tamper"`, "route 1: classes: refused"},
		{"kind", `"fork"`, `"knife"`, "route 1: kinds: refused"},
		{"kind of another class", `"fork"`, `"version-gap"`, "route 1: kinds: refused: none of [version-gap] is of class tampering, equivocation"},
		{"nobody of this name", `to = ["ops", "pager"]`, `to = ["oops"]`, `route 1: to: refused: there is no destination "oops"`},
		{"silenced by a role's name", "[to.ops]", "[[route]]\nroles = [\"nightly\"]\nto = []\n[to.ops]", "route 3: roles: refused: anybody may name a role"},
		{"delayed by a role's name", "[to.ops]", "[[route]]\nroles = [\"nightly\"]\nkinds = [\"fork\", \"version-gap\"]\ndigest = \"1h\"\nto = [\"ops\"]\n[to.ops]", "route 3: roles: refused: anybody may name a role"},
		{"shadowed", "[to.ops]", "[[route]]\nclasses = [\"hygiene\"]\nroles = [\"x\"]\n[to.ops]", "route 3: refused: it matches nothing: route 2"},
		{"digest", `digest = "24h"`, `digest = "1s"`, "route 2: digest: refused"},
		{"health", `to = ["ops"]` + "\nevery", `to = ["x"]` + "\nevery", "health.to: refused"},
		{"health too often", `every = "24h"`, `every = "1m"`, "health.every: refused"},
		{"off", `off_after = "48h"`, `off_after = "-1s"`, "off_after: refused"},
		{"keep", "keep = 500", "keep = 5", "keep: refused"},
		{"collapse", `collapse = "5m"`, `collapse = "25h"`, "collapse: refused"},
		{"timeout", `timeout = "10s"`, `timeout = "-10s"`, "to.pager.timeout: refused"},
	} {
		text := strings.Replace(wholeConfig, tt.old, tt.new, 1)
		if text == wholeConfig {
			t.Errorf("%s: nothing was replaced", tt.name)
		}
		if _, err := parse(t, text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	cfg.Logs = []alert.Log{{Name: "example", Repositories: []alert.Repository{{ID: strings.Repeat("0011", 16), Name: "acme"}}}}
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
	cfg.Routes[0].Repositories = []string{"acne"}
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), `repositories: refused: "acne"`) {
		t.Errorf("a repository that is not there: %v", err)
	}
	cfg.Routes[0].Repositories = []string{"acme", "0123456789ab"}
	var beginning *alert.BeginningError
	if err := cfg.Check(); !errors.As(err, &beginning) || beginning.Beginning != "0123456789ab" || !strings.Contains(err.Error(), "route 1: repositories: refused: ") {
		t.Errorf("the beginning of an id: %v", err)
	}
	cfg.Routes[0].Logs = []string{"elsewhere"}
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), `logs: refused: there is no log "elsewhere"`) {
		t.Errorf("a log that is not there: %v", err)
	}
}

// Settings are refused, or are such that a finding can be routed.
func FuzzConfig(f *testing.F) {
	f.Add(wholeConfig)
	f.Add("[to.a]\ntype=\"webhook\"\nurl=\"https://[::1]:0/\"\nsecret_file=\"x\"\n[[route]]\nto=[\"a\"]\n")
	f.Fuzz(func(t *testing.T, text string) {
		var cfg alert.Config
		if _, err := toml.Decode(text, &cfg); err != nil || cfg.Check() != nil {
			return
		}
		cfg.Resolve("/etc")
		finding := found("fork", "acme", 3)
		number, route := cfg.Route("example", &finding)
		if number < 0 || number > len(cfg.Routes) {
			t.Fatalf("a fork matches route %d", number)
		}
		for _, to := range route.To {
			if _, ok := cfg.To[to]; !ok {
				t.Fatalf("a route leads to %q", to)
			}
		}
		for _, to := range cfg.To {
			if to.Type == "webhook" && !to.AllowPrivate && !strings.HasPrefix(strings.ToLower(to.URL), "https://") {
				t.Fatalf("a webhook by %q", to.URL)
			}
		}
	})
}
