// Command auditload measures how fast an auditor replays a log:
//
//	go run ./bench/auditload                      # 100,000 releases of 5 KB
//	go run ./bench/auditload -releases 20000      # the short form
//	go run ./bench/auditload -releases 1000000 -repositories 20000 -size 1000 -few-files -rounds 1
//
// It signs the releases of many repositories and writes the log that holds them, as any
// static file server can serve it, into a folder. In turn it then measures
//
//   - the floor: the files of each leaf read strictly, their hashes and signatures checked,
//     and the leaf hashed, from memory on all cores, and nothing else
//   - the program auditor, as a process of its own, which replays the log from a file
//     server on this machine
//   - the same with the state that a replay has left: a restart, which finds nothing new and
//     reports everything, and the question which releases list a file
//
// and prints for each how many leaves a second it did, what share of the floor that is,
// the bytes that the server sent for each leaf, and the peak of the auditor's memory. Of
// several rounds each line shows the best one: the machine is shared, and the work of
// others only slows it.
//
// It exits with 1 if the auditor finds anything in the log, which is as it should be, and
// with 2 if it could not be measured.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"

	"github.com/tuflog/tuflog/bench/process"
)

type options struct {
	releases, repositories, size, rounds int
	json, few                            bool
	auditor, dir                         string
}

func main() {
	var o options
	flag.IntVar(&o.releases, "releases", 100_000, "releases in the log, roots included")
	flag.IntVar(&o.repositories, "repositories", 200, "repositories that they belong to, in turn")
	flag.IntVar(&o.size, "size", 5000, "size of a targets file in bytes, about")
	flag.IntVar(&o.rounds, "rounds", 3, "how often to measure; the best of each is shown")
	flag.StringVar(&o.auditor, "auditor", "", "program to measure (default: cmd/auditor, which is built)")
	flag.StringVar(&o.dir, "dir", "", "folder for the log, used again if it holds one (default: a new one below $TMPDIR, removed at the end)")
	flag.BoolVar(&o.few, "few-files", false, "write by themselves only the files that are asked for beside packs: roots and last releases. Neither packs in zstd nor a replay without packs is measured")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "auditload [flags]: measures how fast an auditor replays a log\n\nExample: go run ./bench/auditload -releases 20000 -rounds 1\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, o, os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "auditload:", err)
	if errors.Is(err, errFound) {
		os.Exit(1)
	}
	os.Exit(2)
}

// errFound means that the auditor does not say that the log is as it should be.
var errFound = errors.New("the auditor does not vouch for the log")

func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	if o.repositories < 1 || o.releases < o.repositories || o.size < 1 || o.rounds < 1 {
		return errors.New("-repositories, -size and -rounds: want one or more; -releases: want no fewer than repositories")
	}
	work, err := os.MkdirTemp("", "audit-load-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.dir == "" {
		o.dir = filepath.Join(work, "log")
	}
	if o.auditor == "" {
		if err := process.Build(ctx, work, "auditor"); err != nil {
			return err
		}
		o.auditor = filepath.Join(work, "auditor")
	}
	m, err := openMirror(ctx, o, stderr)
	if err != nil {
		return err
	}
	best := map[string]figures{}
	var order []string
	for round := range o.rounds {
		for _, one := range measurements(o.few) {
			fmt.Fprintf(stderr, "round %d of %d: %s\n", round+1, o.rounds, one.name)
			got, err := one.measure(ctx, m, o.auditor, work)
			if err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
			before, known := best[one.name]
			if !known {
				order = append(order, one.name)
			}
			if !known || got.PerSecond > before.PerSecond {
				got.What = one.name
				best[one.name] = got
			}
		}
	}
	var all []figures
	for _, name := range order {
		f := best[name]
		f.Share = f.PerSecond / best[order[0]].PerSecond
		all = append(all, f)
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(all)
	}
	return printTable(stdout, all)
}

// figures are those of one measurement.
type figures struct {
	What      string  `json:"what"`
	Leaves    int64   `json:"leaves"`
	PerSecond float64 `json:"per_second"`
	Share     float64 `json:"share"`                    // of the floor
	Processor float64 `json:"processor_us"`             // time of the floor or the auditor, for each leaf
	Serving   float64 `json:"serving_us,omitempty"`     // the same of the file server
	PerLeaf   float64 `json:"bytes_per_leaf,omitempty"` // that the server sent
	Requests  int64   `json:"requests,omitempty"`       // that it answered
	Peak      int64   `json:"peak,omitempty"`           // memory of the auditor, in bytes
	Took      float64 `json:"ms"`                       // all of it
}

func printTable(w io.Writer, all []figures) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "leaves\tper second\tof the floor\tprocessor µs\tserving µs\tbytes per leaf\trequests\tpeak MiB\tms\t what\t")
	for _, f := range all {
		fmt.Fprintf(tw, "%d\t%.0f\t%.2f\t%.0f\t%.0f\t%.0f\t%d\t%d\t%.0f\t %s\t\n", f.Leaves, f.PerSecond, f.Share, f.Processor, f.Serving, f.PerLeaf, f.Requests, f.Peak>>20, f.Took, f.What)
	}
	return tw.Flush()
}
