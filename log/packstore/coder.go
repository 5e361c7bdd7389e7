package packstore

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

// coder compresses packs: what is kept well, and what is made for one client fast. What it
// needs for that is made when it is first used.
type coder struct {
	once       sync.Once
	well, fast *zstd.Encoder
	decoder    *zstd.Decoder
}

func (c *coder) open() {
	c.once.Do(func() {
		encoder := func(level zstd.EncoderLevel) *zstd.Encoder {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow), zstd.WithLowerEncoderMem(true))
			if err != nil {
				panic(err) // the options are the line above
			}
			return e
		}
		c.well, c.fast = encoder(zstd.SpeedDefault), encoder(zstd.SpeedFastest)
		var err error
		c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(pack.MaxSize), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // the options are the line above
		}
	})
}

// keep compresses a pack in both codings.
func (c *coder) keep(b []byte) (zstd, gzipped []byte) {
	c.open()
	return c.well.EncodeAll(b, nil), zipped(b, gzip.DefaultCompression)
}

// as compresses a pack for one client.
func (c *coder) as(coding Coding, b []byte) []byte {
	switch coding {
	case Zstd:
		c.open()
		return c.fast.EncodeAll(b, nil)
	case Gzip:
		return zipped(b, gzip.BestSpeed)
	}
	return b
}

func (c *coder) unpack(b []byte) ([]byte, error) {
	c.open()
	return c.decoder.DecodeAll(b, nil)
}

func zipped(b []byte, level int) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		panic(err) // the level is one of the package's own
	}
	// Writing to a bytes.Buffer does not fail.
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
