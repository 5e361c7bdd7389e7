package monitor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
)

// This file is about what the witnesses of a policy show of a log: the newest checkpoint that
// each has cosigned (c2sp.org/tlog-witness, the monitoring prefix). A log that shows two
// histories needs witnesses for each, so this is where the other one can be seen.

// witness is a witness that is asked. A witness with two keys stands twice in a policy, and is
// asked once.
type witness struct {
	f    *follower
	name string // the first in the policy
	url  string // empty: it is not asked
	keys []proofs.Key
	at   []string // URLs of its checkpoint, one for each origin of the policy
	get  []conditional

	mu     sync.Mutex
	notes  [][]byte // to be offered
	seen   Witness  // as the status has it, with the names below
	told   bool     // seen is in the status
	before []byte   // the last note
	wrong  error    // with it
}

// findWitnesses finds the witnesses of the policy by their URLs.
func (f *follower) findWitnesses() ([]*witness, error) {
	var list []*witness
	for _, p := range f.policy.Witnesses {
		url := strings.TrimRight(p.URL, "/")
		if url != "" {
			if err := checkURL(url); err != nil {
				return nil, fmt.Errorf("witness %s: %w", p.Name, err)
			}
		}
		if i := slices.IndexFunc(list, func(w *witness) bool { return url != "" && w.url == url }); i >= 0 {
			list[i].keys = append(list[i].keys, p.Key)
			continue
		}
		w := &witness{f: f, name: p.Name, url: url, keys: []proofs.Key{p.Key}, told: true}
		w.seen = Witness{Name: p.Name, URL: fetch.Redacted(url)}
		for _, origin := range f.origins() {
			w.at = append(w.at, fmt.Sprintf("%s/%x/checkpoint", url, sha256.Sum256([]byte(origin))))
			w.get = append(w.get, conditional{client: fetch.SameHost(f.m.opts.Client), most: proofs.MaxNoteSize})
		}
		list = append(list, w)
	}
	return list, nil
}

// askEvery is how often witnesses are asked.
func (f *follower) askEvery() time.Duration { return min(2*f.log.Interval, time.Minute) }

// run asks the witness until the context ends.
func (w *witness) run(ctx context.Context) {
	if w.url == "" {
		return
	}
	for ctx.Err() == nil {
		w.ask(ctx)
		if wait.For(ctx, w.f.askEvery()) != nil {
			return
		}
	}
}

// witnessTimeout is how long a witness may take for an answer.
const witnessTimeout = 30 * time.Second

// ask asks the witness once for the newest checkpoint of each log of the policy.
func (w *witness) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, witnessTimeout)
	defer cancel()
	var trouble error
	answered := false
	for i, url := range w.at {
		note, err := w.get[i].fetch(ctx, url)
		if errors.Is(err, fetch.ErrNotFound) {
			answered = true // it does not know the log
			continue
		}
		if err == nil {
			err = w.saw(note)
		}
		if answered = answered || err == nil; err != nil {
			trouble = cmp.Or(trouble, err)
		}
	}
	now := w.f.m.opts.Now().Unix()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = false
	w.seen.Asked = now
	if w.seen.Trouble = ""; trouble != nil {
		w.seen.Trouble = fetch.RedactedText(trouble.Error())
	}
	if answered && trouble == nil {
		w.seen.Answered = now
	}
}

// saw looks at a note that the witness shows, and hands it over.
func (w *witness) saw(signed []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.before != nil && string(w.before) == string(signed) {
		return w.wrong
	}
	if w.before, w.wrong = signed, w.look(signed); w.wrong == nil {
		w.f.wakeUp()
	}
	return w.wrong
}

func (w *witness) look(signed []byte) error {
	var keys []proofs.Key
	for _, l := range w.f.policy.Logs {
		keys = append(keys, l.Key)
	}
	c, note, err := proofs.OpenCheckpoint(signed, keys...)
	if err != nil {
		return fmt.Errorf("the witness shows what the log has not signed: %w", err)
	}
	if len(w.notes) < maxNotes {
		w.notes = append(w.notes, signed)
	}
	cosigned := int64(-1)
	for _, k := range w.keys {
		if times, err := note.VerifiedBy(k); err == nil {
			cosigned = max(cosigned, slices.Max(times))
		}
	}
	if cosigned < 0 {
		return errors.New("the witness shows a checkpoint that it has not cosigned")
	}
	w.seen.Size, w.seen.Time = c.Tree.N, cosigned
	return nil
}

// maxNotes is how many notes of a witness wait for the log's next step.
const maxNotes = 64

// askAll asks all witnesses once, at the same time.
func (f *follower) askAll(ctx context.Context) {
	var asking sync.WaitGroup
	for _, w := range f.witnesses {
		if w.url != "" {
			asking.Go(func() { w.ask(ctx) })
		}
	}
	asking.Wait()
}

// takeOffers offers the auditor what witnesses have shown.
func (f *follower) takeOffers(ctx context.Context) error {
	for i, w := range f.witnesses {
		w.mu.Lock()
		notes, seen, told := w.notes, w.seen, w.told
		w.notes, w.told = nil, true
		w.mu.Unlock()
		if !told {
			f.mu.Lock()
			before := f.status.Witnesses[i]
			f.status.Witnesses[i] = seen
			before.Asked, before.Answered = seen.Asked, seen.Answered
			f.differs = f.differs || before != seen
			f.mu.Unlock()
			if seen.Size > before.Size {
				f.noteAhead(w, seen)
			}
		}
		for _, note := range notes {
			if err := f.a.Offer(ctx, note); errors.Is(err, audit.ErrNotOffered) {
				f.logger.Warn("a witness shows what cannot be compared", "witness", w.name, "error", err)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

// ahead is a tree that a witness cosigned, and when the monitor saw that.
type ahead struct {
	size int64
	w    *witness
	at   time.Time // when it was seen, or cosigned if that is earlier
}

// maxAhead is how many of them are remembered: the oldest.
const maxAhead = 1024

func (f *follower) noteAhead(w *witness, seen Witness) {
	at := f.m.opts.Now()
	if cosigned := time.Unix(seen.Time, 0); seen.Time > 0 && cosigned.Before(at) {
		at = cosigned
	}
	if len(f.ahead) < maxAhead {
		f.ahead = append(f.ahead, ahead{seen.Size, w, at})
	}
}

// lookAtWithheld finds that the log does not show what a quorum of its witnesses cosigned
// long ago. One witness alone may have cosigned a checkpoint that never got its quorum.
func (f *follower) lookAtWithheld(ctx context.Context, step audit.StepResult, stepErr error) error {
	if stepErr != nil {
		return nil // an outage withholds nothing
	}
	shown := int64(0)
	if step.Checkpoint != nil {
		shown = step.Checkpoint.Tree.N
	}
	f.ahead = slices.DeleteFunc(f.ahead, func(x ahead) bool { return x.size <= shown })
	var found []audit.Finding
	if at, first, ok := f.quorumAhead(); ok {
		if now := f.m.opts.Now(); now.Sub(at) >= f.log.Withheld {
			x := audit.NewFinding(audit.ViewWithheld, -1, [32]byte{}, "", 0, fmt.Sprintf(
				"witnesses that are a quorum, %s among them, cosigned size %d or more by %s, and %v later the log shows size %d", first.w.name, first.size, at.UTC().Format(time.RFC3339), f.log.Withheld, shown))
			found = append(found, x.About(fmt.Sprint("since ", shown)))
		}
	}
	return f.a.Watched(ctx, "the log's view", found)
}

// quorumAhead returns by when a quorum had cosigned trees that the log does not show, and the
// first of them.
func (f *follower) quorumAhead() (at time.Time, first ahead, ok bool) {
	if len(f.ahead) == 0 {
		return at, first, false
	}
	list := slices.Clone(f.ahead)
	slices.SortStableFunc(list, func(x, y ahead) int { return x.at.Compare(y.at) })
	have := map[proofs.Key]bool{}
	for _, x := range list {
		for _, k := range x.w.keys {
			have[k] = true
		}
		if f.policy.Satisfied(func(name string) bool {
			return slices.ContainsFunc(f.policy.Witnesses, func(p proofs.PolicyWitness) bool { return p.Name == name && have[p.Key] })
		}) == nil {
			return x.at, list[0], len(f.policy.Witnesses) > 0
		}
	}
	return at, first, false
}

// conditional fetches a file again and again, and lets the server say that it is the same.
type conditional struct {
	client *http.Client
	most   int64
	url    string
	etag   string
	have   []byte
}

// fetch returns the file at a URL. The error is as of fetch.Get.
func (c *conditional) fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if c.etag != "" && c.url == url {
		req.Header.Set("If-None-Match", c.etag)
	}
	req.Header.Set("Cache-Control", "no-cache")
	resp, err := fetch.Do(c.client, req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.most+1))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && c.etag != "" && c.url == url:
		return c.have, nil
	case resp.StatusCode == http.StatusNotFound:
		return nil, fetch.ErrNotFound
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	case int64(len(body)) > c.most:
		return nil, fmt.Errorf("more than %d bytes", c.most)
	}
	c.url, c.etag, c.have = url, resp.Header.Get("ETag"), body
	return body, nil
}
