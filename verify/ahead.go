package verify

import (
	"context"
	"errors"
	"io/fs"
)

// LookAhead finds what else waits for the owner behind that which waits: the delegated roles
// that a search for targets visits if the targets that delegate to them are approved of, and
// the targets under a root that is. So an owner decides once on all that a vendor has
// released together. It runs the update again as if all that waits for an approval had one,
// trusts and keeps nothing of it, and remembers what waits. What goes wrong on the way is
// among Troubles: the update has ended as it has. Without anything that waits for the owner
// it does nothing.
func (c *Client) LookAhead(ctx context.Context, targets []string) {
	const most = 8 // levels of delegations
	if c.answers == nil || c.cfg.Transparency != Enforce {
		return
	}
	for range most {
		state, asked := c.State(), false
		for _, w := range c.state.Waiting {
			if w.Role != "" && w.Code == CodeNeedsApproval && c.Offered(w) != nil {
				state.Approved = append(state.Approved, Approved{Role: w.Role, Version: w.Version, Payload: w.Payload})
				asked = true
			}
		}
		if !asked {
			return
		}
		ahead, err := Refresh(ctx, c.cfg, state, aheadSource{c.source, c.answers})
		if ahead == nil {
			c.troubles = append(c.troubles, err)
			return
		}
		for i := 0; err == nil && i < len(targets); i++ {
			_, found := ahead.Locate(ctx, targets[i])
			if isRefusal(found) {
				continue // it is among what waits, or the download says it
			}
			err = ctx.Err()
		}
		more := false
		for _, w := range ahead.state.Waiting {
			if m := ahead.Offered(w); m != nil && c.Offered(w) == nil {
				c.noteWaiting(w)
				c.offered, more = append(c.offered, m), true
			}
		}
		if !more {
			return
		}
	}
}

// answer is what a source had of a file.
type answer struct {
	file []byte
	err  error // that it is not there
}

// noteAnswer notes what need not be asked again.
func noteAnswer(answers map[Request]answer, r Request, file []byte, err error) {
	if answers != nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		answers[r] = answer{file, err}
	}
}

// aheadSource is a source of which nothing is asked twice, and that keeps nothing.
type aheadSource struct {
	Source
	answers map[Request]answer
}

func (s aheadSource) Fetch(ctx context.Context, r Request) ([]byte, error) {
	if a, ok := s.answers[r]; ok {
		return a.file, a.err
	}
	file, err := s.Source.Fetch(ctx, r)
	noteAnswer(s.answers, r, file, err)
	return file, err
}

func (aheadSource) Keep(context.Context, Accepted) error { return nil }
