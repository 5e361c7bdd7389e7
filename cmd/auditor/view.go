package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit/compare"
	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// view is a vantage, or a single file.
type view struct {
	compare.Vantage
	role    string // of a single file
	file    *tuf.Metadata
	sidecar *proofs.Proof // beside it; nil: none
}

// openViews looks at the arguments.
func openViews(ctx context.Context, args []string) ([]view, error) {
	var views []view
	for _, arg := range args {
		v := view{Vantage: compare.Vantage{Name: arg}}
		if strings.Contains(arg, "://") {
			if err := cli.CheckBaseURL(arg); err != nil {
				return nil, err
			}
			v.Name = fetch.Redacted(arg)
			v.Source = &device.Repository{URL: arg, Timeout: maxVantage, SameHost: true}
			views = append(views, v)
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			v.Partial = true // it may be a device's
			if v.Source, err = device.OpenFolder(arg); err != nil {
				return nil, err
			}
		} else if err := v.open(arg); err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, ctx.Err()
}

// open reads a single file, and the proof beside it. Without a proof that names its role,
// the name of the file does.
func (v *view) open(path string) error {
	b, err := cli.ReadAtMost(path, largestOf(path))
	if err != nil {
		return err
	}
	if v.file, err = parseFile(path, b); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	proof, err := cli.ReadAtMost(path+verify.SidecarSuffix, proofs.MaxProofSize)
	switch {
	case err == nil:
		p, err := proofs.ParseProof(proof)
		if err != nil {
			return fmt.Errorf("%s: %w", path+verify.SidecarSuffix, err)
		}
		l, err := leaf.Parse(p.Extra)
		if err != nil {
			return fmt.Errorf("%s: %w", path+verify.SidecarSuffix, err)
		}
		v.sidecar, v.role = &p, l.Role
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if v.file.Encoding == tuf.Pigweed {
		v.role = v.file.Type
		return nil
	}
	v.role, err = api.RoleOf(filepath.Base(path), b, v.file.Version)
	if err == nil && v.file.Type != tuf.TypeOf(v.role) {
		err = fmt.Errorf("%s is %s metadata, and named as the role %q", path, v.file.Type, v.role)
	}
	return err
}

// leaf returns the leaf of a single file's proof.
func (v *view) leaf() (leaf.Leaf, bool) {
	if v.sidecar == nil {
		return leaf.Leaf{}, false
	}
	l, err := leaf.Parse(v.sidecar.Extra)
	return l, err == nil
}

// subjectOf finds the one repository that is compared.
func subjectOf(ctx context.Context, histories []*history.History, views []view, named string) (*history.History, error) {
	if named != "" {
		switch len(histories) {
		case 0:
			return nil, fmt.Errorf("the log has no repository %q", named)
		case 1:
			return histories[0], nil
		}
		return nil, fmt.Errorf("--repository %q fits %d repositories: give more of its id", named, len(histories))
	}
	for _, v := range views {
		payload, err := v.known(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.Name, err)
		}
		for _, h := range histories {
			if payload == h.ID() || slices.ContainsFunc(h.Records, func(r history.Record) bool { return r.Leaf.Role == tuf.RoleRoot && r.Leaf.Payload == payload }) {
				return h, nil
			}
		}
	}
	if h := releaserOf(histories, views); h != nil {
		return h, nil
	}
	err := errors.New("it cannot be said of which repository this is: no root that is served, and no file, is of one that is logged (name it with --repository)")
	for _, v := range views {
		if _, folder := v.Source.(*device.Folder); !folder {
			continue
		}
		if files, globErr := filepath.Glob(filepath.Join(v.Name, "*.json")); globErr == nil && len(files) == 0 {
			err = fmt.Errorf("%w; there is no metadata in JSON in %s", err, v.Name)
		}
	}
	return nil, err
}

// releaserOf finds the one repository that has released a single file, nil if there is none
// or if several have.
func releaserOf(histories []*history.History, views []view) *history.History {
	var found *history.History
	for _, v := range views {
		for _, h := range histories {
			if v.file == nil || h == found || !slices.ContainsFunc(h.Records, func(r history.Record) bool { return r.Leaf.Payload == v.file.PayloadDigest }) {
				continue
			}
			if found != nil {
				return nil
			}
			found = h
		}
	}
	return found
}

// known is the payload of a root that a vantage serves, or the repository that a file's
// proof names. It is zero if there is none.
func (v *view) known(ctx context.Context) (tuf.Digest, error) {
	if l, ok := v.leaf(); ok {
		return l.Repository, nil
	}
	var root []byte
	var err error
	switch s := v.Source.(type) {
	case nil:
		if v.file.Root != nil {
			return v.file.PayloadDigest, nil
		}
		return tuf.Digest{}, nil
	case *device.Folder:
		_, root, err = s.LowestRoot()
	default:
		root, err = s.Fetch(ctx, verify.Request{Role: tuf.RoleRoot, Version: 1, Listed: 1, MaxLength: tuf.MaxFileSize})
		if errors.Is(err, os.ErrNotExist) {
			return tuf.Digest{}, nil
		}
	}
	if err != nil || root == nil {
		return tuf.Digest{}, err
	}
	m, err := tuf.ParseJSON(root)
	if err != nil {
		return tuf.Digest{}, fmt.Errorf("its first root: %w", err)
	}
	return m.PayloadDigest, nil
}

// proofOf says what the proof beside a file is worth.
func proofOf(policy *proofs.Policy, sidecar proofs.Proof, role string, file *tuf.Metadata, repository tuf.Digest) string {
	l, err := leaf.Parse(sidecar.Extra)
	if err != nil {
		return fmt.Sprintf("its proof is of another kind of entry: %v", err)
	}
	if l.Repository != repository || l.Payload != file.PayloadDigest || l.Version != file.Version {
		return "its proof is of another file"
	}
	if l.Role != role {
		return fmt.Sprintf("its proof is of another role, %s: devices refuse it", tuf.Word(l.Role))
	}
	if _, err := sidecar.Verify(policy, sidecar.Extra); err != nil {
		return fmt.Sprintf("its proof does not verify: %v", err)
	}
	if l.Kind != leaf.Release {
		return "its proof is of a leaf of evidence"
	}
	return "its proof verifies"
}
