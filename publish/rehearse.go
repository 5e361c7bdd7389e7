package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Reader is the part of a log that a rehearsal reads; *api.Client is one. The
// answers are trusted: a rehearsal is advice, and not proof.
type Reader interface {
	// Lookup returns the leaves that have a SHA-256 digest (64 hex digits) as their
	// payload.
	Lookup(ctx context.Context, sha256 string) (*api.Lookup, error)
	// Repository returns a repository and all its leaves in log order.
	Repository(ctx context.Context, id string) (*api.Repository, error)
	// Blob returns a metadata file that a leaf names.
	Blob(ctx context.Context, sha256 string) ([]byte, error)
}

// Rehearse reports the result that Submit would have, by the same rules, without
// sending or writing. The log is read in its present state; nil means an empty log,
// and does not need a network. cfg.Log is not used.
func Rehearse(ctx context.Context, cfg Config, log Reader, set *Files) (*Report, error) {
	r := &rehearsal{log: log, leaves: map[int64]leaf.Leaf{}, blobs: map[tuf.Digest][]byte{}, repos: map[tuf.Digest]*admit.Repository{}}
	cfg.Log = r
	j := newJob(cfg, set.files)
	j.rehearsal, j.bundles = r, set.bundles
	if log == nil {
		j.cfg.Replace = true // there is no other log
	}
	return j.submit(ctx, set.ignored)
}

// rehearsal is a Log that takes nothing: what it would append it forgets. The log's
// own leaves have their indices, those that it would append come after all others.
type rehearsal struct {
	log    Reader
	leaves map[int64]leaf.Leaf
	added  int64
	blobs  map[tuf.Digest][]byte
	repos  map[tuf.Digest]*admit.Repository
}

// firstAdded is the index of the first leaf that would be appended.
const firstAdded = int64(1) << 50

// Lookup implements Log.
func (r *rehearsal) Lookup(ctx context.Context, sha256 string) (*api.Lookup, error) {
	if r.log == nil {
		return &api.Lookup{SHA256: sha256}, nil
	}
	return r.log.Lookup(ctx, sha256)
}

// EntryProof implements Log: nothing is proved.
func (r *rehearsal) EntryProof(context.Context, int64) ([]byte, error) {
	return nil, errors.New("a rehearsal does not prove anything")
}

// AuditedProof implements Log: nothing is proved.
func (r *rehearsal) AuditedProof(ctx context.Context, index int64) ([]byte, error) {
	return r.EntryProof(ctx, index)
}

// Blob implements Log.
func (r *rehearsal) Blob(ctx context.Context, sha256 string) ([]byte, error) {
	sum, err := tuf.ParseDigest(sha256)
	if err != nil {
		return nil, err
	}
	if data, ok := r.blobs[sum]; ok {
		return data, nil
	}
	if r.log == nil {
		return nil, fmt.Errorf("no file %s", sha256)
	}
	data, err := r.log.Blob(ctx, sha256)
	if err == nil {
		r.blobs[sum] = data
	}
	return data, err
}

// leaf returns the leaf at an index that a verdict gave.
func (r *rehearsal) leaf(index int64) (leaf.Leaf, error) {
	leaf, ok := r.leaves[index]
	if !ok {
		return leaf, fmt.Errorf("no entry %d", index)
	}
	return leaf, nil
}

// rehearsed is a admit.Blobs.
type rehearsed struct{ *rehearsal }

func (r rehearsed) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return r.rehearsal.Blob(ctx, sum.String())
}

// append adds a leaf and returns its index.
func (r *rehearsal) append(leaf leaf.Leaf, files ...*tuf.Metadata) int64 {
	index := firstAdded + r.added
	r.added++
	r.leaves[index] = leaf
	for _, m := range files {
		r.blobs[m.FileDigest] = m.File
	}
	return index
}

// Register implements Log, for a root that the log does not have.
func (r *rehearsal) Register(_ context.Context, root []byte) (*api.Result, error) {
	result := func(repository string, f api.FileResult) (*api.Result, error) {
		f.File, f.Role = "root.json", tuf.RoleRoot
		return &api.Result{Repository: repository, Done: true, Results: []api.FileResult{f}}, nil
	}
	m, err := codec.ParseAny(root)
	if err != nil {
		return result("", api.FileResult{Status: api.StatusRefused, Index: -1, Code: api.CodeMalformed, Detail: err.Error()})
	}
	d, err := admit.JudgeGenesis(m)
	if err != nil {
		f, err := refusedBy(err)
		if err != nil {
			return nil, err
		}
		return result("", f)
	}
	index := r.append(d.Leaf, m)
	repo, err := admit.NewRepository(d.Leaf, index, rehearsed{r})
	if err != nil {
		return nil, err
	}
	r.repos[repo.ID()] = repo
	return result(repo.ID().String(), api.FileResult{Status: api.StatusReleased, Index: index})
}

// repository reads a repository of the log.
func (r *rehearsal) repository(ctx context.Context, id string) (*admit.Repository, error) {
	sum, err := tuf.ParseDigest(id)
	if err != nil {
		return nil, err
	}
	if repo, ok := r.repos[sum]; ok {
		return repo, nil
	}
	if r.log == nil {
		return nil, fmt.Errorf("repository %s cannot be judged without a log", id)
	}
	list, err := r.log.Repository(ctx, id)
	if err != nil {
		return nil, err
	}
	var repo *admit.Repository
	for _, l := range list.Leaves {
		leaf, err := l.Leaf()
		if err != nil {
			return nil, fmt.Errorf("the log's entry %d: %w", l.Index, err)
		}
		r.leaves[l.Index] = leaf
		if repo == nil {
			repo, err = admit.NewRepository(leaf, l.Index, rehearsed{r})
		} else {
			err = repo.Apply(l.Index, leaf)
		}
		if err != nil {
			return nil, err
		}
	}
	if repo == nil || repo.ID() != sum {
		return nil, fmt.Errorf("the log shows no genesis of repository %s", id)
	}
	r.repos[sum] = repo
	return repo, nil
}

// Submit implements Log.
func (r *rehearsal) Submit(ctx context.Context, repository string, files []api.File) (*api.Result, error) {
	repo, err := r.repository(ctx, repository)
	if err != nil {
		return nil, err
	}
	type sent struct {
		file api.FileResult
		meta *tuf.Metadata
	}
	res := &api.Result{Repository: repository, Done: true}
	var queue []sent
	var snapshots []*tuf.Metadata
	for _, f := range files {
		m, err := codec.Parse(api.EncodingOf(f.Name), f.Data)
		if err != nil {
			res.Results = append(res.Results, api.FileResult{File: f.Name, Status: api.StatusRefused, Index: -1, Code: api.CodeMalformed, Detail: err.Error()})
			continue
		}
		role, err := api.RoleOf(f.Name, f.Data, m.Version)
		if err != nil {
			return nil, err
		}
		queue = append(queue, sent{api.FileResult{File: f.Name, Role: role, Version: m.Version}, m})
		if m.Snapshot != nil {
			snapshots = append(snapshots, m)
		}
	}
	slices.SortStableFunc(queue, func(a, b sent) int {
		return cmp.Or(admit.Compare(a.file.Role, a.file.Version, b.file.Role, b.file.Version), cmp.Compare(a.file.Role, b.file.Role))
	})
	verdicts, err := judgeTar(len(queue), func(i int) (api.FileResult, error) {
		q := queue[i]
		verdict, err := r.judge(ctx, repo, q.file.Role, q.meta, snapshots)
		if err != nil {
			return verdict, fmt.Errorf("%s %d: %w", q.file.Role, q.file.Version, err)
		}
		verdict.File, verdict.Role, verdict.Version = q.file.File, q.file.Role, q.file.Version
		return verdict, nil
	})
	res.Results = append(res.Results, verdicts...)
	return res, err
}

// judgeTar judges the files of one tar as a log does: what may have come too early is
// judged again as long as others get in.
func judgeTar(files int, judge func(i int) (api.FileResult, error)) ([]api.FileResult, error) {
	verdicts := make([]api.FileResult, files)
	again := make([]int, files)
	for i := range again {
		again[i] = i
	}
	for progress := true; progress; {
		var early []int
		progress = false
		for _, i := range again {
			verdict, err := judge(i)
			if err != nil {
				return nil, err
			}
			verdicts[i] = verdict
			switch {
			case verdict.Status != api.StatusRefused:
				progress = true
			case admit.MayComeLater(verdict.Code):
				early = append(early, i)
			}
		}
		again = early
	}
	return verdicts, nil
}

// judge judges a file and appends its leaf. A snapshot or timestamp is judged as well,
// but appended only where the log has others.
func (r *rehearsal) judge(ctx context.Context, repo *admit.Repository, role string, m *tuf.Metadata, snapshots []*tuf.Metadata) (api.FileResult, error) {
	voucher := m.Snapshot != nil || m.Timestamp != nil
	d, err := repo.Judge(ctx, role, m, snapshots)
	if err != nil {
		verdict, err := refusedBy(err)
		if voucher && verdict.Code == api.CodeSuperseded {
			verdict.Code = api.CodeNotLoggedRole // an old one
		}
		return verdict, err
	}
	if voucher && !d.Logged {
		logs := slices.ContainsFunc(repo.Records(), func(rec admit.Record) bool { return rec.Leaf.Role == role })
		if !logs {
			return api.FileResult{Status: api.StatusRefused, Index: -1, Code: api.CodeNotLoggedRole, Detail: "a log that does not log " + role + " metadata takes it as a voucher"}, nil
		}
	}
	result := api.FileResult{Status: api.StatusReleased, Index: d.Index}
	switch {
	case d.Logged:
		result.Status = api.StatusLogged
	default:
		result.Index = r.append(d.Leaf, append(snapshots, m)...)
		if err := repo.Apply(result.Index, d.Leaf); err != nil {
			return result, err
		}
	}
	if r.leaves[result.Index].Kind == leaf.Evidence {
		result.Status = api.StatusEvidence
	}
	return result, nil
}

// refusedBy is the verdict on a file that the rules refuse. Other errors are no
// verdict.
func refusedBy(err error) (api.FileResult, error) {
	var refused *admit.Refused
	if !errors.As(err, &refused) {
		return api.FileResult{}, err
	}
	return api.FileResult{Status: api.StatusRefused, Index: -1, Code: refused.Code, Detail: refused.Detail}, nil
}
