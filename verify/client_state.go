package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// MaxStateSize is the limit of ParseState, in bytes. A snapshot that lists
// MaxDelegations roles with long names stays below it.
const MaxStateSize = 16 << 20

// State is what a device remembers between updates beside its metadata files:
// what it trusts out of band, and how far it has come. It is plain data that the
// caller stores; it only moves forward, except where keys are rotated.
type State struct {
	// Repository names the repository the device follows: the digest of its
	// genesis root's payload.
	Repository Digest
	// TrustedRoot is the payload of the root that the device was given. That root
	// needs no proof: it is where trust begins.
	TrustedRoot Digest
	// Root is the newest root that was trusted.
	Root Seen
	// Timestamp and Snapshot are the newest of those roles. They are forgotten
	// when their signers no longer meet the role's keys (TUF 5.3.11), so that a
	// vendor can recover from stolen keys.
	Timestamp Seen
	Snapshot  Seen
	// Witnesses holds, by the name in its key, the largest time that each witness
	// put into a cosignature this device verified, in seconds since 1970.
	Witnesses map[string]int64
}

// Seen is a release of a role that was trusted.
type Seen struct {
	Version int64 // 0: none
	Payload Digest
	Signers []Digest         // identities of the keys that signed it; nil for root
	Listed  map[string]int64 // the versions that it lists, by file name; nil for root
}

// Pin returns the state of a device that trusts the given root out of band and
// has seen nothing else. The root must be signed by its own keys. The repository
// is the one that install names; where it names none, the root is taken to be the
// repository's genesis. The error is a *Refusal.
func Pin(trustedRoot []byte, install InstallPolicy) (State, error) {
	root, err := readFile(RoleRoot, trustedRoot)
	if err != nil {
		return State{}, err
	}
	if err := checkSigned(RoleRoot, root, root.Root.KeySet(RoleRoot), "its own keys"); err != nil {
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
	Version     int              `json:"version"`
	Repository  Digest           `json:"repository"`
	TrustedRoot Digest           `json:"trusted_root"`
	Root        seenJSON         `json:"root"`
	Timestamp   *seenJSON        `json:"timestamp,omitempty"`
	Snapshot    *seenJSON        `json:"snapshot,omitempty"`
	Witnesses   map[string]int64 `json:"witnesses,omitempty"`
}

type seenJSON struct {
	Version int64            `json:"version"`
	Payload Digest           `json:"payload"`
	Signers []Digest         `json:"signers,omitempty"`
	Listed  map[string]int64 `json:"listed,omitempty"`
}

const stateVersion = 1

// Marshal prints the state as JSON, with a checksum: a state in which one bit
// changed would not protect against rollback.
func (s State) Marshal() ([]byte, error) {
	j := stateJSON{
		Version: stateVersion, Repository: s.Repository, TrustedRoot: s.TrustedRoot,
		Root: seenJSON(s.Root), Witnesses: s.Witnesses,
	}
	if s.Timestamp.Version != 0 {
		j.Timestamp = (*seenJSON)(&s.Timestamp)
	}
	if s.Snapshot.Version != 0 {
		j.Snapshot = (*seenJSON)(&s.Snapshot)
	}
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return fmt.Appendf(nil, "{\"sha256\": \"%v\", \"state\": %s}\n", Sum(b), b), nil
}

// ParseState reads what Marshal prints. A state that was cut short or damaged, or
// that says anything this version does not know, is an error: guessing would lose
// the protection against rollback.
func ParseState(b []byte) (State, error) {
	if len(b) > MaxStateSize {
		return State{}, fmt.Errorf("state: %d bytes, the limit is %d", len(b), MaxStateSize)
	}
	var sum Digest
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
	if err == nil && Sum(state) != sum {
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
			version, err = readInteger(value, stateVersion, stateVersion)
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
		case "witnesses":
			s.Witnesses, err = readCounts(value, math.MaxInt64)
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
			s.Version, err = readInteger(value, 1, MaxVersion)
		case "payload":
			s.Payload, err = readDigest(value)
		case "signers":
			s.Signers, err = readDigests(value)
		case "listed":
			s.Listed, err = readCounts(value, MaxVersion)
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

func readDigests(value []byte) ([]Digest, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil || list == nil {
		return nil, fmt.Errorf("%s: want a list", clip(string(value)))
	}
	digests := make([]Digest, len(list))
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
	s.Witnesses = maps.Clone(s.Witnesses)
	return s
}

func (s Seen) clone() Seen {
	s.Signers = slices.Clone(s.Signers)
	s.Listed = maps.Clone(s.Listed)
	return s
}

// seenAs is what to remember of a file that was accepted under keys.
func seenAs(m *Metadata, keys KeySet, listed *Meta) Seen {
	s := Seen{Version: m.Version, Payload: m.PayloadDigest, Listed: map[string]int64{}}
	for _, id := range m.Signers(keys) {
		s.Signers = append(s.Signers, Digest(id))
	}
	for name, file := range listed.Files() {
		s.Listed[name] = file.Version
	}
	return s
}

// stands says whether the release's signers still meet the keys and the
// threshold that its role has now.
func (s Seen) stands(keys KeySet) bool {
	have := 0
	for _, id := range keys.Identities() {
		if slices.Contains(s.Signers, Digest(id)) {
			have++
		}
	}
	return s.Version != 0 && keys.threshold > 0 && have >= keys.threshold
}
