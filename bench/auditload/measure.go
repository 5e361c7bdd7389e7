package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// measurement is one line of the table.
type measurement struct {
	name    string
	measure func(ctx context.Context, m *mirror, auditor, work string) (figures, error)
}

// measurements lists what is measured, the floor first; few: without what needs every file
// by itself.
func measurements(few bool) []measurement {
	state := "" // of the last replay with one
	list := []measurement{
		{"the floor", func(ctx context.Context, m *mirror, _, _ string) (figures, error) { return m.floor(ctx) }},
		{"replay", func(ctx context.Context, m *mirror, auditor, _ string) (figures, error) {
			return m.replay(ctx, auditor, files{dir: m.dir, packs: true})
		}},
		{"replay with --state", func(ctx context.Context, m *mirror, auditor, work string) (figures, error) {
			if err := os.RemoveAll(state); err != nil {
				return figures{}, err
			}
			var err error
			if state, err = os.MkdirTemp(work, "state-"); err != nil {
				return figures{}, err
			}
			return m.replay(ctx, auditor, files{dir: m.dir, packs: true}, "--state", state)
		}},
		{"the same, restarted", func(ctx context.Context, m *mirror, auditor, _ string) (figures, error) {
			return m.replay(ctx, auditor, files{dir: m.dir, packs: true}, "--state", state)
		}},
		{"lookup with --state", func(ctx context.Context, m *mirror, auditor, _ string) (figures, error) {
			sum := tuf.Sum([]byte(slotContent(0, 1)))
			return m.measure(ctx, auditor, files{dir: m.dir, packs: true}, "lookup", sum.String(), "--path", slotPath(0, 1), "--state", state)
		}},
	}
	if few {
		return list
	}
	return append(list, measurement{"replay, packs in zstd", func(ctx context.Context, m *mirror, auditor, _ string) (figures, error) {
		return m.replay(ctx, auditor, files{dir: m.dir, packs: true, zstd: true})
	}}, measurement{"replay without packs", func(ctx context.Context, m *mirror, auditor, _ string) (figures, error) {
		return m.replay(ctx, auditor, files{dir: m.dir})
	}})
}

// atOnce is how many bundles the floor has in memory.
const atOnce = 16

// floor does what no auditor can leave out.
func (m *mirror) floor(ctx context.Context) (figures, error) {
	roots := map[tuf.Digest]*tuf.Metadata{}
	var spent, busy time.Duration
	for first := int64(0); first < m.size; first += atOnce * proofs.FullWidth {
		if ctx.Err() != nil {
			return figures{}, context.Cause(ctx)
		}
		leaves, err := m.load(first, min(m.size, first+atOnce*proofs.FullWidth), roots)
		if err != nil {
			return figures{}, err
		}
		begun, before := time.Now(), processor()
		err = eachOf(len(leaves), leaves.check)
		spent, busy = spent+time.Since(begun), busy+processor()-before
		if err != nil {
			return figures{}, err
		}
	}
	return figures{Leaves: m.size, PerSecond: float64(m.size) / spent.Seconds(), Processor: m.perLeaf(busy), Took: spent.Seconds() * 1000}, nil
}

// inMemory are leaves with their files.
type inMemory []struct {
	made
	keys []tuf.KeySet // of each file
}

// load reads the leaves from first to before end. It notes the roots among them.
func (m *mirror) load(first, end int64, roots map[tuf.Digest]*tuf.Metadata) (inMemory, error) {
	loaded := make(inMemory, 0, end-first)
	for ; first < end; first += proofs.FullWidth {
		bundle, err := os.ReadFile(filepath.Join(m.dir, filepath.FromSlash(proofs.EntriesPath(first/proofs.FullWidth, proofs.TileWidth(m.size, 0, first/proofs.FullWidth)))))
		if err != nil {
			return nil, err
		}
		entries, err := proofs.ParseEntries(bundle)
		if err != nil {
			return nil, err
		}
		packed, err := m.packed(first/proofs.FullWidth, entries)
		if err != nil {
			return nil, err
		}
		for _, raw := range entries {
			l, err := leaf.Parse(raw)
			if err != nil {
				return nil, err
			}
			loaded = append(loaded, inMemory{{made: made{leaf: raw}}}...)
			of := &loaded[len(loaded)-1]
			for _, sum := range []tuf.Digest{l.Metadata, l.Snapshot} {
				if sum.IsZero() {
					continue
				}
				of.files = append(of.files, packed[sum])
			}
			if l.Role == tuf.RoleRoot {
				if roots[l.Repository], err = tuf.ParseJSON(of.files[0]); err != nil {
					return nil, err
				}
			}
			for _, role := range []string{l.Role, tuf.RoleSnapshot} {
				of.keys = append(of.keys, roots[l.Repository].Root.KeySet(role))
			}
		}
	}
	return loaded, nil
}

// packed returns the files of a bundle with these entries.
func (m *mirror) packed(index int64, entries [][]byte) (map[tuf.Digest][]byte, error) {
	content, err := os.ReadFile(filepath.Join(m.dir, filepath.FromSlash(pack.Path(proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: len(entries)}))))
	if err != nil {
		return nil, err
	}
	list, err := pack.Parse(content, entries)
	packed := map[tuf.Digest][]byte{}
	for _, f := range list {
		packed[f.Digest] = f.Data
	}
	return packed, err
}

// check checks one leaf.
func (all inMemory) check(i int) error {
	if proofs.LeafHash(all[i].leaf) == (proofs.Hash{}) {
		return errors.New("a leaf hash of zeros")
	}
	for n, file := range all[i].files {
		parsed, err := tuf.ParseJSON(file)
		if err != nil {
			return err
		}
		if err := parsed.Meets(all[i].keys[n]); err != nil {
			return err
		}
	}
	return nil
}

// replay measures a replay.
func (m *mirror) replay(ctx context.Context, auditor string, f files, args ...string) (figures, error) {
	return m.measure(ctx, auditor, f, append([]string{"replay"}, args...)...)
}

// measure measures the program.
func (m *mirror) measure(ctx context.Context, auditor string, f files, args ...string) (figures, error) {
	var sent counter
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return figures{}, err
	}
	srv := &http.Server{Handler: sent.counted(f)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	cmd := exec.CommandContext(ctx, auditor, append(args, "--log", "http://"+l.Addr().String(), "--policy", m.policy)...)
	begun, before := time.Now(), processor()
	r, err := process.Run(cmd)
	took, serving := time.Since(begun), processor()-before
	if err := errors.Join(err, srv.Close()); err != nil {
		return figures{}, err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return figures{}, err
	}
	if r.Code != 0 {
		return figures{}, fmt.Errorf("%w: exit %d: %s%s", errFound, r.Code, r.Stdout, r.Stderr)
	}
	if first, _, _ := strings.Cut(r.Stdout, "\n"); !strings.Contains(r.Stdout, strconv.FormatInt(m.size, 10)) {
		return figures{}, fmt.Errorf("%w: it says %q", errFound, first)
	}
	return figures{
		Leaves:    m.size,
		PerSecond: float64(m.size) / took.Seconds(),
		Processor: m.perLeaf(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()),
		Serving:   m.perLeaf(serving),
		PerLeaf:   float64(sent.bytes.Load()) / float64(m.size),
		Requests:  sent.requests.Load(),
		Peak:      peak(cmd.ProcessState),
		Took:      took.Seconds() * 1000,
	}, nil
}

// perLeaf returns a time for each leaf, in µs.
func (m *mirror) perLeaf(d time.Duration) float64 {
	return float64(d.Microseconds()) / float64(m.size)
}

// files serves the files of a folder.
type files struct {
	dir         string
	packs, zstd bool
}

// ServeHTTP implements http.Handler.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/tile/files/") {
		switch {
		case !f.packs:
			http.NotFound(w, r)
			return
		case f.zstd && strings.Contains(r.Header.Get("Accept-Encoding"), "zstd"):
			compressed, err := os.ReadFile(filepath.Join(f.dir, filepath.FromSlash(path.Clean(r.URL.Path)+zstdSuffix)))
			if err != nil {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Encoding", "zstd")
			w.Header().Set("Content-Length", strconv.Itoa(len(compressed)))
			_, _ = w.Write(compressed) // a reader that went away is its own affair
			return
		}
	}
	http.FileServer(http.Dir(f.dir)).ServeHTTP(w, r)
}

// counter counts what a server sends.
type counter struct{ bytes, requests atomic.Int64 }

// counted counts by the headers of the answers: a writer that counts would keep the
// kernel from sending files by itself.
func (c *counter) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		n, _ := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
		c.bytes.Add(n)
		c.requests.Add(1)
	})
}
