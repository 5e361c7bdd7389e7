package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/gate/client"
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
	key     *Key
	log     *slog.Logger
	client  *http.Client
	now     func() time.Time
	metrics *metrics

	lock    *lockfile.Lock
	places  places
	taken   atomic.Pointer[terms]
	refused atomic.Bool // the last configuration that Reload was given

	reloading sync.Mutex
	memories  map[tuf.Digest]*memory // also of repositories that are no longer in the configuration
}

// terms are what a gate takes from its configuration, which Reload replaces.
type terms struct {
	cfg          *Config
	repositories map[tuf.Digest]*repository
	order        []*repository
	perAddress   *rates.Buckets[string]
}

// New opens a gate and its directory, which no other process may use until Close. The key is
// tried.
func New(ctx context.Context, cfg *Config, opts Options) (g *Gate, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	g = &Gate{
		log: opts.Logger, client: opts.Client, now: opts.Now, places: newPlaces(), memories: map[tuf.Digest]*memory{},
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
	t, err := g.read(ctx, cfg)
	if err != nil {
		return nil, err
	}
	g.taken.Store(t)
	g.metrics, err = newMetrics(opts.Metrics, g)
	return g, err
}

// read opens the repositories of a configuration. What is known of those that were there before
// stays.
func (g *Gate) read(ctx context.Context, cfg *Config) (*terms, error) {
	t := &terms{cfg: cfg, repositories: map[tuf.Digest]*repository{}, perAddress: rates.NewBuckets[string](rateOf(cfg.PerAddress), rates.MaxAddresses)}
	for i, c := range cfg.Repositories {
		r, err := g.open(ctx, cfg, c)
		if err != nil {
			return nil, fmt.Errorf("repository[%d] %s: %w", i, c.Name, err)
		}
		if twin := t.repositories[r.id]; twin != nil {
			return nil, fmt.Errorf("repository[%d] %s: it is the same repository as %s", i, c.Name, twin.cfg.Name)
		}
		t.repositories[r.id] = r
		t.order = append(t.order, r)
	}
	return t, nil
}

// Reload takes over another configuration: repositories that are new are signed for, those that
// are gone no longer, and the others with their new sections, roots and policies, as far as a
// device would take those over. Nothing that was signed is forgotten. Requests under way are
// answered as they came. With an error the configuration of before stays.
func (g *Gate) Reload(ctx context.Context, cfg *Config) (err error) {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	defer func() { g.refused.Store(err != nil) }()
	if err := cfg.Check(); err != nil {
		return err
	}
	before := g.taken.Load().cfg
	for _, key := range []struct{ name, before, now string }{
		{"dir", before.Dir, cfg.Dir}, {"listen", before.Listen, cfg.Listen}, {"key", before.Key, cfg.Key},
		{"ssh_agent", before.SSHAgent, cfg.SSHAgent}, {"ssh_key", before.SSHKey, cfg.SSHKey},
	} {
		if key.before != key.now {
			return fmt.Errorf("%s: it was %q and is %q now: that takes a restart", key.name, key.before, key.now)
		}
	}
	t, err := g.read(ctx, cfg)
	if err != nil {
		return err
	}
	g.taken.Store(t)
	g.log.Info("the configuration was read again", "repositories", len(t.order))
	return nil
}

// Refused notes that a configuration could not be read at all (tuflog_gate_reload_refused).
func (g *Gate) Refused() { g.refused.Store(true) }

// Close gives the directory back.
func (g *Gate) Close() error { return g.lock.Release() }

// Key returns the public key.
func (g *Gate) Key() client.Key { return g.key.Public() }

// Statuses returns the status of every repository, in the order of the configuration.
func (g *Gate) Statuses() []client.Status {
	list := make([]client.Status, 0, len(g.taken.Load().order))
	for _, r := range g.taken.Load().order {
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
