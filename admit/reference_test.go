package admit_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// reference is admission once more: slow, and written from
// docs/rules.md alone. It has the log's leaves and the files they name, nothing else,
// and begins anew with every question. It reads files with encoding/json and
// cjson and knows only Ed25519.
type reference struct {
	t       testing.TB
	records []admit.Record
	files   map[tuf.Digest][]byte
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
		Targets     map[string]json.RawMessage
		Delegations *struct {
			Keys  map[string]refKey
			Roles []struct {
				Name             string
				Paths            []string
				PathHashPrefixes []string `json:"path_hash_prefixes"`
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
	refParsed   = map[tuf.Digest]*refFile{}
	refVerified = map[tuf.Digest]bool{}
)

func (r *reference) parse(file []byte) *refFile {
	if f, ok := refParsed[tuf.Sum(file)]; ok {
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
	refParsed[tuf.Sum(file)] = f
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
		if covered += len(f.payload); covered > tuf.MaxSigned {
			break
		}
		sig, err := hex.DecodeString(s.Sig)
		if err != nil {
			continue // "a sig that is empty or not hexadecimal is no signature"
		}
		question := tuf.Sum(slices.Concat(public, sig, f.payload))
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

func (r *reference) fileOf(rec admit.Record) *refFile { return r.parse(r.files[rec.Leaf.Metadata]) }

// currentRoot is the highest logged root.
func (r *reference) currentRoot() *refFile {
	var best admit.Record
	for _, rec := range r.records {
		if rec.Leaf.Role == "root" && rec.Leaf.Kind == leaf.Release && rec.Leaf.Version > best.Leaf.Version {
			best = rec
		}
	}
	return r.fileOf(best)
}

func (f *refFile) topLevel(role string) refKeys {
	return refKeys{f.signed.Keys, f.signed.Roles[role]}
}

// stands reports whether a release meets a role's keys; roots always do.
func (r *reference) stands(rec admit.Record, ks refKeys) bool {
	return rec.Leaf.Kind == leaf.Release && (rec.Leaf.Role == "root" || r.meets(r.fileOf(rec), ks))
}

// current: "of those that meet the place by which the role was reached, all of the
// highest version".
func (r *reference) current(role string, ks refKeys) (best []admit.Record) {
	version := int64(0)
	for _, rec := range r.records {
		switch {
		case rec.Leaf.Role != role || rec.Leaf.Version < version || !r.stands(rec, ks):
		case rec.Leaf.Version == version:
			best = append(best, rec)
		default:
			version, best = rec.Leaf.Version, []admit.Record{rec}
		}
	}
	return best
}

// refPlace is a delegation to a role, or root's entry.
type refPlace struct {
	role string
	keys refKeys
	path func(path string) bool
}

func refPattern(pattern string) *regexp.Regexp {
	text := strings.NewReplacer(`\*`, `[^/]*`, `\?`, `[^/]`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`\A(?s:` + text + `)\z`)
}

// delegations are the places to which a file delegates.
func (f *refFile) delegations() (places []refPlace) {
	d := f.signed.Delegations
	if d == nil {
		return nil
	}
	hash := func(path string) string {
		sum := sha256.Sum256([]byte(path))
		return hex.EncodeToString(sum[:])
	}
	for _, role := range d.Roles {
		var patterns []*regexp.Regexp
		for _, p := range role.Paths {
			patterns = append(patterns, refPattern(p))
		}
		places = append(places, refPlace{role: role.Name, keys: refKeys{d.Keys, role.refRole}, path: func(path string) bool {
			return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(path) }) ||
				slices.ContainsFunc(role.PathHashPrefixes, func(p string) bool { return strings.HasPrefix(hash(path), p) })
		}})
	}
	if s := d.Succinct; s != nil {
		for bin := range 1 << s.BitLength {
			places = append(places, refPlace{
				role: fmt.Sprintf("%s-%0*x", s.NamePrefix, (s.BitLength+3)/4, bin),
				keys: refKeys{d.Keys, s.refRole},
				path: func(path string) bool {
					leading, _ := strconv.ParseUint(hash(path)[:8], 16, 32)
					return int(leading>>(32-s.BitLength)) == bin
				},
			})
		}
	}
	return places
}

func (f *refFile) coveredBy(p refPlace) bool {
	for path := range f.signed.Targets {
		if !p.path(path) {
			return false
		}
	}
	return true
}

// walk: "begins at targets and follows the delegations of every current release.
// Breadth-first, in listed order." With a file only on ways that cover all it
// lists; with as and extra, extra's delegations count as those of that role.
func (r *reference) walk(covering *refFile, as string, extra *refFile) []refPlace {
	places := []refPlace{{role: "targets", keys: r.currentRoot().topLevel("targets")}}
	type key struct {
		role, keys string
	}
	seen := map[key]bool{}
	for i := 0; i < len(places); i++ {
		var sources []*refFile
		for _, rec := range r.current(places[i].role, places[i].keys) {
			sources = append(sources, r.fileOf(rec))
		}
		if extra != nil && places[i].role == as {
			sources = append(sources, extra)
		}
		for _, f := range sources {
			for _, p := range f.delegations() {
				k := key{p.role, fmt.Sprint(p.keys.role, p.keys.keys)}
				if seen[k] || covering != nil && !covering.coveredBy(p) {
					continue
				}
				seen[k] = true
				places = append(places, p)
			}
		}
	}
	return places
}

// placesOf are the places of one role.
func (r *reference) placesOf(role string, covering *refFile) (places []refPlace) {
	if slices.Contains([]string{"root", "snapshot", "timestamp"}, role) {
		return []refPlace{{role: role, keys: r.currentRoot().topLevel(role)}}
	}
	for _, p := range r.walk(covering, "", nil) {
		if p.role == role {
			places = append(places, p)
		}
	}
	return places
}

// verdict is what becomes of a file: refused with a code, logged already at an
// index, or to be appended.
type verdict struct {
	code   string
	logged bool
	index  int64
	leaf   leaf.Leaf
}

func (r *reference) judge(role string, file []byte, snapshots [][]byte) verdict {
	f := r.parse(file)
	payload := tuf.Sum(f.payload)
	entry := leaf.Leaf{
		Kind: leaf.Release, Repository: r.records[0].Leaf.Repository, Role: role, Version: f.signed.Version, Payload: payload,
		Metadata: tuf.Sum(file), Size: int64(len(file)), Encoding: tuf.JSON,
	}
	typ := "targets"
	if role == "root" || role == "snapshot" || role == "timestamp" {
		typ = role
	}
	if f.signed.Type != typ {
		return verdict{code: admit.RefusedWrongType}
	}

	// "Logged payloads of the role: a release returns its index": the last release,
	// or else what there is.
	already, released := verdict{index: -1}, []admit.Record{}
	for _, rec := range r.records {
		if rec.Leaf.Role != role || rec.Leaf.Payload != payload {
			continue
		}
		if rec.Leaf.Kind == leaf.Release {
			released = append(released, rec)
		}
		if rec.Leaf.Kind == leaf.Release || len(released) == 0 {
			already = verdict{logged: true, index: rec.Index, leaf: rec.Leaf}
		}
	}
	refuse := func(code string) verdict {
		if already.logged {
			return already
		}
		return verdict{code: code}
	}

	if role == "root" {
		if already.logged {
			return already
		}
		return r.judgeRoot(entry, f)
	}
	named := r.placesOf(role, nil)
	if len(named) == 0 {
		return refuse(admit.RefusedNotDelegated)
	}
	fit := func(p refPlace) bool { return !r.meets(f, p.keys) }
	meets := slices.DeleteFunc(slices.Clone(named), fit)
	if len(meets) == 0 {
		return refuse(r.whyShort(role, f))
	}
	fits := meets
	if typ == "targets" {
		for _, s := range snapshots {
			if listed := r.lists(r.parse(s), f, role); listed != "" && (entry.Listed == "" || entry.Listed == leaf.ByVersion && listed == leaf.ByHash) {
				entry.Snapshot, entry.Listed = tuf.Sum(s), listed
			}
		}
		if entry.Listed == "" {
			return refuse(admit.RefusedSnapshotNeeded)
		}
		if entry.Listed == leaf.ByVersion {
			fits = slices.DeleteFunc(r.placesOf(role, f), fit)
		}
	}
	if len(fits) == 0 {
		return refuse(admit.RefusedNotCovered)
	}
	if len(released) > 0 && !r.again(entry, f, released, fits) {
		return already
	}

	// "If a bound rival stands at any place whose threshold the file meets."
	for _, rec := range r.rivals(entry) {
		for _, p := range meets {
			if !rec.Leaf.Bound() || !r.stands(rec, p.keys) {
				continue
			}
			if entry.Bound() && len(released) == 0 {
				return r.contradiction(entry, rec)
			}
			return refuse(admit.RefusedSecondPayload)
		}
	}
	// "Otherwise it is a release if at some place that it fits every rival is
	// explained."
	for _, p := range fits {
		if !slices.ContainsFunc(r.rivals(entry), func(rec admit.Record) bool { return r.stands(rec, p.keys) && !r.explained(rec, f) }) {
			return verdict{leaf: entry}
		}
	}
	return refuse(admit.RefusedSecondPayload)
}

func (r *reference) judgeRoot(entry leaf.Leaf, f *refFile) verdict {
	var parent *refFile
	for _, rec := range r.records {
		if rec.Leaf.Role == "root" && rec.Leaf.Kind == leaf.Release && rec.Leaf.Version == f.signed.Version-1 {
			parent = r.fileOf(rec)
		}
	}
	switch {
	case parent == nil:
		return verdict{code: admit.RefusedNoParent}
	case !r.meets(f, parent.topLevel("root")) || !r.meets(f, f.topLevel("root")):
		return verdict{code: admit.RefusedThreshold}
	}
	for _, rec := range r.rivals(entry) {
		return r.contradiction(entry, rec)
	}
	return verdict{leaf: entry}
}

// again: "unless it is signed again, or is bound now and was not in any release".
func (r *reference) again(leaf leaf.Leaf, f *refFile, released []admit.Record, fits []refPlace) bool {
	if leaf.Bound() && !slices.ContainsFunc(released, func(rec admit.Record) bool { return rec.Leaf.Bound() }) {
		return true
	}
	for _, p := range fits {
		before, stood := map[string]bool{}, false
		for _, rec := range released {
			stood = stood || r.meets(r.fileOf(rec), p.keys)
			for key := range r.signers(r.fileOf(rec), p.keys) {
				before[key] = true
			}
		}
		for key := range r.signers(f, p.keys) {
			if !before[key] || !stood {
				return true
			}
		}
	}
	return false
}

// rivals: "releases of its role and version with another payload".
func (r *reference) rivals(entry leaf.Leaf) (rivals []admit.Record) {
	for _, rec := range r.records {
		if rec.Leaf.Kind == leaf.Release && rec.Leaf.Role == entry.Role && rec.Leaf.Version == entry.Version && rec.Leaf.Payload != entry.Payload {
			rivals = append(rivals, rec)
		}
	}
	return rivals
}

// explained: "it is not bound and is released as another role's too, or fits a
// place of another role (targets included), what the judged file itself delegates
// being counted".
func (r *reference) explained(rival admit.Record, judged *refFile) bool {
	if rival.Leaf.Bound() {
		return false
	}
	for _, rec := range r.records {
		if rec.Leaf.Kind == leaf.Release && rec.Leaf.Role != rival.Leaf.Role && rec.Leaf.Payload == rival.Leaf.Payload {
			return true
		}
	}
	f := r.fileOf(rival)
	return slices.ContainsFunc(r.walk(f, rival.Leaf.Role, judged), func(p refPlace) bool { return p.role != rival.Leaf.Role && r.meets(f, p.keys) })
}

// whyShort: "Files signed only by superseded keys are refused." They have a word
// of their own where a root gave the role those keys.
func (r *reference) whyShort(role string, f *refFile) string {
	for _, rec := range r.records {
		if rec.Leaf.Role == "root" && rec.Leaf.Kind == leaf.Release && r.meets(f, r.fileOf(rec).topLevel(role)) {
			return admit.RefusedSuperseded
		}
	}
	return admit.RefusedThreshold
}

// lists: "a snapshot that meets the current root's threshold and lists the role at
// this version, with length and hash where given".
func (r *reference) lists(s, f *refFile, role string) leaf.Listing {
	listed, ok := s.signed.Meta[role+".json"]
	if s.signed.Type != "snapshot" || !ok || !r.meets(s, r.currentRoot().topLevel("snapshot")) {
		return ""
	}
	if listed.Version != f.signed.Version || listed.Length != nil && *listed.Length != int64(len(f.file)) {
		return ""
	}
	sum := sha256.Sum256(f.file)
	switch {
	case listed.Hashes == nil:
		return leaf.ByVersion
	case listed.Hashes["sha256"] == hex.EncodeToString(sum[:]):
		return leaf.ByHash
	}
	return ""
}

// contradiction: "evidence, once per role and version".
func (r *reference) contradiction(entry leaf.Leaf, rival admit.Record) verdict {
	for _, rec := range r.records {
		if rec.Leaf.Kind == leaf.Evidence && rec.Leaf.Role == entry.Role && rec.Leaf.Version == entry.Version {
			return verdict{logged: true, index: rec.Index, leaf: rec.Leaf}
		}
	}
	entry.Kind, entry.Contradicts = leaf.Evidence, rival.Index
	return verdict{leaf: entry}
}
