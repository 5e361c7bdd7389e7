package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/trillianserver"
)

// Where the log keeps its entries.
const (
	storageTessera  = "tessera"
	storageTrillian = "trillian"
)

const (
	// takeOverTime is how long it is waited for another front end to lead when the
	// one that led has died. It takes about 3.5 s, and more on a busy machine.
	takeOverTime = 30 * time.Second
	// leadTime is how long new front ends may take until one leads.
	leadTime = 20 * time.Second
)

// servers are a PostgreSQL and Trillian's programs, for a log that more than one
// front end serves.
type servers struct {
	postgres *postgresserver.Server
	trillian *trillianserver.Servers
	said     *os.File // what Trillian's programs say
}

// buildTrillian returns the directory with Trillian's programs. How building them
// goes is written to stderr.
func buildTrillian(ctx context.Context, t *transcript, stderr io.Writer) (string, error) {
	step := t.step("demo", "builds Trillian's log server and signer: about a minute, the first time")
	t.endLine() // for stderr
	bin, err := trillianserver.Build(ctx, stderr)
	if err == nil {
		step.below("they are in %s", bin)
	}
	return bin, err
}

// startServers starts a PostgreSQL in dir with two databases, one for Trillian and
// one for all that the front ends share, and Trillian's programs.
func startServers(ctx context.Context, t *transcript, bin, dir, logs string) (s *servers, err error) {
	step := t.step("operators", "start PostgreSQL, and Trillian's log server and signer")
	s = new(servers)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.said, err = os.Create(filepath.Join(logs, "trillian.log")); err != nil {
		return nil, err
	}
	if s.postgres, err = postgresserver.Start(ctx, postgresserver.Config{Dir: dir, Databases: []string{"trillian", "tuflog"}}); err != nil {
		return nil, err
	}
	s.trillian, err = trillianserver.Start(ctx, trillianserver.Config{Bin: bin, DatabaseURL: s.postgres.URL("trillian"), Stderr: s.said})
	if err != nil {
		return nil, err
	}
	step.outcome("trillian://%s", s.trillian.Target())
	return s, nil
}

// stop stops what has been started.
func (s *servers) stop() (err error) {
	if s.trillian != nil {
		s.trillian.Stop()
	}
	if s.postgres != nil {
		err = s.postgres.Stop()
	}
	if s.said != nil {
		err = errors.Join(err, s.said.Close())
	}
	return err
}

// completeURL is the storage's URL with the tree that logserver init has made.
var completeURL = regexp.MustCompile(`trillian://\S+/\d+`)

// initShared makes the log on the servers.
func (w *world) initShared(ctx context.Context) error {
	o, err := w.p.run(ctx, "logserver", "init", "--dir", w.logDir, "--origin", origin,
		"--storage", "trillian://"+w.on.trillian.Target(), "--state", w.on.postgres.URL("tuflog"))
	if err != nil {
		return err
	}
	w.storage = completeURL.FindString(o.stderr)
	if o.code != 0 || w.storage == "" {
		return o.unexpected("0, and the storage's URL")
	}
	// The signer's plans were made for a database without a tree.
	return w.on.trillian.Analyze(ctx)
}

// shared returns the flags that say where the log is.
func (w *world) shared() []string {
	return []string{"--storage", w.storage, "--state", w.on.postgres.URL("tuflog")}
}

// frontDir is the directory of a front end, with the log's key and little else.
func (w *world) frontDir(i int) string {
	if i == 0 {
		return w.logDir
	}
	return fmt.Sprintf("%s-%d", w.logDir, i+1)
}

// startFronts starts two front ends. The one that does not lead is the log to
// everybody, so that all that follows takes the longer way.
func (w *world) startFronts(ctx context.Context) error {
	if err := copyPrivately(w.frontDir(1), w.frontDir(0)); err != nil {
		return err
	}
	w.fronts = make([]*service, 2)
	for i := range w.fronts {
		if err := w.startFront(ctx, i, "127.0.0.1:0"); err != nil {
			return err
		}
	}
	leader, err := w.waitLeader(ctx, leadTime, func(url string) bool { return url != "" })
	if err != nil {
		return err
	}
	w.log = w.fronts[0]
	if leader == w.log.url {
		w.log = w.fronts[1]
	}
	return nil
}

func (w *world) startFront(ctx context.Context, i int, listen string) (err error) {
	w.fronts[i], err = w.startServer(ctx, fmt.Sprintf("front-end-%d", i+1), w.frontDir(i), listen, w.shared()...)
	return err
}

// copyPrivately copies a flat folder of secrets.
func copyPrivately(to, from string) error {
	files, err := readFiles(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// leader returns the URL of the front end that leads, or "".
func (w *world) leader(ctx context.Context) (string, error) {
	o, err := w.p.run(ctx, "logserver", append([]string{"status", "--json", "--dir", w.logDir}, w.shared()...)...)
	if err != nil {
		return "", err
	}
	if o.code > 1 { // 1: nothing can be published at the moment
		return "", o.unexpected("0 or 1")
	}
	var status struct {
		Leader string `json:"leader"`
	}
	if err := json.Unmarshal([]byte(o.stdout), &status); err != nil {
		return "", fmt.Errorf("%s printed no JSON: %w", o.command, err)
	}
	return status.Leader, nil
}

// waitLeader waits until a front end leads that is wanted, and returns its URL.
func (w *world) waitLeader(ctx context.Context, patience time.Duration, wanted func(url string) bool) (string, error) {
	deadline := time.Now().Add(patience)
	for {
		// While the lead changes hands status may find this and that missing.
		url, err := w.leader(ctx)
		if err == nil && wanted(url) {
			return url, nil
		}
		if time.Now().After(deadline) {
			return "", errors.Join(fmt.Errorf("after %v the front end that leads is %q", patience, url), err)
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// takeOver kills the front end that leads, as a power cut would, and has the
// vendor release through the other.
func (s *story) takeOver(ctx context.Context) error {
	s.t.chapter("The front end that leads is killed; the other takes over")
	w := s.w
	dead := 0
	if w.fronts[dead] == w.log {
		dead = 1
	}
	address := w.fronts[dead].address()
	leads, err := w.leader(ctx)
	if err != nil {
		return err
	}
	if leads != w.fronts[dead].url {
		return fmt.Errorf("the front end at %q leads, expected the one at %s, which nothing has disturbed", leads, w.fronts[dead].url)
	}
	step := s.t.step("accident", "SIGKILL for front end %d, which leads", dead+1)
	w.p.killForGood(w.fronts[dead])
	killed := time.Now()
	if _, err := w.waitLeader(ctx, takeOverTime, func(url string) bool { return url == w.log.url }); err != nil {
		return err
	}
	step.outcome("front end %d leads", 2-dead)

	fresh, err := s.releaseAgain(ctx, killed)
	if err != nil {
		return err
	}
	step = s.t.step("operators", "start front end %d again", dead+1)
	if err := w.startFront(ctx, dead, address); err != nil {
		return err
	}
	step.outcome("it follows")

	step = s.t.step("auditor", "replays the whole log again, through the front end that was killed")
	a, err := w.replay(ctx, "--log", w.fronts[dead].url)
	if err != nil {
		return err
	}
	if err := a.content(); err != nil {
		return err
	}
	if err := continues(a, s.audited, fresh); err != nil {
		return err
	}
	step.outcome("all %d entries are right", a.Judged)
	return nil
}

// releaseAgain has a vendor release while the log has lost one front end, and
// returns how many entries that gave. A history has no vendor: there a new one
// comes.
func (s *story) releaseAgain(ctx context.Context, killed time.Time) (int, error) {
	step := s.t.step("vendor", "releases firmware 2.3 through it")
	vendor := s.vendor
	if vendor == nil {
		var err error
		if vendor, err = newMaker(filepath.Join(s.dir, "vendor"), s.t.start); err != nil {
			return 0, err
		}
	}
	if err := putAndRelease(vendor.Vendor, "2.3"); err != nil {
		return 0, err
	}
	fresh, _, err := s.w.released(ctx, vendor)
	if err != nil {
		return 0, err
	}
	if s.gated != nil { // or the folder is not what clients accept
		if _, err := s.ask(ctx, 0, vendor.dir); err != nil {
			return 0, err
		}
	}
	step.outcome("%s, %.1f s after the kill", entries(fresh), time.Since(killed).Seconds())
	return len(fresh), nil
}

// continues checks that a log has all that it had before, where it was, and just
// so many entries more.
func continues(now, before *audited, fresh int) error {
	if len(now.Leaves) != len(before.Leaves)+fresh {
		return fmt.Errorf("the log has %d entries, expected the %d from before and %d more", len(now.Leaves), len(before.Leaves), fresh)
	}
	for i, leaf := range before.Leaves {
		if was, is := line(leaf.Leaf), line(now.Leaves[i].Leaf); was != is {
			return fmt.Errorf("entry %d was\n%s\nand is now\n%s", i, was, is)
		}
	}
	return nil
}
