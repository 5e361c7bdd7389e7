package index

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

const (
	// A request waits for target files to be listed if at most maxAwaited bytes
	// of metadata are left, and for at most listPatience. Listing more takes
	// long, and is at the vendor's will, so the request is answered without it.
	maxAwaited   = 1 << 20
	listPatience = time.Second
)

// Level is the position of the derived state. An Indexer raises it, or Set if
// another process updates the state.
type Level struct {
	mu      sync.Mutex
	edge    *proofs.Edge // of the state
	listed  int64        // leaves whose target files the state has
	failing error
	news    chan struct{} // closed and replaced when edge or listed changes
	hurry   chan struct{} // someone waits for the state

	// left are the bytes of metadata to be listed of each leaf from listed on, as
	// far as they are known, and leftBytes those of all. stuck is the value of
	// listed when a request waited in vain.
	left      []int64
	leftBytes int64
	stuck     int64
	follows   bool // another process lists, and left is not known
}

func newLevel(edge *proofs.Edge, listed int64) *Level {
	return &Level{edge: edge, listed: listed, news: make(chan struct{}), hurry: make(chan struct{}, 1), stuck: -1}
}

// NewLevel returns a Level that Set raises.
func NewLevel() *Level {
	l := newLevel(new(proofs.Edge), 0)
	l.follows = true
	return l
}

// Set sets the position at which the state was found, or the reason err why it is
// unknown. It returns the error of the last call.
func (l *Level) Set(edge *proofs.Edge, listed int64, err error) (before error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.failing = l.failing, err
	if err == nil && (edge.Tree() != l.edge.Tree() || listed != l.listed) {
		l.edge, l.listed = edge, listed
		l.tell()
	}
	return before
}

// Hurried returns a channel that receives when a request waits for the state.
func (l *Level) Hurried() <-chan struct{} { return l.hurry }

// moveListed must be called with mu held.
func (l *Level) moveListed(listed int64) {
	// What was not listed at the start is not in left.
	unknown := l.edge.Tree().N - l.listed - int64(len(l.left))
	for n := max(0, listed-l.listed-unknown); n > 0; n-- {
		l.leftBytes -= l.left[0]
		l.left = l.left[1:]
	}
	l.listed = listed
}

// tell must be called with mu held.
func (l *Level) tell() {
	close(l.news)
	l.news = make(chan struct{})
}

// Applied returns the number of entries in the state.
func (l *Level) Applied() int64 {
	applied, _ := l.Has()
	return applied
}

// Has returns the number of entries in the state, and for how many of them it
// has the target files.
func (l *Level) Has() (applied, listed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.edge.Tree().N, l.listed
}

// Wait waits until the state has at least size entries, or the context ends.
func (l *Level) Wait(ctx context.Context, size int64) error {
	for {
		l.mu.Lock()
		have, news := l.edge.Tree().N, l.news
		l.mu.Unlock()
		if have >= size {
			return nil
		}
		l.haste()
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("the derived state has %d of %d entries: %w", have, size, context.Cause(ctx))
		}
	}
}

// haste signals that a request waits.
func (l *Level) haste() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

// Behind returns the number of the first size leaves that the state has not
// listed. It waits for them if that is not expected to take long.
func (l *Level) Behind(ctx context.Context, size int64) int64 {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	for {
		l.mu.Lock()
		listed, news := l.listed, l.news
		known := l.follows || l.edge.Tree().N-listed == int64(len(l.left))
		give := !known || l.leftBytes > maxAwaited || l.stuck == listed
		l.mu.Unlock()
		if listed >= size || give {
			return max(0, size-listed)
		}
		l.haste()
		select {
		case <-news:
		case <-ctx.Done():
			// The next request does not wait for the same.
			l.mu.Lock()
			l.stuck = listed
			l.mu.Unlock()
			return size - listed
		}
	}
}
