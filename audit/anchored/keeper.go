package anchored

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/regular"
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
	// leaves the state has; nil: none was. It is called from the Keeper's goroutine.
	Newest func() (signed []byte, judged int64)
	State  string           // directory of the log's audit state, which is read beside its writer
	Client *http.Client     // nil: net/http's default
	Now    func() time.Time // nil: time.Now
}

// Status is what a Keeper has done. Times are POSIX seconds; 0: never.
type Status struct {
	Instance string `json:"instance"`
	Version  int    `json:"version"` // of Rekor
	Size     int64  `json:"size"`    // of the largest tree that is anchored; -1: none
	Time     int64  `json:"time"`    // when that was
	// Since is when the oldest checkpoint was verified that is neither anchored nor before one that is: since
	// when the log's history is not pinned; 0: it is.
	Since   int64  `json:"unanchored_since"`
	Queued  int    `json:"queued"`            // checkpoints that wait
	Trouble string `json:"trouble,omitempty"` // why the last attempt to anchor failed

	Audited      int64  `json:"audited"` // when all that the instance has was looked at
	Entries      int    `json:"entries"` // that it had then
	Open         int    `json:"open"`    // of them, those that may be of a tree to come
	Orphans      int    `json:"orphans"`
	AuditTrouble string `json:"audit_trouble,omitempty"` // why the last look failed, or was not at all
	OtherKey     bool   `json:"other_key,omitempty"`     // the instance shows a public key that is not trusted
}

// Keeper anchors the checkpoints of one log in one instance on a schedule, and looks at all
// that the instance has under the log's keys. It delays nobody: Run is a goroutine of its own,
// and the others only take what it has found.
type Keeper struct {
	cfg  KeeperConfig
	keys []crypto.PublicKey
	view *state.View

	// Of the goroutine that runs.
	ledger    *Ledger
	due       time.Time // when the newest checkpoint is to be anchored
	auditDue  time.Time
	again     time.Time // when the queue is tried again
	pause     time.Duration
	refused   sized // the largest tree that the instance refused, and since when it refuses
	mu        sync.Mutex
	status    Status
	findings  []audit.Finding
	strange   [][]byte
	unclaimed bool // they have not been taken
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

// Run anchors and audits until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	defer k.view.Close()
	for ctx.Err() == nil {
		now := k.cfg.Now()
		if !now.Before(k.due) {
			k.collect()
		}
		if !now.Before(k.again) {
			k.submit(ctx)
		}
		if !now.Before(k.auditDue) {
			k.audit(ctx)
		}
		if wait.For(ctx, min(lookEvery, k.cfg.Every)) != nil {
			return
		}
	}
}

// Once anchors what is there now, and audits.
func (k *Keeper) Once(ctx context.Context) {
	defer k.view.Close()
	k.collect()
	k.submit(ctx)
	k.audit(ctx)
}

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

// folder opens the folder, which is made with the first checkpoint.
func (k *Keeper) folder() (err error) {
	if k.ledger.Folder == nil {
		k.ledger.Folder, err = NewFolder(k.cfg.Dir, k.cfg.Name, k.cfg.Origin)
	}
	return err
}

// collect puts the newest checkpoint into the queue, unless it is anchored.
func (k *Keeper) collect() {
	signed, _ := k.cfg.Newest()
	if signed == nil {
		return // it is looked for again
	}
	err := k.folder()
	if err == nil {
		_, err = k.ledger.signer(signed)
	}
	has := false
	if err == nil {
		has, err = k.ledger.Folder.Has(signed)
	}
	if err == nil && !has {
		err = k.ledger.Folder.enqueue(signed)
	}
	k.due = k.cfg.Now().Add(k.cfg.Every)
	if err != nil {
		k.set(func(s *Status) { s.Trouble = err.Error() })
	}
	k.count()
}

// count says how much is anchored and how much waits.
func (k *Keeper) count() {
	if k.ledger.Folder == nil {
		return
	}
	size, at, err := k.ledger.newest()
	waiting, err2 := k.ledger.Folder.files("queue", ".note")
	if err := errors.Join(err, err2); err != nil {
		k.set(func(s *Status) { s.Trouble = err.Error() })
		return
	}
	since := time.Time{}
	for _, w := range waiting {
		if w.size > size && (since.IsZero() || w.time.Before(since)) {
			since = w.time
		}
	}
	if r := k.refused; !r.time.IsZero() && r.size > size && (since.IsZero() || r.time.Before(since)) {
		since = r.time // what was refused is not anchored
	}
	k.set(func(s *Status) {
		s.Size, s.Time, s.Since, s.Queued = size, 0, 0, len(waiting)
		if size >= 0 {
			s.Time = at.Unix()
		}
		if !since.IsZero() {
			s.Since = since.Unix()
		}
	})
}

// submit anchors what waits, the newest first, until the instance fails.
func (k *Keeper) submit(ctx context.Context) {
	if k.ledger.Folder == nil {
		return
	}
	waiting, err := k.ledger.Folder.files("queue", ".note")
	if err == nil && len(waiting) == 0 {
		return
	}
	for err == nil && len(waiting) > 0 && ctx.Err() == nil {
		w := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		err = k.submitOne(ctx, w)
		k.count()
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		k.pause = min(max(firstPause, 2*k.pause), lastPause)
		k.again = k.cfg.Now().Add(k.pause)
	} else {
		k.pause = 0
	}
	k.set(func(s *Status) { s.Trouble = said(err) })
}

// submitOne anchors a checkpoint. What can never be anchored does not wait any more.
func (k *Keeper) submitOne(ctx context.Context, w sized) error {
	signed, err := regular.ReadSome(w.path, proofs.MaxNoteSize+1)
	if err != nil {
		return err
	}
	_, _, err = k.ledger.Submit(ctx, signed)
	if err != nil && !errors.Is(err, rekor.ErrRefused) && !errors.Is(err, ErrNotSigned) {
		return err
	}
	if err != nil {
		if k.refused.time.IsZero() || w.time.Before(k.refused.time) {
			k.refused.time = w.time
		}
		k.refused.size = max(k.refused.size, w.size)
	} else if w.size >= k.refused.size {
		k.refused = sized{}
	}
	return errors.Join(err, os.Remove(w.path))
}

// audit looks at all that the instance has, once the leaves of the newest checkpoint are here.
func (k *Keeper) audit(ctx context.Context) {
	signed, judged := k.cfg.Newest()
	if signed == nil {
		return
	}
	c, err := k.cfg.Policy.OpenCheckpoint(signed)
	if err != nil || c.Origin != k.cfg.Origin || judged < c.Tree.N {
		return
	}
	k.auditDue = k.cfg.Now().Add(min(k.cfg.Audit, lastPause))
	if err := k.folder(); err != nil {
		k.set(func(s *Status) { s.AuditTrouble = err.Error() })
		return
	}
	lock, err := k.ledger.Folder.Lock()
	if err != nil {
		k.set(func(s *Status) { s.AuditTrouble = err.Error() })
		return
	}
	defer func() { _ = lock.Release() }()
	other, keyErr := k.ledger.KeyChanged(ctx)
	entries, partly := k.ledger.Entries(ctx)
	log := &Log{Policy: k.cfg.Policy, Checkpoint: c, Leaves: ViewLeaves(k.view)}
	all, strange, err := k.ledger.Judge(ctx, log, entries)
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.status
	s.OtherKey = other != ""
	s.AuditTrouble = said(errors.Join(partly, err, keyErr))
	if s.OtherKey {
		s.AuditTrouble = said(errors.Join(partly, err, fmt.Errorf("%s shows a public key that is not among those that are trusted: has it been rotated? It is believed only once you put it into the configuration", k.cfg.Name)))
	}
	if err != nil && !errors.Is(err, ErrNoReceipt) {
		return
	}
	if s.Open, s.Orphans = 0, 0; partly == nil {
		s.Audited, s.Entries = k.cfg.Now().Unix(), len(all)
		k.auditDue = k.cfg.Now().Add(k.cfg.Audit)
	}
	for _, j := range all {
		switch j.Verdict {
		case anchor.Open:
			s.Open++
		case anchor.Orphan:
			s.Orphans++
		}
	}
	k.findings, k.strange, k.unclaimed = Findings(k.cfg.Name, log, all), strange, true
}

// ViewLeaves reads leaves from a state that somebody else writes.
func ViewLeaves(view *state.View) func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
	return func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
		return view.At(ctx, func(r *state.Reader) error { return ReaderLeaves(r)(ctx, from, to, each) })
	}
}

// ReaderLeaves reads leaves from a state.
func ReaderLeaves(r *state.Reader) func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
	return func(ctx context.Context, from, to int64, each func(proofs.Hash) error) error {
		return r.Leaves(ctx, from, to, func(leaf state.Leaf) error { return each(proofs.LeafHash(leaf.Entry())) })
	}
}
