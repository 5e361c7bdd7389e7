package witnesstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

// Memory is a Store that forgets. The zero value is empty.
type Memory struct {
	mu       sync.Mutex
	logs     map[witness.OriginHash]witness.Log
	latches  []witness.Latch
	suspects []witness.Suspect
	clock    witness.ClockState
}

var _ Store = (*Memory)(nil)

// Log implements witness.Store.
func (m *Memory) Log(_ context.Context, id witness.OriginHash) (witness.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.logs[id]
	if !ok {
		return witness.Log{}, witness.ErrUnknownLog
	}
	return clone(l), nil
}

// Logs implements witness.Store.
func (m *Memory) Logs(context.Context) ([]witness.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	byOrigin := make(map[string]witness.Log)
	for _, l := range m.logs {
		byOrigin[l.Origin] = clone(l)
	}
	var logs []witness.Log
	for _, origin := range slices.Sorted(maps.Keys(byOrigin)) {
		logs = append(logs, byOrigin[origin])
	}
	return logs, nil
}

// AddLog implements Store.
func (m *Memory) AddLog(_ context.Context, n witness.NewLog) error {
	return m.add(n, true)
}

// AddKey implements Store.
func (m *Memory) AddKey(_ context.Context, origin string, key proofs.Key) error {
	return m.add(witness.NewLog{Origin: origin, Key: key}, false)
}

func (m *Memory) add(n witness.NewLog, newLog bool) error {
	if err := witness.CheckLogKey(n.Key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := witness.HashOrigin(n.Name())
	l, known := m.logs[id]
	switch {
	case newLog && known:
		return witness.ErrKnownLog
	case !newLog && !known:
		return witness.ErrUnknownLog
	case slices.ContainsFunc(l.Keys, func(k proofs.Key) bool { return k.ID() == n.Key.ID() }):
		return fmt.Errorf("key %v: %w", n.Key, witness.ErrKnownLog)
	}
	if newLog {
		l = witness.Log{Origin: n.Name(), URL: n.URL, Source: n.Source, PerDay: n.PerDay}
	}
	l.Keys = append(slices.Clone(l.Keys), n.Key)
	if m.logs == nil {
		m.logs = make(map[witness.OriginHash]witness.Log)
	}
	m.logs[id] = l
	return nil
}

// Latch implements witness.Store.
func (m *Memory) Latch(_ context.Context, id witness.OriginHash, latch witness.Latch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.logs[id]
	if !ok {
		return witness.ErrUnknownLog
	}
	l.Latched = true
	m.logs[id] = l
	m.latches = append(m.latches, latch)
	return nil
}

// Keep implements witness.Store.
func (m *Memory) Keep(_ context.Context, _ witness.OriginHash, s witness.Suspect) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suspects = append(m.suspects, s)
	return nil
}

// Clock implements witness.Store.
func (m *Memory) Clock(context.Context) (witness.ClockState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clock, nil
}

// StopClock implements witness.Store.
func (m *Memory) StopClock(_ context.Context, s witness.ClockStop) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clock.Stop == nil {
		m.clock.Stop = &s
	}
	return nil
}

// AcceptClock ends a stop, and accepts cosignatures up to a time.
func (m *Memory) AcceptClock(latest int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock = witness.ClockState{Accepted: latest}
}

// Latches returns all latches, in order.
func (m *Memory) Latches() []witness.Latch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.latches)
}

// Suspects returns all kept suspects, in order.
func (m *Memory) Suspects() []witness.Suspect {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.suspects)
}

// Update implements witness.Store.
func (m *Memory) Update(_ context.Context, id witness.OriginHash, old *proofs.Tree, next witness.Latest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.logs[id]
	if !ok {
		return witness.ErrUnknownLog
	}
	if l.Latched {
		return witness.ErrLatched
	}
	if (l.Latest == nil) != (old == nil) || old != nil && l.Latest.Tree != *old {
		return witness.ErrStale
	}
	if err := witness.CheckSuccessor(l.Latest, next); err != nil {
		return err
	}
	next.Note = slices.Clone(next.Note)
	l.Latest = &next
	m.logs[id] = l
	return nil
}

func clone(l witness.Log) witness.Log {
	l.Keys = slices.Clone(l.Keys)
	if l.Latest != nil {
		latest := *l.Latest
		latest.Note = slices.Clone(latest.Note)
		l.Latest = &latest
	}
	return l
}
