// Command demo shows tuflog on one machine, in one command: it builds the real
// programs, starts a log and three witnesses as processes on loopback, publishes
// a vendor's history and installs from it as a device would. It checks that the
// device refuses what it must, and lets an auditor replay it all. Every line of
// its transcript follows from the programs' results; the demo fails if a result
// is not the announced one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/internal/cli"
)

func main() { cli.Main(newCommand) }

// options are the flags.
type options struct {
	once    bool
	storage string
	history []string
	dir     string
	keep    bool
	bin     string
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "demo [--once] [--storage trillian] [--history DIR] [--dir DIR]",
		Short: "Show the whole of tuflog on this machine",
		Long: `Demo builds the programs and starts a log and three witnesses, each as its own
process on loopback with fresh keys. A generated vendor publishes releases. A device
installs one and refuses files that are not logged, not witnessed, contradicted,
rolled back or passed off as others. Gates make a client that knows no log, go-tuf's own,
refuse that as well. An auditor replays it all. Then the demo keeps running, with commands
to try, until Ctrl-C. Run it inside a clone of tuflog.

With --storage trillian the log is one that several machines could share: two front
ends on Trillian's log server and signer and a PostgreSQL of the demo's own, which
needs PostgreSQL's server programs (Debian: postgresql). All requests go through the
front end that does not lead. At the end the leader is killed, and the other takes
over. Trillian's programs are built the first time, which takes about a minute.

Exit codes: 0 every step had the announced result; 1 a step had not; 2 wrong usage,
or the demo could not run.`,
		Example: `  go run ./cmd/demo
  go run ./cmd/demo --once
  go run ./cmd/demo --once --storage trillian
  go run ./cmd/demo --dir /tmp/demo --history $TUFLOG_DATA/tuf_histories/sigstore_root_signing`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.once, "once", false, "end after the transcript")
	f.StringVar(&o.storage, "storage", storageTessera, "where the log keeps its entries: tessera, in a directory, or trillian, on servers that two front ends share")
	f.StringArrayVar(&o.history, "history", nil, "log this history (a directory with index.csv) instead of a generated one; may be given again for more")
	f.StringVar(&o.dir, "dir", "", "keep everything in this directory, new or empty (default: a temporary one, removed at the end)")
	f.StringVar(&o.bin, "bin", "", "run the programs in this directory instead of building them")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary directory")
	return cmd
}

// run is the demo from the first line to the last.
func (o options) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if o.storage != storageTessera && o.storage != storageTrillian {
		return fmt.Errorf("--storage %q: want %s or %s", o.storage, storageTessera, storageTrillian)
	}
	if o.storage == storageTrillian {
		if _, err := postgresserver.Find(); err != nil {
			return fmt.Errorf("--storage %s: %w", storageTrillian, err)
		}
	}
	for i, history := range o.history {
		if o.history[i], err = filepath.Abs(history); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(o.history[i], "index.csv")); err != nil {
			return fmt.Errorf("--history: %w", err)
		}
	}
	dir, remove, err := o.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()

	t := newTranscript(stdout, cli.Columns(stdout))
	defer t.endLine()
	t.say("tuflog demo, in %s", dir)
	p, err := o.programs(ctx, t, dir, stderr)
	if err != nil {
		return err
	}
	trillian := ""
	if o.storage == storageTrillian {
		if trillian, err = buildTrillian(ctx, t, stderr); err != nil {
			return err
		}
	}
	t.start = time.Now()
	var on *servers
	if o.storage == storageTrillian {
		if on, err = startServers(ctx, t, trillian, filepath.Join(dir, "postgres"), p.logs); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, on.stop()) }()
	}
	defer p.stopAll()
	if err := o.show(ctx, t, p, dir, on); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		// What a program that died said is worth more than what missed it.
		return cli.Failed(errors.Join(err, p.died()))
	}
	return nil
}

// programs builds the programs, unless they are there already.
func (o options) programs(ctx context.Context, t *transcript, dir string, stderr io.Writer) (*programs, error) {
	p := &programs{bin: filepath.Join(dir, "bin"), logs: filepath.Join(dir, "logs")}
	if err := os.MkdirAll(p.logs, 0o755); err != nil {
		return nil, err
	}
	if o.bin != "" {
		var err error
		if p.bin, err = filepath.Abs(o.bin); err != nil {
			return nil, err
		}
		for _, name := range programNames {
			if _, err := exec.LookPath(filepath.Join(p.bin, name)); err != nil {
				return nil, fmt.Errorf("--bin: %w; go build -o %s/ ./cmd/... %s builds the programs", err, o.bin, stockPackage)
			}
		}
		return p, nil
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	step := t.step("demo", "builds the programs from %s", root)
	if cli.Columns(stderr) > 0 {
		t.endLine() // how far the build is stands below
	}
	if err := build(ctx, root, p.bin, stderr); err != nil {
		return nil, err
	}
	if t.open {
		step.outcome("done")
	} else {
		step.below("done")
	}
	return p, nil
}

// show runs everything that the transcript tells, and waits unless --once. With
// servers the log is on them.
func (o options) show(ctx context.Context, t *transcript, p *programs, dir string, on *servers) (err error) {
	what := "a log"
	if on != nil {
		what = "a log with two front ends"
	}
	step := t.step("operators", "start %s and three witnesses, each with a new key", what)
	var flags []string
	if len(o.history) > 0 {
		flags = []string{"--log-snapshots", "--log-timestamps"}
	}
	w, err := newWorld(ctx, p, filepath.Join(dir, "world"), on, flags...)
	if err != nil {
		return err
	}
	step.outcome("%s", w.log.url)
	text, err := os.ReadFile(w.policy)
	if err != nil {
		return err
	}
	step.table("the parties to trust, in a policy file (2 of 3 is for a demo; docs/architecture.md recommends 4 of 5):\n" + string(text))

	s := &story{t: t, w: w, dir: dir}
	if len(o.history) > 0 {
		if s.audited, err = importHistories(ctx, t, w, o.history); err == nil {
			s.monitor, err = w.startMonitor(ctx, filepath.Join(dir, "monitor"), "", site{})
		}
	} else {
		if s.mirror, err = startMirror(filepath.Join(dir, "mirror")); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.mirror.close()) }()
		err = s.tell(ctx)
	}
	if err == nil && on != nil {
		err = s.takeOver(ctx)
	}
	if err != nil {
		return err
	}
	t.say("\nEverything came out as announced, in %.1f s.", time.Since(t.start).Seconds())
	if o.once {
		return nil
	}
	o.next(t, s)
	return p.watch(ctx)
}

// folder returns where the demo keeps everything, and what to do at the end.
func (o options) folder() (dir string, remove func() error, err error) {
	if o.dir == "" {
		dir, err = os.MkdirTemp("", "tuflog-demo-")
		if err != nil || o.keep {
			return dir, func() error { return nil }, err
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	}
	if dir, err = filepath.Abs(o.dir); err != nil {
		return "", nil, err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return "", nil, fmt.Errorf("--dir: %w", err)
	case len(entries) > 0:
		return "", nil, fmt.Errorf("--dir %s is not empty: name a new directory, the demo makes fresh keys every time", dir)
	}
	return dir, func() error { return nil }, os.MkdirAll(dir, 0o755)
}
