package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/bench/rehearsal"
)

// yieldFaults keep the leader alone from publishing: it has to leave the lease to the
// other front end.
var yieldFaults = []part{
	{name: "leader cut off from the witnesses, until another leads", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return w.unfit(ctx, l, r, func(f *front, on bool) error {
			for _, t := range f.taps {
				t.Torn.Store(!on)
			}
			return nil
		})
	}},
	{name: "leader cut off from clients, until another leads", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return w.unfit(ctx, l, r, func(f *front, on bool) error {
			if on {
				f.clients.mend()
			} else {
				f.clients.cut()
			}
			return nil
		})
	}},
	{name: "leader cut off from its ssh-agent, until another leads", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return w.unfit(ctx, l, r, func(f *front, on bool) error {
			if on {
				return f.agent.start()
			}
			return f.agent.stop()
		})
	}},
}

// mostUnfit is how long a leader that cannot publish may lead: 10 s, what it takes to
// notice where nobody hears from it, and what another takes to begin.
const mostUnfit = 30 * time.Second

// unfit keeps the leader from publishing until the other front end leads, and goes on.
func (w *world) unfit(ctx context.Context, l *load, r *rehearsal.Row, fit func(f *front, on bool) error) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	since := time.Now()
	if err := fit(leader, false); err != nil {
		return err
	}
	err = w.takenOver(ctx, l, leader, since)
	if err := errors.Join(err, fit(leader, true)); err != nil {
		return err
	}
	if err := w.leadsNoMore(ctx, l, leader, since, r); err != nil {
		return err
	}
	return w.ledWithin(since, mostUnfit, "longest until another led, in ms", r)
}

// keyAgent is an ssh-agent with a log's key.
type keyAgent struct {
	socket string
	ring   agent.Agent

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

// intoAgent moves the log's key from a front end's directory into an agent, which runs.
func (f *front) intoAgent() error {
	file := filepath.Join(f.dir, "log.key")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// PRIVATE+KEY+<name>+<id>+<base64 of the type and the seed>; the last part may have
	// a plus of its own.
	fields := strings.SplitN(strings.TrimPrefix(strings.TrimSpace(string(text)), "PRIVATE+KEY+"), "+", 3)
	raw, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return fmt.Errorf("%s holds no key of type Ed25519: %d bytes, %w", file, len(raw), err)
	}
	key := ed25519.NewKeyFromSeed(raw[1:])
	f.agent = &keyAgent{socket: filepath.Join(f.dir, "agent"), ring: agent.NewKeyring()}
	if err := f.agent.ring.Add(agent.AddedKey{PrivateKey: &key}); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	return f.agent.start()
}

func (a *keyAgent) start() error {
	l, err := net.Listen("unix", a.socket)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.listener = l
	a.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // stopped
			}
			a.mu.Lock()
			a.conns = append(a.conns, c)
			a.mu.Unlock()
			go func() { _ = agent.ServeAgent(a.ring, c) }() // ends with the connection
		}
	}()
	return nil
}

func (a *keyAgent) stop() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listener == nil {
		return nil
	}
	err := ignoreClosed(a.listener.Close())
	for _, c := range a.conns {
		_ = c.Close() // it may have ended
	}
	a.conns = nil
	return err
}
