package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/proofs"
)

// front is a front end. It has its own way to each server and, through taps of its
// own, to each witness: so it is known who signed what.
type front struct {
	w          *world
	name       string
	dir        string
	policyFile string
	taps       []*rehearsal.Tap
	database   *link
	trillian   *link
	clients    *link     // from clients and the other front end; nil: they reach it as it is
	agent      *keyAgent // that has the log's key; nil: the directory has
	program    string    // of another version; empty: today's
	process    *process.Process
	listen     string // where it listens, once it has been started
	addr       string // where it is reached, once it has been started

	mu    sync.Mutex
	shown []shown // to witnesses
	when  map[string]time.Time
	began int64 // what was signed when it opened the log last
}

// shown is a checkpoint that a front end has shown to a witness.
type shown struct {
	tree proofs.Tree
	at   time.Time
}

// What a front end says on its way to lead.
const (
	leads       = `"leading the log"`
	opened      = `"log opened"`
	leadsNoMore = `"not leading the log any more"`
)

// newFront makes a front end whose directory is there.
func (w *world) newFront(name string) (f *front, err error) {
	f = &front{w: w, name: name, dir: filepath.Join(w.dir, name), policyFile: filepath.Join(w.dir, name+".policy"), when: map[string]time.Time{}}
	w.fronts = append(w.fronts, f)
	if f.trillian, err = newLink(w.trillian.Target()); err != nil {
		return nil, err
	}
	if f.database, err = newLink(w.postgres.Addr()); err != nil {
		return nil, err
	}
	if f.taps, err = w.witnesses.NewTaps(w.key, w.rec, f.show); err != nil {
		return nil, err
	}
	return f, os.WriteFile(f.policyFile, []byte(w.witnesses.Policy(quorum, f.taps)), 0o644)
}

func (f *front) show(t proofs.Tree) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = append(f.shown, shown{t, time.Now()})
}

// shownSince returns what it has shown to witnesses since a time.
func (f *front) shownSince(t time.Time) []shown {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range f.shown {
		if s.at.After(t) {
			return f.shown[i:len(f.shown):len(f.shown)]
		}
	}
	return nil
}

// hasShown reports whether it had shown a tree to a witness before a time.
func (f *front) hasShown(t proofs.Tree, before time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.shown, func(s shown) bool { return s.tree == t && s.at.Before(before) })
}

// hear notes when it said something of interest last.
func (f *front) hear(line string) {
	for _, what := range []string{leadsNoMore, leads, opened} {
		if strings.Contains(line, what) {
			f.mu.Lock()
			f.when[what] = time.Now()
			if what == opened {
				f.began = -1
				if _, signed, ok := strings.Cut(line, " signed="); ok {
					_, _ = fmt.Sscan(signed, &f.began) // -1 is less than anything
				}
			}
			f.mu.Unlock()
			return
		}
	}
}

// beganWith returns what was signed when it opened the log last.
func (f *front) beganWith() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.began
}

// since returns when it said something last, if that was after a time.
func (f *front) since(what string, t time.Time) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.when[what], f.when[what].After(t)
}

// servers are the flags that say where the log is.
func (w *world) servers(trillian, database string) []string {
	u, err := url.Parse(w.postgres.URL(stateDatabase))
	if err != nil {
		panic(err) // it was parsed when the front end was made
	}
	if database != "" {
		u.Host = database
	}
	return []string{"--storage", "trillian://" + trillian + "/" + w.tree, "--state", u.String()}
}

// start starts it where it was before.
func (f *front) start(ctx context.Context) error {
	listen := cmp.Or(f.listen, "127.0.0.1:0")
	trillian, database := f.trillian.addr(), f.database.addr()
	if !f.w.linked {
		trillian, database = f.w.trillian.Target(), ""
	}
	args := append([]string{"serve", "--dir", f.dir, "--policy", f.policyFile, "--listen", listen,
		"--open-registration", "--quota", "off", "--log-level", "info"}, f.w.servers(trillian, database)...)
	if f.clients != nil {
		args = append(args, "--url", f.url())
	}
	if f.agent != nil {
		args = append(args, "--ssh-agent", f.agent.socket)
	}
	program := cmp.Or(f.program, f.w.h.Program("logserver"))
	p, err := process.Start(ctx, exec.Command(program, args...), f.hear)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.process = p
	if f.addr == "" { // the load reads it from now on
		f.listen = strings.TrimPrefix(p.URL, "http://")
		f.addr = f.listen
	}
	return nil
}

// setApart has it reached through a link and sign by an agent of its own.
func (f *front) setApart() error {
	port, err := postgresserver.FreePort()
	if err != nil {
		return err
	}
	f.listen = fmt.Sprintf("127.0.0.1:%d", port)
	if f.clients, err = newLink(f.listen); err != nil {
		return err
	}
	f.addr = f.clients.addr()
	return f.intoAgent()
}

func (f *front) url() string { return "http://" + f.addr }

// lastWords is what it said last.
func (f *front) lastWords() string {
	if f.process == nil {
		return ""
	}
	return f.process.Said.String()
}

func (f *front) kill() {
	if f.process != nil {
		f.process.Kill()
	}
}

// other is the front end that is not this one.
func (f *front) other() *front {
	for _, g := range f.w.fronts {
		if g != f {
			return g
		}
	}
	return nil
}
