package drop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/device/bundle/index"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// listing is a path that a release lists.
type listing struct {
	release *dropped // nil: the release is the device's
	role    string
	version int64
	path    string
	target  tuf.TargetFile
	alike   int // how much the path is like the name of a file: see likeness
}

// inForce are the releases by which a file is judged: those that a device has accepted, or
// else the newest proved one here of each role.
func (j *judge) inForce() (releases []*dropped, older []*dropped) {
	for _, m := range j.metadata {
		if m.metadata.Targets == nil || m.logged == nil {
			continue
		}
		newer := slices.ContainsFunc(j.metadata, func(o *dropped) bool {
			return o.logged != nil && o.metadata.Targets != nil && o.metadata.Version > m.metadata.Version &&
				o.logged.Leaf.Repository == m.logged.Leaf.Repository && o.logged.Leaf.Role == m.logged.Leaf.Role
		})
		if j.client != nil {
			accepted := j.client.Metadata(m.logged.Leaf.Role)
			newer = accepted == nil || accepted.FileDigest != m.metadata.FileDigest
		}
		if newer {
			older = append(older, m)
		} else {
			releases = append(releases, m)
		}
	}
	return releases, older
}

// listings are the paths that releases list with this digest, or that the file's name is like.
func listings(releases []*dropped, name string, digest Digest) (found []listing) {
	for _, m := range releases {
		for p, t := range m.metadata.Targets.Files() {
			alike := likeness(name, p, t)
			if alike > 0 || digest.is(t) {
				found = append(found, listing{release: m, role: m.logged.Leaf.Role, version: m.metadata.Version, path: p, target: t, alike: alike})
			}
		}
	}
	slices.SortFunc(found, func(a, b listing) int {
		return cmp.Or(cmp.Compare(b.alike, a.alike), cmp.Compare(a.path, b.path), cmp.Compare(a.role, b.role))
	})
	return found
}

// likeness says how much the name of a file, with folders, is like the path of a target: 2 or
// more: it ends with all of it, the longer the more, 1: with its last part, 0: it is another. Repositories put a hash before
// the last part, devices escape the path, and browsers put a number into a name that is taken.
func likeness(name, target string, t tuf.TargetFile) int {
	dir, base := path.Split(target)
	forms := []string{target, tuf.EscapeRole(target)}
	for _, h := range t.Hashes {
		forms = append(forms, dir+h+"."+base)
	}
	for _, form := range forms {
		if name == form || strings.HasSuffix(name, "/"+form) {
			return 2 + strings.Count(target, "/")
		}
	}
	last := path.Base(name)
	plain := unnumbered(last)
	for _, form := range forms {
		if b := path.Base(form); last == b || plain == b {
			return 1
		}
	}
	return 0
}

// unnumbered is a name without the number that a browser gives to a second file of a name, as
// in "firmware (1).bin".
func unnumbered(name string) string {
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	if at := strings.LastIndex(stem, " ("); at > 0 && strings.HasSuffix(stem, ")") {
		if _, err := proofs.ParseDecimal(stem[at+2 : len(stem)-1]); err == nil {
			return stem[:at] + ext
		}
	}
	return name
}

// settle finds the targets among the files that look like something else: what a release in
// force lists, by hash or by name, is a target. The others are refused.
func (j *judge) settle() {
	releases, _ := j.inForce()
	for _, f := range j.doubtful {
		if len(listings(releases, f.Name, f.digest())) > 0 {
			j.others = append(j.others, f)
		} else {
			j.add(refusedItem(f.Name, "metadata", f.fault))
		}
	}
	slices.SortStableFunc(j.others, func(a, b *dropped) int { return cmp.Compare(a.Name, b.Name) })
}

// file judges a file that is neither metadata nor a proof: once a device has accepted the
// metadata, by what it would install, and otherwise by which releases list it.
func (j *judge) file(ctx context.Context, f *dropped) {
	digest := f.digest()
	item := Item{Name: f.Name, What: "file", Outcome: Unproved, Digest: &digest}
	releases, older := j.inForce()
	found := listings(releases, f.Name, digest)
	like := slices.DeleteFunc(slices.Clone(found), func(l listing) bool { return l.alike == 0 || l.alike < found[0].alike })
	switch {
	case IsBundle(f.Content):
		item.Text = "this is a bundle, which is judged without other files beside it: drop it alone, or let updater bundle verify open it"
	case j.folder != nil && j.client == nil:
		item.Text = "a device refuses the metadata here, so that it installs nothing by it"
	case len(releases) == 0:
		item.Text = "no proved release is here that could list it"
	case len(like) > 0:
		j.byName(ctx, &item, like, digest)
	case len(found) > 0:
		item.Text = fmt.Sprintf("%s lists a file with these bytes as %s, and no file that is called %s", found[0], tuf.Word(found[0].path), tuf.Word(path.Base(f.Name)))
	default:
		j.unlisted(&item, older, digest)
	}
	j.add(item)
}

func (l listing) String() string {
	return fmt.Sprintf("version %d of role %s", l.version, tuf.Word(l.role))
}

// byName judges a file under whose name something is listed.
func (j *judge) byName(ctx context.Context, item *Item, like []listing, digest Digest) {
	var good, bad, perhaps []string
	var refusal *verify.Refusal
	for i, l := range like {
		if i > 0 && like[i-1].path == l.path && j.client != nil {
			continue // a device has one answer for each path
		}
		if j.client == nil {
			text := fmt.Sprintf("%s of repository %s lists it as %s", l, l.release.logged.Leaf.Repository, tuf.Word(l.path))
			switch {
			case !digest.is(l.target):
				bad = append(bad, other(l, l.target))
			case l.role == tuf.RoleTargets:
				good = append(good, text)
			default:
				perhaps = append(perhaps, text)
			}
			continue
		}
		located, err := j.client.Locate(ctx, l.path)
		switch {
		case err != nil:
			if !errors.As(err, &refusal) || located.Need != nil {
				refusal = nil
				item.Text = fmt.Sprintf("whether a device would install it as %s cannot be told: %v", tuf.Word(l.path), err)
				return
			}
			bad = append(bad, fmt.Sprintf("a device that asks for %s finds nothing: %s", tuf.Word(l.path), refusal.Text()))
		case digest.is(*located.Target):
			good = append(good, fmt.Sprintf("a device of repository %s that asks for %s would install it", j.client.Repository(), tuf.Word(l.path)))
		default:
			l.role, l.version = located.Role, j.client.Metadata(located.Role).Version
			bad = append(bad, other(l, *located.Target))
		}
	}
	samePath := len(like) > 0 && !slices.ContainsFunc(like, func(l listing) bool { return l.path != like[0].path })
	switch {
	case len(bad) == 0 && len(good) == 0:
		item.Text = some(perhaps) + "; whether this role may is not known without root, snapshot and timestamp, and the roles above it"
	case len(bad) == 0 || len(good) > 0 && j.client != nil && !samePath:
		item.Outcome = Accepted
		if j.client == nil {
			item.Outcome = Listed
		}
		item.Text = some(good)
		if len(bad) > 0 {
			item.Notes = append(item.Notes, fmt.Sprintf("Under another path of this name something else is listed: %s.", some(bad)))
		}
	default:
		item.Outcome, item.Code = Refused, string(verify.CodeBadMetadata)
		if refusal != nil {
			item.Code = string(refusal.Code)
		}
		item.Text = some(bad)
		if len(good) > 0 {
			item.Text += "; but " + some(good)
		}
	}
}

func other(l listing, t tuf.TargetFile) string {
	hash := t.Hashes["sha256"]
	if hash == "" {
		hash = t.Hashes["sha512"]
	}
	return fmt.Sprintf("as %s %s lists another file: %d bytes, hash %s", tuf.Word(l.path), l, t.Length, tuf.Word(hash))
}

func some(texts []string) string {
	if len(texts) > maxWords {
		texts = append(slices.Clone(texts[:maxWords]), "…")
	}
	return strings.Join(texts, "; ")
}

// unlisted judges a file that no release in force lists.
func (j *judge) unlisted(item *Item, older []*dropped, digest Digest) {
	for _, m := range older {
		for p, t := range m.metadata.Targets.Files() {
			if digest.is(t) {
				item.Outcome, item.Code = Refused, string(verify.CodeNotListed)
				item.Text = fmt.Sprintf("only version %d of role %s lists it, as %s: that is not in force beside the newer files here, and a device does not install it", m.metadata.Version, tuf.Word(m.logged.Leaf.Role), tuf.Word(p))
				return
			}
		}
	}
	switch item.Text = "none of the proved releases here lists it"; {
	case len(j.lacking) > 0:
		item.Text += ", and a delegated role could that is not among the files"
	case len(j.others) == 1:
		item.Outcome, item.Code = Refused, string(verify.CodeNotListed)
	}
}

// bundleLine begins a bundle.
const bundleLine = index.FirstLine

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
