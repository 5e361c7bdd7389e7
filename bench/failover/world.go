package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/bench/trillianserver"
	"github.com/tuflog/tuflog/proofs"
)

const (
	stateDatabase    = "tuflog"
	trillianDatabase = "trillian"

	witnesses, quorum = 3, 2
)

// harness is what all worlds share.
type harness struct {
	settings
	*rehearsal.Stage
	trillian string // Trillian's programs
}

// worldConfig says what a world has that others have not.
type worldConfig struct {
	linked bool // front ends reach the servers through links
	clock  bool // the state database goes by a clock that can be set
	apart  bool // the front ends' ports are reached through links, and their key is in agents
	before bool // front ends are of the version before, and the log was made with it
	moves  bool // linked, and so is Trillian: the databases may move
}

// world is a log on servers, its witnesses, and what was seen of them.
type world struct {
	h   *harness
	dir string
	worldConfig
	postgres  *postgresserver.Server
	trillian  *trillianserver.Servers
	data      *link  // of Trillian's programs to their database
	tree      string // number of the tree
	key       proofs.Key
	policy    *proofs.Policy
	witnesses *rehearsal.Witnesses
	fronts    []*front
	rec       *rehearsal.Record
	http      *http.Client
	rand      *rand.Rand
}

// newWorld starts everything, and waits until a front end leads.
func (h *harness) newWorld(ctx context.Context, name string, cfg worldConfig) (w *world, err error) {
	w = &world{h: h, dir: filepath.Join(h.Dir, name), worldConfig: cfg, rec: rehearsal.NewRecord(), http: rehearsal.NewHTTP(), rand: rand.New(rand.NewPCG(h.seed, 0))}
	// A front end that hangs is given up before long.
	w.http.Timeout = 6 * time.Second
	made := w
	defer func() {
		if err != nil {
			err = errors.Join(err, made.close())
		}
	}()
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, err
	}
	if err := w.startServers(ctx); err != nil {
		return nil, err
	}
	logserver := h.Program("logserver")
	if w.before {
		if logserver, err = h.buildBefore(ctx); err != nil {
			return nil, err
		}
	}
	vkey, err := process.Output(ctx, logserver, append([]string{"init", "--dir", filepath.Join(w.dir, "front-1"), "--origin", "failover.example/" + name},
		"--storage", "trillian://"+w.trillian.Target(), "--state", w.postgres.URL(stateDatabase))...)
	if err != nil {
		return nil, err
	}
	vkey, _, _ = strings.Cut(vkey, "\n") // the key by which policies of this rehearsal know the log
	if w.key, err = proofs.ParseKey(vkey); err != nil {
		return nil, err
	}
	if w.tree, err = w.postgres.Exec(ctx, trillianDatabase, "SELECT TreeId FROM Trees"); err != nil {
		return nil, err
	}
	// The signer's plans were made for a database without a tree.
	if err := w.trillian.Analyze(ctx); err != nil {
		return nil, err
	}
	if err := w.startWitnesses(ctx, vkey); err != nil {
		return nil, err
	}
	if w.clock {
		if err := w.makeClock(ctx); err != nil {
			return nil, err
		}
	}
	if err := w.startFronts(ctx, logserver); err != nil {
		return nil, err
	}
	_, err = w.leader(ctx)
	return w, err
}

func (w *world) startServers(ctx context.Context) (err error) {
	w.postgres, err = postgresserver.Start(ctx, postgresserver.Config{Dir: filepath.Join(w.dir, "postgres"), Databases: []string{trillianDatabase, stateDatabase}})
	if err != nil {
		return err
	}
	database, err := url.Parse(w.postgres.URL(trillianDatabase))
	if err != nil {
		return err
	}
	if w.moves {
		if w.data, err = newLink(w.postgres.Addr()); err != nil {
			return err
		}
		database.Host = w.data.addr()
	}
	w.trillian, err = trillianserver.Start(ctx, trillianserver.Config{Bin: w.h.trillian, DatabaseURL: database.String(), SignerInterval: w.h.signer})
	return err
}

// startWitnesses makes and starts the witnesses of a log.
func (w *world) startWitnesses(ctx context.Context, vkey string) (err error) {
	if w.witnesses, err = rehearsal.StartWitnesses(ctx, w.h.Bin, w.dir, witnesses, vkey); err != nil {
		return err
	}
	plain := []byte(w.witnesses.Policy(quorum, nil))
	if w.policy, err = proofs.ParsePolicy(plain); err != nil {
		return err
	}
	return os.WriteFile(w.policyFile(), plain, 0o644)
}

// policyFile is the policy of everybody but the front ends.
func (w *world) policyFile() string { return filepath.Join(w.dir, "policy") }

func (w *world) startFronts(ctx context.Context, program string) error {
	if _, err := process.Output(ctx, "cp", "-a", filepath.Join(w.dir, "front-1"), filepath.Join(w.dir, "front-2")); err != nil {
		return err
	}
	for _, name := range []string{"front-1", "front-2"} {
		f, err := w.newFront(name)
		if err != nil {
			return err
		}
		if w.before {
			f.program = program
		}
		if w.apart {
			if err := f.setApart(); err != nil {
				return err
			}
		}
		if err := f.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// leader waits until a front end leads and returns it.
func (w *world) leader(ctx context.Context) (leader *front, err error) {
	wait := process.Eventually(ctx, "a front end leads", process.Patience, func() bool {
		var url string
		if url, err = w.postgres.Exec(ctx, stateDatabase, "SELECT url FROM lease WHERE expires > clock_timestamp()"); err != nil {
			return false // the database may be away for a while
		}
		for _, f := range w.fronts {
			if f.url() == url {
				leader = f
			}
		}
		return leader != nil
	})
	if wait != nil {
		return nil, errors.Join(wait, err)
	}
	return leader, nil
}

// lastWords is what both front ends said last.
func (w *world) lastWords() string {
	var b strings.Builder
	for _, f := range w.fronts {
		fmt.Fprintf(&b, "\n%s said:\n%s", f.name, f.lastWords())
	}
	return b.String()
}

func (w *world) client() rehearsal.Client {
	return rehearsal.Client{HTTP: w.http, Policy: w.policy, Rec: w.rec}
}

// close ends all processes.
func (w *world) close() error {
	var errs []error
	for _, f := range w.fronts {
		f.kill()
		for _, k := range []*link{f.database, f.trillian, f.clients} {
			if k != nil {
				errs = append(errs, k.close())
			}
		}
		if f.agent != nil {
			errs = append(errs, f.agent.stop())
		}
	}
	if w.data != nil {
		errs = append(errs, w.data.close())
	}
	errs = append(errs, w.witnesses.Close())
	if w.trillian != nil {
		w.trillian.Stop()
	}
	if w.postgres != nil {
		errs = append(errs, w.postgres.Kill())
	}
	w.http.CloseIdleConnections()
	return errors.Join(errs...)
}
