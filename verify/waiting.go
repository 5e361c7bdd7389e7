package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// Waiting is what a device was offered and has not taken: for its age, for its owner's
// approval, or for want of a proof. Its owner may approve of it: see [State.Approve].
type Waiting struct {
	Role    string // empty: it is a policy
	Version int64  // 0 of a policy
	Payload tuf.Digest
	Code    Code // why it waits
	// Since is a time by which it was in the log, in seconds since 1970; 0: not known.
	Since int64
	// Under identifies the policies under which Since is true.
	Under tuf.Digest
	// Detail says why it waits, in words, at most maxWaitingDetail bytes.
	Detail string
	// Evidence says in words, in as many bytes, where it is logged, who cosigned that, and
	// with which keys it is signed: what was checked when it was offered. Empty: nothing was.
	Evidence string
	// Age is how many seconds it was proved to have been in the log then.
	Age int64
	// MayWait is the age, in seconds, until which its owner may put it off: forever for what
	// is never accepted without the owner; 0: nobody is asked.
	MayWait int64
	// Until is the age, in seconds, until which its owner has put it off; 0: not.
	Until int64
}

// Approved is what a device's owner has approved of.
type Approved struct {
	Role    string
	Version int64
	Payload tuf.Digest
	Time    int64 // when the owner approved, by the device's clock; 0: it had none
	// Unlogged means that it may lack a proof.
	Unlogged bool
}

// Limits of what a state holds of waiting and approved releases. A role with a longer name
// than maxWaitingRole, printed, cannot be approved of.
const (
	maxWaiting       = 64
	maxWaitingRole   = 16 << 10
	maxWaitingDetail = 2 << 10
)

// ErrNotWaiting is wrapped if nothing waits under an id.
var ErrNotWaiting = errors.New("nothing waits under that id")

// Approve returns the state of a device whose owner approves of what waits under an id:
// the beginning of its payload's digest, 32 hex digits or more. It need no longer
// wait then, whatever for. Roles whose files are the same but for their signatures wait
// under one id. What has no proof takes unlogged as well: that is for a log or witnesses
// that are gone for good, and is recorded in the state. now is the device's clock; zero: it
// has none. The approval ends when another release of the role comes.
func (s State) Approve(id string, unlogged bool, now time.Time) (State, []Waiting, error) {
	under, err := s.waitingUnder(id)
	if err != nil {
		return s, nil, err
	}
	w := under[0]
	under = slices.DeleteFunc(under, func(w Waiting) bool { return lacksProof(w.Code) != unlogged })
	switch {
	case len(under) > 0:
	case unlogged:
		return s, nil, fmt.Errorf("%s is not refused for its proof (%s): approve of it as logged", w, w.Code)
	default:
		return s, nil, fmt.Errorf("%s has no proof (%s): no approval takes its place, unless it is one of a release that is not logged", w, w.Code)
	}
	s = s.clone()
	for _, w := range under {
		a := Approved{Role: w.Role, Version: w.Version, Payload: w.Payload, Unlogged: unlogged}
		if !now.IsZero() {
			a.Time = max(0, now.Unix())
		}
		s.Approved = append(slices.DeleteFunc(s.Approved, func(b Approved) bool { return b.Role == w.Role }), a)
		w.Until = 0
		s.replaceWaiting(w)
	}
	return s, under, nil
}

// replaceWaiting replaces what is remembered of what waits.
func (s *State) replaceWaiting(w Waiting) {
	for i, b := range s.Waiting {
		if b.Role == w.Role && b.Payload == w.Payload && b.Code == w.Code {
			s.Waiting[i] = w
		}
	}
}

// errNotOwners is wrapped if the install policy does not leave it to the owner how long
// something waits.
var errNotOwners = errors.New("the install policy does not ask its owner")

// Postpone returns the state of a device whose owner puts off what waits under an id, for
// that long from now: until it is proved to have been in the log for longer than it is known
// to have been, but no longer than the install policy lets it wait. Nobody is asked about it
// until then, and an approval of it ends; that the owner approves of it ends the wait.
func (s State) Postpone(id string, wait time.Duration, now time.Time) (State, []Waiting, error) {
	under, err := s.waitingUnder(id)
	if err != nil {
		return s, nil, err
	}
	if wait < time.Second {
		return s, nil, fmt.Errorf("put off for %v: want a second at least", wait)
	}
	s = s.clone()
	for i, w := range under {
		age := int64(s.Age(w, now) / time.Second)
		switch {
		case lacksProof(w.Code), w.Code == CodeDowngrade:
			return s, nil, fmt.Errorf("%s is not accepted while it is as it is (%s): it need not be put off", w, w.Code)
		case w.MayWait == 0:
			return s, nil, fmt.Errorf("%s cannot be put off: %w", w, errNotOwners)
		case age >= w.MayWait:
			return s, nil, fmt.Errorf("%s cannot be put off: it has been public for %v, and the install policy lets it wait for %v", w, told(time.Duration(age)*time.Second), told(time.Duration(w.MayWait)*time.Second))
		}
		w.Until = min(age+int64(wait/time.Second), w.MayWait)
		s.replaceWaiting(w)
		s.Approved = slices.DeleteFunc(s.Approved, func(a Approved) bool { return a.Role == w.Role && a.Payload == w.Payload })
		under[i] = w
	}
	return s, under, nil
}

// Approves reports whether the owner has approved of what waits.
func (s State) Approves(w Waiting) bool {
	return slices.ContainsFunc(s.Approved, func(a Approved) bool { return a.Role == w.Role && a.Payload == w.Payload })
}

// PutOff reports whether the owner has put off what waits, and that time has not come.
func (s State) PutOff(w Waiting, now time.Time) bool {
	return w.Until > int64(s.Age(w, now)/time.Second)
}

// waitingUnder returns what waits under an id: one, or several with one payload.
func (s State) waitingUnder(id string) (under []Waiting, err error) {
	if len(id) < idDigits {
		return nil, fmt.Errorf("%q: want a whole id, %d digits: another release may have been made that begins like it", tuf.Clip(id), idDigits)
	}
	for _, w := range s.Waiting {
		if strings.HasPrefix(w.Payload.String(), id) {
			under = append(under, w)
		}
	}
	switch {
	case len(under) == 0:
		return nil, fmt.Errorf("%q: %w", tuf.Clip(id), ErrNotWaiting)
	case slices.ContainsFunc(under, func(w Waiting) bool { return w.Payload != under[0].Payload }):
		return nil, fmt.Errorf("%q: %d wait under that id: give more of it", tuf.Clip(id), len(under))
	}
	return under, nil
}

func (w Waiting) String() string {
	if w.Role == "" {
		return "the policy"
	}
	return fmt.Sprintf("%s %d", tuf.EscapeRole(w.Role), w.Version)
}

// lacksProof reports whether a code means that a release has no valid proof, but may be
// a release of the device's repository for all that is known.
func lacksProof(code Code) bool {
	switch code {
	case CodeNotLogged, CodeBadProof, CodeQuorumShort, CodeWrongLog:
		return true
	}
	return false
}

// await remembers that something waits, in the place of what waited of its role, and
// returns why. Approval of another release of the role ends.
func (c *Client) await(w Waiting, m *tuf.Metadata, why error) error {
	if c.cfg.Transparency != Enforce {
		return why
	}
	var r *Refusal
	if errors.As(why, &r) {
		w.Detail = r.Text()
	}
	c.noteWaiting(w)
	c.offered = append(c.offered, m)
	return why
}

// Offered returns the file of what waits, if this update was offered it; otherwise nil.
func (c *Client) Offered(w Waiting) *tuf.Metadata {
	for _, m := range c.offered {
		if m.PayloadDigest == w.Payload {
			return m
		}
	}
	return nil
}

func (c *Client) noteWaiting(w Waiting) {
	for _, text := range []*string{&w.Detail, &w.Evidence} {
		if len(*text) > maxWaitingDetail {
			*text = (*text)[:maxWaitingDetail-len("…")] + "…"
		}
		*text = strings.ToValidUTF8(*text, "?")
	}
	s := &c.state
	before := c.waiting(w.Role, w.Payload)
	if before.Since != 0 && (w.Since == 0 || before.Since < w.Since) {
		w.Since = before.Since
	}
	for _, b := range s.Waiting {
		if b.Role == w.Role && b.Payload == w.Payload {
			w.Until = min(b.Until, w.MayWait)
			if lacksProof(w.Code) { // a mirror that keeps it back for one run cancels nothing
				w.Until = b.Until
			}
		}
	}
	s.Approved = slices.DeleteFunc(s.Approved, func(a Approved) bool { return a.Role == w.Role && a.Payload != w.Payload })
	// Policies that are configured do not take the place of one that is to be adopted.
	s.Waiting = slices.DeleteFunc(s.Waiting, func(b Waiting) bool {
		return b.Role == w.Role && (w.Role != "" || (b.Code == CodeDowngrade) == (w.Code == CodeDowngrade))
	})
	if printedSize(w.Role) <= maxWaitingRole {
		w.Under = c.requirements.Digest()
		s.Waiting = append(s.Waiting[max(0, len(s.Waiting)+1-maxWaiting):], w)
	}
}

// waiting returns what is remembered of a release that waits, if it is still true.
func (c *Client) waiting(role string, payload tuf.Digest) Waiting {
	for _, w := range c.state.Waiting {
		if w.Role == role && w.Payload == payload && w.Under == c.requirements.Digest() {
			return w
		}
	}
	return Waiting{}
}

// settled forgets what waited of a role, and what was approved, up to the version that has
// been accepted.
func (c *Client) settled(role string, version int64) {
	c.state.Waiting = slices.DeleteFunc(c.state.Waiting, func(w Waiting) bool { return w.Role == role && w.Version <= version })
	c.state.Approved = slices.DeleteFunc(c.state.Approved, func(a Approved) bool { return a.Role == role && a.Version <= version })
}

// outdated forgets what waited, and was approved, of versions that the snapshot does not
// list: nothing asks for them any more.
func (c *Client) outdated() {
	gone := func(role string, version int64) bool {
		if role == "" || role == tuf.RoleRoot {
			return false
		}
		listed, _ := c.snapshot.Snapshot.File(role + ".json")
		return listed.Version != version
	}
	c.state.Waiting = slices.DeleteFunc(c.state.Waiting, func(w Waiting) bool { return gone(w.Role, w.Version) })
	c.state.Approved = slices.DeleteFunc(c.state.Approved, func(a Approved) bool { return gone(a.Role, a.Version) })
}

// approved reports whether the owner has approved of a release.
func (c *Client) approved(role string, payload tuf.Digest) bool {
	return c.state.Approves(Waiting{Role: role, Payload: payload})
}

// brokenGlass reports whether a release may lack a proof: the owner has approved of that, or
// it is the one that the device has since then.
func (c *Client) brokenGlass(role string, payload tuf.Digest) bool {
	same := unloggedOf(role, payload)
	return slices.ContainsFunc(c.state.Approved, same) || c.had(role, payload) && slices.ContainsFunc(c.state.Unlogged, same)
}

// breakGlass records, if the owner has approved of a release without a proof, that it is
// accepted.
func (c *Client) breakGlass(role string, payload tuf.Digest) {
	s := &c.state
	if at := slices.IndexFunc(s.Approved, unloggedOf(role, payload)); at >= 0 {
		s.Unlogged = append(s.Unlogged[max(0, len(s.Unlogged)+1-maxWaiting):], s.Approved[at])
	}
}

func unloggedOf(role string, payload tuf.Digest) func(Approved) bool {
	return func(a Approved) bool { return a.Role == role && a.Payload == payload && a.Unlogged }
}

// offer is a release that is what it should be by TUF and has its proof, if it needs one.
type offer struct {
	role   string
	m      *tuf.Metadata
	proof  *Logged // nil: none is needed, or the owner has approved of that
	latest *Logged // the newer proof, or the same
	before *tuf.Metadata
	keys   tuf.KeySet // of which enough have signed it
	power  bool       // of a root: it gives somebody new power
}

// evidence says what was checked of a release, besides its content.
func (o offer) evidence() string {
	var ids []string
	for _, signer := range o.m.Signers(o.keys) {
		if id := o.keys.IDs(signer); len(id) > 0 {
			ids = append(ids, id[0][:min(len(id[0]), 8)])
		}
	}
	text := fmt.Sprintf("signed by %s (%s)", count(len(ids), "key", "keys"), strings.Join(ids, ", "))
	if o.proof == nil {
		return text + "; not proved to be logged"
	}
	var names []string
	for _, cosignature := range o.proof.Checkpoint.Cosignatures {
		names = append(names, tuf.Clip(cosignature.Witness))
	}
	return text + fmt.Sprintf("; entry %d of log %s, cosigned by %s", o.proof.Index, tuf.Clip(o.proof.Checkpoint.Origin), strings.Join(names, ", "))
}

// decide refuses a release that has to wait, for its age or for its owner. One that the
// device has accepted before does not wait again.
func (c *Client) decide(o offer) error {
	if c.cfg.Transparency == Off || c.had(o.role, o.m.PayloadDigest) || c.approved(o.role, o.m.PayloadDigest) {
		return nil
	}
	isRoot, p := o.role == tuf.RoleRoot, c.cfg.Install
	if isRoot && !o.power {
		return nil
	}
	w := Waiting{Role: o.role, Version: o.m.Version, Payload: o.m.PayloadDigest, Evidence: o.evidence()}
	var age time.Duration
	if o.proof != nil {
		w.Since = loggedBy(o.proof, c.faulty)
		age = c.age(w, o.latest)
		w.Age = int64(age / time.Second)
	}
	limit := p.mayWait(o)
	w.MayWait = int64(limit / time.Second)
	if o.proof != nil {
		if young := c.tooYoung(o, age); young != nil {
			w.Code = young.Code
			return c.await(w, o.m, young)
		}
	}
	if age >= limit {
		return nil
	}
	until := ""
	if limit != forever {
		until = fmt.Sprintf(": it is accepted without, when it has been in the log for %v; it is proved to have been there for %v", told(limit), told(age))
	}
	w.Code = CodeNeedsApproval
	return c.await(w, o.m, refusal(CodeNeedsApproval, o.role, nil, "version %d, %s, waits for the approval of this device's owner%s", o.m.Version, w.ID(), until))
}

// mayWait is the age at which a release is accepted without its owner's approval: forever,
// if it never is.
func (p InstallPolicy) mayWait(o offer) time.Duration {
	switch {
	case p.Approval == ApproveAuto:
		return 0
	case o.role == tuf.RoleRoot:
		return forever
	case p.PostponeSecurity > 0 && p.security() < p.Postpone && isSecurity(o.before, o.m):
		return p.security()
	}
	return orForever(p.Postpone)
}

// ID is what a person calls it by: the beginning of its payload's digest.
func (w Waiting) ID() string { return w.Payload.String()[:idDigits] }

// idDigits is how many hex digits an id has: so many that nobody can make two releases
// with one id, of which the owner looks at one and approves of the other.
const idDigits = 32

// had reports whether this very release is the one that the device accepted last.
func (c *Client) had(role string, payload tuf.Digest) bool {
	if role == tuf.RoleRoot {
		return c.state.Root.Payload == payload
	}
	return slices.ContainsFunc(c.state.Accepted[role], func(a AcceptedRelease) bool { return a.Payload == payload })
}

// givesPower reports whether a set of keys could sign for some role of the root after that
// could not sign for it under the root before.
func givesPower(before, after *tuf.Root) bool {
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		old, now := before.KeySet(role), after.KeySet(role)
		if now.Threshold() < old.Threshold() {
			return true
		}
		had := old.Identities()
		for _, id := range now.Identities() {
			if !slices.Contains(had, id) {
				return true
			}
		}
	}
	return false
}

// isSecurity reports whether a release has a target that its vendor has marked, and that
// is new or another than in the release before.
func isSecurity(before, m *tuf.Metadata) bool {
	for path, file := range m.Targets.Files() {
		if !marked(file.Custom) {
			continue
		}
		if before == nil {
			return true
		}
		was, ok := before.Targets.File(path)
		if !ok || was.Length != file.Length || !sameHashes(was.Hashes, file.Hashes) || !marked(was.Custom) {
			return true
		}
	}
	return false
}

func sameHashes(a, b map[string]string) bool {
	for algorithm, hash := range a {
		if b[algorithm] != hash {
			return false
		}
	}
	return len(a) == len(b)
}

// marked reports whether tuflog.security is true in a target's custom.
func marked(custom []byte) bool {
	if len(custom) == 0 {
		return false
	}
	var of map[string]json.RawMessage
	for _, name := range []string{"tuflog", "security"} {
		of = nil
		if json.Unmarshal(custom, &of) != nil {
			return false
		}
		custom = of[name]
	}
	return string(custom) == "true"
}
