// Command differ compares the verifier in embedded/ with the project's Go code: both judge the
// same mutated sidecars, and must say the same.
//
//	make -C embedded build/check-fast
//	go run ./embedded/differ -count 100000 embedded/build/check-fast
//
// It prints the first sidecar on which they differ, in base64, and exits with 1. The sidecars
// follow from the seed.
package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/embedded/cases"
)

const batch = 200 // cases in flight: their answers fit into a pipe

func main() {
	count := flag.Int("count", 100_000, "sidecars")
	seed := flag.Uint64("seed", 1, "of the random numbers")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: differ [-count N] [-seed N] CHECK")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *count, *seed); err != nil {
		fmt.Fprintf(os.Stderr, "differ: %v\n", err)
		os.Exit(1)
	}
}

// tally counts verdicts.
type tally [cases.Broken + 1]int

func run(check string, count int, seed uint64) error {
	world, err := cases.NewWorld()
	if err != nil {
		return err
	}
	var seeds [][]byte
	for entry := range world.Leaves {
		for _, witnesses := range [][]int{{0, 2}, {1}, {0, 1, 2}} {
			s, err := world.Sidecar(entry, int64(len(world.Leaves)-entry%3), witnesses...)
			if err == nil {
				seeds = append(seeds, s)
			}
		}
	}
	edges, err := cases.Edges()
	if err != nil {
		return err
	}
	edges = slices.DeleteFunc(edges, func(c cases.Case) bool { return len(c.Sidecar) > 20_000 }) // they are slow
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	errs := make([]error, workers)
	tallies := make([]tally, workers)
	for i := range workers {
		wg.Go(func() {
			errs[i] = work(check, world, seeds, edges, rand.New(rand.NewPCG(seed, uint64(i))), (count+workers-1)/workers, &tallies[i])
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	total := 0
	for code := range tallies[0] {
		n := 0
		for _, t := range tallies {
			n += t[code]
		}
		total += n
		if n > 0 {
			fmt.Printf("%-17s %d\n", cases.Code(code), n)
		}
	}
	fmt.Printf("%d sidecars, and both say the same of each\n", total)
	return nil
}

func work(check string, world *cases.World, seeds [][]byte, edges []cases.Case, r *rand.Rand, count int, t *tally) error {
	cmd := exec.Command(check, "-")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _, _ = in.Close(), cmd.Wait() }()
	w := bufio.NewWriter(in)
	for count > 0 {
		sent := make([]cases.Case, min(batch, count))
		count -= len(sent)
		for i := range sent {
			entry := r.IntN(len(world.Leaves))
			claim := world.Claim(entry)
			if r.IntN(20) == 0 {
				claim = world.Claim(r.IntN(len(world.Leaves)))
			}
			policy, of := world.Policy, seeds[(3*entry+r.IntN(3))%len(seeds)]
			if r.IntN(4) == 0 { // other policies, and what is odd already
				c := edges[r.IntN(len(edges))]
				policy, claim, of = c.Trust, c.Claim, c.Sidecar
			}
			if sent[i], err = cases.New("", policy, claim, cases.Mutate(r, of, seeds[r.IntN(len(seeds))])); err != nil {
				return err
			}
			if _, err := w.Write(cases.Append(nil, sent[i])); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		answers := make([]byte, 2*len(sent))
		if _, err := io.ReadFull(out, answers); err != nil {
			return fmt.Errorf("%s stopped answering: %w", check, err)
		}
		for i, c := range sent {
			code, reason := cases.Code(answers[2*i]), cases.Reason(answers[2*i+1])
			if !c.Accepts(code, reason) {
				return fmt.Errorf("the verifier says %s (reason %d), the Go code %s (reason %d) of this sidecar for role %q, version %d:\n%s",
					code, reason, c.Code, c.Reason, c.Claim.Role, c.Claim.Version, base64.StdEncoding.EncodeToString(c.Sidecar))
			}
			t[min(code, cases.Broken)]++
		}
	}
	return nil
}
