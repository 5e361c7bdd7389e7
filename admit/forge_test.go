package admit_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/tuflog/tuflog/tuf"
)

// This file makes metadata that no honest vendor would make, from a few words.
//
// Keys have names: "k1" is an Ed25519 key made from its name, and also its id.
// "k1=x" is the same public key under the id "k1=x". Keys whose name begins with
// u are of a type that nobody knows, those with b are Ed25519 keys that cannot be
// read.

func forgedKey(name string) ed25519.PrivateKey {
	base, _, _ := strings.Cut(name, "=")
	seed := tuf.Sum([]byte("forged key " + base))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicKey(name string) map[string]any {
	public := hex.EncodeToString(forgedKey(name).Public().(ed25519.PublicKey))
	keytype := "ed25519"
	switch name[0] {
	case 'u':
		keytype = "unheard-of"
	case 'b':
		public = public[2:]
	}
	return map[string]any{"keytype": keytype, "scheme": keytype, "keyval": map[string]any{"public": public}}
}

// who is a role's keys and threshold: "k1 k2/2". Without a number it is 1.
type who string

func (w who) parse() (keys []string, threshold int) {
	names, number, ok := strings.Cut(string(w), "/")
	threshold = 1
	if ok {
		threshold, _ = strconv.Atoi(number)
	}
	return strings.Fields(names), threshold
}

func (w who) keys() []string {
	keys, _ := w.parse()
	return keys
}

func (w who) role(keys map[string]any) map[string]any {
	names, threshold := w.parse()
	ids := []string{}
	for _, name := range names {
		ids = append(ids, name)
		keys[name] = publicKey(name)
	}
	return map[string]any{"keyids": ids, "threshold": threshold}
}

func forgedHead(typ string, version int64) map[string]any {
	return map[string]any{"_type": typ, "spec_version": "1.0.31", "version": version, "expires": "2030-01-02T03:04:05Z"}
}

// topLevel is who may sign the four roles.
type topLevel struct{ root, targets, snapshot, timestamp who }

// forgedRoot is signed metadata without its signatures, like all that follow.
func forgedRoot(version int64, roles topLevel) map[string]any {
	m := forgedHead("root", version)
	keys := map[string]any{}
	m["consistent_snapshot"] = true
	m["roles"] = map[string]any{
		"root": roles.root.role(keys), "targets": roles.targets.role(keys),
		"snapshot": roles.snapshot.role(keys), "timestamp": roles.timestamp.role(keys),
	}
	m["keys"] = keys
	return m
}

// delegation is to one role.
type delegation struct {
	name string
	who  who
	last bool // terminating
	// paths are patterns, one "*" if empty.
	paths string
}

func forgedTargets(version int64, content string, delegations ...delegation) map[string]any {
	m := forgedHead("targets", version)
	sum := tuf.Sum([]byte(content))
	m["targets"] = map[string]any{"file": map[string]any{"length": len(content), "hashes": map[string]any{"sha256": sum.String()}}}
	if len(delegations) > 0 {
		keys := map[string]any{}
		list := []any{}
		for _, d := range delegations {
			role := d.who.role(keys)
			role["name"], role["paths"], role["terminating"] = d.name, strings.Fields(cmp.Or(d.paths, "*")), d.last
			list = append(list, role)
		}
		m["delegations"] = map[string]any{"keys": keys, "roles": list}
	}
	return m
}

// forgedEmpty lists nothing and delegates to nobody.
func forgedEmpty(version int64) map[string]any {
	m := forgedHead("targets", version)
	m["targets"] = map[string]any{}
	return m
}

// forgedBins delegates to 2^bits bins.
func forgedBins(version int64, prefix string, bits int, by who) map[string]any {
	m := forgedTargets(version, "")
	keys := map[string]any{}
	role := by.role(keys)
	role["bit_length"], role["name_prefix"] = bits, prefix
	m["delegations"] = map[string]any{"keys": keys, "succinct_roles": role}
	return m
}

// listing is one file in a snapshot: hashed lists length and hash, plain only
// the version.
func hashed(file []byte, version int64) map[string]any {
	return map[string]any{"version": version, "length": len(file), "hashes": map[string]any{"sha256": tuf.Sum(file).String()}}
}

func plain(version int64) map[string]any { return map[string]any{"version": version} }

func forgedSnapshot(version int64, files map[string]map[string]any) map[string]any {
	m := forgedHead("snapshot", version)
	meta := map[string]any{}
	for role, listed := range files {
		meta[role+".json"] = listed
	}
	m["meta"] = meta
	return m
}

func forgedTimestamp(version, snapshot int64) map[string]any {
	m := forgedHead("timestamp", version)
	m["meta"] = map[string]any{"snapshot.json": map[string]any{"version": snapshot}}
	return m
}

// forge signs metadata with the named keys, each under its name; a name that
// begins with "-" makes a signature that is not valid.
func forge(t testing.TB, signed map[string]any, signers ...string) []byte {
	t.Helper()
	payload, err := cjson.EncodeCanonical(signed)
	if err != nil {
		t.Fatal(err)
	}
	sigs := []any{}
	under := map[string]bool{} // under one key id there is one signature
	for _, name := range signers {
		name, wrong := strings.CutPrefix(name, "-")
		if under[name] {
			continue
		}
		under[name] = true
		sig := ed25519.Sign(forgedKey(name), payload)
		if wrong {
			sig[0] ^= 1
		}
		sigs = append(sigs, map[string]any{"keyid": name, "sig": hex.EncodeToString(sig)})
	}
	file, err := json.Marshal(map[string]any{"signatures": sigs, "signed": json.RawMessage(payload)})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// usual are the keys of most tests: one for each role.
var usual = topLevel{"r1", "t1", "s1", "x1"}

// world is a log's prefix together with what its vendor needs to add to it.
type world struct {
	*prefix
	snapshots int64
}

func newWorld(t testing.TB, roles topLevel) *world {
	t.Helper()
	return &world{prefix: newPrefix(t, forge(t, forgedRoot(1, roles), roles.root.keys()...))}
}

// beside returns a snapshot, signed by s1, that lists a file with its hash as
// the role's.
func (w *world) beside(role string, file []byte) []byte {
	w.t.Helper()
	w.snapshots++
	return forge(w.t, forgedSnapshot(w.snapshots, map[string]map[string]any{role: hashed(file, parse(w.t, file).Version)}), "s1")
}

// besidePlain is beside without hash and length.
func (w *world) besidePlain(role string, file []byte) []byte {
	w.t.Helper()
	w.snapshots++
	return forge(w.t, forgedSnapshot(w.snapshots, map[string]map[string]any{role: plain(parse(w.t, file).Version)}), "s1")
}

// The following log a file beside a snapshot of its own and check what becomes
// of it.

func (w *world) released(role string, file []byte) int64 {
	w.t.Helper()
	return w.mustRelease(role, file, w.beside(role, file))
}

func (w *world) logged(at int64, role string, file []byte) {
	w.t.Helper()
	w.mustBeLogged(at, role, file, w.beside(role, file))
}

func (w *world) evidence(against int64, role string, file []byte) int64 {
	w.t.Helper()
	return w.mustBeEvidence(against, role, file, w.beside(role, file))
}

func (w *world) refused(code, role string, file []byte) {
	w.t.Helper()
	w.mustBeRefused(code, role, file, w.beside(role, file))
}

// targets makes a file of targets signed by the keys of by.
func (w *world) targets(by who, version int64, content string, delegations ...delegation) []byte {
	w.t.Helper()
	return forge(w.t, forgedTargets(version, content, delegations...), by.keys()...)
}

// rotate logs the next root, signed by r1.
func (w *world) rotate(version int64, roles topLevel) int64 {
	w.t.Helper()
	return w.mustRelease(tuf.RoleRoot, forge(w.t, forgedRoot(version, roles), "r1"))
}

// isCurrent checks which leaf is a role's current release: none, if negative.
func (w *world) isCurrent(ctx context.Context, at int64, role string) {
	w.t.Helper()
	rec, ok, err := w.repo.Current(ctx, role)
	if err != nil || ok != (at >= 0) || ok && rec.Index != at {
		w.t.Fatalf("current %s: %+v, %v, %v; want %s", role, rec, ok, err, fmt.Sprint(at))
	}
}
