// Witnessload measures how fast a witness answers add-checkpoint:
//
//	go run ./bench/witnessload [--omniwitness PATH]
//
// It builds the witness of this project, starts it as a process with fresh logs
// and measures 1, 16 and 64 clients over 1 log and over 64 logs, then, with the
// path of an omniwitness program (github.com/transparency-dev/witness), the same
// for that, in turns. Every checkpoint is a new tree, one entry larger, signed
// and written into a request beforehand, since the clients share the processors
// with the witness. One log is a chain: its clients take turns, and what shows is
// the time of one cosignature. At the end it adds 10,000 logs, has each cosigned
// once and prints how much memory the witness takes. The largest profile of the
// witness network is
//
//	go run ./bench/witnessload -rounds 0 -logs 40000 -per-second 100 -paced 60s -ml-dsa
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tuflog/tuflog/bench/process"
)

type options struct {
	omniwitness string
	rounds      int
	requests    int
	logs        int
	perSecond   float64
	paced       time.Duration
	mldsa       bool
	json        bool
}

func main() {
	var o options
	flag.StringVar(&o.omniwitness, "omniwitness", "", "path of an omniwitness program to compare with")
	flag.IntVar(&o.rounds, "rounds", 3, "how often to measure; the best of each is shown")
	flag.IntVar(&o.requests, "requests", 12800, "requests of a measurement over 64 logs; a quarter over one")
	flag.IntVar(&o.logs, "logs", 10_000, "logs for the measurement of memory; 0 skips it")
	flag.DurationVar(&o.paced, "paced", 0, "for how long to ask for -per-second of these logs' checkpoints as well, before memory is read")
	flag.Float64Var(&o.perSecond, "per-second", 100, "requests a second of -paced")
	flag.BoolVar(&o.mldsa, "ml-dsa", false, "cosign with an ML-DSA-44 key, too")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "witnessload [flags]: measures how fast a witness answers add-checkpoint\n\nExample: go run ./bench/witnessload -rounds 1 -logs 0\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "witnessload:", err)
		os.Exit(2)
	}
}

// result of one measurement.
type result struct {
	Witness   string        `json:"witness"`
	Clients   int           `json:"clients"`
	Logs      int           `json:"logs"`
	PerSecond float64       `json:"per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	Refused   int           `json:"refused"` // answers that the witness is busy
}

type report struct {
	Results []result `json:"results"`
	// Memory of the witness with that many logs, each cosigned once, in bytes.
	Logs     int   `json:"logs,omitempty"`
	Resident int64 `json:"resident,omitempty"`
	Peak     int64 `json:"peak,omitempty"`
	// Paced is what came of -paced.
	Paced *result `json:"paced,omitempty"`
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "witness-load-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "witness")
	if err := process.Build(ctx, dir, "witness"); err != nil {
		return err
	}
	starters := map[string]starter{"tuflog": tuflog(program, o.mldsa)}
	if o.omniwitness != "" {
		starters["omniwitness"] = omniwitness(o.omniwitness)
	}
	var r report
	for round := range o.rounds {
		for name, start := range starters {
			fmt.Fprintf(stderr, "round %d of %d: %s\n", round+1, o.rounds, name)
			results, err := measureAll(ctx, filepath.Join(dir, fmt.Sprintf("%s-%d", name, round)), start, o)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for _, one := range results {
				one.Witness = name
				r.Results = append(r.Results, one)
			}
		}
	}
	r.Results = best(r.Results)
	if o.logs > 0 {
		fmt.Fprintf(stderr, "memory with %d logs\n", o.logs)
		if err := measureMemory(ctx, filepath.Join(dir, "memory"), o, starters["tuflog"], &r); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(r)
	}
	return r.print(stdout)
}

// best keeps the fastest of the measurements of one kind: the machine is shared,
// and others' work only slows it.
func best(all []result) []result {
	slices.SortFunc(all, func(a, b result) int {
		return cmp.Or(-cmp.Compare(a.Witness, b.Witness), cmp.Compare(a.Logs, b.Logs), cmp.Compare(a.Clients, b.Clients), -cmp.Compare(a.PerSecond, b.PerSecond))
	})
	return slices.CompactFunc(all, func(a, b result) bool {
		return a.Witness == b.Witness && a.Logs == b.Logs && a.Clients == b.Clients
	})
}

func (r report) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "witness\tlogs\tclients\tper second\tp50 ms\tp99 ms\tbusy\t")
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, x := range r.Results {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%.0f\t%.2f\t%.2f\t%d\t\n", x.Witness, x.Logs, x.Clients, x.PerSecond, ms(x.P50), ms(x.P99), x.Refused)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if r.Logs > 0 {
		fmt.Fprintf(w, "\n%d logs: %.1f MiB resident, %.1f MiB at the peak\n", r.Logs, float64(r.Resident)/(1<<20), float64(r.Peak)/(1<<20))
	}
	if x := r.Paced; x != nil {
		fmt.Fprintf(w, "paced: %.1f a second, p50 %.2f ms, p99 %.2f ms, busy %d\n", x.PerSecond, ms(x.P50), ms(x.P99), x.Refused)
	}
	return nil
}
