package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
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

// maxNextPolicy is the longest path of a next trust policy, in characters.
const maxNextPolicy = 1000

// maxFaultyWitnesses only keeps typing errors out: no policy has that many
// witnesses.
const maxFaultyWitnesses = 1000

// InstallPolicy has the requirements for a release beyond a valid proof, and says what its
// owner decides. Its file is one JSON object:
//
//	{"repository": "9ab1…", "require": ["root", "targets", "delegated"],
//	 "faulty_witnesses": 1, "min_age": "48h", "root_quarantine": "7d",
//	 "snapshot_hashes": "required", "approval": "ask", "postpone": "30d",
//	 "postpone_security": "3d", "next_policy": "policy/trust.txt"}
//
// Every field is optional, and an unknown one is refused. docs/devices.md describes each.
//
// Ages and waits are counted by the times of cosignatures, from the release's proof on:
// no clock of the device is asked. See [State.Floor].
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
	// been in the log before it is accepted. Roots do not wait for it.
	MinAge time.Duration
	// RootQuarantine is how long a root that gives somebody new power must have been in
	// the log before it is accepted. A root that only takes power away does not wait: one
	// that removes a stolen key should take effect at once.
	RootQuarantine time.Duration
	// SnapshotHashes requires that releases of targets and delegated roles were logged
	// beside a snapshot that lists their hash: the leaf says so. A hash in the device's
	// own snapshot is not enough, because a vendor that signs two payloads of a version
	// can sign two snapshots as well, and the other payload may have been logged by its
	// version alone.
	SnapshotHashes bool
	// Approval says whether the device's owner decides on each release.
	Approval Approval
	// Postpone is how long a release may wait for its owner's approval: a release of
	// targets, or of a delegated role, that has been in the log for so long is accepted
	// without one. Zero: it waits forever.
	Postpone time.Duration
	// PostponeSecurity takes the place of Postpone, if it is less, for a release with a new
	// or changed target that its vendor has marked: custom.tuflog.security is true. Zero:
	// such releases wait as all do.
	PostponeSecurity time.Duration
	// NextPolicy is the path of a target that is the next trust policy. One under which
	// more would be accepted has to have been in the log for RootQuarantine. Empty: none.
	NextPolicy string
}

// Approval says who decides whether a release is accepted that may be.
type Approval int

// The kinds of approval. ApproveAsk and ApproveManual are one for this package: a program
// may ask its user where ApproveAsk is set.
const (
	ApproveAuto   Approval = iota // nobody: it is accepted
	ApproveAsk                    // the owner, who is asked
	ApproveManual                 // the owner, on their own account
)

func (a Approval) String() string {
	switch a {
	case ApproveAuto:
		return "auto"
	case ApproveAsk:
		return "ask"
	case ApproveManual:
		return "manual"
	}
	return "approval " + strconv.Itoa(int(a))
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
	p, err := readInstallPolicy(b)
	if err == nil {
		err = p.consistent()
	}
	if err != nil {
		return InstallPolicy{}, fmt.Errorf("install policy: %w", err)
	}
	return p, nil
}

// readInstallPolicy reads the fields of an install policy, whether they fit together or not.
func readInstallPolicy(b []byte) (InstallPolicy, error) {
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
			p.RootQuarantine, err = readDuration(value)
		case "approval":
			p.Approval, err = readApproval(value)
		case "postpone":
			p.Postpone, err = readWait(value)
		case "postpone_security":
			p.PostponeSecurity, err = readWait(value)
		case "next_policy":
			if p.NextPolicy, err = readString(value); utf8.RuneCountInString(p.NextPolicy) > maxNextPolicy {
				err = fmt.Errorf("%s: more than %d characters", tuf.Clip(p.NextPolicy), maxNextPolicy)
			}
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	return p, err
}

// consistent refuses fields that say nothing beside the others: who writes them believes
// that they do.
func (p InstallPolicy) consistent() error {
	switch {
	case p.RootQuarantine > 0 && !p.requires(tuf.RoleRoot):
		return errors.New(`"root_quarantine": it needs "root" in "require": without a proof a root has no age`)
	case p.Postpone > 0 && p.Approval == ApproveAuto:
		return errors.New(`"postpone": it needs "approval": "ask" or "manual": nothing waits for an owner otherwise`)
	case p.PostponeSecurity > 0 && p.Postpone == 0:
		return errors.New(`"postpone_security": it needs "postpone", which it shortens`)
	case p.NextPolicy != "" && p.RootQuarantine == 0:
		return errors.New(`"next_policy": it needs "root_quarantine", for which the next policy waits`)
	}
	if p.requires(tuf.RoleTargets) && p.requires("") {
		return nil
	}
	const needs = `%q: it needs "targets" and "delegated" in "require", or no "require": without a proof %s`
	switch {
	case p.MinAge > 0:
		return fmt.Errorf(needs, "min_age", "a release has no age, and would not wait")
	case p.SnapshotHashes:
		return fmt.Errorf(needs, "snapshot_hashes", "nothing says what the log was shown")
	case p.Postpone > 0:
		return fmt.Errorf(needs, "postpone", "a release has no age, and would wait for its owner without end")
	case p.NextPolicy != "":
		return fmt.Errorf(needs, "next_policy", "the next policy has no age")
	}
	return nil
}

// Marshal prints the policy in one spelling, without the fields that have their default.
// ParseInstallPolicy reads the same policy from it, if it could have been read from a file.
func (p InstallPolicy) Marshal() []byte {
	j := struct {
		Repository       string   `json:"repository,omitempty"`
		Require          []string `json:"require,omitempty"`
		FaultyWitnesses  *int     `json:"faulty_witnesses,omitempty"`
		MinAge           string   `json:"min_age,omitempty"`
		RootQuarantine   string   `json:"root_quarantine,omitempty"`
		SnapshotHashes   string   `json:"snapshot_hashes,omitempty"`
		Approval         string   `json:"approval,omitempty"`
		Postpone         string   `json:"postpone,omitempty"`
		PostponeSecurity string   `json:"postpone_security,omitempty"`
		NextPolicy       string   `json:"next_policy,omitempty"`
	}{
		Require: p.Require, MinAge: printDuration(p.MinAge), RootQuarantine: printDuration(p.RootQuarantine),
		Postpone: printDuration(p.Postpone), PostponeSecurity: printDuration(p.PostponeSecurity), NextPolicy: p.NextPolicy,
	}
	if !p.Repository.IsZero() {
		j.Repository = p.Repository.String()
	}
	if p.FaultyWitnesses >= 0 {
		j.FaultyWitnesses = &p.FaultyWitnesses
	}
	if p.SnapshotHashes {
		j.SnapshotHashes = "required"
	}
	if p.Approval != ApproveAuto {
		j.Approval = p.Approval.String()
	}
	b, err := json.Marshal(j)
	if err != nil { // strings, numbers and a list of strings
		panic(err)
	}
	return b
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

func readApproval(value []byte) (Approval, error) {
	s, err := readString(value)
	if err != nil {
		return 0, err
	}
	for a := ApproveAuto; a <= ApproveManual; a++ {
		if s == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%q: want \"auto\", \"ask\" or \"manual\"", tuf.Clip(s))
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

// durationUnits are the units of durations, in the order in which they are written.
var durationUnits = []struct {
	letter byte
	value  time.Duration
}{{'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}

func readDuration(value []byte) (time.Duration, error) {
	s, err := readString(value)
	if err != nil {
		return 0, err
	}
	return ParseDuration(s)
}

// ParseDuration reads a duration as install policies have them: numbers of up to five digits,
// each with its unit, the larger units first, such as "48h" and "2d12h".
// No such duration is too large for a time.Duration.
func ParseDuration(s string) (time.Duration, error) {
	var d time.Duration
	units, digits, n := durationUnits, 0, time.Duration(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if '0' <= c && c <= '9' && digits < 5 {
			n, digits = 10*n+time.Duration(c-'0'), digits+1
			continue
		}
		for len(units) > 0 && units[0].letter != c {
			units = units[1:]
		}
		if digits == 0 || len(units) == 0 {
			return 0, fmt.Errorf("%q: want a duration such as \"48h\" or \"2d12h\"", tuf.Clip(s))
		}
		d += n * units[0].value
		units, digits, n = units[1:], 0, 0
	}
	if s == "" || digits > 0 {
		return 0, fmt.Errorf("%q: want a duration such as \"48h\" or \"2d12h\"", tuf.Clip(s))
	}
	return d, nil
}

// readWait is readDuration for a wait that a zero would take away.
func readWait(value []byte) (time.Duration, error) {
	d, err := readDuration(value)
	if err == nil && d == 0 {
		err = fmt.Errorf("%s: it would be no wait: leave it out, or want more", tuf.Clip(string(value)))
	}
	return d, err
}

// told is a duration in a message.
func told(d time.Duration) string {
	if d < time.Second {
		return "0s"
	}
	return printDuration(d)
}

// printDuration prints a duration as readDuration reads it, without fractions of a second;
// a zero is empty.
func printDuration(d time.Duration) string {
	var b strings.Builder
	for _, unit := range durationUnits {
		if n := min(d/unit.value, 99999); n > 0 { // as many digits as are read
			fmt.Fprintf(&b, "%d%c", n, unit.letter)
			d -= n * unit.value
		}
	}
	return b.String()
}

func readInteger(value []byte, low, high int64) (int64, error) {
	var n int64
	if len(value) == 0 || value[0] == 'n' || json.Unmarshal(value, &n) != nil || n < low || n > high {
		return 0, fmt.Errorf("%s: want an integer from %d to %d", tuf.Clip(string(value)), low, high)
	}
	return n, nil
}
