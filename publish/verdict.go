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
func (j *job) record(f *file, r *repo, res api.FileResult, vouchers []*file) error {
	if f.done {
		return nil
	}
	switch res.Status {
	case api.StatusRefused:
		j.refused(f, r, res, vouchers)
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
	r.payloads[rolePayload{f.role, f.meta.PayloadDigest}] = true
	switch {
	case res.Status == api.StatusReleased && f.rank() < rankSnapshot:
		r.releases++
		if f.isRoot() {
			r.roots++
		}
	case res.Status == api.StatusLogged && logged.Metadata != f.meta.FileDigest && !f.isRoot():
		// The same payload in another file, perhaps signed again by keys that
		// the role gets only with a file that is still to come: then it is a
		// release of its own. So it is offered again when keys change.
		f.done, f.logged = false, r
		f.tries[r] = &try{logged: true, roots: r.roots, releases: r.releases}
	}
	return nil
}

// refused takes down a refusal. Of several repositories' refusals the one counts
// that came furthest with the file.
func (j *job) refused(f *file, r *repo, res api.FileResult, vouchers []*file) {
	if f.done {
		return
	}
	if f.logged != nil {
		// A verdict as good as final; the log did not take it as a release again.
		f.tries[r] = &try{logged: true, roots: r.roots, releases: r.releases}
		return
	}
	t := &try{code: res.Code, detail: res.Detail, roots: r.roots, releases: r.releases, payload: r.has(f), vouchers: map[*file]bool{}}
	if earlier := f.tries[r]; earlier != nil && earlier.roots == r.roots {
		t.vouchers = earlier.vouchers
	}
	for _, v := range vouchers {
		t.vouchers[v] = true
	}
	f.tries[r] = t
	if res.Code == api.CodeNotLoggedRole {
		j.skip[f.role] = res.Detail
	}
	f.done = final(res.Code)
	best := -1
	for _, r := range slices.Backward(j.repos) {
		if t := f.tries[r]; t != nil && progress(t.code) > best {
			best = progress(t.code)
			f.verdict = refusal(f, r, t.code, t.detail)
		}
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
	policy := j.cfg.Policy
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
