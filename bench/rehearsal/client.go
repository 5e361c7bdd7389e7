package rehearsal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// ErrRefused is a verdict against a release that is as it should be.
var ErrRefused = errors.New("refused")

// Client speaks to a log and takes down what it says.
type Client struct {
	HTTP   *http.Client
	Policy *proofs.Policy
	Rec    *Record
}

// Submit sends a release once. It returns nil only for an acknowledgement whose
// sidecar verifies, and has written it down then.
func (c Client) Submit(ctx context.Context, url string, rel Release, wait int) error {
	path, contentType, body := "/v1/repositories", api.TypeJSON, rel.Files[0].Data
	if rel.Claim.Role != tuf.RoleRoot {
		var err error
		path, contentType = "/v1/repositories/"+rel.Claim.Repository.String()+"/metadata", api.TypeTar
		if body, err = api.Tar(rel.Files); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Prefer", fmt.Sprintf("wait=%d", wait))
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return c.acknowledged(rel, answer)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %.300s", ErrRefused, answer)
	}
	return fmt.Errorf("status %d: %.200s", resp.StatusCode, answer)
}

// Insist sends a release until it is acknowledged, which is true, or refused: each
// try to the URL for its number, and its outcome to note. What is under way when
// the context ends still gets its answer.
func (c Client) Insist(ctx context.Context, rel Release, wait int, url func(try int) string, note func(try int, err error)) bool {
	for try := 0; ctx.Err() == nil; try++ {
		err := c.Submit(context.WithoutCancel(ctx), url(try), rel, wait)
		note(try, err)
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrRefused):
			c.Rec.Fail("%v: %v", rel.Claim, err)
			return false
		}
		process.Pause(ctx, 10*time.Millisecond)
	}
	return false
}

// Watch takes down every checkpoint that it sees a server serve, until the context
// ends.
func (c Client) Watch(ctx context.Context, server, url string) {
	var last []byte
	for ctx.Err() == nil {
		if b, err := c.Get(ctx, url+"/checkpoint"); err == nil && !bytes.Equal(b, last) {
			last = b
			if cp, err := c.Policy.OpenCheckpoint(b); err != nil {
				c.Rec.Fail("%s served a checkpoint that the policy refuses: %v", server, err)
			} else {
				c.Rec.Serve(server, cp.Tree)
			}
		}
		process.Pause(ctx, 5*time.Millisecond)
	}
}

func (c Client) acknowledged(rel Release, answer []byte) error {
	var res api.Result
	if err := json.Unmarshal(answer, &res); err != nil {
		return err
	}
	if len(res.Results) != 1 {
		return fmt.Errorf("%d results for one file", len(res.Results))
	}
	f := res.Results[0]
	if f.Status != api.StatusReleased && f.Status != api.StatusLogged {
		return fmt.Errorf("%w: %+v", ErrRefused, f)
	}
	logged, err := verify.CheckSidecar([]byte(f.Sidecar), rel.Claim, c.Policy)
	if err != nil {
		c.Rec.Fail("the sidecar of an acknowledgement: %v", err)
		return err
	}
	if logged.Index != f.Index {
		c.Rec.Fail("acknowledged at %d with a sidecar for %d", f.Index, logged.Index)
	}
	c.Rec.Acknowledge(rel, logged)
	return nil
}

// Get returns the body of an answer with status 200.
func (c Client) Get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %.2000s", url, resp.StatusCode, b)
	}
	return b, err
}

// Published returns the checkpoint that is served now.
func (c Client) Published(ctx context.Context, url string) (proofs.Tree, error) {
	b, err := c.Get(ctx, url+"/checkpoint")
	if err != nil {
		return proofs.Tree{}, err
	}
	cp, err := c.Policy.OpenCheckpoint(b)
	if err != nil {
		return proofs.Tree{}, err
	}
	return cp.Tree, nil
}

// Read reads all entries and hashes them.
func (c Client) Read(ctx context.Context, url string) (*History, error) {
	tree, err := c.Published(ctx, url)
	if err != nil {
		return nil, err
	}
	h, edge := NewHistory(), new(proofs.Edge)
	for i := int64(0); h.Size() < tree.N; i++ {
		width := proofs.TileWidth(tree.N, proofs.EntriesLevel, i)
		b, err := c.Get(ctx, url+"/"+proofs.EntriesPath(i, width))
		if err != nil {
			return nil, err
		}
		entries, err := proofs.ParseEntries(b)
		if err != nil {
			return nil, err
		}
		if len(entries) != width {
			return nil, fmt.Errorf("%s has %d entries", proofs.EntriesPath(i, width), len(entries))
		}
		if err := h.Grow(edge, entries...); err != nil {
			return nil, err
		}
	}
	if !h.Has(tree) {
		return nil, fmt.Errorf("the entries of the log lead to root %v at size %d, its checkpoint says %v", edge.Tree().Hash, tree.N, tree.Hash)
	}
	return h, nil
}

// NewHTTP returns an HTTP client for a load.
func NewHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 20 * time.Second}
}
