package evidence_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

func signer(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return ed25519.NewKeyFromSeed(seed)
}

// file signs metadata under ids, each with the key that it stands for.
func file(signed string, keys map[string]string, ids ...string) []byte {
	m, err := tuf.ParseJSON([]byte(`{"signatures":[],"signed":` + signed + `}`))
	if err != nil {
		panic(err)
	}
	var sigs []string
	for _, id := range ids {
		sigs = append(sigs, fmt.Sprintf(`{"keyid":%q,"sig":%q}`, id, hex.EncodeToString(ed25519.Sign(signer(keys[id]), m.Payload))))
	}
	return []byte(`{"signatures":[` + strings.Join(sigs, ",") + `],"signed":` + signed + `}`)
}

const common = `"expires":"2040-01-01T00:00:00Z","spec_version":"1.0.31"`

// A key counts once, under however many ids, and so does a signature: what falls short of
// its threshold accuses nobody.
func TestKeysCountOnce(t *testing.T) {
	keys := map[string]string{"r": "root", "s": "snapshot", "a": "one", "b": "one", "c": "two"}
	var listed []string
	for id, name := range keys {
		listed = append(listed, fmt.Sprintf(`%q:{"keytype":"ed25519","keyval":{"public":%q},"scheme":"ed25519"}`, id, hex.EncodeToString(signer(name).Public().(ed25519.PublicKey))))
	}
	role := func(threshold int, ids string) string {
		return fmt.Sprintf(`{"keyids":[%s],"threshold":%d}`, ids, threshold)
	}
	root := file(fmt.Sprintf(`{"_type":"root",%s,"consistent_snapshot":true,"keys":{%s},"roles":{"root":%s,"snapshot":%s,"targets":%s,"timestamp":%s},"version":1}`,
		common, strings.Join(listed, ","), role(1, `"r"`), role(1, `"s"`), role(2, `"a","b","c"`), role(1, `"s"`)), keys, "r")
	targets := func(content string, ids ...string) []byte {
		return file(fmt.Sprintf(`{"_type":"targets",%s,"targets":{},"version":7,"x-content":%q}`, common, content), keys, ids...)
	}
	snapshot := func(of []byte, ids ...string) []byte {
		return file(fmt.Sprintf(`{"_type":"snapshot",%s,"meta":{"targets.json":{"hashes":{"sha256":%q},"version":7}},"version":7}`, common, tuf.Sum(of).String()), keys, ids...)
	}
	for _, tt := range []struct {
		name          string
		first, second []string
		snapshots     string
		proved        bool
	}{
		{"enough keys of both", []string{"a", "c"}, []string{"b", "c"}, "s", true},
		{"one key under two ids", []string{"a", "c"}, []string{"a", "b"}, "s", false},
		{"one key", []string{"a", "c"}, []string{"c"}, "s", false},
		{"nobody", []string{"a", "c"}, nil, "s", false},
		{"keys of another role", []string{"a", "c"}, []string{"r", "s"}, "s", false},
		{"snapshots by another role", []string{"a", "c"}, []string{"b", "c"}, "r", false},
	} {
		one, two := targets("for everybody", tt.first...), targets("for one", tt.second...)
		a := fraud.Accusation{Kind: "equivocation", Subject: "targets", Files: [][]byte{root, one, two, snapshot(one, tt.snapshots), snapshot(two, tt.snapshots)}}
		s, err := evidence.Check(t.Context(), a.Marshal())
		if (err == nil) != tt.proved {
			t.Errorf("%s: %+v, %v", tt.name, s, err)
		}
		if tt.proved && (len(s.SignedBoth) != 2 || s.Version != 7) {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
	// A file that lists its signature twice under one id is none.
	one, two := targets("for everybody", "a", "c"), targets("for one", "c", "c")
	a := fraud.Accusation{Kind: "equivocation", Subject: "targets", Files: [][]byte{root, one, two, snapshot(one, "s"), snapshot(two, "s")}}
	if s, err := evidence.Check(t.Context(), a.Marshal()); err == nil {
		t.Errorf("one signature twice: %s", s.Sentence)
	}
}
