package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/log/api"
)

// audited is what auditor replay --json prints, as far as the demo reads it.
type audited struct {
	Checkpoint *struct {
		Size      int64 `json:"size"`
		Witnesses []struct {
			Witness string `json:"witness"`
		} `json:"witnesses"`
	} `json:"checkpoint"`
	Judged   int64 `json:"judged"`
	Vouches  bool  `json:"vouches"`
	Findings []struct {
		Kind     string `json:"kind"`
		Class    string `json:"class"`
		Index    int64  `json:"index"`
		Sentence string `json:"sentence"`
	} `json:"findings"`
	Leaves []auditedLeaf `json:"leaves"`
}

type auditedLeaf struct {
	api.Leaf
	Verdict string `json:"verdict"`
}

// replay runs auditor replay --json. The auditor exits with 0 when it found
// nothing and with 1 when it found something; anything else is an error.
func (w *world) replay(ctx context.Context, flags ...string) (*audited, error) {
	o, err := w.p.run(ctx, "auditor", w.auditor("replay", append([]string{"--json"}, flags...)...)...)
	if err != nil {
		return nil, err
	}
	if o.code != 0 && o.code != 1 {
		return nil, o.unexpected("0 or 1")
	}
	a := new(audited)
	if err := json.Unmarshal([]byte(o.stdout), a); err != nil {
		return nil, fmt.Errorf("%s printed no JSON report: %w", o.command, err)
	}
	if a.Checkpoint == nil {
		return nil, o.unexpected("a verified checkpoint")
	}
	return a, nil
}

// content checks that the auditor has replayed the whole log and has nothing to
// say against it. What vendors did wrong is not the log's fault.
func (a *audited) content() error {
	var against []string
	for _, f := range a.Findings {
		switch f.Class {
		case "equivocation", "hygiene":
		default:
			against = append(against, f.Class+" "+f.Kind+": "+f.Sentence)
		}
	}
	switch {
	case len(against) > 0:
		return fmt.Errorf("the auditor found:\n%s", strings.Join(against, "\n"))
	case !a.Vouches:
		return fmt.Errorf("the auditor does not vouch for the log, and does not say why")
	case a.Judged != a.Checkpoint.Size || int64(len(a.Leaves)) != a.Judged:
		return fmt.Errorf("the auditor judged %d leaves and lists %d of %d", a.Judged, len(a.Leaves), a.Checkpoint.Size)
	}
	return nil
}

// found returns the indices of the findings of a kind.
func (a *audited) found(kind string) []int64 {
	var indices []int64
	for _, f := range a.Findings {
		if f.Kind == kind {
			indices = append(indices, f.Index)
		}
	}
	return indices
}

// audit has the auditor replay the log, and then look up the installed file.
func (s *story) audit(ctx context.Context) error {
	step := s.t.step("auditor", "reads the log from entry 0 and judges everything again")
	a, err := s.w.replay(ctx)
	if err != nil {
		return err
	}
	if err := a.content(); err != nil {
		return err
	}
	s.audited = a
	want := []int64{s.evidence, s.pigweedEvidence}
	if found := a.found("second-payload"); !slices.Equal(found, want) {
		return fmt.Errorf("the auditor found second payloads at entries %v, expected those at %v", found, want)
	}
	o, err := s.w.p.run(ctx, "auditor", s.w.auditor("replay")...)
	if err != nil {
		return err
	}
	if o.code != 1 {
		return o.unexpected("1, because something was found")
	}
	step.outcome("all %d entries are right", a.Judged)
	step.table(afterHead(o.stdout))

	step = s.t.step("auditor", "looks up the file that the device installed")
	o, err = s.w.p.run(ctx, "auditor", s.w.auditor("lookup", s.installed)...)
	if err != nil {
		return err
	}
	if o.code != 0 {
		return o.unexpected("0")
	}
	step.outcome("a release lists it, and evidence does not")
	sentence, rest, _ := strings.Cut(o.stdout, "\n\n")
	step.table(sentence + "\n" + afterHead(rest))
	return nil
}
