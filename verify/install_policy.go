package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/tuflog/tuflog/tuf"
)

// Classes of roles that an install policy can require a proof for.
const (
	requireRoot      = "root"
	requireTargets   = "targets"
	requireDelegated = "delegated"
)

// maxInstallPolicySize is the limit of ParseInstallPolicy, in bytes.
const maxInstallPolicySize = 64 << 10

// maxFaultyWitnesses only keeps typing errors out: no policy has that many
// witnesses.
const maxFaultyWitnesses = 1000

// InstallPolicy has the requirements for a release beyond a valid proof. Its
// file is one JSON object:
//
//	{"repository": "9ab1…", "require": ["root", "targets", "delegated"],
//	 "faulty_witnesses": 1, "min_age": "0h", "snapshot_hashes": "required",
//	 "root_quarantine": "0h", "approval": "auto", "next_policy": ""}
//
// Every field is optional. An unknown field is refused, and so is a value that
// this version does not enforce. docs/devices.md describes each.
type InstallPolicy struct {
	// Repository is the repository that proofs must be about: the digest of its
	// genesis root's payload. Zero: the one that the device's state pins.
	Repository tuf.Digest
	// Require lists the classes of roles that need a proof: "root", the newest root,
	// unless it is the one the device was given; "targets", the top-level role; and
	// "delegated", every role that targets metadata delegates to. Nil: all of them.
	Require []string
	// FaultyWitnesses is how many witnesses may lie about the time before an age or
	// the time floor is wrong. The zero value trusts every single witness; -1,
	// as in a file without the field, stands for 1, or for 0 if one witness is a quorum
	// of the trust policy. Refresh refuses a number of
	// witnesses that is a quorum of the trust policy.
	FaultyWitnesses int
	// MinAge is how long a release of targets or of a delegated role must have
	// been in the log before it is accepted. Roots do not wait: a rotation that
	// removes a stolen key should take effect at once.
	MinAge time.Duration
	// SnapshotHashes requires that releases of targets and delegated roles were logged
	// beside a snapshot that lists their hash: the leaf says so. A hash in the device's
	// own snapshot is not enough, because a vendor that signs two payloads of a version
	// can sign two snapshots as well, and the other payload may have been logged by its
	// version alone.
	SnapshotHashes bool
}

// defaultFaultyWitnesses is the -1 of InstallPolicy.FaultyWitnesses.
const defaultFaultyWitnesses = -1

// DefaultInstallPolicy returns the policy of an empty object.
func DefaultInstallPolicy() InstallPolicy {
	return InstallPolicy{FaultyWitnesses: defaultFaultyWitnesses}
}

// requires says whether the policy wants a proof for a role.
func (p InstallPolicy) requires(role string) bool {
	class := requireDelegated
	switch role {
	case tuf.RoleRoot:
		class = requireRoot
	case tuf.RoleTargets:
		class = requireTargets
	case tuf.RoleSnapshot, tuf.RoleTimestamp:
		return false
	}
	return p.Require == nil || slices.Contains(p.Require, class)
}

// ParseInstallPolicy parses an install policy strictly: one JSON object,
// without unknown or repeated fields or values that are not enforced.
func ParseInstallPolicy(b []byte) (InstallPolicy, error) {
	if len(b) > maxInstallPolicySize {
		return InstallPolicy{}, fmt.Errorf("install policy: %d bytes, the limit is %d", len(b), maxInstallPolicySize)
	}
	p := DefaultInstallPolicy()
	err := readObject(b, func(name string, value []byte) error {
		var err error
		switch name {
		case "repository":
			p.Repository, err = readDigest(value)
		case "require":
			p.Require, err = readRequire(value)
		case "faulty_witnesses":
			var n int64
			if n, err = readInteger(value, 0, maxFaultyWitnesses); err == nil {
				p.FaultyWitnesses = int(n)
			}
		case "min_age":
			p.MinAge, err = readDuration(value)
		case "snapshot_hashes":
			var s string
			if s, err = readString(value); err == nil && s != "required" {
				err = fmt.Errorf("%q: want \"required\", or leave it out", tuf.Clip(s))
			}
			p.SnapshotHashes = true
		case "root_quarantine":
			var d time.Duration
			if d, err = readDuration(value); err == nil && d != 0 {
				err = fmt.Errorf("%v: not supported yet, leave it out", d)
			}
		case "approval":
			err = readApproval(value)
		case "next_policy":
			var s string
			if s, err = readString(value); err == nil && s != "" {
				err = fmt.Errorf("%q: not supported yet, leave it out", s)
			}
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err != nil {
		return InstallPolicy{}, fmt.Errorf("install policy: %w", err)
	}
	return p, nil
}

func readRequire(value []byte) ([]string, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil || list == nil {
		return nil, fmt.Errorf("%s: want a list of roles", tuf.Clip(string(value)))
	}
	if len(list) == 0 {
		return nil, errors.New("empty: leave the field out, or turn transparency off")
	}
	require := make([]string, 0, len(list))
	for _, item := range list {
		s, err := readString(item)
		if err != nil {
			return nil, err
		}
		switch s {
		case requireRoot, requireTargets, requireDelegated:
		default:
			return nil, fmt.Errorf("%q: want %q, %q or %q", tuf.Clip(s), requireRoot, requireTargets, requireDelegated)
		}
		if slices.Contains(require, s) {
			return nil, fmt.Errorf("%q twice", s)
		}
		require = append(require, s)
	}
	return require, nil
}

func readApproval(value []byte) error {
	s, err := readString(value)
	if err != nil {
		return err
	}
	switch s {
	case "auto":
		return nil
	case "ask", "manual":
		return fmt.Errorf("%q: not supported yet, only \"auto\" is", s)
	}
	return fmt.Errorf("%q: want \"auto\", \"ask\" or \"manual\"", tuf.Clip(s))
}

// readObject reads one JSON object and calls field for each of its members in
// turn. It refuses what encoding/json lets pass: repeated names, invalid UTF-8
// and trailing bytes. Names are compared exactly.
func readObject(b []byte, field func(name string, value []byte) error) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("%v where a name should be", t)
		}
		if seen[name] {
			return fmt.Errorf("%q twice", tuf.Clip(name))
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("%q: %w", tuf.Clip(name), err)
		}
		if err := field(name, value); err != nil {
			return fmt.Errorf("%q: %w", tuf.Clip(name), err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more bytes after the object")
	}
	return nil
}

// Values are read from their JSON text, because encoding/json takes null for
// any of them.

func readString(value []byte) (string, error) {
	var s string
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return "", fmt.Errorf("%s: want a string", tuf.Clip(string(value)))
	}
	return s, nil
}

func readDigest(value []byte) (tuf.Digest, error) {
	s, err := readString(value)
	if err != nil {
		return tuf.Digest{}, err
	}
	d, err := tuf.ParseDigest(s)
	if err == nil && d.IsZero() {
		err = errors.New("all zero")
	}
	return d, err
}

func readDuration(value []byte) (time.Duration, error) {
	s, err := readString(value)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q: want a duration such as \"48h\"", tuf.Clip(s))
	}
	return d, nil
}

func readInteger(value []byte, low, high int64) (int64, error) {
	var n int64
	if len(value) == 0 || value[0] == 'n' || json.Unmarshal(value, &n) != nil || n < low || n > high {
		return 0, fmt.Errorf("%s: want an integer from %d to %d", tuf.Clip(string(value)), low, high)
	}
	return n, nil
}
