package main

import (
	"cmp"
	"context"
	"encoding/json"
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
	"github.com/tuflog/tuflog/log/api"
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

// servedAt returns where the log is served from here, empty if none has left word. A
// process that was killed leaves it behind.
func (p *place) servedAt() (url string, err error) {
	b, err := os.ReadFile(p.serving())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// askReady asks the process that serves the log at url whether anything can be
// published, and returns why not. The error says that it did not answer, or somebody else.
func askReady(ctx context.Context, url string) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return "", fetch.RedactError(err)
	}
	resp, err := fetch.Do(fetch.Direct(nil), req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	var p api.Problem
	if resp.StatusCode != http.StatusOK && json.Unmarshal(body, &p) != nil {
		p = api.Problem{}
	}
	switch {
	case resp.Header.Get("X-Request-Id") == "", resp.StatusCode != http.StatusOK && p.Code == "":
		// A proxy answers in the name of one that is gone, or another has its port.
		return "", fmt.Errorf("%s answered %s, and is not a front end of the log", fetch.Redacted(url), resp.Status)
	case resp.StatusCode == http.StatusOK, p.Code == api.CodeEnded:
		return "", nil
	}
	return cmp.Or(p.Detail, resp.Status), nil
}
