package log

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// Token says that the holder of a text speaks for a repository. The log keeps the
// text's SHA-256 and never the text.
type Token struct {
	Repository tuf.Digest
	Hash       tuf.Digest // SHA-256 of the text
	Made       time.Time  // to the second
	By         string     // ByRegistration or ByOperator
}

// How a repository came by a token.
const (
	ByRegistration = "registration"
	ByOperator     = "operator"
)

// ID names the token in lists: the first 12 hex digits of its hash.
func (t Token) ID() string { return t.Hash.String()[:12] }

// NewToken returns the token of a text.
func NewToken(repository tuf.Digest, text, by string, now time.Time) Token {
	return Token{Repository: repository, Hash: tuf.Sum([]byte(text)), Made: now.UTC().Truncate(time.Second), By: by}
}

// Tokens keeps the tokens of repositories, beside the blobs. Every process sees the
// changes of all others. A test suite is in log/statetest.
type Tokens interface {
	// TokenChanges returns a number that is another after each change.
	TokenChanges(ctx context.Context) (int64, error)
	// Tokens returns all tokens by repository and age, and the number that
	// goes with them.
	Tokens(ctx context.Context) (list []Token, changes int64, err error)
	// AddToken adds a token, durably. It is false if the repository has it.
	AddToken(ctx context.Context, t Token) (bool, error)
	// RemoveToken removes a token, durably. It is false if there is none.
	RemoveToken(ctx context.Context, repository, hash tuf.Digest) (bool, error)
}

// tokenBook answers from the tokens that are kept at the moment. One query to the store
// serves all who asked before it was sent, so that any number of requests costs one
// small query at a time.
type tokenBook struct {
	store  Tokens // nil: there are no tokens
	logger *slog.Logger

	asked  atomic.Int64 // number of those who have asked
	asking sync.Mutex   // held while the store is asked
	heard  int64        // number of those who have an answer; with asking held
	at     atomic.Int64 // when the store gave its last answer, since began
	began  time.Time
	ok     bool        // the store has been read
	away   atomic.Bool // when it was asked last it could not be read

	mu      sync.RWMutex
	changes int64
	holders map[tuf.Digest]*holding // by the hash
	owned   map[tuf.Digest]int      // how many tokens a repository has
}

// holding is the tokens of one text: several where a vendor uses it for several
// repositories.
type holding struct{ list []Token }

func newTokenBook(store Tokens, logger *slog.Logger) *tokenBook {
	return &tokenBook{store: store, logger: logger, began: time.Now()}
}

// look brings the book up to date. Where the store cannot be read it stays as it
// was: nothing can be stored then, either.
func (b *tokenBook) look(ctx context.Context) {
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
func (b *tokenBook) read(ctx context.Context) error {
	changes, err := b.store.TokenChanges(ctx)
	if err != nil || b.ok && changes == b.changes {
		return err
	}
	list, changes, err := b.store.Tokens(ctx)
	if err != nil {
		return err
	}
	holders, owned := map[tuf.Digest]*holding{}, map[tuf.Digest]int{}
	for _, t := range list {
		h := holders[t.Hash]
		if h == nil {
			h = new(holding)
			holders[t.Hash] = h
		}
		h.list = append(h.list, t)
		owned[t.Repository]++
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ok, b.changes, b.holders, b.owned = true, changes, holders, owned
	return nil
}

// TokenAge is how long a token that was taken back may go on: so long is a server
// believed to know a token. Of a token that it does not know it always asks.
const TokenAge = 100 * time.Millisecond

// of returns the tokens of a text, nil for none.
func (b *tokenBook) of(ctx context.Context, text string) *holding {
	// Looking up the hash of what was sent tells nothing about the hash of
	// what was not.
	hash := tuf.Sum([]byte(text))
	if time.Since(b.began)-time.Duration(b.at.Load()) < TokenAge {
		if h := b.holding(hash); h != nil {
			return h
		}
	}
	return b.anew(ctx, hash)
}

// anew is like of, for the hash of a text, and believes nothing that was read before.
func (b *tokenBook) anew(ctx context.Context, hash tuf.Digest) *holding {
	b.look(ctx)
	return b.holding(hash)
}

func (b *tokenBook) holding(hash tuf.Digest) *holding {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.holders[hash]
}

// guards reports whether a repository has a token.
func (b *tokenBook) guards(ctx context.Context, repository tuf.Digest) bool {
	b.look(ctx)
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.owned[repository] > 0
}

// wrongToken is why a request with a token that the log does not know is refused. It
// could count as an outsider's, but then a vendor whose token was revoked or mistyped
// would learn it from files that are held. It costs a submission of the network's quota;
// who guesses tokens learns no more from it than from being held.
func (s *server) wrongToken(ctx context.Context, from source, repository tuf.Digest) *problem {
	if !from.unknown || !s.sources.tokens.guards(ctx, repository) {
		return nil
	}
	if s.sources.tokens.away.Load() {
		return later(api.CodeUnavailable, "the tokens of repositories cannot be read now")
	}
	if p := s.charge(from, 0); p != nil {
		return p
	}
	return problemf(http.StatusUnauthorized, api.CodeUnauthorized, "the log does not know the token that was sent: it is wrong, or was revoked. Without any, files of this repository may be held for a while")
}

// registered is the token that a registration gives.
type registered struct {
	token Token
	text  string // empty where the client chose it
	added bool   // this registration has stored it
}

// giveToken gives a registrant the first token of the repository, before the repository
// is in the log: if anything fails after that, sending the same again helps. It goes to
// holders of the registration token alone. Where anyone may register, anyone can
// register somebody's public root; there the operator gives tokens, to vendors he knows.
func (s *server) giveToken(r *http.Request, from source, sub *submission) *problem {
	text := r.Header.Get(api.HeaderToken)
	if text != "" && !api.CheckToken(text) {
		return problemf(http.StatusBadRequest, api.CodeBadRequest, "%s: a token has 22 to 128 letters, digits and -._~+/=", api.HeaderToken)
	}
	if !from.registrar || s.sources.tokens.store == nil {
		return nil
	}
	given := &registered{}
	if text == "" {
		text = api.GenerateToken()
		given.text = text
	}
	given.token = NewToken(sub.repository, text, ByRegistration, s.sources.now())
	var err error
	if given.added, err = s.sources.tokens.store.AddToken(r.Context(), given.token); err != nil {
		return problemf(http.StatusInternalServerError, api.CodeInternal, "the repository's token cannot be stored").because(err)
	}
	sub.token = given
	return nil
}

// oldToken is for a root that is logged already: it gives no token, but tells a
// client whose first answer was lost that the token it chose is one.
func (s *server) oldToken(r *http.Request, from source, sub *submission, repository tuf.Digest) {
	text := r.Header.Get(api.HeaderToken)
	if text == "" || !from.registrar {
		return
	}
	h := s.sources.tokens.of(r.Context(), text)
	if h == nil {
		return
	}
	for _, t := range h.list {
		if t.Repository == repository {
			sub.token = &registered{token: t}
		}
	}
}

// keepToken takes back a token whose registration has opened no repository: the root
// was refused, or somebody else was faster.
func (s *server) keepToken(ctx context.Context, sub *submission) {
	sub.mu.Lock()
	given := sub.token
	opened := len(sub.files) == 1 && sub.files[0].status == api.StatusReleased
	if given != nil && given.added && !opened && sub.err == nil {
		sub.token = nil
	}
	took := sub.token == nil && given != nil
	sub.mu.Unlock()
	if !took {
		return
	}
	// Nobody else takes it back, and the client may have gone.
	ctx, cancel := toTheEnd(ctx)
	defer cancel()
	if _, err := s.sources.tokens.store.RemoveToken(ctx, given.token.Repository, given.token.Hash); err != nil {
		s.logger.Warn("a token is left of a registration that came to nothing", "repository", given.token.Repository, "token", given.token.ID(), "err", err)
	}
}

// result is the token as the registrant sees it.
func (r *registered) result() *api.Token {
	if r == nil {
		return nil
	}
	return &api.Token{ID: r.token.ID(), Text: r.text}
}
