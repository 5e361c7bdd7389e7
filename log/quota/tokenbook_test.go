package quota

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// memTokens are Tokens in memory.
type memTokens struct {
	mu      sync.Mutex
	list    []log.Token
	changes int64
	asked   int
	err     error
	gate    chan struct{} // if not nil, TokenChanges waits for it
}

func (m *memTokens) TokenChanges(context.Context) (int64, error) {
	if m.gate != nil {
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.changes, m.err
}

func (m *memTokens) Tokens(context.Context) ([]log.Token, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list), m.changes, m.err
}

func (m *memTokens) AddToken(_ context.Context, t log.Token) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.Contains(m.list, t) {
		return false, nil
	}
	m.list, m.changes = append(m.list, t), m.changes+1
	return true, nil
}

func (m *memTokens) RemoveToken(_ context.Context, repository, hash tuf.Digest) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.list)
	m.list = slices.DeleteFunc(m.list, func(t log.Token) bool { return t.Repository == repository && t.Hash == hash })
	m.changes++
	return len(m.list) < before, nil
}

// A token that another process adds counts with the next question; one that it revokes
// ceases to count a moment later.
func TestTokenBook(t *testing.T) {
	store := &memTokens{}
	b := NewTokenBook(store, slog.New(slog.DiscardHandler))
	id := tuf.Sum([]byte("r"))
	token := log.NewToken(id, "text", log.ByOperator, time.Now())
	if b.Guards(t.Context(), id) || b.Of(t.Context(), "text") != nil {
		t.Error("a token before there is one")
	}
	if _, err := store.AddToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if !b.Guards(t.Context(), id) || !slices.Equal(b.Of(t.Context(), "text").List, []log.Token{token}) || b.Of(t.Context(), "other") != nil {
		t.Error("a token that was added does not count")
	}
	// A store that cannot be read takes nobody's token away.
	store.err = errors.New("away")
	if !b.Guards(t.Context(), id) || !b.away.Load() {
		t.Error("a token is forgotten while the store is away, or nobody knows that it is")
	}
	store.err = nil
	if _, err := store.RemoveToken(t.Context(), id, token.Hash); err != nil {
		t.Fatal(err)
	}
	if b.Guards(t.Context(), id) || b.Of(t.Context(), "text") != nil {
		t.Error("a token that was revoked counts")
	}
}

// Tokens that are known cost no question each, and those of one text may become more.
func TestTokenBookIsBelieved(t *testing.T) {
	store := &memTokens{}
	b := NewTokenBook(store, slog.New(slog.DiscardHandler))
	one, two := tuf.Sum([]byte("one")), tuf.Sum([]byte("two"))
	add := func(repository tuf.Digest) {
		if _, err := store.AddToken(t.Context(), log.NewToken(repository, "text", log.ByOperator, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	add(one)
	s := &Sources{Tokens: b}
	from := Source{Tokens: b.Of(t.Context(), "text")}
	add(two)
	// As if the answer had come just now, however slow this machine is.
	b.at.Store(int64(time.Since(b.began) + time.Hour))
	asked := store.asked
	if h := b.Of(t.Context(), "text"); h == nil || store.asked != asked {
		t.Errorf("%v after %d more questions", h, store.asked-asked)
	}
	if !s.ForRepository(t.Context(), from, one).Owns(one) || store.asked != asked {
		t.Errorf("the repository's token is read anew: %d more questions", store.asked-asked)
	}
	if !s.ForRepository(t.Context(), from, two).Owns(two) {
		t.Error("a token that was added a moment ago does not count")
	}
	b.at.Store(int64(time.Since(b.began) - log.TokenAge))
	if b.Of(t.Context(), "text"); store.asked < asked+2 {
		t.Error("the book is believed for ever")
	}
}

// However many ask at once, the store is asked one question at a time, and twice for
// all of them.
func TestTokenBookAsksOnce(t *testing.T) {
	store := &memTokens{gate: make(chan struct{})}
	b := NewTokenBook(store, slog.New(slog.DiscardHandler))
	const many = 100
	var all sync.WaitGroup
	for range many {
		all.Go(func() { b.look(t.Context()) })
	}
	for b.asked.Load() < many {
		time.Sleep(time.Millisecond)
	}
	close(store.gate)
	all.Wait()
	if store.asked > 2 {
		t.Errorf("the store was asked %d times by %d at once", store.asked, many)
	}
}
