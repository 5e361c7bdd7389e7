package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/rates"
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
	places       places
	perAddress   *rates.Buckets[string]
}

// New opens a gate and its directory, which no other process may use until Close. The key is
// tried.
func New(ctx context.Context, cfg *Config, opts Options) (g *Gate, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	g = &Gate{
		cfg: cfg, log: opts.Logger, client: opts.Client, now: opts.Now, repositories: map[tuf.Digest]*repository{}, places: newPlaces(),
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
