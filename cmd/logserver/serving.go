package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
)

func (p *place) serving() string { return filepath.Join(p.dir, "serving") }

// noteServing leaves word where the log is served from here, for status; a log whose
// directory cannot be written is served all the same.
func (p *place) noteServing(addr net.Addr) (forget func()) {
	if err := os.WriteFile(p.serving(), []byte("http://"+addr.String()+"\n"), 0o644); err != nil {
		return func() {}
	}
	return func() { _ = os.Remove(p.serving()) }
}

// askReady asks the process that serves the log from here, at url, whether anything can
// be published, and returns why not. There is no url where none has left word.
func (p *place) askReady(ctx context.Context) (url, why string, err error) {
	b, err := os.ReadFile(p.serving())
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	url = strings.TrimSpace(string(b))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", p.serving(), err)
	}
	resp, err := fetch.Do(fetch.Direct(nil), req)
	if err != nil {
		return url, fmt.Sprintf("the process that serves it does not answer: %v", err), nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return url, fmt.Sprintf("the process that serves it does not answer: %v", err), nil
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusForbidden { // it has ended
		return url, "", nil
	}
	return url, problemText(body), nil
}
