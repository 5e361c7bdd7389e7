package gate

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/internal/room"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// maxAskers is how many addresses are remembered that name URLs, and that send what no vendor has
// signed.
const maxAskers = 4096

// repository is a repository that the gate signs for, as a configuration says it.
type repository struct {
	gate    *Gate
	all     *Config
	cfg     RepositoryConfig
	id      tuf.Digest
	policy  *proofs.Policy
	keys    []tuf.KeyIdentity      // of all gates
	askedBy *rates.Buckets[string] // requests of an address that name a URL
	strange *rates.Buckets[string] // of an address with a timestamp that no key of the vendor's has signed
	*memory
}

// memory is what a gate knows of a repository, whatever its configuration says. There is one of
// each repository, so that requests from before and after a reload exclude each other.
type memory struct {
	dir   string
	store device.Store

	busy     chan struct{} // holds one: who is judging
	waiting  *room.Room    // its own places, by version
	others   *room.Room    // by address, as the next
	fetching *room.Room

	asked    rates.Bucket // requests that name a URL
	rises    rates.Bucket // requests with a timestamp that the vendor signed, newer than all before
	older    rates.Bucket // with one that is not: it may be published, and anybody's to send
	stranger rates.Bucket // with others

	mu      sync.Mutex
	last    *tuf.Metadata // that was signed; nil: none
	root    *tuf.Metadata // that is trusted
	certain bool          // last is known to be the last; before, others are asked
	newest  int64         // version that the vendor signed, of those that were sent
	known   rates.Bucket  // requests with that version, which nobody else has before it is published
}

// refuse is a refusal of a gate.
func refuse(code verify.Code, role, format string, args ...any) error {
	return &verify.Refusal{Code: code, Role: role, Detail: fmt.Sprintf(format, args...)}
}

// open opens a repository of a configuration. Its directory is made if it is not there.
func (g *Gate) open(ctx context.Context, all *Config, cfg RepositoryConfig) (*repository, error) {
	root, policy, err := cfg.read()
	if err != nil {
		return nil, err
	}
	install := verify.DefaultInstallPolicy()
	install.Repository = cfg.id
	state, err := verify.Pin(root, install)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Root, err)
	}
	r := &repository{gate: g, all: all, cfg: cfg, id: state.Repository, policy: policy}
	r.askedBy = rates.NewBuckets[string](all.perRepository(), maxAskers)
	r.strange = rates.NewBuckets[string](all.perRepository(), maxAskers)
	r.keys = append(r.keys, g.key.Public().Identity())
	for _, peer := range cfg.Gates {
		r.keys = append(r.keys, peer.key.Identity())
	}
	if r.memory = g.memories[r.id]; r.memory == nil {
		if r.memory, err = remember(ctx, filepath.Join(all.Dir, r.id.String()), root, state); err != nil {
			return nil, err
		}
		g.memories[r.id] = r.memory
	} else if err := r.began(state); err != nil {
		return nil, err
	}
	return r, nil
}

// began refuses another root than the one in which trust began, as remember does at the next start.
func (m *memory) began(state verify.State) error {
	before, _, err := m.store.State()
	if err == nil && before.TrustedRoot != state.TrustedRoot {
		err = fmt.Errorf("trust began in root %s, and cannot begin in another one, %s: newer roots are learnt from what is staged and served", before.TrustedRoot, state.TrustedRoot)
	}
	return err
}

// remember opens the directory of a repository.
func remember(ctx context.Context, dir string, root []byte, state verify.State) (*memory, error) {
	m := &memory{
		dir: dir, store: device.Store{Dir: filepath.Join(dir, "device")}, busy: make(chan struct{}, 1),
		waiting: room.New(maxWaitingPerRepository, maxWaitingPerVersion), others: room.New(maxOthersPerRepository, maxOthersPerAddress), fetching: room.New(maxFetchesPerRepository, maxFetchesPerAddress),
	}
	if err := os.MkdirAll(m.store.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := m.store.Create(root, state); err != nil {
		return nil, err
	}
	var err error
	if m.last, err = readRecord(m.record(), state.Repository); err != nil {
		return nil, err
	}
	file, _, err := m.store.Kept(ctx, tuf.RoleRoot)
	if err != nil {
		return nil, err
	}
	if m.root, err = tuf.ParseJSON(file); err != nil {
		return nil, fmt.Errorf("%s: %w", m.store.Dir, err)
	}
	return m, errors.Join(durable.Sweep(m.dir), durable.Sweep(m.store.Dir))
}

func (m *memory) record() string { return filepath.Join(m.dir, recordName) }

// settings configure the device.
func (r *repository) settings(now time.Time) verify.Config {
	install := verify.DefaultInstallPolicy()
	install.Repository = r.id
	return verify.Config{
		Policy: r.policy, Install: install, Now: now, GateKeys: r.keys, MaxRoles: r.cfg.MaxRoles,
		Limits: verify.Limits{Timestamp: maxTimestamp},
	}
}

// seen returns the timestamp that was signed last, and whether it is certain that none was
// after it.
func (m *memory) seen() (last, root *tuf.Metadata, certain bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, m.root, m.certain
}

// preview is the first look at a staged timestamp, before anything else of the repository is
// read. The answer is not nil if it was signed already. newest says that the vendor has signed
// it, and none that is newer was sent. One that no known key of the vendor's has signed counts for
// its address: before a root that replaces the key is known, the vendor's are among them.
func (r *repository) preview(m *tuf.Metadata, address string, now time.Time) (a *client.Answer, newest bool, err error) {
	last, root, certain := r.seen()
	if err := r.bounds(m, last, now); err != nil {
		return nil, false, err
	}
	if certain && last != nil && m.PayloadDigest == last.PayloadDigest {
		a, err := r.answer(m, root)
		return a, false, err
	}
	take := func(rate rates.Rate) time.Duration { return takeBoth(r.strange, &r.stranger, rate, address, now) }
	if r.ownSigners(m, root.Root.KeySet(tuf.RoleTimestamp)) > 0 {
		take = func(rate rates.Rate) (wait time.Duration) {
			newest, wait = r.takeKnown(m.Version, rate, now)
			return wait
		}
	} else if certain {
		if err := r.jump(m, versionOf(last)); err != nil {
			return nil, false, err
		}
	}
	if wait := take(r.all.perRepository()); wait > 0 {
		return nil, false, &limited{wait, fmt.Sprintf("too many timestamps of %s", r.cfg.Name)}
	}
	return nil, newest, nil
}

// ask applies the rate of requests that name a URL. Nobody knows who sends them before the
// timestamp is there, so each address has its own, and all together have that of ten.
func (r *repository) ask(address string, now time.Time) error {
	if wait := takeBoth(r.askedBy, &r.asked, r.all.perRepository(), address, now); wait > 0 {
		return &limited{wait, fmt.Sprintf("too many requests to fetch %s", r.cfg.Name)}
	}
	return nil
}

// takeBoth applies the rate of an address, and ten times that of all together.
func takeBoth(by *rates.Buckets[string], all *rates.Bucket, rate rates.Rate, address string, now time.Time) time.Duration {
	if wait := by.Take(address, now); wait > 0 {
		return wait
	}
	return all.Take(rates.Rate{PerSecond: 10 * rate.PerSecond, Burst: 10 * rate.Burst}, now)
}

// takeKnown applies the rate of timestamps that the vendor has signed. What is published anybody
// can send, so a version that is newer than all that were sent has a rate of its own.
func (r *repository) takeKnown(version int64, rate rates.Rate, now time.Time) (newest bool, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case version > r.newest:
		if wait := r.rises.Take(rate, now); wait > 0 {
			return false, wait
		}
		r.newest, r.known = version, rates.Bucket{}
		fallthrough
	case version == r.newest:
		return true, r.known.Take(rate, now)
	}
	return false, r.older.Take(rate, now)
}

// forget takes back that a version was the newest if it was too high: those that the vendor signs
// next are no older ones.
func (r *repository) forget(m *tuf.Metadata, err error) {
	var refused *verify.Refusal
	if !errors.As(err, &refused) || refused.Code != client.CodeVersionJump {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest == m.Version {
		r.newest = versionOf(r.last)
	}
}

// bounds refuses a timestamp for what it says of itself, beside what was signed last.
func (r *repository) bounds(m, last *tuf.Metadata, now time.Time) error {
	if last != nil {
		if err := follows(m, last, "this gate"); err != nil {
			return err
		}
	}
	if left := m.Expires.Sub(now); left > r.cfg.MaxLifetime {
		return refuse(client.CodeLifetime, tuf.RoleTimestamp, "version %d expires at %s, more than %v from now", m.Version, m.Expires.UTC().Format(time.RFC3339), r.cfg.MaxLifetime)
	}
	return nil
}

// versionOf is that of a timestamp, 0 of none.
func versionOf(m *tuf.Metadata) int64 {
	if m == nil {
		return 0
	}
	return m.Version
}

// jump refuses a version that is too far above the last one.
func (r *repository) jump(m *tuf.Metadata, last int64) error {
	if m.Version-last > r.cfg.MaxJump {
		return refuse(client.CodeVersionJump, tuf.RoleTimestamp, "version %d, and version %d is the last one that is known: want at most %d more", m.Version, last, r.cfg.MaxJump)
	}
	return nil
}

// follows refuses a timestamp that is older than one that somebody has signed, or another of
// its version.
func follows(m, last *tuf.Metadata, who string) error {
	switch {
	case m.Version < last.Version:
		return refuse(verify.CodeRollback, tuf.RoleTimestamp, "version %d, but %s has signed version %d", m.Version, who, last.Version)
	case m.Version == last.Version && m.PayloadDigest != last.PayloadDigest:
		return refuse(verify.CodeSecondPayload, tuf.RoleTimestamp, "version %d has payload %v, but %s has signed a version %d with payload %v", m.Version, m.PayloadDigest, who, last.Version, last.PayloadDigest)
	}
	return nil
}

// sign judges a staged repository whose timestamp was looked at, and signs it.
func (r *repository) sign(ctx context.Context, m *tuf.Metadata, origin fetcher) (*client.Answer, error) {
	select {
	case r.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, refuse(client.CodeBusy, "", "another request of this repository takes too long")
	}
	defer func() { <-r.busy }()
	working := &turn{working: r.gate.places.working}
	if err := working.take(ctx); err != nil {
		return nil, err
	}
	defer working.leave()
	if staged, ok := origin.(*fetched); ok {
		origin = elsewhere{staged, working}
	}
	served := elsewhere{&device.Repository{URL: r.cfg.Served, Client: r.gate.client, SameHost: true, Timeout: askFor}, working}
	now := r.gate.now()
	last, before, certain := r.seen()
	if err := r.bounds(m, last, now); err != nil {
		return nil, err
	}
	if certain && last != nil && m.PayloadDigest == last.PayloadDigest {
		return r.answer(m, before)
	}
	source := &run{store: r.store, origin: origin, staged: m.File, served: served}
	c, err := r.judge(ctx, m, source, now)
	if isOfRoot(err) && source.from > 0 {
		// Whatever is served, a root that is no good, or that nobody has logged, stops no vendor.
		r.gate.log.Warn("a served root does not count", "repository", r.cfg.Name, "version", source.from, "error", err)
		source = &run{store: r.store, origin: origin, staged: m.File}
		c, err = r.judge(ctx, m, source, now)
	}
	if source.trouble != nil {
		r.gate.log.Warn("no newer root was looked for where clients find it", "repository", r.cfg.Name, "error", source.trouble)
	}
	if err != nil {
		return nil, err
	}
	root := c.Metadata(tuf.RoleRoot)
	var disagree error
	err = working.without(ctx, func() {
		if certain {
			disagree = r.caughtUp(ctx, m, last, root)
		} else {
			certain, disagree = newOthers(r).agree(ctx, m, last, before, root)
		}
	})
	if err = cmp.Or(disagree, err); err != nil {
		r.forget(m, err)
		return nil, err
	}
	a, err := r.answer(m, root)
	if err != nil {
		return nil, err
	}
	return a, r.commit(ctx, m, a, source, c, certain)
}

// isOfRoot reports whether the root was refused.
func isOfRoot(err error) bool {
	var refused *verify.Refusal
	return errors.As(err, &refused) && refused.Role == tuf.RoleRoot
}

// judge runs the device's workflow over all of a staged repository.
func (r *repository) judge(ctx context.Context, m *tuf.Metadata, source *run, now time.Time) (*verify.Client, error) {
	state, _, err := r.store.State()
	if err != nil {
		return nil, err
	}
	c, err := verify.Refresh(ctx, r.settings(now), state, source)
	if err != nil {
		return nil, err
	}
	trusted := c.Metadata(tuf.RoleTimestamp)
	if trusted.PayloadDigest != m.PayloadDigest { // to a device it is no update
		if err := follows(m, trusted, "this gate"); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("timestamp %d is trusted where %d was staged", trusted.Version, m.Version)
	}
	snapshot := c.Metadata(tuf.RoleSnapshot)
	if err := r.bound(tuf.RoleSnapshot, m, m.Timestamp.Snapshot()); err != nil {
		return nil, err
	}
	roles := []string{tuf.RoleTargets}
	err = c.Delegated(ctx, func(request verify.Request, err error) error {
		if roles = append(roles, request.Role); err == nil && len(roles) > r.cfg.MaxRoles {
			err = refuse(client.CodeTooManyRoles, request.Role, "more than %d roles of targets are delegated to", r.cfg.MaxRoles)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, role := range roles {
		listed, _ := snapshot.Snapshot.File(role + ".json")
		if err := r.bound(role, snapshot, listed); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// bound refuses a file that is listed without its hash. Clients that look at no log would take
// any file of its version that the role's keys have signed.
func (r *repository) bound(role string, by *tuf.Metadata, listed tuf.MetaFile) error {
	if r.cfg.WithoutHashes || listed.Hashes["sha256"] != "" || listed.Hashes["sha512"] != "" {
		return nil
	}
	return refuse(verify.CodeUnbound, role, "%s %d lists version %d without a hash: another file of that version could take its place at clients", by.Type, by.Version, listed.Version)
}

// answer signs a timestamp, under the id that a root gives the gate's key.
func (r *repository) answer(m, root *tuf.Metadata) (*client.Answer, error) {
	ids := root.Root.KeySet(tuf.RoleTimestamp).IDs(r.gate.key.Public().Identity())
	if len(ids) == 0 {
		return nil, refuse(client.CodeNotInRole, tuf.RoleTimestamp, "root %d does not name this gate's key %s for the timestamp", root.Version, r.gate.key)
	}
	sig, err := r.gate.key.sign(m.Payload)
	if err != nil {
		return nil, fmt.Errorf("signing with the gate's key: %w", err)
	}
	return &client.Answer{Signature: client.Signature{KeyID: ids[0], Sig: hex.EncodeToString(sig)}, Version: m.Version, Payload: m.PayloadDigest}, nil
}

// commit makes durable what was judged and signed. certain says that it is known to be the last.
func (r *repository) commit(ctx context.Context, m *tuf.Metadata, a *client.Answer, source *run, c *verify.Client, certain bool) error {
	signed, err := client.Merge(m.File, a.Signature)
	if err != nil {
		return err
	}
	last, err := parseTimestamp(signed)
	if err != nil {
		return err
	}
	// Whoever asked may be gone: what has begun is brought to its end.
	if err := source.commit(context.WithoutCancel(ctx), c.State()); err != nil {
		return err
	}
	if err := writeRecord(r.record(), r.id, signed); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if root := c.Metadata(tuf.RoleRoot); root.PayloadDigest != r.root.PayloadDigest {
		r.root, r.newest = root, last.Version // a key that is replaced may have signed any version
	}
	r.last = last
	r.certain = r.certain || certain
	return nil
}

// ownSigners returns how many of a timestamp's signers are not gates.
func (r *repository) ownSigners(m *tuf.Metadata, keys tuf.KeySet) (own int) {
	for _, id := range m.Signers(keys) {
		if !slices.Contains(r.keys, id) {
			own++
		}
	}
	return own
}

// limited is the error of a request that comes too early.
type limited struct {
	wait time.Duration
	why  string
}

func (l *limited) Error() string { return l.why }

// problemOf returns what a stranger is told of an error. What is the gate's own business is
// not for strangers.
func problemOf(err error) client.Problem {
	var l *limited
	var refused *verify.Refusal
	switch {
	case errors.As(err, &l):
		return client.Problem{Code: client.CodeLimited, Detail: l.why}
	case errors.As(err, &refused) && refused.Code == verify.CodeDevice:
		return client.Problem{Code: refused.Code, Role: refused.Role, Detail: "the gate's own files cannot be used; its operator's log says why"}
	case errors.As(err, &refused):
		return client.Problem{Code: refused.Code, Role: refused.Role, Detail: strings.ToValidUTF8(refused.Text(), "?")}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return client.Problem{Code: client.CodeBusy, Detail: "it took too long"}
	}
	return client.Problem{Code: client.CodeInternal, Detail: "the gate's own fault; its operator's log says which"}
}
