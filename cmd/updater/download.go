package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/verify"
)

// stallTimeout is how long a download may go without a byte.
const stallTimeout = time.Minute

// download searches for a target, and fetches it unless the directory has it.
func (u *update) download(ctx context.Context, name, baseURL, dir string) error {
	target, err := u.find(ctx, name)
	if err != nil {
		return err
	}
	u.target = filepath.Join(dir, targetFileName(name))
	if have, err := u.haveTarget(*target); have || err != nil {
		return err
	}
	where, err := u.client.TargetName(name, *target)
	if err != nil {
		return err
	}
	return u.fetchTarget(ctx, withSlash(baseURL)+escapePath(where), *target)
}

// targetFileName is the name of a target in the target directory: its path with
// everything encoded that could lead elsewhere.
func targetFileName(path string) string {
	name := verify.EscapeRole(path)
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return name
}

// escapePath makes a target's path fit for a URL. A target path is a relative
// URL already (TUF 4.5), so escapes in it stay; what no URL can hold is encoded.
func escapePath(path string) string {
	const kept = "-._~!$&'()*+,;=:@/"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(kept, c) >= 0,
			c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// find walks the delegations, getting the roles that it needs.
func (u *update) find(ctx context.Context, path string) (*verify.TargetFile, error) {
	for {
		lookup, err := u.client.Find(path)
		if err != nil {
			return nil, err
		}
		if lookup.Target != nil {
			return lookup.Target, nil
		}
		if lookup.Need == nil {
			if lookup.Truncated {
				return nil, fmt.Errorf("target %q is in none of the first %d roles: %s", path, len(lookup.Visited), strings.Join(lookup.Visited, ", "))
			}
			return nil, fmt.Errorf("target %q is listed by no role that is trusted for it (searched: %s)", path, strings.Join(lookup.Visited, ", "))
		}
		need := *lookup.Need
		err = u.role(ctx, need, func(file []byte, sidecars verify.Sidecars) error {
			return u.client.UpdateDelegated(need.Role, need.Delegator, file, sidecars)
		})
		if err != nil {
			return nil, err
		}
	}
}

// haveTarget says whether the file that is there already is the target.
func (u *update) haveTarget(t verify.TargetFile) (bool, error) {
	check, err := verify.NewTargetCheck(t)
	if err != nil {
		return false, err
	}
	f, err := os.Open(u.target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, err := io.Copy(check, f); err != nil {
		if isRefusal(err) {
			return false, nil // longer than listed
		}
		return false, err
	}
	return check.Done() == nil, nil
}

// fetchTarget downloads a target next to its place, checks it, and only then puts
// it there.
func (u *update) fetchTarget(ctx context.Context, url string, t verify.TargetFile) (err error) {
	check, err := verify.NewTargetCheck(t)
	if err != nil {
		return err
	}
	dir := filepath.Dir(u.target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".download.*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := copyURL(ctx, u.http, io.MultiWriter(check, f), url, t.Length); err != nil {
		return err
	}
	if err := check.Done(); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), u.target); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// copyURL copies the body at url, and gives up when it stalls. A refusal comes
// from w; everything else is CodeNetwork.
func copyURL(ctx context.Context, client *http.Client, w io.Writer, url string, length int64) error {
	network := func(err error) error {
		return &verify.Refusal{Code: verify.CodeNetwork, Detail: "could not fetch the target", Err: err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallTimeout, func() { cancel(fmt.Errorf("%s: no bytes for %v", fetch.Redacted(url), stallTimeout)) })
	defer stall.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return network(fetch.RedactError(err))
	}
	response, err := fetch.Do(client, request)
	if err != nil {
		return network(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return network(&fetch.StatusError{URL: fetch.Redacted(url), Status: response.StatusCode})
	}
	// One byte more than listed is enough to know that it is another file.
	_, err = io.Copy(w, io.LimitReader(&watched{response.Body, stall}, length+1))
	var onDisk *fs.PathError
	switch {
	case err == nil, isRefusal(err), errors.As(err, &onDisk):
		return err
	case context.Cause(ctx) != nil:
		return network(context.Cause(ctx))
	}
	return network(err)
}

// watched puts off the stall timer whenever bytes arrive.
type watched struct {
	io.Reader
	stall *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.stall.Reset(stallTimeout)
	}
	return n, err
}
