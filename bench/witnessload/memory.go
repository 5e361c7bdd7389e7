package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measureMemory has every one of many logs cosigned once, as fast as it can be, and then
// asks for so many a second, round the logs, while the witness reads its list of them
// again and its page is looked at.
func measureMemory(ctx context.Context, dir string, o options, start starter, r *report) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	chains := make([]*chain, o.logs)
	for i := range chains {
		if chains[i], err = newChain(fmt.Sprintf("log-%d.memory.example", i)); err != nil {
			return err
		}
	}
	list, err := serveList(ctx, listOf(chains))
	if err != nil {
		return err
	}
	defer list.Close()
	w, err := start(ctx, dir, chains, "--log-list", "http://"+list.Addr, "--log-list-every", "10s")
	if err != nil {
		return err
	}
	defer w.Stop()
	for _, c := range chains {
		if err := c.grow(1, w.host); err != nil {
			return err
		}
	}
	if _, err := measure(ctx, w.host, chains, shape{64, o.logs}); err != nil {
		return err
	}
	r.Logs = o.logs
	if r.Resident, r.Peak, err = memory(w.Cmd.Process.Pid); err != nil || o.paced == 0 {
		return err
	}
	if err := r.pace(ctx, w, chains, o); err != nil {
		return err
	}
	r.Resident, r.Peak, err = memory(w.Cmd.Process.Pid)
	return err
}

// pace asks for a cosignature o.perSecond times a second, for o.paced.
func (r *report) pace(ctx context.Context, w *served, chains []*chain, o options) error {
	n := int(o.paced.Seconds() * o.perSecond)
	for i := range n {
		c := chains[i%len(chains)]
		if i < len(chains) {
			c.requests = nil
		}
		if err := c.grow(1, w.host); err != nil {
			return err
		}
	}
	client := worker{}
	if err := client.connect(ctx, w.host); err != nil {
		return err
	}
	defer client.conn.Close()
	pages := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { pages <- lookAt(ctx, w.URL) }()
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.perSecond))
	defer tick.Stop()
	begin := time.Now()
	for i := range n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := client.send(chains[i%len(chains)].requests[i/len(chains)]); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	cancel()
	slices.Sort(client.times)
	r.Paced = &result{Witness: "tuflog", Clients: 1, Logs: len(chains), PerSecond: float64(n) / took.Seconds(), P50: client.times[n/2], P99: client.times[n*99/100], Refused: client.refused}
	return <-pages
}

// lookAt reads the witness's page every second until ctx ends.
func lookAt(ctx context.Context, url string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case resp.StatusCode != http.StatusOK:
			return errors.Join(fmt.Errorf("its page: %s", resp.Status), resp.Body.Close())
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// serveList serves a list of logs on this machine.
func serveList(ctx context.Context, list []byte) (*http.Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Addr: l.Addr().String(), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(list))
	})}
	go func() { _ = s.Serve(l) }()
	return s, nil
}

// memory reads a process's resident set and its largest so far, in bytes.
func memory(pid int) (resident, peak int64, err error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			resident = kib << 10
		case "VmHWM":
			peak = kib << 10
		}
	}
	return resident, peak, nil
}
