package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// device is a machine that updates itself with the updater program. Its folder
// holds the root that it was made with, and what it has come to trust since.
type device struct {
	w       *world
	dir     string
	policy  string // the trust policy; empty: the world's
	install string // the install policy; empty: none
}

// updated is what updater --json prints, as far as the demo reads it.
type updated struct {
	OK      bool          `json:"ok"`
	Roles   []updatedRole `json:"roles"`
	Targets []struct {
		File string `json:"file"`
	} `json:"targets"`
	Error   string `json:"error"`
	Refused *struct {
		Code   verify.Code `json:"code"`
		Role   string      `json:"role"`
		Detail string      `json:"detail"`
	} `json:"refused"`
}

type updatedRole struct {
	Role      string   `json:"role"`
	Version   int64    `json:"version"`
	Index     int64    `json:"index"`
	Witnesses []string `json:"witnesses"`
}

func (u updated) role(name string) (updatedRole, error) {
	for _, r := range u.Roles {
		if r.Role == name {
			return r, nil
		}
	}
	return updatedRole{}, fmt.Errorf("the updater does not say which %s it trusts", name)
}

// target is where the one target that was asked for is.
func (u updated) target() string {
	if len(u.Targets) == 0 {
		return ""
	}
	return u.Targets[0].File
}

// newDevice makes a device that trusts a root, as if it came with it.
func (w *world) newDevice(ctx context.Context, dir string, root []byte) (*device, error) {
	d := &device{w: w, dir: dir}
	path := filepath.Join(dir, "factory-root.json")
	if err := writeFiles(dir, map[string][]byte{"factory-root.json": root}); err != nil {
		return nil, err
	}
	_, err := w.p.must(ctx, "updater", "init", "--metadata-dir", d.metadata(), path)
	return d, err
}

func (d *device) metadata() string { return filepath.Join(d.dir, "metadata") }

// like returns another device in the same state.
func (d *device) like(dir string) (*device, error) {
	if err := os.CopyFS(dir, os.DirFS(d.dir)); err != nil {
		return nil, err
	}
	return &device{w: d.w, dir: dir}, nil
}

// download has the device update itself from a site and fetch one target.
func (d *device) download(ctx context.Context, s site, target string) (outcome, updated, error) {
	args := []string{"download", "--json", "--policy", cmp.Or(d.policy, d.w.policy),
		"--metadata-dir", d.metadata(), "--metadata-url", s.metadata,
		"--target-name", target, "--target-base-url", s.targets, "--target-dir", filepath.Join(d.dir, "installed")}
	if d.install != "" {
		args = append(args, "--install-policy", d.install)
	}
	o, err := d.w.p.run(ctx, "updater", args...)
	if err != nil {
		return o, updated{}, err
	}
	var u updated
	if err := json.Unmarshal([]byte(o.stdout), &u); err != nil {
		return o, u, fmt.Errorf("%s printed no JSON: %w\n%s", o.command, err, o.stderr)
	}
	return o, u, nil
}

// installs has the device install a target, which must succeed and leave the
// content given.
func (d *device) installs(ctx context.Context, s site, target string, want []byte) (updated, error) {
	o, u, err := d.download(ctx, s, target)
	if err != nil {
		return u, err
	}
	if o.code != 0 || !u.OK {
		return u, o.unexpected("0")
	}
	got, err := os.ReadFile(u.target())
	if err != nil {
		return u, err
	}
	if string(got) != string(want) {
		return u, fmt.Errorf("%s installed other bytes than the vendor released as %s", o.command, target)
	}
	return u, nil
}

// isRefused has the device try to install a target, which must be refused with a
// code, and must leave nothing installed. It returns the reason given.
func (d *device) isRefused(ctx context.Context, s site, target string, code verify.Code) (string, error) {
	installed := filepath.Join(d.dir, "installed")
	before, err := fingerprint(installed)
	if err != nil {
		return "", err
	}
	o, u, err := d.download(ctx, s, target)
	if err != nil {
		return "", err
	}
	switch {
	case o.code != 1:
		return "", o.unexpected("1")
	case u.Refused == nil:
		return "", fmt.Errorf("%s\nfailed without a refusal: %s", o.command, u.Error)
	case u.Refused.Code != code:
		return "", fmt.Errorf("%s\nrefused with %s (%s), expected %s", o.command, u.Refused.Code, u.Refused.Detail, code)
	}
	after, err := fingerprint(installed)
	if err != nil {
		return "", err
	}
	if after != before {
		return "", fmt.Errorf("%s\nrefused with %s, but changed the installed files", o.command, code)
	}
	return strings.TrimPrefix(u.Refused.Role+": "+u.Refused.Detail, ": "), nil
}

// fingerprint is the content of a folder as one digest; an absent one is empty.
func fingerprint(dir string) (tuf.Digest, error) {
	files, err := readFiles(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return tuf.Digest{}, err
	}
	// Maps are printed in key order.
	return tuf.Sum(fmt.Append(nil, files)), nil
}
