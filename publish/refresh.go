package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// ErrNoProofs means that none of the files has a proof to refresh.
var ErrNoProofs = errors.New("there is no proof beside any of the files")

// Refreshed is a proof with the newest checkpoint of the log.
type Refreshed struct {
	File     string    `json:"file"` // of metadata; the proof is at File + verify.LatestSuffix
	Role     string    `json:"role"`
	Version  int64     `json:"version"`
	Index    int64     `json:"index"`
	Size     int64     `json:"size"`     // of the log that the proof shows
	Cosigned time.Time `json:"cosigned"` // by half of the witnesses at that time or later; zero: by none
	Written  bool      `json:"written"`  // false: the existing proof is as new
	// First reports that it is the first proof, at File + verify.SidecarSuffix, which was
	// replaced because the policy's auditors had not cosigned it.
	First bool `json:"first,omitempty"`
}

func (r *Refreshed) path() string {
	if r.First {
		return r.File + verify.SidecarSuffix
	}
	return r.File + verify.LatestSuffix
}

// UnauditedError means that proofs do not meet the policy yet because its auditors have not
// cosigned the log so far. Refreshing again later may succeed.
type UnauditedError struct {
	Proofs int
	Why    string // of the first, as the log says it, or the policy
}

func (e *UnauditedError) Error() string {
	return fmt.Sprintf("%d proofs are not cosigned by the policy's auditors yet: %s", e.Proofs, e.Why)
}

// Refresh writes beside each file that has a sidecar the newest proof of the same entry, at
// the file's name and verify.LatestSuffix. The first proof, which shows the least age of
// the entry, is not changed, unless the policy's auditors have not cosigned it: then it is
// replaced by the newest one that they have. Together the two prove the age that devices may
// require. It does not need keys or a token. For each role only the highest version gets a
// newest proof. If one proof cannot be refreshed, the others are all the same; with an error,
// the list still holds the refreshed ones. Those that auditors have not cosigned within
// cfg.Wait are an *UnauditedError.
func Refresh(ctx context.Context, cfg Config, set *Files) ([]Refreshed, error) {
	j := newJob(cfg, set.files)
	var written []string
	proved := map[*file][]byte{}
	for _, f := range j.all {
		for _, path := range f.paths {
			sidecar, err := readSidecar(path + verify.SidecarSuffix)
			if err != nil {
				return nil, err
			}
			if sidecar != nil {
				proved[f] = sidecar
				written = append(written, path+verify.LatestSuffix)
			}
		}
	}
	if len(proved) == 0 {
		return nil, ErrNoProofs
	}
	if err := checkReplaced(cfg, written); err != nil {
		return nil, err
	}
	var left []*toRefresh
	var errs []error
	for _, f := range j.all {
		if proved[f] == nil {
			continue
		}
		t, err := j.toRefresh(f, proved)
		errs = append(errs, err)
		if t != nil {
			left = append(left, t)
		}
	}
	// What is furthest behind in the log waits longest for an auditor.
	slices.SortStableFunc(left, func(a, b *toRefresh) int { return cmp.Compare(a.first.Index, b.first.Index) })
	done, err := j.refreshAll(ctx, left)
	return done, errors.Join(append(errs, err)...)
}

// toRefresh is a file whose proofs are to be refreshed.
type toRefresh struct {
	*file
	sidecar []byte
	claim   verify.Claim
	first   *verify.Logged // what its sidecar proves
	audited bool           // not yet by all whom the policy needs
	highest bool           // of its role: it gets a newest proof
}

// toRefresh says what is to be done about f, nil if nothing is.
func (j *job) toRefresh(f *file, proved map[*file][]byte) (*toRefresh, error) {
	t := &toRefresh{file: f, sidecar: proved[f], highest: !slices.ContainsFunc(j.all, func(g *file) bool { return g.role == f.role && g.version > f.version && proved[g] != nil })}
	var err error
	if t.claim, t.first, err = j.proved(f, t.sidecar); err != nil {
		if !t.highest {
			return nil, nil // devices do not ask for it, or the next submit writes it again
		}
		return nil, fmt.Errorf("%s: %w (publisher submit writes it again)", f.name+verify.SidecarSuffix, err)
	}
	_, err = verify.CheckSidecar(t.sidecar, t.claim, j.cfg.Policy)
	if t.audited = err == nil; t.audited && !t.highest {
		return nil, nil
	}
	return t, nil
}

// auditPause is the pause between two questions for a proof that auditors have cosigned.
const auditPause = 2 * time.Second

// refreshAll refreshes files, those with the smallest index first, and waits for auditors.
func (j *job) refreshAll(ctx context.Context, left []*toRefresh) (done []Refreshed, err error) {
	var errs []error
	until, told := time.Now().Add(j.cfg.Wait), ""
	for {
		var waiting *UnauditedError
		for len(left) > 0 {
			list, err := j.refresh(ctx, left[0])
			done = append(done, list...)
			if errors.As(err, &waiting) {
				break // the others are further on in the log
			}
			left, errs = left[1:], append(errs, err)
			if unanswered := (*unansweredError)(nil); errors.As(err, &unanswered) {
				left = nil // the log would be waited for once more with each file
			}
		}
		if waiting == nil {
			return done, errors.Join(errs...)
		}
		waiting.Proofs = len(left)
		if now := waiting.Error(); now != told && j.cfg.Waiting != nil && j.cfg.Wait > 0 {
			told = now
			j.cfg.Waiting(len(left), waiting.Why)
		}
		if time.Until(until) <= 0 {
			return done, errors.Join(append(errs, waiting)...)
		}
		if err := wait.For(ctx, min(auditPause, time.Until(until))); err != nil {
			return done, errors.Join(append(errs, waiting, err)...)
		}
	}
}

// unansweredError is that of a log which has not answered.
type unansweredError struct{ error }

func (e *unansweredError) Unwrap() error { return e.error }

// newest returns the newest proof of the same entry as the first one that meets the policy.
func (j *job) newest(ctx context.Context, t *toRefresh) ([]byte, *verify.Logged, error) {
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Timeout)
	defer cancel()
	check := func(proof []byte) (*verify.Logged, error) {
		logged, err := verify.CheckSidecar(proof, t.claim, j.cfg.Policy)
		if err == nil && !t.first.SameEntry(logged) {
			err = fmt.Errorf("it is of entry %d of log %s, and the first proof of entry %d of log %s", logged.Index, logged.Checkpoint.Origin, t.first.Index, t.first.Checkpoint.Origin)
		}
		return logged, err
	}
	proof, err := j.cfg.Log.EntryProof(ctx, t.first.Index)
	if err != nil {
		return nil, nil, &unansweredError{fmt.Errorf("the newest proof of %s: %w", t.name, err)}
	}
	logged, err := check(proof)
	var short *proofs.QuorumError
	if errors.As(err, &short) && len(short.Auditors) > 0 {
		proof, err = j.cfg.Log.AuditedProof(ctx, t.first.Index)
		var problem *api.ProblemError
		switch {
		case errors.As(err, &problem) && problem.Code == api.CodeNotAudited:
			return nil, nil, &UnauditedError{Why: "the log says: " + printable.Line(problem.Detail)}
		case err != nil:
			return nil, nil, &unansweredError{fmt.Errorf("the audited proof of %s: %w", t.name, err)}
		}
		logged, err = check(proof)
		if errors.As(err, &short) && len(short.Auditors) > 0 {
			return nil, nil, &UnauditedError{Why: "what the log has from its auditors is not enough: " + short.Error()}
		}
	}
	if err != nil {
		return nil, nil, &ProofError{t.name, err}
	}
	return proof, logged, nil
}

// refresh writes the newest proof of what the first one proves about a file, beside each
// copy, and in the place of the first one if no auditor has cosigned that.
func (j *job) refresh(ctx context.Context, t *toRefresh) (done []Refreshed, err error) {
	newest, logged, err := j.newest(ctx, t)
	if waits := (*UnauditedError)(nil); t.audited && errors.As(err, &waits) {
		newest, logged, err = t.sidecar, t.first, nil // there is nothing newer
	}
	if err != nil {
		return nil, err
	}
	for _, path := range t.paths {
		r := Refreshed{File: path, Role: t.role, Version: t.version, Index: t.first.Index, Size: logged.Checkpoint.Tree.N, Cosigned: logged.Cosigned()}
		if !t.audited {
			if err := durable.WriteFile(path+verify.SidecarSuffix, j.forDevices(newest), 0o644); err != nil {
				return done, err
			}
			first := r
			first.First, first.Written = true, true
			done = append(done, first)
		}
		if !t.highest {
			continue
		}
		old, err := readSidecar(path + verify.LatestSuffix)
		if err != nil {
			return done, err
		}
		before, err := verify.CheckSidecar(old, t.claim, j.cfg.Policy)
		if r.Written = err != nil || !t.first.SameEntry(before) || logged.Newer(before); r.Written {
			if err := durable.WriteFile(path+verify.LatestSuffix, j.forDevices(newest), 0o644); err != nil {
				return done, err
			}
		} else {
			r.Size, r.Cosigned = before.Checkpoint.Tree.N, before.Cosigned()
		}
		done = append(done, r)
	}
	return done, nil
}

// proved returns what a sidecar proves about f: that it is a release of the repository
// that the sidecar names, which is believed.
func (j *job) proved(f *file, sidecar []byte) (verify.Claim, *verify.Logged, error) {
	if f.meta == nil {
		return verify.Claim{}, nil, fmt.Errorf("the file beside it cannot be read: %w", f.unread)
	}
	proof, err := proofs.ParseProof(sidecar)
	if err != nil {
		return verify.Claim{}, nil, err
	}
	leaf, err := leaf.Parse(proof.Extra)
	if err != nil {
		return verify.Claim{}, nil, err
	}
	id := leaf.Repository
	if j.fixed() {
		id = j.cfg.Repository
	}
	claim := verify.ClaimFor(id, f.role, f.meta)
	logged, err := verify.CheckSidecar(sidecar, claim, j.before)
	if err != nil {
		return claim, nil, err
	}
	return claim, logged, nil
}

// WriteRefreshed prints a sentence and a line for each proof.
func WriteRefreshed(w io.Writer, list []Refreshed) error {
	written, replaced := 0, 0
	for _, r := range list {
		switch {
		case r.First:
			replaced++
		case r.Written:
			written++
		}
	}
	t := printable.NewTable(w)
	t.Line("%d of %d proofs refreshed, the others are as new as the log's\n", written, len(list)-replaced)
	if replaced > 0 {
		t.Line("%d first proofs replaced by ones that auditors have cosigned\n", replaced)
	}
	t.Line("\n")
	var files []string
	for _, r := range list {
		files = append(files, r.File)
	}
	dir := folderOf(files)
	if dir != "" {
		t.Line("in %s\n", printable.Line(dir))
	}
	t.Row("FILE", "ROLE", "VERSION", "ENTRY", "COSIGNED")
	for _, r := range list {
		at := "-"
		if !r.Cosigned.IsZero() {
			at = r.Cosigned.Format(time.RFC3339)
		}
		t.Row(below(dir, r.path()), r.Role, fmt.Sprint(r.Version), fmt.Sprint(r.Index), at)
	}
	return t.Flush()
}
