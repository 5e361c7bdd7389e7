package monitor

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// maxLines is how many lines wait for a reader.
	maxLines = 4096
	// maxLinesSize bounds them together: bytes.
	maxLinesSize = 16 << 20
	// lastLines is how long the end waits for them to be read.
	lastLines = time.Second
)

// Lines writes lines that somebody may not read (a pipe to a pager, a stopped journal)
// without waiting for it. Of more than find room the newest are left out, and counted in a line
// of their own when there is room again. The first error ends it: nobody reads any more. It is
// safe for concurrent use.
type Lines struct {
	w    io.Writer
	lost func(n int) []byte // the line that counts

	mu      sync.Mutex
	waiting [][]byte
	size    int
	left    int // lines that found no room
	closed  bool
	wake    chan struct{}
	done    chan struct{}
}

// NewLines returns Lines that write to w. A function makes the line about lines that were
// left out.
func NewLines(w io.Writer, lost func(n int) []byte) *Lines {
	l := &Lines{w: w, lost: lost, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// Write implements io.Writer: it takes a line, and never fails.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
	case len(l.waiting) >= maxLines || l.size+len(line) > maxLinesSize:
		l.left++
	default:
		l.waiting = append(l.waiting, bytes.Clone(line))
		l.size += len(line)
		l.signal()
	}
	return len(line), nil
}

// Close writes what waits, if that is read within a second. Nothing more is taken.
func (l *Lines) Close() error {
	l.mu.Lock()
	l.closed = true
	l.signal()
	l.mu.Unlock()
	select {
	case <-l.done:
	case <-time.After(lastLines):
	}
	return nil
}

func (l *Lines) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Lines) run() {
	defer close(l.done)
	for range l.wake {
		list, closed := l.take()
		for i, line := range list {
			if _, err := l.w.Write(line); err != nil {
				l.mu.Lock()
				l.closed, l.waiting = true, nil
				l.mu.Unlock()
				return
			}
			list[i] = nil
		}
		if closed {
			return
		}
	}
}

// take returns what waits. It has room for as much again while that is written.
func (l *Lines) take() (list [][]byte, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list = l.waiting
	if l.left > 0 {
		list = append(list, l.lost(l.left))
	}
	l.waiting, l.size, l.left = nil, 0, 0
	return list, l.closed
}
