// Package gotuf puts the gate of package verify before the updater of go-tuf
// (github.com/theupdateframework/go-tuf/v2), for programs that are built on it: the updater
// then trusts the files that a [verify.Client] trusts, and no others. Programs need
//
//   - [Guard], which changes the configuration of an updater.
//
// The client comes from an update, as of a device.Device, which also keeps the files and the
// state; go-tuf's own cache is not used:
//
//	unlock, err := d.Store.Lock(ctx, "my-program", time.Minute)
//	defer unlock() // after the last use of the updater
//	client, err := d.Refresh(ctx, verify.Config{Policy: policy, Install: install, Now: time.Now()})
//	if err != nil { ... } // a *verify.Refusal
//	cfg, err := config.New("https://updates.example/metadata", nil)
//	cfg.RemoteTargetsURL = "https://updates.example/targets"
//	err = gotuf.Guard(ctx, cfg, client, d.SaveState)
//	up, err := updater.New(cfg)
//	info, err := up.GetTargetInfo("firmware.bin")
//	_, content, err := up.DownloadTarget(info, "", "")
//
// While a newer release waits, for its age or for its owner's approval, go-tuf's updater has
// nothing to go by: the snapshot lists the newer release already, and it takes no other. The
// release that the device has accepted is at hand meanwhile, without go-tuf:
//
//	if client != nil && client.Standing() != nil {
//		targets, err := d.Download(ctx, []string{"firmware.bin"}, "/var/lib/my-program")
//	}
package gotuf

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// noDir is a directory that cannot be there. An updater reads its LocalMetadataDir also where
// DisableLocalCache is set, and the working directory where it is empty: what lies there has
// not passed the gate.
const noDir = "\x00"

// Guard makes an updater that is made of cfg trust what the client of a successful update
// trusts, and have everything else from it: cfg.Fetcher fetches targets' files alone.
// Delegated roles pass the gate when the updater asks for them; their refusals are the
// *verify.Refusal of its errors. The state is given to save before the updater has such a
// role: Device.SaveState, under the lock that the update was made under, so that it takes
// nothing back that another process has stored. If the client is Standing, because a newer
// release waits, the error wraps that refusal, and the targets are had from Client.Locate or
// Device.Download. An updater that is guarded keeps no files: not the metadata, which the client's
// source keeps, nor targets, whose content DownloadTarget returns. The URL of the metadata is
// set before; targets whose names end in .json need a URL of their own, not the metadata's.
func Guard(ctx context.Context, cfg *config.UpdaterConfig, client *verify.Client, save func(verify.State) error) error {
	if client == nil || client.Metadata(tuf.RoleTargets) == nil {
		return errors.New("gotuf: the client has not come to trust targets: begin with an update that succeeds")
	}
	if why := client.Standing(); why != nil {
		return fmt.Errorf("gotuf: a newer release waits, and an updater of go-tuf takes no other: until then download what the device has accepted with its Device: %w", why)
	}
	g := gate{client, save}
	base, targets := strings.TrimSuffix(cfg.RemoteMetadataURL, "/")+"/", cfg.Fetcher
	cfg.Fetcher = fetchFunc(func(address string, maxLength int64, timeout time.Duration) ([]byte, error) {
		name, ok := strings.CutPrefix(address, base)
		name, isJSON := strings.CutSuffix(name, ".json")
		if !ok && beginsAnUpdate(address) {
			return nil, fmt.Errorf("gotuf: %s is not below %s, whose metadata passed the gate: the configuration is not changed after Guard", address, base)
		}
		if !ok || !isJSON || strings.Contains(name, "/") {
			return targets.DownloadFile(address, maxLength, timeout)
		}
		return g.fetch(ctx, name, address, maxLength)
	})
	cfg.LocalTrustedRoot = client.Metadata(tuf.RoleRoot).File
	cfg.LocalMetadataDir, cfg.DisableLocalCache, cfg.UnsafeLocalMode = noDir, true, false
	// The client has its own limits.
	cfg.RootMaxLength, cfg.TimestampMaxLength, cfg.SnapshotMaxLength, cfg.TargetsMaxLength = tuf.MaxFileSize, tuf.MaxFileSize, tuf.MaxFileSize, tuf.MaxFileSize
	return nil
}

// beginsAnUpdate reports whether an address is one of the files that every update asks for
// first. Without them none of another repository's, or of another mirror's, is trusted.
func beginsAnUpdate(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return true
	}
	name := path.Base(u.Path)
	digits, isRoot := strings.CutSuffix(name, ".root.json")
	return name == "timestamp.json" || isRoot && strings.Trim(digits, "0123456789") == ""
}

// fetchFunc is a fetcher.Fetcher.
type fetchFunc func(address string, maxLength int64, timeout time.Duration) ([]byte, error)

func (f fetchFunc) DownloadFile(address string, maxLength int64, timeout time.Duration) ([]byte, error) {
	return f(address, maxLength, timeout)
}

// gate gives the files that a client trusts.
type gate struct {
	client *verify.Client
	save   func(verify.State) error
}

// fetch gives a file of the metadata by its name without .json.
func (g gate) fetch(ctx context.Context, name, address string, maxLength int64) ([]byte, error) {
	m, err := g.metadata(ctx, name)
	if err != nil {
		return nil, err
	}
	if m == nil { // as of a root that the client does not trust
		return nil, &metadata.ErrDownloadHTTP{StatusCode: 404, URL: address}
	}
	if int64(len(m.File)) > maxLength {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%s.json has %d bytes, more than %d", name, len(m.File), maxLength)}
	}
	return m.File, nil
}

// metadata returns the trusted file of this name; nil if it is none.
func (g gate) metadata(ctx context.Context, name string) (*tuf.Metadata, error) {
	role, version := name, int64(0)
	if digits, rest, ok := strings.Cut(name, "."); ok && (rest == tuf.RoleRoot || g.client.Metadata(tuf.RoleRoot).Root.ConsistentSnapshot) {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, nil
		}
		role, version = rest, n
	}
	m, err := g.role(ctx, role)
	if m == nil || err != nil || version != 0 && m.Version != version {
		return nil, err
	}
	return m, nil
}

// role returns the trusted file of a role, whose name is escaped.
func (g gate) role(ctx context.Context, escaped string) (*tuf.Metadata, error) {
	role, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, nil
	}
	if m := g.client.Metadata(role); m != nil && tuf.IsTopLevel(role) {
		return m, nil
	}
	had := g.client.Metadata(role) != nil
	m, err := g.client.Role(ctx, role)
	if had {
		return m, err
	}
	if m == nil || err != nil {
		return nil, err
	}
	if err := g.save(g.client.State()); err != nil {
		return nil, err
	}
	return m, nil
}
