package source

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/tuflog/tuflog/tuf"
)

// Limits of a compressed answer, in bytes. How much it expands to is for the reader of the
// body to limit.
const (
	maxCoded  = tuf.MaxFileSize + 1<<20 // as it is sent: a coding can also expand nothing at all, without end
	maxWindow = 8 << 20                 // how far back zstd may refer; HTTP has no more (RFC 9659)
)

// coded asks for compressed answers and unpacks them.
type coded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t coded) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept-Encoding", "zstd, gzip") // so Go unpacks nothing by itself
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	coding := strings.ToLower(resp.Header.Get("Content-Encoding"))
	if coding == "" || coding == "identity" {
		return resp, nil
	}
	body, err := unpacked(coding, resp.Body)
	if err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	resp.Body = body
	resp.ContentLength = -1
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.Uncompressed = true
	return resp, nil
}

// unpacker is a body that is unpacked while it is read.
type unpacker struct {
	io.Reader
	body io.Closer
	give func() // gives back what unpacks
}

// Close implements io.Closer. It is called once.
func (u *unpacker) Close() error {
	u.give()
	return u.body.Close()
}

func unpacked(coding string, body io.ReadCloser) (*unpacker, error) {
	sent := &atMost{body, maxCoded}
	switch coding {
	case "zstd":
		z := zstdReaders.Get().(*zstd.Decoder)
		if err := z.Reset(sent); err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &unpacker{z, body, func() {
			if z.Reset(nil) == nil {
				zstdReaders.Put(z)
			}
		}}, nil
	case "gzip", "x-gzip":
		return &unpacker{&lazyGzip{sent: sent}, body, func() {}}, nil
	}
	return nil, fmt.Errorf("the answer is in coding %q, which was not asked for", tuf.Clip(coding))
}

// zstdReaders are decoders that are used again: each takes memory for its window.
var zstdReaders = sync.Pool{New: func() any {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		panic(err) // the options are the line above
	}
	return z
}}

// lazyGzip reads gzip's header when it is read: an answer without a body has none.
type lazyGzip struct {
	sent io.Reader
	z    *gzip.Reader
}

// Read implements io.Reader.
func (g *lazyGzip) Read(p []byte) (n int, err error) {
	if g.z == nil {
		if g.z, err = gzip.NewReader(g.sent); err != nil {
			return 0, fmt.Errorf("gzip: %w", err)
		}
	}
	return g.z.Read(p)
}

// atMost reads so many bytes; more are an error.
type atMost struct {
	io.Reader
	left int64
}

// Read implements io.Reader.
func (r *atMost) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("a compressed answer of more than %d bytes", int64(maxCoded))
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}
