package evidence

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// equivocation is an accusation against the keys of a repository, taken apart. Its files
// are, in this order: the chain of roots, from the one that names the repository to the one
// whose keys are accused; for a delegated role the metadata that leads to it, from targets
// on; the two files; and for targets and delegated roles in JSON the snapshots that list
// them. All are in one encoding.
type equivocation struct {
	role       string
	roots      []*tuf.Metadata
	delegators []*tuf.Metadata
	rivals     []*tuf.Metadata
	snapshots  []*tuf.Metadata

	verify *verifier
}

func checkEquivocation(a fraud.Accusation, keys []proofs.Key) (Statement, error) {
	e, err := splitEquivocation(a)
	if err != nil {
		return Statement{}, err
	}
	signers, err := e.check()
	if err != nil {
		return Statement{}, fmt.Errorf("%w: %w", err, ErrNoProof)
	}
	first, second := e.rivals[0], e.rivals[1]
	id := e.roots[0].PayloadDigest
	s := Statement{
		Kind: Equivocation, Against: []string{"repository " + id.String()}, Repository: id, Role: e.role, Version: first.Version,
		Payloads:   []string{first.PayloadDigest.String(), second.PayloadDigest.String()},
		SignedBoth: signers,
	}
	s.Sentence = fmt.Sprintf("the keys of repository %v signed two payloads of %s %d, %v and %v", id, tuf.Word(e.role), first.Version, first.PayloadDigest, second.PayloadDigest)
	if len(e.snapshots) > 0 {
		s.Sentence += ", each listed by its hash in a snapshot that they signed"
	}
	if len(signers) > 0 {
		var names []string
		for _, id := range signers {
			names = append(names, tuf.Word(id))
		}
		s.Sentence += "; signed both: key " + strings.Join(names, ", ")
	}
	if len(a.Notes) == 0 {
		return s, nil
	}
	return e.logged(a, keys, s)
}

// splitEquivocation reads the files of an equivocation.
func splitEquivocation(a fraud.Accusation) (*equivocation, error) {
	role, ok := tuf.UnescapeRole(a.Subject)
	if !ok || tuf.EscapeRole(role) != a.Subject || tuf.BadRoleName(role) != "" {
		return nil, fmt.Errorf("%q is not a role: %w", tuf.Clip(a.Subject), ErrNoProof)
	}
	var all []*tuf.Metadata
	for i, f := range a.Files {
		m, err := codec.ParseAny(f)
		if err != nil {
			return nil, fmt.Errorf("file %d: %w", i+1, err)
		}
		if i > 0 && m.Encoding != all[0].Encoding {
			return nil, fmt.Errorf("file %d is %s, the one before it %s: %w", i+1, m.Encoding, all[0].Encoding, ErrNoProof)
		}
		all = append(all, m)
	}
	e := &equivocation{role: role, verify: newVerifier()}
	behind := 2 // files behind the chain and the delegators
	if tuf.TypeOf(role) == tuf.RoleTargets && len(all) > 0 && all[0].Encoding == tuf.JSON {
		behind = 4
	}
	if len(all) < behind+1 {
		return nil, fmt.Errorf("%d files are too few: %w", len(all), ErrNoProof)
	}
	before, rest := all[:len(all)-behind], all[len(all)-behind:]
	e.rivals, e.snapshots = rest[:2], rest[2:]
	for len(before) > 0 && before[0].Root != nil {
		e.roots, before = append(e.roots, before[0]), before[1:]
	}
	e.delegators = before
	if len(e.roots) == 0 || (len(e.delegators) > 0) == tuf.IsTopLevel(role) {
		return nil, fmt.Errorf("the files are not a chain of roots, the metadata that delegates to %s, and two files of it: %w", tuf.Word(role), ErrNoProof)
	}
	return e, nil
}

// check verifies that enough keys of the role signed two payloads of one version, and that
// a snapshot binds each to the role. It returns the ids of the keys that signed both.
func (e *equivocation) check() ([]string, error) {
	if err := e.checkRoots(e.roots); err != nil {
		return nil, err
	}
	first, second := e.rivals[0], e.rivals[1]
	switch {
	case first.Version != second.Version:
		return nil, fmt.Errorf("versions %d and %d are two releases", first.Version, second.Version)
	case first.PayloadDigest == second.PayloadDigest:
		return nil, fmt.Errorf("both files have one payload")
	}
	keys, err := e.keys()
	if err != nil {
		return nil, err
	}
	for i, m := range e.rivals {
		if m.Type != tuf.TypeOf(e.role) {
			return nil, fmt.Errorf("file %d is %s metadata", i+1, m.Type)
		}
		if err := e.verify.meets(m, keys); err != nil {
			return nil, fmt.Errorf("file %d of %s: %w", i+1, tuf.Word(e.role), err)
		}
		if e.role != tuf.RoleRoot {
			continue
		}
		if err := e.checkRoots([]*tuf.Metadata{e.roots[len(e.roots)-1], m}); err != nil {
			return nil, err
		}
	}
	for i, s := range e.snapshots {
		if err := e.binds(s, e.rivals[i]); err != nil {
			return nil, err
		}
	}
	both, err := e.verify.signers(second, keys)
	if err != nil {
		return nil, err
	}
	of, err := e.verify.signers(first, keys)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, signer := range of {
		if slices.Contains(both, signer) {
			names = append(names, keys.IDs(signer)[0])
		}
	}
	return names, nil
}

// checkRoots verifies a chain of roots: each meets its own threshold and that of the one
// before it.
func (e *equivocation) checkRoots(roots []*tuf.Metadata) error {
	for i, m := range roots {
		if err := e.verify.meets(m, m.Root.KeySet(tuf.RoleRoot)); err != nil {
			return fmt.Errorf("root %d does not meet its own threshold: %w", m.Version, err)
		}
		if i == 0 {
			continue
		}
		if !m.MayFollow(roots[i-1].Version) {
			return fmt.Errorf("root %d follows root %d", m.Version, roots[i-1].Version)
		}
		if err := e.verify.meets(m, roots[i-1].Root.KeySet(tuf.RoleRoot)); err != nil {
			return fmt.Errorf("root %d does not meet the threshold of root %d: %w", m.Version, roots[i-1].Version, err)
		}
	}
	return nil
}

// keys returns the keys of the role, given by the last root or by the delegators.
func (e *equivocation) keys() (tuf.KeySet, error) {
	root := e.roots[len(e.roots)-1].Root
	if tuf.IsTopLevel(e.role) {
		return root.KeySet(e.role), nil
	}
	// Targets metadata does not name its role: each has to meet a delegation of the one
	// before it, whatever its name.
	if err := e.verify.meets(e.delegators[0], root.KeySet(tuf.RoleTargets)); err != nil {
		return tuf.KeySet{}, fmt.Errorf("the targets metadata that delegates: %w", err)
	}
	for i, m := range e.delegators {
		if m.Targets == nil || m.Targets.Delegations == nil {
			return tuf.KeySet{}, fmt.Errorf("the metadata on the way to %s delegates nothing", tuf.Word(e.role))
		}
		if i == len(e.delegators)-1 {
			break
		}
		var sets distinct
		for _, keys := range m.Targets.Delegations.All() {
			sets.add(keys)
		}
		met, err := e.verify.meetsAny(e.delegators[i+1], sets.sets)
		if err != nil {
			return tuf.KeySet{}, fmt.Errorf("the metadata on the way to %s: %w", tuf.Word(e.role), err)
		}
		if !met {
			return tuf.KeySet{}, fmt.Errorf("the metadata on the way to %s is not signed by delegated keys", tuf.Word(e.role))
		}
	}
	// A role can be delegated twice: the keys are those of the first delegation that both
	// files meet, or else of the first.
	var named distinct
	for name, keys := range e.delegators[len(e.delegators)-1].Targets.Delegations.All() {
		if name == e.role {
			named.add(keys)
		}
	}
	if len(named.sets) == 0 {
		return tuf.KeySet{}, fmt.Errorf("nothing delegates to %s", tuf.Word(e.role))
	}
	for _, keys := range named.sets {
		err := e.verify.meets(e.rivals[0], keys)
		if err == nil {
			err = e.verify.meets(e.rivals[1], keys)
		}
		if err == nil || errors.Is(err, errTooMuch) {
			return keys, err
		}
	}
	return named.sets[0], nil
}

// distinct is sets of keys, alike ones once, in the order in which they were added.
type distinct struct {
	sets []tuf.KeySet
	has  map[tuf.Digest]bool // fingerprints
}

func (d *distinct) add(ks tuf.KeySet) {
	if d.has[ks.Fingerprint()] {
		return
	}
	if d.has == nil {
		d.has = map[tuf.Digest]bool{}
	}
	d.has[ks.Fingerprint()] = true
	d.sets = append(d.sets, ks)
}

// binds verifies that a snapshot lists a file by its hash as the role's, signed by the keys
// of a root of the chain: the snapshot may be older than the last.
func (e *equivocation) binds(s, m *tuf.Metadata) error {
	if s.Snapshot == nil {
		return fmt.Errorf("%s metadata is not a snapshot", s.Type)
	}
	listed, ok := s.Snapshot.File(e.role + ".json")
	if !ok || listed.Hashes == nil {
		return fmt.Errorf("snapshot %d does not list %s by its hash", s.Version, tuf.Word(e.role))
	}
	if err := listed.Describes(m); err != nil {
		return fmt.Errorf("snapshot %d lists another file: %w", s.Version, err)
	}
	var sets distinct
	for _, root := range e.roots {
		sets.add(root.Root.KeySet(tuf.RoleSnapshot))
	}
	met, err := e.verify.meetsAny(s, sets.sets)
	if err != nil {
		return fmt.Errorf("snapshot %d: %w", s.Version, err)
	}
	if !met {
		return fmt.Errorf("snapshot %d is not signed by enough keys of any of the roots", s.Version)
	}
	return nil
}

// logged verifies that a log holds the two payloads, where the accusation says so.
func (e *equivocation) logged(a fraud.Accusation, keys []proofs.Key, s Statement) (Statement, error) {
	r, err := open(a, keys)
	if errors.Is(err, proofs.ErrUnknownLog) {
		return elsewhere(a, s)
	}
	if err != nil {
		return Statement{}, err
	}
	var places []string
	for _, span := range r.spans {
		for i, raw := range span.Entries {
			index := span.First + int64(i)
			l, err := leaf.Parse(raw)
			if err != nil || l.Repository != s.Repository || l.Role != s.Role || l.Version != s.Version || !slices.Contains(s.Payloads, l.Payload.String()) {
				return Statement{}, fmt.Errorf("entry %d is not of one of the two payloads: %w", index, ErrNoProof)
			}
			s.Entries = append(s.Entries, index)
			places = append(places, fmt.Sprint(index))
		}
	}
	if len(places) == 0 {
		return Statement{}, fmt.Errorf("a checkpoint without entries: %w", ErrNoProof)
	}
	s.Log, s.Size = r.origin, r.tree.N
	s.Sentence += fmt.Sprintf("; in log %s they are entries %s", tuf.Word(r.origin), strings.Join(places, " and "))
	return s, nil
}

// elsewhere leaves open which entries of a log the two payloads are: the log is not one of
// those whose keys are at hand. What the keys of the repository have signed needs no log.
func elsewhere(a fraud.Accusation, s Statement) (Statement, error) {
	note, err := proofs.ParseNote(a.Notes[0])
	if err != nil {
		return Statement{}, err
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return Statement{}, err
	}
	s.Unchecked = c.Origin
	s.Sentence += fmt.Sprintf("; which entries of log %s they are was not checked, because none of the keys at hand is that log's", tuf.Word(c.Origin))
	return s, nil
}
