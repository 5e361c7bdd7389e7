package drop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// source is the files as a verify.Source: what a device finds that is given them as a
// repository. Which file is which it knows by their names alone, as device.Folder does.
type source struct {
	root  []byte
	files map[string]*dropped // by their names without folders
	twins map[string]string   // of names that two different files have: both, with folders
}

// Kept is verify.Source's: a device that has nothing but its root.
func (s *source) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	if role == tuf.RoleRoot {
		return s.root, verify.Sidecars{}, nil
	}
	return nil, verify.Sidecars{}, nil
}

// Keep is verify.Source's.
func (s *source) Keep(context.Context, verify.Accepted) error { return nil }

// missing is the error of a file that was not dropped.
type missing string

func (name missing) Error() string { return string(name) + " is not among the files" }

// Is makes it fs.ErrNotExist.
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// Fetch is verify.Source's.
func (s *source) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	name := s.nameOf(r)
	if name == "" {
		return nil, missing(r.FileName())
	}
	if both, ok := s.twins[name+r.Suffix]; ok {
		return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: r.Role, Detail: both + " are two different files of one name"}
	}
	f := s.files[name+r.Suffix]
	switch {
	case f == nil:
		return nil, missing(r.FileName())
	case f.Content == nil || int64(len(f.Content)) > r.MaxLength:
		return nil, &verify.Refusal{Code: verify.CodeBadMetadata, Role: r.Role, Detail: fmt.Sprintf("%s has more than %d bytes", tuf.Word(f.Name), r.MaxLength)}
	}
	return f.Content, nil
}

// nameOf finds a file, without its suffix, under the names that repositories and devices use;
// empty if it is not there.
func (s *source) nameOf(r verify.Request) string {
	prefix := strconv.FormatInt(r.Listed, 10) + "."
	names := []string{prefix + r.Role + ".json", prefix + tuf.EscapeRole(r.Role) + ".json", r.Role + ".json", tuf.EscapeRole(r.Role) + ".json"}
	if r.Role == tuf.RoleRoot {
		// root.json is the newest root; it may be a copy of one that was given already.
		newest := s.files["root.json"]
		if names = names[:1]; newest != nil && newest.metadata != nil && (newest.metadata.Version == r.Version || newest.metadata.Version > r.Version && r.Suffix == "") {
			names = append(names, "root.json")
		}
	}
	for _, name := range names {
		if s.files[name] != nil {
			return name
		}
	}
	return ""
}

// lowestRoot is the root with the lowest version in its name, or root.json; nil: there is none.
func (s *source) lowestRoot() *dropped {
	lowest, found := int64(0), s.files["root.json"]
	for name, f := range s.files {
		digits, ok := strings.CutSuffix(name, ".root.json")
		if v, err := proofs.ParseDecimal(digits); ok && err == nil && (lowest == 0 || v < lowest) {
			lowest, found = v, f
		}
	}
	return found
}

// twins refuses two different files of metadata, or proofs, of one name in different folders:
// a device sees one of them, and which is not known.
func (j *judge) twins() {
	seen := map[string]*dropped{}
	for _, f := range slices.Concat(j.metadata, j.doubtful, j.proofs) {
		other := seen[f.base()]
		seen[f.base()] = f
		if other != nil && other.digest() != f.digest() {
			j.add(refusedItem(f.Name, "metadata", &verify.Refusal{Code: verify.CodeBadMetadata, Detail: fmt.Sprintf("%s and %s are two different files of one name", tuf.Word(other.Name), tuf.Word(f.Name))}))
		}
	}
}

// begin finds out whether there is all that a device begins with: a root, a timestamp and a
// snapshot, by their names. Then all must be of the root's repository, unless one was named.
func (j *judge) begin() {
	s := &source{files: map[string]*dropped{}, twins: map[string]string{}}
	snapshot := false
	for _, f := range slices.Concat(j.metadata, j.doubtful, j.proofs, j.others) {
		base := f.base()
		if other := s.files[base]; other == nil {
			s.files[base] = f
		} else if other.digest() != f.digest() {
			s.twins[base] = tuf.Word(other.Name) + " and " + tuf.Word(f.Name)
		}
		snapshot = snapshot || base == "snapshot.json" || strings.HasSuffix(base, ".snapshot.json")
	}
	root := s.lowestRoot()
	if root == nil || s.files["timestamp.json"] == nil || !snapshot {
		return
	}
	s.root, j.folder = root.Content, s
	if j.repository.IsZero() && root.metadata != nil {
		j.repository = root.metadata.PayloadDigest
	}
}

// device runs the workflow of a device.
func (j *judge) device(ctx context.Context) {
	if j.folder != nil {
		j.update(ctx, j.folder.root, j.folder, true)
	}
}

// update lets a device that has nothing but a root be updated from a source, with every
// delegated role that is there, or with those alone that its targets need. It reports whether
// the device has accepted it.
func (j *judge) update(ctx context.Context, root []byte, from verify.Source, all bool) bool {
	const name, what = "all of them", "update"
	install := verify.DefaultInstallPolicy()
	if j.named {
		install.Repository = j.repository
	}
	state, err := verify.Pin(root, install)
	var client *verify.Client
	if err == nil {
		client, err = verify.Refresh(ctx, verify.Config{Policy: j.policy, Install: install, Now: j.now, MaxRoots: math.MaxInt}, state, from)
	}
	if err == nil && all {
		err = client.Delegated(ctx, func(r verify.Request, err error) error {
			if isMissing(err) {
				j.lacking = append(j.lacking, r.Role)
				return nil
			}
			return err
		})
	}
	if err != nil {
		j.add(refusedItem(name, what, err))
		return false
	}
	slices.Sort(j.lacking)
	j.client = client
	j.setAside()
	trusted, targets := client.Metadata(tuf.RoleRoot), client.Metadata(tuf.RoleTargets)
	item := Item{Name: name, What: what, Outcome: Accepted,
		Text: fmt.Sprintf("a device of repository %s that begins with root version %d of these would accept version %d of targets at %s", client.Repository(), state.Root.Version, targets.Version, stamp(j.now))}
	item.Signed = fmt.Sprintf("checked: targets by %s", short(targets.Signers(trusted.Root.KeySet(tuf.RoleTargets))))
	if n := len(j.lacking); n > 0 {
		item.Notes = append(item.Notes, fmt.Sprintf("Delegated roles that are listed and not among the files, so not checked (%d): %s.", n, words(j.lacking)))
	}
	j.add(item)
	return true
}

// setAside notes the results for metadata that the device has not looked at, such as older
// releases. What is refused counts all the same.
func (j *judge) setAside() {
	for i := range j.verdict.Items {
		item := &j.verdict.Items[i]
		m := slices.IndexFunc(j.metadata, func(m *dropped) bool { return m.Name == item.Name })
		if m < 0 || item.Outcome == Refused {
			continue
		}
		item.Aside = !slices.ContainsFunc(j.client.Accepted(), func(a verify.Accepted) bool {
			return a.Metadata.FileDigest == j.metadata[m].metadata.FileDigest
		})
		if item.Aside && item.What == "release" {
			item.Notes = append(item.Notes, "A device that is given all of these does not look at it.")
		}
		if !item.Aside && item.Outcome == Unproved {
			item.Outcome, item.Text = Accepted, strings.TrimSuffix(item.Text, ": files of this kind have no proof of their own, and are checked together with all others of a repository")
		}
	}
}

// isMissing reports whether nothing but a file that was not dropped is in the way.
func isMissing(err error) bool {
	var r *verify.Refusal
	return errors.As(err, &r) && r.Code == verify.CodeNetwork && errors.Is(err, fs.ErrNotExist)
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
