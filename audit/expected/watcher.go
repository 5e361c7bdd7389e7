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
	Repository tuf.Digest    // its id
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
	// Wake is called when Run has read what releases wait for, so that Step is called; nil:
	// nothing is.
	Wake func()
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
	Version int64     // of the newest expectations; 0: none have been read
	From    time.Time // of these
	Until   time.Time
	InForce bool      // that any are
	Read    time.Time // when they were read last; zero: never
	Trouble string    // empty: all is well
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
	wanted  map[int64]int   // by leaf, the number that a reading has at least with which it can be reported
	waits   bool            // a leaf waits for a reading
	blobs   map[tuf.Digest]*tuf.Metadata

	toldUnseen []string

	savedNext, savedSeen int64  // of the memory as it was written
	origin               string // of the log
	beside               []byte // the note in the file beside
	besideTrouble        string // with that file

	hurry chan struct{} // has one if a release waits for a reading

	mu      sync.Mutex
	begun   int // readings
	reading reading
	status  Status
}

// New returns a Watcher. Nothing is read yet.
func New(cfg Config) (*Watcher, error) {
	switch {
	case cfg.Name == "" || cfg.Repository.IsZero() || cfg.From == "":
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
	return &Watcher{cfg: cfg, blobs: map[tuf.Digest]*tuf.Metadata{}, hurry: make(chan struct{}, 1)}, nil
}

// Run reads the expectations again and again until the context ends, and at once when a release
// waits for it. Step does without, if something calls Read.
func (w *Watcher) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { w.hasten(ctx) })
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

// Waits reports whether, after the last step, a release waits for expectations to be read once
// more. It is called between steps.
func (w *Watcher) Waits() bool { return w.waits }

// Source says where expectations are read, without a password.
func (w *Watcher) Source() string { return fetch.Redacted(w.cfg.From) }

// Step judges the leaves that were judged to be right since the step before, and says what is
// wrong with the expectations. whole says that the log has just been read to its end. It does not
// wait for those who serve expectations: a release that these do not allow waits for a reading
// that begins after it came, and is reported in a later step. The error is the state's.
func (w *Watcher) Step(ctx context.Context, a Auditor, blobs Blobs, whole bool) error {
	if w.origin = a.Origin(); w.origin == "" {
		return nil
	}
	if err := w.load(ctx, a.State()); err != nil {
		return err
	}
	w.waits = false
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

// path returns the path of the file that the expectations are; false: they are at a URL.
func (w *Watcher) path() (string, bool) {
	return w.cfg.From, !strings.HasPrefix(w.cfg.From, "http://") && !strings.HasPrefix(w.cfg.From, "https://")
}
