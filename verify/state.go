package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

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

// The JSON form of a state and of its parts.
type stateJSON struct {
	Version     int        `json:"version"`
	Repository  tuf.Digest `json:"repository"`
	TrustedRoot tuf.Digest `json:"trusted_root"`
	Root        seenJSON   `json:"root"`
	Timestamp   *seenJSON  `json:"timestamp,omitempty"`
	Snapshot    *seenJSON  `json:"snapshot,omitempty"`

	Accepted  map[string][]acceptedJSON `json:"accepted,omitempty"`
	Log       string                    `json:"log,omitempty"`
	Witnesses map[tuf.Digest]int64      `json:"witnesses,omitempty"`
	Clock     int64                     `json:"clock,omitempty"`

	Required *requirementsJSON `json:"required,omitempty"`
	Adopted  *adoptedJSON      `json:"adopted,omitempty"`
	Waiting  []waitingJSON     `json:"waiting,omitempty"`
	Approved []approvedJSON    `json:"approved,omitempty"`
	Unlogged []approvedJSON    `json:"unlogged,omitempty"`
}

type adoptedJSON struct {
	Policy []byte     `json:"policy"` // base64
	For    tuf.Digest `json:"for"`
}

type waitingJSON struct {
	Role    string     `json:"role,omitempty"`
	Version int64      `json:"version,omitempty"`
	Payload tuf.Digest `json:"payload"`
	Code    Code       `json:"code"`
	Since   int64      `json:"since,omitempty"`
	Under   tuf.Digest `json:"under"`
	Detail  string     `json:"detail,omitempty"`

	Evidence string `json:"evidence,omitempty"`
	Age      int64  `json:"age,omitempty"`
}

type approvedJSON struct {
	Role     string     `json:"role,omitempty"`
	Version  int64      `json:"version,omitempty"`
	Payload  tuf.Digest `json:"payload"`
	Time     int64      `json:"time,omitempty"`
	Unlogged bool       `json:"unlogged,omitempty"`
}

type acceptedJSON struct {
	Delegator string       `json:"delegator,omitempty"`
	Version   int64        `json:"version"`
	Payload   tuf.Digest   `json:"payload"`
	Signers   []tuf.Digest `json:"signers"`
}

type seenJSON struct {
	Version int64            `json:"version"`
	Payload tuf.Digest       `json:"payload"`
	Signers []tuf.Digest     `json:"signers,omitempty"`
	Listed  map[string]int64 `json:"listed,omitempty"`
}

const stateVersion = 3

// Marshal prints the state as JSON, with a checksum: a state in which one bit
// changed would not protect against rollback. ParseState reads every text that
// it prints: a state that is too large, or that a Client did not return, is an
// error.
func (s State) Marshal() ([]byte, error) {
	b, err := s.marshal()
	if err != nil {
		return nil, err
	}
	if _, err := ParseState(b); err != nil {
		return nil, fmt.Errorf("not what could be read again: %w", err)
	}
	return b, nil
}

func (s State) marshal() ([]byte, error) {
	j := stateJSON{
		Version: stateVersion, Repository: s.Repository, TrustedRoot: s.TrustedRoot,
		Root: seenJSON(s.Root), Log: s.Log, Witnesses: s.Witnesses, Clock: s.Clock,
	}
	if len(s.Accepted) > 0 {
		j.Accepted = make(map[string][]acceptedJSON, len(s.Accepted))
		for role, releases := range s.Accepted {
			for _, a := range releases {
				j.Accepted[role] = append(j.Accepted[role], acceptedJSON(a))
			}
		}
	}
	if s.Required != nil {
		j.Required = s.Required.json()
	}
	if s.Adopted != nil {
		j.Adopted = (*adoptedJSON)(s.Adopted)
	}
	for _, w := range s.Waiting {
		j.Waiting = append(j.Waiting, waitingJSON(w))
	}
	for _, a := range s.Approved {
		j.Approved = append(j.Approved, approvedJSON(a))
	}
	for _, a := range s.Unlogged {
		j.Unlogged = append(j.Unlogged, approvedJSON(a))
	}
	if s.Timestamp.Version != 0 {
		j.Timestamp = (*seenJSON)(&s.Timestamp)
	}
	if s.Snapshot.Version != 0 {
		j.Snapshot = (*seenJSON)(&s.Snapshot)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // which would take six bytes for one
	if err := enc.Encode(j); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return fmt.Appendf(nil, "{\"sha256\": \"%v\", \"state\": %s}\n", tuf.Sum(text), text), nil
}

// ParseState reads the text that Marshal prints. A state that is truncated or
// damaged, or has fields that this version does not know, is an error: guessing
// would lose the protection against rollback.
func ParseState(b []byte) (State, error) {
	if len(b) > MaxStateSize {
		return State{}, fmt.Errorf("state: %d bytes, the limit is %d", len(b), MaxStateSize)
	}
	var sum tuf.Digest
	var state []byte
	err := readObject(b, func(name string, value []byte) error {
		var err error
		switch name {
		case "sha256":
			sum, err = readDigest(value)
		case "state":
			state = value
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err == nil && tuf.Sum(state) != sum {
		err = errors.New("damaged: the checksum does not fit")
	}
	if err != nil {
		return State{}, fmt.Errorf("state: %w", err)
	}
	s, err := readState(state)
	if err != nil {
		return State{}, fmt.Errorf("state: %w", err)
	}
	return s, nil
}

func readState(b []byte) (State, error) {
	var s State
	var version int64
	err := readObject(b, func(name string, value []byte) error {
		var err error
		switch name {
		case "version":
			version, err = readInteger(value, 1, stateVersion)
		case "repository":
			s.Repository, err = readDigest(value)
		case "trusted_root":
			s.TrustedRoot, err = readDigest(value)
		case "root":
			s.Root, err = readSeen(value)
		case "timestamp":
			s.Timestamp, err = readSeen(value)
		case "snapshot":
			s.Snapshot, err = readSeen(value)
		case "accepted":
			s.Accepted, err = readAccepted(value)
		case "log":
			s.Log, err = readFilled(value)
		case "witnesses":
			if version != 1 { // which had them by name: it comes to no harm without
				s.Witnesses, err = readTimes(value)
			}
		case "clock":
			s.Clock, err = readInteger(value, 1, math.MaxInt64)
		case "required":
			s.Required, err = readRequirements(value)
		case "adopted":
			s.Adopted, err = readAdopted(value)
		case "waiting":
			s.Waiting, err = readList(value, readWaiting)
		case "approved":
			s.Approved, err = readList(value, readApproved)
		case "unlogged":
			s.Unlogged, err = readList(value, readApproved)
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	switch {
	case err != nil:
	case version == 0:
		err = errors.New("no version")
	case s.Repository.IsZero() || s.TrustedRoot.IsZero() || s.Root.Version == 0:
		err = errors.New("no repository or no trusted root")
	}
	return s, err
}

func readSeen(value []byte) (Seen, error) {
	var s Seen
	err := readObject(value, func(name string, value []byte) error {
		var err error
		switch name {
		case "version":
			s.Version, err = readInteger(value, 1, tuf.MaxVersion)
		case "payload":
			s.Payload, err = readDigest(value)
		case "signers":
			s.Signers, err = readDigests(value)
		case "listed":
			s.Listed, err = readCounts(value, tuf.MaxVersion)
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err == nil && (s.Version == 0 || s.Payload.IsZero()) {
		err = errors.New("no version or no payload")
	}
	return s, err
}

func readAccepted(value []byte) (map[string][]AcceptedRelease, error) {
	accepted := map[string][]AcceptedRelease{}
	err := readObject(value, func(role string, value []byte) error {
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil || len(list) == 0 {
			return fmt.Errorf("%s: want a list of releases", tuf.Clip(string(value)))
		}
		for _, item := range list {
			a, err := readAcceptedRelease(item)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(accepted[role], func(b AcceptedRelease) bool { return a.Delegator == b.Delegator }) {
				return fmt.Errorf("two releases by %q", tuf.Clip(a.Delegator))
			}
			accepted[role] = append(accepted[role], a)
		}
		return nil
	})
	return accepted, err
}

func readAcceptedRelease(value []byte) (AcceptedRelease, error) {
	var a AcceptedRelease
	err := readObject(value, func(name string, value []byte) error {
		var err error
		switch name {
		case "delegator":
			a.Delegator, err = readFilled(value)
		case "version":
			a.Version, err = readInteger(value, 1, tuf.MaxVersion)
		case "payload":
			a.Payload, err = readDigest(value)
		case "signers":
			a.Signers, err = readDigests(value)
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err == nil && (a.Version == 0 || a.Payload.IsZero() || len(a.Signers) == 0) {
		err = errors.New("no version, no payload or no signers")
	}
	return a, err
}

// readList reads a list that is not empty.
func readList[T any](value []byte, read func([]byte) (T, error)) ([]T, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(value, &items); err != nil || len(items) == 0 || len(items) > maxWaiting {
		return nil, fmt.Errorf("%s: want a list of 1 to %d", tuf.Clip(string(value)), maxWaiting)
	}
	list := make([]T, len(items))
	for i, item := range items {
		var err error
		if list[i], err = read(item); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func readAdopted(value []byte) (*Adopted, error) {
	a := new(Adopted)
	err := readObject(value, func(name string, value []byte) (err error) {
		switch name {
		case "policy":
			a.Policy, err = readPolicy(value)
		case "for":
			a.For, err = readDigest(value)
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err == nil && (a.Policy == nil || a.For.IsZero()) {
		err = errors.New("no policy, or in no policy's place")
	}
	return a, err
}

func readWaiting(value []byte) (Waiting, error) {
	var w Waiting
	err := readObject(value, func(name string, value []byte) error {
		var err error
		switch name {
		case "role":
			w.Role, err = readFilled(value)
		case "version":
			w.Version, err = readInteger(value, 1, tuf.MaxVersion)
		case "payload":
			w.Payload, err = readDigest(value)
		case "code":
			var code string
			code, err = readFilled(value)
			w.Code = Code(code)
		case "since":
			w.Since, err = readInteger(value, 1, math.MaxInt64)
		case "under":
			w.Under, err = readDigest(value)
		case "detail":
			w.Detail, err = readFilled(value)
		case "evidence":
			w.Evidence, err = readFilled(value)
		case "age":
			w.Age, err = readInteger(value, 1, int64(forever/time.Second))
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err == nil && (w.Payload.IsZero() || w.Under.IsZero() || w.Code == "" || (w.Role == "") != (w.Version == 0)) {
		err = errors.New("no payload or no code, or a role or version alone")
	}
	return w, err
}

func readApproved(value []byte) (Approved, error) {
	var a Approved
	err := readObject(value, func(name string, value []byte) error {
		var err error
		switch name {
		case "role":
			a.Role, err = readFilled(value)
		case "version":
			a.Version, err = readInteger(value, 1, tuf.MaxVersion)
		case "payload":
			a.Payload, err = readDigest(value)
		case "time":
			a.Time, err = readInteger(value, 1, math.MaxInt64)
		case "unlogged":
			if a.Unlogged = string(value) == "true"; !a.Unlogged {
				err = fmt.Errorf("%s: want true", tuf.Clip(string(value)))
			}
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err == nil && (a.Payload.IsZero() || (a.Role == "") != (a.Version == 0)) {
		err = errors.New("no payload, or a role or version alone")
	}
	return a, err
}

// readFilled reads a string that is not empty.
func readFilled(value []byte) (string, error) {
	s, err := readString(value)
	if err == nil && s == "" {
		err = errors.New("empty")
	}
	return s, err
}

// readTimes reads an object of times by digests.
func readTimes(value []byte) (map[tuf.Digest]int64, error) {
	times := map[tuf.Digest]int64{}
	err := readObject(value, func(name string, value []byte) error {
		key, err := tuf.ParseDigest(name)
		if err != nil {
			return err
		}
		times[key], err = readInteger(value, 1, math.MaxInt64)
		return err
	})
	return times, err
}

func readDigests(value []byte) ([]tuf.Digest, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil || list == nil {
		return nil, fmt.Errorf("%s: want a list", tuf.Clip(string(value)))
	}
	digests := make([]tuf.Digest, len(list))
	for i, item := range list {
		var err error
		if digests[i], err = readDigest(item); err != nil {
			return nil, err
		}
	}
	return digests, nil
}

// readCounts reads an object of numbers from 1 to high.
func readCounts(value []byte, high int64) (map[string]int64, error) {
	counts := map[string]int64{}
	err := readObject(value, func(name string, value []byte) error {
		n, err := readInteger(value, 1, high)
		counts[name] = n
		return err
	})
	return counts, err
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
