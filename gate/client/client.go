package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// The media types of a request to sign: a tar file with the staged repository, or JSON that
// says where it is (URLRequest).
const (
	MediaTar = "application/x-tar"
	MediaURL = "application/json"
)

// maxAnswer is how many bytes an answer in JSON has at most.
const maxAnswer = 64 << 10

// Signature is a gate's signature of a timestamp.
type Signature struct {
	KeyID string `json:"keyid"` // under which the root lists the gate's key
	Sig   string `json:"sig"`   // hex
}

// Answer is that of a gate which signs.
type Answer struct {
	Signature
	Version int64      `json:"version"` // of the timestamp
	Payload tuf.Digest `json:"payload"` // of what was signed
}

// Problem is the answer of a gate which does not.
type Problem struct {
	Code   verify.Code `json:"code"`
	Role   string      `json:"role,omitempty"`
	Detail string      `json:"detail"`
}

// URLRequest is a request to sign what is staged at a URL.
type URLRequest struct {
	URL string `json:"url"` // of the metadata; timestamp.json is below it
}

// Key is a gate's public key as TUF metadata lists it.
type Key struct {
	KeyID  string `json:"keyid"` // as securesystemslib computes it; a root may use another
	Type   string `json:"keytype"`
	Scheme string `json:"scheme"`
	KeyVal struct {
		Public string `json:"public"` // 64 hex digits
	} `json:"keyval"`
}

// NewKey returns the key with 32 bytes of Ed25519 public key.
func NewKey(public []byte) Key {
	k := Key{Type: "ed25519", Scheme: "ed25519"}
	k.KeyVal.Public = hex.EncodeToString(public)
	// The id of securesystemslib: SHA-256 of the key's canonical JSON.
	id := tuf.Sum([]byte(`{"keytype":"ed25519","keyval":{"public":"` + k.KeyVal.Public + `"},"scheme":"ed25519"}`))
	k.KeyID = id.String()
	return k
}

// ParseKey reads 64 hex digits, or the JSON that a gate shows.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		var k Key
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			return Key{}, fmt.Errorf("the key of a gate: %w", err)
		}
		if k.Type != "ed25519" || k.Scheme != "ed25519" {
			return Key{}, fmt.Errorf("the key of a gate is of type %q, scheme %q: want ed25519", tuf.Clip(k.Type), tuf.Clip(k.Scheme))
		}
		text = k.KeyVal.Public
	}
	k := tuf.Key{Type: "ed25519", Scheme: "ed25519", Public: text}
	if _, ok := k.Identity(); !ok || strings.ToLower(text) != text {
		return Key{}, fmt.Errorf("the key of a gate is %q: want an Ed25519 public key in 64 lower-case hex digits", tuf.Clip(text))
	}
	public, err := hex.DecodeString(text)
	if err != nil {
		return Key{}, err
	}
	return NewKey(public), nil
}

// Identity returns the identity of the key.
func (k Key) Identity() tuf.KeyIdentity {
	id, _ := (&tuf.Key{Type: k.Type, Scheme: k.Scheme, Public: k.KeyVal.Public}).Identity()
	return id
}

// Gate is a gate to ask.
type Gate struct {
	URL string
	// Client sends the requests; nil: net/http's default. It does not follow redirects.
	Client *http.Client
}

func (g Gate) path(elements ...string) string {
	return strings.TrimSuffix(g.URL, "/") + "/v1/" + strings.Join(elements, "/")
}

// Sign asks for a signature of what a tar file of Staged.Tar has. The signature is not
// verified here. An error that is not a *Refused is an outage.
func (g Gate) Sign(ctx context.Context, repository tuf.Digest, tar []byte) (*Answer, error) {
	return g.sign(ctx, repository, MediaTar, tar)
}

// SignURL is Sign for what is staged at a URL that the gate may fetch from.
func (g Gate) SignURL(ctx context.Context, repository tuf.Digest, url string) (*Answer, error) {
	body, err := json.Marshal(URLRequest{URL: url})
	if err != nil {
		return nil, err
	}
	return g.sign(ctx, repository, MediaURL, body)
}

func (g Gate) sign(ctx context.Context, repository tuf.Digest, media string, body []byte) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.path("sign", repository.String()), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", media)
	var a Answer
	return &a, g.answer(req, &a)
}

// Timestamp returns the timestamp.json that the gate signed last of a repository, with its
// signature; nil: it has signed none.
func (g Gate) Timestamp(ctx context.Context, repository tuf.Digest) ([]byte, error) {
	b, err := fetch.Get(ctx, fetch.Direct(g.Client), g.path("timestamp", repository.String()), tuf.MaxFileSize)
	var status *fetch.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound && problemIn([]byte(status.Body)).Code == "" {
		return nil, fmt.Errorf("%s is not a gate", fetch.Redacted(g.URL))
	}
	if errors.As(err, &status) && status.Status == http.StatusNotFound && problemIn([]byte(status.Body)).Code == verify.CodeNotListed {
		return nil, nil
	}
	return b, fetch.WithoutBody(err)
}

// Key returns the gate's public key.
func (g Gate) Key(ctx context.Context) (Key, error) {
	b, err := fetch.Get(ctx, fetch.Direct(g.Client), g.path("key"), maxAnswer)
	if err != nil {
		return Key{}, fetch.WithoutBody(err)
	}
	return ParseKey(string(b))
}

// Status is what a gate says of a repository.
type Status struct {
	Name       string     `json:"name"`
	Repository tuf.Digest `json:"repository"`
	// Version is that of the timestamp that was signed last; 0: none was.
	Version int64      `json:"version"`
	Payload tuf.Digest `json:"payload"`
	Expires *time.Time `json:"expires,omitempty"`
	Root    int64      `json:"root"` // the version of the root that is trusted
	// InRole reports whether that root names this gate's key for the timestamp.
	InRole bool `json:"in_role"`
	// Certain is false from the start until enough others have shown what was signed last.
	Certain bool `json:"certain"`
}

// Status asks the gate for the status of every repository.
func (g Gate) Status(ctx context.Context) ([]Status, error) {
	b, err := fetch.Get(ctx, fetch.Direct(g.Client), g.path("status"), 1<<20)
	if err != nil {
		return nil, fetch.WithoutBody(err)
	}
	var list []Status
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("the status of %s: %w", fetch.Redacted(g.URL), err)
	}
	return list, nil
}

func (g Gate) answer(req *http.Request, into any) error {
	resp, err := fetch.Do(fetch.Direct(g.Client), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("more than %d bytes", maxAnswer)
	}
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", fetch.Redacted(g.URL), err)
	}
	if resp.StatusCode != http.StatusOK {
		p := problemIn(b)
		if p.Code == "" { // a proxy's, say
			return fmt.Errorf("%s answered %d %s", fetch.Redacted(g.URL), resp.StatusCode, http.StatusText(resp.StatusCode))
		}
		r := &Refused{Code: p.Code, Role: p.Role, Detail: printable.Line(p.Detail)}
		if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
			r.After = time.Duration(s) * time.Second
		}
		return r
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("the answer of %s: %w", fetch.Redacted(g.URL), err)
	}
	return nil
}

// problemIn reads a problem; its code is empty if there is none.
func problemIn(b []byte) (p Problem) {
	if json.Unmarshal(b, &p) != nil || len(p.Code) > 64 || strings.ContainsFunc(string(p.Code), func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') }) {
		return Problem{}
	}
	p.Role = tuf.Clip(p.Role)
	return p
}
