package packstore

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
)

// What it takes to make the pack of a full bundle, which a stranger may ask for, and to
// find one that is kept: of real releases, and of the largest files that there may be,
// which nothing compresses.
func BenchmarkPack(b *testing.B) {
	worlds := map[string]*world{"largest": newWorld(0)}
	random := rand.NewChaCha8([32]byte{})
	for range proofs.FullWidth {
		var files [2][]byte
		for i := range files {
			files[i] = make([]byte, pack.MaxFile)
			random.Read(files[i])
		}
		worlds["largest"].add(files[0], files[1])
	}
	real := newWorld(0)
	var last []byte
	for _, f := range realdata.Files(b, "sigstore_root_signing") {
		if last = f.Data; len(real.entries) < proofs.FullWidth {
			real.add(f.Data, last)
		}
	}
	worlds["sigstore"] = real
	for name, w := range worlds {
		size := 0
		for _, file := range w.files {
			size += len(file)
		}
		p := w.packs(Config{Dir: b.TempDir()})
		id := bundle(0, proofs.FullWidth)
		for _, coding := range []Coding{Gzip, Zstd} {
			b.Run(fmt.Sprintf("%s/make, %s", name, coding), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					made, err := p.Make(b.Context(), id, coding)
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(len(made.Data))/proofs.FullWidth, "B/leaf")
				}
				b.ReportMetric(float64(size)/proofs.FullWidth, "plainB/leaf")
			})
		}
		once := w.packs(Config{})
		b.Run(name+"/make, not kept", func(b *testing.B) {
			for b.Loop() {
				if _, err := once.Make(b.Context(), id, Zstd); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/kept", func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Kept(b.Context(), 0, Zstd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
