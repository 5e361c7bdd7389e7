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
	notes  []shownNote             // to be offered
	seen   Witness                 // as the status has it, without size and time
	trees  map[string]cosignedTree // the newest by origin, of what it has cosigned
	told   bool                    // seen is in the status
	before [][]byte                // the last note at each URL
	wrong  []error                 // with it
}

// shownNote is a note that a witness shows, of the log with an origin.
type shownNote struct {
	origin string
	signed []byte
}

// cosignedTree is a tree's size, and when a witness cosigned it by its own clock, POSIX seconds.
type cosignedTree struct{ size, time int64 }

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
		w := &witness{f: f, name: p.Name, url: url, keys: []proofs.Key{p.Key}, told: true, trees: map[string]cosignedTree{}}
		w.seen = Witness{Name: p.Name, URL: fetch.Redacted(url)}
		for _, origin := range f.origins() {
			w.at = append(w.at, fmt.Sprintf("%s/%x/checkpoint", url, sha256.Sum256([]byte(origin))))
			w.get = append(w.get, conditional{client: fetch.SameHost(f.m.opts.Client), most: proofs.MaxNoteSize})
		}
		w.before, w.wrong = make([][]byte, len(w.at)), make([]error, len(w.at))
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
			err = w.saw(i, note)
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

// saw looks at a note that the witness shows at one of its URLs, and hands it over.
func (w *witness) saw(i int, signed []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.before[i] != nil && string(w.before[i]) == string(signed) {
		return w.wrong[i]
	}
	if w.before[i], w.wrong[i] = signed, w.look(signed); w.wrong[i] == nil {
		w.f.wakeUp()
	}
	return w.wrong[i]
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
		w.notes = append(w.notes, shownNote{c.Origin, signed})
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
	w.trees[c.Origin] = cosignedTree{c.Tree.N, cosigned}
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

// followed returns the origin of the log that is followed; false: the policy has several logs,
// and it is not known yet which of them this is.
func (f *follower) followed() (string, bool) {
	if origin := f.a.Origin(); origin != "" {
		return origin, true
	}
	if origins := f.origins(); len(origins) == 1 {
		return origins[0], true
	}
	return "", false
}

// takeOffers offers the auditor what witnesses have shown of its log. What they show of other
// logs of the policy says nothing of this one.
func (f *follower) takeOffers(ctx context.Context) error {
	origin, known := f.followed()
	if !known {
		return nil // it waits
	}
	for i, w := range f.witnesses {
		w.mu.Lock()
		notes, seen, told, tree := w.notes, w.seen, w.told, w.trees[origin]
		w.notes, w.told = nil, true
		w.mu.Unlock()
		if !told {
			seen.Size, seen.Time = tree.size, tree.time
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
			if note.origin != origin {
				continue
			}
			if err := f.a.Offer(ctx, note.signed); errors.Is(err, audit.ErrNotOffered) {
				f.logger.Warn("a witness shows what cannot be compared", "witness", w.name, "error", err)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
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
	before := *c
	c.url, c.etag, c.have = "", "", nil // unless the answer is right once more
	if before.etag != "" && before.url == url {
		req.Header.Set("If-None-Match", before.etag)
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
	case resp.StatusCode == http.StatusNotModified && before.etag != "" && before.url == url:
		*c = before
		return c.have, nil
	case resp.StatusCode == http.StatusNotFound:
		return nil, fetch.ErrNotFound
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	case int64(len(body)) > c.most:
		return nil, fmt.Errorf("more than %d bytes", c.most)
	}
	c.url, c.etag, c.have = url, fetch.ETag(resp), body
	return body, nil
}
