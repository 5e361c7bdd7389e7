package drop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/device/bundle/index"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Limits of a bundle that is judged here. A target may have any length.
const (
	// MaxBundleIndex is how many bytes of its beginning Bundle takes at most.
	MaxBundleIndex = index.MaxSize
	// MaxBundleMetadata is how many bytes its metadata and proofs may have together.
	MaxBundleMetadata = 64 << 20
)

// bundleCommand judges a bundle that is not judged here.
const bundleCommand = "updater bundle verify BUNDLE --policy policy.txt judges it"

// IsBundle reports whether a file begins as a bundle does: its first bytes are enough.
func IsBundle(beginning []byte) bool { return bytes.HasPrefix(beginning, []byte(bundleLine)) }

// Part is a file in a bundle: metadata or a proof is read whole, of a target only the digest
// is needed.
type Part struct {
	Name   string `json:"name"` // as in the bundle: Input.Files takes it so
	At     int64  `json:"at"`
	Size   int64  `json:"size"`
	Target bool   `json:"target"`
}

// Bundle returns the files of a bundle with a name and a size, by its beginning: its first
// MaxBundleIndex bytes, or all. The verdict is nil unless that is the result already.
func Bundle(name string, beginning []byte, size int64) ([]Part, *Verdict) {
	in, err := index.Read(bytes.NewReader(beginning), size)
	if err != nil {
		item := refusedItem(name, "bundle", &verify.Refusal{Code: verify.CodeBadMetadata, Detail: "it is broken", Err: err})
		return nil, &Verdict{Outcome: Refused, Code: item.Code, Items: []Item{item}, Files: 1,
			Text: fmt.Sprintf("Refused: %s: %s.", tuf.Word(name), item.Text), NotProved: []string{"Anything: no device opens it."}}
	}
	if len(in.Files) > MaxFiles {
		v := unable("The bundle has %d files, more than the %d that are judged here. %s.", len(in.Files), MaxFiles, bundleCommand)
		return nil, &v
	}
	parts, metadata := make([]Part, 0, len(in.Files)), int64(0)
	for i, f := range in.Files {
		p := Part{Name: f.Name, At: in.At[i], Size: f.Size, Target: strings.HasPrefix(f.Name, index.TargetsPrefix)}
		if !p.Target {
			metadata += f.Size
		}
		parts = append(parts, p)
	}
	if metadata > MaxBundleMetadata {
		v := unable("The metadata in the bundle has %d bytes, more than the %d that are read here. %s.", metadata, MaxBundleMetadata, bundleCommand)
		return nil, &v
	}
	return parts, nil
}

// bundled is the files of a bundle as a verify.Source. Which is which it knows by their exact
// names, as package bundle does.
type bundled struct {
	root  []byte
	files map[string]*dropped // by their names in the bundle
}

// Kept is verify.Source's: a device that has nothing but its root.
func (b *bundled) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	if role == tuf.RoleRoot {
		return b.root, verify.Sidecars{}, nil
	}
	return nil, verify.Sidecars{}, nil
}

// Keep is verify.Source's.
func (b *bundled) Keep(context.Context, verify.Accepted) error { return nil }

// Fetch is verify.Source's.
func (b *bundled) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	f := b.files[index.MetadataPrefix+r.URLName()]
	switch {
	case f == nil:
		return nil, missing(r.URLName())
	case f.Content == nil || int64(len(f.Content)) > r.MaxLength:
		return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: r.Role, Detail: fmt.Sprintf("%s has more than %d bytes", r.URLName(), r.MaxLength)}
	}
	return f.Content, nil
}

// lowestRoot is the root with the lowest version in its name; nil: there is none.
func (b *bundled) lowestRoot() []byte {
	lowest, content := int64(0), []byte(nil)
	for name, f := range b.files {
		digits, ok := strings.CutSuffix(strings.TrimPrefix(name, index.MetadataPrefix), ".root.json")
		if v, err := proofs.ParseDecimal(digits); ok && err == nil && (lowest == 0 || v < lowest) {
			lowest, content = v, f.Content
		}
	}
	return content
}

// bundle judges the files of a bundle as a device would that begins with the lowest root in it:
// the result is that of "updater bundle verify" without a device.
func (j *judge) bundle(ctx context.Context, in Input) {
	b := &bundled{files: map[string]*dropped{}}
	var targets []*dropped
	for _, f := range in.Files {
		d := &dropped{File: f}
		b.files[f.Name] = d
		if strings.HasPrefix(f.Name, index.TargetsPrefix) {
			targets = append(targets, d)
		}
	}
	if b.root = b.lowestRoot(); b.root == nil {
		policy := j.verdict.Policy
		j.verdict = unable("The bundle has no root to begin with: it is for a device that has one. On that device, updater bundle verify BUNDLE --policy policy.txt --metadata-dir DIR judges it.")
		j.verdict.Policy, j.verdict.Files = policy, len(in.Files)
		return
	}
	if !j.update(ctx, b.root, b, false) {
		j.conclude()
		return
	}
	slices.SortFunc(targets, func(x, y *dropped) int { return strings.Compare(x.Name, y.Name) })
	for _, t := range targets {
		j.target(ctx, t)
	}
	j.conclude()
}

// target judges a target in a bundle.
func (j *judge) target(ctx context.Context, t *dropped) {
	digest := t.digest()
	path, ok := tuf.UnescapeRole(strings.TrimPrefix(t.Name, index.TargetsPrefix))
	item := Item{Name: path, What: "file", Outcome: Refused, Digest: &digest}
	if !ok {
		item.Name = t.Name
	}
	found, err := j.client.Locate(ctx, path)
	if err == nil {
		_, err = verify.NewTargetCheck(*found.Target)
	}
	var refusal *verify.Refusal
	switch {
	case errors.As(err, &refusal):
		item.Code, item.Text = string(refusal.Code), fmt.Sprintf("a device that asks for it installs nothing: %s", refusal.Text())
	case errors.Is(err, fs.ErrNotExist), err != nil:
		item.Code, item.Text = string(verify.CodeNetwork), fmt.Sprintf("a device that asks for it installs nothing: %v", err)
	case !digest.is(*found.Target):
		item.Code = string(verify.CodeBadMetadata)
		item.Text = other(listing{role: found.Role, version: j.client.Metadata(found.Role).Version, path: path}, *found.Target)
	default:
		item.Outcome, item.Text = Accepted, fmt.Sprintf("a device of repository %s that asks for %s would install it", j.client.Repository(), tuf.Word(path))
	}
	j.add(item)
}
