package log

import (
	"context"
	"time"

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

// TokenAge is how long a token that was taken back may go on: so long is a server
// believed to know a token. Of a token that it does not know it always asks.
const TokenAge = 100 * time.Millisecond
