package log

import (
	"context"
	"time"
)

// Loaded returns how many repositories are in memory.
func (l *Log) Loaded() int {
	l.registry.mu.Lock()
	defer l.registry.mu.Unlock()
	return len(l.registry.repos)
}

// Forget drops the repositories that are in memory.
func (l *Log) Forget() { l.registry.forget(nil) }

// KeepVersions says how many versions of a role are in memory of repositories that are
// loaded from now on.
func (l *Log) KeepVersions(n int) { l.registry.keepVersions = n }

// Histories returns how many whole repositories are kept.
func (l *Log) Histories() int {
	l.registry.mu.Lock()
	defer l.registry.mu.Unlock()
	return len(l.registry.histories)
}

// HoldClock makes now the clock of what is held.
func (c *Config) HoldClock(now func() time.Time) { c.holdClock = now }

// EndHolds ends the hold of files that are due, without waiting for the next look, and
// returns when they are judged.
func (l *Log) EndHolds(ctx context.Context) error {
	defer l.intake.keeper.wait()
	return l.intake.keeper.step(ctx)
}

// Loaded returns how many repositories are in memory.
func (f *Follower) Loaded() int {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	return len(f.registry.repos)
}

// Forget drops the repositories that are in memory.
func (f *Follower) Forget() { f.registry.forget(nil) }
