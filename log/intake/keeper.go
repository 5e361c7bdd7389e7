package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

const (
	// dueEvery is how often the keeper looks for files that are due, among them
	// those that an operator has released.
	dueEvery = time.Second
	// dueAgain is the pause after an attempt to judge a held file that led to no
	// verdict.
	dueAgain = time.Minute
	// stopTime is how long the last look at the end may take.
	stopTime = 5 * time.Second
	// rememberHolds is how long outcomes are kept.
	rememberHolds = 7 * 24 * time.Hour
	// forgetEvery is how often older ones are removed.
	forgetEvery = time.Hour
)

// keeper holds the files of senders without the repository's token, and submits them
// again at the end of the hold. A nil keeper holds nothing.
type keeper struct {
	store  log.Holds
	tokens *quota.TokenBook
	submit func(*Submission) error // to the intake
	hold   time.Duration           // 0: nothing new is held
	room   log.HoldRoom
	now    func() time.Time
	logger *slog.Logger

	stepping sync.Mutex     // one step at a time
	forgot   time.Time      // when outcomes were last removed
	ending   sync.WaitGroup // files that wait to be judged; added to in steps

	mu sync.Mutex
	// ended are roles and versions of which the vendor has logged a file since
	// the last look.
	ended map[logged]bool
	// judging are due files that wait to be judged, with their sources, and again
	// those that are not to be before a time.
	judging map[string]string
	again   map[string]time.Time
}

// logged is a version of a role.
type logged struct {
	repository tuf.Digest
	role       string
	version    int64
}

func newKeeper(cfg Config, submit func(*Submission) error) *keeper {
	if cfg.Holds == nil {
		return nil
	}
	k := &keeper{
		store: cfg.Holds, tokens: cfg.Sources.Tokens, submit: submit, hold: cfg.Hold, room: cfg.Limits.Hold, now: cfg.Now, logger: cfg.Logger,
		ended: map[logged]bool{}, judging: map[string]string{}, again: map[string]time.Time{},
	}
	if k.now == nil {
		k.now = time.Now
	}
	return k
}

// take holds a file that would become a leaf, unless its sender has a token of the
// repository or the repository has none. It reports whether the file is held;
// otherwise the file becomes a leaf at once.
func (k *keeper) take(ctx context.Context, sub *Submission, f *file, leaf leaf.Leaf) (bool, error) {
	if k != nil && sub.waited {
		return k.dropped(ctx, sub, f)
	}
	if k == nil || k.hold <= 0 || sub.Genesis || sub.From.Owns(sub.Repository) || !k.tokens.Guards(ctx, sub.Repository) {
		return false, nil
	}
	var snapshot []byte
	if v := sub.voucher(leaf); v != nil {
		snapshot = v.File
	}
	size := int64(len(f.meta.File) + len(snapshot))
	if size > k.room.SourceBytes {
		sub.mu.Lock()
		defer sub.mu.Unlock()
		f.refuse(api.CodeHoldFull, fmt.Sprintf("without the repository's token a file is held before it is logged; this one has %d bytes with its snapshot, and at most %d are held", size, k.room.SourceBytes))
		return true, nil
	}
	now := k.now().UTC().Truncate(time.Millisecond)
	h, err := k.store.Hold(ctx, log.Held{
		ID: heldID(leaf), Repository: leaf.Repository, Role: leaf.Role, Version: leaf.Version, Name: f.name, Kind: leaf.Kind,
		Source: sub.From.Key, Size: size, Since: now, Until: now.Add(k.hold), Outcome: log.Outcome{Index: -1},
	}, f.meta.File, snapshot, k.room)
	sub.mu.Lock()
	defer sub.mu.Unlock()
	switch {
	case errors.Is(err, log.ErrHoldShare), errors.Is(err, log.ErrHoldFull):
		sub.full = err
		f.refuse(api.CodeHoldFull, fmt.Sprintf("without the repository's token a file is held before it is logged, and %v: send the token, or come again later", err))
	case err != nil:
		return false, err
	default:
		f.status, f.held, f.refusal = api.StatusHeld, h, refusal{}
	}
	return true, nil
}

// dropped refuses a file that an operator has dropped while it waited to be judged,
// which may have taken long.
func (k *keeper) dropped(ctx context.Context, sub *Submission, f *file) (bool, error) {
	h, err := k.store.Held(ctx, sub.ID)
	if err != nil || h.Ended.IsZero() {
		return false, err
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	f.refuse(h.Outcome.Code, h.Outcome.Detail)
	return true, nil
}

// HeldIDSize is the number of bytes that the ID of a held file encodes.
const HeldIDSize = 16

// heldID follows from the content: one file beside one snapshot for one role is held
// once, even if several people send it.
func heldID(leaf leaf.Leaf) string {
	h := sha256.New()
	for _, part := range [][]byte{leaf.Repository[:], leaf.Metadata[:], leaf.Snapshot[:], []byte(leaf.Role)} {
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:HeldIDSize])
}

// appended is called for each file that has become a leaf. If its vendor has sent it,
// the hold of other files under its role and version ends.
func (k *keeper) appended(sub *Submission, leaf leaf.Leaf) {
	if k == nil || !sub.From.Owns(leaf.Repository) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended[logged{leaf.Repository, leaf.Role, leaf.Version}] = true
}

// run ends the hold of files that are due, until the context ends.
func (k *keeper) run(ctx context.Context) {
	if k == nil {
		return
	}
	defer k.stop(ctx)
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	failing := false
	for {
		err := k.step(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !failing:
			k.logger.Error("held files that are due cannot be judged", "err", err)
		case err == nil && failing:
			k.logger.Info("held files that are due are judged again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stop waits for the files that are being judged, and stores which versions the
// vendor has logged since the last step: the next process does not know them.
func (k *keeper) stop(ctx context.Context) {
	k.wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := k.endHolds(ctx); err != nil {
		k.logger.Warn("files of versions that their vendors have logged stay held until their time", "err", err)
	}
}

// wait returns when no file waits to be judged.
func (k *keeper) wait() {
	k.stepping.Lock()
	defer k.stepping.Unlock()
	k.ending.Wait()
}

// step ends the hold of files that are due now.
func (k *keeper) step(ctx context.Context) error {
	k.stepping.Lock()
	defer k.stepping.Unlock()
	if err := k.endHolds(ctx); err != nil {
		return err
	}
	now := k.now()
	due, err := k.store.DueHolds(ctx, now, k.known(now)+quota.DueAtOnce)
	if err != nil {
		return err
	}
	for _, h := range due {
		if k.begin(h) {
			k.ending.Go(func() { k.end(ctx, h) })
		}
	}
	if now.Sub(k.forgot) < forgetEvery {
		return nil
	}
	k.forgot = now
	return k.store.ForgetHolds(ctx, now.Add(-rememberHolds))
}

// known returns the number of due files that are being judged now or must wait
// longer.
func (k *keeper) known(now time.Time) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.again, func(_ string, until time.Time) bool { return !now.Before(until) })
	return len(k.judging) + len(k.again)
}

// begin reports whether a due file is to be judged now. Nothing waits for its end.
func (k *keeper) begin(h log.Held) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, later := k.again[h.ID]
	_, begun := k.judging[h.ID]
	if later || begun || len(k.judging) >= quota.DueAtOnce {
		return false
	}
	own := 0
	for _, source := range k.judging {
		if source == h.Source {
			own++
		}
	}
	if own >= quota.DueOfSource {
		return false
	}
	k.judging[h.ID] = h.Source
	return true
}

// endHolds makes files due whose version the vendor has logged. If no file is
// held, as is usual, it costs one query.
func (k *keeper) endHolds(ctx context.Context) (err error) {
	k.mu.Lock()
	ended := k.ended
	k.ended = map[logged]bool{}
	k.mu.Unlock()
	if len(ended) == 0 {
		return nil
	}
	defer func() {
		if err == nil {
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		maps.Copy(k.ended, ended)
	}()
	list, err := k.store.ListHeld(ctx)
	if err != nil {
		return err
	}
	for _, h := range list {
		l := logged{h.Repository, h.Role, h.Version}
		if !ended[l] {
			continue
		}
		if err := k.store.EndHolds(ctx, l.repository, l.role, l.version, k.now()); err != nil {
			return err
		}
		delete(ended, l)
	}
	return nil
}

// end submits a file whose time has come as if it had just arrived, and keeps the
// outcome. Without a verdict the file stays held, and is judged again later.
func (k *keeper) end(ctx context.Context, h log.Held) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.judging, h.ID)
	}()
	sub, err := k.submission(ctx, h)
	if err == nil {
		err = k.submit(sub)
	}
	if err == nil {
		select {
		case <-sub.Decided:
		case <-ctx.Done():
			return // the next process judges it
		}
		err = sub.err
	}
	var o log.Outcome
	if err == nil {
		f := sub.files[0]
		o = log.Outcome{Status: f.status, Index: f.index, Code: f.code, Detail: f.detail}
		_, err = k.store.SettleHold(ctx, h.ID, o, k.now())
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrDraining) {
			k.logger.Warn("a held file is judged later", "repository", h.Repository, "id", h.ID, "err", err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.again[h.ID] = k.now().Add(dueAgain)
		return
	}
	k.logger.Info("a held file was judged", "repository", h.Repository, "role", h.Role, "version", h.Version, "id", h.ID, "status", o.Status, "index", o.Index, "code", o.Code)
}

// submission makes a submission of a held file. It waits in a line for the held files
// of its source, whose judging time its other submissions do not use up.
func (k *keeper) submission(ctx context.Context, h log.Held) (*Submission, error) {
	data, snapshot, err := k.store.HeldFiles(ctx, h.ID)
	if err != nil {
		return nil, err
	}
	f := &file{name: h.Name, role: h.Role, version: h.Version, status: api.StatusPending, index: -1}
	sub := &Submission{
		ID: h.ID, From: quota.Source{Key: "held " + h.Source}, Repository: h.Repository, waited: true,
		Decided: make(chan struct{}), Release: func() {},
		files: []*file{f},
	}
	// What was read when it came may not be readable by now: the program may be another.
	// That is a verdict. A snapshot that cannot be read vouches for nothing.
	if f.meta, err = codec.Parse(api.EncodingOf(h.Name), data); err != nil {
		f.refuse(api.CodeMalformed, err.Error())
		return sub, nil
	}
	if snapshot != nil {
		if s, err := tuf.ParseJSON(snapshot); err == nil {
			sub.snapshots = append(sub.snapshots, s)
		}
	}
	if f.meta.Snapshot != nil {
		sub.snapshots = append(sub.snapshots, f.meta)
	}
	sub.todo = append(sub.todo, f)
	return sub, nil
}
