package follower

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/registry"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A log can be served by many machines. One front end leads: it has a leader.Log over
// storage and state that only it may write (leader.Config.Right says until when). All
// others have a Log of this package. They read what the leader has published, and pass
// on to it what only it can answer (cluster.Forwarder). cluster.Front switches between
// the two.
//
// A leader that is deposed never acknowledges anything that is then lost. An answer says
// that a file is in the log only if the file's index is below the published size, and
// that size is set only after Checkpoints.Store has kept the checkpoint. Store needs the
// right to write: once another process leads it fails, however late it arrives, and so do
// the append, the ledger and the derived state before it. Where its outcome is unknown the
// published size stays as it was. So every acknowledged file is under a checkpoint that
// the next leader reads when it opens the log, and continues. A witness may have cosigned
// a tree that was never stored; the ledger, which the next leader reads as well, had that
// tree before the witness did.

// Log is a log that another process writes. It serves the checkpoints that the
// other process publishes, and passes on requests that write.
type Log struct {
	server   *httpd.Server
	cfg      Config
	keys     []proofs.Key // of the log
	policy   atomic.Pointer[proofs.Policy]
	board    *publisher.Board
	state    log.StateWriter
	level    *index.Level
	registry *registry.Registry

	// cut is the size of the log that the registry sees.
	cut atomic.Int64
	// adopting guards changes of cut, and the fields below.
	adopting sync.Mutex
	// lagging are the repositories with leaves below cut that the state may not
	// have yet, each with the size of the log that has them. everything is that
	// size if any repository may have such leaves.
	lagging    map[tuf.Digest]int64
	everything int64

	urging atomic.Bool // the leader is being asked to hurry

	wake chan struct{} // someone waits for the next look
	mu   sync.Mutex
	next chan struct{} // closed when a look that begins from now on has ended
}

// Config configures a Log.
type Config struct {
	// Config configures the HTTP server.
	httpd.Config
	// Policy defines the witnesses that make a quorum.
	Policy *proofs.Policy
	// Keys are the log's public keys, its own Ed25519 key first. Empty means those
	// of the policy.
	Keys []proofs.Key
	// Checkpoints has the published checkpoint.
	Checkpoints log.Checkpoints
	// Served remembers the newest checkpoint that this process has served. Nil
	// means that none is remembered.
	Served *publisher.Served
	// Forward passes requests on that only the leader can answer.
	Forward httpd.PassOn
}

// Open opens a log that another process writes. It needs cfg.Policy, cfg.Storage
// and cfg.Checkpoints, and neither a key nor a ledger; the log's public keys are
// cfg.Keys, or those of the policy. Run follows the checkpoints, and everything
// published can be read; submissions, and questions about their progress, are
// passed on to cfg.Forward.
//
// Only checkpoints that satisfy the policy and extend the one before are served; the
// first must extend the one in cfg.Served. If another one is published, the last
// good one stays, /readyz gives the reason, and nothing is passed on.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg.SetDefaults()
	keys := slices.Clone(cfg.Keys)
	if len(keys) == 0 {
		for _, l := range cfg.Policy.Logs {
			keys = append(keys, l.Key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the log's public key is not known: the policy lists no log")
	}
	policy, err := publisher.PolicyFor(cfg.Policy, keys)
	if err != nil {
		return nil, err
	}
	board, err := publisher.NewBoard(cfg.Storage, keys, new(proofs.Edge), cfg.Logger)
	if err != nil {
		return nil, err
	}
	board.Served = cfg.Served
	f := &Log{
		cfg: cfg, keys: keys, board: board, state: cfg.State, level: index.NewLevel(),
		lagging: map[tuf.Digest]int64{}, wake: make(chan struct{}, 1), next: make(chan struct{}),
	}
	f.policy.Store(policy)
	state := registry.Checked(cfg.State, f.cut.Load, cfg.Storage, f.cut.Load)
	f.registry = registry.New(cfg.Blobs, state, f.level.Applied, nil)
	f.server = httpd.New(f, cfg.Config, cfg.NewSources())
	f.look(ctx)
	f.serveOn()
	return f, nil
}

// Handler serves the log's HTTP interface.
func (f *Log) Handler() http.Handler { return f.server }

// Stats returns the sizes and the state of the log.
func (f *Log) Stats(ctx context.Context) httpd.Stats { return f.server.Stats(ctx) }

// Board implements View.
func (f *Log) Board() *publisher.Board { return f.board }

// Policy implements View.
func (f *Log) Policy() *proofs.Policy { return f.policy.Load() }

// Level implements View.
func (f *Log) Level() *index.Level { return f.level }

// Registry implements View.
func (f *Log) Registry() *registry.Registry { return f.registry }

// Taking implements View: submissions are taken if they can be passed on.
func (f *Log) Taking(ctx context.Context) error {
	if err := f.board.Halted(); err != nil {
		return err
	}
	if f.board.Ended() {
		return log.ErrEnded // whoever leads
	}
	if err := f.contradicted(); err != nil {
		return err
	}
	return f.cfg.Forward.Trouble(ctx)
}

// Trouble returns the reason why the newest published checkpoint is not shown,
// or nil.
func (f *Log) Trouble() error { return f.board.Trouble() }

// Submit implements View. It refuses every submission: they are passed on
// instead.
func (f *Log) Submit(*intake.Submission) error {
	return errors.New("this front end does not write the log")
}

// Leader implements View. The error is not nil if the published checkpoint does not
// extend the one that was served here: then the leader leads another log.
func (f *Log) Leader() (httpd.PassOn, error) { return f.cfg.Forward, f.contradicted() }

// Reload replaces the settings.
func (f *Log) Reload(s httpd.Settings) error {
	policy, err := publisher.PolicyFor(s.Policy, f.keys)
	if err != nil {
		return err
	}
	f.server.Reload(s)
	f.policy.Store(policy)
	return nil
}

// Halt sets the reason why this process no longer leads, which /readyz then gives; nil
// removes it. The log goes on following.
func (f *Log) Halt(h *log.Halt) { f.board.Halt(h) }
