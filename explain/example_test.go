package explain_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"strings"

	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/tuf"
)

// parse reads metadata: that the example has no signatures does not matter here.
func parse(signed string) *tuf.Metadata {
	m, err := tuf.ParseJSON([]byte(`{"signatures": [], "signed": {"spec_version": "1.0.31", "expires": "2030-01-01T00:00:00Z", ` + signed + `}}`))
	if err != nil {
		log.Fatal(err)
	}
	return m
}

// keys lists keys under their owners' names; real ids are hashes.
func keys(names ...string) string {
	var list []string
	for _, name := range names {
		seed := sha256.Sum256([]byte(name))
		public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
		list = append(list, fmt.Sprintf(`%q: {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": %q}}`, name, hex.EncodeToString(public)))
	}
	return "{" + strings.Join(list, ", ") + "}"
}

func exampleRoot() *tuf.Metadata {
	return parse(`"_type": "root", "version": 1, "consistent_snapshot": true,
		"keys": ` + keys("ann", "bob", "cleo", "dan", "eve", "online") + `, "roles": {
		"root": {"keyids": ["ann", "bob", "cleo", "dan", "eve"], "threshold": 3},
		"targets": {"keyids": ["ann", "bob", "cleo", "dan", "eve"], "threshold": 2},
		"snapshot": {"keyids": ["online"], "threshold": 1},
		"timestamp": {"keyids": ["online"], "threshold": 1}}`)
}

const firmware = `"targets": {"firmware.bin": {"length": 1048576, "hashes": {"sha256": "09ae3a1c8a1ba3ab3fa4f9a0a2d4d8a0de6c5d8e8cb6a3d4f5be8b9f11a3d5c7"}}}`

// Before the release, two of five people and the online key can replace the firmware.
// The release hands it to a team, any one of which can now do so with the online key.
func ExampleRadius() {
	delegations := `"delegations": {"keys": ` + keys("mallory", "trent") + `, "roles": [
		{"name": "team", "keyids": ["mallory", "trent"], "threshold": 1, "paths": ["*.bin"], "terminating": true}]}`
	before := explain.Repository{Root: exampleRoot(), Targets: parse(`"_type": "targets", "version": 1, ` + firmware)}
	after := explain.Repository{
		Root:      exampleRoot(),
		Targets:   parse(`"_type": "targets", "version": 2, "targets": {}, ` + delegations),
		Delegated: map[string]*tuf.Metadata{"team": parse(`"_type": "targets", "version": 1, ` + firmware)},
	}
	then, err := explain.Radius(before, "firmware.bin")
	if err != nil {
		log.Fatal(err)
	}
	now, err := explain.Radius(after, "firmware.bin")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Join(now.Sentences(), "\n"))
	fmt.Println(explain.Compare(then, now).Text)
	// Output:
	// 2 keys together can replace firmware.bin:
	//   any 3 of {ann, bob, cleo, dan, eve} (root)
	//   any 2 of {ann, bob, cleo, dan, eve} (targets) and key online (snapshot and timestamp)
	//   any 1 of {mallory, trent} (team) and key online (snapshot and timestamp)
	// Today team lists the path.
	// Any 1 of the 2 team keys with the snapshot and timestamp key online can replace firmware.bin; before this release it took any 3 of the 5 root keys, or any 2 of the 5 targets keys with the snapshot and timestamp key online.
}

// A release changes a file, adds another, and hands a part of the paths to a role.
func ExampleDiff() {
	before := parse(`"_type": "targets", "version": 1, ` + firmware)
	after := parse(`"_type": "targets", "version": 2, "targets": {
		"firmware.bin": {"length": 1048640, "hashes": {"sha256": "5d0f4b5be0f6cb16ccd6b8a4bd2c2c8c1bd97a4d29cdd2f18d8c9d9f7d9c2b11"}},
		"notes.txt": {"length": 12, "hashes": {"sha256": "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"}, "custom": {"language": "en"}}},
		"delegations": {"keys": ` + keys("mallory", "trent") + `, "roles": [
		{"name": "team", "keyids": ["mallory", "trent"], "threshold": 1, "paths": ["*.bin"], "terminating": true}]}`)
	changes, err := explain.Diff("targets", before, after)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Join(changes.Sentences(), "\n"))
	// Output:
	// targets 2 against 1: 3 changes.
	//   It newly delegates *.bin to team, which takes 1 of 2 keys and ends the search for these paths.
	//   Target firmware.bin has other content: 1048640 bytes, sha256 5d0f4b5b…, before 1048576 bytes, sha256 09ae3a1c….
	//   Target notes.txt is new: 12 bytes, sha256 a948904f….
}
