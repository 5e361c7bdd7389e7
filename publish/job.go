package publish

import (
	"context"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// job publishes stage by stage, in the order of admit.Order: it chooses the repository
// that a file is for, and the snapshots that go along.
type job struct {
	cfg       Config
	before    *proofs.Policy // cfg.Policy before its auditors have cosigned
	all       []*file
	open      []*file // those of them that can be sent
	repos     []*repo // in the order in which they were met; the last is asked first
	snapshots []*file // met so far, in order
	skip      map[string]string
	found     map[tuf.Digest][]tuf.Digest // the log's repositories, by the payloads of roots at hand; nil: not asked
	accepted  int                         // how many files the log has said it has, of those that others may wait for
	roots     int                         // how many of them are roots
	bundles   []*bundle                   // whose metadata is among all
	ignored   []Ignored
	notes     []string
	unaudited int        // proofs that the policy's auditors have not cosigned yet
	rehearsal *rehearsal // nil: the log takes what is sent
}

// repo is a repository of the log.
type repo struct {
	id   tuf.Digest
	root *file // the last of those at hand that it has; nil: none so far
}

// newJob copies the files: what becomes of them is the job's alone.
func newJob(cfg Config, files []*file) *job {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	j := &job{cfg: cfg, before: cfg.Policy.BeforeAudit(), skip: map[string]string{}}
	for _, f := range files {
		f := *f
		f.vouched = map[*file]error{}
		if f.meta == nil && !f.done {
			// It is not sent. No answer about it could be proved, and it may be
			// anything: a secret that a link in the folder leads to.
			f.verdict, f.done = refusal(&f, nil, api.CodeMalformed, f.unread.Error()), true
		}
		j.all = append(j.all, &f)
		if !f.done {
			j.open = append(j.open, &f)
		}
	}
	if !cfg.Repository.IsZero() {
		j.know(cfg.Repository)
	}
	return j
}

// fixed reports whether there is one repository and no other may be found.
func (j *job) fixed() bool { return !j.cfg.Repository.IsZero() }

// run publishes stage by stage, and then once more what may have come too early, as
// long as that brings something: the order is made of the files alone, and what the log
// has already, or which of several payloads it took, only its answers say.
func (j *job) run(ctx context.Context) error {
	j.progress(len(j.all) - len(j.open))
	for _, stage := range j.stages(j.open) {
		if err := j.send(ctx, stage); err != nil {
			return err
		}
		j.progress(len(stage))
	}
	for before := -1; before < j.accepted; {
		before = j.accepted
		early := slices.DeleteFunc(slices.Clone(j.open), func(f *file) bool { return !j.early(f) })
		if err := j.send(ctx, early); err != nil {
			return err
		}
	}
	return nil
}

// progress tells how many more files have a first verdict.
func (j *job) progress(files int) {
	if j.cfg.Progress != nil {
		j.cfg.Progress(files)
	}
}

// stages puts files in order. A run of stages that hold nothing but snapshots and
// timestamps is one: those change no keys, so the log judges them alike one by one or
// together, and a history has many.
func (j *job) stages(files []*file) [][]*file {
	submitted := make([]admit.Submitted, len(files))
	for i, f := range files {
		submitted[i] = admit.Submitted{Role: f.role, File: f.meta, Since: f.commit}
	}
	var cut [][]*file
	var names map[string]bool // of the run that is open
	for _, indexes := range admit.Order(submitted) {
		stage := make([]*file, len(indexes))
		for i, index := range indexes {
			stage[i] = files[index]
		}
		if slices.ContainsFunc(stage, func(f *file) bool { return !f.isCurrency() }) {
			cut, names = append(cut, stage), nil
			continue
		}
		if names == nil || len(names)+len(stage) > maxBatchFiles || slices.ContainsFunc(stage, func(f *file) bool { return names[f.sent()] }) {
			cut, names = append(cut, nil), map[string]bool{}
		}
		for _, f := range stage {
			names[f.sent()] = true
		}
		cut[len(cut)-1] = append(cut[len(cut)-1], stage...)
	}
	return cut
}

// send offers files to the repositories: each root by itself where it may be another's,
// or open one, then all others.
func (j *job) send(ctx context.Context, files []*file) error {
	var rest []*file
	for _, f := range files {
		if f.isVoucher() && !slices.Contains(j.snapshots, f) {
			j.snapshots = append(j.snapshots, f)
		}
		if !f.isRoot() || j.fixed() || f.done {
			rest = append(rest, f)
		} else if err := j.root(ctx, f); err != nil {
			return err
		}
	}
	for _, r := range slices.Backward(slices.Clone(j.repos)) {
		if err := j.offer(ctx, r, rest); err != nil {
			return err
		}
	}
	return nil
}

// root publishes a root: in the repository that has it, in one that it chains to,
// or in a new one.
func (j *job) root(ctx context.Context, f *file) error {
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
		if !f.judged {
			f.verdict = refusal(f, nil, codeOf(err), "no root so far opens a repository, and this one cannot: "+err.Error())
		}
		return nil
	}
	if !j.begins(f) {
		if !f.judged {
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
	r := &repo{id: id}
	j.repos = append(j.repos, r)
	return r
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
	return j.record(f, r, verdict)
}

// offer sends to r those of files that have no verdict yet, with the snapshots that
// list them.
func (j *job) offer(ctx context.Context, r *repo, files []*file) error {
	var open []*file
	for _, f := range files {
		detail, skipped := j.skip[f.role]
		switch {
		case f.done:
		case skipped:
			f.verdict, f.done = refusal(f, r, api.CodeNotLoggedRole, detail), true
		default:
			open = append(open, f)
		}
	}
	for _, b := range j.pack(r, open) {
		if err := j.sendTar(ctx, r, b); err != nil {
			return err
		}
	}
	for _, f := range open {
		f.seen = j.giving(f)
	}
	return nil
}

// early reports whether f was refused for want of something that is not known to be
// missing still.
func (j *job) early(f *file) bool {
	if f.done || f.seen == j.giving(f) {
		return false
	}
	switch f.verdict.Code {
	case api.CodeNotCovered, api.CodeSecondPayload:
		return true // any release may delegate, or say whose the other payload is
	}
	return !f.judged || admit.MayComeLater(f.verdict.Code)
}

// giving counts what was accepted of that for which f may wait: for roots, a root.
func (j *job) giving(f *file) int {
	if f.isRoot() {
		return j.roots
	}
	return j.accepted
}

// sendTar sends a batch to r and takes down the verdicts.
func (j *job) sendTar(ctx context.Context, r *repo, b *batch) error {
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
		if err := j.record(f, r, verdict); err != nil {
			return err
		}
	}
	for _, f := range b.files {
		switch {
		case answered[f]:
		case f.isCurrency():
			// A log that does not log them may take them as vouchers and say no more.
			j.refused(f, r, api.FileResult{Code: api.CodeNotLoggedRole, Detail: "the log takes a " + f.role + " only as a voucher for others"})
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
