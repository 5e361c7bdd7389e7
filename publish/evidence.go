package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Evidence is the two contradicting files, if a file has become evidence: two
// payloads under one version.
type Evidence struct {
	First  Signed `json:"first"`  // the release that stands
	Second Signed `json:"second"` // the file that was submitted

	listed bool // a snapshot says which file is the role's
}

// Signed is a file and the keys that have signed it.
type Signed struct {
	Index    int64    `json:"index"`    // of its entry; of the file that was submitted, that of the evidence
	Payload  string   `json:"payload"`  // SHA-256, 64 hex digits
	Metadata string   `json:"metadata"` // the same of the file
	Signers  []string `json:"signers"`  // key ids of the role's keys, as far as these are available
}

// explainEvidence finds what the evidence among the verdicts contradicts. What the log
// cannot show is left out: the verdicts are what they are.
func (j *job) explainEvidence(ctx context.Context) {
	for _, f := range j.all {
		if f.verdict.Status != api.StatusEvidence || f.meta == nil {
			continue
		}
		first, err := j.release(ctx, f)
		if err != nil {
			j.notes = append(j.notes, fmt.Sprintf("%s: the release that it contradicts, entry %d, cannot be read: %v", f.name, f.contradicts, err))
			continue
		}
		f.verdict.Evidence = &Evidence{
			First:  j.signed(f.role, first, f.contradicts),
			Second: j.signed(f.role, f.meta, f.verdict.Index),
			listed: f.needsVoucher(),
		}
	}
}

// release returns the file of the release that f contradicts, as the log proves it.
func (j *job) release(ctx context.Context, f *file) (*tuf.Metadata, error) {
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Timeout)
	defer cancel()
	leaf, err := j.leafAt(ctx, f.contradicts)
	if err != nil {
		return nil, err
	}
	if leaf.Role != f.role || leaf.Version != f.version || leaf.Repository.String() != f.verdict.Repository {
		return nil, fmt.Errorf("it is %s %d of repository %v", leaf.Role, leaf.Version, leaf.Repository)
	}
	data, err := j.cfg.Log.Blob(ctx, leaf.Metadata.String())
	if err != nil {
		return nil, err
	}
	m, err := codec.ParseAny(data)
	if err != nil {
		return nil, err
	}
	if m.PayloadDigest != leaf.Payload {
		return nil, fmt.Errorf("the file's payload is %v, the entry's %v", m.PayloadDigest, leaf.Payload)
	}
	return m, nil
}

// leafAt returns an entry of the log that satisfies the policy.
func (j *job) leafAt(ctx context.Context, index int64) (leaf.Leaf, error) {
	if j.rehearsal != nil {
		return j.rehearsal.leaf(index)
	}
	sidecar, err := j.cfg.Log.EntryProof(ctx, index)
	if err != nil {
		return leaf.Leaf{}, err
	}
	proof, err := proofs.ParseProof(sidecar)
	if err != nil {
		return leaf.Leaf{}, err
	}
	if proof.Index != index {
		return leaf.Leaf{}, fmt.Errorf("the proof is of entry %d", proof.Index)
	}
	if _, err := proof.Verify(j.before, proof.Extra); err != nil {
		return leaf.Leaf{}, err
	}
	return leaf.Parse(proof.Extra)
}

// signed describes a file of a role, with the signatures that hold under keys which the
// files at hand give the role.
func (j *job) signed(role string, m *tuf.Metadata, index int64) Signed {
	s := Signed{Index: index, Payload: m.PayloadDigest.String(), Metadata: m.FileDigest.String(), Signers: []string{}}
	note := func(keys tuf.KeySet) {
		for _, identity := range m.Signers(keys) {
			for _, id := range keys.IDs(identity) {
				if signs(m, id) && !slices.Contains(s.Signers, id) {
					s.Signers = append(s.Signers, id)
				}
			}
		}
	}
	for _, f := range j.all {
		switch {
		case f.isReadableRoot() && tuf.IsTopLevel(role):
			note(f.meta.Root.KeySet(role))
		case f.meta != nil && f.meta.Targets != nil && f.meta.Targets.Delegations != nil:
			if _, keys, ok := f.meta.Targets.Delegations.Find(role); ok {
				note(keys)
			}
		}
	}
	slices.Sort(s.Signers)
	return s
}

// signs reports whether m has a signature under a key id.
func signs(m *tuf.Metadata, id string) bool {
	return slices.ContainsFunc(m.Signatures, func(s tuf.Signature) bool { return s.KeyID == id })
}

// lines tells people what the evidence means and what to do, a sentence or two a line.
func (e *Evidence) lines(v Verdict) []string {
	by := func(s Signed) string {
		if len(s.Signers) == 0 {
			return "by keys that no file here gives the role"
		}
		return "by " + keyList(s.Signers)
	}
	var both []string
	for _, id := range e.First.Signers {
		if slices.Contains(e.Second.Signers, id) {
			both = append(both, id)
		}
	}
	told := []string{
		fmt.Sprintf("%s %d has been signed with two contents:", printable.Line(v.Role), v.Version),
		fmt.Sprintf("  entry %d, the release: payload %s, signed %s", e.First.Index, e.First.Payload, by(e.First)),
		fmt.Sprintf("  this file: payload %s, signed %s", e.Second.Payload, by(e.Second)),
	}
	if len(both) > 0 {
		told = append(told, keyList(both)+" signed both.")
	}
	next := fmt.Sprintf("or publish version %d", v.Version+1)
	if e.listed {
		next += ", listed by a new snapshot"
	}
	return append(told,
		"Both files and the contradiction are public in the log, and stay there: they cannot be taken back.",
		"Devices refuse this file. Serve the release (it is in the log: /blob/sha256/"+e.First.Metadata+"),",
		next+". If the release is not your work, another party",
		"can sign with these keys: replace them, by a new root or delegation, before anything else.")
}

func keyList(ids []string) string {
	printed := make([]string, len(ids))
	for i, id := range ids {
		printed[i] = printable.Line(id)
	}
	if len(ids) == 1 {
		return "key " + printed[0]
	}
	return "keys " + strings.Join(printed, ", ")
}
