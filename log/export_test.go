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

// Histories returns how many whole repositories are kept.
func (l *Log) Histories() int {
	l.registry.mu.Lock()
	defer l.registry.mu.Unlock()
	return len(l.registry.histories)
}

// HoldClock makes now the clock of what is held.
func (c *Config) HoldClock(now func() time.Time) { c.holdClock = now }

// EndHolds has what is due judged, without waiting for the next look.
func (l *Log) EndHolds(ctx context.Context) error { return l.intake.keeper.step(ctx) }
