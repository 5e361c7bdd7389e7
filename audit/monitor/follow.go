package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// follower follows one log. All that touches its auditor runs in one goroutine; others ask
// witnesses and live repositories, and hand over what they saw.
type follower struct {
	m          *Monitor
	log        Log
	policy     *proofs.Policy
	policyText []byte
	url        string
	logger     *slog.Logger
	witnesses  []*witness
	live       []*live
	expected   []*expectations
	copier     *copier // nil: no copy is kept
	keepers    []*anchored.Keeper
	unanchored []string // instances in which it cannot be anchored
	teller     *teller
	wake       chan struct{} // something has been fetched that the next step takes

	stop  context.CancelFunc // ends run
	ended chan struct{}      // closed when run has ended

	a        *audit.Auditor
	open     map[string]audit.Finding // that have been told, by id; nil: nothing has been told yet
	changed  int64                    // the state's last change of a finding that has been told
	trouble  string
	since    time.Time
	readAt   time.Time // when the log was read to its end last
	reported bool      // since the process began, all of the log has been judged once
	// undescribed says that repositories have had leaves since it was said what is in force.
	undescribed bool
	swept       bool // and what is not watched any more has ended

	ahead      []ahead                  // that the log has not shown, or not all of it
	savedAhead string                   // as the state has them
	missing    map[tuf.Digest]time.Time // files that are missing, by their findings, and when that was seen here first
	progress   time.Time                // when leaves came last, or the process began
	lookEnded  time.Time                // the last look, or the state was opened: the next look began after this

	standing  *audit.Standing
	vouchedOn string      // what it followed from
	cosigned  time.Time   // when the cosigner looked last
	copied    atomic.Bool // the copy has changed since

	mu        sync.Mutex
	status    Status
	written   time.Time // when the status was
	differs   bool      // from what was written, in more than times
	unwritten string    // why the status could not be written last; empty: it was
}

// newFollower reads the policy of a log. Nothing is asked.
func (m *Monitor) newFollower(log Log) (*follower, error) {
	f := &follower{m: m, log: log, logger: m.opts.Logger.With("log", log.Name), wake: make(chan struct{}, 1)}
	var err error
	if f.policyText, err = regular.ReadSome(log.Policy, proofs.MaxPolicySize+1); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if f.policy, err = proofs.ParsePolicy(f.policyText); err != nil {
		return nil, fmt.Errorf("policy: %s: %w", log.Policy, err)
	}
	if len(f.policy.Logs) == 0 {
		return nil, fmt.Errorf("policy: %s has no line \"log\": want the log's key", log.Policy)
	}
	if f.url, err = urlOf(log, f.policy); err != nil {
		return nil, err
	}
	if f.witnesses, err = f.findWitnesses(); err != nil {
		return nil, fmt.Errorf("policy: %s: %w", log.Policy, err)
	}
	if log.Mirror {
		f.copier = newCopier(f)
	}
	f.teller = newTeller(f)
	f.status = Status{Log: log.Name, URL: fetch.Redacted(f.url), Open: map[audit.Class]int{}}
	for _, w := range f.witnesses {
		f.status.Witnesses = append(f.status.Witnesses, Witness{Name: w.name, URL: fetch.Redacted(w.url)})
	}
	for _, r := range log.Repositories {
		id, err := tuf.ParseDigest(r.ID)
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.Name, err)
		}
		s := Repository{ID: id, Name: r.Name}
		for _, u := range r.URLs {
			s.Live = append(s.Live, Live{URL: fetch.Redacted(u)})
			l, err := newLive(f, r, u)
			if err != nil {
				return nil, err
			}
			f.live = append(f.live, l)
		}
		f.status.Repositories = append(f.status.Repositories, s)
	}
	for i := range log.Repositories {
		e, err := f.newExpectations(i)
		if err != nil {
			return nil, err
		}
		if e != nil {
			f.expected = append(f.expected, e)
		}
	}
	if f.keepers, f.unanchored, err = f.newKeepers(); err != nil {
		return nil, err
	}
	return f, nil
}

// urlOf returns the URL of a log: as configured, or the one that the policy names.
func urlOf(log Log, policy *proofs.Policy) (string, error) {
	if log.URL != "" {
		return log.URL, nil
	}
	url := ""
	for _, l := range policy.Logs {
		if l.Key.Name() != policy.Logs[0].Key.Name() || l.URL == "" || url != "" && l.URL != url {
			return "", errors.New("url: the policy does not name the URL of one log: say which")
		}
		url = l.URL
	}
	if err := checkURL(url); err != nil {
		return "", fmt.Errorf("policy: the log's URL: %w", err)
	}
	return url, nil
}

// origin is the name of the log, as far as it is known.
func (f *follower) origin() string { return cmp.Or(f.a.Origin(), f.policy.Logs[0].Key.Name()) }

// origins are the names of the logs of the policy.
func (f *follower) origins() []string {
	var list []string
	for _, l := range f.policy.Logs {
		if !slices.Contains(list, l.Key.Name()) {
			list = append(list, l.Key.Name())
		}
	}
	return list
}

// Pauses before a state is opened again that could not be.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// run follows the log until the context ends.
func (f *follower) run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	asking, stop := context.WithCancel(ctx)
	defer stop()
	for _, w := range f.witnesses {
		beside.Go(func() { w.run(asking) })
	}
	for _, l := range f.live {
		beside.Go(func() { l.run(asking) })
	}
	for _, e := range f.expected {
		beside.Go(func() { e.Run(asking) })
	}
	if f.copier != nil {
		beside.Go(func() { f.copier.run(asking) })
	}
	for _, k := range f.keepers {
		beside.Go(func() { k.Run(asking) })
	}
	beside.Go(func() { f.teller.run(asking) })
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
		err := f.openState(ctx)
		if err == nil {
			err = f.a.Run(ctx, func(step audit.StepResult, err error) error {
				err = f.took(ctx, step, err)
				if err == nil {
					pause = firstPause // it works
				}
				return err
			})
			err = errors.Join(err, f.a.Close())
		}
		if ctx.Err() != nil {
			break
		}
		f.say(fmt.Sprintf("its state cannot be used: %v", err), true)
		f.save(false)
		if wait.For(ctx, pause) != nil {
			break
		}
	}
	f.save(true)
}

func (f *follower) openState(ctx context.Context) error {
	f.lookEnded = f.m.opts.Now()
	src, err := source.NewHTTP(f.url, nil)
	if err != nil {
		return err
	}
	if f.a, err = audit.New(ctx, f.auditConfig(src.For(f.policy))); err != nil {
		return err
	}
	if err := f.loadAhead(ctx); err != nil {
		return errors.Join(err, f.a.Close())
	}
	return nil
}

func (f *follower) auditConfig(src audit.Source) audit.Config {
	return audit.Config{
		Source: src, Policy: f.policy, StateDir: StateDir(f.m.dir, f.log.Name),
		Confirm: true, Stale: refusals * f.log.Withheld, Interval: f.log.Interval, Now: f.m.opts.Now, Wake: f.wake,
		Found: func(ctx context.Context) {
			if !f.swept {
				return // what is not watched any more would be told, too
			}
			if err := f.tell(ctx); err != nil { // it is told after the step
				f.logger.Warn("what was found is not told yet", "error", err)
			}
		},
	}
}

// wakeUp ends the pause between two steps.
func (f *follower) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// took takes over the result of a step, and what was seen elsewhere meanwhile. The error is
// that of a state that cannot be used.
func (f *follower) took(ctx context.Context, step audit.StepResult, stepErr error) error {
	defer func() { f.lookEnded = f.m.opts.Now() }()
	var own *audit.StateError
	done := stepErr == nil || errors.As(stepErr, &own)
	trouble := troubleOf(step, stepErr)
	if trouble != "" {
		f.say(trouble, own != nil)
	}
	if step.To > step.From {
		size := int64(0)
		if step.Checkpoint != nil {
			size = step.Checkpoint.Tree.N
		}
		f.m.news.write(News{Log: f.log.Name, Type: NewsJudged, From: step.From, To: step.To, Size: size})
	}
	if done && step.Waiting == 0 && stepErr == nil {
		f.readAt = f.m.opts.Now()
	}
	if !f.swept {
		if err := f.endUnwatched(ctx); err != nil {
			return err
		}
		f.swept = true
	}
	if err := f.takeOffers(ctx); err != nil {
		return err
	}
	if err := f.lookAtWithheld(ctx, step, stepErr); err != nil {
		return err
	}
	if err := f.lookAtFiles(ctx, stepErr); err != nil {
		return err
	}
	// What was found up to here is told before anything is looked at for which others are asked.
	if err := f.tell(ctx); err != nil {
		return err
	}
	if err := f.takeLive(ctx, step, done && step.Waiting == 0); err != nil {
		return err
	}
	if err := f.takeExpectations(ctx, done && step.Waiting == 0); err != nil {
		return err
	}
	if err := f.takeAnchors(ctx); err != nil {
		return err
	}
	first := done && step.Waiting == 0 && step.Checkpoint != nil && !f.reported
	if first {
		// What is true of the present is found with a report.
		if _, err := f.a.Report(ctx); err != nil {
			f.logger.Warn("not all could be reported", "error", err)
		}
		f.reported = true
	}
	f.undescribed = f.undescribed || step.To > step.From
	if f.undescribed && f.reported && step.Waiting == 0 {
		// Whether a release is in force is read from this.
		var err error
		if f.undescribed, err = f.a.Describe(ctx, maxDescribed); err != nil {
			f.logger.Warn("of a repository it cannot be said what is in force", "error", err)
		}
	}
	if err := f.tell(ctx); err != nil {
		return err
	}
	f.say(trouble, own != nil) // all is well only now
	f.note(ctx, step, trouble == "" && step.Waiting == 0)
	if done && step.Waiting == 0 && (first || step.To > step.From) {
		if err := f.a.Finished(ctx); err != nil {
			f.logger.Warn("the end of a replay was not noted", "error", err)
		}
	}
	f.save(false)
	return nil
}

// maxDescribed is of how many repositories a look says again what is in force.
const maxDescribed = 64

// troubleOf says why the log was not read and judged to its newest checkpoint; empty: it was, or
// it will be with the steps that follow.
func troubleOf(step audit.StepResult, stepErr error) string {
	if stepErr != nil {
		return stepErr.Error()
	}
	for _, x := range step.Findings {
		switch x.Kind {
		case audit.LiveMissing, audit.ReleaseUnseen, audit.ExpectationsMissing: // of others
		default:
			if x.Class == audit.Outage {
				return x.Sentence
			}
		}
	}
	return ""
}

// say notes what cannot be done now; empty: all can. own says that it is this machine's doing.
func (f *follower) say(trouble string, own bool) {
	if trouble == f.trouble {
		return
	}
	before := f.trouble
	if f.trouble = trouble; before == "" {
		f.since = f.m.opts.Now()
	}
	f.set(func(s *Status) {
		if s.Trouble, s.Since, s.Own = trouble, 0, own; trouble != "" {
			s.Since = f.since.Unix()
		}
	})
	if trouble == "" {
		f.logger.Info("well again", "after", f.m.opts.Now().Sub(f.since).Round(time.Second))
		f.m.news.write(News{Log: f.log.Name, Type: NewsWell})
		return
	}
	f.logger.Warn("trouble", "error", trouble)
	f.m.news.write(News{Log: f.log.Name, Type: NewsTrouble, Text: trouble})
}

// note notes what the step has shown.
func (f *follower) note(ctx context.Context, step audit.StepResult, whole bool) {
	now := f.m.opts.Now().Unix()
	var checkpoint *audit.CheckpointReport
	f.mu.Lock()
	changed := step.Checkpoint != nil && (f.status.Checkpoint == nil || f.status.Judged != step.To || f.status.Checkpoint.Note != string(f.a.Note()))
	f.mu.Unlock()
	if changed {
		checkpoint = audit.ReportOf(step.Checkpoint, f.a.Note())
	}
	basis := fmt.Sprint(step.To, step.Waiting, len(step.Findings), whole, f.changed)
	if copied := f.copied.Swap(false); basis != f.vouchedOn || changed || copied || f.cosignDue() {
		standing, err := f.a.Standing(ctx)
		if err != nil {
			f.logger.Error("it is not known whether the log stands", "error", err)
		}
		f.standing, f.vouchedOn = standing, basis
		if f.copier != nil && standing != nil {
			f.copier.follow(standing)
		}
		f.cosign(ctx, standing)
	}
	vouches := f.standing != nil && f.standing.Vouches()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.status
	if s.Asked = now; whole && step.Checkpoint != nil {
		s.Answered = now
	}
	if changed {
		s.Checkpoint, s.Origin = checkpoint, checkpoint.Origin
		s.Cosigned = 0
		for _, w := range checkpoint.Witnesses {
			s.Cosigned = max(s.Cosigned, w.Time)
		}
		f.differs = true
	}
	if s.Judged != step.To || s.Waiting != step.Waiting || s.Vouches != vouches || s.Ended != f.a.Ended() {
		s.Judged, s.Waiting, s.Vouches, s.Ended = step.To, step.Waiting, vouches, f.a.Ended()
		f.differs = true
	}
}

// set changes the status.
func (f *follower) set(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
	f.differs = true
}

// snapshot returns the status, which nobody changes.
func (f *follower) snapshot() *Status {
	since, err := f.m.undelivered()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	if err != nil {
		s.Undelivered, s.UndeliveredSince = fetch.RedactedText(err.Error()), since.Unix()
	}
	s.Open = maps.Clone(s.Open)
	s.Witnesses = slices.Clone(s.Witnesses)
	s.Anchors = slices.Clone(s.Anchors)
	s.Repositories = slices.Clone(s.Repositories)
	for i, r := range s.Repositories {
		s.Repositories[i].Live = slices.Clone(r.Live)
	}
	return &s
}

// How often a status is written: when it differs, and when nothing but its times does.
const (
	writeEvery      = 10 * time.Second
	writeTimesEvery = time.Minute
)

// save writes the status if it is time to, or now.
func (f *follower) save(now bool) {
	f.mu.Lock()
	since := f.m.opts.Now().Sub(f.written)
	due := now || f.written.IsZero() || since < 0 || f.differs && since >= writeEvery || since >= writeTimesEvery
	if !due {
		f.mu.Unlock()
		return
	}
	f.written, f.differs = f.m.opts.Now(), false
	f.mu.Unlock()
	s := f.snapshot()
	s.Written = f.m.opts.Now().Unix()
	err := s.write(f.m.dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	if before := f.unwritten; err == nil {
		f.unwritten = ""
	} else if f.unwritten = err.Error(); f.unwritten != before {
		f.logger.Error("the status was not written", "error", err)
	}
}

// maxConfirmed is how often once asks again for what was served wrong.
const maxConfirmed = 3

// once looks once at all that is followed, and again at what was served wrong.
func (f *follower) once(ctx context.Context) (*audit.Report, error) {
	if err := f.openState(ctx); err != nil {
		return nil, err
	}
	defer f.a.Close()
	var stepErr error
	looks, confirmed := 0, 0
	for more := true; more; looks++ {
		var step audit.StepResult
		step, stepErr = f.a.Step(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if looks == 0 {
			f.askAll(ctx)
			f.readExpectations(ctx)
		}
		if err := f.took(ctx, step, stepErr); err != nil {
			return nil, err
		}
		more = stepErr == nil && (step.Waiting > 0 || f.liveRound(ctx))
		if stepErr == nil && !more && f.a.InDoubt() && confirmed < maxConfirmed {
			confirmed++
			more = wait.For(ctx, f.log.Interval) == nil
		}
	}
	if err := f.expectationsRound(ctx, stepErr == nil); err != nil {
		return nil, err
	}
	if f.copier != nil {
		f.copier.update(ctx)
	}
	f.anchorOnce(ctx)
	if err := f.takeAnchors(ctx); err != nil {
		return nil, err
	}
	report, err := f.a.Report(ctx)
	if err == nil {
		err = f.tell(ctx)
	}
	if err == nil {
		if err = f.tellNow(ctx); err != nil {
			err = fmt.Errorf("not told yet: the outbox of alerts cannot be written: %w", err)
		}
	}
	if err == nil && stepErr == nil && report.Waiting == 0 && report.Checkpoint != nil {
		err = f.a.Finished(ctx)
	}
	f.save(true)
	return report, errors.Join(stepErr, err)
}

// finding words a finding about a repository.
func finding(kind audit.Kind, id tuf.Digest, role string, version int64, format string, args ...any) audit.Finding {
	return audit.NewFinding(kind, -1, id, role, version, fmt.Sprintf(format, args...))
}
