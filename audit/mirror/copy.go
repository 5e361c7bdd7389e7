package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// bundlesAtOnce is how many bundles are copied at once. Of each, its pack and one larger
// file are in memory.
const bundlesAtOnce = 4

// copy copies what the new tree has and the old one has not, and asks once more for the
// files that were missing.
func (c *mirror) copy(ctx context.Context) error {
	if err := c.recheck(); err != nil {
		return err
	}
	if err := c.askAgain(ctx); err != nil {
		return err
	}
	from, to := c.oldTree().N, c.new.Tree.N
	if from == to {
		return nil
	}
	known := make(map[Missing]bool, len(c.missing))
	for _, m := range c.missing {
		known[m] = true
	}
	var mu sync.Mutex
	done := from
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(bundlesAtOnce)
	for index := from / proofs.FullWidth; index*proofs.FullWidth < to; index++ {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			width := proofs.TileWidth(to, proofs.EntriesLevel, index)
			missing, err := c.bundle(ctx, proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, m := range missing {
				if !known[m] {
					c.missing = append(c.missing, m)
				}
			}
			done += index*proofs.FullWidth + int64(width) - max(from, index*proofs.FullWidth)
			if c.cfg.Progress != nil {
				c.cfg.Progress(done, to)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.SortFunc(c.missing, func(a, b Missing) int { return int(a.Bundle - b.Bundle) })
	return c.upperTiles(ctx)
}

// bundle copies a bundle of entries, the tile of their hashes and their files, and
// returns the files that the log does not serve.
func (c *mirror) bundle(ctx context.Context, id proofs.TileID) ([]Missing, error) {
	tile := proofs.TileID{Level: 0, Index: id.Index, Width: id.Width}
	hashes, err := c.tiles.ReadTile(ctx, 0, id.Index, id.Width)
	if err != nil {
		return nil, c.tileFault(tile.Path(), err)
	}
	// What an update that was broken off has left is as good as what the log serves.
	data, err := c.dir.read(id.Path(), audit.MaxBundle)
	entries, err := c.entries(id, hashes, data, err)
	if err != nil {
		if data, err = c.cfg.Source.Entries(ctx, id.Index, id.Width); err != nil {
			return nil, c.fault(id.Path(), err)
		}
		if entries, err = c.entries(id, hashes, data, nil); err != nil {
			return nil, err
		}
	}
	missing, err := c.filesOf(ctx, id, entries)
	if err != nil {
		return nil, err
	}
	if _, err := c.dir.put(tile.Path(), hashes); err != nil {
		return nil, err
	}
	_, err = c.dir.put(id.Path(), data)
	return missing, err
}

// entries splits a bundle, and checks that its entries have these hashes. A bundle that
// could not be read is the error that it is given.
func (c *mirror) entries(id proofs.TileID, hashes, data []byte, err error) ([][]byte, error) {
	if err != nil {
		return nil, err
	}
	entries, err := proofs.ParseEntries(data)
	if err == nil && len(entries) != id.Width {
		err = fmt.Errorf("%d entries", len(entries))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUntrue, id.Path(), err)
	}
	for i, e := range entries {
		hash := proofs.LeafHash(e)
		if [len(hash)]byte(hashes[i*len(hash):][:len(hash)]) != hash {
			return nil, fmt.Errorf("%w: %s: entry %d has hash %v, and the tree has another there", ErrUntrue, id.Path(), id.Index*proofs.FullWidth+int64(i), hash)
		}
	}
	return entries, nil
}

// filesOf copies the files that the entries of a bundle name: in a pack, and each by
// itself.
func (c *mirror) filesOf(ctx context.Context, id proofs.TileID, entries [][]byte) (missing []Missing, err error) {
	held := map[tuf.Digest][]byte{} // what a pack has
	packed, err := c.pack(ctx, id, entries)
	if err != nil {
		return nil, err
	}
	for _, f := range packed {
		held[f.Digest] = f.Data
	}
	for _, name := range pack.Named(entries) {
		file, err := c.file(ctx, name.Digest, held[name.Digest])
		if err != nil {
			return nil, err
		}
		switch {
		case file == nil:
			missing = append(missing, Missing{id.Index, name.Digest})
		case len(file) <= pack.MaxFile:
			held[name.Digest] = file
		}
	}
	data, _, err := pack.Encode(entries, func(sum tuf.Digest) ([]byte, error) { return held[sum], nil })
	if err != nil {
		return nil, err
	}
	_, err = c.dir.put(pack.Path(id), data)
	return missing, err
}

// pack returns the files of a bundle that come in a pack, of the copy or of the log.
func (c *mirror) pack(ctx context.Context, id proofs.TileID, entries [][]byte) ([]pack.File, error) {
	if data, err := c.dir.read(pack.Path(id), pack.MaxSize); err == nil {
		if files, err := pack.Parse(data, entries); err == nil {
			return files, nil
		}
	}
	packs, ok := c.cfg.Source.(audit.Packs)
	if !ok {
		return nil, nil
	}
	data, err := packs.Pack(ctx, id.Index, id.Width)
	if errors.Is(err, audit.ErrNotFound) && id.Width < proofs.FullWidth {
		// The bundle may be full by now, and what was its pack is cut from the whole one.
		if data, err = packs.Pack(ctx, id.Index, proofs.FullWidth); err == nil {
			data = pack.Cut(data, entries)
		}
	}
	if err != nil {
		// A log need not have packs, or serve them as well as its files: each of those is asked
		// for by itself.
		return nil, ctx.Err()
	}
	files, err := pack.Parse(data, entries)
	if err != nil {
		return nil, nil // nobody has signed a pack: likewise
	}
	return files, nil
}

// file copies one file, which a pack may have had, and returns it; nil if the log does
// not serve it.
func (c *mirror) file(ctx context.Context, sum tuf.Digest, packed []byte) ([]byte, error) {
	path := "blob/sha256/" + sum.String()
	file := packed
	if file == nil {
		there, err := c.dir.read(path, tuf.MaxFileSize)
		if err == nil && tuf.Sum(there) == sum {
			return there, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		file, err = c.cfg.Source.Blob(ctx, sum)
		if errors.Is(err, audit.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, c.fault(path, err)
		}
		if got := tuf.Sum(file); got != sum {
			return nil, fmt.Errorf("%w: %s is served as %d bytes with SHA-256 %v", ErrUntrue, path, len(file), got)
		}
	}
	_, err := c.dir.put(path, file)
	return file, err
}

// recheckBundles is of how many bundles an update looks whether their files are still there.
const recheckBundles = 4

// recheck looks at the files of some of the bundles that are copied, which they are is left to
// chance. Those that are gone, because a disk is bad or somebody made room, are missing, and
// are asked for like others.
func (c *mirror) recheck() error {
	bundles := (c.oldTree().N + proofs.FullWidth - 1) / proofs.FullWidth
	if bundles == 0 {
		return nil
	}
	first := rand.Int64N(bundles)
	for i := range min(bundles, recheckBundles) {
		index := (first + i) % bundles
		id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: proofs.TileWidth(c.oldTree().N, proofs.EntriesLevel, index)}
		data, err := c.dir.read(id.Path(), audit.MaxBundle)
		if errors.Is(err, fs.ErrNotExist) && id.Width < proofs.FullWidth {
			continue // an update that was broken off has more, and is continued
		}
		var entries [][]byte
		if err == nil {
			entries, err = proofs.ParseEntries(data)
		}
		if err != nil {
			return fmt.Errorf("the copy in %s is damaged; without its file checkpoint it is verified and mended: %s: %w", c.cfg.Dir, id.Path(), err)
		}
		for _, name := range pack.Named(entries) {
			m := Missing{index, name.Digest}
			info, err := c.dir.root.Stat(filepath.FromSlash("blob/sha256/" + name.Digest.String()))
			if err == nil && info.Size() > 0 || slices.Contains(c.missing, m) {
				continue
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			c.missing = append(c.missing, m)
		}
	}
	return nil
}

// askAgain asks for the files that the log did not serve before. One that comes is put
// into its pack as well.
func (c *mirror) askAgain(ctx context.Context) error {
	var still []Missing
	again := map[int64]bool{}
	for _, m := range c.missing {
		file, err := c.file(ctx, m.Digest, nil)
		if err != nil {
			return err
		}
		if file == nil {
			still = append(still, m)
		} else if len(file) <= pack.MaxFile {
			again[m.Bundle] = true
		}
	}
	c.missing = still
	for index := range again {
		// The pack of a bundle that was partial may be gone by now.
		id := proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: proofs.TileWidth(c.oldTree().N, proofs.EntriesLevel, index)}
		if id.Width == 0 {
			continue // an update that was broken off has listed it: the bundle is still to come
		}
		if err := c.repack(id); err != nil {
			return err
		}
	}
	return nil
}

// repack writes a pack once more from the files that are copied.
func (c *mirror) repack(id proofs.TileID) error {
	data, err := c.dir.read(id.Path(), audit.MaxBundle)
	if err != nil {
		return err
	}
	entries, err := proofs.ParseEntries(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.dir.name(id.Path()), err)
	}
	packed, _, err := pack.Encode(entries, func(sum tuf.Digest) ([]byte, error) {
		file, err := c.dir.read("blob/sha256/"+sum.String(), tuf.MaxFileSize)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return file, err
	})
	if err != nil {
		return err
	}
	_, err = c.dir.put(pack.Path(id), packed)
	return err
}

// upperTiles copies the tiles above those of the entries.
func (c *mirror) upperTiles(ctx context.Context) error {
	from, to := c.oldTree().N, c.new.Tree.N
	for level := 1; level <= proofs.MaxTileLevel && to>>(proofs.TileHeight*level) > 0; level++ {
		for index := from >> (proofs.TileHeight * (level + 1)); ; index++ {
			width := proofs.TileWidth(to, level, index)
			if width == 0 {
				break
			}
			id := proofs.TileID{Level: level, Index: index, Width: width}
			tile, err := c.tiles.ReadTile(ctx, level, index, width)
			if err != nil {
				return c.tileFault(id.Path(), err)
			}
			if _, err := c.dir.put(id.Path(), tile); err != nil {
				return err
			}
		}
	}
	return nil
}

// fault words why something of the log could not be copied.
func (c *mirror) fault(path string, err error) error {
	if errors.Is(err, audit.ErrTooLarge) {
		return fmt.Errorf("%w: %s: %w", ErrUntrue, path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// tileFault words why a tile could not be copied. If the log served all tiles that it
// takes, they do not lead to the root that the log signed.
func (c *mirror) tileFault(path string, err error) error {
	var away *awayError
	if errors.As(err, &away) {
		return c.fault(path, away.err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUntrue, path, err)
}

// awayError is an error of a source.
type awayError struct{ err error }

func (e *awayError) Error() string { return e.err.Error() }
func (e *awayError) Unwrap() error { return e.err }

// maxTiles is how many tiles are kept at hand: those above others, and those at the edge
// of the tree, which it takes to verify any.
const maxTiles = 1024

// tileCache reads tiles, and keeps the ones that are needed again.
type tileCache struct {
	source audit.Source
	mu     sync.Mutex
	tiles  map[proofs.TileID][]byte
}

func newTileCache(source audit.Source) *tileCache {
	return &tileCache{source: source, tiles: map[proofs.TileID][]byte{}}
}

// ReadTile implements proofs.TileReader.
func (t *tileCache) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: level, Index: index, Width: width}
	t.mu.Lock()
	tile, ok := t.tiles[id]
	t.mu.Unlock()
	if ok {
		return tile, nil
	}
	tile, err := t.source.Tile(ctx, level, index, width)
	if err != nil {
		return nil, &awayError{err}
	}
	if level > 0 || width < proofs.FullWidth {
		t.mu.Lock()
		if len(t.tiles) >= maxTiles {
			clear(t.tiles)
		}
		t.tiles[id] = tile
		t.mu.Unlock()
	}
	return tile, nil
}
