package cases

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/embedded/compile"
	"github.com/tuflog/tuflog/proofs"
)

// vector has the fields of all folders that apply: testdata/vectors/README.md describes them.
type vector struct {
	Valid      bool     `json:"valid"`
	Error      string   `json:"error"`
	Policy     text     `json:"policy"`
	Logs       []text   `json:"logs"`
	Proof      text     `json:"proof"`
	Entry      text     `json:"entry"`
	Checkpoint text     `json:"checkpoint"`
	Note       text     `json:"note"`
	Text       text     `json:"text"`
	Cosigned   []text   `json:"cosigned"`
	Size       string   `json:"size"`
	Index      string   `json:"index"`
	Root       string   `json:"root"`
	Leaf       string   `json:"leaf"`
	Hashes     []string `json:"hashes"`
}

// text is bytes: a string, or an object with base64.
type text []byte

func (t *text) UnmarshalJSON(b []byte) error {
	var object struct{ Base64 string }
	if err := json.Unmarshal(b, &object); err == nil {
		*t, err = base64.StdEncoding.DecodeString(object.Base64)
		return err
	}
	return json.Unmarshal(b, (*stringText)(t))
}

type stringText []byte

func (t *stringText) UnmarshalJSON(b []byte) error {
	var s string
	err := json.Unmarshal(b, &s)
	*t = stringText(s)
	return err
}

// errDoesNotApply is why a case is left out.
var errDoesNotApply = errors.New("does not apply")

// made is a sidecar's check that a vector became, and what the vector says of it: a reason, or
// that it is any but some.
type made struct {
	policy  *proofs.Policy
	claim   Claim
	sidecar []byte
	agrees  func(Reason) bool
}

var folders = map[string]func(*vector) (made, error){
	"verify":     fromVerify,
	"witnessed":  fromWitnessed,
	"open":       fromOpen,
	"proof":      fromProof,
	"note":       fromNote,
	"checkpoint": fromCheckpoint,
	"inclusion":  fromInclusion,
	"quorum":     fromQuorum,
}

// Vectors returns the cases of a folder of vectors that apply, and a line about each of its
// folders that has some.
func Vectors(dir string) (all []Case, report []string, err error) {
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		files, err := filepath.Glob(filepath.Join(dir, folder, "*.json"))
		if err != nil || len(files) == 0 {
			return nil, nil, fmt.Errorf("%s has no cases of %s: %w", dir, folder, err)
		}
		apply := 0
		for _, file := range files {
			c, err := fromFile(file, folders[folder])
			if errors.Is(err, errDoesNotApply) || errors.Is(err, compile.ErrPolicy) {
				continue
			}
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", file, err)
			}
			c.Name = folder + "/" + strings.TrimSuffix(filepath.Base(file), ".json")
			all = append(all, c)
			apply++
		}
		report = append(report, fmt.Sprintf("%d of %d cases of %s apply", apply, len(files), folder))
	}
	return all, report, nil
}

func fromFile(file string, make func(*vector) (made, error)) (Case, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Case{}, err
	}
	var v vector
	if err := json.Unmarshal(b, &v); err != nil {
		return Case{}, err
	}
	m, err := make(&v)
	if err != nil {
		return Case{}, err
	}
	c, err := New("", m.policy, m.claim, m.sidecar)
	if err == nil && c.Reason != Limit && !m.agrees(c.Reason) {
		err = fmt.Errorf("the vector says valid %v, error %q; the Go code gives reason %d", v.Valid, v.Error, c.Reason)
	}
	return c, err
}

// says returns whether a reason is what the vector says, where it is about the same step.
func (v *vector) says(r Reason) bool {
	if v.Valid {
		return r == Fine
	}
	return map[string]Reason{"malformed": Malformed, "bad-signature": BadSignature, "unknown-log": UnknownLog, "quorum-short": TooFew, "inclusion": NotIncluded}[v.Error] == r
}

// form returns whether a reason is malformed just if the vector says so.
func (v *vector) form(r Reason) bool {
	return (r == Malformed || r == Empty) == (v.Error == "malformed")
}

func fromVerify(v *vector) (made, error) {
	policy, err := proofs.ParsePolicy(v.Policy)
	hash := proofs.LeafHash(v.Entry)
	if v.Error == "extensions" {
		err = errDoesNotApply // of logs that sign with ML-DSA-44 only
	}
	return made{policy, Claim{Leaf: &hash}, v.Proof, v.says}, err
}

// around makes a proof of a signed checkpoint, of the entry that is the root of a tree of one.
func around(policy *proofs.Policy, checkpoint []byte, agrees func(Reason) bool) made {
	var hash proofs.Hash
	for i, line := range strings.Split(string(checkpoint), "\n") {
		if h, err := proofs.ParseHash(line); i == 2 && err == nil {
			hash = h
		}
	}
	return made{policy, Claim{Leaf: &hash}, append([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"), checkpoint...), agrees}
}

// before returns whether a reason is the vector's, which says nothing of inclusion and the quorum
// that is looked at behind it.
func (v *vector) before(r Reason) bool {
	if v.Valid || v.Error == "quorum-short" {
		return r == Fine || r == NotIncluded || r == TooFew
	}
	return v.says(r)
}

func fromWitnessed(v *vector) (made, error) {
	policy, err := proofs.ParsePolicy(v.Policy)
	if v.Error == "extensions" {
		err = errDoesNotApply
	}
	return around(policy, v.Checkpoint, v.before), err
}

func fromOpen(v *vector) (made, error) {
	var b strings.Builder
	for _, l := range v.Logs {
		k, err := proofs.ParseKey(string(l))
		if err != nil || k.Algorithm() != proofs.Ed25519 {
			return made{}, errDoesNotApply
		}
		fmt.Fprintf(&b, "log %s\n", l)
	}
	policy, err := proofs.ParsePolicy([]byte(b.String() + "quorum none\n"))
	if err != nil {
		return made{}, errDoesNotApply // one key twice
	}
	return around(policy, v.Checkpoint, v.before), nil
}

// anyone is a policy of one log that has signed nothing.
func anyone() (*proofs.Policy, error) {
	return proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nquorum none\n", Signer("nobody.example", proofs.Ed25519).Key()))
}

func fromProof(v *vector) (made, error) {
	policy, err := anyone()
	return made{policy, Claim{Leaf: new(proofs.Hash)}, v.Proof, v.form}, err
}

func fromNote(v *vector) (made, error) {
	policy, err := anyone()
	// A note need not be a checkpoint: what is a good one may be malformed as part of a sidecar.
	return around(policy, v.Note, func(r Reason) bool { return v.Valid || r == Malformed }), err
}

func fromCheckpoint(v *vector) (made, error) {
	origin, _, _ := strings.Cut(string(v.Text), "\n")
	log := Signer("log.example", proofs.Ed25519)
	if key, err := proofs.NewKey(origin, proofs.Ed25519, log.Key().PublicKey()); err == nil && v.Valid {
		log = Signer(key.Name(), proofs.Ed25519)
	}
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nquorum none\n", log.Key()))
	if err != nil {
		return made{}, errDoesNotApply // an origin that cannot name a key
	}
	sig, err := log.Sign(string(v.Text), 0)
	if err != nil { // it does not sign this: what is signed does not matter then
		if sig, err = log.Sign("text\n", 0); err != nil {
			return made{}, err
		}
	}
	return around(policy, []byte(string(v.Text)+"\n"+sig.String()), v.form), nil
}

func fromInclusion(v *vector) (made, error) {
	size, err := strconv.ParseInt(v.Size, 10, 64)
	if err != nil || size < 0 {
		return made{}, errDoesNotApply
	}
	index, err := strconv.ParseInt(v.Index, 10, 64)
	if err != nil || index < 0 {
		return made{}, errDoesNotApply
	}
	root, err := proofs.ParseHash(v.Root)
	if err != nil || size == 0 && root != proofs.EmptyTree.Hash {
		return made{}, errDoesNotApply // no checkpoint says that
	}
	leaf, err := proofs.ParseHash(v.Leaf)
	if err != nil {
		return made{}, err
	}
	p := proofs.Proof{Index: index}
	for _, s := range v.Hashes {
		h, err := proofs.ParseHash(s)
		if err != nil {
			return made{}, err
		}
		p.Hashes = append(p.Hashes, h)
	}
	if len(p.Hashes) > proofs.MaxProofHashes {
		return made{}, errDoesNotApply // no proof has so many
	}
	log := Signer("log.example", proofs.Ed25519)
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nquorum none\n", log.Key()))
	if err != nil {
		return made{}, err
	}
	p.Checkpoint, err = sign(proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: size, Hash: root}}.String(), log)
	return made{policy, Claim{Leaf: &leaf}, p.Marshal(), v.says}, err
}

// fromQuorum gives the policy's witnesses keys of ours, with which those that have cosigned do.
func fromQuorum(v *vector) (made, error) {
	policy, err := proofs.ParsePolicy(v.Policy)
	if err != nil {
		return made{}, err
	}
	log := Signer("log.example", proofs.Ed25519)
	policy.Logs = []proofs.PolicyLog{{Key: log.Key()}}
	root := proofs.LeafHash([]byte("entry"))
	signers := []*proofs.Signer{log}
	for i, w := range policy.Witnesses {
		s := Signer(fmt.Sprintf("w%d.example", i), proofs.CosignatureV1)
		policy.Witnesses[i].Key = s.Key()
		if slices.ContainsFunc(v.Cosigned, func(name text) bool { return string(name) == w.Name }) {
			signers = append(signers, s)
		}
	}
	checkpoint, err := sign(proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: 1, Hash: root}}.String(), signers...)
	if err != nil {
		return made{}, err
	}
	return around(policy, checkpoint, v.says), nil
}
