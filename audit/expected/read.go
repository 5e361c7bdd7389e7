package expected

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/regular"
)

// How long a reading may take: while releases wait for it, and otherwise. The releases wait, and
// nothing else does.
const (
	hasteTimeout = 3 * time.Second
	readTimeout  = 30 * time.Second
)

// reading is what was read last.
type reading struct {
	number int // of this reading, in the order in which they began; 0: none
	begun  time.Time
	note   []byte
	tag    string // the server's, of note
	err    error  // why there is none
}

// Read reads the expectations once. What came of it is for the next Step.
func (w *Watcher) Read(ctx context.Context) { w.readWithin(ctx, readTimeout) }

// hasten reads the expectations whenever releases wait for that, until the context ends. It does
// not wait for a reading that has begun before.
func (w *Watcher) hasten(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.hurry:
			w.readWithin(ctx, hasteTimeout)
			if w.cfg.Wake != nil {
				w.cfg.Wake()
			}
		}
	}
}

func (w *Watcher) readWithin(ctx context.Context, timeout time.Duration) {
	w.mu.Lock()
	last := w.reading
	w.begun++
	number, begun := w.begun, w.cfg.Now()
	w.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	note, tag, err := w.ask(limited, last)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reading.number > number {
		return // another that began later has ended before
	}
	w.reading = reading{number: number, begun: begun, note: note, tag: tag, err: err}
	if err == nil {
		w.status.Read = begun
	}
}

func (w *Watcher) ask(ctx context.Context, last reading) (note []byte, tag string, err error) {
	if path, ok := w.path(); ok {
		note, err = readFile(path)
		return note, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.cfg.From, nil)
	if err != nil {
		return nil, "", fetch.RedactError(err)
	}
	if last.tag != "" && last.err == nil {
		req.Header.Set("If-None-Match", last.tag)
	}
	resp, err := fetch.Do(fetch.Direct(w.cfg.Client), req)
	if err != nil {
		return nil, "", err
	}
	note, err = io.ReadAll(io.LimitReader(resp.Body, expect.MaxSize+1))
	err = errors.Join(err, resp.Body.Close())
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("%s: read the answer: %w", w.Source(), err)
	case resp.StatusCode == http.StatusNotModified && last.tag != "":
		return last.note, last.tag, nil
	case resp.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("%s answers %d", w.Source(), resp.StatusCode)
	case len(note) > expect.MaxSize:
		return nil, "", fmt.Errorf("%s has more than %d bytes", w.Source(), expect.MaxSize)
	}
	return note, fetch.ETag(resp), nil
}

func readFile(path string) ([]byte, error) {
	note, err := regular.ReadSome(path, expect.MaxSize+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s", path)
	}
	if err != nil {
		return nil, err
	}
	if len(note) > expect.MaxSize {
		return nil, fmt.Errorf("%s has more than %d bytes", path, expect.MaxSize)
	}
	return note, nil
}
