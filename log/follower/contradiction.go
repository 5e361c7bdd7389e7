package follower

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// contradictedError is that of a follower which has served what is not in the published
// checkpoint: what is shared is of an older date, or was forked.
type contradictedError struct{ published, served proofs.Tree }

func (e *contradictedError) Error() string {
	return fmt.Sprintf("the published checkpoint of size %d (root %v) contradicts the one of size %d (root %v), which is served on: the databases are of an older date, or another log's",
		e.published.N, e.published.Hash, e.served.N, e.served.Hash)
}

// contradicted returns why nothing is to be passed on: the log that this front end has
// served is not the one that is published now. Nil: it is.
func (f *Log) contradicted() error {
	_, err := f.board.Failing()
	if contradiction := (*contradictedError)(nil); errors.As(err, &contradiction) {
		return err
	}
	return nil
}

// WaitContradicted returns when a log that follows has found, after it could follow for
// a while, that what is published contradicts what was served from here: then what is
// shared is not what it was when this process began to lead. It returns nil when ctx
// ends.
func (f *Log) WaitContradicted(ctx context.Context) error {
	for followed := false; ; {
		news, failing := f.board.Failing()
		contradiction := (*contradictedError)(nil)
		contradicted := errors.As(failing, &contradiction)
		if contradicted && followed {
			return failing
		}
		// One that begins to lead after a restore publishes first what was served.
		followed = followed || !contradicted
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

// Keyless returns why a follower has the wrong keys: none of them has signed what
// is published, so this process could not lead. Nil: that is not so, as far as is known.
func (f *Log) Keyless() error {
	if _, err := f.board.Failing(); errors.Is(err, proofs.ErrUnknownLog) {
		return err
	}
	return nil
}
