// Command logload measures a log: it makes repositories, submits signed releases
// of them from many clients at once, verifies every sidecar that comes back, and
// prints how many releases a second were witnessed and how long each took.
//
// It makes its own repositories with its own keys, so point it at a log that may
// keep them for ever.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log/api"
)

func main() { cli.Main(newRoot) }

type flags struct {
	logAt
	beside                        logAt
	bare                          string
	clients                       []int
	repositories, size, presigned int
	rate                          float64
	duration, warmUp              time.Duration
	json                          bool
}

// logAt is a log to measure.
type logAt struct{ log, policy, tokenFile string }

func newRoot() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "logload --log URL --policy POLICY",
		Short: "Measure a log under load, verifying every answer",
		Long: `Logload registers repositories of its own, submits signed releases of them with as
many clients at once as asked for, verifies every sidecar that comes back against
the policy, and prints throughput and latencies. Without --rate every client
submits again as soon as it has its answer; with it, submissions come due at a
steady rate, and latencies count from then. Releases are signed beforehand, as far
as --presigned goes: signing is not the log's work.

With --beside it measures another log in turn with the first, for example one on
Trillian beside one on Tessera (deploy/trillian/up.sh). With --bare it runs that
program after each measurement, with as many clients and for as long, and prints its
figures beside: bench/baretessera, for one, is Tessera alone.

Do not aim it at a log that matters: nothing removes its repositories from a log.

Exit codes: 0 every answer was verified; 1 an answer does not verify, or does not
come within a minute; 2 wrong usage, or the repositories cannot be registered.`,
		Example: `  logload --log http://127.0.0.1:7370 --policy policy.txt --token-file log/registration.token
  logload --log http://127.0.0.1:7370 --policy policy.txt --clients 64 --rate 500 --json
  logload --log http://127.0.0.1:7370 --policy policy.txt --token-file log/registration.token \
    --beside http://127.0.0.1:7473 --beside-policy trillian/policy.txt --beside-token-file trillian/log/registration.token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			all, err := f.measure(cmd.Context(), cmd.ErrOrStderr())
			if err != nil && len(all) == 0 {
				return err
			}
			if f.json {
				return errors.Join(err, cli.WriteJSON(cmd.OutOrStdout(), all))
			}
			printTable(cmd.OutOrStdout(), all)
			return err
		},
	}
	cmd.Flags().StringVar(&f.log, "log", "", "URL of the log (required)")
	cmd.Flags().StringVar(&f.policy, "policy", "", "trust policy that sidecars must satisfy (required)")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the registration token")
	cmd.Flags().StringVar(&f.beside.log, "beside", "", "URL of another log to measure in turn")
	cmd.Flags().StringVar(&f.beside.policy, "beside-policy", "", "trust policy that its sidecars must satisfy")
	cmd.Flags().StringVar(&f.beside.tokenFile, "beside-token-file", "", "file with its registration token")
	cmd.MarkFlagsRequiredTogether("beside", "beside-policy")
	cmd.Flags().StringVar(&f.bare, "bare", "", "program to measure beside the log")
	cmd.Flags().IntSliceVar(&f.clients, "clients", []int{1, 32, 256}, "clients at once, one measurement for each")
	cmd.Flags().IntVar(&f.repositories, "repositories", 200, "repositories to make")
	cmd.Flags().IntVar(&f.size, "size", 5000, "size of a targets file in bytes, about")
	cmd.Flags().IntVar(&f.presigned, "presigned", 50000, "releases to sign before each measurement; further ones are signed during it")
	cmd.Flags().Float64Var(&f.rate, "rate", 0, "releases a second; 0 is as fast as the answers come (default 0)")
	cmd.Flags().DurationVar(&f.duration, "duration", 10*time.Second, "how long each measurement takes")
	cmd.Flags().DurationVar(&f.warmUp, "warm-up", 2*time.Second, "how long to submit before measuring")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	for _, name := range []string{"log", "policy"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined above
		}
	}
	return cmd
}

// check refuses what would measure nothing.
func (f flags) check() error {
	for _, n := range f.clients {
		if n < 1 {
			return fmt.Errorf("--clients %d: want one or more", n)
		}
	}
	if len(f.clients) == 0 || f.repositories < 1 || f.size < 1 || f.presigned < 0 || f.rate < 0 {
		return errors.New("--clients, --repositories and --size: want one or more; --presigned and --rate: 0 or more")
	}
	if f.duration <= 0 || f.warmUp < 0 {
		return fmt.Errorf("--duration %v and --warm-up %v: want a positive duration, and one that is not negative", f.duration, f.warmUp)
	}
	for _, l := range []logAt{f.logAt, f.beside} {
		if err := cli.CheckURL(l.log); l.log != "" && err != nil {
			return err
		}
	}
	return nil
}

func (f flags) measure(ctx context.Context, stderr io.Writer) ([]figures, error) {
	// The load shares the machine with the log: it collects its small heap
	// seldom, unless the environment says otherwise.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	var loads []*load
	for _, t := range []logAt{f.logAt, f.beside} {
		if t.log == "" {
			continue
		}
		l, err := f.prepare(ctx, t, stderr)
		if err != nil {
			return nil, err
		}
		loads = append(loads, l)
	}
	if len(loads) > 1 {
		loads[1].what = "beside: " + f.beside.log
	}
	var all []figures
	for _, clients := range f.clients {
		p := phase{clients: clients, rate: f.rate, duration: f.duration, warmUp: f.warmUp}
		for _, l := range loads {
			got, err := f.run(ctx, l, p, stderr)
			if err != nil {
				return all, err
			}
			all = append(all, got)
		}
		if f.bare == "" {
			continue
		}
		beside, err := runBare(ctx, f.bare, p, stderr)
		if err != nil {
			return all, err
		}
		all = append(all, beside)
	}
	return all, nil
}

// prepare registers repositories at a log.
func (f flags) prepare(ctx context.Context, t logAt, stderr io.Writer) (*load, error) {
	policy, err := cli.ReadPolicy(t.policy)
	if err != nil {
		return nil, err
	}
	l := &load{what: "tuflog, witnessed", log: t.log, checker: checker{policy: policy}}
	if t.tokenFile != "" {
		if l.token, err = keyfile.Read(t.tokenFile); err != nil {
			return nil, err
		}
	}
	bar := cli.NewProgress(stderr, "repositories", int64(f.repositories))
	err = l.register(ctx, f.repositories, f.size, bar.Add)
	bar.Done()
	if err == nil {
		return l, nil
	}
	err = fmt.Errorf("registering at %s: %w", t.log, err)
	var answered *api.ProblemError
	var unreachable *url.Error
	switch {
	case errors.As(err, &answered) && answered.Code == api.CodeUnauthorized:
		return nil, fmt.Errorf("%w (give --token-file)", err)
	case errors.As(err, &answered), errors.As(err, &unreachable):
		return nil, err // nothing was measured
	}
	return nil, cli.Failed(err)
}

// run measures one phase of one log.
func (f flags) run(ctx context.Context, l *load, p phase, stderr io.Writer) (figures, error) {
	bar := cli.NewProgress(stderr, "signing", int64(f.presigned))
	err := l.presign(ctx, f.presigned, bar.Add)
	bar.Done()
	if err != nil {
		return figures{}, err
	}
	bar = cli.NewProgress(stderr, fmt.Sprintf("%d clients", p.clients), 0)
	p.progress = bar.Add
	got, err := l.run(ctx, p)
	bar.Done()
	if err != nil {
		return got, cli.Failed(err)
	}
	return got, nil
}

// runBare measures another program, which prints the same figures as JSON.
func runBare(ctx context.Context, program string, p phase, stderr io.Writer) (figures, error) {
	cmd := exec.CommandContext(ctx, program, "--clients", strconv.Itoa(p.clients), "--duration", p.duration.String(), "--warm-up", p.warmUp.String())
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return figures{}, fmt.Errorf("%s: %w", program, err)
	}
	var got figures
	if err := json.Unmarshal(out, &got); err != nil {
		return figures{}, fmt.Errorf("%s: %w", program, err)
	}
	return got, nil
}

func printTable(w io.Writer, all []figures) {
	fmt.Fprintf(w, "%-28s %8s %10s %10s %9s %9s %9s %9s\n", "", "clients", "entries", "a second", "p50 ms", "p90 ms", "p99 ms", "max ms")
	for _, f := range all {
		fmt.Fprintf(w, "%-28s %8d %10d %10.0f %9.1f %9.1f %9.1f %9.1f\n", f.What, f.Clients, f.Releases, f.PerSecond, f.P50, f.P90, f.P99, f.Max)
	}
}
