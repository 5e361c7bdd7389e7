package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/tuf"
)

// Options are what a gate is given beside its configuration. All may be left out.
type Options struct {
	Logger  *slog.Logger          // nil: nothing is logged
	Metrics prometheus.Registerer // nil: nothing is counted for anybody
	Client  *http.Client          // for the repositories and other gates; nil: one with timeouts
	Now     func() time.Time      // nil: time.Now
}

// Gate signs timestamps. It is safe for concurrent use.
type Gate struct {
	cfg     *Config
	key     *Key
	log     *slog.Logger
	client  *http.Client
	now     func() time.Time
	metrics *metrics

	repositories map[tuf.Digest]*repository
	order        []*repository
	lock         *lockfile.Lock
	working      chan struct{} // judgements under way
	bodies       *room.Room    // requests whose body has not come
	waiting      *room.Room    // requests whose body has come, which wait or are judged
	perAddress   *rates.Buckets[string]
}

// Places for requests whose body is coming, and for those whose body has come, in all and of
// one address: each may take MaxBody bytes of memory.
const (
	maxBodies            = 8
	maxBodiesPerAddress  = 2
	maxWaiting           = 8
	maxWaitingPerAddress = 4
)

// New opens a gate and its directory, which no other process may use until Close. The key is
// tried.
func New(ctx context.Context, cfg *Config, opts Options) (g *Gate, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	g = &Gate{
		cfg: cfg, log: opts.Logger, client: opts.Client, now: opts.Now, repositories: map[tuf.Digest]*repository{},
		working: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))), bodies: room.New(maxBodies, maxBodiesPerAddress), waiting: room.New(maxWaiting, maxWaitingPerAddress),
		perAddress: rates.NewBuckets[string](rateOf(cfg.PerAddress), rates.MaxAddresses),
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ResponseHeaderTimeout = 30 * time.Second
		g.client = &http.Client{Transport: transport}
	}
	if g.now == nil {
		g.now = time.Now
	}
	if g.key, err = cfg.key(); err != nil {
		return nil, err
	}
	if _, err := g.key.sign([]byte("tuflog gate: is the key there?\n")); err != nil {
		return nil, fmt.Errorf("the gate's key: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockfile.AcquireDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	g.lock = lock
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Release())
		}
	}()
	for i, c := range cfg.Repositories {
		r, err := g.open(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("repository[%d] %s: %w", i, c.Name, err)
		}
		if twin := g.repositories[r.id]; twin != nil {
			return nil, fmt.Errorf("repository[%d] %s: it is the same repository as %s", i, c.Name, twin.cfg.Name)
		}
		if err := errors.Join(durable.Sweep(r.dir), durable.Sweep(r.store.Dir)); err != nil {
			return nil, err
		}
		g.repositories[r.id] = r
		g.order = append(g.order, r)
	}
	g.metrics, err = newMetrics(opts.Metrics, g)
	return g, err
}

// Close gives the directory back.
func (g *Gate) Close() error { return g.lock.Release() }

// Key returns the public key.
func (g *Gate) Key() client.Key { return g.key.Public() }

// work takes a place among the judgements under way.
func (g *Gate) work(ctx context.Context) (leave func(), err error) {
	select {
	case g.working <- struct{}{}:
		return func() { <-g.working }, nil
	case <-ctx.Done():
		return nil, refuse(client.CodeBusy, "", "other requests take too long")
	}
}

// Statuses returns the status of every repository, in the order of the configuration.
func (g *Gate) Statuses() []client.Status {
	list := make([]client.Status, 0, len(g.order))
	for _, r := range g.order {
		last, root, certain := r.seen()
		s := client.Status{Name: r.cfg.Name, Repository: r.id, Root: root.Version, Certain: certain}
		s.InRole = len(root.Root.KeySet(tuf.RoleTimestamp).IDs(g.key.Public().Identity())) > 0
		if last != nil {
			expires := last.Expires
			s.Version, s.Payload, s.Expires = last.Version, last.PayloadDigest, &expires
		}
		list = append(list, s)
	}
	return list
}
