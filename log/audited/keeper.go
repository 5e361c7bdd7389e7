package audited

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// maxKept bounds what is read of the file, in bytes, as of a note.
const maxKept = proofs.MaxNoteSize

// healthEvery is how often, at most, the health is written.
const healthEvery = 5 * time.Second

// Keeper keeps the newest checkpoint of a log that its auditors have cosigned. A nil Keeper
// is that of a log which does not ask auditors: its Newest is none.
type Keeper struct {
	cfg    Config
	origin string
	file   *durable.File

	looking sync.Mutex // one look at a time; guards what follows, and the auditors
	pool    pool
	stored  []byte      // from an earlier process, and not compared with the log yet
	tree    proofs.Tree // that is published
	since   time.Time   // since when
	saved   time.Time   // when the health was written
	health  []byte      // that was

	mu       sync.Mutex
	policies Policies
	auditors []*auditor
	newest   log.Published
	kept     []byte // what the file has
	failing  error  // why the file could not be written last
}

// Open reads the file of cfg, and checks the policies.
func Open(cfg Config) (*Keeper, error) {
	cfg.setDefaults()
	k := &Keeper{cfg: cfg, origin: cfg.Keys[0].Name(), file: durable.NewFile(cfg.Path, 0o644), newest: log.Published{Tree: proofs.EmptyTree}}
	if err := k.Reload(cfg.Policies); err != nil {
		return nil, err
	}
	note, err := Read(cfg.Path)
	if err == nil && note != nil {
		_, _, err = proofs.OpenCheckpoint(note, cfg.Keys...)
	}
	if err != nil {
		// The auditors show it again.
		cfg.Logger.Warn("the audited checkpoint that was kept is not used", "path", cfg.Path, "err", err)
		return k, nil
	}
	k.stored, k.kept = note, note
	return k, nil
}

// Read reads the file of a Keeper; nil: there is none. The note is not verified.
func Read(path string) (note []byte, err error) {
	note, err = regular.ReadSome(path, maxKept+1)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && (len(note) > maxKept || len(note) == 0):
		err = fmt.Errorf("%s: it has %d bytes or more and cannot be a checkpoint", path, len(note))
	}
	return note, err
}

// Reload replaces the policies. What is kept stays as long as it meets the new one. With an
// error nothing changes.
func (k *Keeper) Reload(policies Policies) error {
	policies, err := policies.forLog(k.cfg.Keys)
	if err != nil {
		return err
	}
	asked, err := policies.asked()
	if err != nil {
		return err
	}
	k.looking.Lock()
	defer k.looking.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.policies, k.auditors = policies, asked
	if k.newest.Note != nil {
		if _, err := policies.Audited.OpenCheckpoint(k.newest.Note); err != nil {
			k.stored, k.newest = k.newest.Note, log.Published{Tree: proofs.EmptyTree}
		}
	}
	return nil
}

// Newest returns the newest audited checkpoint; its note is nil if there is none.
func (k *Keeper) Newest() log.Published {
	if k == nil {
		return log.Published{Tree: proofs.EmptyTree}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.newest
}

// Health says how far audited checkpoints are.
type Health struct {
	// Size and Root are of the newest audited checkpoint. Size is 0 if there is none.
	Size int64  `json:"size"`
	Root string `json:"root,omitempty"`
	// Cosigned is the newest time in an auditor's cosignature of it; zero if there is none.
	Cosigned time.Time `json:"cosigned,omitzero"`
	// Auditors are those of the policy.
	Auditors []Auditor `json:"auditors"`
}

// Health says how far audited checkpoints are.
func (k *Keeper) Health() Health {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := Health{Auditors: make([]Auditor, len(k.auditors))}
	if note, err := proofs.ParseNote(k.newest.Note); err == nil {
		h.Size, h.Root = k.newest.Tree.N, k.newest.Tree.Hash.String()
		for _, a := range k.auditors {
			if at, err := a.cosigned(note); err == nil && at.After(h.Cosigned) {
				h.Cosigned = at
			}
		}
	}
	for i, a := range k.auditors {
		h.Auditors[i] = a.health
	}
	return h
}

// Run looks at the auditors until the context ends. The board is that on which the log is
// shown at the time.
func (k *Keeper) Run(ctx context.Context, board func() *publisher.Board) {
	for {
		k.Look(ctx, board())
		if wait.For(ctx, k.cfg.Soon) != nil {
			return
		}
	}
}

// Look asks the auditors that it is time to ask, and keeps what they show.
func (k *Keeper) Look(ctx context.Context, board *publisher.Board) {
	k.looking.Lock()
	defer k.looking.Unlock()
	published, now := board.Published(), k.cfg.Now()
	if published.Tree != k.tree {
		k.tree, k.since = published.Tree, now
	}
	k.compareStored(ctx, board)
	k.choose()
	var asking sync.WaitGroup
	failed := make([]error, len(k.auditors))
	for i, a := range k.auditors {
		if a.due(&k.cfg, now, published.Tree.N, k.since) {
			asking.Go(func() { failed[i] = a.look(ctx, k.cfg.HTTP, k.origin, now, k.cfg.Later) })
		}
	}
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	for i, a := range k.auditors {
		if a.looked.Equal(now) {
			k.note(a, func(h *Auditor) {
				if h.Error = ""; failed[i] != nil {
					h.Error = failed[i].Error()
				} else {
					h.Answered = now.UTC()
				}
			})
		}
		k.consider(ctx, board, a, now)
	}
	k.pool.join(k, published)
	k.choose()
	for _, a := range k.auditors {
		k.note(a, func(h *Auditor) { h.Behind = max(0, published.Tree.N-h.Size) })
	}
	k.saveHealth(now)
}

// note changes what is said of an auditor.
func (k *Keeper) note(a *auditor, change func(*Auditor)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&a.health)
}

// lag is how long an auditor may show more than this process knows to be published, before
// that is a contradiction: a front end that follows is a little behind.
const lag = 10 * time.Second

// consider takes what an auditor shows into the pool, if it is right.
func (k *Keeper) consider(ctx context.Context, board *publisher.Board, a *auditor, now time.Time) {
	if a.read || a.note == nil {
		return
	}
	tree, cosigned, err := k.open(a)
	if err != nil {
		a.read = true
		k.note(a, func(h *Auditor) { h.Error, h.Contradiction = fmt.Sprintf("it shows what does not count: %v", err), "" })
		k.cfg.Logger.Warn("an auditor shows what does not count", "auditor", a.name, "err", err)
		return
	}
	var other *contradiction
	err = begins(ctx, board, tree)
	switch {
	case err == nil:
	case errors.Is(err, log.ErrNotPublished):
		if a.beyond.IsZero() {
			a.beyond = now
		}
		if now.Sub(a.beyond) < lag {
			return
		}
		other = &contradiction{fmt.Sprintf("a tree of size %d (root %v), and this log has published %d entries: it was restored from an old copy, or another process signs for it", tree.N, tree.Hash, board.Published().Tree.N)}
	case !errors.As(err, &other):
		k.note(a, func(h *Auditor) { h.Error = err.Error() })
		return // the storage cannot be read now
	default:
		a.read = true
	}
	if other != nil {
		before := false
		k.note(a, func(h *Auditor) { before, h.Contradiction = h.Contradiction == other.Error(), other.Error() })
		if !before {
			k.cfg.Logger.Error("an auditor shows a checkpoint with this log's signature that this log does not know", "auditor", a.name, "shows", other.Error(), "note", string(a.note))
		}
		return
	}
	a.read, a.size = true, tree.N
	k.note(a, func(h *Auditor) { h.Size, h.Cosigned, h.Contradiction = tree.N, cosigned, "" })
	k.pool.add(k, tree, a.note)
}

// open verifies that the log and the auditor have signed what the auditor shows.
func (k *Keeper) open(a *auditor) (proofs.Tree, time.Time, error) {
	cp, note, err := proofs.OpenCheckpoint(a.note, k.cfg.Keys...)
	if err != nil {
		return proofs.Tree{}, time.Time{}, err
	}
	cosigned, err := a.cosigned(note)
	return cp.Tree, cosigned, err
}

// contradiction is the error of a checkpoint that is not one of the log's trees.
type contradiction struct{ what string }

func (e *contradiction) Error() string { return e.what }

// begins returns nil if the published tree begins with a tree: log.ErrNotPublished if it is
// smaller, a *contradiction if it does not, or the error of the storage.
func begins(ctx context.Context, board *publisher.Board, tree proofs.Tree) error {
	published := board.Published().Tree
	if tree.N > published.N {
		return log.ErrNotPublished
	}
	tiles := &log.Noted{Tiles: board.Storage()}
	proof, err := proofs.ConsistencyProof(ctx, tree.N, published, tiles)
	if err == nil {
		err = proofs.VerifyConsistency(tree, published, proof)
	}
	switch {
	case err == nil:
		return nil
	case tiles.Err != nil:
		return err
	}
	return &contradiction{fmt.Sprintf("a tree of size %d (root %v), with which the published one of size %d (root %v) does not begin: two histories were signed, or the storage is damaged (%v)", tree.N, tree.Hash, published.N, published.Hash, err)}
}

// compareStored takes what an earlier process has kept into the pool, once it is known to be
// one of the log's trees.
func (k *Keeper) compareStored(ctx context.Context, board *publisher.Board) {
	if k.stored == nil {
		return
	}
	cp, _, err := proofs.OpenCheckpoint(k.stored, k.cfg.Keys...)
	if err == nil {
		err = begins(ctx, board, cp.Tree)
	}
	var other *contradiction
	switch {
	case err == nil:
		k.pool.add(k, cp.Tree, k.stored)
	case errors.As(err, &other):
		k.cfg.Logger.Error("the audited checkpoint that was kept is not one of this log", "path", k.cfg.Path, "has", other.Error())
	default:
		return // not known yet
	}
	k.stored = nil
}

// choose keeps the newest checkpoint of the pool that meets the policy.
func (k *Keeper) choose() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if met := k.pool.newest(k.policies.Audited, k.newest); met.Note != nil {
		if met.Tree != k.newest.Tree {
			k.cfg.Logger.Info("audited", "size", met.Tree.N)
		}
		k.newest = met
		k.pool.forget(met.Tree.N)
	}
	if k.newest.Note == nil || bytes.Equal(k.newest.Note, k.kept) {
		return
	}
	err := k.file.Write(k.newest.Note)
	if err == nil {
		k.kept = k.newest.Note
	} else if k.failing == nil {
		k.cfg.Logger.Warn("the newest audited checkpoint is kept in memory alone: after a restart the auditors are asked for it", "err", err)
	}
	k.failing = err
}

// saveHealth writes the health, for those who look from outside; that it fails is no harm.
func (k *Keeper) saveHealth(now time.Time) {
	if ago := now.Sub(k.saved); k.cfg.HealthPath == "" || ago >= 0 && ago < healthEvery {
		return
	}
	b, err := json.MarshalIndent(k.Health(), "", "  ")
	if err != nil || bytes.Equal(b, k.health) {
		return
	}
	k.saved = now
	temporary := k.cfg.HealthPath + ".tmp"
	if err := os.WriteFile(temporary, append(b, '\n'), 0o644); err == nil {
		_ = os.Rename(temporary, k.cfg.HealthPath)
		k.health = b
	}
}

// ReadHealth reads the file of Config.HealthPath; nil: there is none.
func ReadHealth(path string) (*Health, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h := new(Health)
	if err := json.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}
