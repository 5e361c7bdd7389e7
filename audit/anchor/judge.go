package anchor

import (
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// Verdict is how an entry fits the log.
type Verdict string

// The verdicts.
const (
	Consistent Verdict = "consistent" // it is a note text of the log's own tree
	Open       Verdict = "open"       // it may be of a tree that the log has yet to show
	Orphan     Verdict = "orphan"     // the log has since shown a tree, at no size of which this was its note text
)

// DefaultMargin is how much later than the entry witnesses must have cosigned, if nothing else is
// said: more than the clocks of a ledger and of witnesses differ.
const DefaultMargin = time.Hour

// Judge judges an entry that the ledger took, or in which it was first seen, at a time.
// found says that a search to the end of the checkpoint's tree has found it.
//
// The times of several witnesses decide, and not the newest: one witness whose clock is ahead
// could make an orphan of what the log has yet to show. An honest log asks witnesses for trees in rising order.
// So if enough of them for the policy cosigned this tree more than a margin after
// the entry, then the log had signed nothing larger before the entry. Auditors do not count,
// since they cosign what was published long ago, too. Without witnesses, or if the log's notes have extension
// lines, which nobody can guess, what is not found stays open.
func Judge(found bool, seen time.Time, policy *proofs.Policy, c *proofs.SignedCheckpoint, margin time.Duration) Verdict {
	switch {
	case found:
		return Consistent
	case c == nil || len(c.Extensions) > 0 || !cosignedAfter(policy, c, seen.Add(margin)):
		return Open
	}
	return Orphan
}

// cosignedAfter reports whether those that cosigned later than a time are a quorum, auditors left
// out.
func cosignedAfter(policy *proofs.Policy, c *proofs.SignedCheckpoint, t time.Time) bool {
	later := map[string]bool{}
	auditors := policy.Auditors()
	for _, cosig := range c.Cosignatures {
		if cosig.Time > t.Unix() && !auditors[cosig.Witness] {
			later[cosig.Witness] = true
		}
	}
	return len(later) > 0 && policy.BeforeAudit().Satisfied(func(witness string) bool { return later[witness] }) == nil
}
