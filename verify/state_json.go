package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// The JSON form of a state and of its parts.
type stateJSON struct {
	Version     int        `json:"version"`
	Serial      int64      `json:"serial,omitempty"`
	Repository  tuf.Digest `json:"repository"`
	TrustedRoot tuf.Digest `json:"trusted_root"`
	Root        seenJSON   `json:"root"`
	Timestamp   *seenJSON  `json:"timestamp,omitempty"`
	Snapshot    *seenJSON  `json:"snapshot,omitempty"`

	Accepted  map[string][]acceptedJSON `json:"accepted,omitempty"`
	Log       string                    `json:"log,omitempty"`
	Tree      *treeJSON                 `json:"tree,omitempty"`
	Witnesses map[tuf.Digest]int64      `json:"witnesses,omitempty"`
	Clock     int64                     `json:"clock,omitempty"`

	Required *requirementsJSON `json:"required,omitempty"`
	Adopted  *adoptedJSON      `json:"adopted,omitempty"`
	Waiting  []waitingJSON     `json:"waiting,omitempty"`
	Approved []approvedJSON    `json:"approved,omitempty"`
	Unlogged []approvedJSON    `json:"unlogged,omitempty"`

	GivenTrust   bool `json:"given_trust,omitempty"`
	GivenInstall bool `json:"given_install,omitempty"`
}

type treeJSON struct {
	Log  string     `json:"log"`
	Size int64      `json:"size"`
	Root tuf.Digest `json:"root"`
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
	MayWait  int64  `json:"may_wait,omitempty"`
	Until    int64  `json:"until,omitempty"`
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
		Version: stateVersion, Serial: s.Serial, Repository: s.Repository, TrustedRoot: s.TrustedRoot,
		Root: seenJSON(s.Root), Log: s.Log, Witnesses: s.Witnesses, Clock: s.Clock,
		GivenTrust: s.GivenTrust, GivenInstall: s.GivenInstall,
	}
	if len(s.Accepted) > 0 {
		j.Accepted = make(map[string][]acceptedJSON, len(s.Accepted))
		for role, releases := range s.Accepted {
			for _, a := range releases {
				j.Accepted[role] = append(j.Accepted[role], acceptedJSON(a))
			}
		}
	}
	if s.TreeOf != "" {
		j.Tree = &treeJSON{s.TreeOf, s.Tree.N, tuf.Digest(s.Tree.Hash)}
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
		case "serial":
			s.Serial, err = readInteger(value, 1, math.MaxInt64)
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
		case "tree":
			s.TreeOf, s.Tree, err = readTree(value)
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
		case "given_trust":
			s.GivenTrust, err = readTrue(value)
		case "given_install":
			s.GivenInstall, err = readTrue(value)
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

func readTree(value []byte) (log string, tree proofs.Tree, err error) {
	var root tuf.Digest
	err = readObject(value, func(name string, value []byte) (err error) {
		switch name {
		case "log":
			log, err = readFilled(value)
		case "size":
			tree.N, err = readInteger(value, 1, math.MaxInt64)
		case "root":
			root, err = readDigest(value)
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	tree.Hash = proofs.Hash(root)
	if err == nil && (log == "" || tree.N == 0 || root.IsZero()) {
		err = errors.New("no log, no size or no root")
	}
	return log, tree, err
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
		case "may_wait":
			w.MayWait, err = readInteger(value, 1, int64(forever/time.Second))
		case "until":
			w.Until, err = readInteger(value, 1, int64(forever/time.Second))
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
			a.Unlogged, err = readTrue(value)
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

// readTrue reads a mark, which is left out where it is false.
func readTrue(value []byte) (bool, error) {
	if string(value) != "true" {
		return false, fmt.Errorf("%s: want true", tuf.Clip(string(value)))
	}
	return true, nil
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
