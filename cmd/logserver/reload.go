package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/budget"
	"github.com/tuflog/tuflog/witness/client"
)

// reloads returns a channel that has something in it when SIGHUP came, from now on.
// It is for the rest of the process: a SIGHUP that nobody waits for must not end a log
// that is publishing the last submissions.
func reloads() <-chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup
}

// reloader replaces what serve has read beside the log's data, at each SIGHUP.
type reloader struct {
	flags     serveFlags
	logger    *slog.Logger
	witnesses *witnesses
	reload    func(httpd.Settings) error
	now       httpd.Settings
	keeper    *audited.Keeper  // of audited checkpoints; nil: none are asked for
	policies  audited.Policies // of the keeper
	origin    string
}

// run reloads until ctx ends.
func (r *reloader) run(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			r.once(ctx)
		}
	}
}

// beside returns work that reloads, and asks the auditors of what is on the board, while it
// goes on.
func (r *reloader) beside(hup <-chan os.Signal, board func() *publisher.Board, work func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		reloading, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { r.run(reloading, hup) })
		if r.keeper != nil {
			running.Go(func() { r.keeper.Run(reloading, board) })
		}
		defer running.Wait()
		defer stop()
		return work(ctx)
	}
}

// once reads each of the files again. One that cannot be used changes nothing.
func (r *reloader) once(ctx context.Context) {
	next := r.now
	keep := func(what string, err error) {
		r.logger.Error("not reloaded, what was read before still counts", "what", what, "err", err)
	}
	if labels, err := readLabels(r.flags.labels()); err != nil {
		keep("labels", err)
	} else {
		next.Labels = labels
	}
	if r.now.Token != "" {
		if token, err := readToken(r.flags); err != nil {
			keep("registration token", err)
		} else {
			next.Token = token
		}
	}
	if err := r.policy(ctx, next); err != nil {
		keep("policy", err)
		next.Policy = r.now.Policy
		if err := r.reload(next); err != nil {
			keep("labels and token", err)
			return
		}
		r.now = next
	}
	r.logger.Info("reloaded", "labels", len(r.now.Labels), "witnesses", len(r.now.Policy.Witnesses))
}

// policy takes over the settings with the policies as they are now. All witnesses are
// asked at once, also those that wanted to be left alone.
func (r *reloader) policy(ctx context.Context, next httpd.Settings) (err error) {
	if next.Policy, err = cli.ReadPolicy(r.flags.policy); err != nil {
		return err
	}
	if err := checkWitnesses(next.Policy, r.logger); err != nil {
		return err
	}
	policies, err := r.readPolicies(ctx, next.Policy)
	if err != nil {
		return err
	}
	gatherer, err := client.NewGatherer(next.Policy, nil)
	if err != nil {
		return err
	}
	if err := r.settle(next, policies); err != nil {
		gatherer.Close()
		return err
	}
	r.witnesses.replace(gatherer)
	r.now, r.policies = next, policies
	return r.reload(next) // cosignatures gathered meanwhile may lack somebody's
}

// settle takes over the settings and the policies of audited checkpoints, or none.
func (r *reloader) settle(next httpd.Settings, policies audited.Policies) error {
	if r.keeper == nil {
		return r.reload(next)
	}
	if err := r.keeper.Reload(policies); err != nil {
		return err
	}
	err := r.reload(next)
	if err != nil {
		err = errors.Join(err, r.keeper.Reload(r.policies))
	}
	return err
}

// witnesses is log.Witnesses by the policy of the time.
type witnesses struct {
	path   string // of the file in which they are remembered
	logger *slog.Logger
	late   func(text string, sigs []proofs.Signature)

	mu     sync.RWMutex
	now    *client.Gatherer
	budget *budget.Budget // of all gatherers, one after the other
}

// newWitnesses returns the witnesses of a policy. The late ones are given to late,
// which may be set until Gather is called first.
func newWitnesses(policy *proofs.Policy, path string, logger *slog.Logger) (*witnesses, error) {
	w := &witnesses{path: path, logger: logger}
	gatherer, err := client.NewGatherer(policy, nil)
	if err != nil {
		return nil, err
	}
	w.replace(gatherer)
	return w, nil
}

// replace lets others be asked from now on.
func (w *witnesses) replace(next *client.Gatherer) {
	next.Late = func(text string, sigs []proofs.Signature) { w.late(text, sigs) }
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now != nil {
		w.now.Close()
	}
	if err := next.Remember(w.path); err != nil {
		w.logger.Warn("the witnesses are asked how far they are", "err", err)
	}
	if w.budget != nil {
		next.Budget = w.budget
	}
	w.now = next
}

// count has a budget count the requests. It is called before any is sent.
func (w *witnesses) count(b *budget.Budget) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget, w.now.Budget = b, b
}

func (w *witnesses) gatherer() *client.Gatherer {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.now
}

// Gather implements log.Witnesses.
func (w *witnesses) Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency client.Consistency) ([]byte, error) {
	for {
		now := w.gatherer()
		note, err := now.Gather(ctx, signed, cp, consistency)
		if err == nil || ctx.Err() != nil || w.gatherer() == now {
			return note, err
		}
	}
}

// Allows implements log.Witnesses.
func (w *witnesses) Allows(refresh bool) error { return w.gatherer().Allows(refresh) }

// Newest implements log.Witnesses.
func (w *witnesses) Newest(ctx context.Context, origin string) [][]byte {
	return w.gatherer().Newest(ctx, origin)
}

// Answers reports on whether a quorum would cosign, as a Gatherer does.
func (w *witnesses) Answers(ctx context.Context, signed []byte, size int64) error {
	return w.gatherer().Answers(ctx, signed, size)
}

// Health returns how the witnesses are.
func (w *witnesses) Health() []client.Health { return w.gatherer().Health() }

// requests returns how often the witnesses were asked, for the log's page.
func (w *witnesses) requests() httpd.Requests {
	g := w.gatherer()
	r := httpd.Requests{PerDay: g.Budget.Rate().Daily(), In24h: map[proofs.Key]int64{}}
	for _, h := range g.Health() {
		if key, err := proofs.ParseKey(h.Key); err == nil {
			r.In24h[key] = h.In24h
		}
	}
	return r
}

// Close calls off questions under way.
func (w *witnesses) Close() { w.gatherer().Close() }
