package rekor

import (
	"context"
	"crypto"
	"iter"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// Config says which instance of Rekor is meant, and by which keys it is believed.
type Config struct {
	// Name is how people call the instance. It is part of names of files: 1 to 64 of
	// a-z, 0-9, '.' and '-', the first of them a letter or a digit.
	Name string
	// URL is where the instance answers: api/v1/… (v1) or api/v2/log/entries (v2) follow it.
	URL string
	// Tiles is where a v2 instance publishes checkpoint and tile/…; empty: at URL.
	Tiles string
	// Version is 1 or 2.
	Version int
	// Origin is the first line of the checkpoints of the instance. Empty: of v2, the host of
	// URL without its port; of v1, any whose signature is by one of Keys.
	Origin string
	// Keys are the public keys of the instance that are trusted: the current one first, older
	// ones after it. At least one. Of v1, keys as sigstore knows them (ECDSA, Ed25519, RSA); of
	// v2, Ed25519 and ECDSA P-256.
	Keys []crypto.PublicKey
	// Client is used for requests, without redirects. Nil: net/http's defaults.
	Client *http.Client
	// Timeout bounds one request. Zero: DefaultTimeout. Rekor v2 answers a submission when it
	// has published the next checkpoint, which takes it up to 10 seconds.
	Timeout time.Duration
}

// DefaultTimeout bounds a request if Config.Timeout is zero.
const DefaultTimeout = 30 * time.Second

// Instance is one instance of Rekor. Its methods may be called concurrently.
type Instance struct{ cfg Config }

// New returns the instance of a configuration. It does not connect to it.
func New(cfg Config) (*Instance, error) {
	return &Instance{cfg}, nil
}

// Name returns the name of the instance.
func (i *Instance) Name() string { return i.cfg.Name }

// Version returns 1 or 2.
func (i *Instance) Version() int { return i.cfg.Version }

// Submit anchors a note that key signed: the log's key, of type proofs.ECDSA. The receipt is
// verified before it is returned. If the instance has that entry already, the receipt is of the
// one that is there. Errors that a later attempt may mend are ErrUnavailable; an answer that is
// not what Rekor has to answer is ErrMisbehaved.
func (i *Instance) Submit(ctx context.Context, note []byte, key proofs.Key) (*Receipt, error) {
	return nil, errNotBuilt
}

// List yields every entry that a v1 instance says it has under the key, in the order of their
// index, each verified. An entry that is not what it has to be is an error in its place, after
// which the next follows; after an error of the search itself nothing follows.
func (i *Instance) List(ctx context.Context, key proofs.Key) iter.Seq2[*Anchor, error] {
	return func(yield func(*Anchor, error) bool) { yield(nil, errNotBuilt) }
}

// Position is how far the entries of a v2 instance have been read. The zero Position is the
// beginning. It is to be stored by the caller, as JSON.
type Position struct {
	// Next is the index of the first entry that has not been read.
	Next uint64 `json:"next"`
	// Checkpoint is the newest checkpoint, a signed note, that was verified; empty: none. Its
	// size is at least Next.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// Scan reads entries of a v2 instance from a position on, at most maxScan of them, and returns
// those that the key signed, and where to go on. Before, it verifies the checkpoint of the instance and that its tree begins
// with the tree of the position's checkpoint: if it does not, the error is a *ForkError. It has
// read all that there is when the position's Next is the size of its checkpoint, which
// Position.Done reports. With an error it returns the position up to which it came, and the
// anchors up to there.
func (i *Instance) Scan(ctx context.Context, key proofs.Key, from Position) ([]*Anchor, Position, error) {
	return nil, from, errNotBuilt
}

// PublicKey asks the instance for its public key, so that a rotation is noticed. The answer
// proves nothing. Only v1 has one to ask for: of v2 the error is ErrNoPublicKey.
func (i *Instance) PublicKey(ctx context.Context) (crypto.PublicKey, error) {
	return nil, errNotBuilt
}

// Done reports whether everything up to the position's checkpoint has been read.
func (p Position) Done() bool { return false }
