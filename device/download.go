package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Target is the result for a requested target.
type Target struct {
	Name string
	Role string // that lists it; empty if none does
	Path string // of the file
	Err  error  // why it is not there
}

// Download searches for targets, one after the other, once Refresh has succeeded, and
// fetches those from below baseURL that dir does not have. It returns the result for
// each; the error is that of a context that has ended, or means that the state could not
// be stored. Then it looks for the next trust policy, if the install policy names one, and
// adopts it if it may; what is in the way of that is told to Warn.
func (d *Device) Download(ctx context.Context, names []string, baseURL, dir string) ([]Target, error) {
	var targets []Target
	for _, name := range names {
		t := Target{Name: name, Path: filepath.Join(dir, targetFileName(name))}
		t.Role, t.Err = d.downloadOne(ctx, name, baseURL, t.Path)
		if ctx.Err() != nil {
			return targets, d.end(ctx.Err())
		}
		targets = append(targets, t)
	}
	if d.next != "" {
		if err := d.adoptPolicy(ctx, baseURL); err != nil {
			d.warn(fmt.Errorf("the next trust policy (%s) is not in force: %w", d.next, err))
		}
	}
	return targets, d.end(ctx.Err())
}

// nextPolicyName is the file of the metadata directory with the next trust policy, as the
// vendor's target has it.
const nextPolicyName = "next-policy.txt"

// adoptPolicy fetches the target that is the next trust policy, and adopts it if it may.
func (d *Device) adoptPolicy(ctx context.Context, baseURL string) error {
	found, err := d.client.Locate(ctx, d.next)
	if errors.Is(err, verify.ErrNotListed) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Target.Length > proofs.MaxPolicySize {
		return fmt.Errorf("it has %d bytes, more than the %d of a trust policy", found.Target.Length, proofs.MaxPolicySize)
	}
	path := d.Store.path(nextPolicyName)
	have, err := haveTarget(path, *found.Target)
	if err == nil && !have {
		err = d.Repository.fetchTarget(ctx, path, withSlash(baseURL)+escapePath(found.Name), *found.Target)
	}
	if err != nil {
		return err
	}
	content, err := regular.ReadSome(path, proofs.MaxPolicySize+1)
	if err != nil {
		return err
	}
	adopted, err := d.client.Adopt(found, content)
	if adopted {
		d.warn(fmt.Errorf("from the next run on the trust policy is %s, which %s lists: updater status", d.next, tuf.EscapeRole(found.Role)))
	}
	return err
}

// downloadOne puts a target at path, and returns the role that lists it.
func (d *Device) downloadOne(ctx context.Context, name, baseURL, path string) (role string, err error) {
	found, err := d.client.Locate(ctx, name)
	if err != nil {
		return "", err
	}
	if have, err := haveTarget(path, *found.Target); have || err != nil {
		return found.Role, err
	}
	// No power cut may leave a target in use and its release forgotten: the device would
	// take another one of that version. And what is fetched from here on may take long.
	if len(d.client.Accepted()) != d.accepted {
		if err := d.save(); err != nil {
			return found.Role, err
		}
	}
	return found.Role, d.Repository.fetchTarget(ctx, path, withSlash(baseURL)+escapePath(found.Name), *found.Target)
}

// targetFileName is the name of a target in the target directory: its path with
// everything encoded that could lead elsewhere.
func targetFileName(path string) string {
	name := storedName(tuf.EscapeRole(path), maxFileName)
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

// haveTarget reports whether the file that is there already is the target.
func haveTarget(path string, t tuf.TargetFile) (bool, error) {
	err := checkTarget(path, t)
	if errors.Is(err, fs.ErrNotExist) || isRefusal(err) {
		return false, nil
	}
	return err == nil, err
}

// checkTarget returns a refusal unless the file at path is the target.
func checkTarget(path string, t tuf.TargetFile) error {
	check, err := verify.NewTargetCheck(t)
	if err != nil {
		return err
	}
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(check, f); err != nil {
		return err
	}
	return check.Done()
}

// fetchTarget downloads a target next to its place, checks it, and only then puts
// it there.
func (r *Repository) fetchTarget(ctx context.Context, path, url string, t tuf.TargetFile) (err error) {
	check, err := verify.NewTargetCheck(t)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := createPart(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := r.copyURL(ctx, io.MultiWriter(check, f), url, t.Length); err != nil {
		return err
	}
	if err := check.Done(); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	if err := renamePart(f, path); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// copyURL copies the body at url as it lies there. A refusal comes from w; what goes
// wrong on the way is CodeNetwork.
func (r *Repository) copyURL(ctx context.Context, w io.Writer, url string, length int64) error {
	// One byte more than listed is enough to know that it is another file.
	err := r.pace().CopyExact(ctx, r.client(), w, url, length)
	var onDisk *fs.PathError
	if err == nil || isRefusal(err) || errors.As(err, &onDisk) {
		return err
	}
	return &verify.Refusal{Code: verify.CodeNetwork, Detail: "could not fetch the target", Err: err}
}

func isRefusal(err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r)
}
