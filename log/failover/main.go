// Command failover runs a log beyond one machine, breaks each part of it under
// load, and looks at what is left. All programs are the real ones, as processes:
// a PostgreSQL, Trillian's log server and signer, two front ends of logserver,
// three witnesses of which two must cosign.
//
//	go run ./log/failover         # the front end that leads is killed, five times in 60 s
//	go run ./log/failover -short  # twice, in about 15 s
//	go run ./log/failover parts   # each part is killed, restarted, paused, cut off
//	go run ./log/failover damage  # the databases are changed by hand
//
// Clients submit releases of many vendors through both front ends without a
// pause; what is not acknowledged is sent again, through the other front end,
// until it is. Written down is every acknowledgement, every checkpoint that either
// front end serves, and every checkpoint that either shows to a witness. At the end
//
//   - nothing acknowledged is lost: each leaf is at its index, under a sidecar that
//     verified when it was given
//   - nothing is in the log twice, however often it was sent
//   - no two checkpoints fork: each that was ever seen is of a prefix of the log
//   - the program auditor replays all of it, has nothing to say against it, and
//     comes to the same root; logserver fsck finds nothing
//   - after each kill the log acknowledges again within 5 s
//   - where the leader alone is cut off from Trillian another leads within 10 s, and
//     where nobody reaches it, nobody leads until somebody does
//
// It exits with 1 if something did not hold, and with 2 if it could not be tried:
// it needs PostgreSQL's programs, and inside a clone of tuflog the go command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/internal/postgresserver"
	"github.com/tuflog/tuflog/internal/process"
	"github.com/tuflog/tuflog/internal/trillianserver"
	"github.com/tuflog/tuflog/log/internal/rehearsal"
)

// settings say how much is done.
type settings struct {
	duration time.Duration // of the load under which leaders are killed
	kills    int
	times    int // each fault of a part, each change by hand
	clients  int
	pause    time.Duration // of the signer
	hang     time.Duration // of a leader, or of its network: longer than its lease
	seed     uint64
	only     string // parts and damage: what is in the names of the faults
}

var (
	longSettings  = settings{duration: time.Minute, kills: 5, times: 3, clients: 8, pause: 5 * time.Second, hang: 6 * time.Second}
	shortSettings = settings{duration: 12 * time.Second, kills: 2, times: 1, clients: 6, pause: 2 * time.Second, hang: 4 * time.Second}
)

func main() {
	s := longSettings
	short := flag.Bool("short", false, "the short form: two kills in 12 s, everything else once")
	duration := flag.Duration("duration", 0, "how long the load runs under which leaders are killed (default 1m0s)")
	kills := flag.Int("kills", 0, "how many times the leader is killed (default 5)")
	times := flag.Int("times", 0, "with parts and damage: how often each fault is injected (default 3)")
	clients := flag.Int("clients", 0, "how many clients submit at once (default 8)")
	only := flag.String("only", "", "with parts and damage: only faults with this in their names")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of what is injected when")
	dir := flag.String("dir", "", "where to put everything (default: a new folder below $TMPDIR, removed at the end)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: failover [flags] [leader] [parts] [damage]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *short {
		s = shortSettings
	}
	set(&s.duration, *duration)
	set(&s.kills, *kills)
	set(&s.times, *times)
	set(&s.clients, *clients)
	s.seed, s.only = *seed, *only
	what := flag.Args()
	if len(what) == 0 {
		what = []string{"leader"}
	}
	for _, w := range what {
		if w != "leader" && w != "parts" && w != "damage" {
			flag.Usage()
			os.Exit(2)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, s, *dir, what)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
	}
	os.Exit(code)
}

// set overrides a setting that was given.
func set[T comparable](setting *T, given T) {
	if given != *new(T) {
		*setting = given
	}
}

// run does what was asked for and prints what came of it.
func run(ctx context.Context, s settings, dir string, what []string) (code int, err error) {
	h, err := newHarness(ctx, s, dir)
	if err != nil {
		return 2, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	h.say = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	started := time.Now()
	fmt.Printf("%s, %s/%s, %d CPUs, seed %d\n", started.UTC().Format("2006-01-02 15:04 MST"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), s.seed)
	if slices.Contains(what, "leader") {
		res, err := h.killLeaders(ctx)
		if err != nil && res == nil {
			return 2, err
		}
		if ctx.Err() != nil {
			return 2, context.Cause(ctx)
		}
		res.print(os.Stdout)
		if err != nil {
			fmt.Printf("\nDID NOT HOLD: %v\n", err)
			code = 1
		}
	}
	var rows []rehearsal.Row
	for _, scenario := range []struct {
		name string
		run  func(context.Context) ([]rehearsal.Row, error)
	}{{"parts", h.parts}, {"damage", h.damageCopy}, {"damage", h.damageTrillian}} {
		if !slices.Contains(what, scenario.name) {
			continue
		}
		more, err := scenario.run(ctx)
		if err != nil {
			return 2, err
		}
		rows = append(rows, more...)
	}
	if len(rows) > 0 {
		fmt.Println()
		code = max(code, rehearsal.PrintTable(os.Stdout, rows))
	}
	fmt.Printf("\n%v\n", time.Since(started).Round(time.Second))
	return code, nil
}

// newHarness builds the programs.
func newHarness(ctx context.Context, s settings, dir string) (h *harness, err error) {
	if _, err := postgresserver.Find(); err != nil {
		return nil, err
	}
	h = &harness{settings: s, dir: dir, say: func(string, ...any) {}}
	if h.own = dir == ""; h.own {
		if h.dir, err = os.MkdirTemp("", "tuflog-failover-"); err != nil {
			return nil, err
		}
	}
	h.bin = h.dir + "/bin"
	if err = os.MkdirAll(h.bin, 0o755); err == nil {
		err = process.Build(ctx, h.bin, "logserver", "witness", "auditor")
	}
	if err == nil {
		h.trillian, err = trillianserver.Build(ctx, os.Stderr)
	}
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}
