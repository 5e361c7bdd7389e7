package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of what the client reads, in bytes.
const (
	maxResult  = 64 << 20 // a submission of MaxFiles files with a sidecar each
	maxListing = 256 << 20
	maxProof   = 1 << 20
	maxProblem = 16 << 20 // may hold the verdicts on MaxFiles files
)

// Defaults of a Client.
const (
	defaultWait    = 10 * time.Second
	maxWait        = 60 * time.Second
	firstBackoff   = 200 * time.Millisecond
	longestBackoff = 30 * time.Second
	proxyTries     = 8 // of a request that something in front of the log answers: 25 s of pauses
)

// Client asks a log over HTTP. A log that is full (503 or 429 with Retry-After) is
// asked again until the context ends; so is one that answers 202. The zero value
// needs Base. It is safe for concurrent use. With submissions to a repository that it
// has opened, and whose token it was given, it sends that token instead of Token.
type Client struct {
	Base  string       // the log's URL, with or without a final slash
	HTTP  *http.Client // nil: as net/http has it; no redirect is followed
	Token string       // sent as a bearer token with submissions; empty: none
	// NewToken is the token for a repository that Register opens with the
	// operator's registration token. Empty: Register generates one.
	NewToken string
	// Waits, if not nil, is called each time the log answers that it cannot
	// publish now, or is full, with the reason that the log gives.
	Waits  func(why string)
	Prefer time.Duration // how long the log may hold one request before it answers 202; 0: 10 s, at most 60 s

	own sync.Map // tokens of repositories, by their ids
}

// Repositories lists the repositories that the log keeps.
func (c *Client) Repositories(ctx context.Context) (*RepositoryList, error) {
	return getJSON[RepositoryList](ctx, c, "v1/repositories")
}

// Repository lists a repository's leaves.
func (c *Client) Repository(ctx context.Context, id string) (*Repository, error) {
	return getJSON[Repository](ctx, c, "v1/repositories/"+url.PathEscape(id))
}

// Lookup returns the log's knowledge of a SHA-256 digest (64 hex digits) of a
// target file, a metadata file or a payload.
func (c *Client) Lookup(ctx context.Context, sha256 string) (*Lookup, error) {
	return getJSON[Lookup](ctx, c, "v1/lookup/sha256/"+url.PathEscape(sha256))
}

// LookupSHA512 returns the leaves that list a target file with a SHA-512 digest (128
// lower-case hex digits).
func (c *Client) LookupSHA512(ctx context.Context, sha512 string) (*Listings, error) {
	return getJSON[Listings](ctx, c, "v1/lookup/sha512/"+url.PathEscape(sha512))
}

// LookupPath returns the leaves that list a target file at a path.
func (c *Client) LookupPath(ctx context.Context, path string) (*Listings, error) {
	return getJSON[Listings](ctx, c, "v1/lookup/path/"+url.PathEscape(path))
}

// EntryProof returns the newest sidecar of an entry. It is not checked here.
func (c *Client) EntryProof(ctx context.Context, index int64) ([]byte, error) {
	resp, err := c.get(ctx, "v1/entries/"+strconv.FormatInt(index, 10)+"/proof", maxProof)
	if err != nil {
		return nil, err
	}
	return resp.body, nil
}

// AuditedCheckpoint returns the newest checkpoint that the log's auditors have cosigned. It is
// not checked here. The error is a *ProblemError with CodeNotAudited if there is none.
func (c *Client) AuditedCheckpoint(ctx context.Context) ([]byte, error) {
	resp, err := c.get(ctx, "checkpoint/audited", maxProof)
	if err != nil {
		return nil, err
	}
	return resp.body, nil
}

// AuditedProof returns the newest sidecar of an entry under a checkpoint that the log's
// auditors have cosigned. It is not checked here. The error is a *ProblemError with
// CodeNotAudited if there is none yet.
func (c *Client) AuditedProof(ctx context.Context, index int64) ([]byte, error) {
	resp, err := c.get(ctx, "v1/entries/"+strconv.FormatInt(index, 10)+"/proof?audited", maxProof)
	if err != nil {
		return nil, err
	}
	return resp.body, nil
}

// Blob returns a metadata file that a leaf names, by its SHA-256 (64 hex digits). A
// file with another digest is an error.
func (c *Client) Blob(ctx context.Context, sha256 string) ([]byte, error) {
	sum, err := tuf.ParseDigest(sha256)
	if err != nil {
		return nil, err
	}
	resp, err := c.get(ctx, "blob/sha256/"+sha256, tuf.MaxFileSize)
	if err != nil {
		return nil, err
	}
	if got := tuf.Sum(resp.body); got != sum {
		return nil, fmt.Errorf("%s has SHA-256 %v", resp.url, got)
	}
	return resp.body, nil
}

func getJSON[T any](ctx context.Context, c *Client, path string) (*T, error) {
	resp, err := c.get(ctx, path, maxListing)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(resp.body, v); err != nil {
		return nil, fmt.Errorf("%s: %w", resp.url, err)
	}
	return v, nil
}

func (c *Client) get(ctx context.Context, path string, limit int64) (*response, error) {
	return c.do(ctx, func() (*http.Request, error) {
		return c.request(ctx, http.MethodGet, c.join(path), nil)
	}, limit)
}

func (c *Client) join(path string) string {
	return strings.TrimSuffix(c.Base, "/") + "/" + path
}

// Ready asks the log once whether it could publish now. If not, why is the reason
// that the log gives; it must be escaped before it is printed to a terminal.
func (c *Client) Ready(ctx context.Context) (why string, err error) {
	req, err := c.request(ctx, http.MethodGet, c.join("readyz"), nil)
	if err != nil {
		return "", err
	}
	resp, err := fetch.Do(fetch.Direct(c.HTTP), req)
	if err != nil {
		return "", err
	}
	_, err = read(resp, maxProblem)
	var problem *ProblemError
	if errors.As(err, &problem) && problem.Code != "" {
		return problem.Detail, nil
	}
	return "", err
}
