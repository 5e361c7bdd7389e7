// Command faults breaks a log in every way that has broken a real one, and looks
// at what is left: it runs logserver and witness as processes under a load of
// real submissions, writes down every acknowledgement (index, leaf, sidecar),
// every checkpoint that was published and every checkpoint that the log signed
// and showed to a witness, injects a fault, starts the log again, and then holds
// what it wrote down against what the log has:
//
//   - nothing acknowledged is lost: each leaf is at its index
//   - nothing is in the log twice, however often it was sent
//   - no two checkpoints fork: each that was ever seen, signed or published, is
//     of a prefix of the log as it is at the end
//   - the log refuses rather than signs something else
//   - it goes on by itself where no person is needed
//   - an auditor that replays all of it has nothing to say against it
//
// The scenario device does the same to updates of a device, as device.go says.
//
// It is the long form of this package's tests:
//
//	go run ./bench/faults
//
// prints a table of what was injected, how often, and what held, and exits with
// 1 if something did not. Power cuts and full disks need root and loop devices,
// failing system calls need strace; what cannot be injected here is listed as
// skipped, with the reason.
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

	"github.com/tuflog/tuflog/bench/rehearsal"
)

// counts says how often what is injected.
type counts struct {
	kills     int   // kill -9 under load
	cuts      int   // power cuts, over all variants
	flips     int   // flipped bits, over all kinds of file
	entries   int64 // of the log whose bits are flipped
	calls     int   // Nth call of a thread that fails, up to
	full      int   // disks filled
	restores  int   // times each restored, cloned or lost state is tried
	clocks    int   // jumps of the clock
	partition int   // witness partitions, each kind
	idle      int   // idle connections
	steps     int   // calls of a kind at which a device's update is broken off, up to
}

var (
	longCounts  = counts{kills: 300, cuts: 102, flips: 220, entries: 540, calls: 5, full: 6, restores: 2, clocks: 12, partition: 4, idle: 500, steps: 1 << 20}
	shortCounts = counts{kills: 10, cuts: 3, flips: 11, entries: 260, calls: 1, full: 1, restores: 1, clocks: 4, partition: 1, idle: 200, steps: 2}
)

// scenario is one kind of fault.
type scenario struct {
	name string
	run  func(ctx context.Context, h *harness) ([]rehearsal.Row, error)
}

var scenarios = []scenario{
	{"kill", killed},
	{"power", powerCut},
	{"calls", failingCalls},
	{"flips", flippedBits},
	{"restore", restored},
	{"full", diskFull},
	{"two", twoServers},
	{"clock", clockJumps},
	{"partition", partitioned},
	{"clients", badClients},
	{"device", devices},
}

func main() {
	n := longCounts
	only := flag.String("only", "", "run these scenarios alone, separated by commas: kill, power, full, calls, flips, restore, two, clock, partition, clients, device")
	dir := flag.String("dir", "", "where to put logs and disk images (default: a new folder below $TMPDIR, removed at the end)")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of what is injected where and when")
	flag.IntVar(&n.kills, "kills", n.kills, "how many times the log is killed under load")
	flag.IntVar(&n.cuts, "cuts", n.cuts, "how many times the power is cut")
	flag.IntVar(&n.flips, "flips", n.flips, "how many bits are flipped")
	flag.IntVar(&n.steps, "steps", n.steps, "a device's update is broken off at the first, second ... system call of each kind, up to this")
	flag.IntVar(&n.calls, "calls", n.calls, "each system call fails the first, second ... time of a thread, up to this")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "faults [flags]: breaks a log in every way that has broken a real one, and looks at what is left\n\nExample: go run ./bench/faults -only kill,flips -kills 20\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()

	for name := range strings.SplitSeq(*only, ",") {
		if *only != "" && !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			fmt.Fprintf(os.Stderr, "faults: there is no scenario %q\n", name)
			os.Exit(2)
		}
	}
	rehearsal.Main("faults", func(ctx context.Context) (int, error) { return long(ctx, n, *dir, *seed, *only) })
}

// long runs the scenarios and prints the table.
func long(ctx context.Context, n counts, dir string, seed uint64, only string) (code int, err error) {
	h, err := newHarness(ctx, n, dir, "", seed)
	if err != nil {
		return 2, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	end := h.Aloud(os.Stdout, seed)
	var rows []rehearsal.Row
	for _, s := range scenarios {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		begin := time.Now()
		got, err := s.run(ctx, h)
		if ctx.Err() != nil {
			return 2, context.Cause(ctx)
		}
		if err != nil {
			got = append(got, rehearsal.Row{Fault: s.name, Held: err})
		}
		rows = append(rows, got...)
		h.Say("%s: %v", s.name, time.Since(begin).Round(100*time.Millisecond))
	}
	fmt.Println()
	code = rehearsal.PrintTable(os.Stdout, rows)
	end()
	return code, nil
}
