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
	Name    string
	Role    string         // that lists it; empty if none does
	Version int64          // of the role's file
	Listed  tuf.TargetFile // its length and hashes
	Path    string         // of the file
	Err     error          // why it is not there
}

// Download searches for targets, one after the other, once Refresh has succeeded, or its
// client is Standing: while a newer release waits the targets are those of the release that
// the device has accepted. Then it fetches those that dir does not have. It returns the result for each; the error is that of
// a context that has ended, or means that the state could not be stored. What has come of a
// target that could not be fetched is kept, and the next Download of it goes on from there.
// Then it does what AdoptPolicy does.
func (d *Device) Download(ctx context.Context, names []string, dir string) ([]Target, error) {
	d.parts = map[string]bool{}
	targets, found := make([]Target, len(names)), make([]verify.Lookup, len(names))
	for i, name := range names {
		t := &targets[i]
		*t = Target{Name: name, Path: filepath.Join(dir, targetFileName(name))}
		found[i], t.Err = d.client.Locate(ctx, name)
		t.Err = own(ctx, t.Err)
		if ctx.Err() != nil {
			return nil, d.end(ctx, ctx.Err())
		}
		if found[i].Target != nil { // if there is an error a newer release waits
			t.Role, t.Version = found[i].Role, d.client.Metadata(found[i].Role).Version
			t.Listed = *found[i].Target
			d.parts[partName(*found[i].Target)] = true
		}
	}
	for i := range targets {
		t := &targets[i]
		if found[i].Target != nil {
			if err := own(ctx, d.downloadOne(ctx, t.Name, t.Path, found[i])); t.Err == nil || err != nil {
				t.Err = err
			}
		}
		if ctx.Err() != nil {
			return targets[:i], d.end(ctx, ctx.Err())
		}
	}
	return targets, d.AdoptPolicy(ctx)
}

// AdoptPolicy looks for the next trust policy once Refresh has succeeded, if the install
// policy names one, and adopts it if it may; what is in the way of that is told to Warn. The
// error is that of a context that has ended, or means that the state could not be stored.
func (d *Device) AdoptPolicy(ctx context.Context) error {
	if d.next != "" && d.client.Standing() == nil {
		if err := d.adoptPolicy(ctx); err != nil && ctx.Err() == nil {
			d.warn(fmt.Errorf("the next trust policy (%s) is not in force: %w", d.next, err))
		}
	}
	return d.end(ctx, ctx.Err())
}

// nextPolicyName is the file of the metadata directory with the next trust policy, as the
// vendor's target has it.
const nextPolicyName = "next-policy.txt"

// adoptPolicy fetches the target that is the next trust policy, and adopts it if it may.
func (d *Device) adoptPolicy(ctx context.Context) error {
	found, err := d.client.Locate(ctx, d.next)
	if errors.Is(err, verify.ErrNotListed) {
		_, err = d.client.Adopt(ctx, verify.Lookup{}, nil)
		return err
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
		err = d.fetchTarget(ctx, d.next, path, found)
	}
	if err != nil {
		return err
	}
	content, err := regular.ReadSome(path, proofs.MaxPolicySize+1)
	if err != nil {
		return err
	}
	adopted, err := d.client.Adopt(ctx, found, content)
	if adopted {
		d.warn(fmt.Errorf("from the next run on the trust policy is %s, which %s lists: updater status", d.next, tuf.EscapeRole(found.Role)))
	}
	return err
}

// downloadOne puts a target at path.
func (d *Device) downloadOne(ctx context.Context, name, path string, found verify.Lookup) error {
	if have, err := haveTarget(path, *found.Target); have || err != nil {
		return err
	}
	// No power cut may leave a target in use and its release forgotten: the device would
	// take another one of that version. And what is fetched from here on may take long.
	if len(d.client.Accepted()) != d.accepted {
		if err := d.save(); err != nil {
			return err
		}
	}
	return d.fetchTarget(ctx, name, path, found)
}

// targetFileName is the name of a target in the target directory: its path with
// everything encoded that could lead elsewhere.
func targetFileName(path string) string {
	name := storedName(tuf.EscapeRole(path), maxFileName)
	switch {
	case strings.Trim(name, ".") == "":
		return strings.ReplaceAll(name, ".", "%2E")
	case len(name) >= len(partPrefix) && strings.EqualFold(name[:len(partPrefix)], partPrefix):
		return "%2E" + name[1:] // it would be taken for what a run has left of another
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

// fetchTarget fetches a target next to its place, checks it, and only then puts it there.
// An earlier run may have fetched a part of it.
func (d *Device) fetchTarget(ctx context.Context, name, path string, found verify.Lookup) error {
	check, err := verify.NewTargetCheck(*found.Target)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := sweepParts(dir, d.parts); err != nil {
		return err
	}
	f, err := openPart(dir, *found.Target)
	if err != nil {
		return err
	}
	have, err := io.Copy(check, f)
	switch {
	case isRefusal(err): // it is longer than the target
		have = found.Target.Length + 1
	case err == nil:
		err = d.complete(ctx, f, check, name, found, have)
	}
	if have > 0 && isWrong(err) || errors.Is(err, ErrShort) {
		// What was there is not a part of this file, or was damaged.
		if check, err = startAgain(f, *found.Target); err == nil {
			err = d.complete(ctx, f, check, name, found, 0)
		}
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Sync())
	}
	if err != nil {
		return leavePart(f, err)
	}
	if err := renamePart(f, path); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// startAgain empties a part.
func startAgain(f *os.File, t tuf.TargetFile) (*verify.TargetCheck, error) {
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return verify.NewTargetCheck(t)
}

// complete fetches what a part lacks, and checks the whole.
func (d *Device) complete(ctx context.Context, f *os.File, check *verify.TargetCheck, name string, found verify.Lookup, have int64) error {
	length := found.Target.Length
	progress := func(have int64) {
		if d.Progress != nil {
			d.Progress(name, have, length)
		}
	}
	progress(have)
	if have < length || length == 0 {
		count := &counter{have, progress}
		if err := d.Origin.CopyTarget(ctx, io.MultiWriter(check, f, count), name, found, have); err != nil {
			return targetError(err)
		}
		if count.n < length { // as where a mirror is being filled
			return &verify.Refusal{Code: verify.CodeNetwork, Detail: fmt.Sprintf("only %d of the %d bytes of the target are there", count.n, length)}
		}
	}
	return check.Done()
}

// counter tells how many bytes are there.
type counter struct {
	n    int64
	tell func(int64)
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	c.tell(c.n)
	return len(p), nil
}

// targetError is the error of a target that an Origin has not copied. A refusal comes from
// the check and a path from the file; what goes wrong on the way is CodeNetwork.
func targetError(err error) error {
	if isRefusal(err) || errors.Is(err, ErrShort) || onDisk(err) {
		return err
	}
	return &verify.Refusal{Code: verify.CodeNetwork, Detail: "could not fetch the target", Err: err}
}

// isWrong reports whether what has come is not the target.
func isWrong(err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r) && r.Code != verify.CodeNetwork
}

func onDisk(err error) bool { return errors.As(err, new(*fs.PathError)) }

func isRefusal(err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r)
}
