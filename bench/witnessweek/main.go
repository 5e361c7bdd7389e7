// Command witnessweek plays a week of many logs that ask one witness, and says whether any
// of them, or all of them together, sent more than they had declared.
//
//	go run ./bench/witnessweek [-logs 1000] [-per-day 864] [-days 7] [-hungry 10] [-seed 1]
//
// A thousand logs of 864 requests a day are the 10 requests a second that a list of the
// witness network has for all of its logs. The clock is played, and so are releases, a
// noon at which every log has releases, restarts, crash loops, a day on which all machines
// start again at once, conflicts, and outages of the witness. What decides whether a request
// is sent is the code of logserver, witness/budget, with its state in what outlives a restart.
// It exits with 1 if anything is over.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/witness/budget"
)

func main() {
	var w week
	flag.IntVar(&w.logs, "logs", 1000, "how many `LOGS` there are")
	flag.Int64Var(&w.rate.PerDay, "per-day", 864, "`REQUESTS` that each declares a day; 0: none")
	flag.IntVar(&w.days, "days", 7, "how many `DAYS` are played")
	flag.IntVar(&w.hungry, "hungry", 10, "how many `PERCENT` of the logs have a new checkpoint all the time")
	flag.Uint64Var(&w.seed, "seed", 1, "`SEED` of what happens")
	flag.Parse()
	if flag.NArg() > 0 || w.logs < 1 || w.days < 1 || w.rate.Check() != nil {
		flag.Usage()
		os.Exit(2)
	}
	began := time.Now()
	r, err := w.play()
	if err == nil {
		err = r.print(os.Stdout, w)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "witnessweek:", err)
		os.Exit(2)
	}
	fmt.Printf("\nplayed in %v\n", time.Since(began).Round(time.Millisecond))
	if r.over(w.rate) {
		fmt.Println("MORE THAN DECLARED")
		os.Exit(1)
	}
}

// print writes the result as a table.
func (r *result) print(w io.Writer, of week) error {
	t := printable.NewTable(w, "of", "figure", "declared")
	declared := func(n int64) string {
		if of.rate.PerDay == 0 {
			return "-"
		}
		return fmt.Sprint(n)
	}
	day := of.rate.PerDay * int64(of.logs)
	t.Row("requests", fmt.Sprint(len(r.all)), "")
	t.Row("most of one log in any 24 hours", fmt.Sprint(r.mostOfOne), declared(of.rate.PerDay))
	t.Row("most of all logs in any 24 hours", fmt.Sprint(r.mostInDay), declared(day))
	t.Row("  a second, over these 24 hours", fmt.Sprintf("%.2f", float64(r.mostInDay)/86400), declared(day/86400))
	t.Row("most of all logs in any hour, a second", fmt.Sprintf("%.2f", float64(r.mostInHour)/3600), "")
	t.Row("most of all logs in any second", fmt.Sprint(r.mostInSecond), "")
	t.Row("releases of logs that are not hungry", fmt.Sprint(len(r.waits)), "")
	for _, p := range []float64{.5, .9, .99, 1} {
		t.Row(fmt.Sprintf("  wait of %g %% of them, at most", 100*p), r.wait(p).Round(time.Second).String(), "")
	}
	return t.Flush()
}

// over reports whether more was sent than declared.
func (r *result) over(rate budget.Rate) bool {
	return rate.PerDay > 0 && (r.mostOfOne > rate.PerDay || r.mostInDay > rate.PerDay*int64(r.logs))
}
