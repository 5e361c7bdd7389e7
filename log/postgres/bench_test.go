package postgres

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/proofs"
)

// BenchmarkPut puts files of 5 kB, in batches, as a leader does: alone, and with the batch of
// entries of 400 bytes that is about to be appended. ns/file is what counts.
func BenchmarkPut(b *testing.B) {
	for _, n := range []int{1, 64, 256} {
		for _, kept := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/kept=%v", n, kept), func(b *testing.B) {
				db := newLog(b)
				blobs := db.Blobs().Fenced(lead(b, db, "a"))
				random := rand.NewChaCha8([32]byte{byte(n)})
				files, entries := make([][]byte, n), make([][]byte, n)
				for b.Loop() {
					for i := range files {
						files[i] = make([]byte, 5000)
						_, _ = random.Read(files[i])
						entries[i] = files[i][:400]
					}
					if kept {
						check(b, blobs.PutBatch(b.Context(), files, 0, entries))
					} else {
						check(b, blobs.Put(b.Context(), files))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/file")
			})
		}
	}
}

// BenchmarkApply applies 1000 leaves in a transaction, of 200 roles that change one
// of 10 files each time. ns/leaf is what counts.
func BenchmarkApply(b *testing.B) {
	const batch = 1000
	db := newLog(b)
	state := db.State(lead(b, db, "a"))
	var edge proofs.Edge
	from := 0
	for b.Loop() {
		b.StopTimer()
		leaves := releases(from, batch, 200, 10)
		to := grow(b, &edge, leaves)
		b.StartTimer()
		statetest.Apply(b, state, to, leaves)
		from += batch
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/leaf")
}

// BenchmarkExtend extends a log of entries of 400 bytes by a few at a time.
func BenchmarkExtend(b *testing.B) {
	for _, step := range []int{1, 16, 100} {
		b.Run(fmt.Sprint(step), func(b *testing.B) {
			db := newLog(b)
			tiles := db.Tiles(lead(b, db, "a"))
			var c copied
			for b.Loop() {
				from := c.size
				check(b, tiles.Extend(b.Context(), from, from+int64(step), c.grow(step)))
			}
		})
	}
}

// copied makes the tiles of a growing log, of which only the right edge is kept.
type copied struct {
	size   int64
	bundle []byte
	tile   []byte
}

// grow adds entries and returns the tiles that have changed.
func (c *copied) grow(n int) map[proofs.TileID][]byte {
	changed := map[proofs.TileID][]byte{}
	for range n {
		if c.size%256 == 0 {
			c.bundle, c.tile = nil, nil
		}
		entry := make([]byte, 400)
		binary.BigEndian.PutUint64(entry, uint64(c.size))
		hash := proofs.LeafHash(entry)
		c.bundle, _ = proofs.AppendEntry(c.bundle, entry)
		c.tile = append(c.tile, hash[:]...)
		index := c.size / 256
		c.size++
		width := int(c.size - index*256)
		for w := 1; w < width; w++ {
			delete(changed, proofs.TileID{Level: -1, Index: index, Width: w})
			delete(changed, proofs.TileID{Level: 0, Index: index, Width: w})
		}
		changed[proofs.TileID{Level: -1, Index: index, Width: width}] = c.bundle[:len(c.bundle):len(c.bundle)]
		changed[proofs.TileID{Level: 0, Index: index, Width: width}] = c.tile[:len(c.tile):len(c.tile)]
	}
	return changed
}
