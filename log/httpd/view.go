package httpd

import (
	"context"
	"net/http"

	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/registry"
	"github.com/tuflog/tuflog/proofs"
)

// View is a log as it is served: by the process that writes it, or by one that follows
// it.
type View interface {
	// Board shows what is published, and proves it.
	Board() *publisher.Board
	// Policy is what published checkpoints satisfy, with the log's keys.
	Policy() *proofs.Policy
	// Level says how far look-ups are.
	Level() *index.Level
	// Registry has the repositories.
	Registry() *registry.Registry
	// Renew returns when the view shows the checkpoint that was published when it was
	// called, or a newer one: a client that was told by one front end that its release
	// is in the log finds it at every other. A view that cannot find out in time goes on
	// with the checkpoint that it has.
	Renew(ctx context.Context)
	// Taking returns why no submission can be taken now, or nil.
	Taking(ctx context.Context) error
	// Trouble returns why submissions that are taken cannot be published now, or nil.
	Trouble() error
	// Submit takes a submission.
	Submit(sub *intake.Submission) error
	// Leader returns the PassOn that answers for a view that only follows, or nil where
	// this process writes the log. The error says why nothing is to be passed on.
	Leader() (PassOn, error)
}

// PassOn answers requests, for a follower, that only the leader can answer.
type PassOn interface {
	// ServeHTTP gets requests whose bodies are in memory, with GetBody, and
	// whose header HeaderClient names the client.
	http.Handler
	// Trouble says why submissions passed on now could not be published, or is nil.
	Trouble(ctx context.Context) error
	// Hurry returns when the leader has taken its derived state up to the published
	// checkpoint, or cannot be asked to.
	Hurry(ctx context.Context)
}
