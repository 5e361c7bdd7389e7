package api

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// File is one file of a submission. Its Name has no folders; see RoleOf.
type File struct {
	Name string
	Data []byte
}

// Register submits a root: a genesis opens a repository, a root that is in a logged
// chain already returns that chain's repository. It returns when the root has its
// witnessed proof, or was refused (also a Result, not an error). If the log gives the
// repository's token, it is in Result.Token.Text.
func (c *Client) Register(ctx context.Context, root []byte) (*Result, error) {
	text := c.NewToken
	if text == "" && c.Token != "" {
		text = GenerateToken()
	}
	contentType := TypeJSON
	if m, err := codec.ParseAny(root); err == nil && m.Encoding == tuf.Pigweed {
		contentType = TypeProtobuf
	}
	res, err := c.submit(ctx, "v1/repositories", contentType, root, func(h http.Header) {
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

// Own makes the client send the given token with submissions to the repository.
func (c *Client) Own(repository, token string) { c.own.Store(repository, token) }

func authorize(h http.Header, token string) {
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
}

// Submit sends files of one repository in one tar and returns the verdicts on all of
// them, whether accepted or refused. If some are held (Result.Held) it does not wait
// for their time. If the context ends first, the last Result, if any, is returned
// with the error; sending the files again is safe.
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
			// A log that was restarted forgets submissions, but not the files
			// that it acknowledged; sending the same files again returns their
			// results.
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

// post sends one submission. A location is returned if the log answered 202.
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

// refused turns the problem "no file was accepted" into a Result.
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
