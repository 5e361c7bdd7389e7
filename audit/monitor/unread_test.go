package monitor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/monitor"
)

// A reader that does not read for a while misses lines, and is told how many; nobody waits.
func TestLinesThatNobodyReads(t *testing.T) {
	read, write := io.Pipe()
	l := monitor.NewLines(write, func(n int) []byte { return fmt.Appendf(nil, "lost %d\n", n) })
	const n = 10_000
	for i := range n {
		fmt.Fprintf(l, "line %d\n", i)
	}
	got := make(chan string)
	go func() {
		b, err := io.ReadAll(read)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
	}()
	must(t, l.Close())
	must(t, write.Close())
	text := <-got
	lines, lost := strings.Count(text, "line "), 0
	var err error
	for _, count := range strings.Split(text, "lost ")[1:] { // each time that there is room again
		more := 0
		_, scanErr := fmt.Sscan(count, &more)
		lost, err = lost+more, errors.Join(err, scanErr)
	}
	if err != nil || lines+lost != n || lost == 0 || !strings.HasPrefix(text, "line 0\nline 1\n") {
		t.Errorf("%d lines and %d lost: %v", lines, lost, err)
	}

	// One that has gone ends it.
	read, write = io.Pipe()
	must(t, read.Close())
	l = monitor.NewLines(write, nil)
	fmt.Fprintln(l, "line")
	must(t, l.Close())
}

// stuck is a writer whose reader does not read.
type stuck struct {
	reads chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.reads
	return s.Buffer.Write(b)
}

// Nobody reads what a monitor prints: it judges, and ends when it is to.
func TestNobodyReadsTheNews(t *testing.T) {
	if testing.Short() {
		t.Skip("a log with its files")
	}
	a := newSite(t, "a")
	cfg, err := monitor.Read(t.Context(), config(t, map[string]*site{"a": a}, "[to.out]\ntype = \"jsonl\"\npath = \"-\"\n"))
	must(t, err)
	s := &stuck{reads: make(chan struct{})}
	m, err := monitor.New(t.Context(), cfg, monitor.Options{News: s, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	until := func(judged int64) {
		for m.Statuses()[0].Judged < judged {
			select {
			case err := <-ended:
				t.Fatal(err)
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	until(1)
	before := m.Statuses()[0].Judged
	a.release(t, "2")
	until(before + 1)
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, m.Close())
	close(s.reads)
}
