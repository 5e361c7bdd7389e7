package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// Files is the metadata to submit, read from disk.
type Files struct {
	files []*file
}

// ReadFiles reads metadata files: each path is a file, or a directory of which all
// *.json files are taken (not those of its folders). The role follows from the
// file's name and the version in it (api.RoleOf). Copies of one file under several
// names are one file with several paths.
func ReadFiles(paths []string) (*Files, error) {
	set := &Files{}
	seen := map[string]bool{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		names := []string{path}
		if info.IsDir() {
			if names, err = filepath.Glob(filepath.Join(globEscape(path), "*.json")); err != nil {
				return nil, err
			}
			if len(names) == 0 {
				return nil, fmt.Errorf("%s: no *.json files there", path)
			}
		}
		for _, name := range names {
			if name = filepath.Clean(name); seen[name] {
				continue
			}
			seen[name] = true
			if err := set.read(name); err != nil {
				return nil, err
			}
		}
	}
	return set, nil
}

func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func (set *Files) read(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return nil // a folder called something.json
	}
	data, err := readLimited(os.DirFS(filepath.Dir(path)), filepath.Base(path), verify.MaxFileSize)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	f := newFile(path, "", 0, data)
	role, err := api.RoleOf(filepath.Base(path), data, f.version)
	f.role = role
	if err != nil {
		f.verdict, f.done = refusal(f, nil, api.CodeRoleName, err.Error()), true
	}
	for _, same := range set.files {
		if same.role == f.role && string(same.data) == string(f.data) {
			same.paths = append(same.paths, path)
			return nil
		}
	}
	f.paths = []string{path}
	set.files = append(set.files, f)
	return nil
}

// ErrNoRepository means that nothing says to which repository files belong.
var ErrNoRepository = errors.New("no root among the files says which repository they belong to")

// Submit publishes the files of one repository and writes beside each that is a
// release its sidecar, once it is verified. The repository is the one that has one
// of the roots; where the log knows none of them, the root of the lowest version
// is registered. A sidecar that is there already and still verifies is left alone:
// an old proof says more about the age of an entry than a new one. With an error,
// the report holds what was done before it.
func Submit(ctx context.Context, cfg Config, set *Files) (*Report, error) {
	j := newJob(cfg, set.files)
	var open []*file
	for _, f := range j.all {
		if !f.done {
			open = append(open, f)
		}
	}
	if cfg.Repository.IsZero() {
		if err := j.settleRepository(ctx, open); err != nil {
			return j.submitted(), err
		}
	}
	if len(j.repos) > 0 {
		for _, files := range j.stages(open) {
			if err := j.step(ctx, files); err != nil {
				return j.submitted(), err
			}
		}
	}
	for _, f := range open {
		if f.verdict.Status == "" {
			f.verdict = refusal(f, nil, api.CodeUnknownRepo, "the repository could not be opened")
		}
		if f.verdict.claim == nil {
			continue
		}
		for _, path := range f.paths {
			if err := j.write(path+verify.SidecarSuffix, f); err != nil {
				return j.submitted(), err
			}
		}
	}
	return j.submitted(), nil
}

// settleRepository finds the one repository that the roots belong to, or opens it.
func (j *job) settleRepository(ctx context.Context, files []*file) error {
	var roots []*file
	err := ErrNoRepository
	for _, f := range files {
		switch {
		case !f.isRoot():
		case f.meta == nil:
			err = fmt.Errorf("%s cannot be read: %w; %w", f.name, f.unread, err)
		case f.meta.Root == nil:
			err = fmt.Errorf("%s is %s metadata; %w", f.name, f.meta.Type, err)
		default:
			roots = append(roots, f)
		}
	}
	if len(roots) == 0 {
		return err
	}
	slices.SortStableFunc(roots, func(a, b *file) int { return cmp.Compare(a.version, b.version) })
	for _, f := range roots {
		if err := j.meet(ctx, f); err != nil {
			return err
		}
	}
	switch len(j.repos) {
	case 0:
		if err := j.register(ctx, roots[0]); err != nil {
			return err
		}
	case 1:
	default:
		return fmt.Errorf("the roots belong to %d repositories of the log, among them %v and %v: name one", len(j.repos), j.repos[0].id, j.repos[1].id)
	}
	if len(j.repos) > 0 {
		j.cfg.Repository = j.repos[0].id
	}
	return nil
}

// stages cuts files into what is sent together. As a rule that is all at once. A
// directory that was never logged may hold files signed by keys that its latest
// root no longer lists: these go before that root does, after the last one with
// whose keys they are good.
func (j *job) stages(files []*file) [][]*file {
	var roots []*file
	for _, f := range files {
		if f.isRoot() && f.meta != nil && f.meta.Root != nil {
			roots = append(roots, f)
		}
		if f.isVoucher() {
			j.snapshots = append(j.snapshots, f)
		}
	}
	slices.SortStableFunc(roots, func(a, b *file) int { return cmp.Compare(a.version, b.version) })
	stages := make([][]*file, max(1, len(roots)))
	for i, root := range roots {
		stages[i] = append(stages[i], root)
	}
	for _, f := range files {
		if !slices.Contains(roots, f) {
			i := j.stage(f, roots)
			stages[i] = append(stages[i], f)
		}
	}
	// Roots with nothing to send after them go with the next.
	var merged [][]*file
	var open []*file
	for i, stage := range stages {
		open = append(open, stage...)
		if i == len(stages)-1 || len(stage) > 1 {
			merged, open = append(merged, open), nil
		}
	}
	return merged
}

// stage returns the index of the last root with whose keys f may be accepted, of
// the last root if none has them. For targets metadata its snapshot counts too.
func (j *job) stage(f *file, roots []*file) int {
	end := max(0, len(roots)-1)
	last := func(f *file) int {
		if f.meta == nil || !verify.IsTopLevel(f.role) {
			return end
		}
		for i, root := range slices.Backward(roots) {
			if f.meta.Meets(root.meta.Root.KeySet(f.role)) == nil {
				return i
			}
		}
		return end
	}
	own := last(f)
	vouched := -1
	for _, snapshot := range j.snapshots {
		if f.needsVoucher() && f.isListedIn(snapshot) {
			vouched = max(vouched, last(snapshot))
		}
	}
	if vouched >= 0 {
		return min(own, vouched)
	}
	return own
}

// write puts the sidecar of f at path, unless a valid one is there.
func (j *job) write(path string, f *file) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		if _, err := verify.CheckSidecar(old, *f.verdict.claim, j.cfg.Policy); err == nil {
			f.verdict.Sidecars = append(f.verdict.Sidecars, path)
			return nil
		}
	}
	if err := durable.WriteFile(path, f.verdict.sidecar, 0o644); err != nil {
		return err
	}
	f.verdict.Sidecars = append(f.verdict.Sidecars, path)
	return nil
}

// submitted reports the verdicts, one for each path.
func (j *job) submitted() *Report {
	r := &Report{}
	for _, known := range j.repos {
		r.Repositories = append(r.Repositories, known.id.String())
	}
	for _, f := range j.all {
		for _, path := range f.paths {
			if v := f.verdict; v.Status != "" {
				v.File, v.Sidecars = path, nil
				if slices.Contains(f.verdict.Sidecars, path+verify.SidecarSuffix) {
					v.Sidecars = []string{path + verify.SidecarSuffix}
				}
				r.Files = append(r.Files, v)
			}
		}
	}
	return r
}
