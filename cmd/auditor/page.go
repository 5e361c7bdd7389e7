package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// pageLog returns a log to show, by its policy.
func pageLog(path string) (page.Log, error) {
	policy, err := cli.ReadPolicy(path)
	return page.Log{Policy: policy}, err
}

// nameOfLog makes a name for URLs of the origin of a policy's first log.
func nameOfLog(p *proofs.Policy) string {
	if len(p.Logs) == 0 {
		return "log"
	}
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' {
			return c
		}
		return '-'
	}, p.Logs[0].Key.Name())
	if name = strings.Trim(name[:min(len(name), 64)], ".-"); name == "" {
		return "log"
	}
	return name
}

// pagesOf returns the pages of what a monitor follows.
func pagesOf(cfg *monitor.Config) (page.Config, error) {
	p := page.Config{URL: cfg.URL}
	for _, of := range cfg.Logs {
		l, err := pageLog(of.Policy)
		if err != nil {
			return p, err
		}
		url, err := cli.LogURL(of.URL, l.Policy)
		if err != nil {
			return p, err
		}
		served, err := source.NewHTTP(url, nil)
		if err != nil {
			return p, err
		}
		served = served.For(l.Policy)
		l.Name, l.StateDir, l.URL, l.Source, l.Every = of.Name, monitor.StateDir(cfg.Dir, of.Name), url, served, of.Interval
		if of.Mirror {
			l.Copy = &lateCopy{dir: monitor.MirrorDir(cfg.Dir, of.Name)}
		}
		l.Status = func(context.Context) (*page.Status, error) {
			s, err := monitor.ReadStatus(cfg.Dir, of.Name)
			if errors.Is(err, os.ErrNotExist) {
				return &page.Status{Trouble: "no process has followed this log yet"}, nil
			}
			if err != nil {
				return nil, err
			}
			status := pageStatus(s)
			if of.Mirror {
				status.MirrorPath = "/mirror/" + of.Name + "/"
			}
			return status, nil
		}
		p.Logs = append(p.Logs, l)
	}
	return p, nil
}

// pageStatus is what a page says of what a monitor saw.
func pageStatus(s *monitor.Status) *page.Status {
	p := &page.Status{Written: s.Written, Asked: s.Answered, Trouble: s.Trouble}
	if s.Checkpoint != nil {
		p.Size = s.Checkpoint.Size
	}
	for _, w := range s.Witnesses {
		p.Witnesses = append(p.Witnesses, page.WitnessStatus{Name: w.Name, Size: w.Size, Time: w.Time, Asked: w.Asked, Trouble: w.Trouble})
	}
	if a := s.Audited; a != nil {
		p.Audited = &page.AuditedStatus{Name: a.Name, Size: a.Size, Time: a.Time, Stopped: a.Stopped, Waits: a.Waits}
	}
	for _, a := range s.Anchors {
		p.Anchors = append(p.Anchors, page.AnchorStatus{Instance: a.Instance, Size: a.Size, Time: a.Time, Since: a.Since})
	}
	for _, r := range s.Repositories {
		if r.ID == (tuf.Digest{}) {
			continue // the log does not have it yet
		}
		w := page.Watched{ID: r.ID, Name: r.Name}
		for _, live := range r.Live {
			w.Live = append(w.Live, page.Live{URL: live.URL, Compared: live.Compared, Word: live.Word, Sentence: live.Sentence})
		}
		if e := r.Expectations; e != nil {
			w.Expectations = &page.Expectations{From: e.From, Version: e.Version, Expires: e.Expires, Trouble: e.Trouble}
		}
		p.Watched = append(p.Watched, w)
	}
	return p
}

// lateCopy reads a copy of a log, which may not be there yet.
type lateCopy struct {
	dir string

	mu   sync.Mutex
	copy *source.Folder // nil: it has not been there yet
}

func (l *lateCopy) folder() (*source.Folder, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.copy == nil {
		f, err := source.OpenFolder(l.dir)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", audit.ErrNotFound, err)
		}
		l.copy = f
	}
	return l.copy, nil
}

// Checkpoint implements audit.Source.
func (l *lateCopy) Checkpoint(ctx context.Context) ([]byte, error) {
	f, err := l.folder()
	if err != nil {
		return nil, err
	}
	return f.Checkpoint(ctx)
}

// Tile implements audit.Source.
func (l *lateCopy) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	f, err := l.folder()
	if err != nil {
		return nil, err
	}
	return f.Tile(ctx, level, index, width)
}

// Entries implements audit.Source.
func (l *lateCopy) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	f, err := l.folder()
	if err != nil {
		return nil, err
	}
	return f.Entries(ctx, index, width)
}

// Blob implements audit.Source.
func (l *lateCopy) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	f, err := l.folder()
	if err != nil {
		return nil, err
	}
	return f.Blob(ctx, sum)
}
