package gate

import (
	"strings"
	"testing"
	"time"
)

const wholeConfig = `dir = "state"
key = "gate.key"

[[repository]]
name = "acme"
root = "acme/1.root.json"
policy = "policy.txt"
served = "https://updates.acme.example/metadata/"
fetch = ["https://staging.acme.example/"]
max_lifetime = "72h"

[[repository.gate]]
key = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
url = "https://gate.example"
`

func TestParseConfig(t *testing.T) {
	c, err := Parse("/etc/gate/gate.toml", []byte(wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Repositories[0]
	if c.Dir != "/etc/gate/state" || c.Key != "/etc/gate/gate.key" || r.Policy != "/etc/gate/policy.txt" || r.MaxLifetime != 72*time.Hour || r.MaxJump != DefaultMaxJump || c.Listen != DefaultListen {
		t.Errorf("%+v", c)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`dir = "state"`, ``, "gate.toml: dir: want the directory"},
		{`key = "gate.key"`, ``, "key: want either key"},
		{`key = "gate.key"`, "key = \"gate.key\"\nssh_agent = \"x\"", "gate.toml:2: key: want either key"},
		{`name = "acme"`, `nmae = "acme"`, "gate.toml:5: repository.nmae: unknown key"},
		{`name = "acme"`, `name = "a b"`, `gate.toml:5: repository[0].name: "a b"`},
		{`served = "https:`, `served = "ftp:`, "gate.toml:8: repository[0].served: "},
		{`/"]`, `"]`, "gate.toml:9: repository[0].fetch: "},
		{`"https://staging`, `"https://a:b@staging`, "gate.toml:9: repository[0].fetch: "},
		{`"72h"`, `"0s"`, "gate.toml:10: repository[0].max_lifetime: zero"},
		{`name = "acme"`, "name = \"acme\"\nmax_jump = 0", "gate.toml:6: repository[0].max_jump: zero"},
		{`dir = "state"`, "dir = \"state\"\nmax_per_address = 0", "gate.toml:2: max_per_address: zero"},
		{`name = "acme"`, "name = \"acme\"\nid = \"\"", "gate.toml:6: repository[0].id: zero, or empty"},
		{`name = "acme"`, "name = \"acme\"\nid = \"" + strings.Repeat("0", 64) + `"`, "gate.toml:6: repository[0].id: zeros"},
		{`"72h"`, `"3s"`, "gate.toml:10: repository[0].max_lifetime: 3s"},
		{`9d61`, `9D61`, "gate.toml:13: repository[0].gate[0].key: "},
		{`url = "https`, `url = "gopher`, "gate.toml:14: repository[0].gate[0].url: "},
	} {
		_, err := Parse("gate.toml", []byte(strings.Replace(wholeConfig, tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", tt.new, err, tt.want)
		}
	}
}

func TestAllowed(t *testing.T) {
	list := []string{"https://staging.example/a/"}
	for url, want := range map[string]bool{
		"https://staging.example/a/":             true,
		"https://staging.example/a/build-7/":     true,
		"https://staging.example/a/build-7":      true,
		"https://staging.example/a":              false,
		"https://staging.example/":               false,
		"https://staging.example/a/../b/":        false,
		"https://staging.example/a/%2e%2e/b/":    false,
		"https://staging.example/a//b/":          false,
		"https://staging.example/a/?x":           false,
		"https://staging.example/a/#x":           false,
		"https://staging.example/a/\\..\\":       false,
		"https://me@staging.example/a/":          false,
		"https://staging.example:1/a/":           false,
		"http://staging.example/a/":              false,
		"https://staging.example.evil/a/":        false,
		"https://staging.example/a/b c/":         false,
		"HTTPS://staging.example/a/":             false,
		"https://staging.example/a/%2F..%2Fetc/": false,
	} {
		if allowed(list, url) != want {
			t.Errorf("%s: %v", url, !want)
		}
	}
}

func TestKey(t *testing.T) {
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKey(k.Private())
	if err != nil || again.String() != k.String() {
		t.Fatalf("%v, %v", again, err)
	}
	for _, bad := range []string{"", keyPrefix, k.Private()[1:], strings.ToUpper(k.Private()), k.Private() + "00"} {
		if _, err := ParseKey(bad); err == nil || bad != "" && strings.Contains(err.Error(), k.Private()[len(keyPrefix):]) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
