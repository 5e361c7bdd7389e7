package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// chain is a log and the requests that make it grow, one entry each.
type chain struct {
	origin   string
	signer   *proofs.Signer
	size     int64
	hashes   []tlog.Hash
	requests [][]byte // whole HTTP requests
}

func newChain(origin string) (*chain, error) {
	s, err := proofs.GenerateSigner(nil, origin, proofs.Ed25519)
	return &chain{origin: origin, signer: s}, err
}

func (c *chain) read(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		found[i] = c.hashes[x]
	}
	return found, nil
}

// grow prepares n more requests.
func (c *chain) grow(n int, host string) error {
	r := tlog.HashReaderFunc(c.read)
	for range n {
		old := c.size
		stored, err := tlog.StoredHashes(c.size, strconv.AppendInt(nil, c.size, 10), r)
		if err != nil {
			return err
		}
		c.hashes = append(c.hashes, stored...)
		c.size++
		req := client.Request{OldSize: old}
		if old > 0 {
			if req.Proof, err = tlog.ProveTree(c.size, old, r); err != nil {
				return err
			}
		}
		root, err := tlog.TreeHash(c.size, r)
		if err != nil {
			return err
		}
		text := proofs.Checkpoint{Origin: c.origin, Tree: proofs.Tree{N: c.size, Hash: root}}.String()
		sig, err := c.signer.Sign(text, 0)
		if err != nil {
			return err
		}
		req.Checkpoint = proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal()
		body := req.Marshal()
		head := fmt.Sprintf("POST /add-checkpoint HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", host, len(body))
		c.requests = append(c.requests, append([]byte(head), body...))
	}
	return nil
}

// shape is a kind of measurement.
type shape struct{ clients, logs int }

var shapes = []shape{{1, 1}, {16, 1}, {64, 1}, {1, 64}, {16, 64}, {64, 64}}

// measureAll starts a witness and measures every shape, each with logs of its
// own.
func measureAll(ctx context.Context, dir string, start starter, o options) (results []result, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	chains := make(map[shape][]*chain)
	var all []*chain
	for _, s := range shapes {
		for i := range s.logs {
			c, err := newChain(fmt.Sprintf("log-%d-%d-%d.example", s.clients, s.logs, i))
			if err != nil {
				return nil, err
			}
			chains[s] = append(chains[s], c)
			all = append(all, c)
		}
	}
	w, err := start(ctx, dir, all)
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	for _, s := range shapes {
		requests := o.requests
		if s.logs == 1 || s.clients == 1 {
			requests /= 4
		}
		for _, c := range chains[s] {
			if err := c.grow(requests/s.logs, w.host); err != nil {
				return nil, err
			}
		}
		r, err := measure(ctx, w.host, chains[s], s)
		if err != nil {
			return nil, fmt.Errorf("%d clients, %d logs: %w", s.clients, s.logs, err)
		}
		results = append(results, r)
		for _, c := range chains[s] {
			c.requests = nil
		}
	}
	return results, nil
}

// measure sends all requests.
func measure(ctx context.Context, host string, chains []*chain, s shape) (result, error) {
	work := make([]worker, s.clients)
	turn := new(sync.Mutex)
	var next atomic.Int64
	for i := range work {
		w := &work[i]
		if len(chains) == 1 {
			// The clients of one log take turns.
			w.turn, w.next, w.chains = turn, &next, chains
		} else {
			for j := i; j < len(chains); j += s.clients {
				w.chains = append(w.chains, chains[j])
			}
		}
		if err := w.connect(ctx, host); err != nil {
			return result{}, err
		}
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range work {
		wg.Go(work[i].run)
	}
	wg.Wait()
	took := time.Since(begin)
	var times []time.Duration
	var errs []error
	refused := 0
	for i := range work {
		refused += work[i].refused
		times = append(times, work[i].times...)
		errs = append(errs, work[i].err, work[i].conn.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return result{}, err
	}
	slices.Sort(times)
	return result{
		Clients: s.clients, Logs: s.logs, PerSecond: float64(len(times)) / took.Seconds(),
		P50: times[len(times)/2], P99: times[len(times)*99/100], Refused: refused,
	}, nil
}

// worker is a client with one connection.
type worker struct {
	chains []*chain
	turn   *sync.Mutex   // with it the next request of the one chain is taken
	next   *atomic.Int64 // which
	conn   net.Conn
	r      *bufio.Reader
	times  []time.Duration
	// refused counts answers that the witness is busy.
	refused int
	err     error
}

func (w *worker) connect(ctx context.Context, host string) (err error) {
	var d net.Dialer
	w.conn, err = d.DialContext(ctx, "tcp", host)
	if err == nil {
		w.r = bufio.NewReader(w.conn)
	}
	return err
}

func (w *worker) run() {
	if w.turn != nil {
		for w.err == nil && w.takeTurn() {
		}
		return
	}
	// Round the chains, so that each has some rest.
	for i := 0; w.err == nil; i++ {
		some := false
		for _, c := range w.chains {
			if i < len(c.requests) && w.err == nil {
				some = true
				w.err = w.send(c.requests[i])
			}
		}
		if !some {
			return
		}
	}
}

func (w *worker) takeTurn() bool {
	w.turn.Lock()
	defer w.turn.Unlock()
	i := int(w.next.Add(1)) - 1
	if i >= len(w.chains[0].requests) {
		return false
	}
	w.err = w.send(w.chains[0].requests[i])
	return true
}

// send sends one request until it is granted. A witness that is busy may say so:
// then the client asks again a little later, and its time runs on.
func (w *worker) send(request []byte) error {
	begin := time.Now()
	for {
		err := w.once(request)
		if err == nil {
			w.times = append(w.times, time.Since(begin))
			return nil
		}
		if !errors.Is(err, errBusy) {
			return err
		}
		w.refused++
		time.Sleep(time.Millisecond)
	}
}

var errBusy = errors.New("the witness is busy")

// once sends a request and reads the answer, as little of it as will do: the
// clients share the processors with the witness.
func (w *worker) once(request []byte) error {
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	status, err := w.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	first := string(bytes.TrimSpace(status))
	length := 0
	for {
		line, err := w.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(w.r, body); err != nil {
		return err
	}
	switch {
	case ok:
		return nil
	case strings.HasPrefix(first, "HTTP/1.1 429"), strings.HasPrefix(first, "HTTP/1.1 503"):
		return errBusy
	}
	return fmt.Errorf("%s: %.200s", first, body)
}
