package monitor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/monitor"
)

const small = `dir = "state"
[[log]]
name = "example"
policy = "policy.txt"
`

// id is that of a repository.
var id = strings.Repeat("0011aabb", 8)

func TestConfig(t *testing.T) {
	c, err := monitor.Parse("/etc/m/monitor.toml", []byte(small+`interval = "3s"
  [[log.repository]]
  id = "`+id+`"
  urls = ["https://updates.example.com/metadata/"]
`))
	if err != nil {
		t.Fatal(err)
	}
	l := c.Logs[0]
	if c.Dir != "/etc/m/state" || l.Policy != "/etc/m/policy.txt" || c.Listen != monitor.DefaultListen {
		t.Errorf("%q %q %q", c.Dir, l.Policy, c.Listen)
	}
	if l.Interval != 3*time.Second || l.Withheld != monitor.DefaultWithheld || l.Repositories[0].Every != monitor.DefaultEvery || l.Repositories[0].Name != id {
		t.Errorf("%+v", l)
	}
}

// An error names the file, the line, the key and what to do.
func TestWrongConfig(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "m.toml: dir: want the directory"},
		{"no log", `dir = "x"`, "m.toml: log: want one [[log]] or more"},
		{"not TOML", small + "interval = 3s\n", "m.toml:5: "},
		{"unknown key", small + "intervall = \"3s\"\n", `m.toml:5: log.intervall: unknown key: remove it, or write one of interval, mirror, mirror_max_bytes, name, policy, repository`},
		{"unknown key at the top", "dirr = 'x'\n" + small, "m.toml:1: dirr: unknown key: remove it, or write one of "},
		{"unknown table", small + "[cosigner]\nname = 'x'\n", "m.toml:5: cosigner: unknown key"},
		{"unknown key in a later table", small + "[[log]]\nname = 'b'\npolicy = 'p'\n[[log.repository]]\nid = '" + id + "'\nurl = 'https://x.example/'\n", "m.toml:10: log.repository.url: unknown key: remove it, or write one of every, expectations, expectations_key, expectations_late, id, name, stale, urls"},
		{"name of a folder", strings.Replace(small, "example", "../x", 1), `m.toml:3: log[0].name: "../x": want up to 64`},
		{"name of a status", strings.Replace(small, "example", "x.status.json", 1), `m.toml:3: log[0].name: `},
		{"two of one name", small + "[[log]]\nname = 'example'\npolicy = 'p'\n", `m.toml:6: log[1].name: "example" is the name of another [[log]], too`},
		{"no policy", "dir = 'x'\n[[log]]\nname = 'a'\n", "m.toml:2: log[0].policy: want the path"},
		{"number for a duration", small + "interval = 2\n", `m.toml:5: log[0].interval: 2ns: want 100ms or more, such as "5m"`},
		{"wrong type", small + "mirror = 'yes'\n", "m.toml:5: "},
		{"listen", "listen = '7390'\n" + small, `m.toml:1: listen: "7390": want HOST:PORT`},
		{"password", small + "url = 'ftp://me:secret@host/'\n", "m.toml:5: log[0].url: "},
		{"id", small + "[[log.repository]]\nid = 'XY'\n", `m.toml:6: log[0].repository[0].id: "XY": want the repository's id`},
		{"an id of zeros", small + "[[log.repository]]\nid = '" + strings.Repeat("0", 64) + "'\n", "m.toml:6: log[0].repository[0].id: "},
		{"the beginning of an id", small + "[[log.repository]]\nid = '0011aabb'\n", "m.toml:6: log[0].repository[0].id: 0011aabb is the beginning of an id, and anybody can register a repository whose id begins so: want all 64 digits (auditor show 0011aabb prints them)"},
		{"a route by the beginning of an id", small + "[[route]]\nrepositories = ['0011aabb']\n", "m.toml:5: route 1: repositories: refused: 0011aabb is the beginning of an id"},
		{"nothing to watch", small + "[[log.repository]]\nid = '" + id + "'\n", "m.toml:5: log[0].repository[0]: want a name, urls or expectations"},
		{"no key", small + "[[log.repository]]\nid = '" + id + "'\nexpectations = 'x'\n", "m.toml:7: log[0].repository[0].expectations: want both"},
		{"cosigning without a copy", small + "[cosign]\nname = 'a.example'\nkeys = ['k']\n", "m.toml:5: cosign: no [[log]] has mirror = true"},
		{"cosigning without a key", small + "mirror = true\n[cosign]\nname = 'a.example'\n", "m.toml:6: cosign.keys: want a key file"},
		{"cosigning without a name", small + "mirror = true\n[cosign]\nkeys = ['k']\n", "m.toml:6: cosign.name: want the auditor's name"},
		{"unknown key of cosign", small + "mirror = true\n[cosign]\nnmae = 'k'\n", "m.toml:7: cosign.nmae: unknown key: remove it, or write one of keys, ledger, name, peers, ssh_agent, ssh_key"},
		{"bound of no copy", small + "mirror_max_bytes = 5\n", "m.toml:5: log[0].mirror_max_bytes: want a number of bytes"},
		{"one repository twice", small + "[[log.repository]]\nid = '" + id + "'\nurls = ['http://a/']\n[[log.repository]]\nid = '" + id + "'\nname = 'b'\nurls = ['http://b/']\n", "m.toml:9: log[0].repository[1].id: " + id + " is the repository of repository[0], too"},
		{"one URL with two passwords", small + "[[log.repository]]\nid = '" + id + "'\nurls = ['http://me:secret@a/', 'http://me:other@a/']\n", "m.toml:7: log[0].repository[0].urls: "},
		{"one URL twice", small + "[[log.repository]]\nid = '" + id + "'\nurls = ['http://a/', 'http://a/']\n", "m.toml:7: log[0].repository[0].urls: "},
		{"wrong key", small + "[[log.repository]]\nid = '" + id + "'\nexpectations = 'x'\nexpectations_key = 'abc'\n", "m.toml:8: log[0].repository[0].expectations_key: "},
	} {
		_, err := monitor.Parse("m.toml", []byte(tt.text))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s:\n got %v\nwant %s…", tt.name, err, tt.want)
		}
	}
	if _, err := monitor.Parse("m.toml", make([]byte, monitor.MaxConfig+1)); err == nil {
		t.Error("a file of any size is read")
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(small + "x = 1\n[[log.repository]]\nid='00'\n[to.ops]\ntype = 'mail'\n"))
	f.Add([]byte("[[log]]\n[log.x]\n[[log.x.y]]\na.b = 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := monitor.Parse("m.toml", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "m.toml:") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if err := c.Check(); err != nil {
			t.Errorf("what was read is refused: %v", err)
		}
	})
}
