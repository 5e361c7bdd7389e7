package packs

import (
	"bytes"
	"compress/gzip"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/tuflog/tuflog/pack"
)

// maxWindow is how far back a compressed pack may refer, in bytes: a client of HTTP need
// not take more (RFC 9659).
const maxWindow = 8 << 20

// coder compresses packs. What it needs for that is made when it is first used.
type coder struct {
	once    sync.Once
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func (c *coder) open() {
	c.once.Do(func() {
		var err error
		c.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow), zstd.WithLowerEncoderMem(true))
		if err == nil {
			c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(pack.MaxSize), zstd.WithDecoderLowmem(true))
		}
		if err != nil {
			panic(err) // the options are the lines above
		}
	})
}

// as returns a pack in a coding.
func (c *coder) as(coding Coding, b []byte) []byte {
	switch coding {
	case Zstd:
		return c.zstd(b)
	case Gzip:
		return c.gzip(b)
	}
	return b
}

func (c *coder) zstd(b []byte) []byte {
	c.open()
	return c.encoder.EncodeAll(b, nil)
}

func (c *coder) unpack(b []byte) ([]byte, error) {
	c.open()
	return c.decoder.DecodeAll(b, nil)
}

func (c *coder) gzip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	// Writing to a bytes.Buffer does not fail.
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
