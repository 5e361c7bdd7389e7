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
	mu   sync.Mutex
	logs map[witness.OriginHash]witness.Log
}

var _ witness.Store = (*Memory)(nil)

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

// AddLog implements witness.Store.
func (m *Memory) AddLog(_ context.Context, key proofs.Key) error {
	return m.add(key, true)
}

// AddKey implements witness.Store.
func (m *Memory) AddKey(_ context.Context, key proofs.Key) error {
	return m.add(key, false)
}

func (m *Memory) add(key proofs.Key, newLog bool) error {
	if err := witness.CheckLogKey(key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := witness.HashOrigin(key.Name())
	l, known := m.logs[id]
	switch {
	case newLog && known:
		return witness.ErrKnownLog
	case !newLog && !known:
		return witness.ErrUnknownLog
	case slices.ContainsFunc(l.Keys, func(k proofs.Key) bool { return k.ID() == key.ID() }):
		return fmt.Errorf("key %v: %w", key, witness.ErrKnownLog)
	}
	l.Origin = key.Name()
	l.Keys = append(l.Keys, key)
	if m.logs == nil {
		m.logs = make(map[witness.OriginHash]witness.Log)
	}
	m.logs[id] = l
	return nil
}

// Update implements witness.Store.
func (m *Memory) Update(_ context.Context, id witness.OriginHash, old *proofs.Tree, next witness.Latest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.logs[id]
	if !ok {
		return witness.ErrUnknownLog
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
