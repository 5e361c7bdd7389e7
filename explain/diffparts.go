package explain

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// moved says by how much a time moved.
func moved(before, after time.Time) string {
	d, how := after.Sub(before), "later"
	if d < 0 {
		d, how = -d, "earlier"
	}
	if d >= 48*time.Hour {
		return fmt.Sprintf("%s %s", count(int(d/(24*time.Hour)), "day"), how)
	}
	if d >= 2*time.Hour {
		return fmt.Sprintf("%s %s", count(int(d/time.Hour), "hour"), how)
	}
	return fmt.Sprintf("%s %s", d, how)
}

// sameButVersion reports whether two payloads are alike but for the version.
func sameButVersion(before, after *tuf.Metadata) bool {
	if before.Encoding == tuf.Pigweed && after.Encoding == tuf.Pigweed {
		return pigweed.SameButVersion(before, after)
	}
	blank := func(m *tuf.Metadata) []byte {
		return bytes.Replace(m.Payload, []byte(`"version":`+strconv.FormatInt(m.Version, 10)), nil, -1)
	}
	return bytes.Equal(blank(before), blank(after))
}

// listedKeys returns the key ids that a file lists.
func listedKeys(m *tuf.Metadata) []string {
	switch {
	case m.Root != nil:
		return slices.Collect(maps.Keys(m.Root.Keys))
	case m.Targets != nil && m.Targets.Delegations != nil:
		return slices.Collect(maps.Keys(m.Targets.Delegations.Keys))
	}
	return nil
}

func (c *Changes) root(before, after *tuf.Root) {
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		c.keys(role, before.KeySet(role), after.KeySet(role))
	}
	if before.ConsistentSnapshot != after.ConsistentSnapshot {
		c.add(Change{Kind: ConsistentSnapshot, Before: strconv.FormatBool(before.ConsistentSnapshot), After: strconv.FormatBool(after.ConsistentSnapshot)},
			"The repository has consistent snapshots: %v, before %v.", after.ConsistentSnapshot, before.ConsistentSnapshot)
	}
}

// keys compares the keys of a role.
func (c *Changes) keys(role string, before, after tuf.KeySet) {
	had, has := before.Identities(), after.Identities()
	for _, added := range without(has, had) {
		id := after.IDs(added)[0]
		c.add(Change{Kind: KeyAdded, Role: role, Name: id}, c.now("Key %s may sign %s.", "Key %s may now sign %s."), c.keyName(id), tuf.Word(role))
	}
	for _, removed := range without(had, has) {
		id := before.IDs(removed)[0]
		c.add(Change{Kind: KeyRemoved, Role: role, Name: id}, "Key %s may no longer sign %s.", c.keyName(id), tuf.Word(role))
	}
	for _, kept := range has {
		was, is := before.IDs(kept), after.IDs(kept)
		if len(was) > 0 && !slices.Equal(was, is) {
			c.add(Change{Kind: KeyRenamed, Role: role, Name: is[0], Before: strings.Join(was, " "), After: strings.Join(is, " ")},
				"One key of %s is now listed as %s, before as %s.", tuf.Word(role), list(is, c.keyName), list(was, c.keyName))
		}
	}
	if before.Threshold() != after.Threshold() || len(had) != len(has) {
		was, is := takes(before), takes(after)
		if c.first {
			c.add(Change{Kind: ThresholdChanged, Role: role, After: is}, "Role %s takes %s keys.", tuf.Word(role), is)
			return
		}
		c.add(Change{Kind: ThresholdChanged, Role: role, Before: was, After: is}, "Role %s now takes %s keys, before %s.", tuf.Word(role), is, was)
	}
}

func takes(ks tuf.KeySet) string {
	return fmt.Sprintf("%d of %d", ks.Threshold(), len(ks.Identities()))
}

// without returns the keys that others lack.
func without(keys, others []tuf.KeyIdentity) []tuf.KeyIdentity {
	has := map[tuf.KeyIdentity]bool{}
	for _, key := range others {
		has[key] = true
	}
	return slices.DeleteFunc(slices.Clone(keys), func(key tuf.KeyIdentity) bool { return has[key] })
}

func (c *Changes) targets(before, after *tuf.Targets) {
	for path, was := range before.Files() {
		if _, ok := after.File(path); !ok {
			c.add(Change{Kind: TargetRemoved, Name: path, Before: full(was)}, "Target %s is gone (%s).", tuf.Word(path), describe(was))
		}
	}
	for path, is := range after.Files() {
		was, ok := before.File(path)
		if !ok {
			continue
		}
		switch {
		case OtherContent(was, is):
			c.add(Change{Kind: TargetChanged, Name: path, Before: full(was), After: full(is)},
				"Target %s has other content: %s, before %s.", tuf.Word(path), describe(is), describe(was))
		case was.Length != is.Length || !maps.Equal(was.Hashes, is.Hashes):
			c.add(Change{Kind: TargetHashes, Name: path, Before: algorithms(was), After: algorithms(is)},
				"Target %s is described otherwise: %s, before %s; what both say agrees.", tuf.Word(path), algorithms(is), algorithms(was))
		}
		if !bytes.Equal(was.Custom, is.Custom) {
			c.add(Change{Kind: TargetCustom, Name: path, Before: string(was.Custom), After: string(is.Custom)},
				"The custom data of %s is %s, before %s.", tuf.Word(path), custom(is.Custom), custom(was.Custom))
		}
	}
	for path, is := range after.Files() {
		if _, ok := before.File(path); !ok {
			c.add(Change{Kind: TargetAdded, Name: path, After: full(is)}, c.now("Target %s: %s.", "Target %s is new: %s."), tuf.Word(path), describe(is))
		}
	}
}

// OtherContent reports whether no file can match both descriptions, or nothing says that
// one can.
func OtherContent(a, b tuf.TargetFile) bool {
	if a.Length >= 0 && b.Length >= 0 && a.Length != b.Length {
		return true
	}
	common := 0
	for algorithm, hash := range a.Hashes {
		if other, ok := b.Hashes[algorithm]; ok {
			if common++; other != hash {
				return true
			}
		}
	}
	return common == 0
}

// describe returns a target's length and its first hash.
func describe(t tuf.TargetFile) string {
	text := "no length"
	if t.Length >= 0 {
		text = count64(t.Length, "byte")
	}
	for _, algorithm := range slices.Sorted(maps.Keys(t.Hashes)) {
		hash := t.Hashes[algorithm]
		return fmt.Sprintf("%s, %s %s…", text, tuf.Word(algorithm), hash[:min(len(hash), 8)])
	}
	return text + ", no hash"
}

// full returns a target's length and all its hashes.
func full(t tuf.TargetFile) string {
	text := "no length"
	if t.Length >= 0 {
		text = count64(t.Length, "byte")
	}
	for _, algorithm := range slices.Sorted(maps.Keys(t.Hashes)) {
		text += fmt.Sprintf(", %s %s", tuf.Word(algorithm), t.Hashes[algorithm])
	}
	return text
}

func algorithms(t tuf.TargetFile) string {
	names := list(slices.Sorted(maps.Keys(t.Hashes)), tuf.Word)
	if names == "" {
		names = "no hash"
	}
	if t.Length < 0 {
		return names + " without a length"
	}
	return names + " and a length"
}

// custom returns JSON for a sentence.
func custom(b []byte) string {
	if b == nil {
		return "none"
	}
	const most = 200
	s := string(b)
	if len(s) > most {
		s = s[:most]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		s += "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

func count64(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}

// files compares what snapshots or timestamps list.
func (c *Changes) files(before, after *tuf.Meta) {
	for file, was := range before.Files() {
		if _, ok := after.File(file); !ok {
			c.add(Change{Kind: FileRemoved, Name: file, Before: version(was)}, "%s is not listed any more; it was %s.", tuf.Word(file), version(was))
		}
	}
	for file, is := range after.Files() {
		was, ok := before.File(file)
		switch {
		case !ok || was.Version == is.Version && was.Length == is.Length && maps.Equal(was.Hashes, is.Hashes):
		case was.Version == is.Version:
			c.add(Change{Kind: FileChanged, Name: file, Before: version(was), After: version(is)}, "%s is still %s, with another length or hash.", tuf.Word(file), version(is))
		default:
			c.add(Change{Kind: FileChanged, Name: file, Before: version(was), After: version(is)}, "%s is %s, before %s.", tuf.Word(file), version(is), version(was))
		}
	}
	for file, is := range after.Files() {
		if _, ok := before.File(file); !ok {
			c.add(Change{Kind: FileAdded, Name: file, After: version(is)}, c.now("%s: %s.", "%s is new: %s."), tuf.Word(file), version(is))
		}
	}
}

func version(f tuf.MetaFile) string { return fmt.Sprintf("version %d", f.Version) }
