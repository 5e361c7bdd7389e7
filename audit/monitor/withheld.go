package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about what a log keeps from the monitor alone. How it does that does not matter:
// it may show an older tree, or answer nothing at all, as it would in an honest outage. What
// tells the two apart is what the witnesses have cosigned meanwhile, and time.

// refusals is how many times as long as a smaller tree the log may show none: an outage of the
// log, or of the way to it, is more frequent than an old tree.
const refusals = 6

// ahead is a tree that a witness cosigned.
type ahead struct {
	size     int64
	w        *witness
	at       time.Time // when the monitor saw it, by its own clock: those of witnesses may be off
	cosigned int64     // by the witness's clock, POSIX seconds
}

// A file that a leaf names may be missing for so many times as long: a day, as a rule.
const missingFiles = 144

// maxAhead is how many of them are remembered: the oldest.
const maxAhead = 1024

func (f *follower) noteAhead(w *witness, seen Witness) {
	known := slices.ContainsFunc(f.ahead, func(x ahead) bool { return x.w == w && x.size >= seen.Size })
	if !known && len(f.ahead) < maxAhead {
		f.ahead = append(f.ahead, ahead{seen.Size, w, f.m.opts.Now(), seen.Time})
	}
}

// lookAtWithheld finds that the log does not show what a quorum of its witnesses cosigned
// long ago. One witness alone may have cosigned a checkpoint that never got its quorum.
func (f *follower) lookAtWithheld(ctx context.Context, step audit.StepResult, stepErr error) error {
	if errors.As(stepErr, new(*audit.StateError)) || ctx.Err() != nil {
		return nil // it is not the log that did not answer
	}
	now := f.m.opts.Now()
	if step.To > step.From || f.progress.IsZero() {
		f.progress = now
	}
	shown, patience := int64(0), f.log.Withheld
	if step.Checkpoint != nil {
		shown = step.Checkpoint.Tree.N
	}
	if stepErr != nil {
		// What has been read counts, not a checkpoint whose entries are refused.
		shown, patience = step.To, refusals*f.log.Withheld
	}
	f.ahead = slices.DeleteFunc(f.ahead, func(x ahead) bool { return x.size <= min(shown, step.To) })
	var found []audit.Finding
	if at, first, ok := f.quorumAhead(shown); ok {
		since := at
		if stepErr != nil && !f.reported && f.progress.After(since) {
			since = f.progress // the beginning of a large log takes its time
		}
		// The look has to have begun that long after.
		switch {
		case f.lookEnded.Sub(since) < patience && f.lookEnded.Sub(at) >= f.log.Withheld:
			return f.saveAhead(ctx, now) // what was found stays: the log has not shown it
		case f.lookEnded.Sub(since) >= patience:
			said := fmt.Sprintf("witnesses that are a quorum, %s among them, had cosigned size %d or more when they were asked at %s, and %v later the log ",
				first.w.name, first.size, at.UTC().Format(time.RFC3339), patience)
			if stepErr != nil {
				said += fmt.Sprintf("does not let this monitor read more than size %d: %s", shown, fetch.RedactedText(stepErr.Error()))
			} else {
				said += fmt.Sprintf("shows size %d", shown)
			}
			found = append(found, audit.NewFinding(audit.ViewWithheld, -1, [32]byte{}, "", 0, said).About(fmt.Sprint("since ", shown)))
		}
	}
	if err := f.saveAhead(ctx, now); err != nil {
		return err
	}
	return f.a.Watched(ctx, watchedView, found)
}

// What view-withheld and file-withheld are watched as.
const (
	watchedView  = "the log's view"
	watchedFiles = "the log's files"
)

// quorumAhead returns by when the monitor had seen that a quorum has cosigned trees of more than
// a size, and the first of them.
func (f *follower) quorumAhead(size int64) (at time.Time, first ahead, ok bool) {
	list := slices.DeleteFunc(slices.Clone(f.ahead), func(x ahead) bool { return x.size <= size })
	slices.SortStableFunc(list, func(x, y ahead) int { return x.at.Compare(y.at) })
	have := map[proofs.Key]bool{}
	for _, x := range list {
		for _, k := range x.w.keys {
			have[k] = true
		}
		if f.policy.Satisfied(func(name string) bool {
			return slices.ContainsFunc(f.policy.Witnesses, func(p proofs.PolicyWitness) bool { return p.Name == name && have[p.Key] })
		}) == nil {
			return x.at, list[0], len(f.policy.Witnesses) > 0
		}
	}
	return at, first, false
}

// aheadName is the name in the state of the trees that a log has not shown for a while, so that
// a process that is started again neither takes the finding back nor waits from the beginning.
const aheadName = "ahead of the log"

// keptAhead is such a tree.
type keptAhead struct {
	Size     int64  `json:"size"`
	Witness  string `json:"witness"`
	At       int64  `json:"at"` // POSIX seconds, as the next
	Cosigned int64  `json:"cosigned"`
}

// saveAhead keeps what the log has not shown for some time: witnesses are always a moment ahead.
func (f *follower) saveAhead(ctx context.Context, now time.Time) error {
	list := []keptAhead{}
	for _, x := range f.ahead {
		if now.Sub(x.at) >= f.log.Withheld/4 {
			list = append(list, keptAhead{x.size, x.w.name, x.at.Unix(), x.cosigned})
		}
	}
	b, err := json.Marshal(list)
	if err != nil || string(b) == f.savedAhead || len(list) == 0 && f.savedAhead == "" {
		return err
	}
	if err := f.a.State().Set(ctx, aheadName, string(b)); err != nil {
		return err
	}
	f.savedAhead = string(b)
	return f.a.State().Commit(ctx)
}

// loadAhead reads what another process kept.
func (f *follower) loadAhead(ctx context.Context) error {
	text, err := f.a.State().Get(ctx, aheadName)
	if f.savedAhead = text; err != nil || text == "" || len(f.ahead) > 0 {
		return err
	}
	var list []keptAhead
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return &state.Error{Err: fmt.Errorf("%w: what witnesses showed: %w", state.ErrDamaged, err)}
	}
	now := f.m.opts.Now()
	for _, x := range list {
		i := slices.IndexFunc(f.witnesses, func(w *witness) bool { return w.name == x.Witness })
		if i < 0 || len(f.ahead) >= maxAhead {
			continue
		}
		// The clock may have been off when it was written.
		at := time.Unix(max(x.At, x.Cosigned), 0)
		f.ahead = append(f.ahead, ahead{x.Size, f.witnesses[i], earlier(at, now), x.Cosigned})
	}
	return nil
}

// lookAtFiles finds files that have been missing for long although the log answers. Times of
// findings are by a clock that may have been off, so that this process looks for a while, too.
func (f *follower) lookAtFiles(ctx context.Context, stepErr error) error {
	if stepErr != nil || f.open == nil {
		return nil
	}
	now := f.m.opts.Now()
	missing, leaves := map[tuf.Digest]time.Time{}, map[int64]bool{}
	var found []audit.Finding
	for _, x := range f.open {
		if x.Kind != audit.BlobMissing {
			continue
		}
		sum := x.Digest()
		seen, ok := f.missing[sum]
		if !ok {
			seen = now
		}
		missing[sum], leaves[x.Index] = seen, true
		if since := time.Unix(x.Time, 0); now.Sub(since) >= missingFiles*f.log.Withheld && now.Sub(seen) >= f.log.Withheld {
			withheld := audit.NewFinding(audit.FileWithheld, x.Index, x.Repository, x.Role, x.Version,
				fmt.Sprintf("since %s the log has not served a file: %s", since.UTC().Format(time.RFC3339), x.Sentence))
			found = append(found, withheld.About("file"))
		}
	}
	f.missing = missing
	return f.a.WatchedPart(ctx, watchedFiles, found, func(x *audit.Finding) bool { return leaves[x.Index] })
}
