// Command failover runs a log beyond one machine, breaks each part of it under
// load, and looks at what is left. All programs are the real ones, as processes:
// a PostgreSQL, Trillian's log server and signer, two front ends of logserver,
// three witnesses of which two must cosign.
//
//	go run ./bench/failover         # the front end that leads is killed, five times in 60 s
//	go run ./bench/failover -short  # twice, in about 15 s
//	go run ./bench/failover parts   # each part is killed, restarted, paused, cut off
//	go run ./bench/failover lease   # two live leaders; clocks that are set or run wrongly
//	go run ./bench/failover replica # the databases fail over to a replica that lags
//	go run ./bench/failover yield   # the leader alone cannot publish
//	go run ./bench/failover late    # two append to one tree of Trillian
//	go run ./bench/failover versions # updated from the version before, front end by front end
//	go run ./bench/failover damage  # the databases are changed by hand
//	go run ./bench/failover all     # everything
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
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/bench/trillianserver"
)

// settings say how much is done.
type settings struct {
	duration time.Duration // of the load under which leaders are killed
	kills    int
	times    int // each fault of a part, each change by hand
	steps    int // how often a clock is set
	clients  int
	signer   time.Duration // how often the signer looks for leaves, which costs the processor a lot
	pause    time.Duration // of the signer
	hang     time.Duration // of a leader, or of its network: longer than its lease
	seed     uint64
	patient  bool   // a front end that has stopped is left to find that it can go on
	only     string // parts and damage: what is in the names of the faults
}

var (
	longSettings  = settings{duration: time.Minute, kills: 5, times: 3, steps: 20, clients: 8, patient: true, signer: 10 * time.Millisecond, pause: 5 * time.Second, hang: 6 * time.Second}
	shortSettings = settings{duration: 12 * time.Second, kills: 2, times: 1, steps: 3, clients: 6, signer: 30 * time.Millisecond, pause: 2 * time.Second, hang: 4 * time.Second}
)

func main() {
	s := longSettings
	short := flag.Bool("short", false, "the short form: two kills in 12 s, everything else once")
	duration := flag.Duration("duration", 0, "how long the load runs under which leaders are killed (default 1m0s)")
	kills := flag.Int("kills", 0, "how many times the leader is killed (default 5)")
	times := flag.Int("times", 0, "how often each other fault is injected (default 3)")
	steps := flag.Int("steps", 0, "with lease: how often the database's clock is set, and the lease said to have expired (default 20)")
	clients := flag.Int("clients", 0, "how many clients submit at once (default 8)")
	only := flag.String("only", "", "only faults with this in their names, but for leader")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of what is injected when")
	dir := flag.String("dir", "", "where to put everything (default: a new folder below $TMPDIR, removed at the end)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "failover [flags] ["+strings.Join(words(), "] [")+"] [all]: breaks each part of a log beyond one machine, and looks at what is left\n\nExample: go run ./bench/failover -short\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *short {
		s = shortSettings
	}
	set(&s.duration, *duration)
	set(&s.kills, *kills)
	set(&s.times, *times)
	set(&s.steps, *steps)
	set(&s.clients, *clients)
	s.seed, s.only = *seed, *only
	what := flag.Args()
	if len(what) == 0 {
		what = []string{"leader"}
	}
	if slices.Equal(what, []string{"all"}) {
		what = words()
	}
	for _, w := range what {
		if !slices.Contains(words(), w) {
			flag.Usage()
			os.Exit(2)
		}
	}
	rehearsal.Main("failover", func(ctx context.Context) (int, error) { return run(ctx, s, *dir, what) })
}

// words are what can be asked for.
func words() []string {
	list := []string{"leader"}
	for _, r := range rehearsals() {
		if !slices.Contains(list, r.name) {
			list = append(list, r.name)
		}
	}
	return list
}

// rehearsed is a part of what is rehearsed that ends in rows of a table.
type rehearsed struct {
	name  string // on the command line
	world string
	run   func(context.Context, *harness) ([]rehearsal.Row, error)
}

func rehearsals() []rehearsed {
	var list []rehearsed
	for _, s := range scenarios {
		list = append(list, rehearsed{s.name, s.name, func(ctx context.Context, h *harness) ([]rehearsal.Row, error) { return h.suffer(ctx, s) }})
	}
	return append(list,
		rehearsed{"damage", "copy", func(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
			return h.damage(ctx, "copy", "changes of the copy, one after another, each repaired", copyHarms)
		}},
		rehearsed{"damage", "trillian", func(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
			return h.damage(ctx, "trillian", "changes of Trillian's database, one after another, each taken back", trillianHarms)
		}})
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
	defer func() { err = errors.Join(err, h.Close()) }()
	end := h.Aloud(os.Stdout, s.seed)
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
	for _, r := range rehearsals() {
		if !slices.Contains(what, r.name) {
			continue
		}
		more, err := r.run(ctx, h)
		if err != nil {
			return 2, err
		}
		rows = append(rows, more...)
	}
	if len(rows) > 0 {
		fmt.Println()
		code = max(code, rehearsal.PrintTable(os.Stdout, rows))
	}
	end()
	return code, nil
}

// newHarness builds the programs.
func newHarness(ctx context.Context, s settings, dir string) (h *harness, err error) {
	if _, err := postgresserver.Find(); err != nil {
		return nil, err
	}
	stage, err := rehearsal.NewStage(ctx, "failover", dir, "", "logserver", "witness", "auditor")
	if err != nil {
		return nil, err
	}
	h = &harness{settings: s, Stage: stage}
	if h.trillian, err = trillianserver.Build(ctx, os.Stderr); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}
