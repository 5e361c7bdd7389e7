package verify

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// The age of an entry follows from two times in cosignatures, if at most f witnesses lie,
// in whatever they sign at whatever time:
//
//   - The entry was in the log by the (f+1)-th smallest time of a proof of it: among the
//     f+1 smallest one is honest. A later proof of it says a later time; so the earliest
//     that the device has seen counts, which it remembers while the release waits.
//   - It is not before the (f+1)-th largest time of any proof that the device has verified:
//     among the f+1 largest one is honest. So the newer proof of the entry counts, and so
//     does that of any other release: the time floor.
//
// The entry is at least as old as the difference.

// loggedBy is the time by which an entry was in the log, as its proof shows; 0: not known.
func loggedBy(proof *Logged, faulty int) int64 {
	times := sortedTimes(timesOf(proof.Checkpoint))
	if len(times) <= faulty {
		return 0
	}
	return times[faulty]
}

// cosignedAt is a time that has passed, as a proof shows; 0: not known.
func cosignedAt(proof *Logged, faulty int) int64 {
	times := sortedTimes(timesOf(proof.Checkpoint))
	if len(times) <= faulty {
		return 0
	}
	return times[len(times)-1-faulty]
}

// ageBetween is the age of an entry that was in the log by a time, once another time has
// passed; 0 if either is not known.
func ageBetween(logged, passed int64) time.Duration {
	if logged <= 0 || passed <= logged {
		return 0
	}
	const most = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(passed-logged, most)) * time.Second
}

// age is how long a release has been in the log at least.
func (c *Client) age(w Waiting, latest *Logged) time.Duration {
	since := w.Since
	if before := c.waiting(w.Role, w.Payload).Since; before != 0 && (since == 0 || before < since) {
		since = before
	}
	passed := cosignedAt(latest, c.faulty)
	if floor := c.floor(); !floor.IsZero() {
		passed = max(passed, floor.Unix())
	}
	return ageBetween(since, passed)
}

// tooYoung returns why a release that is logged must wait, if it has to wait for its age:
// for quarantine if it is a root, for the minimum age of the install policy otherwise.
func (c *Client) tooYoung(o offer, age time.Duration) *Refusal {
	code, want := CodeTooYoung, c.cfg.Install.MinAge
	if o.role == tuf.RoleRoot {
		code, want = CodeQuarantined, c.cfg.Install.RootQuarantine
	}
	if age >= want {
		return nil
	}
	by := "the newer proof beside it"
	if o.latest == o.proof {
		by = "its proof and those of other files: a newer one is not beside it"
	}
	return &Refusal{Code: code, Role: o.role, Detail: fmt.Sprintf("version %d, entry %d of the log, is proved to have been there for %v, want %v, by %s",
		o.m.Version, o.proof.Index, told(age), told(want), by)}
}

// timesOf returns the time of each witness: keys under one name are one witness,
// and a time of zero says nothing. Of several times the largest is taken; that
// can only make an entry look younger.
func timesOf(c *proofs.SignedCheckpoint) map[string]int64 {
	times := map[string]int64{}
	for _, cosignature := range c.Cosignatures {
		if cosignature.Time > 0 {
			name := cosignature.Key.Name()
			times[name] = max(times[name], cosignature.Time)
		}
	}
	return times
}

func sortedTimes(times map[string]int64) []int64 {
	return slices.Sorted(maps.Values(times))
}
