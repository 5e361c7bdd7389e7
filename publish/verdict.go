package publish

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// record takes down r's verdict on f. A snapshot that came along for others a
// second time has its verdict already.
func (j *job) record(f *file, r *repo, res api.FileResult) error {
	if f.done {
		return nil
	}
	switch res.Status {
	case api.StatusRefused:
		j.refused(f, r, res)
		return nil
	case api.StatusHeld:
		f.verdict = refusal(f, r, res.Code, res.Detail)
		f.verdict.Status, f.verdict.HeldUntil, f.done = res.Status, res.HeldUntil, true
		return nil
	case api.StatusReleased, api.StatusLogged, api.StatusEvidence:
	default:
		return fmt.Errorf("submit %s: the log's verdict %q is none", f.name, res.Status)
	}
	logged, err := j.check(f, r, res)
	if err != nil {
		return &ProofError{f.name, err}
	}
	f.done = true
	if !f.isCurrency() {
		j.accepted++
	}
	if f.isRoot() {
		j.roots++
	}
	f.verdict = Verdict{File: f.name, Role: f.role, Version: f.version, Repository: r.id.String(), Status: res.Status,
		Index: res.Index, Code: res.Code, Detail: res.Detail, Date: f.date, sidecar: []byte(res.Sidecar)}
	if logged.Kind == leaf.Evidence {
		f.verdict.Status = api.StatusEvidence
		f.verdict.Detail = fmt.Sprintf("contradicts the release at index %d", logged.Contradicts)
		f.contradicts = logged.Contradicts
		return nil
	}
	claim := verify.ClaimFor(r.id, f.role, f.meta)
	f.verdict.claim = &claim
	if f.isRoot() && (r.root == nil || r.root.version < f.version) {
		r.root = f
	}
	return nil
}

// refused takes down a refusal. Of several the one counts that came furthest with the
// file, of these the first.
func (j *job) refused(f *file, r *repo, res api.FileResult) {
	if f.done {
		return
	}
	if res.Code == api.CodeNotLoggedRole {
		j.skip[f.role] = res.Detail
	}
	f.done = final(res.Code)
	if !f.judged || progress(res.Code) > progress(f.verdict.Code) {
		f.judged, f.verdict = true, refusal(f, r, res.Code, res.Detail)
	}
}

// progress says how far a file came before it was refused.
func progress(code string) int {
	order := []string{api.CodeUnknownRepo, api.CodeEncoding, api.CodeNotDelegated, api.CodeNoParent,
		api.CodeThreshold, api.CodeSuperseded, api.CodeSnapshotNeeded}
	if i := slices.Index(order, code); i >= 0 {
		return i
	}
	return len(order)
}

// final reports whether a file refused so has no chance anywhere.
func final(code string) bool {
	switch code {
	case api.CodeMalformed, api.CodeWrongType, api.CodeRoleName, api.CodeNotLoggedRole:
		return true
	}
	return false
}

func refusal(f *file, r *repo, code, detail string) Verdict {
	v := Verdict{File: f.name, Role: f.role, Version: f.version, Status: api.StatusRefused, Index: -1, Code: code, Detail: detail, Date: f.date}
	if r != nil {
		v.Repository = r.id.String()
	}
	return v
}

// codeOf is the code of a refusal that was decided here.
func codeOf(err error) string {
	var refused *admit.Refused
	if errors.As(err, &refused) {
		return refused.Code
	}
	return api.CodeUnknownRepo
}

// check verifies that the log holds at res.Index what it says about f, and
// returns the leaf.
func (j *job) check(f *file, r *repo, res api.FileResult) (*leaf.Leaf, error) {
	if j.rehearsal != nil {
		leaf, err := j.rehearsal.leaf(res.Index)
		return &leaf, err
	}
	policy := j.before
	claim := verify.ClaimFor(r.id, f.role, f.meta)
	l, index, err := provedEvidence([]byte(res.Sidecar), claim, policy)
	switch {
	case err != nil:
		return nil, err
	case l == nil:
		logged, err := verify.CheckSidecar([]byte(res.Sidecar), claim, policy)
		if err != nil {
			return nil, err
		}
		l, index = &logged.Leaf, logged.Index
	}
	if index != res.Index {
		return nil, fmt.Errorf("it says index %d and proves index %d", res.Index, index)
	}
	if l.Kind == leaf.Release && res.Status == api.StatusEvidence || l.Kind == leaf.Evidence && res.Status == api.StatusReleased {
		return nil, fmt.Errorf("it says %q and proves a leaf of kind %q", res.Status, l.Kind)
	}
	return l, nil
}

// provedEvidence returns the leaf of a sidecar that proves evidence about the
// claim's role and version, or nil when the sidecar is of another kind.
// verify.CheckSidecar never accepts evidence; the payload is not compared, because
// one leaf of evidence stands for all further payloads of a version.
func provedEvidence(sidecar []byte, claim verify.Claim, policy *proofs.Policy) (*leaf.Leaf, int64, error) {
	proof, err := proofs.ParseProof(sidecar)
	if err != nil {
		return nil, 0, nil // CheckSidecar says it better
	}
	logged, err := leaf.Parse(proof.Extra)
	if err != nil || logged.Kind != leaf.Evidence {
		return nil, 0, nil
	}
	if _, err := proof.Verify(policy, proof.Extra); err != nil {
		return nil, 0, err
	}
	if logged.Repository != claim.Repository || logged.Role != claim.Role || logged.Version != claim.Version || logged.Encoding != claim.Encoding {
		return nil, 0, fmt.Errorf("the proof is about evidence in role %q version %d of repository %v", logged.Role, logged.Version, logged.Repository)
	}
	return &logged, proof.Index, nil
}
