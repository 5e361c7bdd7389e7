package publish

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// job publishes step by step: files become pending, and every step sends what
// may be accepted now.
type job struct {
	cfg       Config
	all       []*file
	repos     []*repo // in the order in which they were met; the last is asked first
	snapshots []*file // met so far, in order
	pending   []*file // refused so far, and waiting
	skip      map[string]string
	found     map[tuf.Digest][]tuf.Digest // the log's repositories, by the payloads of roots at hand; nil: not asked
	ignored   []Ignored
	notes     []string
	rehearsal *rehearsal // nil: the log takes what is sent
}

// repo is a repository of the log.
type repo struct {
	id       tuf.Digest
	roots    int // releases of roots seen in this job
	releases int // releases of roots, targets and delegated roles
	payloads map[rolePayload]bool
}

type rolePayload struct {
	role    string
	payload tuf.Digest
}

// try is what a repository said to a file, and what it knew then.
type try struct {
	code, detail    string // of the refusal
	logged          bool   // not refused: the payload was logged, in another file
	roots, releases int
	payload         bool // it had the file's payload
	vouchers        map[*file]bool
}

// newJob copies the files: what becomes of them is the job's alone.
func newJob(cfg Config, files []*file) *job {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	j := &job{cfg: cfg, skip: map[string]string{}}
	for _, f := range files {
		f := *f
		f.tries, f.vouched = map[*repo]*try{}, map[*file]error{}
		if f.meta == nil && !f.done {
			// It is not sent. No answer about it could be proved, and it may be
			// anything: a secret that a link in the folder leads to.
			f.verdict, f.done = refusal(&f, nil, api.CodeMalformed, f.unread.Error()), true
		}
		j.all = append(j.all, &f)
	}
	if !cfg.Repository.IsZero() {
		j.know(cfg.Repository)
	}
	return j
}

// fixed reports whether there is one repository and no other may be found.
func (j *job) fixed() bool { return !j.cfg.Repository.IsZero() }

// step publishes files that appeared together, and what waited for them.
func (j *job) step(ctx context.Context, files []*file) error {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b *file) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.version, b.version))
	})
	for _, f := range files {
		if f.isVoucher() && !slices.Contains(j.snapshots, f) {
			j.snapshots = append(j.snapshots, f)
		}
	}
	var rest []*file
	for _, f := range files {
		if !f.isRoot() || j.fixed() {
			rest = append(rest, f)
			continue
		}
		if err := j.root(ctx, f, false); err != nil {
			return err
		}
		if !f.done {
			j.pending = append(j.pending, f)
		}
	}
	return j.settle(ctx, rest)
}

// settle sends files, and then what is pending and may have a chance, until
// nothing changes.
func (j *job) settle(ctx context.Context, files []*file) error {
	work := files
	for {
		for _, r := range slices.Backward(slices.Clone(j.repos)) {
			if err := j.offer(ctx, r, work); err != nil {
				return err
			}
		}
		j.pending = append(j.pending, files...)
		files = nil
		j.pending = slices.DeleteFunc(j.pending, func(f *file) bool { return f.done })
		work = nil
		for _, f := range j.pending {
			if !slices.ContainsFunc(j.repos, func(r *repo) bool { return j.worth(f, r) }) {
				continue
			}
			if !f.isRoot() || j.fixed() {
				work = append(work, f)
			} else if err := j.root(ctx, f, false); err != nil {
				return err
			}
		}
		if len(work) == 0 && !slices.ContainsFunc(j.pending, func(f *file) bool { return f.done }) {
			return nil
		}
	}
}

// last gives the roots that waited for their parent the chance to open a
// repository, once the history is over.
func (j *job) last(ctx context.Context) error {
	for _, f := range slices.Clone(j.pending) {
		if f.isRoot() && !f.done {
			if err := j.root(ctx, f, true); err != nil {
				return err
			}
		}
	}
	return j.settle(ctx, nil)
}

// root publishes a root: in the repository that has it, in one that it chains to,
// or in a new one. It waits when its parent comes later in this history, unless
// this is its last chance.
func (j *job) root(ctx context.Context, f *file, last bool) error {
	if f.done {
		return nil
	}
	if j.fixed() {
		return j.offer(ctx, j.repos[0], []*file{f})
	}
	if f.isReadableRoot() {
		for _, id := range j.found[f.meta.PayloadDigest] {
			if j.mayJoin(id) {
				j.know(id)
			}
		}
	}
	for _, r := range slices.Backward(slices.Clone(j.repos)) {
		if err := j.offer(ctx, r, []*file{f}); err != nil || f.done {
			return err
		}
	}
	if _, err := admit.JudgeGenesis(f.meta); err != nil {
		if len(f.tries) == 0 {
			f.verdict = refusal(f, nil, codeOf(err), "no root so far opens a repository, and this one cannot: "+err.Error())
		}
		return nil
	}
	if !last && j.parentAhead(f) {
		return nil
	}
	if !j.begins(f) {
		if len(f.tries) == 0 {
			f.verdict = refusal(f, nil, api.CodeNoParent, "no root so far is the one before it, and a repository begins with version 1 unless another is asked for")
		}
		return nil
	}
	return j.register(ctx, f)
}

// know returns the repository, which becomes the last met if it is new.
func (j *job) know(id tuf.Digest) *repo {
	for _, r := range j.repos {
		if r.id == id {
			return r
		}
	}
	r := &repo{id: id, payloads: map[rolePayload]bool{}}
	j.repos = append(j.repos, r)
	return r
}

// parentAhead reports whether the root that f chains to comes later in this
// history: then f must wait for it, or it would open a repository of its own.
func (j *job) parentAhead(f *file) bool {
	return slices.ContainsFunc(j.all, func(p *file) bool {
		return p.commit > f.commit && p.version == f.version-1 && p.meta != nil && p.meta.Root != nil &&
			f.meta.Meets(p.meta.Root.KeySet(tuf.RoleRoot)) == nil
	})
}

// register asks the log to open a repository with f.
func (j *job) register(ctx context.Context, f *file) error {
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Timeout)
	defer cancel()
	res, err := j.cfg.Log.Register(ctx, f.data)
	if err != nil {
		return fmt.Errorf("register %s: %w", f.name, err)
	}
	if len(res.Results) != 1 {
		return fmt.Errorf("register %s: %d verdicts on one root", f.name, len(res.Results))
	}
	verdict := res.Results[0]
	if verdict.Status == api.StatusRefused {
		f.verdict = refusal(f, nil, verdict.Code, verdict.Detail)
		f.done = final(verdict.Code)
		return nil
	}
	id, err := tuf.ParseDigest(res.Repository)
	if err != nil {
		return fmt.Errorf("register %s: repository: %w", f.name, err)
	}
	switch {
	case id == f.meta.PayloadDigest:
	case verdict.Status == api.StatusReleased:
		return &ProofError{f.name, fmt.Errorf("it opened repository %v, which is not the digest of the root's payload", id)}
	default: // since the log was asked
		return &UndecidedError{Why: fmt.Sprintf("the log has %s in repository %v, which begins with another root", f.name, id), Repositories: []string{id.String()}}
	}
	r := j.know(id)
	return j.record(f, r, verdict, nil)
}

// offer sends to r those of files that it may accept, with the snapshots that
// list them.
func (j *job) offer(ctx context.Context, r *repo, files []*file) error {
	var open []*file
	for _, f := range files {
		detail, skipped := j.skip[f.role]
		switch {
		case f.done:
		case skipped:
			f.verdict, f.done = refusal(f, r, api.CodeNotLoggedRole, detail), true
		case j.worth(f, r):
			open = append(open, f)
		}
	}
	for _, b := range j.pack(r, open) {
		if err := j.send(ctx, r, b); err != nil {
			return err
		}
	}
	return nil
}

// worth reports whether r may accept f: it was never asked, or has learnt since
// what it lacked then.
func (j *job) worth(f *file, r *repo) bool {
	if f.done || f.logged != nil && f.logged != r {
		return false
	}
	t, tried := f.tries[r]
	if !tried {
		return true
	}
	// Keys come from root for the top-level roles, from targets metadata for the
	// delegated ones.
	newKeys := r.roots > t.roots || f.rank() == rankDelegated && r.releases > t.releases
	switch {
	case t.logged:
		return newKeys
	case !t.payload && r.has(f):
		return true
	}
	switch t.code {
	case api.CodeNoParent:
		return r.roots > t.roots
	case api.CodeThreshold, api.CodeSuperseded, api.CodeNotDelegated:
		return newKeys
	case api.CodeSnapshotNeeded:
		return newKeys || len(j.vouchers(f, r)) > 0
	case api.CodeNotCovered, api.CodeSecondPayload:
		// Any release may delegate, or say whose the other payload is.
		return newKeys || r.releases > t.releases || len(j.vouchers(f, r)) > 0
	}
	return false
}

// has reports whether r is known to have the payload of f for its role.
func (r *repo) has(f *file) bool {
	return r.payloads[rolePayload{f.role, f.meta.PayloadDigest}]
}

// send sends a batch to r and takes down the verdicts.
func (j *job) send(ctx context.Context, r *repo, b *batch) error {
	files := make([]api.File, len(b.files))
	for i, f := range b.files {
		files[i] = api.File{Name: f.sent(), Data: f.data}
	}
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Timeout)
	defer cancel()
	res, err := j.cfg.Log.Submit(ctx, r.id.String(), files)
	if err != nil {
		return fmt.Errorf("submit %s: %w", summary(b.files), err)
	}
	answered := map[*file]bool{}
	for _, verdict := range res.Results {
		f := b.names[verdict.File]
		if f == nil || answered[f] {
			return fmt.Errorf("submit %s: the log answers about %q, which was not asked", summary(b.files), verdict.File)
		}
		answered[f] = true
		if err := j.record(f, r, verdict, b.vouchers[f]); err != nil {
			return err
		}
	}
	for _, f := range b.files {
		switch {
		case answered[f]:
		case f.rank() >= rankSnapshot:
			// A log that does not log them may take them as vouchers and say no more.
			j.refused(f, r, api.FileResult{Code: api.CodeNotLoggedRole, Detail: "the log takes a " + f.role + " only as a voucher for others"}, nil)
		default:
			return fmt.Errorf("submit %s: the log gives no verdict on %s", summary(b.files), f.name)
		}
	}
	return nil
}

func summary(files []*file) string {
	if len(files) == 1 {
		return files[0].name
	}
	return fmt.Sprintf("%s and %d more", files[0].name, len(files)-1)
}
