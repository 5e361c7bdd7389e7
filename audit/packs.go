package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Packs is what a Source may offer besides: the files of a bundle in one piece (package
// pack). The errors are as those of a Source. Packs are not trusted, and nothing depends on
// them: a file that is in none is read by itself.
type Packs interface {
	// Pack returns the pack of a bundle of width entries, of at most pack.MaxSize bytes.
	Pack(ctx context.Context, index int64, width int) ([]byte, error)
}

// packReader asks for packs where they pay. A log need not have any: one that has none is
// asked once in a step. A pack that does not come, or is of no use, costs the time of one
// request: its bundle is read file by file, and so are the next ones, without a request for
// their packs.
type packReader struct {
	from Packs // nil: there are none

	mu    sync.Mutex
	had   bool // the log has had one
	none  bool // it had none in this step
	pause int  // for how many bundles none is asked after the next one of no use
	rest  int  // for how many bundles none is asked from now on
}

// Pauses after packs of no use, in bundles.
const (
	firstPause = 16
	maxPause   = 4096
)

func newPackReader(source Source) *packReader {
	from, _ := source.(Packs)
	return &packReader{from: from, pause: firstPause}
}

// begin begins a step.
func (p *packReader) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.none = false
}

// read returns the files of a bundle that its pack has, if wanted entries at its end are
// worth a pack. bad is what is wrong with the pack that was served, if anything is.
func (p *packReader) read(ctx context.Context, b bundle, entries [][]byte, wanted int) (files map[tuf.Digest][]byte, bad string) {
	if wanted*4 < len(entries) || !p.asks() {
		return nil, ""
	}
	served, err := p.from.Pack(ctx, b.index, b.width)
	if errors.Is(err, ErrNotFound) && b.width < proofs.FullWidth {
		// The pack of what was a partial bundle may be gone, as the bundle may be.
		if served, err = p.from.Pack(ctx, b.index, proofs.FullWidth); err == nil {
			served = pack.Cut(served, entries)
		}
	}
	path := pack.Path(proofs.TileID{Level: proofs.EntriesLevel, Index: b.index, Width: b.width})
	switch {
	case errors.Is(err, ErrNotFound):
		p.missing()
		return nil, ""
	case errors.Is(err, ErrTooLarge):
		p.useless(ctx)
		return nil, fmt.Sprintf("%s is served with more than %d bytes", path, pack.MaxSize)
	case err != nil:
		p.useless(ctx)
		return nil, ""
	}
	packed, err := pack.Parse(served, entries)
	if err != nil {
		p.useless(ctx)
		return nil, fmt.Sprintf("%s is not the pack of its bundle: %v", path, err)
	}
	p.useful()
	files = make(map[tuf.Digest][]byte, len(packed))
	for _, f := range packed {
		files[f.Digest] = f.Data
	}
	return files, ""
}

// asks reports whether the next pack is to be asked for.
func (p *packReader) asks() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from == nil || p.none {
		return false
	}
	if p.rest > 0 {
		p.rest--
		return false
	}
	return true
}

func (p *packReader) useful() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.had, p.pause = true, firstPause
}

// missing says that a log does not have a pack. One that has others may still make it.
func (p *packReader) missing() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.none = !p.had
}

func (p *packReader) useless(ctx context.Context) {
	if ctx.Err() != nil {
		return // nobody waited for it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest, p.pause = p.pause, min(2*p.pause, maxPause)
}
