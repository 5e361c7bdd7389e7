package rekor

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sigstore/rekor/pkg/client"
	v1 "github.com/sigstore/rekor/pkg/generated/client"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

// Config says which instance of Rekor is meant, and by which keys it is believed.
type Config struct {
	// Name is how people call the instance. It is part of names of files: 1 to 64 of
	// a-z, 0-9, '.' and '-', the first of them a letter or a digit.
	Name string
	// URL is where the instance answers: api/v1/… (v1) or api/v2/log/entries (v2) follow it.
	// It has neither a user nor a query.
	URL string
	// Tiles is where a v2 instance publishes checkpoint and tile/…; empty: at URL.
	Tiles string
	// Version is 1 or 2.
	Version int
	// Origin is the first line of the checkpoints of the instance. Empty: of v2, the host of
	// URL without its port; of v1, any whose signature is by one of Keys.
	Origin string
	// Keys are the public keys of the instance that are trusted: the current one first, older
	// ones after it. At least one. Of v1, ECDSA, Ed25519 and RSA keys; of v2, Ed25519 and
	// ECDSA P-256.
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
type Instance struct {
	cfg  Config
	http *http.Client // bounds what it reads
	v1   *v1.Rekor    // nil for v2
}

var instanceName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,63}$`)

// New returns the instance of a configuration. It does not connect to it.
func New(cfg Config) (*Instance, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("instance of rekor: %w", err)
	}
	i := &Instance{cfg: cfg, http: bounded(cfg.Client, cfg.Timeout)}
	if cfg.Version == 1 {
		var err error
		if i.v1, err = client.GetRekorClient(cfg.URL, client.WithRetryCount(0)); err != nil {
			return nil, fmt.Errorf("instance of rekor: %w", fetch.RedactError(err))
		}
		i.http.Transport = plain{i.http.Transport}
	}
	return i, nil
}

// check fills in defaults, too.
func (cfg *Config) check() error {
	if !instanceName.MatchString(cfg.Name) {
		return fmt.Errorf("name %.70q: want 1 to 64 of a-z, 0-9, '.' and '-', the first a letter or a digit", cfg.Name)
	}
	if cfg.Version != 1 && cfg.Version != 2 {
		return fmt.Errorf("version %d: want 1 or 2", cfg.Version)
	}
	if cfg.Timeout < 0 {
		return fmt.Errorf("timeout %v is negative", cfg.Timeout)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	base, err := checkURL(cfg.URL)
	if err != nil {
		return err
	}
	cfg.URL = strings.TrimRight(cfg.URL, "/")
	if cfg.Version == 2 && cfg.Origin == "" {
		cfg.Origin = base.Hostname()
	}
	switch {
	case cfg.Tiles == "":
		cfg.Tiles = cfg.URL
	case cfg.Version == 1:
		return errors.New("rekor v1 has no tiles")
	default:
		if _, err := checkURL(cfg.Tiles); err != nil {
			return err
		}
		cfg.Tiles = strings.TrimRight(cfg.Tiles, "/")
	}
	if len(cfg.Keys) == 0 {
		return errors.New("no public key of it is trusted")
	}
	for n, key := range cfg.Keys {
		if err := checkRekorKey(cfg.Version, cfg.Origin, key); err != nil {
			return fmt.Errorf("public key %d: %w", n+1, err)
		}
	}
	return nil
}

func checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("URL: %w", fetch.RedactError(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("URL %q: want http:// or https://, a host and perhaps a path", fetch.Redacted(raw))
	}
	return u, nil
}

// minRSA is the size of the smallest RSA key of Rekor that is accepted, in bits.
const minRSA = 2048

func checkRekorKey(version int, origin string, key crypto.PublicKey) error {
	if version == 2 {
		_, err := noteKey(origin, key)
		return err
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSA {
			return fmt.Errorf("RSA of %d bits, want at least %d", key.N.BitLen(), minRSA)
		}
		return nil
	}
	return fmt.Errorf("a %T is not ECDSA, Ed25519 or RSA", key)
}

// Name returns the name of the instance.
func (i *Instance) Name() string { return i.cfg.Name }

// URL returns where the instance answers, without a slash at the end.
func (i *Instance) URL() string { return i.cfg.URL }

// Version returns 1 or 2.
func (i *Instance) Version() int { return i.cfg.Version }

// Submit anchors a note that key signed: the log's key, of type proofs.ECDSA. The receipt is
// verified before it is returned. If the instance has that entry already, the receipt is of the
// one that is there. An error that a later attempt may mend is ErrUnavailable; ErrRefused is the
// answer that the instance does not take the entry; anything else that Rekor may not answer is
// ErrMisbehaved.
func (i *Instance) Submit(ctx context.Context, note []byte, key proofs.Key) (*Receipt, error) {
	st, err := readStatement(note, key)
	if err != nil {
		return nil, fmt.Errorf("anchor in %s: %w", i.cfg.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	submit := i.submitV2
	if i.cfg.Version == 1 {
		submit = i.submitV1
	}
	entry, err := submit(ctx, st)
	if err != nil {
		return nil, fmt.Errorf("anchor in %s: %w", i.cfg.Name, err)
	}
	r := &Receipt{Instance: i.cfg.Name, Version: i.cfg.Version, Note: note, Entry: entry}
	if _, err := r.verify(st, i.cfg.Keys, i.cfg.Origin); err != nil {
		return nil, fmt.Errorf("anchor in %s: %w", i.cfg.Name, misbehaved(err))
	}
	return r, nil
}

// PublicKey asks the instance for its public key, so that a rotation is noticed. The answer
// proves nothing. Only v1 has one to ask for: of v2 the error is ErrNoPublicKey.
func (i *Instance) PublicKey(ctx context.Context) (crypto.PublicKey, error) {
	if i.cfg.Version != 1 {
		return nil, ErrNoPublicKey
	}
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	key, err := i.publicKeyV1(ctx)
	if err != nil {
		return nil, fmt.Errorf("public key of %s: %w", i.cfg.Name, err)
	}
	return key, nil
}
