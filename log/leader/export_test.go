package leader

import "context"

// Loaded returns how many repositories are in memory.
func (l *Log) Loaded() int { return l.registry.Loaded() }

// Forget drops the repositories that are in memory.
func (l *Log) Forget() { l.registry.Forget(nil) }

// KeepVersions says how many versions of a role are in memory of repositories that are
// loaded from now on.
func (l *Log) KeepVersions(n int) { l.registry.KeepVersions(n) }

// Histories returns how many whole repositories are kept.
func (l *Log) Histories() int { return l.registry.Histories() }

// EndHolds ends the hold of files that are due, without waiting for the next look, and
// returns when they are judged.
func (l *Log) EndHolds(ctx context.Context) error { return l.intake.EndHolds(ctx) }
