package publish

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// fakeLog is a log in memory: the real rules of admission over real proofs,
// without storage, witnesses and HTTP.
type fakeLog struct {
	t        testing.TB
	signer   *proofs.Signer
	policy   *proofs.Policy
	hashes   []tlog.Hash // stored hashes, see tlog.StoredHashes
	leaves   []leaf.Leaf
	repos    []*admit.Repository
	blobs    blobs
	notLog   map[string]bool // roles that are not logged
	auditor  *proofs.Signer  // nil: the log asks none
	audited  int64           // so many entries the auditor has cosigned
	requests int
	sent     map[string]int                        // files sent, by role
	tamper   func(*api.FileResult)                 // what a lying log changes
	fail     func(request int) error               // a log that cannot be reached
	tars     func(repository string, f []api.File) // told of every submission
}

type blobs map[tuf.Digest][]byte

func (b blobs) Blob(_ context.Context, sum tuf.Digest) ([]byte, error) {
	if data, ok := b[sum]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("no blob %v", sum)
}

// newFake returns a log that logs all roles but those in notLog.
func newFake(t testing.TB, notLog ...string) *fakeLog {
	t.Helper()
	return newFakeAs(t, "fake.example/log", notLog...)
}

func newFakeAs(t testing.TB, origin string, notLog ...string) *fakeLog {
	t.Helper()
	signer, err := proofs.GenerateSigner(rand.Reader, origin, proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := proofs.ParsePolicy([]byte("log " + signer.Key().String() + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := &fakeLog{t: t, signer: signer, policy: policy, blobs: blobs{}, notLog: map[string]bool{}, sent: map[string]int{}}
	for _, role := range notLog {
		l.notLog[role] = true
	}
	return l
}

func (l *fakeLog) config() Config { return Config{Log: l, Policy: l.policy} }

func (l *fakeLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = l.hashes[index]
	}
	return found, nil
}

// append integrates a leaf.
func (l *fakeLog) append(leaf leaf.Leaf) int64 {
	index := int64(len(l.leaves))
	more, err := tlog.StoredHashes(index, leaf.Marshal(), l)
	if err != nil {
		l.t.Fatal(err)
	}
	l.hashes = append(l.hashes, more...)
	l.leaves = append(l.leaves, leaf)
	return index
}

// sidecar proves the entry at index under a checkpoint of now.
func (l *fakeLog) sidecar(index int64) string { return l.sidecarAt(index, int64(len(l.leaves)), nil) }

// sidecarAt proves the entry at index under a checkpoint of a size, which somebody may have
// cosigned.
func (l *fakeLog) sidecarAt(index, size int64, cosigner *proofs.Signer) string {
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	hashes, err := tlog.ProveRecord(size, index, l)
	if err != nil {
		l.t.Fatal(err)
	}
	text := proofs.Checkpoint{Origin: l.signer.Key().Name(), Tree: proofs.Tree{N: size, Hash: root}}.String()
	sig, err := l.signer.Sign(text, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	note := proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}
	if cosigner != nil {
		sig, err := cosigner.Sign(text, 1)
		if err != nil {
			l.t.Fatal(err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	return string(proofs.Proof{Extra: l.leaves[index].Marshal(), Index: index, Hashes: hashes, Checkpoint: note.Marshal()}.Marshal())
}

func (l *fakeLog) ask(ctx context.Context) error {
	l.requests++
	if l.fail != nil {
		if err := l.fail(l.requests); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (l *fakeLog) Lookup(ctx context.Context, sha256 string) (*api.Lookup, error) {
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	found := &api.Lookup{SHA256: sha256}
	for i, leaf := range l.leaves {
		if leaf.Payload.String() == sha256 {
			found.Leaves = append(found.Leaves, api.Leaf{Index: int64(i), Fields: leaf.Fields()})
		}
	}
	return found, nil
}

func (l *fakeLog) EntryProof(_ context.Context, index int64) ([]byte, error) {
	if index < 0 || index >= int64(len(l.leaves)) {
		return nil, fmt.Errorf("no entry %d", index)
	}
	return []byte(l.sidecar(index)), nil
}

func (l *fakeLog) AuditedProof(ctx context.Context, index int64) ([]byte, error) {
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	if index >= l.audited {
		return nil, &api.ProblemError{Problem: api.Problem{Status: 404, Code: api.CodeNotAudited, Detail: fmt.Sprintf("the first %d entries are", l.audited)}}
	}
	return []byte(l.sidecarAt(index, l.audited, l.auditor)), nil
}

func (l *fakeLog) Blob(ctx context.Context, sha256 string) ([]byte, error) {
	sum, err := tuf.ParseDigest(sha256)
	if err != nil {
		return nil, err
	}
	return l.blobs.Blob(ctx, sum)
}

func (l *fakeLog) Repository(ctx context.Context, id string) (*api.Repository, error) {
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	r := &api.Repository{}
	for i, logged := range l.leaves {
		if logged.Repository.String() != id {
			continue
		}
		r.Leaves = append(r.Leaves, api.Leaf{Index: int64(i), Fields: logged.Fields()})
	}
	return r, nil
}

func (l *fakeLog) Register(ctx context.Context, root []byte) (*api.Result, error) {
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	result := func(repository tuf.Digest, r api.FileResult) (*api.Result, error) {
		r.File, r.Role = "root.json", tuf.RoleRoot
		return &api.Result{Repository: repository.String(), Done: true, Results: []api.FileResult{r}}, nil
	}
	m, err := tuf.ParseJSON(root)
	if err != nil {
		return result(tuf.Digest{}, api.FileResult{Status: api.StatusRefused, Index: -1, Code: api.CodeMalformed, Detail: err.Error()})
	}
	for i, logged := range l.leaves {
		if logged.Payload == m.PayloadDigest && logged.Kind == leaf.Release {
			return result(logged.Repository, l.proved(api.StatusLogged, int64(i)))
		}
	}
	d, err := admit.JudgeGenesis(m)
	if err != nil {
		return result(tuf.Digest{}, l.refused(err))
	}
	l.blobs[m.FileDigest] = m.File
	index := l.append(d.Leaf)
	repo, err := admit.NewRepository(d.Leaf, index, l.blobs)
	if err != nil {
		l.t.Fatal(err)
	}
	l.repos = append(l.repos, repo)
	return result(repo.ID(), l.proved(api.StatusReleased, index))
}

func (l *fakeLog) proved(status api.Status, index int64) api.FileResult {
	r := api.FileResult{Status: status, Index: index, Sidecar: l.sidecar(index)}
	if l.leaves[index].Kind == leaf.Evidence {
		r.Status = api.StatusEvidence
		r.Detail = fmt.Sprintf("contradicts the release at index %d", l.leaves[index].Contradicts)
	}
	if l.tamper != nil {
		l.tamper(&r)
	}
	return r
}

// refused is the verdict on a file that the rules refuse.
func (l *fakeLog) refused(err error) api.FileResult {
	l.t.Helper()
	r, err := refusedBy(err)
	if err != nil {
		l.t.Error(err)
	}
	return r
}

func (l *fakeLog) Submit(ctx context.Context, repository string, files []api.File) (*api.Result, error) {
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	if l.tars != nil {
		l.tars(repository, files)
	}
	i := slices.IndexFunc(l.repos, func(r *admit.Repository) bool { return r.ID().String() == repository })
	if i < 0 {
		return nil, &api.ProblemError{Problem: api.Problem{Status: 404, Code: api.CodeUnknownRepo}}
	}
	if len(files) > api.MaxFiles {
		l.t.Errorf("%d files in one tar", len(files))
	}
	type parsed struct {
		name, role string
		meta       *tuf.Metadata
	}
	res := &api.Result{Repository: repository, Done: true}
	var queue []parsed
	var snapshots []*tuf.Metadata
	names := map[string]bool{}
	for _, f := range files {
		if names[f.Name] {
			l.t.Errorf("%s is twice in one tar", f.Name)
		}
		names[f.Name] = true
		m, err := tuf.ParseJSON(f.Data)
		if err != nil {
			role, roleErr := api.RoleOf(f.Name, f.Data, 0)
			l.sent[role]++
			res.Results = append(res.Results, api.FileResult{File: f.Name, Role: role, Status: api.StatusRefused, Index: -1,
				Code: api.CodeMalformed, Detail: errors.Join(err, roleErr).Error()})
			continue
		}
		role, err := api.RoleOf(f.Name, f.Data, m.Version)
		if err != nil {
			l.t.Errorf("sent %q: %v", f.Name, err)
		}
		l.sent[role]++
		queue = append(queue, parsed{f.Name, role, m})
		if m.Snapshot != nil {
			snapshots = append(snapshots, m)
		}
	}
	slices.SortStableFunc(queue, func(a, b parsed) int { return tuf.Rank(a.role) - tuf.Rank(b.role) })
	verdicts, err := judgeTar(len(queue), func(n int) (api.FileResult, error) {
		q := queue[n]
		r := l.judge(l.repos[i], q.role, q.meta, snapshots)
		r.File, r.Role, r.Version = q.name, q.role, q.meta.Version
		return r, nil
	})
	res.Results = append(res.Results, verdicts...)
	return res, err
}

func (l *fakeLog) judge(repo *admit.Repository, role string, m *tuf.Metadata, snapshots []*tuf.Metadata) api.FileResult {
	if l.notLog[role] {
		return api.FileResult{Status: api.StatusRefused, Index: -1, Code: api.CodeNotLoggedRole, Detail: "this log does not log role " + role}
	}
	d, err := repo.Judge(l.t.Context(), role, m, snapshots)
	if err != nil {
		return l.refused(err)
	}
	if d.Logged {
		return l.proved(api.StatusLogged, d.Index)
	}
	l.blobs[m.FileDigest] = m.File
	for _, s := range snapshots {
		if s.FileDigest == d.Leaf.Snapshot {
			l.blobs[s.FileDigest] = s.File
		}
	}
	index := l.append(d.Leaf)
	if err := repo.Apply(index, d.Leaf); err != nil {
		l.t.Fatal(err)
	}
	return l.proved(api.StatusReleased, index)
}

// realHistory reads one of the real histories, or skips the test.
func realHistory(t testing.TB, name string) *History {
	t.Helper()
	h, err := ReadHistory(filepath.Join(realdata.Histories(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
