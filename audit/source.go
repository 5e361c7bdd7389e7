package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// ErrNotFound is wrapped by a Source when the log answered that it does not
// have the requested file.
var ErrNotFound = fetch.ErrNotFound

// ErrTooLarge is wrapped by a Source when the answer was longer than any
// correct answer.
var ErrTooLarge = fetch.ErrTooLarge

// ErrNothingPublished is wrapped by a Source when the log says that it is new and has
// not published a checkpoint. That statement is not signed.
var ErrNothingPublished = errors.New("the log says that nothing has been published yet")

// Source reads the published files of a log. The returned data is not trusted.
// Errors wrap ErrNotFound or ErrTooLarge where they apply; every other error
// means that the log could not be read now. Its methods are called from several
// goroutines.
type Source interface {
	// Checkpoint returns the newest signed checkpoint, never a cached one. If the
	// log says that it has not published one, the error wraps ErrNothingPublished.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Tile returns width hashes (32 bytes each) of a tile. A partial tile that is
	// gone is cut from the full one.
	Tile(ctx context.Context, level int, index int64, width int) ([]byte, error)
	// Entries returns a bundle of width entries, cut as Tile does.
	Entries(ctx context.Context, index int64, width int) ([]byte, error)
	// Blob returns the file with this SHA-256, at most tuf.MaxFileSize bytes.
	Blob(ctx context.Context, sum tuf.Digest) ([]byte, error)
}

const (
	maxBundle = proofs.FullWidth * (2 + proofs.MaxEntrySize) // bytes
)

// HTTPSource reads a log's static URLs.
type HTTPSource struct {
	base   string
	client *http.Client
	fresh  *http.Client    // asks caches on the way to stand aside
	waits  []time.Duration // before each further attempt
}

// NewHTTPSource returns a Source for the log at baseURL. A nil client means one
// with a timeout of a minute per request. Redirects are not followed.
func NewHTTPSource(baseURL string, client *http.Client) (*HTTPSource, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", fetch.RedactError(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("log URL %q: want http:// or https://, a host and perhaps a path", fetch.Redacted(baseURL))
	}
	if client == nil {
		client = &http.Client{Timeout: time.Minute}
	}
	client = fetch.Direct(client)
	fresh := *client
	fresh.Transport = noCache{client.Transport}
	return &HTTPSource{
		base:   strings.TrimRight(baseURL, "/") + "/",
		client: client,
		fresh:  &fresh,
		waits:  []time.Duration{200 * time.Millisecond, time.Second},
	}, nil
}

// noCache marks requests so that what a cache kept is asked for again: a stale
// checkpoint would look like a log that went back.
type noCache struct{ next http.RoundTripper }

func (t noCache) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Cache-Control", "no-cache")
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(req)
}

// Checkpoint implements Source.
func (s *HTTPSource) Checkpoint(ctx context.Context) ([]byte, error) {
	signed, err := s.get(ctx, s.fresh, "checkpoint", proofs.MaxNoteSize)
	var status *fetch.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound && saysNothingPublished([]byte(status.Body)) {
		return nil, ErrNothingPublished
	}
	return signed, err
}

// saysNothingPublished reports whether the body of an answer is the problem by which a
// log says that it is new (docs/api.md).
func saysNothingPublished(body []byte) bool {
	var problem struct {
		Code string `json:"code"`
	}
	return json.Unmarshal(body, &problem) == nil && problem.Code == "nothing-published"
}

// Tile implements Source.
func (s *HTTPSource) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return s.tile(ctx, proofs.TileID{Level: level, Index: index, Width: width})
}

// Entries implements Source.
func (s *HTTPSource) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	return s.tile(ctx, proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width})
}

// tile returns what cannot be cut as it is: the caller will see for itself.
func (s *HTTPSource) tile(ctx context.Context, id proofs.TileID) ([]byte, error) {
	return id.Read(ErrNotFound, func(id proofs.TileID) ([]byte, error) {
		size := id.Width * len(proofs.Hash{})
		if id.Level == proofs.EntriesLevel {
			size = maxBundle
		}
		return s.get(ctx, s.client, id.Path(), int64(size))
	})
}

// Blob implements Source.
func (s *HTTPSource) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return s.get(ctx, s.client, "blob/sha256/"+sum.String(), tuf.MaxFileSize)
}

// get tries again what a busy server or a bad line may have spoilt.
func (s *HTTPSource) get(ctx context.Context, client *http.Client, path string, max int64) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		body, err := fetch.Get(ctx, client, s.base+path, max)
		if err == nil || !worthRetrying(err) || attempt == len(s.waits) {
			return body, err
		}
		if wait.For(ctx, s.waits[attempt]) != nil {
			return nil, ctx.Err()
		}
	}
}

func worthRetrying(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrTooLarge) || fetch.AsRedirect(err) != nil {
		return false
	}
	var status *fetch.StatusError
	if errors.As(err, &status) {
		return status.Status >= 500 || status.Status == http.StatusTooManyRequests
	}
	return true
}
