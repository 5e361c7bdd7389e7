package publish

import (
	"context"

	"github.com/tuflog/tuflog/log/api"
)

// Import publishes a history, each file as it appeared. A history normally holds files that a
// log refuses (drafts, unlisted files): the report has the reason, file by file. An error
// ends the import; the report then holds the results so far. The log is the state: importing
// again continues, since the log answers with the index of a logged file.
//
// A root opens a repository if it is version 1, or Config.Genesis: an *UndecidedError
// means that there is none, and that no file was sent.
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
