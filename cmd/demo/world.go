package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/bench/testbed"
)

// origin is the demo log's name, which every checkpoint begins with.
const origin = "demo.example/log"

// witnessNames are the demo's witnesses. Any two of them are a quorum here: that
// shows a witness missing, but with one of the three dishonest a log could show
// two faces. docs/architecture.md recommends 4 of 5 or 5 of 7.
var witnessNames = []string{"ada", "bea", "cyd"}

const quorum = 2

// world is a log and its witnesses, each a process of its own with fresh keys.
type world struct {
	p         *programs
	dir       string
	policy    string // the trust policy: a file
	log       *service
	witnesses []*service
	logDir    string
	logFlags  []string
	on        *servers   // nil: the log is in its directory
	storage   string     // with servers: the URL of Trillian's tree
	fronts    []*service // with servers: log, and the front end that leads
}

// newWorld makes keys, writes the trust policy and starts everything, all below
// dir, which must not hold an earlier world. With servers the log is on them.
func newWorld(ctx context.Context, p *programs, dir string, on *servers, logFlags ...string) (*world, error) {
	w := &world{
		p:        p,
		dir:      dir,
		policy:   filepath.Join(dir, "policy.txt"),
		logDir:   filepath.Join(dir, "log"),
		logFlags: logFlags,
		on:       on,
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := w.initLog(ctx); err != nil {
		return nil, err
	}
	vkey, err := os.ReadFile(filepath.Join(w.logDir, "log.vkey"))
	if err != nil {
		return nil, err
	}
	logKey := strings.TrimSpace(string(vkey))
	run := func(program string, args ...string) (string, error) {
		out, err := p.must(ctx, program, args...)
		return strings.TrimSpace(out), err
	}
	var witnesses []testbed.Witness
	for i, name := range witnessNames {
		made, err := testbed.NewWitness(run, w.witnessDir(i), name, "demo.example", logKey)
		if err != nil {
			return nil, err
		}
		w.witnesses = append(w.witnesses, nil)
		if err := w.startWitness(ctx, i, "127.0.0.1:0"); err != nil {
			return nil, err
		}
		made.URL = w.witnesses[i].url
		witnesses = append(witnesses, made)
	}
	// The log needs the policy before anybody knows where it will listen; for
	// everybody else the policy also says where the log is.
	if err := os.WriteFile(w.policy, []byte(testbed.Policy(logKey, quorum, witnesses)), 0o644); err != nil {
		return nil, err
	}
	if err := w.startLog(ctx, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	return w, os.WriteFile(w.policy, []byte(testbed.Policy(logKey+" "+w.log.url, quorum, witnesses)), 0o644)
}

func (w *world) witnessDir(i int) string {
	return filepath.Join(w.dir, "witness-"+witnessNames[i])
}

func (w *world) startWitness(ctx context.Context, i int, listen string) error {
	var err error
	w.witnesses[i], err = w.p.start(ctx, "witness-"+witnessNames[i], "witness", "serve", "--dir", w.witnessDir(i), "--listen", listen)
	return err
}

// initLog makes the log.
func (w *world) initLog(ctx context.Context) error {
	if w.on != nil {
		return w.initShared(ctx)
	}
	_, err := w.p.must(ctx, "logserver", "init", "--dir", w.logDir, "--origin", origin)
	return err
}

// startLog starts the log, and with servers all its front ends.
func (w *world) startLog(ctx context.Context, listen string) (err error) {
	if w.on != nil {
		return w.startFronts(ctx)
	}
	w.log, err = w.startServer(ctx, "log", w.logDir, listen)
	return err
}

// startServer starts a log server.
func (w *world) startServer(ctx context.Context, label, dir, listen string, flags ...string) (*service, error) {
	args := append([]string{"serve", "--dir", dir, "--policy", w.policy, "--listen", listen, "--open-registration"}, w.logFlags...)
	return w.p.start(ctx, label, "logserver", append(args, flags...)...)
}

// publisher returns the arguments of a publisher command for this world.
func (w *world) publisher(command string, args ...string) []string {
	return append([]string{command, "--policy", w.policy}, args...)
}

// auditor returns the arguments of an auditor command for this world.
func (w *world) auditor(command string, args ...string) []string {
	return append([]string{command, "--policy", w.policy}, args...)
}
