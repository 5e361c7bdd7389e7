package publish

import (
	"encoding/json"
	"strings"
	"testing"
)

// What real tools write goes in, and where it does not the cause is named, by check as
// by the log.
func TestSubmitWhatToolsWrite(t *testing.T) {
	identity := object{"keytype": "sigstore-oidc", "scheme": "Fulcio", "keyval": object{"identity": "signer@example.com", "issuer": "https://accounts.example.com"}}
	root := func(targetsKeys ...string) []byte {
		keys := keyTable([]key{"r1", "k1"})
		keys["oidc"] = identity
		return signed("root", 1, object{"consistent_snapshot": true, "keys": keys, "roles": object{"root": keyRole("r1"), "snapshot": keyRole("k1"), "timestamp": keyRole("k1"),
			"targets": object{"keyids": targetsKeys, "threshold": 1}}}, "r1")
	}
	// The signature of an identity is base64.
	alsoBy := func(file []byte, id string) []byte {
		var f struct {
			Signatures []object `json:"signatures"`
			Signed     object   `json:"signed"`
		}
		if err := json.Unmarshal(file, &f); err != nil {
			t.Fatal(err)
		}
		f.Signatures = append(f.Signatures, object{"keyid": id, "sig": "bm90IGhleA=="})
		return canonical(object{"signatures": f.Signatures, "signed": f.Signed})
	}
	versions := func(of map[string]int) []byte {
		meta := object{}
		for role, version := range of {
			meta[role+".json"] = object{"version": version}
		}
		return signed("snapshot", 1, object{"meta": meta}, "k1")
	}
	bin := signed("targets", 1, object{"targets": object{}}, "b")
	var bins []object
	for _, d := range []string{"0", "1", "2", "3"} {
		role := keyRole("b")
		role["name"], role["path_hash_prefixes"], role["terminating"] = "bins-"+d, []string{d}, false
		bins = append(bins, role)
	}
	delegating := signed("targets", 1, object{"targets": object{}, "delegations": object{"keys": keyTable([]key{"b"}), "roles": bins}}, "k1")
	nulls := []byte(strings.ReplaceAll(string(delegating), `"path_hash_prefixes"`, `"paths":null,"path_hash_prefixes"`))
	list := versions(map[string]int{"targets": 1, "bins-0": 1, "bins-1": 1, "bins-2": 1, "bins-3": 1})
	targets := targetsFile(1, "a", "k1")
	tests := []struct {
		name    string
		files   map[string][]byte
		refused string // the first refusal's detail; empty: nothing is
	}{
		{"equal bins and a snapshot of versions", map[string][]byte{"1.root.json": rootFile(1, "r1", "k1", "r1"), "1.targets.json": delegating, "1.snapshot.json": list,
			"1.bins-0.json": bin, "1.bins-1.json": bin, "1.bins-2.json": bin, "1.bins-3.json": bin}, ""},
		{"bins of go-tuf before version 2", map[string][]byte{"1.root.json": rootFile(1, "r1", "k1", "r1"), "1.targets.json": nulls, "1.snapshot.json": list,
			"1.bins-0.json": bin}, "go-tuf before version 2"},
		{"an identity beside a key", map[string][]byte{"1.root.json": alsoBy(root("k1", "oidc"), "oidc"), "1.targets.json": alsoBy(targets, "oidc"),
			"1.snapshot.json": versions(map[string]int{"targets": 1})}, ""},
		{"an identity alone", map[string][]byte{"1.root.json": root("oidc"), "1.targets.json": alsoBy(signed("targets", 1, object{"targets": object{}}), "oidc"),
			"1.snapshot.json": versions(map[string]int{"targets": 1})}, "sigstore-oidc"},
	}
	for _, tt := range tests {
		dir := release(t, tt.files)
		l := newFake(t, "snapshot")
		checked := rehearse(t, Config{}, nil, dir)
		r := mustSubmit(t, l.config(), dir)
		if outcome(checked) != outcome(r) {
			t.Errorf("%s: check says\n%s\nthe log\n%s", tt.name, outcome(checked), outcome(r))
		}
		switch refused := r.Refused(); {
		case tt.refused == "" && len(refused) > 0, tt.refused != "" && (len(refused) == 0 || !strings.Contains(refused[0].Detail, tt.refused)):
			t.Errorf("%s: refused %+v, want %q", tt.name, refused, tt.refused)
		}
	}
}
