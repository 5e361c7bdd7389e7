package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/proofs"
)

// harness is what the scenarios share.
type harness struct {
	counts
	*rehearsal.Stage
	rand *rand.Rand
	n    int // worlds made
}

// newHarness takes the programs from bin, or builds them.
func newHarness(ctx context.Context, n counts, dir, bin string, seed uint64) (*harness, error) {
	stage, err := rehearsal.NewStage(ctx, "faults", dir, bin, "logserver", "witness", "publisher", "updater")
	if err != nil {
		return nil, err
	}
	return &harness{counts: n, Stage: stage, rand: rand.New(rand.NewPCG(seed, 0))}, nil
}

// between picks a duration.
func (h *harness) between(least, most time.Duration) time.Duration {
	return least + time.Duration(h.rand.Int64N(int64(most-least)))
}

// world is one log with its witnesses and what was seen of them.
type world struct {
	h                 *harness
	dir               string
	logDir, ledgerDir string
	policyFile        string
	policy            *proofs.Policy
	witnesses         *rehearsal.Witnesses
	taps              []*rehearsal.Tap
	log               *process.Process
	addr              string // where the log listens, once it has been started
	rec               *rehearsal.Record
	loads             []*load // all there have been
	http              *http.Client
}

// place says where a log's directories are; both may be on a file system that
// the scenario has mounted.
type place struct{ log, ledger string }

// newWorld makes a log and starts its witnesses, a quorum of which is needed.
func (h *harness) newWorld(ctx context.Context, name string, witnesses, quorum int, at place) (w *world, err error) {
	h.n++
	w = &world{h: h, dir: filepath.Join(h.Dir, fmt.Sprintf("%02d-%s", h.n, name)), rec: rehearsal.NewRecord(), http: rehearsal.NewHTTP()}
	if w.logDir, w.ledgerDir = at.log, at.ledger; w.logDir == "" {
		w.logDir = filepath.Join(w.dir, "log")
	}
	if w.ledgerDir == "" {
		w.ledgerDir = filepath.Join(w.dir, "ledger")
	}
	w.policyFile = filepath.Join(w.dir, "policy")
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, err
	}
	vkey, err := process.Output(ctx, h.Program("logserver"), "init", "--dir", w.logDir, "--ledger", w.ledgerDir, "--origin", "faults.example/"+name, "--only", "ed25519")
	if err != nil {
		return nil, err
	}
	key, err := proofs.ParseKey(vkey)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.witnesses, err = rehearsal.StartWitnesses(ctx, h.Bin, w.dir, witnesses, vkey); err != nil {
		return nil, err
	}
	if w.taps, err = w.witnesses.NewTaps(key, w.rec, nil); err != nil {
		return nil, err
	}
	policy := w.witnesses.Policy(quorum, w.taps)
	if w.policy, err = proofs.ParsePolicy([]byte(policy)); err != nil {
		return nil, err
	}
	return w, os.WriteFile(w.policyFile, []byte(policy), 0o644)
}

// newLoaded makes a world with a log that runs under load.
func (h *harness) newLoaded(ctx context.Context, name string, witnesses, quorum int, at place, clients int) (*world, *load, error) {
	w, err := h.newWorld(ctx, name, witnesses, quorum, at)
	if err != nil {
		return nil, nil, err
	}
	if err := w.startLog(ctx); err != nil {
		return nil, nil, errors.Join(err, w.close())
	}
	return w, w.load(ctx, clients), nil
}

// grow starts the log and has n more releases acknowledged.
func (w *world) grow(ctx context.Context, clients int, n int64) error {
	if err := w.startLog(ctx); err != nil {
		return err
	}
	l := w.load(ctx, clients)
	defer l.stop()
	return l.progress(ctx, n)
}

// serving is the command that serves a log.
func (w *world) serving(logDir, ledgerDir, addr string) *exec.Cmd {
	return exec.Command(w.h.Program("logserver"), "serve", "--dir", logDir, "--ledger", ledgerDir, "--policy", w.policyFile, "--listen", addr,
		"--open-registration", "--quota", "off", "--log-level", "warn")
}

// startLog starts the log where it was before. process.IsEnded holds of the error
// if it refuses.
func (w *world) startLog(ctx context.Context) error {
	addr := w.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	p, err := process.Start(ctx, w.serving(w.logDir, w.ledgerDir, addr), nil)
	if err != nil {
		return err
	}
	w.log = p
	if w.addr == "" { // the load reads it from now on
		w.addr = strings.TrimPrefix(p.URL, "http://")
	}
	return nil
}

func (w *world) url() string { return "http://" + w.addr }

// lastWords is what the log said last.
func (w *world) lastWords() string {
	if w.log == nil {
		return ""
	}
	return w.log.Said.String()
}

// stopLog ends the log in an orderly way.
func (w *world) stopLog() {
	if w.log != nil {
		w.log.Stop()
	}
}

func (w *world) killLog() {
	if w.log != nil {
		w.log.Kill()
	}
}

// close ends the load and all processes.
func (w *world) close() error {
	for _, l := range w.loads {
		l.stop()
	}
	w.killLog()
	w.http.CloseIdleConnections()
	return w.witnesses.Close()
}
