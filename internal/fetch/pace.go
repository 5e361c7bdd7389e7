package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Pace is a lower bound on a server's speed: a mirror that sends a byte now and
// then would hold a client for years. The zero Pace allows that.
type Pace struct {
	// Rate is the lowest allowed number of bytes a second, on average over each full
	// Window from the beginning of the request on. It also bounds the whole request: to
	// the time of the longest body at this rate, and two Windows.
	Rate int64
	// Window is the time over which the rate is measured; zero: DefaultWindow.
	Window time.Duration
}

// DefaultWindow is the time over which a Pace is measured.
const DefaultWindow = 30 * time.Second

// SlowError means that a server sends too slowly.
type SlowError struct {
	URL   string // without a password
	Bytes int64  // received within Time
	Time  time.Duration
	Rate  int64 // bytes a second that were required
}

func (e *SlowError) Error() string {
	return fmt.Sprintf("%s: %d bytes in %v, less than %d a second", e.URL, e.Bytes, e.Time, e.Rate)
}

// Get is the function Get with a bound on the server's speed: the error is a
// *SlowError if the server is slower.
func (p Pace) Get(ctx context.Context, client *http.Client, url string, max int64) ([]byte, error) {
	var body parts
	if err := p.copy(ctx, client, &body, url, whole(max)); err != nil {
		return nil, err
	}
	return body.join(), nil
}

// Expect is the function Get for a body of probably expected bytes, which is then read into
// one piece of memory. A shorter or longer one is read all the same.
func Expect(ctx context.Context, client *http.Client, url string, max, expected int64) ([]byte, error) {
	body := parts{make([]byte, 0, min(max, expected)+1)}
	if err := (Pace{}).copy(ctx, client, &body, url, whole(max)); err != nil {
		return nil, err
	}
	return body.join(), nil
}

// parts gathers a body whose length is not known. A buffer that doubles would take three
// times the memory of one that turns out to be too long.
type parts [][]byte

// Sizes of parts, in bytes.
const (
	firstPart   = 4 << 10
	largestPart = 1 << 20
)

// Write implements io.Writer.
func (g *parts) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		part := g.open(len(p))
		some := min(len(p), cap(*part)-len(*part))
		*part = append(*part, p[:some]...)
		p = p[some:]
	}
	return n, nil
}

// ReadFrom implements io.ReaderFrom, without a copy of what is read.
func (g *parts) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		part := g.open(firstPart)
		some, err := r.Read((*part)[len(*part):cap(*part)])
		*part = (*part)[:len(*part)+some]
		n += int64(some)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// open returns the last part, which has room. A first one is made for size bytes.
func (g *parts) open(size int) *[]byte {
	last := len(*g) - 1
	if last < 0 || len((*g)[last]) == cap((*g)[last]) {
		if last >= 0 {
			size = max(size, 2*cap((*g)[last]))
		}
		*g = append(*g, make([]byte, 0, min(size, largestPart)))
		last++
	}
	return &(*g)[last]
}

// join returns the body, which is not nil.
func (g parts) join() []byte {
	if len(g) == 1 {
		return slices.Clip(g[0])
	}
	size := 0
	for _, part := range g {
		size += len(part)
	}
	b := make([]byte, 0, size)
	for _, part := range g {
		b = append(b, part...)
	}
	return b
}

// ErrRange is wrapped if a server does not have the bytes from an offset on, or answers
// with others.
var ErrRange = errors.New("the server does not answer with the rest of the file")

// CopyFrom is Get for a body that is not kept in memory, exactly as stored on the server:
// content coding is neither requested nor removed. It writes what comes after the first
// from bytes: they are asked for as a range, and left out where the server sends the whole
// body all the same. If the server does not have them, the error wraps ErrRange. max bounds
// the whole body. Bytes that were written before an error are those of the body.
func (p Pace) CopyFrom(ctx context.Context, client *http.Client, w io.Writer, url string, from, max int64) error {
	return p.copy(ctx, client, w, url, extent{from: from, max: max, exact: true})
}

// extent is what is wanted of a body.
type extent struct {
	from, max int64 // the first byte, and the most that the whole body may have
	exact     bool  // as it lies on the server
}

func whole(max int64) extent { return extent{max: max} }

func (p Pace) copy(ctx context.Context, client *http.Client, w io.Writer, url string, part extent) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return RedactError(err)
	}
	if part.exact {
		req.Header.Set("Accept-Encoding", "identity")
	}
	if part.from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.from))
	}
	url = Redacted(url)
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var came atomic.Int64
	if p.Rate > 0 {
		watching.Go(func() { p.watch(ctx, cancel, url, part.max, &came) })
	}
	err = read(client, req.WithContext(ctx), url, part, w, &came)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

// watch ends a fetch that is too slow. It returns when ctx ends.
func (p Pace) watch(ctx context.Context, cancel context.CancelCauseFunc, url string, max int64, came *atomic.Int64) {
	window := p.Window
	if window <= 0 {
		window = DefaultWindow
	}
	tick := time.NewTicker(window)
	defer tick.Stop()
	const century = 100 * 365 * 24 * time.Hour
	whole := 2*window + time.Duration(min(max/p.Rate+1, int64(century/time.Second)))*time.Second
	least := int64(float64(p.Rate) * window.Seconds())
	before, passed := int64(0), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := came.Load()
		switch passed += window; {
		case now-before < least:
			cancel(&SlowError{URL: url, Bytes: now - before, Time: window, Rate: p.Rate})
			return
		case passed > whole:
			cancel(&SlowError{URL: url, Bytes: now, Time: passed, Rate: p.Rate})
			return
		}
		before = now
	}
}

// counted counts the bytes of a body.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// read writes the body that answers a request to w. It is an error of w, if w has one.
func read(client *http.Client, req *http.Request, url string, part extent, w io.Writer, came *atomic.Int64) error {
	resp, err := Do(client, req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var body io.Reader = counted{resp.Body, came}
	switch {
	case resp.StatusCode == http.StatusPartialContent && part.from > 0:
		if got := resp.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", part.from)) {
			return fmt.Errorf("read %s: %w: it sends %.100q", url, ErrRange, got)
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && part.from > 0:
		return fmt.Errorf("read %s: %w", url, ErrRange)
	case resp.StatusCode != http.StatusOK:
		body, err := io.ReadAll(io.LimitReader(resp.Body, 512))
		return errors.Join(&StatusError{URL: url, Status: resp.StatusCode, Body: string(body)}, err)
	default:
		switch _, err := io.CopyN(io.Discard, body, part.from); {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("read %s: %w", url, ErrRange)
		case err != nil:
			return fmt.Errorf("read %s: %w", url, err)
		}
	}
	most := min(part.max, math.MaxInt64-1) - part.from
	n, err := io.Copy(w, io.LimitReader(body, most+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	if n > most {
		return fmt.Errorf("read %s: %w: more than %d bytes", url, ErrTooLarge, part.max)
	}
	return nil
}
