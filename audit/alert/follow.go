package alert

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/printable"
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
	instance any   // stands for the state
	last     int64 // change
}

// Changes are what has changed of the findings in a log's state, for the outbox.
type Changes struct {
	log, origin string
	instance    any
	last        int64 // change

	since   int64 // that the outbox had taken
	known   bool  // it had taken any
	changed []audit.Finding
	same    bool // it is the state that was followed before
	open    []audit.Finding
}

// errMoved says that the outbox has taken changes since those at hand were read.
var errMoved = errors.New("another process has taken changes of the findings meanwhile")

// Follow takes what has changed of the findings in a log's state since it did last, in this
// process or an earlier one. What came and went between is told as well, even if the process
// died meanwhile; of the findings of a state that it follows for the first time it tells
// those that are there. Findings that have not been committed to the state must not be seen
// by it: they could come again, as another episode. As long as the state stays open db is the
// same.
func (d *Desk) Follow(ctx context.Context, log, origin string, db State) error {
	for {
		c, err := d.Changes(ctx, log, origin, db, db)
		if c == nil || err != nil {
			return err
		}
		if err = d.Take(ctx, c); !errors.Is(err, errMoved) {
			return err
		}
	}
}

// Changes reads what Follow takes; nil: nothing has changed. It waits for nobody who writes the
// outbox. instance stands for the state that is open, and may be compared with others.
func (d *Desk) Changes(ctx context.Context, log, origin string, instance any, db State) (*Changes, error) {
	last, err := db.LastChange(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	at := d.followed[origin]
	d.mu.Unlock()
	c := &Changes{log: log, origin: origin, instance: instance, last: last, same: at.instance == instance}
	if c.same && at.last == last {
		return nil, nil
	}
	if c.since, c.known, err = since(ctx, d.db, origin); err != nil {
		return nil, explained(d.path, err)
	}
	replay, err := db.Replay(ctx)
	if err != nil {
		return nil, err
	}
	add := func(list *[]audit.Finding) func(state.Finding) error {
		return func(kept state.Finding) error {
			f, err := audit.FindingOf(kept, replay)
			*list = append(*list, f)
			return err
		}
	}
	if c.known && c.since <= last {
		if err := db.FindingsChanged(ctx, c.since, 0, add(&c.changed)); err != nil {
			return nil, err
		}
	}
	if !c.same {
		// Another state may have taken the place of the one that was followed.
		if err := db.Findings(ctx, false, add(&c.open)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Take takes changes into the outbox, and waits for others who write it, seconds at most.
func (d *Desk) Take(ctx context.Context, changes *Changes) error {
	err := d.change(ctx, changes.log, changes.origin, func(c *change) error {
		n, known, err := since(ctx, c.tx, c.origin)
		if err != nil {
			return err
		}
		if n != changes.since || known != changes.known {
			return errMoved
		}
		if err := c.changed(ctx, changes.changed); err != nil {
			return err
		}
		if !changes.same {
			if err := c.sync(ctx, changes.open); err != nil {
				return err
			}
		}
		_, err = c.tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", changedName+c.origin, strconv.FormatInt(changes.last, 10))
		return err
	})
	if err == nil {
		d.mu.Lock()
		d.followed[changes.origin] = followed{changes.instance, changes.last}
		d.mu.Unlock()
	}
	return err
}

// changedName and an origin are the name in meta of the last change of the log's state that
// was taken.
const changedName = "changed "

// since returns the number of the last change of a log's state that was taken; false: none ever
// was.
func since(ctx context.Context, q queryer, origin string) (n int64, known bool, err error) {
	var text string
	err = q.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", changedName+origin).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err == nil {
		n, err = strconv.ParseInt(text, 10, 64)
	}
	if err != nil {
		return 0, false, fmt.Errorf("the last change of %s: %w", printable.Line(origin), err)
	}
	return n, true, nil
}

// changed takes findings that have changed.
func (c *change) changed(ctx context.Context, list []audit.Finding) error {
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
