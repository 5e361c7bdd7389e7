package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/device/bundle/index"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

const maxProof = proofs.MaxProofSize

// Recipe says what a bundle is made of.
type Recipe struct {
	// Config is what the files have to pass. Devices may require more.
	Config verify.Config
	// Root is the root with which trust begins. The bundle has it and all that are newer: it
	// is for devices that were given this root, or a newer one.
	Root []byte
	// Origin has the repository.
	Origin device.Origin
	// Targets are the paths of the targets; All: every target that any role lists.
	Targets []string
	All     bool
}

// Create writes a bundle of what a device would fetch from a repository: what such a device
// would refuse is not written. The same repository is the same bytes. What was written before
// an error is to be thrown away. The Trial's Client has the metadata of the bundle.
func Create(ctx context.Context, w io.Writer, r Recipe) (*Trial, error) {
	state, err := verify.Pin(r.Root, r.Config.Install)
	if err != nil {
		return nil, err
	}
	t, err := Try(ctx, r.Config, state, Root(r.Root), r.Origin)
	if err != nil {
		return t, err
	}
	paths, err := r.paths(ctx, t)
	if err != nil {
		return t, err
	}
	c := contents{}
	for _, path := range paths {
		found, err := t.Client.Locate(ctx, path)
		if r.All && errors.Is(err, verify.ErrNotListed) {
			continue // by a role that is not trusted for it
		}
		if err != nil {
			return t, aboutTarget(path, err)
		}
		if found.Target.Length < 0 {
			return t, fmt.Errorf("target %q is listed without a length", path)
		}
		c[File{Name: targetName(path), Size: found.Target.Length}] = func(w io.Writer) error {
			check, err := verify.NewTargetCheck(*found.Target)
			if err != nil {
				return err
			}
			if err = r.Origin.CopyTarget(ctx, io.MultiWriter(check, w), path, found, 0); err == nil {
				err = check.Done()
			}
			return aboutTarget(path, err)
		}
	}
	first := verify.Request{Role: tuf.RoleRoot, Version: state.Root.Version, Listed: state.Root.Version}
	t.files[first.URLName()] = r.Root
	if err := t.besides(ctx, first); err != nil {
		return t, err
	}
	if err := t.rest(ctx); err != nil {
		return t, err
	}
	for name, content := range t.files {
		c.add(index.MetadataPrefix+name, content)
	}
	return t, write(w, c)
}

// aboutTarget says of a refusal that is about no role which target it is about.
func aboutTarget(path string, err error) error {
	var r *verify.Refusal
	if !errors.As(err, &r) || r.Role != "" {
		return err
	}
	detail := fmt.Sprintf("target %q", path)
	if r.Detail != "" {
		detail += ": " + r.Detail
	}
	return &verify.Refusal{Code: r.Code, Detail: detail, Err: r.Err}
}

// paths are those of the targets, each once.
func (r Recipe) paths(ctx context.Context, t *Trial) ([]string, error) {
	paths := slices.Clone(r.Targets)
	if r.All {
		if err := t.delegated(ctx, true); err != nil {
			return nil, err
		}
		for _, a := range t.Client.Accepted() {
			if a.Metadata.Targets != nil {
				paths = slices.AppendSeq(paths, a.Metadata.Targets.Paths())
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}
