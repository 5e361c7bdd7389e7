package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// tap stands between the log and a witness and takes down every checkpoint that
// the log shows, whatever the witness makes of it. It can be torn.
type tap struct {
	url    string
	server *http.Server
	http   *http.Client
	key    proofs.Key
	to     atomic.Pointer[string] // URL of the witness
	rec    atomic.Pointer[record]
	torn   atomic.Bool // connections break
}

func newTap(key proofs.Key, rec *record) (*tap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &tap{url: "http://" + l.Addr().String(), key: key, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	t.rec.Store(rec)
	t.server = &http.Server{Handler: t, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := t.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			rec.fail("tap: %v", err)
		}
	}()
	return t, nil
}

func (t *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.torn.Load() {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, client.MaxRequestSize))
	if err != nil {
		return
	}
	// What cannot be read as a signed checkpoint is for the witness to refuse.
	if _, note, ok := bytes.Cut(body, []byte("\n\n")); ok {
		if cp, _, err := proofs.OpenCheckpoint(note, t.key); err == nil {
			t.rec.Load().sign(cp.Tree)
		}
	}
	if err := t.forward(r.Context(), w, r, body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (t *tap) forward(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, *t.to.Load()+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	resp, err := t.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, err = io.Copy(w, resp.Body)
	return err
}

func (t *tap) close() error {
	t.http.CloseIdleConnections()
	return t.server.Close()
}
