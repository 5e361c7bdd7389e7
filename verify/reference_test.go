package verify_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/tuflog/tuflog/verify"
)

// reference is admission once more: slow, and written from section 3 of the
// design alone. It has the log's leaves and the files they name, nothing else,
// and begins anew with every question. It reads files with encoding/json and
// cjson and knows only Ed25519.
type reference struct {
	t       testing.TB
	records []verify.Record
	files   map[verify.Digest][]byte
}

type refRole struct {
	KeyIDs    []string
	Threshold int
}

type refKey struct {
	KeyType, Scheme string
	KeyVal          struct{ Public string }
}

type refKeys struct {
	keys map[string]refKey
	role refRole
}

type refFile struct {
	file, payload []byte
	signatures    []struct{ KeyID, Sig string }
	signed        struct {
		Type        string `json:"_type"`
		Version     int64
		Keys        map[string]refKey
		Roles       map[string]refRole
		Meta        map[string]refMeta
		Delegations *struct {
			Keys  map[string]refKey
			Roles []struct {
				Name string
				refRole
			}
			Succinct *struct {
				refRole
				BitLength  int    `json:"bit_length"`
				NamePrefix string `json:"name_prefix"`
			} `json:"succinct_roles"`
		}
	}
}

type refMeta struct {
	Version int64
	Length  *int64
	Hashes  map[string]string
}

// refParsed and refVerified remember what depends on nothing but bytes.
var (
	refParsed   = map[verify.Digest]*refFile{}
	refVerified = map[verify.Digest]bool{}
)

func (r *reference) parse(file []byte) *refFile {
	if f, ok := refParsed[verify.Sum(file)]; ok {
		return f
	}
	var raw struct {
		Signatures []struct{ KeyID, Sig string }
		Signed     json.RawMessage
	}
	f := &refFile{file: file}
	err := json.Unmarshal(file, &raw)
	if err == nil {
		err = json.Unmarshal(raw.Signed, &f.signed)
	}
	if err == nil {
		f.payload, err = cjson.EncodeCanonical(raw.Signed)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	f.signatures = raw.Signatures
	refParsed[verify.Sum(file)] = f
	return f
}

// signers are the distinct public keys of the role that signed the file. "One
// public key counts once, under however many ids, one signature once."
func (r *reference) signers(f *refFile, ks refKeys) map[string]bool {
	signers, used := map[string]bool{}, map[string]bool{}
	covered := 0
	for _, s := range f.signatures {
		key, ok := ks.keys[s.KeyID]
		if !ok || !slices.Contains(ks.role.KeyIDs, s.KeyID) {
			continue
		}
		public, err := hex.DecodeString(key.KeyVal.Public)
		if err != nil || len(public) != ed25519.PublicKeySize || key.KeyType != "ed25519" || key.Scheme != "ed25519" {
			continue // "a key of an unknown type is ignored"
		}
		if covered += len(f.payload); covered > verify.MaxSigned {
			break
		}
		sig, err := hex.DecodeString(s.Sig)
		if err != nil {
			continue // "a sig that is empty or not hexadecimal is no signature"
		}
		question := verify.Sum(slices.Concat(public, sig, f.payload))
		valid, known := refVerified[question]
		if !known {
			valid = ed25519.Verify(public, f.payload, sig)
			refVerified[question] = valid
		}
		if valid && !used[s.Sig] {
			signers[key.KeyVal.Public], used[s.Sig] = true, true
		}
	}
	return signers
}

func (r *reference) meets(f *refFile, ks refKeys) bool {
	return ks.role.Threshold > 0 && len(r.signers(f, ks)) >= ks.role.Threshold
}

func (r *reference) fileOf(rec verify.Record) *refFile { return r.parse(r.files[rec.Leaf.Metadata]) }

// currentRoot is the highest logged root.
func (r *reference) currentRoot() *refFile {
	var best verify.Record
	for _, rec := range r.records {
		if rec.Leaf.Role == "root" && rec.Leaf.Kind == verify.Release && rec.Leaf.Version > best.Leaf.Version {
			best = rec
		}
	}
	return r.fileOf(best)
}

func (f *refFile) topLevel(role string) refKeys {
	return refKeys{f.signed.Keys, f.signed.Roles[role]}
}

// stands: "A release stands while its signers meet the role's present keys and
// threshold; roots always stand."
func (r *reference) stands(rec verify.Record, ks refKeys) bool {
	return rec.Leaf.Kind == verify.Release && (rec.Leaf.Role == "root" || r.meets(r.fileOf(rec), ks))
}

// current: "a role's current release is the highest that stands".
func (r *reference) current(role string, ks refKeys) (best verify.Record, ok bool) {
	for _, rec := range r.records {
		if rec.Leaf.Role == role && rec.Leaf.Version >= best.Leaf.Version && r.stands(rec, ks) {
			best, ok = rec, true
		}
	}
	return best, ok
}

// keysOf: "the threshold of the first delegation to that name, breadth-first in
// listed order from the current targets".
func (r *reference) keysOf(role string) (refKeys, bool) {
	root := r.currentRoot()
	if slices.Contains([]string{"root", "targets", "snapshot", "timestamp"}, role) {
		return root.topLevel(role), true
	}
	found := []string{"targets"}
	keys := map[string]refKeys{"targets": root.topLevel("targets")}
	for i := 0; i < len(found); i++ {
		rec, ok := r.current(found[i], keys[found[i]])
		if !ok {
			continue
		}
		d := r.fileOf(rec).signed.Delegations
		if d == nil {
			continue
		}
		add := func(name string, role refRole) {
			if _, ok := keys[name]; !ok {
				keys[name] = refKeys{d.Keys, role}
				found = append(found, name)
			}
		}
		for _, role := range d.Roles {
			add(role.Name, role.refRole)
		}
		if s := d.Succinct; s != nil {
			for bin := range 1 << s.BitLength {
				add(fmt.Sprintf("%s-%0*x", s.NamePrefix, (s.BitLength+3)/4, bin), s.refRole)
			}
		}
	}
	ks, ok := keys[role]
	return ks, ok
}

// verdict is what becomes of a file: refused with a code, logged already at an
// index, or to be appended.
type verdict struct {
	code   string
	logged bool
	index  int64
	leaf   verify.Leaf
}

func (r *reference) judge(role string, file []byte, snapshots [][]byte) verdict {
	f := r.parse(file)
	payload := verify.Sum(f.payload)
	leaf := verify.Leaf{
		Kind: verify.Release, Repository: r.records[0].Leaf.Repository, Role: role, Version: f.signed.Version, Payload: payload,
		Metadata: verify.Sum(file), Size: int64(len(file)), Encoding: verify.JSON,
	}
	typ := "targets"
	if role == "root" || role == "snapshot" || role == "timestamp" {
		typ = role
	}
	if f.signed.Type != typ {
		return verdict{code: verify.RefusedWrongType}
	}

	// "A payload already logged for the role returns its index, unless a key of
	// the role signed that signed none of its logged files, or the file meets the
	// role's threshold and none of the logged ones does any more [...] A root whose
	// payload is logged returns its index whatever its signatures."
	ks, delegated := r.keysOf(role)
	already := verdict{index: -1}
	signedBefore, metBefore := map[string]bool{}, false
	for _, rec := range r.records {
		if rec.Leaf.Role == role && rec.Leaf.Payload == payload {
			already = verdict{logged: true, index: rec.Index, leaf: rec.Leaf}
			metBefore = metBefore || r.meets(r.fileOf(rec), ks)
			for key := range r.signers(r.fileOf(rec), ks) {
				signedBefore[key] = true
			}
		}
	}
	again := !metBefore && r.meets(f, ks)
	for key := range r.signers(f, ks) {
		again = again || !signedBefore[key]
	}
	if already.logged && (role == "root" || !delegated || !again) {
		return already
	}

	if role == "root" {
		var parent *refFile
		for _, rec := range r.records {
			if rec.Leaf.Role == "root" && rec.Leaf.Kind == verify.Release && rec.Leaf.Version == f.signed.Version-1 {
				parent = r.fileOf(rec)
			}
		}
		switch {
		case parent == nil:
			return verdict{code: verify.RefusedNoParent}
		case !r.meets(f, parent.topLevel("root")) || !r.meets(f, f.topLevel("root")):
			return verdict{code: verify.RefusedThreshold}
		}
		return r.releaseOrEvidence(leaf, ks)
	}
	if !delegated {
		return verdict{code: verify.RefusedNotDelegated}
	}
	if !r.meets(f, ks) {
		return verdict{code: r.whyShort(role, f)}
	}
	if typ == "targets" {
		otherRole := false
		for _, rec := range r.records {
			otherRole = otherRole || rec.Leaf.Role != role && rec.Leaf.Payload == payload
		}
		vouched := false
		for _, s := range snapshots {
			if !vouched && r.vouches(r.parse(s), f, role, otherRole) {
				leaf.Snapshot, vouched = verify.Sum(s), true
			}
		}
		switch {
		case !vouched && otherRole:
			return verdict{code: verify.RefusedOtherRole}
		case !vouched:
			return verdict{code: verify.RefusedSnapshotNeeded}
		}
	}
	return r.releaseOrEvidence(leaf, ks)
}

// whyShort: "Files signed only by superseded keys are refused." They have a word
// of their own where a root gave the role those keys.
func (r *reference) whyShort(role string, f *refFile) string {
	for _, rec := range r.records {
		if rec.Leaf.Role == "root" && rec.Leaf.Kind == verify.Release && r.meets(f, r.fileOf(rec).topLevel(role)) {
			return verify.RefusedSuperseded
		}
	}
	return verify.RefusedThreshold
}

// vouches: "a snapshot that meets the current root's threshold and lists
// ROLE.json at this version, with hash and length where given"; "A payload logged
// under another role is refused, unless the snapshot beside it lists its hash as
// this role's".
func (r *reference) vouches(s, f *refFile, role string, needsHash bool) bool {
	listed, ok := s.signed.Meta[role+".json"]
	if s.signed.Type != "snapshot" || !ok || !r.meets(s, r.currentRoot().topLevel("snapshot")) {
		return false
	}
	if listed.Version != f.signed.Version || listed.Length != nil && *listed.Length != int64(len(f.file)) || listed.Hashes == nil && needsHash {
		return false
	}
	sum := sha256.Sum256(f.file)
	return listed.Hashes == nil || listed.Hashes["sha256"] == hex.EncodeToString(sum[:])
}

// releaseOrEvidence: "If another payload of that version stands, it is evidence,
// once per role and version (later ones return that index)."
func (r *reference) releaseOrEvidence(leaf verify.Leaf, ks refKeys) verdict {
	for _, rec := range r.records {
		if rec.Leaf.Role != leaf.Role || rec.Leaf.Version != leaf.Version || rec.Leaf.Payload == leaf.Payload || !r.stands(rec, ks) {
			continue
		}
		for _, evidence := range r.records {
			if evidence.Leaf.Kind == verify.Evidence && evidence.Leaf.Role == leaf.Role && evidence.Leaf.Version == leaf.Version {
				return verdict{logged: true, index: evidence.Index, leaf: evidence.Leaf}
			}
		}
		leaf.Kind, leaf.Contradicts = verify.Evidence, rec.Index
		break
	}
	return verdict{leaf: leaf}
}
