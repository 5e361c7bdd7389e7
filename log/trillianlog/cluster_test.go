package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/trillianserver"
	"github.com/tuflog/tuflog/proofs"
)

// cluster is PostgreSQL and Trillian's own programs, one of each for all tests;
// every test has a tree of its own.
type cluster struct {
	db       *postgresserver.Server
	trillian *trillianserver.Servers
}

var shared struct {
	once    sync.Once
	dir     string
	cluster cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster.trillian != nil {
		shared.cluster.trillian.Stop()
	}
	if shared.cluster.db != nil {
		if err := shared.cluster.db.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if shared.dir != "" {
		if err := os.RemoveAll(shared.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

func start() (c cluster, err error) {
	ctx := context.Background()
	if _, err := postgresserver.Find(); err != nil {
		return c, err
	}
	if shared.dir, err = os.MkdirTemp("", "trillianlog"); err != nil {
		return c, err
	}
	if c.db, err = postgresserver.Start(ctx, postgresserver.Config{Dir: shared.dir, Databases: []string{"trillian"}}); err != nil {
		return c, err
	}
	bin, err := trillianserver.Build(ctx, os.Stderr)
	if err != nil {
		return c, err
	}
	// Trillian gets a role of its own, because limits do not hold for superusers.
	if _, err := c.db.Exec(ctx, "trillian", "CREATE ROLE trillian LOGIN; ALTER DATABASE trillian OWNER TO trillian"); err != nil {
		return c, err
	}
	url := strings.Replace(c.db.URL("trillian"), postgresserver.Superuser+"@", "trillian@", 1)
	c.trillian, err = trillianserver.Start(ctx, trillianserver.Config{Bin: bin, DatabaseURL: url})
	return c, err
}

// need returns the cluster, and starts it the first time.
func need(t testing.TB) cluster {
	t.Helper()
	shared.once.Do(func() {
		shared.cluster, shared.err = start()
		if shared.err == nil {
			warmUp(t, shared.cluster)
		}
	})
	if errors.Is(shared.err, postgresserver.ErrMissing) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// warmUp has the tables analysed once there is something in them.
func warmUp(t testing.TB, c cluster) {
	l := open(t, c.config(t))
	for i := range 3 {
		mustAppend(t, l, fmt.Sprint("warm ", i), 200)
	}
	if err := errors.Join(l.Close(), c.trillian.Analyze(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// config is for a new tree and an empty copy.
func (c cluster) config(t testing.TB) Config {
	t.Helper()
	id, err := CreateTree(t.Context(), c.trillian.Target(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The signer looks at every tree that is active.
		if _, err := c.db.Exec(context.Background(), "trillian", "UPDATE Trees SET TreeState='FROZEN' WHERE TreeId="+strconv.FormatInt(id, 10)); err != nil {
			t.Error(err)
		}
	})
	return Config{Target: c.trillian.Target(), TreeID: id, Tiles: new(memTiles)}
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func batch(name string, n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, "%s %d", name, i)
	}
	return list
}

func mustAppend(t testing.TB, l *Log, name string, n int) []int64 {
	t.Helper()
	indices, err := l.Append(t.Context(), batch(name, n))
	if err != nil {
		t.Fatal(err)
	}
	return indices
}

// grow appends many entries. Trillian's signer takes ages to integrate many at
// once into a tree that PostgreSQL knows nothing of.
func (c cluster) grow(t testing.TB, l *Log, entries [][]byte) {
	t.Helper()
	for i := 0; i < len(entries); i += 1000 {
		if _, err := l.Append(t.Context(), entries[i:min(i+1000, len(entries))]); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := c.trillian.Analyze(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func integrated(t testing.TB, l *Log) proofs.Tree {
	t.Helper()
	tree, err := l.Integrated(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// all reads every entry and hashes it onto an edge of its own.
func all(t testing.TB, l *Log) []string {
	t.Helper()
	tree := integrated(t, l)
	var list []string
	var edge proofs.Edge
	for index := int64(0); index*proofs.FullWidth < tree.N; index++ {
		bundle, err := l.ReadEntries(t.Context(), index, proofs.TileWidth(tree.N, 0, index))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := proofs.ParseEntries(bundle)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range parsed {
			list = append(list, string(e))
			if err := edge.Append(proofs.LeafHash(e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if edge.Tree() != tree {
		t.Fatalf("the entries lead to %v, Integrated is %v", edge.Tree(), tree)
	}
	return list
}

// wantOnce fails unless the log holds exactly the entries, in any order.
func wantOnce(t testing.TB, l *Log, batches ...[][]byte) {
	t.Helper()
	count := map[string]int{}
	for _, b := range batches {
		for _, e := range b {
			count[string(e)]++
		}
	}
	for _, e := range all(t, l) {
		count[e]--
	}
	for e, n := range count {
		if n != 0 {
			t.Fatalf("%.40q is %d times too few in the log", e, n)
		}
	}
}

// intercept has every call pass through.
func intercept(through func(ctx context.Context, method string, call func() error) error) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		name := method[strings.LastIndex(method, "/")+1:]
		return through(ctx, name, func() error { return invoke(ctx, method, req, reply, conn, opts...) })
	})}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// memTiles is a copy in memory. The zero value is empty.
type memTiles struct {
	mu    sync.Mutex
	size  int64
	tiles map[place][]byte
	// onExtend, if not nil, may have Extend fail, before or after it has its effect.
	onExtend func() (before, after error)
	reads    int
}

func (m *memTiles) Size(ctx context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.size, ctx.Err()
}

func (m *memTiles) Tile(ctx context.Context, level int, index int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	tile, ok := m.tiles[place{level, index}]
	if !ok {
		return nil, fmt.Errorf("tile %d/%d: %w", level, index, fs.ErrNotExist)
	}
	return tile, ctx.Err()
}

func (m *memTiles) Extend(ctx context.Context, from, to int64, tiles map[proofs.TileID][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var after error
	if m.onExtend != nil {
		var before error
		if before, after = m.onExtend(); before != nil {
			return before
		}
	}
	if m.size != from || to < from {
		return fmt.Errorf("the copy has size %d, not %d", m.size, from)
	}
	if m.tiles == nil {
		m.tiles = map[place][]byte{}
	}
	for id, data := range tiles {
		if want := proofs.TileWidth(to, max(0, id.Level), id.Index); id.Width != want {
			return fmt.Errorf("%s in a copy of size %d, want width %d", id.Path(), to, want)
		}
		m.tiles[place{id.Level, id.Index}] = append([]byte(nil), data...)
	}
	m.size = to
	return errors.Join(after, ctx.Err())
}

func (m *memTiles) Reset(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size, m.tiles = 0, nil
	return nil
}

func (m *memTiles) clone() *memTiles {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memTiles{size: m.size, tiles: maps.Clone(m.tiles)}
}
