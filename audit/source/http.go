package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// maxConnections is how many connections an HTTP source of its own transport has open at
// once.
const maxConnections = 16

// maxExpected is the most memory that is taken for a pack before it comes, in bytes.
const maxExpected = 4 << 20

// HTTP reads a log's static URLs. It is an audit.Source.
type HTTP struct {
	base   string
	client *http.Client
	fresh  *http.Client    // asks caches on the way to stand aside
	waits  []time.Duration // before each further attempt
	// audited, if not nil, is the path at which the audited checkpoint was read last.
	audited *atomic.Pointer[string]
	packed  atomic.Int64 // bytes that the next pack probably has; 0: nobody knows
}

// NewHTTP returns a source for the log at baseURL. A nil client means one with a
// transport of its own and a timeout of a minute per request. Redirects are not followed.
func NewHTTP(baseURL string, client *http.Client) (*HTTP, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", fetch.RedactError(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("log URL %q: want http:// or https://, a host and perhaps a path", fetch.Redacted(baseURL))
	}
	if client == nil {
		client = &http.Client{Transport: newTransport(), Timeout: time.Minute}
	}
	client = fetch.Direct(client)
	client.Transport = coded{client.Transport}
	fresh := *client
	fresh.Transport = noCache{client.Transport}
	return &HTTP{
		base:   strings.TrimRight(baseURL, "/") + "/",
		client: client,
		fresh:  &fresh,
		waits:  []time.Duration{200 * time.Millisecond, time.Second},
	}, nil
}

// Paths of the checkpoints of a log: the newest, and the newest that its auditors have cosigned
// (docs/api.md).
const (
	newestNote  = "checkpoint"
	auditedNote = "checkpoint/audited"
)

// For returns the source of the same log whose checkpoint can meet a policy: the audited one if
// the quorum needs an auditor, as the newest of a log never has the cosignature of one. A copy
// of a log, which does not have both, has it in the place of the newest.
func (s *HTTP) For(policy *proofs.Policy) *HTTP {
	if !policy.NeedsAuditor() {
		return s
	}
	return &HTTP{base: s.base, client: s.client, fresh: s.fresh, waits: s.waits, audited: new(atomic.Pointer[string])}
}

// Audited returns the URL, without a password, at which the audited checkpoint was read last, and
// whether it is the one for that: else the source has but one checkpoint. It is empty if none was
// looked for, or nothing was read.
func (s *HTTP) Audited() (url string, own bool) {
	if s.audited == nil {
		return "", false
	}
	path := s.audited.Load()
	if path == nil {
		return "", false
	}
	return fetch.Redacted(s.base + *path), *path == auditedNote
}

// newTransport returns a transport that keeps its connections: the default keeps two for
// each host, and dials anew for what is asked for beside them.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConns:           maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
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

// Checkpoint implements audit.Source.
func (s *HTTP) Checkpoint(ctx context.Context) ([]byte, error) {
	if s.audited == nil {
		return s.checkpoint(ctx, newestNote)
	}
	path := auditedNote
	signed, err := s.checkpoint(ctx, path)
	if status := (*fetch.StatusError)(nil); errors.As(err, &status) && status.Status == http.StatusNotFound {
		if codeOf(status) == "not-audited" {
			return nil, fmt.Errorf("the log has no checkpoint that an auditor has cosigned, which the quorum of the policy needs: %w", err)
		}
		path = newestNote
		signed, err = s.checkpoint(ctx, path)
	}
	if err == nil {
		s.audited.Store(&path)
	}
	return signed, err
}

func (s *HTTP) checkpoint(ctx context.Context, path string) ([]byte, error) {
	signed, err := s.get(ctx, s.fresh, path, proofs.MaxNoteSize)
	var status *fetch.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound && codeOf(status) == "nothing-published" {
		return nil, audit.ErrNothingPublished
	}
	return signed, err
}

// codeOf returns the code of the problem that a log answers, by which it says for example that
// it is new (docs/api.md); empty: none.
func codeOf(status *fetch.StatusError) string {
	var problem struct {
		Code string `json:"code"`
	}
	if json.Unmarshal([]byte(status.Body), &problem) != nil {
		return ""
	}
	return problem.Code
}

// Fresh implements audit.Fresh: caches on the way are asked to stand aside.
func (s *HTTP) Fresh() audit.Source {
	return &HTTP{base: s.base, client: s.fresh, fresh: s.fresh, waits: s.waits, audited: s.audited}
}

// Tile implements audit.Source.
func (s *HTTP) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return s.tile(ctx, proofs.TileID{Level: level, Index: index, Width: width})
}

// Entries implements audit.Source.
func (s *HTTP) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	return s.tile(ctx, proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width})
}

// tile returns what cannot be cut as it is: the caller will see for itself.
func (s *HTTP) tile(ctx context.Context, id proofs.TileID) ([]byte, error) {
	return id.Read(audit.ErrNotFound, func(id proofs.TileID) ([]byte, error) {
		size := id.Width * len(proofs.Hash{})
		if id.Level == proofs.EntriesLevel {
			size = audit.MaxBundle
		}
		return s.get(ctx, s.client, id.Path(), int64(size))
	})
}

// Pack returns the pack of a bundle of width entries. It is not trusted. One that does not
// come is not waited for again, because a reader can do without.
func (s *HTTP) Pack(ctx context.Context, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width}
	get := func() ([]byte, error) {
		return fetch.Expect(ctx, s.client, s.base+pack.Path(id), pack.MaxSize, s.packed.Load())
	}
	b, err := s.tries(ctx, get, func(err error) bool {
		var status *fetch.StatusError
		return errors.As(err, &status) && worthRetrying(err)
	})
	if err == nil {
		s.packed.Store(min(int64(len(b)+len(b)/16), maxExpected))
	}
	return b, err
}

// Blob implements audit.Source.
func (s *HTTP) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return s.get(ctx, s.client, "blob/sha256/"+sum.String(), tuf.MaxFileSize)
}

// get tries again what a busy server or a bad line may have spoilt.
func (s *HTTP) get(ctx context.Context, client *http.Client, path string, max int64) ([]byte, error) {
	return s.tries(ctx, func() ([]byte, error) { return fetch.Get(ctx, client, s.base+path, max) }, worthRetrying)
}

func (s *HTTP) tries(ctx context.Context, get func() ([]byte, error), again func(error) bool) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		body, err := get()
		if err == nil || !again(err) || attempt == len(s.waits) {
			return body, err
		}
		if wait.For(ctx, s.waits[attempt]) != nil {
			return nil, ctx.Err()
		}
	}
}

func worthRetrying(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, audit.ErrTooLarge) || fetch.AsRedirect(err) != nil {
		return false
	}
	var status *fetch.StatusError
	if errors.As(err, &status) {
		return status.Status >= 500 || status.Status == http.StatusTooManyRequests
	}
	return true
}
