package publish

import (
	"context"
	"errors"
	"slices"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// Submit publishes the files of one repository and writes beside each that is a release
// its sidecar, once it is verified. The repository is the one of the log that begins
// with a root among the files; if the log does not know any of them, the root of version
// 1 opens it (see Config.Genesis). An existing sidecar that still verifies is kept: an
// old proof shows a greater age of an entry than a new one. Pigweed's bundles are written with
// the proofs inside, see BundlesTo. An *UndecidedError or a
// *ReplaceError means that no file was sent. With an error, the report holds the results
// so far.
func Submit(ctx context.Context, cfg Config, set *Files) (*Report, error) {
	j := newJob(cfg, set.files)
	j.bundles = set.bundles
	return j.submit(ctx, set.ignored)
}

func (j *job) submit(ctx context.Context, ignored []Ignored) (*Report, error) {
	j.ignored = ignored
	if err := checkReplaced(j.cfg, j.sidecars()); err != nil {
		return j.submitted(), err
	}
	if err := j.checkBundles(); err != nil {
		return j.submitted(), err
	}
	if !j.fixed() {
		if err := j.settleRepository(ctx); err != nil {
			return j.submitted(), err
		}
	}
	if len(j.repos) > 0 {
		if err := j.run(ctx); err != nil {
			return j.submitted(), err
		}
	}
	for _, f := range j.all {
		if f.verdict.Status == "" {
			f.verdict = refusal(f, nil, api.CodeUnknownRepo, "the repository could not be opened")
		}
	}
	j.explain()
	err := errors.Join(j.writeSidecars(), j.writeBundles())
	j.noteUnaudited()
	if err == nil {
		j.explainEvidence(ctx)
	}
	return j.submitted(), err
}

// submitted reports the verdicts, one for each path.
func (j *job) submitted() *Report {
	r := &Report{Rehearsed: j.rehearsal != nil, Notes: append(j.twins(), j.notes...), Ignored: j.ignored}
	for _, known := range j.repos {
		r.Repositories = append(r.Repositories, known.id.String())
	}
	for _, f := range j.all {
		for _, path := range f.paths {
			if v := f.verdict; v.Status != "" {
				v.File, v.Sidecars = path, nil
				if v.Index >= firstAdded {
					v.Index = -1
				}
				if slices.Contains(f.verdict.Sidecars, path+verify.SidecarSuffix) {
					v.Sidecars = []string{path + verify.SidecarSuffix}
				}
				if f.embedded {
					v.Sidecars = f.verdict.Sidecars
				}
				r.Files = append(r.Files, v)
			}
		}
	}
	return r
}
