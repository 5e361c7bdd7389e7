package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
)

// follow replays and goes on. It ends with the context, and then with the
// verdict on all that was seen.
func follow(ctx context.Context, cfg audit.Config, asJSON bool, stdout, stderr io.Writer) error {
	f := &follower{bar: &progress{stderr: stderr, label: "replay"}, stdout: stdout, stderr: stderr}
	if asJSON {
		f.json = json.NewEncoder(stdout)
	}
	cfg.Progress = func(done, total int64) {
		if f.bar != nil {
			f.bar.to(done, total)
		}
	}
	cfg.Confirm = true
	var err error
	if f.a, err = audit.New(ctx, cfg); err != nil {
		return err
	}
	defer f.a.Close()
	said := false
	err = f.a.Run(ctx, func(step audit.StepResult, err error) error {
		if !said && err == nil {
			sayAudited(stderr, cfg)
			said = true
		}
		return f.tell(ctx, step, err)
	})
	if ctx.Err() == nil {
		return err
	}
	report, err := f.a.Report(context.WithoutCancel(ctx))
	return verdict(report, err, audit.Class.Fails)
}

// follower tells the news of each step.
type follower struct {
	a              *audit.Auditor
	stdout, stderr io.Writer
	json           *json.Encoder // nil: text
	bar            *progress     // nil: the whole log has been judged once
	last           string        // what could not be done in the step before
	lasting        outages
}

// news is what a step has to tell.
type news struct {
	audit.StepResult                 // its findings: the new ones
	over             []audit.Finding // what lasted until then
	trouble          string          // what could not be done
	first            bool            // with it the whole log has been judged
}

// tell tells the news of a step, if it has any.
func (f *follower) tell(ctx context.Context, step audit.StepResult, stepErr error) error {
	var own *audit.StateError // the log was audited all the same
	done := stepErr == nil || errors.As(stepErr, &own)
	n := news{StepResult: step, first: f.bar != nil && done && step.Waiting == 0}
	if n.first {
		f.bar.done()
		f.bar = nil
	}
	if done && step.Waiting > 0 {
		f.note(fmt.Sprintf("%d of %d leaves have been judged", step.To, step.To+step.Waiting))
	}
	if stepErr != nil {
		n.trouble = stepErr.Error()
	}
	n.Findings, n.over = f.lasting.next(step.Findings)
	fresh := n.trouble != f.last
	f.last = n.trouble
	if !n.first && !fresh && n.From == n.To && len(n.Findings)+len(n.over) == 0 {
		return nil
	}
	say := f.printText
	if f.json != nil {
		say = f.printJSON
	} else if fresh && n.trouble != "" {
		f.note(n.trouble)
	}
	if err := say(ctx, n); err != nil {
		return err // there is nobody left to go on for
	}
	if done && n.Waiting == 0 {
		if err := f.a.Finished(ctx); err != nil {
			f.note(err.Error())
		}
	}
	return nil
}

// note says on stderr what happens.
func (f *follower) note(text string) { fmt.Fprintf(f.stderr, "%s %s\n", clock(), printable.Line(text)) }

func (f *follower) printJSON(ctx context.Context, n news) error {
	r, err := f.a.StepReport(ctx, n.StepResult)
	if n.first && err == nil {
		leaves := r.Leaves
		r, err = f.a.Report(ctx)
		r.From, r.Leaves = n.From, leaves
	}
	if n.trouble == "" && err != nil {
		n.trouble = err.Error()
	}
	r.Over, r.Error = n.over, n.trouble
	return f.json.Encode(r)
}

func (f *follower) printText(ctx context.Context, n news) error {
	var out bytes.Buffer
	if n.first {
		report, err := f.a.Report(ctx)
		if err != nil {
			fmt.Fprintln(f.stderr, printable.Line(err.Error()))
		}
		printReport(&out, report, nil, true)
	} else {
		if f.bar != nil {
			n.From = n.To // the report will have the leaves
		}
		leaves, err := f.a.Leaves(ctx, n.From, n.To)
		if err != nil {
			return err
		}
		printStep(&out, leaves, n.StepResult, n.over)
	}
	_, err := out.WriteTo(cli.Folded(f.stdout))
	return err
}

// outages are the findings that last.
type outages struct{ list []audit.Finding }

// next takes the findings of a step and returns those that are new, and those that
// lasted until then.
func (o *outages) next(findings []audit.Finding) (news, over []audit.Finding) {
	key := func(f audit.Finding) string { return fmt.Sprint(f.Kind, f.Index, f.Repository, f.Sentence) }
	before, now := map[string]bool{}, map[string]bool{}
	for _, f := range o.list {
		before[key(f)] = true
	}
	var list []audit.Finding
	news = []audit.Finding{}
	for _, f := range findings {
		if f.Class == audit.Outage {
			list = append(list, f)
			now[key(f)] = true
			if before[key(f)] {
				continue
			}
		}
		news = append(news, f)
	}
	over = []audit.Finding{}
	for _, f := range o.list {
		if !now[key(f)] {
			over = append(over, f)
		}
	}
	o.list = list
	return news, over
}

func clock() string { return time.Now().UTC().Format(time.RFC3339) }

// verdicts are what is said of a leaf that was followed.
var verdicts = map[audit.Verdict]string{
	audit.Right:       "logged rightly",
	audit.Wrong:       "LOGGED WRONGLY",
	audit.NotJudged:   "not judged",
	audit.UnknownToUs: "of a kind that is not known",
}

func printStep(w io.Writer, leaves []audit.LeafReport, step audit.StepResult, over []audit.Finding) {
	now := clock()
	for _, leaf := range leaves {
		if leaf.Verdict == audit.TheEnd {
			fmt.Fprintf(w, "%s entry %d: the log has ended\n", now, leaf.Index)
			continue
		}
		what := "entry"
		if leaf.Fields != nil {
			what = fmt.Sprintf("%s of repository %s, %s %d", leaf.Kind, leaf.Repository[:16], tuf.Word(leaf.Role), leaf.Version)
		}
		fmt.Fprintf(w, "%s entry %d: %s: %s\n", now, leaf.Index, what, verdicts[leaf.Verdict])
	}
	for _, f := range step.Findings {
		fmt.Fprintf(w, "%s %s: %s: %s%s\n", now, f.Class, f.Kind, whereFound(f), printable.Line(f.Sentence))
	}
	for _, f := range over {
		fmt.Fprintf(w, "%s over: %s: %s%s\n", now, f.Kind, whereFound(f), printable.Line(f.Sentence))
	}
}

// whereFound says what a finding is about.
func whereFound(f audit.Finding) string {
	where := ""
	if f.Index >= 0 {
		where = fmt.Sprintf("entry %d: ", f.Index)
	}
	if !f.Repository.IsZero() {
		where = fmt.Sprintf("repository %s, ", short(f.Repository)) + where
	}
	return where
}
