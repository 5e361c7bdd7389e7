package rehearsal

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

// Tap stands between the log and a witness and takes down every checkpoint that
// the log shows, whatever the witness makes of it. It can be torn.
type Tap struct {
	URL    string
	server *http.Server
	http   *http.Client
	key    proofs.Key
	shown  func(proofs.Tree)
	To     atomic.Pointer[string] // URL of the witness
	Rec    atomic.Pointer[Record]
	Torn   atomic.Bool // connections break
}

// NewTap makes a tap for a log's key. What the log shows goes into the record and,
// unless it is nil, to shown.
func NewTap(key proofs.Key, rec *Record, shown func(proofs.Tree)) (*Tap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &Tap{URL: "http://" + l.Addr().String(), key: key, shown: shown, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	t.Rec.Store(rec)
	t.server = &http.Server{Handler: t, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := t.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			rec.Fail("tap: %v", err)
		}
	}()
	return t, nil
}

// ServeHTTP implements http.Handler.
func (t *Tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.Torn.Load() {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, client.MaxRequestSize))
	if err != nil {
		return
	}
	// What cannot be read as a signed checkpoint is for the witness to refuse.
	if _, note, ok := bytes.Cut(body, []byte("\n\n")); ok {
		if cp, _, err := proofs.OpenCheckpoint(note, t.key); err == nil {
			t.Rec.Load().Sign(cp.Tree)
			if t.shown != nil {
				t.shown(cp.Tree)
			}
		}
	}
	if err := t.forward(r.Context(), w, r, body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (t *Tap) forward(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, *t.To.Load()+r.URL.Path, bytes.NewReader(body))
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

// Close ends the tap.
func (t *Tap) Close() error {
	t.http.CloseIdleConnections()
	return t.server.Close()
}
