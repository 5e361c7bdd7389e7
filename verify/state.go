package verify

import (
	"iter"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// MaxStateSize is the limit of Marshal and ParseState, in bytes. A Client does not
// trust a file that would take more to remember: a state that cannot be read again
// stops a device permanently. Its parts are bounded so that they fit together:
// maxListedSize, maxAcceptedSize and maxWitnessTimes; MaxKeys signers each of timestamp
// and snapshot, which are less than 1 MiB; two trust policies, as much; and maxWaiting
// each of what waits, is approved and lacked a proof, which are less than 5 MiB.
const (
	MaxStateSize    = 64 << 20
	maxListedSize   = 48 << 20 // what the snapshot lists, printed
	maxAcceptedSize = 8 << 20  // Accepted, printed
	maxWitnessTimes = 8192     // no trust policy has as many witnesses
)

// State is a device's memory between updates beside its metadata files: its
// out-of-band trust, and the newest versions that it has seen. It is plain data
// that the caller stores; it only moves forward, except after a rotation of
// keys.
type State struct {
	// Serial counts how often the device has stored its state: of two copies the one with
	// the larger serial is newer. A Client leaves it as it is.
	Serial int64
	// Repository names the repository the device follows: the digest of its
	// genesis root's payload.
	Repository tuf.Digest
	// TrustedRoot is the payload of the root that the device was given. That root
	// does not need a proof: trust begins with it.
	TrustedRoot tuf.Digest
	// Root is the newest root that was trusted.
	Root Seen
	// Timestamp and Snapshot are the newest of those roles. They are forgotten
	// when their signers no longer meet the role's keys (TUF 5.3.11), so that a
	// vendor can recover from stolen keys.
	Timestamp Seen
	Snapshot  Seen
	// Accepted holds, by name, the releases of targets and delegated roles that were
	// accepted last, except those without a required proof: for each role, one per
	// delegator that named its keys. Another payload under the same version is refused
	// while the signers of the one accepted meet the keys that the role has.
	Accepted map[string][]AcceptedRelease
	// Log is the origin of the log that proved the repository's releases; empty until
	// one has. While the trust policy lists a log of that origin no other proves
	// anything of this repository: two logs that do not know of each other could each
	// have released another payload of a version.
	Log string
	// Tree is the newest tree that a verified proof of the log TreeOf had: another of its size
	// is another history. Zero: none.
	Tree   proofs.Tree
	TreeOf string // a log's origin
	// Witnesses holds the largest time that each witness's key put into a cosignature
	// this device verified, in seconds since 1970, by the SHA-256 of the verifier key.
	// Each key counts as a separate witness here: the times of an old key are
	// forgotten with it.
	Witnesses map[tuf.Digest]int64
	// Clock is the latest time that the device's own clock has shown when a
	// cosignature was verified, in seconds since 1970; 0: it had none.
	Clock int64
	// Required is what was required of the release that was accepted last with a proof; nil:
	// none was. Policies that require less are refused (CodeDowngrade), unless the owner
	// approves of them.
	Required *Requirements
	// Adopted is the trust policy that came as a target and is in force; nil: none is.
	Adopted *Adopted
	// Waiting is what the device was offered and has not taken, by role the last.
	Waiting []Waiting
	// Approved is what its owner has approved of, until it is accepted or gives way to
	// another.
	Approved []Approved
	// Unlogged records the releases that were accepted without a proof, because the owner
	// has approved of that: the last ones, at most 64.
	Unlogged []Approved
	// GivenTrust and GivenInstall say that the device was given a trust policy and an install
	// policy to go by, which it keeps: without them it must not go by others. A Client leaves
	// both as they are.
	GivenTrust, GivenInstall bool
}

// Distrusted returns a state that nobody vouches for, such as one that came along with
// files that are to be judged, without everything by which it could let something pass:
// releases that were accepted, approved of or lacked a proof, times, and policies. The
// versions that it has seen stay.
func (s State) Distrusted() State {
	return State{Repository: s.Repository, TrustedRoot: s.TrustedRoot, Root: s.Root, Timestamp: s.Timestamp.clone(), Snapshot: s.Snapshot.clone(), Log: s.Log}
}

// Seen is a release of a role that was trusted.
type Seen struct {
	Version int64 // 0: none
	Payload tuf.Digest
	Signers []tuf.Digest     // identities of the keys that signed it; nil for root
	Listed  map[string]int64 // the versions of targets metadata that it lists, by file name; nil for root
}

// AcceptedRelease is a release of targets or of a delegated role that was accepted.
type AcceptedRelease struct {
	Delegator string // the role that delegated and named the keys; empty: the root
	Version   int64
	Payload   tuf.Digest
	Signers   []tuf.Digest // identities of the keys that signed it
}

// Pin returns the state of a device that trusts the given root out of band and
// has not seen other files. The root must be signed by its own keys. The
// repository is the one that install names; by default the root is taken to be
// the repository's genesis. The error is a *Refusal.
func Pin(trustedRoot []byte, install InstallPolicy) (State, error) {
	root, err := readFile(tuf.RoleRoot, trustedRoot)
	if err != nil {
		return State{}, err
	}
	if _, err := checkSigned(tuf.RoleRoot, root, root.Root.KeySet(tuf.RoleRoot), "its own keys"); err != nil {
		return State{}, err
	}
	s := State{Repository: install.Repository, TrustedRoot: root.PayloadDigest, Root: Seen{Version: root.Version, Payload: root.PayloadDigest}}
	if s.Repository.IsZero() {
		s.Repository = root.PayloadDigest
	}
	return s, nil
}

func (s State) clone() State {
	s.Timestamp = s.Timestamp.clone()
	s.Snapshot = s.Snapshot.clone()
	s.Accepted = maps.Clone(s.Accepted)
	for role, releases := range s.Accepted {
		s.Accepted[role] = slices.Clone(releases)
	}
	s.Witnesses = maps.Clone(s.Witnesses)
	s.Waiting, s.Approved, s.Unlogged = slices.Clone(s.Waiting), slices.Clone(s.Approved), slices.Clone(s.Unlogged)
	return s
}

func (s Seen) clone() Seen {
	s.Signers = slices.Clone(s.Signers)
	s.Listed = maps.Clone(s.Listed)
	return s
}

// seenAs is what to remember of a timestamp or snapshot that was accepted.
func seenAs(m *tuf.Metadata, signers []tuf.Digest, listed iter.Seq2[string, tuf.MetaFile]) Seen {
	s := Seen{Version: m.Version, Payload: m.PayloadDigest, Signers: signers, Listed: map[string]int64{}}
	for name, file := range listed {
		s.Listed[name] = file.Version
	}
	return s
}

// stand reports whether a release's signers meet the keys and the threshold that
// its role has now.
func stand(signers []tuf.Digest, keys tuf.KeySet) bool {
	have := 0
	for _, id := range keys.Identities() {
		if slices.Contains(signers, tuf.Digest(id)) {
			have++
		}
	}
	return keys.MetBy(have)
}

// stands reports whether the release's signers still meet the keys of its role.
func (s Seen) stands(keys tuf.KeySet) bool { return s.Version != 0 && stand(s.Signers, keys) }
