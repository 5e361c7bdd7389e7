package publish

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
	"github.com/tuflog/tuflog/verify"
)

// LoggedSuffix is the end of the name of a bundle with its proofs, beside the one without:
// NAME.logged.pb beside NAME.pb.
const LoggedSuffix = ".logged.pb"

// A bundle is one of Pigweed's, of which the metadata is submitted.
type bundle struct {
	path string
	out  string // where it is written with its proofs
	read *pigweed.Bundle
}

// part is how a file of a bundle is called in a report.
func (b *bundle) part(role string) string { return b.path + ":" + role }

// BundlesTo has the one bundle among the files written to a path, once it has its proofs,
// instead of beside itself. It is an error if there is none, or several.
func (set *Files) BundlesTo(path string) error {
	if len(set.bundles) != 1 {
		return fmt.Errorf("there are %d bundles among the files, and one place to write one to", len(set.bundles))
	}
	set.bundles[0].out = filepath.Clean(path)
	return nil
}

// readPigweed reads a file of Pigweed's: root or targets metadata, or a bundle with both.
func (set *Files) readPigweed(path string, data []byte) error {
	if m, err := pigweed.Parse(data); err == nil {
		f := &file{name: path, base: filepath.Base(path), role: m.Type, version: m.Version, data: data, meta: m}
		set.add(f, path)
		return nil
	}
	b, err := pigweed.ParseBundle(data)
	if err != nil {
		return fmt.Errorf("%s is neither a bundle of Pigweed's nor root or targets metadata: %w", path, err)
	}
	if b.Targets == nil {
		return fmt.Errorf("%s: the bundle has no targets metadata", path)
	}
	if err := b.CheckPayloads(); err != nil {
		return fmt.Errorf("%s: no device would install the bundle: %w", path, err)
	}
	of := &bundle{path: path, out: strings.TrimSuffix(strings.TrimSuffix(path, api.SuffixPigweed), ".logged") + LoggedSuffix, read: b}
	for _, other := range set.bundles {
		if other.out == of.out && !sameRelease(other.read, b) {
			return fmt.Errorf("%s and %s are two releases, and both would be written to %s: submit one after the other", other.path, path, of.out)
		}
	}
	set.bundles = append(set.bundles, of)
	for _, m := range []*tuf.Metadata{b.Root, b.Targets} {
		if m != nil {
			set.add(&file{name: of.part(m.Type), base: m.Type + api.SuffixPigweed, role: m.Type, version: m.Version, data: m.File, meta: m, embedded: true}, of.part(m.Type))
		}
	}
	return nil
}

// sameRelease reports whether two bundles have the same metadata, and with it the same images.
func sameRelease(a, b *pigweed.Bundle) bool {
	payload := func(m *tuf.Metadata) tuf.Digest {
		if m == nil {
			return tuf.Digest{}
		}
		return m.PayloadDigest
	}
	return payload(a.Root) == payload(b.Root) && payload(a.Targets) == payload(b.Targets)
}

// add adds a file, or another path of one that is there.
func (set *Files) add(f *file, path string) {
	for _, same := range set.files {
		if same.role == f.role && same.embedded == f.embedded && bytes.Equal(same.data, f.data) {
			same.paths = append(same.paths, path)
			return
		}
	}
	f.paths = []string{path}
	set.files = append(set.files, f)
}

// at returns the file of a path in a report.
func (j *job) at(path string) *file {
	i := slices.IndexFunc(j.all, func(f *file) bool { return slices.Contains(f.paths, path) })
	if i < 0 {
		return nil
	}
	return j.all[i]
}

// writeBundles writes the bundles of which all metadata is released, with the proofs.
func (j *job) writeBundles() error {
	if j.rehearsal != nil {
		return nil
	}
	var errs []error
	for _, b := range j.bundles {
		if err := j.writeBundle(b); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.out, err))
		}
	}
	return errors.Join(errs...)
}

func (j *job) writeBundle(b *bundle) error {
	before, err := readBundle(b.out)
	if err != nil {
		return err
	}
	read := b.read
	for _, part := range []struct{ role, payload string }{{tuf.RoleRoot, pigweed.RootProof}, {tuf.RoleTargets, pigweed.Proof}} {
		f := j.at(b.part(part.role))
		if f == nil {
			continue // no root in the bundle
		}
		if f.verdict.claim == nil {
			return nil // it was refused, or is held: the report says so
		}
		sidecar, err := j.proofFor(f, part.payload, b.read, before)
		if err != nil {
			return err
		}
		file, err := read.Embed(part.payload, sidecar)
		if err != nil {
			return err
		}
		if read, err = pigweed.ParseBundle(file); err != nil {
			return err // it was good before
		}
		j.countUnaudited(sidecar, f)
	}
	file := read.Marshal()
	if before == nil || !bytes.Equal(before.Marshal(), file) {
		if err := durable.WriteFile(b.out, file, 0o644); err != nil {
			return err
		}
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
		if f := j.at(b.part(role)); f != nil && !slices.Contains(f.verdict.Sidecars, b.out) {
			f.verdict.Sidecars = append(f.verdict.Sidecars, b.out)
		}
	}
	return nil
}

// proofFor returns the proof of a file: the one that one of the bundles has already if it
// still verifies, because it shows the greater age of the entry, or the new one.
func (j *job) proofFor(f *file, payload string, bundles ...*pigweed.Bundle) ([]byte, error) {
	for _, b := range bundles {
		if b == nil {
			continue
		}
		old, ok := b.Payload(payload)
		if !ok || len(old) > maxSidecar {
			continue
		}
		if _, err := verify.CheckSidecar(old, *f.verdict.claim, j.cfg.Policy); err == nil {
			return old, nil
		}
	}
	return f.verdict.sidecar, nil
}

// checkBundles returns a *ReplaceError if a proof of another log is in one of the bundles
// that are read or overwritten, and the configuration does not allow to replace it.
func (j *job) checkBundles() error {
	if j.cfg.Replace {
		return nil
	}
	for _, b := range j.bundles {
		before, err := readBundle(b.out)
		if err != nil {
			return fmt.Errorf("%s: %w", b.out, err)
		}
		for path, read := range map[string]*pigweed.Bundle{b.path: b.read, b.out: before} {
			if read == nil {
				continue
			}
			for _, name := range []string{pigweed.Proof, pigweed.RootProof} {
				old, _ := read.Payload(name)
				if origin, other := otherLog(old, j.cfg.Policy); other {
					return &ReplaceError{Path: path + ":" + name, Origin: origin}
				}
			}
		}
	}
	return nil
}

// readBundle reads the bundle at a path, nil if there is none. What is no bundle is not
// overwritten.
func readBundle(path string) (*pigweed.Bundle, error) {
	in, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := readAtMost(in, path, pigweed.MaxBundle)
	if err != nil {
		return nil, err
	}
	b, err := pigweed.ParseBundle(data)
	if err != nil {
		return nil, fmt.Errorf("there is something else than a bundle: %w", err)
	}
	return b, nil
}
