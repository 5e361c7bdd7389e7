package monitor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/state"
)

// maxSaidIDs is how many ids are said that begin as one of the configuration.
const maxSaidIDs = 3

// withWholeIDs adds to the error about the beginning of an id which ids the states have that
// begin so: one of them is what to write instead. A state that is not there, or cannot be read,
// has none. c may be nil.
func (c *Config) withWholeIDs(ctx context.Context, err error) error {
	var beginning *alert.BeginningError
	if c == nil || !errors.As(err, &beginning) {
		return err
	}
	var ids []string
	for _, l := range c.Logs {
		if checkName(l.Name) != nil {
			continue // it names no file
		}
		view := state.NewView(StateDir(c.Dir, l.Name))
		_ = view.At(ctx, func(r *state.Reader) error {
			return r.Repositories(ctx, beginning.Beginning, func(x state.Repository) error {
				if len(ids) == maxSaidIDs {
					return errEnough
				}
				ids = append(ids, fmt.Sprintf("%v (log %s)", x.ID, l.Name))
				return nil
			})
		})
		_ = view.Close()
	}
	if len(ids) == 0 {
		return err
	}
	return fmt.Errorf("%w; so begins, of what was logged: %s", err, strings.Join(ids, ", "))
}

// errEnough ends a look through ids.
var errEnough = errors.New("enough")
