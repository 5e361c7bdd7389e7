package api

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
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

// Client asks a log over HTTP. A log that is full (503 or 429 with Retry-After)
// is asked again until the context ends; so is one that answers 202. The zero
// value needs Base. It is safe for concurrent use. To a repository that it has opened
// and been given the token of, it sends that one with submissions, and not Token.
type Client struct {
	Base  string       // the log's URL, with or without a final slash
	HTTP  *http.Client // nil: as net/http has it; no redirect is followed
	Token string       // sent as a bearer token with submissions; empty: none
	// NewToken is the token that a repository is to have which Register opens
	// with the operator's registration token. Empty: Register makes one up.
	NewToken string
	// Waits, if not nil, is told why the log says that nothing can be published
	// now, or that it is full, each time it says so.
	Waits  func(why string)
	Prefer time.Duration // how long the log may hold one request before it answers 202; 0: 10 s, at most 60 s

	own sync.Map // tokens of repositories, by their ids
}

// File is one file of a submission. Its Name has no folders; see RoleOf.
type File struct {
	Name string
	Data []byte
}

// Register submits a root: a genesis opens a repository, a root that is in a
// logged chain already returns that chain's repository. It returns when the root
// has its witnessed proof, or was refused (a Result too, not an error). Where the log
// gives the repository's token, Result.Token.Text is it.
func (c *Client) Register(ctx context.Context, root []byte) (*Result, error) {
	text := c.NewToken
	if text == "" && c.Token != "" {
		text = GenerateToken()
	}
	res, err := c.submit(ctx, "v1/repositories", TypeJSON, root, func(h http.Header) {
		authorize(h, c.Token)
		if text != "" {
			h.Set(HeaderToken, text)
		}
	})
	if res != nil && res.Token != nil {
		res.Token.Text = text
		c.own.Store(res.Repository, text)
	}
	return res, err
}

// Own makes the client send a token, that of a repository, with submissions to it.
func (c *Client) Own(repository, token string) { c.own.Store(repository, token) }

func authorize(h http.Header, token string) {
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
}

// Submit sends files of one repository in one tar and returns the verdicts on all
// of them, whether accepted or refused. Where some are held (Result.Held) it does not
// wait for their time. Where the context ends first, the Result
// so far comes with the error if there was one; sending the files again is safe.
func (c *Client) Submit(ctx context.Context, repository string, files []File) (*Result, error) {
	body, err := Tar(files)
	if err != nil {
		return nil, err
	}
	return c.submit(ctx, "v1/repositories/"+url.PathEscape(repository)+"/metadata", TypeTar, body, func(h http.Header) {
		token := c.Token
		if own, ok := c.own.Load(repository); ok {
			token = own.(string)
		}
		authorize(h, token)
	})
}

// Tar packs files for a submission.
func Tar(files []File) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Data)), Mode: 0o644}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %q: %w", f.Name, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("pack %q: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return buf.Bytes(), nil
}

// submit posts body and polls until every file has a verdict.
func (c *Client) submit(ctx context.Context, path, contentType string, body []byte, authorize func(http.Header)) (*Result, error) {
	const resubmissions = 3
	for try := 1; ; try++ {
		res, location, err := c.post(ctx, path, contentType, body, authorize)
		if err != nil || location == "" || res.Held() {
			return res, err
		}
		done, err := c.Wait(ctx, location)
		switch problem := (*ProblemError)(nil); {
		case err == nil:
			return done, nil
		case errors.As(err, &problem) && problem.Status == http.StatusNotFound && try < resubmissions:
			// A log that was restarted forgets submissions, not what it
			// acknowledged; sending the same files again is how to learn.
			continue
		}
		if done == nil {
			done = res
		}
		if done.Waiting != "" {
			return done, fmt.Errorf("waiting for the log's proof: %w; the log says: %q", err, done.Waiting)
		}
		return done, fmt.Errorf("waiting for the log's proof: %w", err)
	}
}

// post sends one submission. A location is returned where the log answered 202.
func (c *Client) post(ctx context.Context, path, contentType string, body []byte, authorize func(http.Header)) (*Result, string, error) {
	resp, err := c.do(ctx, func() (*http.Request, error) {
		req, err := c.request(ctx, http.MethodPost, c.join(path), bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Prefer", c.prefer(ctx))
		// Submissions are idempotent; an empty value tells net/http so (it
		// may then retry on a stale connection) and is not sent.
		req.Header["Idempotency-Key"] = []string{}
		authorize(req.Header)
		return req, nil
	}, maxResult)
	if err != nil {
		return refused(err)
	}
	res, err := resp.result()
	if err != nil {
		return nil, "", err
	}
	if resp.status != http.StatusAccepted {
		if !res.Done {
			return nil, "", fmt.Errorf("%s answered %d, but the submission is not done", resp.url, resp.status)
		}
		return res, "", nil
	}
	c.waits(res.Waiting)
	if resp.header.Get("Location") == "" {
		return res, "", fmt.Errorf("%s answered 202 without a Location", resp.url)
	}
	location, err := c.sameLog(resp.at, resp.header.Get("Location"))
	return res, location, err
}

func (c *Client) waits(why string) {
	if c.Waits != nil && why != "" {
		c.Waits(why)
	}
}

// refused turns "no file was accepted" into the Result it is.
func refused(err error) (*Result, string, error) {
	var problem *ProblemError
	if errors.As(err, &problem) && (problem.Status == http.StatusUnprocessableEntity || problem.Code == CodeHoldFull) && len(problem.Results) > 0 {
		return &Result{Repository: problem.Repository, Done: true, Results: problem.Results}, "", nil
	}
	return nil, "", err
}

// Wait polls the location of a 202 (absolute, or relative to Base) until the
// submission is done, or nothing of it is pending and some files are held. With an error it returns the last Result it saw, if any.
func (c *Client) Wait(ctx context.Context, location string) (*Result, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	if location, err = c.sameLog(base, location); err != nil {
		return nil, err
	}
	var last *Result
	for pause := firstBackoff; ; pause = min(2*pause, longestBackoff/10) {
		resp, err := c.do(ctx, func() (*http.Request, error) {
			req, err := c.request(ctx, http.MethodGet, location, nil)
			if err == nil {
				req.Header.Set("Prefer", c.prefer(ctx))
			}
			return req, err
		}, maxResult)
		if err != nil {
			if res, _, err := refused(err); err == nil {
				return res, nil
			}
			return last, err
		}
		if last, err = resp.result(); err != nil {
			return nil, err
		}
		if last.Done || last.Held() {
			return last, nil
		}
		c.waits(last.Waiting)
		after := pause
		if asked, ok := retryAfter(resp.header, time.Now()); ok {
			after = max(asked, firstBackoff) // 0 would be a request after the other
		}
		if err := wait.For(ctx, after); err != nil {
			return last, err
		}
	}
}

// Repositories lists the repositories that the log keeps.
func (c *Client) Repositories(ctx context.Context) (*RepositoryList, error) {
	return getJSON[RepositoryList](ctx, c, "v1/repositories")
}

// Repository lists a repository's leaves.
func (c *Client) Repository(ctx context.Context, id string) (*Repository, error) {
	return getJSON[Repository](ctx, c, "v1/repositories/"+url.PathEscape(id))
}

// Lookup asks what the log knows about a SHA-256 digest (64 hex digits): of a
// target file, of a metadata file or of a payload.
func (c *Client) Lookup(ctx context.Context, sha256 string) (*Lookup, error) {
	return getJSON[Lookup](ctx, c, "v1/lookup/sha256/"+url.PathEscape(sha256))
}

// EntryProof returns the newest sidecar of an entry. It is not checked here.
func (c *Client) EntryProof(ctx context.Context, index int64) ([]byte, error) {
	resp, err := c.get(ctx, "v1/entries/"+strconv.FormatInt(index, 10)+"/proof", maxProof)
	if err != nil {
		return nil, err
	}
	return resp.body, nil
}

// Blob returns a metadata file that a leaf names, by its SHA-256 (64 hex digits). What
// has another digest is an error.
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

// prefer leaves time for a second request: a log that has answered 202 has said why
// it waits.
func (c *Client) prefer(ctx context.Context) string {
	wait := c.Prefer
	if wait <= 0 {
		wait = defaultWait
	}
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/2)
	}
	return "wait=" + strconv.FormatInt(int64(max(0, min(wait, maxWait)).Seconds()), 10)
}

func (c *Client) request(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", fetch.RedactError(err))
	}
	req.Header.Set("Accept", TypeJSON+", "+TypeProblem+", "+TypeText)
	return req, nil
}

func (c *Client) base() (*url.URL, error) {
	base, err := url.Parse(strings.TrimSuffix(c.Base, "/") + "/")
	if err != nil {
		return nil, fmt.Errorf("log URL: %w", fetch.RedactError(err))
	}
	return base, nil
}

// sameLog resolves a Location against the URL of the answer that has it. The client
// follows it only to the log it was told to talk to.
func (c *Client) sameLog(at *url.URL, location string) (string, error) {
	base, err := c.base()
	if err != nil {
		return "", err
	}
	to, err := at.Parse(location)
	if err != nil {
		return "", fmt.Errorf("location %q: %w", location, fetch.RedactError(err))
	}
	if to.User == nil {
		to.User = base.User
	}
	if to.Scheme != base.Scheme || to.Host != base.Host || !strings.HasPrefix(to.EscapedPath(), base.EscapedPath()) {
		return "", fmt.Errorf("location %q leads away from the log %s", location, fetch.Redacted(c.Base))
	}
	return to.String(), nil
}

// response is an answer of status 200 or 202, read whole.
type response struct {
	url    string // what was asked, without a password
	at     *url.URL
	status int
	header http.Header
	body   []byte
}

func (r *response) result() (*Result, error) {
	res := new(Result)
	if err := json.Unmarshal(r.body, res); err != nil {
		return nil, fmt.Errorf("%s: %w", r.url, err)
	}
	return res, nil
}

// do sends a request until the log is neither full nor asks to come later. Other
// answers than 200 and 202 are a *ProblemError.
func (c *Client) do(ctx context.Context, build func() (*http.Request, error), limit int64) (*response, error) {
	client := fetch.Direct(c.HTTP)
	for try, backoff := 1, firstBackoff; ; try, backoff = try+1, min(2*backoff, longestBackoff) {
		req, err := build()
		if err != nil {
			return nil, err
		}
		resp, err := fetch.Do(client, req)
		if redirect := fetch.AsRedirect(err); redirect != nil {
			asked := strings.TrimPrefix(req.URL.String(), strings.TrimSuffix(c.Base, "/"))
			return nil, fmt.Errorf("the log's URL redirects to %q: use that, if it is the log's", strings.TrimSuffix(redirect.To, asked))
		}
		if err != nil {
			return nil, err
		}
		answer, err := read(resp, limit)
		problem := (*ProblemError)(nil)
		if err == nil || !errors.As(err, &problem) {
			return answer, err
		}
		asked, ok := retryAfter(resp.Header, time.Now())
		if problem.isProxys() && !ok && try < proxyTries {
			ok, problem.Detail = true, fmt.Sprintf("%d %s, from something in front of the log", problem.Status, problem.Title)
		}
		// Room for what is held comes with hours.
		if !ok || problem.Code == CodeHoldFull || !problem.isProxys() && problem.Status != http.StatusServiceUnavailable && problem.Status != http.StatusTooManyRequests {
			return nil, err
		}
		// The log says when it hopes to have room; a client that is told
		// so for the tenth time need not ask every second. The random
		// part keeps many clients from coming back at once.
		c.waits(problem.Detail)
		after := max(asked, backoff)
		after += rand.N(after/4 + time.Millisecond)
		if sleepErr := wait.For(ctx, after); sleepErr != nil {
			return nil, fmt.Errorf("%w (gave up waiting: %w)", err, sleepErr)
		}
	}
}

// isProxys reports whether the answer is that of a proxy which cannot reach the log, as
// while the log is being restarted: the log's own answers are problem documents.
func (e *ProblemError) isProxys() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return e.Code == ""
	}
	return false
}

// Ready asks the log whether it could publish now, once. If not, why is what it says;
// not to be printed to a terminal as it is.
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

// read reads and closes a response's body.
func read(resp *http.Response, limit int64) (*response, error) {
	defer resp.Body.Close()
	asked := fetch.Redacted(resp.Request.URL.String())
	fine := resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted
	if !fine {
		limit = maxProblem
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", asked, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", asked, limit)
	}
	if !fine {
		return nil, problemError(asked, resp, body)
	}
	return &response{url: asked, at: resp.Request.URL, status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// problemError reads a problem document, or makes one of what else came back.
func problemError(asked string, resp *http.Response, body []byte) *ProblemError {
	e := &ProblemError{URL: asked}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != TypeProblem || json.Unmarshal(body, &e.Problem) != nil {
		e.Problem = Problem{
			Title:  http.StatusText(resp.StatusCode),
			Detail: strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), 512)]), "")),
		}
	}
	e.Status = resp.StatusCode // the document's own copy is advisory (RFC 9457, section 3.1.2)
	return e
}

// retryAfter reads Retry-After: seconds or an HTTP date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if v == "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(v, 10, 32); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}
