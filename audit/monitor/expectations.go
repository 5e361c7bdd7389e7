package monitor

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/audit/expected"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// expectations is what a vendor says will be released of a repository.
type expectations struct {
	*expected.Watcher
	repository int // in the configuration and in the status
}

// newExpectations returns those of the i-th repository; nil: none are configured.
func (f *follower) newExpectations(i int) (*expectations, error) {
	r := f.log.Repositories[i]
	if r.Expectations == "" {
		return nil, nil
	}
	key, err := proofs.ParseKey(r.ExpectationsKey)
	if err != nil {
		return nil, fmt.Errorf("repository[%d].expectations_key: %w", i, err)
	}
	id, err := tuf.ParseDigest(r.ID)
	if err != nil {
		return nil, fmt.Errorf("repository[%d].id: %w", i, err)
	}
	w, err := expected.New(expected.Config{
		Name: r.Name, Repository: id, From: r.Expectations, Keys: []proofs.Key{key}, Late: r.ExpectationsLate,
		Every: min(r.Every, expected.DefaultEvery), Client: f.m.opts.Client, Now: f.m.opts.Now, Wake: f.wakeUp,
		Beside: StateDir(f.m.dir, "") + string(filepath.Separator),
	})
	if err != nil {
		return nil, fmt.Errorf("repository[%d].expectations_key: %w", i, err)
	}
	return &expectations{w, i}, nil
}

// readExpectations reads all of them once, at the same time.
func (f *follower) readExpectations(ctx context.Context) {
	var reading sync.WaitGroup
	for _, e := range f.expected {
		reading.Go(func() { e.Read(ctx) })
	}
	reading.Wait()
}

// expectationsRound reads again what releases wait for, and judges them.
func (f *follower) expectationsRound(ctx context.Context, whole bool) error {
	if !slices.ContainsFunc(f.expected, func(e *expectations) bool { return e.Waits() }) {
		return nil
	}
	f.readExpectations(ctx)
	return f.takeExpectations(ctx, whole)
}

// takeExpectations compares what came with what was expected. whole says that the log has just
// been read to its end.
func (f *follower) takeExpectations(ctx context.Context, whole bool) error {
	for _, e := range f.expected {
		if err := e.Step(ctx, f.a, f.a.Source(), whole); err != nil {
			return err
		}
		s := e.Status()
		said := Expectations{From: e.Source(), Version: s.Version, Trouble: s.Trouble}
		if !s.Read.IsZero() {
			said.Read = s.Read.Unix()
		}
		if s.Version > 0 {
			said.Expires = s.Until.Unix()
		}
		f.mu.Lock()
		r := &f.status.Repositories[e.repository]
		before := *r
		r.Expectations = &said
		if old := before.Expectations; old == nil || old.Version != said.Version || old.Trouble != said.Trouble {
			f.differs = true
		}
		f.mu.Unlock()
	}
	return nil
}
