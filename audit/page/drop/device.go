package drop

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// source is the files as a verify.Source: a repository, or a device's folder.
type source struct {
	root  *dropped
	files map[string]*dropped
}

// Kept is verify.Source's: a device that has nothing but its root.
func (s *source) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	if role == tuf.RoleRoot {
		return s.root.Content, verify.Sidecars{}, nil
	}
	return nil, verify.Sidecars{}, nil
}

// Keep is verify.Source's.
func (s *source) Keep(context.Context, verify.Accepted) error { return nil }

// missing is the error of a file that was not dropped.
type missing string

func (name missing) Error() string      { return string(name) + " is not among the files" }
func (missing) Is(target error) bool    { return target == fs.ErrNotExist }
func named(role string, v int64) string { return strconv.FormatInt(v, 10) + "." + role + ".json" }

// Fetch is verify.Source's.
func (s *source) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	names := []string{named(r.Role, r.Listed), named(tuf.EscapeRole(r.Role), r.Listed)}
	if r.Role == tuf.RoleRoot {
		if newest := s.files["root.json"]; newest != nil && newest.metadata.Version == r.Version {
			names = append(names, "root.json")
		}
	} else {
		names = append(names, r.Role+".json", tuf.EscapeRole(r.Role)+".json")
	}
	for _, name := range names {
		f := s.files[name]
		if f == nil {
			continue
		}
		switch r.Suffix {
		case verify.SidecarSuffix:
			f = f.proof
		case verify.LatestSuffix:
			f = f.latest
		}
		if f == nil {
			break
		}
		if int64(len(f.Content)) > r.MaxLength {
			return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: r.Role, Detail: fmt.Sprintf("%s has %d bytes, more than %d", f.Name, len(f.Content), r.MaxLength)}
		}
		return f.Content, nil
	}
	return nil, missing(r.FileName())
}

// device runs the workflow of a device, if there is enough to begin with: a root, a timestamp
// and a snapshot.
func (j *judge) device(ctx context.Context) {
	s := &source{files: map[string]*dropped{}}
	kinds := map[string]bool{}
	for _, m := range j.metadata {
		s.files[m.Name] = m
		kinds[m.metadata.Type] = true
		if m.metadata.Root != nil && (s.root == nil || m.metadata.Version < s.root.metadata.Version) {
			s.root = m
		}
	}
	if !kinds[tuf.RoleRoot] || !kinds[tuf.RoleTimestamp] || !kinds[tuf.RoleSnapshot] {
		return
	}
	const name, what = "all of them", "update"
	install := verify.DefaultInstallPolicy()
	state, err := verify.Pin(s.root.Content, install)
	if err != nil {
		j.add(refusedItem(name, what, err))
		return
	}
	client, err := verify.Refresh(ctx, verify.Config{Policy: j.policy, Install: install, Now: j.now, MaxRoots: math.MaxInt}, state, s)
	var lacking []string
	if err == nil {
		err = client.Delegated(ctx, func(r verify.Request, err error) error {
			if isMissing(err) {
				lacking = append(lacking, r.Role)
				return nil
			}
			return err
		})
	}
	if err != nil {
		j.add(refusedItem(name, what, err))
		return
	}
	j.client = client
	targets := client.Metadata(tuf.RoleTargets)
	item := Item{Name: name, What: what, Outcome: Accepted,
		Text: fmt.Sprintf("a device of repository %s with root version %d would accept version %d of targets at %s", client.Repository().Short(), s.root.metadata.Version, targets.Version, stamp(j.now))}
	keys := client.Metadata(tuf.RoleRoot).Root.KeySet(tuf.RoleTargets)
	item.Signed = fmt.Sprintf("checked: targets by %s", short(targets.Signers(keys)))
	if n := len(lacking); n > 0 {
		slices.Sort(lacking)
		item.Notes = append(item.Notes, fmt.Sprintf("Delegated roles that are listed and not among the files, so not checked (%d): %s.", n, words(lacking)))
	}
	j.add(item)
}

// isMissing reports whether nothing but a file that was not dropped is in the way.
func isMissing(err error) bool {
	for err != nil {
		if _, ok := err.(missing); ok {
			return true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

const maxWords = 5

func words(names []string) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i == maxWords:
			return b.String() + ", …"
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(tuf.Word(n))
	}
	return b.String()
}

// file judges a file that is neither metadata nor a proof: by which proved releases it is
// listed.
func (j *judge) file(ctx context.Context, f *dropped) {
	digest := f.digest()
	item := Item{Name: f.Name, What: "file", Outcome: Listed, Digest: &digest}
	var places []string
	proved, other := false, ""
	for _, m := range j.metadata {
		if m.metadata.Targets == nil || m.logged == nil {
			continue
		}
		proved = true
		for path, t := range m.metadata.Targets.Files() {
			switch {
			case !digest.is(t):
				if base := path[strings.LastIndex(path, "/")+1:]; f.Name == base || strings.HasSuffix(f.Name, "."+base) {
					other = fmt.Sprintf("; under this name %s lists another: %d bytes, SHA-256 %s", tuf.Word(m.Name), t.Length, tuf.Word(t.Hashes["sha256"]))
				}
				continue
			case len(places) > maxWords:
				continue
			case j.installs(ctx, path, digest):
				item.Outcome = Accepted
				places = append(places, fmt.Sprintf("a device that asks for %s would install it", tuf.Word(path)))
			default:
				places = append(places, fmt.Sprintf("version %d of role %s lists it as %s", m.metadata.Version, tuf.Word(m.logged.Leaf.Role), tuf.Word(path)))
			}
		}
	}
	switch {
	case bytes.HasPrefix(f.Content, []byte(bundleLine)):
		item.Outcome, item.Text = Unproved, "this is a bundle, which updater bundle verify opens; here, drop the files that it was made of"
	case len(places) > 0:
		item.Text = strings.Join(places, "; ")
	case proved && (other != "" || len(j.others) == 1):
		item.Outcome, item.Code = Refused, string(verify.CodeNotListed)
		item.Text = "none of the proved releases here lists a file with these bytes" + other
	case proved: // such as a file that explains the others
		item.Outcome, item.Text = Unproved, "none of the proved releases here lists it"
	default:
		item.Outcome, item.Text = Unproved, "no proved release is here that could list it"
	}
	j.add(item)
}

// bundleLine begins a bundle: docs/formats.md.
const bundleLine = "tuflog bundle v1\n"

// installs reports whether a device that has accepted the files takes one with this digest
// for a path.
func (j *judge) installs(ctx context.Context, path string, digest Digest) bool {
	if j.client == nil {
		return false
	}
	found, err := j.client.Locate(ctx, path)
	return err == nil && found.Target != nil && digest.is(*found.Target)
}

// is reports whether the digest is that of a target: all that is listed of it, and at least
// one hash.
func (d Digest) is(t tuf.TargetFile) bool {
	if t.Length >= 0 && t.Length != d.Length {
		return false
	}
	known := 0
	for algorithm, want := range map[string]string{"sha256": d.SHA256, "sha512": d.SHA512} {
		if have, ok := t.Hashes[algorithm]; ok {
			if have != want {
				return false
			}
			known++
		}
	}
	return known > 0
}
