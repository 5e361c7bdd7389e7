package cosign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/mirror"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/ledger"
	"github.com/tuflog/tuflog/witness/sqlite"
)

// repeatEvery is how old a cosignature becomes before the same tree is cosigned again:
// devices that check a release's age want recent ones.
const repeatEvery = 5 * time.Minute

// Cosigner cosigns what an auditor vouches for. It is safe for concurrent use, but no other
// process may cosign with the same keys.
type Cosigner struct {
	name    string
	dir     string
	signers []witness.Signer
	store   *sqlite.Store
	witness *witness.Witness
	now     func() time.Time
	http    *http.Client
	closers []func() error

	mu   sync.Mutex
	logs map[string]*followed // by origin
}

// followed is a log that is followed.
type followed struct {
	origin string

	stepping sync.Mutex // one Step of a log at a time
	looked   bool       // at what the log shows of this auditor
	unseen   time.Time  // since when that could not be looked at; zero: it was not tried
	lookNext time.Time  // when it is tried again
	private  error      // what only the operator is told of why

	// The rest is under Cosigner.mu.
	name   string // in the configuration, as it was last; empty: none yet, or another log has it
	why    string // the newest checkpoint is not cosigned; empty: it is
	detail string // of why, for the operator alone: it may have paths and addresses
	served []byte // what was cosigned last, with all signatures
	tag    string // of served, for HTTP
	from   string // what served was made from
}

// Open opens the state in dir and the ledger, which Create made, and the keys. Dir is locked
// until Close: if another process has it, the error wraps lockfile.ErrHeld. A missing
// ledger is replaced, but then cosigning is stopped for all logs until a person resumes it;
// without the state in dir there is an error.
func Open(ctx context.Context, dir string, cfg Config) (_ *Cosigner, err error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	c := &Cosigner{name: cfg.Name, dir: dir, now: cfg.Now, logs: map[string]*followed{}, http: fetch.Direct(&http.Client{Timeout: lookTimeout})}
	if c.now == nil {
		c.now = time.Now
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.signers, err = cfg.signers(); err != nil {
		return nil, err
	}
	if err := c.openState(ctx, dir, cfg.ledgerDir(dir)); err != nil {
		return nil, err
	}
	c.witness, err = witness.New(witness.Config{
		Store: c.store, Signers: c.signers, Now: cfg.Now,
		Evidence: &witness.EvidenceDir{Path: filepath.Join(dir, "evidence")},
		Watch:    witness.Watch{Peers: cfg.Peers},
	})
	if err != nil {
		return nil, err
	}
	return c, c.restore(ctx)
}

// openState opens the state and the ledger for this process alone.
func (c *Cosigner) openState(ctx context.Context, dir, ledgerDir string) error {
	if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
		return missingState(dir, ledgerDir)
	}
	lock, err := lockfile.AcquireDir(dir)
	if err != nil {
		return err
	}
	c.closers = append(c.closers, lock.Release)
	if err := durable.Sweep(dir); err != nil {
		return err
	}
	if c.store, err = sqlite.Open(dir); err != nil {
		return err
	}
	closeStore := sync.OnceValue(c.store.Close)
	c.closers = append(c.closers, closeStore)
	if err := c.checkKeys(dir); err != nil {
		return err
	}
	l, err := ledger.Open(ledgerDir, c.store.Signers()...)
	if errors.Is(err, fs.ErrNotExist) {
		l, err = c.replaceLedger(ctx, ledgerDir)
	}
	if err != nil {
		return err
	}
	// The store may still write to the ledger when it is closed.
	c.closers = append(c.closers, l.Close, closeStore)
	if lock, err = lockfile.AcquireDir(ledgerDir); err != nil {
		return err
	}
	c.closers = append(c.closers, lock.Release)
	// What it latches is in the Status.
	_, err = c.store.UseLedger(ctx, l, c.now().Unix())
	return err
}

// missingState says what to do without a state.
func missingState(dir, ledgerDir string) error {
	if _, err := os.Stat(ledgerDir); err == nil {
		return fmt.Errorf("the state of the cosigner in %s is lost, and its ledger in %s is there: these keys must not sign again; make new ones with other names of files (auditor cosign init), and hand out their public keys", dir, ledgerDir)
	}
	return fmt.Errorf("no cosigner in %s: auditor cosign init makes one", dir)
}

// checkKeys makes sure that the keys are those whose past is in the state.
func (c *Cosigner) checkKeys(dir string) error {
	var have []proofs.Key
	for _, s := range c.signers {
		have = append(have, s.Key())
	}
	if !slices.Equal(have, c.store.Signers()) {
		return fmt.Errorf("the state in %s is that of other keys than cosign.keys names: other keys need a state and a ledger of their own", dir)
	}
	return nil
}

// replaceLedger makes a new ledger where there is none. Create made one, so the state may
// have been restored and be old: cosigning is stopped before there is a ledger that could
// be taken for the first.
func (c *Cosigner) replaceLedger(ctx context.Context, dir string) (*ledger.Ledger, error) {
	err := c.store.LatchAll(ctx, witness.Latch{
		Since: c.now().Unix(), Source: dir,
		Why: "the ledger was missing, so the state may not be the latest one: if it was restored from a backup, make new keys; resume only if nothing else can have signed with these keys since",
	})
	if err != nil {
		return nil, err
	}
	if err := ledger.Create(dir, c.store.Signers()...); err != nil {
		return nil, err
	}
	return ledger.Open(dir, c.store.Signers()...)
}

// Close closes the files.
func (c *Cosigner) Close() error {
	var errs []error
	for _, f := range slices.Backward(c.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// Keys returns the public keys, the Ed25519 key first.
func (c *Cosigner) Keys() []proofs.Key { return c.witness.Keys() }

// Run looks on a schedule for cosignatures of this auditor, where the logs and peers publish
// checkpoints, that the state has lost, until ctx ends.
func (c *Cosigner) Run(ctx context.Context) { c.witness.Run(ctx) }

// Failed is closed when nothing can be signed until the process starts again, because the
// state and the ledger may differ; Err then says why.
func (c *Cosigner) Failed() <-chan struct{} { return c.store.Failed() }

// Err returns why nothing can be signed until the process starts again.
func (c *Cosigner) Err() error { return c.store.Err() }

// restore makes what is served: the checkpoints cosigned last, of the state, with the
// witnesses' signatures of the files beside it. Without the right file, which is written after
// the state, a checkpoint is served again after the next step.
func (c *Cosigner) restore(ctx context.Context) error {
	logs, err := c.store.Logs(ctx)
	if err != nil {
		return err
	}
	for _, log := range logs {
		if log.Latest == nil {
			continue
		}
		l := &followed{origin: log.Origin, why: "not looked at since the start"}
		kept, err := regular.ReadSome(c.noteFile(log.Origin), proofs.MaxNoteSize)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.serve(l, log.Latest, kept); err != nil {
			return err
		}
		c.logs[log.Origin] = l
	}
	return nil
}

// noteFile is the file of the checkpoint that is served of a log.
func (c *Cosigner) noteFile(origin string) string {
	return filepath.Join(c.dir, witness.HashOrigin(origin).String()+".note")
}

// Look is what an auditor has seen of a log in a step.
type Look struct {
	// Log is the log's name in the configuration.
	Log string
	// URL is where the log publishes; empty: not known.
	URL string
	// Policy is the policy by which the log is audited.
	Policy *proofs.Policy
	// Standing is whether the auditor vouches for the newest checkpoint.
	Standing *audit.Standing
	// Mirror is the directory of the log's verified copy.
	Mirror string
}

// Step cosigns the newest checkpoint of a log if the auditor vouches for it and holds every
// file, and stops cosigning for the log if it found something that the log answers for. The
// error means that the cosigner's own state or keys fail; why a checkpoint is not cosigned
// is in the Status.
func (c *Cosigner) Step(ctx context.Context, look Look) error {
	l := c.followed(&look)
	l.stepping.Lock()
	defer l.stepping.Unlock()
	l.private = nil
	why, err := c.step(ctx, l, look)
	if err != nil {
		why, l.private = "the cosigner's own state or keys fail", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.why, l.detail = why, ""; l.private != nil {
		l.detail = l.private.Error()
	}
	return err
}

// followed returns the log that was looked at. A log is what its origin says: its name in the
// configuration may become another, and another log's.
func (c *Cosigner) followed(look *Look) *followed {
	c.mu.Lock()
	defer c.mu.Unlock()
	if look.Standing.Checkpoint == nil {
		for _, l := range c.logs {
			if l.name == look.Log && slices.ContainsFunc(look.Policy.Logs, func(p proofs.PolicyLog) bool { return p.Key.Name() == l.origin }) {
				return l
			}
		}
		return &followed{} // nothing is known of it
	}
	origin := look.Standing.Checkpoint.Origin
	for _, other := range c.logs {
		if other.name == look.Log {
			other.name = ""
		}
	}
	if c.logs[origin] == nil {
		c.logs[origin] = &followed{origin: origin, why: "not looked at since the start"}
	}
	c.logs[origin].name = look.Log
	return c.logs[origin]
}

// step returns why the newest checkpoint is not cosigned, "" if it is.
func (c *Cosigner) step(ctx context.Context, l *followed, look Look) (why string, err error) {
	cp := look.Standing.Checkpoint
	if cp == nil {
		return l.unchecked(look.Standing), nil
	}
	id := witness.HashOrigin(cp.Origin)
	log, err := c.known(ctx, cp, look)
	if err != nil {
		return "", err
	}
	if err := c.serveAgain(l, look, log.Latest); err != nil {
		return "", err
	}
	if why, err := c.stopped(ctx, look.Standing, log); why != "" || err != nil {
		return why, err
	}
	if why := l.unchecked(look.Standing); why != "" {
		return why, nil
	}
	if why := l.whole(look.Mirror, cp.Tree); why != "" {
		return why, nil
	}
	if why := c.lookAtAudited(ctx, l, look.URL, id); why != "" {
		return why, nil
	}
	if log, err = c.store.Log(ctx, id); err != nil {
		return "", err
	}
	switch latest := log.Latest; {
	case latest == nil:
	case cp.Tree.N < latest.Tree.N:
		return fmt.Sprintf("size %d was cosigned, and the newest checkpoint has size %d", latest.Tree.N, cp.Tree.N), nil
	case cp.Tree == latest.Tree && c.now().Unix() < latest.Time+int64(repeatEvery/time.Second) && !log.Latched:
		return "", c.serve(l, latest, look.Standing.Note)
	}
	return c.sign(ctx, l, look, log)
}

// known makes the log known to the state, and returns it.
func (c *Cosigner) known(ctx context.Context, cp *proofs.SignedCheckpoint, look Look) (witness.Log, error) {
	id := witness.HashOrigin(cp.Origin)
	log, err := c.store.Log(ctx, id)
	if errors.Is(err, witness.ErrUnknownLog) {
		err = c.store.AddLog(ctx, witness.NewLog{Key: cp.Log, Origin: cp.Origin, URL: strings.TrimSuffix(look.URL, "/")})
		if err == nil {
			log, err = c.store.Log(ctx, id)
		}
	}
	if err != nil {
		return log, err
	}
	for _, p := range look.Policy.Logs {
		if p.Key.Name() != cp.Origin || slices.Contains(log.Keys, p.Key) {
			continue
		}
		if err := c.store.AddKey(ctx, cp.Origin, p.Key); err != nil {
			return log, err
		}
	}
	return c.store.Log(ctx, id)
}

// unchecked returns that something was not checked, "" if everything was. What it is may name
// where the log was asked.
func (l *followed) unchecked(s *audit.Standing) string {
	if s.Unchecked == "" {
		return ""
	}
	l.private = errors.New(s.Unchecked)
	return "not everything could be checked"
}

// whole returns why the copy in a directory is not one of the whole tree, "" if it is.
func (l *followed) whole(dir string, tree proofs.Tree) string {
	if dir == "" {
		return "the log is not mirrored: only logs with mirror = true are cosigned"
	}
	held, err := mirror.Held(dir)
	switch {
	case err != nil:
		l.private = err
		return "the copy of the log cannot be read"
	case held.Tree != tree:
		return fmt.Sprintf("the copy of the log has size %d, and the newest checkpoint has size %d", held.Tree.N, tree.N)
	case held.Missing > 0:
		return fmt.Sprintf("the log does not serve %d of its files", held.Missing)
	}
	return ""
}

// lookTimeout bounds the look at what the log shows of this auditor; maxAudited is how many
// bytes that may have. A look that fails holds back the first cosignature for lookFor, and is
// repeated every lookEvery after that.
const (
	lookTimeout = 10 * time.Second
	lookFor     = 5 * time.Minute
	lookEvery   = time.Minute
	maxAudited  = 256 << 10
)

// auditedPath is where a log publishes the newest checkpoint that auditors have cosigned.
const auditedPath = "/checkpoint/audited"

// lookAtAudited looks once after the start, before anything is signed, whether the log shows
// a cosignature of this auditor that the state does not know. It is a second line behind the
// ledger, so that a log, or what is before it, that goes on to answer with an error does not
// hold back cosigning for good.
func (c *Cosigner) lookAtAudited(ctx context.Context, l *followed, url string, id witness.OriginHash) (why string) {
	now := c.now()
	if l.looked || url == "" || now.Before(l.lookNext) {
		return ""
	}
	url = strings.TrimSuffix(url, "/") + auditedPath
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	signed, err := fetch.Get(ctx, c.http, url, maxAudited)
	if err == nil {
		_, err = c.witness.Observe(ctx, id, fetch.Redacted(url), signed)
	}
	if err != nil && !errors.Is(err, fetch.ErrNotFound) {
		if l.unseen.IsZero() || now.Before(l.unseen) {
			l.unseen = now
		}
		if now.Sub(l.unseen) >= lookFor {
			l.lookNext = now.Add(lookEvery)
			return ""
		}
		l.private = err
		return "what the log shows of this auditor could not be looked at"
	}
	l.looked = true
	return ""
}

// sign asks the witness inside to cosign a checkpoint, and serves what it gives.
func (c *Cosigner) sign(ctx context.Context, l *followed, look Look, log witness.Log) (why string, err error) {
	cp := look.Standing.Checkpoint
	request := client.Request{Checkpoint: look.Standing.Note}
	if log.Latest != nil {
		request.OldSize = log.Latest.Tree.N
		tiles, err := mirror.Tiles(look.Mirror)
		if err != nil {
			return "", err
		}
		request.Proof, err = proofs.ConsistencyProof(ctx, request.OldSize, cp.Tree, tiles)
		if err := errors.Join(err, tiles.Close()); err != nil {
			return "", fmt.Errorf("the copy of the log: %w", err)
		}
	}
	_, err = c.witness.AddCheckpoint(ctx, request.Marshal())
	var refusal *witness.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Reason == witness.Inconsistent:
		return c.latchFork(ctx, log, cp, refusal)
	case errors.As(err, &refusal):
		return refusal.Error(), nil
	case err != nil:
		return "", err
	}
	if log, err = c.store.Log(ctx, witness.HashOrigin(cp.Origin)); err != nil {
		return "", err
	}
	return "", c.serve(l, log.Latest, look.Standing.Note)
}

// latchFork stops cosigning for a log whose tree does not continue the one that was cosigned.
func (c *Cosigner) latchFork(ctx context.Context, log witness.Log, cp *proofs.SignedCheckpoint, refusal error) (string, error) {
	why := fmt.Sprintf("the tree of size %d, which was audited, does not continue the one of size %d, which was cosigned: %v", cp.Tree.N, log.Latest.Tree.N, refusal)
	err := c.store.Latch(ctx, witness.HashOrigin(log.Origin), witness.Latch{Since: c.now().Unix(), Source: "the audit", Why: why})
	return why, err
}

// serveAgain serves the checkpoint that was cosigned last if it is not served after a start.
func (c *Cosigner) serveAgain(l *followed, look Look, latest *witness.Latest) error {
	c.mu.Lock()
	is := l.served != nil
	c.mu.Unlock()
	if is || latest == nil {
		return nil
	}
	if look.Standing.Checkpoint.Tree == latest.Tree {
		return c.serve(l, latest, look.Standing.Note)
	}
	copied, err := mirror.Note(look.Mirror, latest.Tree.N)
	if err != nil {
		return nil // another step may have it
	}
	return c.serve(l, latest, copied)
}

// serve serves a checkpoint that is in the state and the ledger, with the signatures of a
// note of the same checkpoint and those of this auditor. A note of another one changes
// nothing.
func (c *Cosigner) serve(l *followed, latest *witness.Latest, signed []byte) error {
	from := fmt.Sprintf("%d %s", latest.Time, signed)
	c.mu.Lock()
	is := l.from == from
	c.mu.Unlock()
	if is {
		return nil
	}
	own, err := proofs.ParseNote(latest.Note)
	if err != nil {
		return err
	}
	note, err := proofs.ParseNote(signed)
	if err != nil || note.Text != own.Text {
		return nil
	}
	note.Signatures = slices.DeleteFunc(note.Signatures, c.isOwn)
	for _, s := range c.signers {
		sig, err := s.Sign(note.Text, latest.Time)
		if err != nil {
			return fmt.Errorf("cosign with %s: %w", s.Key().Name(), err)
		}
		note.Signatures = append(note.Signatures, sig)
	}
	served := note.Marshal()
	if err := durable.WriteFile(c.noteFile(l.origin), served, 0o644); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.served, l.tag, l.from = served, tagOf(served), from
	return nil
}

func (c *Cosigner) isOwn(sig proofs.Signature) bool {
	return slices.ContainsFunc(c.signers, func(s witness.Signer) bool {
		return sig.Name == s.Key().Name() && sig.KeyID == s.Key().ID()
	})
}
