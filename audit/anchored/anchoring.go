package anchored

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
)

// opened returns the ledger with its folder, which is made with the first checkpoint.
func (k *Keeper) opened() (*Ledger, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ledger.Folder == nil {
		folder, err := NewFolder(k.cfg.Dir, k.cfg.Name, k.cfg.Origin)
		if err != nil {
			return nil, err
		}
		k.ledger.Folder = folder
	}
	return k.ledger, nil
}

// resume says at once what was so when the process before this one ended.
func (k *Keeper) resume() {
	_, err := os.Stat(folderPath(k.cfg.Dir, k.cfg.Name, k.cfg.Origin))
	if err == nil {
		_, err = k.opened()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.trouble(err)
	}
	k.count()
}

// hasFolder reports whether there is a folder yet.
func (k *Keeper) hasFolder() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ledger.Folder != nil
}

// trouble says why nothing can be anchored now.
func (k *Keeper) trouble(err error) { k.set(func(s *Status) { s.Trouble = err.Error() }) }

// remembered returns the ledger, once what is remembered of what was anchored has been read.
func (k *Keeper) remembered() (*Ledger, error) {
	l, err := k.opened()
	if err != nil {
		return nil, err
	}
	if k.pinned == nil {
		if k.pinned, err = l.Folder.pinned(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// collect puts the newest checkpoint into the queue, unless it is anchored.
func (k *Keeper) collect() {
	signed, _ := k.cfg.Newest()
	if signed == nil {
		return // it is looked for again
	}
	k.due = k.cfg.Now().Add(k.cfg.Every)
	err := k.collectOne(signed)
	k.count()
	if err != nil {
		k.trouble(err)
		return
	}
	k.set(func(s *Status) {
		if s.Queued == 0 {
			s.Trouble = "" // of an attempt that is over
		}
	})
}

func (k *Keeper) collectOne(signed []byte) error {
	note, c, err := parseSigned(signed)
	if err != nil {
		return err
	}
	if c.Origin != k.cfg.Origin {
		k.set(func(s *Status) { s.Unsigned = true })
		return fmt.Errorf("the log that is shown is %q, not %q: %w", c.Origin, k.cfg.Origin, ErrNotSigned)
	}
	l, err := k.remembered()
	if err != nil {
		return err
	}
	_, err = l.signer(signed)
	k.set(func(s *Status) { s.Unsigned = err != nil })
	if err != nil {
		now := k.cfg.Now()
		return errors.Join(err, k.change(l, func(p *pinned) { p.lost(c.Tree.N, now) }))
	}
	written, ok, err := l.has(note, c)
	if err != nil {
		return err
	}
	if ok {
		return k.change(l, func(p *pinned) { p.anchored(c.Tree.N, digestOf(note), written) })
	}
	return l.Folder.enqueue(signed, func(gone sized) error {
		return k.change(l, func(p *pinned) { p.lost(gone.size, gone.time) })
	})
}

// change changes what is remembered of what was anchored. What could not be written does not count: it is
// changed again.
func (k *Keeper) change(l *Ledger, change func(*pinned)) error {
	p := *k.pinned
	if change(&p); p == *k.pinned {
		return nil
	}
	if err := l.Folder.savePinned(&p); err != nil {
		return err
	}
	k.pinned = &p
	return nil
}

// takeShown takes over what the last audit has shown of receipts: of which trees of the log there are some, and
// that the one believed in is of none.
func (k *Keeper) takeShown(l *Ledger) error {
	k.mu.Lock()
	found := k.shown
	k.mu.Unlock()
	if found == nil {
		return nil
	}
	err := k.change(l, func(p *pinned) {
		for _, strange := range found.Strange {
			if note, _, err := parseSigned(strange); err == nil && digestOf(note) == p.Digest {
				p.Size, p.Digest, p.Time = -1, "", 0
			}
		}
		if own := found.own; own != nil {
			p.anchored(own.size, own.digest, own.written)
		}
	})
	if err != nil {
		return err // again the next time
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shown == found {
		k.shown = nil
	}
	return nil
}

// hasShown reports whether there is something for takeShown.
func (k *Keeper) hasShown() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shown != nil
}

// count says how much is anchored and how much waits.
func (k *Keeper) count() {
	if !k.hasFolder() {
		return
	}
	l, err := k.remembered()
	if err != nil {
		k.trouble(err)
		return
	}
	if err := k.takeShown(l); err != nil {
		k.trouble(err)
		return
	}
	p := k.pinned
	waiting, err := l.Folder.waiting()
	if err != nil {
		k.trouble(err)
		return
	}
	size, at := p.Size, p.Time
	if newest, _ := k.cfg.Newest(); newest != nil {
		// A tree that is larger than the log's is none of the log, as after its state was lost.
		if _, c, err := parseSigned(newest); err == nil && c.Tree.N < size {
			size, at = -1, 0
		}
	}
	since := int64(0)
	now := k.cfg.Now().Unix()
	first := func(of, t int64) {
		t = min(t, now) // a clock may have been ahead
		if of > size && t != 0 && (since == 0 || t < since) {
			since = t
		}
	}
	for _, w := range waiting {
		first(w.size, w.time.Unix())
	}
	first(p.GoneSize, p.GoneTime)
	k.set(func(s *Status) { s.Size, s.Time, s.Since, s.Queued = size, at, since, len(waiting) })
}

// submitFor is how long checkpoints are submitted at a time, before it is looked whether there is a newer
// one: two requests that take as long as they may.
const submitFor = 2 * rekor.DefaultTimeout

// submit anchors what waits, the newest first, until the instance fails or the time is over.
func (k *Keeper) submit(ctx context.Context) {
	if !k.hasFolder() {
		return
	}
	l, err := k.remembered()
	if err != nil {
		k.trouble(err)
		return
	}
	waiting, err := l.Folder.waiting()
	if err == nil && len(waiting) == 0 {
		return
	}
	for began := time.Now(); err == nil && len(waiting) > 0 && ctx.Err() == nil && time.Since(began) < submitFor; {
		w := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		err = k.submitOne(ctx, l, w)
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
func (k *Keeper) submitOne(ctx context.Context, l *Ledger, w sized) error {
	signed, err := regular.ReadSome(w.path, proofs.MaxNoteSize+1)
	if err != nil {
		return err
	}
	_, _, err = l.Submit(ctx, signed)
	switch {
	case err == nil:
		err = k.keepInstance()
		if note, c, err2 := parseSigned(signed); err2 == nil {
			now := k.cfg.Now()
			err = errors.Join(err, k.change(l, func(p *pinned) { p.anchored(c.Tree.N, digestOf(note), now) }))
		}
	case errors.Is(err, rekor.ErrRefused) || errors.Is(err, ErrNotSigned):
		if kept := k.change(l, func(p *pinned) { p.lost(w.size, w.time) }); kept != nil {
			return errors.Join(err, kept) // it waits until that is noted
		}
	default:
		return err
	}
	return errors.Join(err, os.Remove(w.path))
}

// keepInstance keeps the keys of the configuration beside the receipts, so that these can be verified
// by them alone. It is called once the instance has answered as one that has these keys.
func (k *Keeper) keepInstance() error {
	if k.kept {
		return nil
	}
	err := WriteInstance(k.cfg.Dir, k.cfg.Config, k.keys)
	k.kept = err == nil
	return err
}
