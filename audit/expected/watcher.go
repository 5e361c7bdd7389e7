package expected

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Default values of a Config.
const (
	DefaultEvery = time.Minute
	DefaultStale = time.Hour
)

// Config configures a Watcher.
type Config struct {
	Name       string        // of the repository, in sentences and in the state: it does not change
	Repository string        // its id in hex, or the beginning of it
	From       string        // a URL (http:// or https://), or the path of a file
	Keys       []proofs.Key  // one of them has to have signed; of type Ed25519 or MLDSA44
	Client     *http.Client  // as fetch.Direct takes it
	Every      time.Duration // between two readings when nothing is released; 0: DefaultEvery
	// Stale is how long expectations may be missing, unreadable or ended before that is more
	// than an outage; 0: DefaultStale.
	Stale time.Duration
	// Late is how long after a release expectations may come that allow it. It is reported
	// only then. 0: they have to be there before.
	Late time.Duration
	Now  func() time.Time // nil: time.Now
	// Beside begins the path of a file, which names the log's origin and the repository behind
	// it: the newest expectations are kept there too, so that older ones do not count if the
	// state is lost. Empty: they are in the state alone.
	Beside string
}

// Auditor is what a Watcher needs of an *audit.Auditor. Nothing else may use it meanwhile.
type Auditor interface {
	State() *state.DB
	Origin() string // of the log; empty: not known yet
	Keep(ctx context.Context, f audit.Finding) error
	Watched(ctx context.Context, what string, now []audit.Finding) error
}

// Blobs gets the metadata files that leaves name, by their SHA-256; an audit.Source does.
// They are not trusted.
type Blobs interface {
	Blob(ctx context.Context, sum tuf.Digest) ([]byte, error)
}

// Status is what a Watcher last saw.
type Status struct {
	Repository tuf.Digest // zero: not known yet
	Version    int64      // of the newest expectations; 0: none have been read
	From       time.Time  // of these
	Until      time.Time
	InForce    bool      // that any are
	Read       time.Time // when they were read last; zero: never
	Trouble    string    // empty: all is well
}

// Watcher watches one repository. Step is not for several goroutines; Run is one beside it.
type Watcher struct {
	cfg Config

	// Of the goroutine that steps.
	db      *state.DB // whose memory it is
	mem     *memory
	changed bool            // the memory is to be written
	told    []string        // the findings that were told last, by their sentences
	whole   bool            // in this step the log was read to its end
	unseen  []audit.Finding // about releases that cannot be compared now
	taken   int             // the number of the reading that was taken over
	blobs   map[tuf.Digest]*tuf.Metadata

	toldUnseen []string

	savedNext, savedSeen int64  // of the memory as it was written
	origin               string // of the log
	beside               []byte // the note in the file beside
	besideTrouble        string // with that file

	mu      sync.Mutex
	reading reading
	status  Status
}

// New returns a Watcher. Nothing is read yet.
func New(cfg Config) (*Watcher, error) {
	switch {
	case cfg.Name == "" || cfg.Repository == "" || cfg.From == "":
		return nil, errors.New("expectations: want a name, a repository, and where they are read")
	case len(cfg.Keys) == 0:
		return nil, errors.New("expectations: want the key that signs them")
	}
	for _, key := range cfg.Keys {
		if alg := key.Algorithm(); alg != proofs.Ed25519 && alg != proofs.MLDSA44 {
			return nil, errors.New("expectations: key " + key.Name() + " has type " + alg.String() + ", want Ed25519 or ML-DSA-44 (publisher expect key makes one)")
		}
	}
	if cfg.Every <= 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Stale <= 0 {
		cfg.Stale = DefaultStale
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Watcher{cfg: cfg, blobs: map[tuf.Digest]*tuf.Metadata{}}, nil
}

// Run reads the expectations again and again until the context ends. Step does without, if
// something calls Read.
func (w *Watcher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		w.Read(ctx)
		if wait.For(ctx, w.cfg.Every) != nil {
			return
		}
	}
}

// Status returns what was seen last.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Source says where expectations are read, without a password.
func (w *Watcher) Source() string { return fetch.Redacted(w.cfg.From) }

// Step judges the leaves that were judged to be right since the step before, and says what is
// wrong with the expectations. whole says that the log has just been read to its end. The
// error is the state's.
func (w *Watcher) Step(ctx context.Context, a Auditor, blobs Blobs, whole bool) error {
	id, ok, err := w.resolve(ctx, a.State())
	if w.origin = a.Origin(); err != nil || !ok || w.origin == "" {
		return err
	}
	if err := w.load(ctx, a.State(), id); err != nil {
		return err
	}
	if err := w.take(ctx, a); err != nil {
		return err
	}
	if w.mem.Next < 0 && whole && len(w.mem.Notes) > 0 {
		if err := w.begin(ctx, a.State()); err != nil {
			return err
		}
	}
	if w.mem.Next >= 0 {
		if err := w.judge(ctx, a, blobs, whole); err != nil {
			return err
		}
	}
	if err := w.tell(ctx, a); err != nil {
		return err
	}
	return w.save(ctx, a.State())
}

// Is says which repository the one is of which the configuration has the beginning of the id. It
// is called between steps.
func (w *Watcher) Is(id tuf.Digest) { w.cfg.Repository = id.String() }

// resolve finds the repository of the configuration in the log.
func (w *Watcher) resolve(ctx context.Context, db *state.DB) (id tuf.Digest, ok bool, err error) {
	if id, err := tuf.ParseDigest(w.cfg.Repository); err == nil {
		return id, true, nil
	}
	if w.mem != nil && w.db == db {
		return w.mem.id, true, nil
	}
	n := 0
	err = db.Repositories(ctx, w.cfg.Repository, func(r state.Repository) error {
		id = r.ID
		n++
		return nil
	})
	switch {
	case err != nil:
		return id, false, err
	case n == 0:
		w.say("the log has no repository " + w.cfg.Repository)
	case n > 1:
		w.say(w.cfg.Repository + " is the beginning of several ids in the log: give more of it")
	}
	return id, n == 1, nil
}

func (w *Watcher) say(trouble string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Trouble = trouble
}

// path returns the path of the file that the expectations are; false: they are at a URL.
func (w *Watcher) path() (string, bool) {
	return w.cfg.From, !strings.HasPrefix(w.cfg.From, "http://") && !strings.HasPrefix(w.cfg.From, "https://")
}
