package index

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

const (
	// maxAwaited is how many bytes of metadata may be left to list for somebody
	// to wait until it is, and listPatience how long he does. What is larger
	// takes long, by whoever released it, and is answered without.
	maxAwaited   = 1 << 20
	listPatience = time.Second
)

// Level is how far the derived state is. An Indexer raises it, or Set, where another
// process brings the state up to date.
type Level struct {
	mu      sync.Mutex
	edge    *proofs.Edge // of the state
	listed  int64        // leaves whose target files the state has
	failing error
	news    chan struct{} // closed and replaced when edge or listed changes
	hurry   chan struct{} // someone waits for the state

	// left are the bytes of metadata to be listed of each leaf from listed on, as
	// far as they are known, and leftBytes those of all. stuck is what listed was
	// when somebody waited in vain.
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

// Set says how far the state was found to be, or why that is not known. It returns the
// reason of the time before.
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

// Hurried tells that someone waits for the state.
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

// Applied returns how many entries the state has.
func (l *Level) Applied() int64 {
	applied, _ := l.Has()
	return applied
}

// Has returns how many entries the state has, and of how many the target files.
func (l *Level) Has() (applied, listed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.edge.Tree().N, l.listed
}

// Wait returns when the state has at least size entries, or the context ends.
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

// haste says that someone waits.
func (l *Level) haste() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

// Behind returns how many of the first size leaves the state has not listed. It
// waits for them where that can be expected not to take long.
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
			// Whoever comes next does not wait for the same.
			l.mu.Lock()
			l.stuck = listed
			l.mu.Unlock()
			return size - listed
		}
	}
}
