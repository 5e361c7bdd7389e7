package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// mirror is a log as files in a folder.
type mirror struct {
	dir    string // served
	policy string // file
	size   int64
	zstd   *zstd.Encoder // nil: packs are not kept compressed
}

// openMirror returns the log in a folder, which is made if it is not there.
func openMirror(ctx context.Context, o options, stderr io.Writer) (*mirror, error) {
	m := &mirror{dir: filepath.Join(o.dir, "served"), policy: filepath.Join(o.dir, "policy.txt"), size: int64(o.releases)}
	signed, err := os.ReadFile(filepath.Join(m.dir, "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(stderr, "writing a log of %d releases\n", o.releases)
		return m, m.write(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, err
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	if err == nil && c.Tree.N != m.size {
		err = fmt.Errorf("-dir %s holds a log of %d releases: want %d, or another folder", o.dir, c.Tree.N, m.size)
	}
	return m, err
}

// vendor is one repository of the log.
type vendor struct {
	*rehearsal.Repository
	targets string // the targets but the first, as JSON members
}

func newVendor(number, size int) (*vendor, error) {
	repository, err := rehearsal.NewRepository()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := 1; b.Len() < size-500; i++ {
		b.WriteString("," + rehearsal.Target(slotPath(number, i), slotContent(number, i), "1.0.0"))
	}
	return &vendor{repository, b.String()}, nil
}

// slotPath and slotContent are those of a target that every release of a vendor lists.
func slotPath(number, i int) string    { return fmt.Sprintf("device-%04d/slot-%02d.bin", number, i) }
func slotContent(number, i int) string { return fmt.Sprintf("%d %d", number, i) }

// made is a leaf with its files.
type made struct {
	leaf  []byte
	files [][]byte
}

// root is the leaf with which the repository begins.
func (v *vendor) root() made {
	l := leaf.Leaf{
		Kind: leaf.Release, Repository: v.ID, Role: tuf.RoleRoot, Version: 1, Payload: v.ID,
		Metadata: tuf.Sum(v.Root), Size: int64(len(v.Root)), Encoding: tuf.JSON,
	}
	return made{l.Marshal(), [][]byte{v.Root}}
}

// release is the leaf of the version n of targets.
func (v *vendor) release(n int64) made {
	signed := rehearsal.Targets(rehearsal.Target("device", fmt.Sprintf("%v %d", v.ID, n), fmt.Sprintf("1.0.%d", n))+v.targets, n)
	targets := v.File(signed, v.Sign(signed))
	said := rehearsal.Snapshot(targets, n)
	snapshot := v.File(said, v.Sign(said))
	l := leaf.Leaf{
		Kind: leaf.Release, Repository: v.ID, Role: tuf.RoleTargets, Version: n, Payload: tuf.Sum([]byte(signed)),
		Metadata: tuf.Sum(targets), Size: int64(len(targets)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByHash, Encoding: tuf.JSON,
	}
	return made{l.Marshal(), [][]byte{targets, snapshot}}
}

// write writes the log: the roots of all repositories first, then a release of each in
// turn.
func (m *mirror) write(ctx context.Context, o options) error {
	vendors := make([]*vendor, o.repositories)
	for i := range vendors {
		var err error
		if vendors[i], err = newVendor(i, o.size); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(m.dir, "blob", "sha256"), 0o777); err != nil {
		return err
	}
	var err error
	if !o.few {
		if m.zstd, err = zstd.NewWriter(nil); err != nil {
			return err
		}
	}
	var tree proofs.Frontier
	for first := 0; first < o.releases; first += proofs.FullWidth {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		leaves := make([]made, min(proofs.FullWidth, o.releases-first))
		err := eachOf(len(leaves), func(i int) error {
			if n := first + i; n < len(vendors) {
				leaves[i] = vendors[n].root()
			} else {
				leaves[i] = vendors[n%len(vendors)].release(int64(n / len(vendors)))
			}
			if n := first + i; o.few && n >= len(vendors) && n < o.releases-len(vendors) {
				return nil // a later release is asked for
			}
			for _, file := range leaves[i].files {
				if err := os.WriteFile(filepath.Join(m.dir, "blob", "sha256", tuf.Sum(file).String()), file, 0o666); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := m.writeBundle(&tree, int64(first/proofs.FullWidth), leaves); err != nil {
			return err
		}
	}
	for _, tile := range tree.Partial() {
		if err := m.put(tile.Path(), tile.Hashes); err != nil {
			return err
		}
	}
	return m.publish(tree.Tree())
}

// writeBundle writes a bundle of entries, its pack and the tiles that it fills.
func (m *mirror) writeBundle(tree *proofs.Frontier, index int64, leaves []made) (err error) {
	var bundle []byte
	for _, l := range leaves {
		if bundle, err = proofs.AppendEntry(bundle, l.leaf); err != nil {
			return err
		}
		full, err := tree.Append(proofs.LeafHash(l.leaf))
		if err != nil {
			return err
		}
		for _, tile := range full {
			if err := m.put(tile.Path(), tile.Hashes); err != nil {
				return err
			}
		}
	}
	if err := m.put(proofs.EntriesPath(index, len(leaves)), bundle); err != nil {
		return err
	}
	return m.writePack(proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: len(leaves)}, leaves)
}

// zstdSuffix is that of a pack that the server sends to those who take zstd.
const zstdSuffix = ".zst"

// writePack writes the pack of a bundle, as it is and compressed.
func (m *mirror) writePack(bundle proofs.TileID, leaves []made) error {
	files := map[tuf.Digest][]byte{}
	var entries [][]byte
	for _, l := range leaves {
		entries = append(entries, l.leaf)
		for _, file := range l.files {
			files[tuf.Sum(file)] = file
		}
	}
	packed, _, err := pack.Encode(entries, func(sum tuf.Digest) ([]byte, error) { return files[sum], nil })
	if err != nil {
		return err
	}
	if err := m.put(pack.Path(bundle), packed); err != nil || m.zstd == nil {
		return err
	}
	return m.put(pack.Path(bundle)+zstdSuffix, m.zstd.EncodeAll(packed, nil))
}

// publish signs the checkpoint, as log and witnesses do, and writes the policy.
func (m *mirror) publish(tree proofs.Tree) error {
	const origin = "log.example/audit-load"
	note := proofs.Note{Text: proofs.Checkpoint{Origin: origin, Tree: tree}.String()}
	var keys []proofs.Key
	for _, of := range []struct {
		name string
		alg  proofs.Algorithm
	}{{origin, proofs.Ed25519}, {"w1.example/audit-load", proofs.CosignatureV1}, {"w2.example/audit-load", proofs.CosignatureV1}} {
		s, err := proofs.GenerateSigner(nil, of.name, of.alg)
		if err != nil {
			return err
		}
		sig, err := s.Sign(note.Text, time.Now().Unix())
		if err != nil {
			return err
		}
		note.Signatures = append(note.Signatures, sig)
		keys = append(keys, s.Key())
	}
	policy := fmt.Sprintf("log %v\nwitness w1 %v\nwitness w2 %v\ngroup both all w1 w2\nquorum both\n", keys[0], keys[1], keys[2])
	if err := os.WriteFile(m.policy, []byte(policy), 0o666); err != nil {
		return err
	}
	return m.put("checkpoint", note.Marshal())
}

func (m *mirror) put(path string, content []byte) error {
	path = filepath.Join(m.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o666)
}

// eachOf does something for each number below n, on all cores.
func eachOf(n int, do func(i int) error) error {
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = do(i)
			}
		})
	}
	working.Wait()
	return errors.Join(errs...)
}
