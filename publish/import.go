package publish

import (
	"context"

	"github.com/tuflog/tuflog/log/api"
)

// Import publishes a history, each file as it appeared. A history normally holds files that a
// log refuses (drafts, files that nobody lists): the report says so, file by file.
// An error ends the import where it is; the report then holds what was done. The
// log is the state: importing again goes on, since what is logged answers with
// the index it has.
//
// A root opens a repository if it is version 1, or Config.Genesis: an *UndecidedError
// says that there is none, and that nothing was sent.
//
// Timestamps, and snapshots by themselves, are no longer sent once the log has
// said that it does not log them.
func Import(ctx context.Context, cfg Config, h *History) (*Report, error) {
	j := newJob(cfg, h.files)
	j.ignored = h.ignored
	if !j.fixed() {
		if err := j.settleGenesis(ctx); err != nil {
			return j.report(), err
		}
	}
	if err := j.run(ctx); err != nil {
		return j.report(), err
	}
	for _, f := range j.all {
		if f.verdict.Status == "" {
			f.verdict = refusal(f, nil, api.CodeUnknownRepo, "no root of this history opens a repository")
		}
	}
	j.explainEvidence(ctx)
	return j.report(), nil
}

// report collects the verdicts. A file without one (the import ended before its
// turn) is left out.
func (j *job) report() *Report {
	r := &Report{Notes: append(j.twins(), j.notes...), Ignored: j.ignored}
	for _, known := range j.repos {
		r.Repositories = append(r.Repositories, known.id.String())
	}
	for _, f := range j.all {
		if f.verdict.Status != "" {
			r.Files = append(r.Files, f.verdict)
		}
	}
	return r
}
