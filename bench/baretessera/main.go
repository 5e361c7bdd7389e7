// Command baretessera measures Tessera's POSIX driver by itself, the way its own
// documentation uses it: as many clients as asked for each add an entry of the
// size of a leaf and wait until a checkpoint that Tessera published includes it,
// again and again. Publication is at its fastest, every 100 ms. There is no
// admission, no blob, no witness and no HTTP: it is what bench/logload prints
// beside the log to compare with.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"
)

// leafSize is about that of a tuflog leaf.
const leafSize = 440

func main() {
	clients := flag.Int("clients", 1, "clients at once")
	duration := flag.Duration("duration", 10*time.Second, "how long to measure")
	warmUp := flag.Duration("warm-up", 2*time.Second, "how long to add before measuring")
	batchAge := flag.Duration("batch-age", time.Millisecond, "Tessera's batch age")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "baretessera [flags]: measures Tessera's POSIX driver by itself\n\nExample: go run ./bench/baretessera -clients 8\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*clients, *duration, *warmUp, *batchAge); err != nil {
		fmt.Fprintln(os.Stderr, "baretessera:", err)
		os.Exit(2)
	}
}

func run(clients int, duration, warmUp, batchAge time.Duration) (err error) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	dir, err := os.MkdirTemp("", "baretessera")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	add, stop, err := open(ctx, dir, batchAge)
	if err != nil {
		return err
	}
	begin := time.Now().Add(warmUp)
	end := begin.Add(duration)
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			var mine []time.Duration
			for time.Now().Before(end) {
				entry := make([]byte, leafSize)
				rand.Read(entry)
				started := time.Now()
				if err := add(ctx, entry); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				if now := time.Now(); now.After(begin) && now.Before(end) {
					mine = append(mine, now.Sub(started))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	group.Wait()
	patience, cancelStop := context.WithTimeout(ctx, 10*time.Second)
	defer cancelStop()
	if err := errors.Join(failed, stop(patience)); err != nil {
		return err
	}
	return report(clients, duration, took)
}

// open makes a log and returns a function that adds an entry and waits for its
// publication.
func open(ctx context.Context, dir string, batchAge time.Duration) (func(context.Context, []byte) error, func(context.Context) error, error) {
	private, _, err := note.GenerateKey(rand.Reader, "baretessera")
	if err != nil {
		return nil, nil, err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, nil, err
	}
	const interval = 100 * time.Millisecond // the least that it allows
	appender, stop, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(interval).
		WithBatching(1024, batchAge))
	if err != nil {
		return nil, nil, err
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, interval/10)
	return func(ctx context.Context, entry []byte) error {
		_, _, err := awaiter.Await(ctx, appender.Add(ctx, tessera.NewEntry(entry)))
		return err
	}, stop, nil
}

// report prints what bench/logload reads.
func report(clients int, duration time.Duration, took []time.Duration) error {
	slices.Sort(took)
	at := func(q float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[max(0, int(math.Ceil(q*float64(len(took))))-1)].Microseconds()) / 1000
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"what": "Tessera alone, unwitnessed", "clients": clients, "seconds": duration.Seconds(),
		"releases": len(took), "per_second": float64(len(took)) / duration.Seconds(),
		"p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": at(1),
	})
}
