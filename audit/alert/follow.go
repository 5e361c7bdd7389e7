package alert

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
)

// State is what Follow reads of a log's state: a *state.DB of this process, or a
// *state.Reader beside another.
type State interface {
	LastChange(ctx context.Context) (int64, error)
	FindingsChanged(ctx context.Context, since int64, limit int, fn func(state.Finding) error) error
	Findings(ctx context.Context, all bool, fn func(state.Finding) error) error
	Replay(ctx context.Context) (int64, error)
}

// followed is how far a state was followed in this process.
type followed struct {
	db   State
	last int64 // change
}

// Follow takes what has changed of the findings in a log's state since it did last, in this
// process or an earlier one. What came and went between is told as well, even if the process
// died meanwhile; of the findings of a state that it follows for the first time it tells
// those that are there. Findings that have not been committed to the state must not be seen
// by it: they could come again, as another episode. As long as the state stays open db is the
// same.
func (d *Desk) Follow(ctx context.Context, log, origin string, db State) error {
	last, err := db.LastChange(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	at := d.followed[origin]
	d.mu.Unlock()
	same := at.db == db
	if same && at.last == last {
		return nil
	}
	err = d.change(ctx, log, origin, func(c *change) error {
		since, known, err := c.since(ctx)
		if err != nil {
			return err
		}
		replay, err := db.Replay(ctx)
		if err != nil {
			return err
		}
		if known && since <= last {
			if err := c.changed(ctx, db, since, replay); err != nil {
				return err
			}
		}
		if !same {
			// Another state may have taken the place of the one that was followed.
			var open []audit.Finding
			err := db.Findings(ctx, false, func(kept state.Finding) error {
				f, err := audit.FindingOf(kept, replay)
				open = append(open, f)
				return err
			})
			if err != nil {
				return err
			}
			if err := c.sync(ctx, open); err != nil {
				return err
			}
		}
		_, err = c.tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", changedName+origin, strconv.FormatInt(last, 10))
		return err
	})
	if err == nil {
		d.mu.Lock()
		d.followed[origin] = followed{db, last}
		d.mu.Unlock()
	}
	return err
}

// changedName and an origin are the name in meta of the last change of the log's state that
// was taken.
const changedName = "changed "

// since returns the number of the last change that was taken; false: none ever was.
func (c *change) since(ctx context.Context) (n int64, known bool, err error) {
	var text string
	err = c.tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", changedName+c.origin).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err == nil {
		n, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		return 0, false, fmt.Errorf("the last change of %s: %w", c.origin, err)
	}
	return n, true, nil
}

// changed takes the changes since one.
func (c *change) changed(ctx context.Context, db State, since, replay int64) error {
	var list []audit.Finding
	err := db.FindingsChanged(ctx, since, 0, func(kept state.Finding) error {
		f, err := audit.FindingOf(kept, replay)
		list = append(list, f)
		return err
	})
	if err != nil {
		return err
	}
	for i := range list {
		f := &list[i]
		k, err := c.known(ctx, f.Digest())
		if err != nil {
			return err
		}
		if k.open && f.Episode > k.seen { // it went and came back
			if err := c.close(ctx, f.Digest()); err != nil {
				return err
			}
			k.open = false
		}
		there := f.Gone <= 0
		if there || !k.open && f.Episode > k.seen {
			if err := c.open(ctx, f); err != nil {
				return err
			}
		}
		if !there {
			if err := c.close(ctx, f.Digest()); err != nil {
				return err
			}
		}
	}
	return nil
}
