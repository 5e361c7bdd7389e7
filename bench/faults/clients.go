package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/log/api"
)

// badClients keeps connections open, sends slowly, and sends too much, while
// others submit.
func badClients(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	w, l, err := h.newLoaded(ctx, "clients", 1, 1, place{}, loadClients)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var rows []rehearsal.Row
	for _, v := range []struct {
		name string
		do   func(ctx context.Context, l *load, r *rehearsal.Row) error
	}{
		{"idle connections", w.idleClients},
		{"clients that send a header, and then nothing of the body", w.slowClients},
		{"bodies of 100 MB, announced and chunked", w.largeBodies},
	} {
		r := rehearsal.NewRow(v.name)
		if r.Held = l.progress(ctx, 1); r.Held == nil {
			r.Held = v.do(ctx, l, &r)
		}
		rows = append(rows, r)
	}
	r := rehearsal.NewRow("more connections than the log may have files open")
	r.Held = w.scarceFiles(ctx, l, &r)
	rows = append(rows, r)
	return append(rows, w.checkAll(ctx, "all clients")...), nil
}

// scarceFiles starts the log with few file descriptors, which idle connections
// then use up. When they go the log has to go on by itself.
func (w *world) scarceFiles(ctx context.Context, l *load, r *rehearsal.Row) error {
	w.stopLog()
	const most = "160"
	p, err := process.Start(ctx, exec.Command("sh", append([]string{"-c", "ulimit -n " + most + `; exec "$0" "$@"`}, w.serving(w.logDir, w.ledgerDir, w.addr).Args...)...), nil)
	if err != nil {
		return err
	}
	w.log = p
	if err := l.progress(ctx, 10); err != nil {
		return err
	}
	closeAll, err := w.connections(ctx, w.h.idle, "", r)
	process.Pause(ctx, time.Second)
	closeAll()
	if err != nil {
		return err
	}
	if !w.log.Alive() {
		return fmt.Errorf("the log ended: %s", w.panicked())
	}
	if err := l.progress(ctx, 10); err != nil {
		return err
	}
	r.Outcomes["went on by itself"]++
	return nil
}

// others measures how others fare meanwhile.
func (w *world) others(ctx context.Context, l *load, r *rehearsal.Row) error {
	if err := l.progress(ctx, 50); err != nil {
		return err
	}
	began := time.Now()
	v, err := rehearsal.NewVendor()
	if err == nil {
		err = w.submit(ctx, w.url(), v.Genesis(), 10)
	}
	if err != nil {
		return err
	}
	if took := time.Since(began); took > 5*time.Second {
		return fmt.Errorf("a submission took %v", took)
	}
	r.Outcomes["others were served meanwhile"]++
	return nil
}

func (w *world) connections(ctx context.Context, n int, say string, r *rehearsal.Row) (closeAll func(), err error) {
	var open []net.Conn
	closeAll = func() {
		for _, c := range open {
			_ = c.Close() // the server may have been quicker
		}
	}
	for range n {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.addr)
		if err != nil {
			return closeAll, err
		}
		open = append(open, c)
		if _, err := io.WriteString(c, say); err != nil {
			return closeAll, err
		}
		r.Injected++
	}
	return closeAll, nil
}

func (w *world) idleClients(ctx context.Context, l *load, r *rehearsal.Row) error {
	closeAll, err := w.connections(ctx, w.h.idle, "", r)
	defer closeAll()
	if err != nil {
		return err
	}
	return w.others(ctx, l, r)
}

func (w *world) slowClients(ctx context.Context, l *load, r *rehearsal.Row) error {
	head := "POST /v1/repositories HTTP/1.1\r\nHost: log\r\nContent-Type: " + api.TypeJSON + "\r\nContent-Length: 65536\r\n\r\n{"
	closeAll, err := w.connections(ctx, w.h.idle/5, head, r)
	defer closeAll()
	if err != nil {
		return err
	}
	return w.others(ctx, l, r)
}

// zeros is a body of that many bytes; its length is not announced.
type zeros int64

func (z *zeros) Read(p []byte) (int, error) {
	if *z == 0 {
		return 0, io.EOF
	}
	n := min(len(p), int(*z))
	clear(p[:n])
	*z -= zeros(n)
	return n, nil
}

func (w *world) largeBodies(ctx context.Context, l *load, r *rehearsal.Row) error {
	const size = 100_000_000
	for i := range 6 {
		body := zeros(size)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url()+"/v1/repositories", &body)
		if err != nil {
			return err
		}
		if req.ContentLength = -1; i%2 == 0 {
			req.ContentLength = size
		}
		req.Header.Set("Content-Type", api.TypeJSON)
		resp, err := w.http.Do(req)
		r.Injected++
		if err != nil {
			// It hung up on a client that went on sending.
			r.Outcomes["hung up"]++
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			return errors.New("answered with " + resp.Status)
		}
		r.Outcomes["refused with 413"]++
	}
	return w.others(ctx, l, r)
}
