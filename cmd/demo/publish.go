package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/publish"
)

// submit runs publisher submit, which must exit with the code given, and returns
// its verdicts.
func (w *world) submit(ctx context.Context, wantCode int, args ...string) (*publish.Report, error) {
	o, err := w.p.run(ctx, "publisher", w.publisher("submit", append([]string{"--json"}, args...)...)...)
	if err != nil {
		return nil, err
	}
	if o.code != wantCode {
		return nil, o.unexpected(fmt.Sprint(wantCode))
	}
	r := new(publish.Report)
	if err := json.Unmarshal([]byte(o.stdout), r); err != nil {
		return nil, fmt.Errorf("%s printed no JSON report: %w", o.command, err)
	}
	return r, nil
}

// released submits the vendor's folder, of which everything must be logged, and
// returns what is new in the log.
func (w *world) released(ctx context.Context, m *maker) ([]publish.Verdict, *publish.Report, error) {
	if err := m.write(); err != nil {
		return nil, nil, err
	}
	r, err := w.submit(ctx, 0, m.dir)
	if err != nil {
		return nil, nil, err
	}
	var fresh []publish.Verdict
	for _, v := range r.Files {
		if v.Status == api.StatusReleased {
			fresh = append(fresh, v)
		}
	}
	if len(r.Repositories) != 1 || len(fresh) == 0 {
		return nil, nil, fmt.Errorf("publisher submit %s: %d repositories and %d releases, expected one repository and something released", m.dir, len(r.Repositories), len(fresh))
	}
	slices.SortFunc(fresh, func(a, b publish.Verdict) int { return int(a.Index - b.Index) })
	return fresh, r, nil
}

// name is how the transcript calls a metadata file: "targets 5".
func name(v publish.Verdict) string { return fmt.Sprintf("%s %d", v.Role, v.Version) }

// entries lists files with the log entries they have become.
func entries(vs []publish.Verdict) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = fmt.Sprintf("%s = entry %d", name(v), v.Index)
	}
	return strings.Join(parts, ", ")
}

// verdictOn returns the verdict on one file of a report.
func verdictOn(r *publish.Report, file string) (publish.Verdict, error) {
	for _, v := range r.Files {
		if filepath.Base(v.File) == file {
			return v, nil
		}
	}
	return publish.Verdict{}, fmt.Errorf("the publisher does not report %s", file)
}

// refusedBy checks that the log refused a file with a code.
func refusedBy(r *publish.Report, file, code string) (publish.Verdict, error) {
	v, err := verdictOn(r, file)
	if err != nil {
		return v, err
	}
	if v.Status != api.StatusRefused || v.Code != code {
		return v, fmt.Errorf("the log's verdict on %s is %q %s (%s), expected %q %s", file, v.Status, v.Code, v.Detail, api.StatusRefused, code)
	}
	return v, nil
}
