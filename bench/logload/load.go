package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// load is a set of vendors and the log they submit to.
type load struct {
	what    string // for the table
	log     string // URL
	token   string
	checker checker
	vendors []*vendor
	next    atomic.Int64
}

// patience is how long an answer may take.
const patience = time.Minute

var errPatience = fmt.Errorf("no witnessed answer within %v; /readyz of the log says what is the matter", patience)

// phase is one measurement.
type phase struct {
	clients  int
	rate     float64 // releases a second; 0 is closed-loop
	duration time.Duration
	warmUp   time.Duration
	progress func(done int64)
}

// figures are what came of a phase. Latencies run from the submission, or with a
// rate from when it was due, to the answer with the witnessed sidecar.
type figures struct {
	What      string  `json:"what"`
	Clients   int     `json:"clients"`
	Rate      float64 `json:"rate,omitempty"`
	Seconds   float64 `json:"seconds"`
	Releases  int     `json:"releases"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// client returns an HTTP client of its own for the log, whose connections stay
// open between requests.
func (l *load) client(connections int) *api.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = connections, connections
	transport.Proxy = nil
	transport.DisableCompression = true
	return &api.Client{Base: l.log, HTTP: &http.Client{Transport: transport}, Token: l.token}
}

// register makes n repositories and logs their roots.
func (l *load) register(ctx context.Context, n, size int, progress func(int64)) error {
	client := l.client(16)
	l.vendors = make([]*vendor, n)
	return parallel(ctx, 16, n, func(ctx context.Context, i int) error {
		v, err := newVendor(i, size)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
		defer cancel()
		res, err := client.Register(ctx, v.Root)
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		root := v.Genesis()
		if err := l.checker.check(res, root); err != nil {
			return err
		}
		if res.Token != nil {
			v.token = res.Token.Text
		}
		l.vendors[i] = v
		progress(1)
		return nil
	})
}

// presign signs n releases, as many of each vendor, so that the signing of
// vendors, who in the world have machines of their own, is not measured.
func (l *load) presign(ctx context.Context, n int, progress func(int64)) error {
	each := (n + len(l.vendors) - 1) / len(l.vendors)
	return parallel(ctx, runtime.GOMAXPROCS(0), len(l.vendors), func(_ context.Context, i int) error {
		l.vendors[i].presign(each)
		progress(int64(each))
		return nil
	})
}

// run measures one phase. It fails with the first submission that does not come
// back with a sidecar that verifies.
func (l *load) run(ctx context.Context, p phase) (figures, error) {
	// The registration token's holder has a quota; a client on the log's own
	// host that shows none has not. But what comes without a repository's own
	// is held.
	client := l.client(p.clients)
	client.Token = ""
	for _, v := range l.vendors {
		if v.token != "" {
			client.Own(v.ID.String(), v.token)
		}
	}
	defer client.HTTP.CloseIdleConnections()
	started := time.Now()
	begin, end := started.Add(p.warmUp), started.Add(p.warmUp+p.duration)
	due := p.schedule(ctx, started, end)
	var mu sync.Mutex
	var took []time.Duration
	err := parallel(ctx, p.clients, p.clients, func(ctx context.Context, _ int) error {
		var mine []time.Duration
		for at := range due {
			r := l.vendors[int(l.next.Add(1))%len(l.vendors)].release()
			if at.IsZero() {
				at = time.Now()
			}
			submitCtx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
			res, err := client.Submit(submitCtx, r.claim.Repository.String(), r.files)
			answered := time.Now()
			if err != nil {
				err = errors.Join(err, context.Cause(submitCtx))
			}
			cancel()
			if err == nil {
				err = l.checker.check(res, r.claim)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.files[0].Name, err)
			}
			p.progress(1)
			if answered.After(begin) && answered.Before(end) {
				mine = append(mine, answered.Sub(at))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, mine...)
		return nil
	})
	return newFigures(l.what, p, took), err
}

// schedule gives out when the submissions are due; the zero time means at once.
func (p phase) schedule(ctx context.Context, started, end time.Time) <-chan time.Time {
	due := make(chan time.Time)
	send := func(at time.Time) bool {
		select {
		case due <- at:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(due)
		for i := 0; time.Now().Before(end); i++ {
			at := time.Time{}
			if p.rate > 0 {
				at = started.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
				time.Sleep(time.Until(at))
			}
			if !send(at) {
				return
			}
		}
	}()
	return due
}

func newFigures(what string, p phase, took []time.Duration) figures {
	slices.Sort(took)
	at := func(q float64) float64 {
		if len(took) == 0 {
			return 0
		}
		i := int(math.Ceil(q*float64(len(took)))) - 1
		return float64(took[max(0, i)].Microseconds()) / 1000
	}
	return figures{
		What: what, Clients: p.clients, Rate: p.rate, Seconds: p.duration.Seconds(),
		Releases: len(took), PerSecond: float64(len(took)) / p.duration.Seconds(),
		P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1),
	}
}

// parallel calls fn for 0 to n-1 from as many goroutines and returns the first
// error, which ends the others' context.
func parallel(ctx context.Context, goroutines, n int, fn func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(goroutines, n) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := fn(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// checker verifies sidecars. Many of them carry the same checkpoint, whose
// signatures are verified once.
type checker struct {
	policy *proofs.Policy

	mu     sync.Mutex
	opened map[string]proofs.Tree
}

// maxOpened is how many checkpoints a checker remembers.
const maxOpened = 256

// check verifies that the first accepted file of a submission is the claim's and
// that its sidecar proves it.
func (c *checker) check(res *api.Result, claim verify.Claim) error {
	var got *api.FileResult
	for i, f := range res.Results {
		if f.Role == claim.Role && f.Version == claim.Version {
			got = &res.Results[i]
		}
	}
	if got == nil || got.Status != api.StatusReleased && got.Status != api.StatusLogged {
		return fmt.Errorf("the log says %+v", res)
	}
	proof, err := proofs.ParseProof([]byte(got.Sidecar))
	if err != nil {
		return err
	}
	entry, err := leaf.Parse(proof.Extra)
	if err != nil {
		return err
	}
	tree, err := c.open(proof.Checkpoint)
	if err != nil {
		return err
	}
	if err := proofs.VerifyInclusion(tree, proof.Index, proofs.LeafHash(proof.Extra), proof.Hashes); err != nil {
		return err
	}
	proved := verify.Claim{Repository: entry.Repository, Role: entry.Role, Version: entry.Version, Payload: entry.Payload, Encoding: entry.Encoding}
	if entry.Kind != leaf.Release || proved != claim || proof.Index != got.Index {
		return fmt.Errorf("the sidecar proves %+v at index %d", entry, proof.Index)
	}
	return nil
}

func (c *checker) open(checkpoint []byte) (proofs.Tree, error) {
	c.mu.Lock()
	tree, ok := c.opened[string(checkpoint)]
	c.mu.Unlock()
	if ok {
		return tree, nil
	}
	cp, err := c.policy.OpenCheckpoint(checkpoint)
	if err != nil {
		return tree, err
	}
	if len(cp.Cosignatures) == 0 {
		return tree, errors.New("the policy asks for no witness")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened == nil || len(c.opened) >= maxOpened {
		c.opened = map[string]proofs.Tree{}
	}
	c.opened[string(checkpoint)] = cp.Tree
	return cp.Tree, nil
}
