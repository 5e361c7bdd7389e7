package log

import (
	"context"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// Token authorizes the holder of a text to speak for a repository. The log keeps
// the SHA-256 of the text and never the text.
type Token struct {
	Repository tuf.Digest
	Hash       tuf.Digest // SHA-256 of the text
	Made       time.Time  // to the second
	By         string     // ByRegistration or ByOperator
}

// Origins of a token.
const (
	ByRegistration = "registration"
	ByOperator     = "operator"
)

// ID names the token in lists: the first 12 hex digits of its hash.
func (t Token) ID() string { return t.Hash.String()[:12] }

// NewToken returns the token whose secret is text.
func NewToken(repository tuf.Digest, text, by string, now time.Time) Token {
	return Token{Repository: repository, Hash: tuf.Sum([]byte(text)), Made: now.UTC().Truncate(time.Second), By: by}
}

// Tokens stores the tokens of repositories, beside the blobs. Every process sees
// the changes of all others. A test suite is in log/statetest.
type Tokens interface {
	// TokenChanges returns a number that differs after each change.
	TokenChanges(ctx context.Context) (int64, error)
	// Tokens returns all tokens, sorted by repository and age, and the number
	// that TokenChanges has for them.
	Tokens(ctx context.Context) (list []Token, changes int64, err error)
	// AddToken adds a token durably. It reports whether the token was new.
	AddToken(ctx context.Context, t Token) (bool, error)
	// RemoveToken removes a token durably. It reports whether the token
	// existed.
	RemoveToken(ctx context.Context, repository, hash tuf.Digest) (bool, error)
}

// TokenAge is how long a revoked token may still be accepted: a server relies for
// this long on the tokens that it knows. It always asks about a token that it
// does not know.
const TokenAge = 100 * time.Millisecond
