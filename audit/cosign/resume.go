package cosign

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// ErrNotStopped means that cosigning for a log is not stopped.
var ErrNotStopped = sqlite.ErrNotLatched

// ErrNotAccepted means that something stops cosigning that a person did not accept.
var ErrNotAccepted = errors.New("not everything that stops cosigning is accepted")

// shortID is how many digits of an id people give, at least.
const shortID = 12

// Acceptance is what a person who resumes accepts.
type Acceptance struct {
	// Findings are ids, or their first 12 digits or more, of everything that stops cosigning:
	// Latch.Accept.
	Findings []string
	// Fork says that a fork is accepted too, or that the state may not be the latest one.
	Fork bool
	// Reason is recorded, and shown to everyone.
	Reason string
}

// toAccept returns what a person has to name who accepts a latch.
func toAccept(l witness.Latch) (ids []string) {
	for _, id := range findingsOf(l) {
		ids = append(ids, id[:min(len(id), shortID)])
	}
	if len(ids) == 0 {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", l.Since, l.Source, l.Why))
		ids = append(ids, fmt.Sprintf("%x", sum[:shortID/2]))
	}
	return ids
}

// aboutHistory reports whether a latch says that the log, or these keys, may have two histories.
func aboutHistory(l witness.Latch) bool {
	causes := causesOf(l)
	return len(causes) == 0 || slices.ContainsFunc(causes, func(c caused) bool { return c.kind == string(audit.Fork) || c.kind == "" })
}

// accepts returns why latches are not accepted.
func (a *Acceptance) accepts(open []witness.Latch) error {
	var missing []string
	for _, l := range open {
		if aboutHistory(l) && !a.Fork {
			return fmt.Errorf("%w: this one says that the log, or these keys, may have two histories, which is accepted by a flag of its own (--fork): %s", ErrNotAccepted, l.Why)
		}
		ids := findingsOf(l)
		if len(ids) == 0 {
			ids = toAccept(l)
		}
		for _, id := range ids {
			if !slices.ContainsFunc(a.Findings, func(given string) bool { return len(given) >= shortID && strings.HasPrefix(id, given) }) {
				missing = append(missing, id[:min(len(id), shortID)])
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: look at %s, which may have come since, and name it too (--finding)", ErrNotAccepted, strings.Join(missing, ", "))
	}
	return nil
}

// Resume lets a log be cosigned again, and records the reason. It returns the latches that it
// has cleared: their findings do not stop the log again. A process that cosigns notices it at
// its next step. If something stops the log that is not accepted, nothing changes, and the
// error wraps ErrNotAccepted.
func Resume(ctx context.Context, dir, origin string, a Acceptance, now time.Time) (cleared []Latch, err error) {
	if strings.TrimSpace(a.Reason) == "" {
		return nil, errors.New("give a reason, which is recorded and shown where the cosignatures are served")
	}
	store, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	_, err = store.ClearLatchIf(ctx, origin, a.Reason, now.Unix(), func(open []witness.Latch) error {
		if err := a.accepts(open); err != nil {
			return err
		}
		cleared = nil
		for _, l := range open {
			cleared = append(cleared, Latch{Since: utc(l.Since), Why: l.Why, Findings: findingsOf(l), Accept: toAccept(l)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return cleared, nil
}
