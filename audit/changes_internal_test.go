package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// What is newly listed is found without reading what did not change, and is the same as if
// all was read, whatever characters the names have.
func TestNewlyListed(t *testing.T) {
	names := []string{"a", `a"`, `a\`, `a\"`, "a#", "aA", "a]", `"`, `\`, `\\`, "é", "aé", "a/b", "a:b", "a,b", "a{", "a}", "[", "a b", "~"}
	random := rand.New(rand.NewPCG(1, 2))
	file := func(targets map[string]int) *parts {
		listed := map[string]any{}
		for name, content := range targets {
			listed[name] = map[string]any{"length": content, "hashes": map[string]string{"sha256": fmt.Sprintf("%064x", content)}}
		}
		b, err := json.Marshal(map[string]any{"signatures": []any{}, "signed": map[string]any{
			"_type": "targets", "spec_version": "1.0.0", "version": 1, "expires": "2040-01-01T00:00:00Z", "targets": listed}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := tuf.ParseJSON(b)
		if err != nil {
			t.Fatal(err)
		}
		return partsOf(m)
	}
	for range 300 {
		before, now := map[string]int{}, map[string]int{}
		for _, name := range names {
			if n := random.IntN(3); n > 0 {
				before[name], now[name] = n, n
			}
			switch random.IntN(4) {
			case 0:
				delete(now, name)
			case 1:
				now[name] = 7
			}
		}
		want := map[string]bool{} // whether it was listed
		for name, content := range now {
			if old, ok := before[name]; !ok || old != content {
				want[name] = ok
			}
		}
		got := map[string]bool{}
		for l := range newlyListed(file(now), file(before)) {
			if l.is.target().Length != int64(now[l.path]) || l.was != nil && l.was.target().Length != int64(before[l.path]) {
				t.Errorf("%q: %+v", l.path, l)
			}
			got[l.path] = l.was != nil
		}
		if !maps.Equal(got, want) {
			t.Fatalf("before %v\nnow %v\ngot %v\nwant %v", before, now, got, want)
		}
		all := 0
		for range newlyListed(file(now), nil) {
			all++
		}
		if all != len(now) {
			t.Errorf("a first release lists %d of %d", all, len(now))
		}
	}
}

func TestNamesThatSingleOut(t *testing.T) {
	for path, want := range map[string]string{
		"app.bin": "", "app-1.2.3.bin": "", "repository/8f14e45fceea167a5a36dedd4bea2543/app.bin": "",
		"d751713988987e9331980363e24189ce.app.bin": "", "2024-03-19/app.bin": "", "app-20240319.bin": "", "libc++.so": "", "pkg@1.2.3": "", "@scope/pkg": "",
		"rekor.pub": "", "registry.npmjs.org/keys.json": "", "ab-cd-ef-01-23-45-67.bin": "",
		"app-123e4567-e89b-12d3-a456-426614174000.bin": "a UUID", "123E4567-E89B-12D3-A456-426614174000/app": "a UUID",
		"fw/00:1a:2b:3c:4d:5e": "a MAC address", "fw/00-1a-2b-3c-4d-5e.bin": "a MAC address",
		"for/jane.doe@example.com/app": "an e-mail address",
	} {
		if got := singles(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for custom, want := range map[string]string{
		``: "", `{}`: "", `{"version":"1","hardwareIds":["a"],"targetFormat":"OSTREE","uri":"x"}`: "",
		`{"sigstore":{"status":"Active","uri":"https://rekor.sigstore.dev","usage":"Rekor"}}`: "",
		`{"ecuIdentifier":"1"}`: "ecuIdentifier", `{"a":[{"Device-ID":"1"}]}`: "Device-ID", `{"rollout":{"percentage":10}}`: "rollout", `[{"customer":1}]`: "customer",
		`{"device":"board-4","serial":7,"uuid":"x","mac":{},"email":"maintainer@example.com"}`: "",
	} {
		if got := singlingField([]byte(custom)); got != want {
			t.Errorf("%s: %q, want %q", custom, got, want)
		}
	}
}

func TestNamesWithVersions(t *testing.T) {
	for path, want := range map[string]bool{
		"app-1.2.bin": true, "app_v1.2.3": true, "1.0/app": false, "app.bin": false, "v2/app.bin": false, "app1.bin": false,
		"app-2024.03.bin": true, "10.0.0.1": true, "root.1.2x": true, "ctfe_2022_2.pub": false,
	} {
		if got := versioned(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestNamesThatLeadOut(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, ".": true, "..": true, "../a": true, "a/../b": true, "a/..": true, "/a": true, `a\b`: true, "c:/a": true, "a\x00b": true, "a\nb": true,
		"a": false, "a/b": false, "..a": false, "a..": false, "a/..b": false, "ö": false, "a b": false, "C": false, "...": false, "demo:1": false,
	} {
		if why := outside(name); (why != "") != want {
			t.Errorf("%q: %q", name, why)
		}
	}
}
