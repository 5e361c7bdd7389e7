package follower

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// contradictedError is the error of a follower that has served a checkpoint which the
// published one does not extend: the shared databases are of an older date, or the log
// was forked.
type contradictedError struct{ published, served proofs.Tree }

func (e *contradictedError) Error() string {
	return fmt.Sprintf("the published checkpoint of size %d (root %v) contradicts the one of size %d (root %v), which is served on: the databases are of an older date, or another log's",
		e.published.N, e.published.Hash, e.served.N, e.served.Hash)
}

// contradicted returns an error if nothing may be passed on, because the log that this
// front end has served is not the one that is published now.
func (f *Log) contradicted() error {
	_, err := f.board.Failing()
	if contradiction := (*contradictedError)(nil); errors.As(err, &contradiction) {
		return err
	}
	return nil
}

// WaitContradicted returns when the published checkpoint, after the log has been
// followed for a while, contradicts the one that was served from here: then the shared
// databases are not those with which this process began to lead. It returns nil when
// ctx ends.
func (f *Log) WaitContradicted(ctx context.Context) error {
	for followed := false; ; {
		news, failing := f.board.Failing()
		contradiction := (*contradictedError)(nil)
		contradicted := errors.As(failing, &contradiction)
		if contradicted && followed {
			return failing
		}
		// A new leader after a restore first publishes the checkpoint that was
		// served.
		followed = followed || !contradicted
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

// Keyless returns an error if none of the follower's keys has signed the published
// checkpoint, so that this process could not lead. It returns nil if that is not known.
func (f *Log) Keyless() error {
	if _, err := f.board.Failing(); errors.Is(err, proofs.ErrUnknownLog) {
		return err
	}
	return nil
}
