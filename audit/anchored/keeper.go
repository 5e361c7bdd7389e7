package anchored

import (
	"cmp"
	"context"
	"crypto"
	"net/http"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
)

// KeeperConfig configures a Keeper.
type KeeperConfig struct {
	Config                // of the instance
	Dir    string         // has the folders
	Policy *proofs.Policy // of the log
	Origin string         // of the log
	// Newest returns the newest checkpoint of the log that was verified, signed, and how many of its
	// leaves the state has; nil: none was. It may be called from several goroutines.
	Newest func() (signed []byte, judged int64)
	State  string           // directory of the log's audit state, which is read beside its writer
	Client *http.Client     // nil: net/http's default
	Now    func() time.Time // nil: time.Now
}

// Status is what a Keeper has done. Times are POSIX seconds; 0: never.
type Status struct {
	Instance string `json:"instance"`
	Version  int    `json:"version"` // of Rekor
	Size     int64  `json:"size"`    // of the largest tree of the log that is anchored; -1: none
	Time     int64  `json:"time"`    // when that was
	// Since is when the oldest checkpoint was to be anchored that is neither anchored nor before one that is:
	// since when the log's history is not pinned; 0: it is. Whether that one still waits does not matter.
	Since   int64  `json:"unanchored_since"`
	Queued  int    `json:"queued"`            // checkpoints that wait
	Trouble string `json:"trouble,omitempty"` // why the last attempt to anchor failed
	// Unsigned says that the newest checkpoint has none of the signatures that can be anchored, although the
	// policy has a key for one: a log can hide another history from the ledger in that way.
	Unsigned bool `json:"unsigned,omitempty"`

	Audited      int64  `json:"audited"` // when all that the instance has was looked at
	Entries      int    `json:"entries"` // that it had then
	Open         int    `json:"open"`    // of them, those that may be of a tree to come
	Orphans      int    `json:"orphans"`
	AuditTrouble string `json:"audit_trouble,omitempty"` // why the last look failed, or was not at all
	OtherKey     bool   `json:"other_key,omitempty"`     // the instance shows a public key that is not trusted
}

// Keeper anchors the checkpoints of one log in one instance on a schedule, and looks at all
// that the instance has under the log's keys. It delays nobody: Run has goroutines of its own, one for
// each of the two, and the others only take what they have found.
type Keeper struct {
	cfg    KeeperConfig
	keys   []crypto.PublicKey
	view   *state.View
	ledger *Ledger // as opened returns it

	// Of the goroutine that anchors.
	due    time.Time // when the newest checkpoint is to be anchored
	again  time.Time // when the queue is tried again
	pause  time.Duration
	pinned *pinned // nil: it has not been read
	kept   bool    // the folder has the keys

	auditDue time.Time // of the goroutine that audits

	mu        sync.Mutex
	status    Status
	findings  []audit.Finding
	strange   [][]byte
	unclaimed bool     // they have not been taken
	shown     *Matched // by the last audit, for the goroutine that anchors; nil: it was taken
}

// NewKeeper returns a Keeper. It reads the keys of the instance, and asks nothing.
func NewKeeper(cfg KeeperConfig) (*Keeper, error) {
	cfg.Every, cfg.Audit = cmp.Or(cfg.Every, DefaultEvery), cmp.Or(cfg.Audit, DefaultAudit)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	log, err := LogKeys(cfg.Policy, cfg.Origin)
	if err != nil {
		return nil, err
	}
	instance, keys, err := cfg.Open(cfg.Client)
	if err != nil {
		return nil, err
	}
	k := &Keeper{cfg: cfg, keys: keys, view: state.NewView(cfg.State)}
	k.ledger = &Ledger{Instance: instance, Keys: keys, Log: log, Now: cfg.Now}
	k.status = Status{Instance: cfg.Name, Version: instance.Version(), Size: -1}
	return k, nil
}

// How often Run looks whether something is due, and pauses after an attempt that failed.
const (
	lookEvery  = time.Second
	firstPause = 5 * time.Second
	lastPause  = 10 * time.Minute
)

// Run anchors and audits until the context ends. Audits have a goroutine of their own: one that takes
// long delays no anchor.
func (k *Keeper) Run(ctx context.Context) {
	defer k.view.Close()
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() {
		k.repeat(ctx, func() {
			if !k.cfg.Now().Before(k.auditDue) {
				k.audit(ctx)
			}
		})
	})
	k.resume()
	k.repeat(ctx, func() {
		if !k.cfg.Now().Before(k.due) {
			k.collect()
		}
		if !k.cfg.Now().Before(k.again) {
			k.submit(ctx)
		}
		if k.hasShown() {
			k.count()
		}
	})
}

// repeat calls look again and again until the context ends.
func (k *Keeper) repeat(ctx context.Context, look func()) {
	for ctx.Err() == nil {
		look()
		if wait.For(ctx, min(lookEvery, k.cfg.Every)) != nil {
			return
		}
	}
}

// Once anchors what is there now, and audits.
func (k *Keeper) Once(ctx context.Context) {
	defer k.view.Close()
	k.resume()
	k.collect()
	k.submit(ctx)
	k.audit(ctx)
	k.count()
}

// Origin returns the log's.
func (k *Keeper) Origin() string { return k.cfg.Origin }

// Status returns what was done last.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// Take returns the findings of the last audit, and checkpoints that the log signed and that are the text of no
// tree of it, if there was one since the last Take; false: there was none.
func (k *Keeper) Take() (findings []audit.Finding, strange [][]byte, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ok, k.unclaimed = k.unclaimed, false
	return k.findings, k.strange, ok
}

func (k *Keeper) set(change func(*Status)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.status)
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
