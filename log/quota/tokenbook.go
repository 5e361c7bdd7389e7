package quota

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// TokenBook answers from the tokens that are kept at the moment. One query to the store
// serves all requests that came before it was sent, so that any number of them costs one
// small query at a time.
type TokenBook struct {
	store  log.Tokens // nil: there are no tokens
	logger *slog.Logger

	asked  atomic.Int64 // number of requests that have asked
	asking sync.Mutex   // held while the store is asked
	heard  int64        // number of requests that have an answer; with asking held
	at     atomic.Int64 // when the store gave its last answer, since began
	began  time.Time
	ok     bool        // the store has been read
	away   atomic.Bool // when it was asked last it could not be read

	mu      sync.RWMutex
	changes int64
	holders map[tuf.Digest]*Holding // by the hash
	owned   map[tuf.Digest]int      // how many tokens a repository has
}

// Holding is the tokens of one text: several where a vendor uses it for several
// repositories.
type Holding struct{ List []log.Token }

func NewTokenBook(store log.Tokens, logger *slog.Logger) *TokenBook {
	return &TokenBook{store: store, logger: logger, began: time.Now()}
}

// look brings the book up to date. Where the store cannot be read it stays as it
// was: nothing can be stored then, either.
func (b *TokenBook) look(ctx context.Context) {
	if b.store == nil {
		return
	}
	ticket := b.asked.Add(1)
	b.asking.Lock()
	defer b.asking.Unlock()
	if b.heard >= ticket {
		return
	}
	all := b.asked.Load()
	// Not of one request alone: others wait for the answer as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := b.read(ctx)
	if b.away.Store(err != nil); err != nil {
		b.logger.Warn("the tokens of repositories cannot be read; those known before count on", "err", err)
	}
	b.heard = all
	b.at.Store(int64(time.Since(b.began)))
}

// read reads the tokens if they have changed. Called with asking held.
func (b *TokenBook) read(ctx context.Context) error {
	changes, err := b.store.TokenChanges(ctx)
	if err != nil || b.ok && changes == b.changes {
		return err
	}
	list, changes, err := b.store.Tokens(ctx)
	if err != nil {
		return err
	}
	holders, owned := map[tuf.Digest]*Holding{}, map[tuf.Digest]int{}
	for _, t := range list {
		h := holders[t.Hash]
		if h == nil {
			h = new(Holding)
			holders[t.Hash] = h
		}
		h.List = append(h.List, t)
		owned[t.Repository]++
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ok, b.changes, b.holders, b.owned = true, changes, holders, owned
	return nil
}

// Of returns the tokens of a text, nil for none.
func (b *TokenBook) Of(ctx context.Context, text string) *Holding {
	// Looking up the hash of a text that was sent tells nothing about the hash of
	// another.
	hash := tuf.Sum([]byte(text))
	if time.Since(b.began)-time.Duration(b.at.Load()) < log.TokenAge {
		if h := b.holding(hash); h != nil {
			return h
		}
	}
	return b.anew(ctx, hash)
}

// anew is like of, for the hash of a text, and believes nothing that was read before.
func (b *TokenBook) anew(ctx context.Context, hash tuf.Digest) *Holding {
	b.look(ctx)
	return b.holding(hash)
}

func (b *TokenBook) holding(hash tuf.Digest) *Holding {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.holders[hash]
}

// Guards reports whether a repository has a token.
func (b *TokenBook) Guards(ctx context.Context, repository tuf.Digest) bool {
	b.look(ctx)
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.owned[repository] > 0
}

// Remove takes back a token. Nobody else does, so it does not end with the request that
// gave it.
func (b *TokenBook) Remove(ctx context.Context, t log.Token) error {
	ctx, cancel := log.ToTheEnd(ctx)
	defer cancel()
	_, err := b.store.RemoveToken(ctx, t.Repository, t.Hash)
	return err
}

// Keeps reports whether there can be tokens.
func (b *TokenBook) Keeps() bool { return b.store != nil }

// Away reports whether the tokens could not be read when the store was asked last.
func (b *TokenBook) Away() bool { return b.away.Load() }

// Add adds a token, durably. It is false if the repository has it.
func (b *TokenBook) Add(ctx context.Context, t log.Token) (bool, error) {
	return b.store.AddToken(ctx, t)
}
