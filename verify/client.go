package verify

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Transparency is a device's response to missing or wrong proofs.
type Transparency int

// The modes of a client.
const (
	Enforce Transparency = iota // refuse files that are not proved to be logged
	Warn                        // check, and only report the refusals
	Off                         // plain TUF: proofs are not checked
)

// ParseTransparency parses "enforce", "warn" and "off".
func ParseTransparency(s string) (Transparency, error) {
	for t := Enforce; t <= Off; t++ {
		if s == t.String() {
			return t, nil
		}
	}
	return 0, fmt.Errorf("transparency %q: want enforce, warn or off", tuf.Clip(s))
}

func (t Transparency) String() string {
	switch t {
	case Enforce:
		return "enforce"
	case Warn:
		return "warn"
	case Off:
		return "off"
	}
	return "transparency " + strconv.Itoa(int(t))
}

// Config configures an update.
type Config struct {
	// Policy names the trusted logs and witnesses. It may be nil only if
	// Transparency is Off.
	Policy *proofs.Policy
	// Install has the requirements for proofs and ages.
	Install InstallPolicy
	// Transparency is the mode; the zero value is Enforce.
	Transparency Transparency
	// Now is when the update started (TUF 5.1). Zero: the device has no clock, and
	// expiry is judged by the time floor alone.
	Now time.Time
	// Limits are the largest sizes of files.
	Limits Limits
	// MaxRoles is how many targets roles a search visits, the top-level role
	// included. Zero: 32.
	MaxRoles int
	// MaxRoots is how many new roots one run follows (TUF 5.3.3: Y). Zero: 256.
	MaxRoots int
	// GateKeys are the keys of gates, for a gate itself: a program that signs the timestamps
	// of what it accepts. A timestamp then counts as signed if a key of its role that is not
	// among them has signed it, and such keys together with all of the role's gates are as
	// many as its threshold. Devices leave it empty: they want all signatures.
	GateKeys []tuf.KeyIdentity
}

// The defaults of a Config.
const (
	defaultMaxRoles = 32
	defaultMaxRoots = 256
)

// Sidecars are the proofs beside a metadata file.
type Sidecars struct {
	Proof  []byte // NAME.tlog-proof; nil: none
	Latest []byte // NAME.latest.tlog-proof, with a newer checkpoint; nil: none
}

// Accepted is a file that is trusted.
type Accepted struct {
	Role     string
	Metadata *tuf.Metadata
	Sidecars Sidecars // that came with it; used only if the role needs a proof
	// Logged is the statement proved by its sidecar; nil if a proof was not
	// needed, or in modes other than Enforce if it did not verify.
	Logged *Logged
}

// Client holds the trusted files of a device during one update. [Refresh] makes it. Its
// methods fetch, check and keep further files in the same way. Only [Client.Locate] and
// [Client.Delegated] use its source. A Client is not safe for concurrent use.
type Client struct {
	cfg          Config
	source       Source
	faulty       int // witnesses that may lie about the time
	repository   tuf.Digest
	configured   tuf.Digest // identifies the configured trust policy
	adopted      bool       // another one is in force after this update
	requirements Requirements
	state        State
	acceptedSize int // of state.Accepted, printed

	root      *tuf.Metadata // the one that is trusted, or that the device has
	next      *tuf.Metadata // the last of those that chain to it
	ahead     *tuf.Metadata // a kept root that is newer than any that the state knows
	again     bool          // the root is the one that was trusted before, and has its proof
	strayed   error         // the climb came by another root than the device has at that version
	timestamp *tuf.Metadata
	stale     *Refusal // of the timestamp that the device has seen: it has expired
	snapshot  *tuf.Metadata
	targets   map[string]*tuf.Metadata // by role

	accepted []Accepted
	warnings []*Refusal
	troubles []error
	held     *Refusal            // of a root that waits
	standing *Refusal            // of what waits while the targets are those accepted before
	stood    map[string]*Refusal // the same, of delegated roles
	offered  []*tuf.Metadata     // what waits
	answers  map[Request]answer  // of the source, for LookAhead; nil where no owner decides
}

// newClient starts an update from the root that the device has: the one that its state
// pins, or the last that it trusted. It must be signed by its own keys. It is not trusted
// before trustRoot.
func newClient(cfg Config, root []byte, state State, source Source) (*Client, error) {
	if cfg.MaxRoles == 0 {
		cfg.MaxRoles = defaultMaxRoles
	}
	if cfg.MaxRoots == 0 {
		cfg.MaxRoots = defaultMaxRoots
	}
	if state.TrustedRoot.IsZero() || state.Repository.IsZero() {
		return nil, errors.New("client: the state pins no root: begin with Pin")
	}
	c := &Client{cfg: cfg, source: source, state: state.clone(), targets: map[string]*tuf.Metadata{}}
	if cfg.Install.Approval != ApproveAuto {
		c.answers = map[Request]answer{}
	}
	if err := c.configure(); err != nil {
		return nil, err
	}
	c.acceptedSize = acceptedSize(c.state.Accepted)
	m, err := readFile(tuf.RoleRoot, root)
	if err != nil {
		return nil, err
	}
	if _, err := checkSigned(tuf.RoleRoot, m, m.Root.KeySet(tuf.RoleRoot), "its own keys"); err != nil {
		return nil, err
	}
	if m.Version == state.Root.Version && m.PayloadDigest != state.Root.Payload {
		return nil, refusal(CodeDevice, tuf.RoleRoot, nil, "version %d has payload %v, but the root that this device trusted has payload %v", m.Version, m.PayloadDigest, state.Root.Payload)
	}
	c.root, c.next = m, m
	if m.Version > state.Root.Version {
		c.ahead = m
	}
	return c, nil
}

// configure finds out what is in force, and required.
func (c *Client) configure() (err error) {
	if c.repository = c.state.Repository; !c.cfg.Install.Repository.IsZero() {
		c.repository = c.cfg.Install.Repository
	}
	if err := c.useAdopted(); err != nil {
		return err
	}
	if c.faulty, err = c.cfg.check(); err != nil {
		return &Refusal{Code: CodeSetting, Err: err}
	}
	c.requirements = requirementsOf(c.cfg, c.repository, c.faulty)
	return nil
}

// check says what no update can begin with, and how many witnesses may lie about the
// time.
func (cfg Config) check() (faulty int, err error) {
	if cfg.Transparency < Enforce || cfg.Transparency > Off {
		return 0, fmt.Errorf("unknown %v", cfg.Transparency)
	}
	if err := cfg.Install.consistent(); err != nil {
		return 0, fmt.Errorf("install policy: %w", err)
	}
	if cfg.Transparency == Off {
		return 0, nil
	}
	if cfg.Policy == nil {
		return 0, errors.New("a trust policy is needed to check proofs")
	}
	quorum := cfg.Policy.SmallestQuorum()
	faulty = cfg.Install.FaultyWitnesses
	switch {
	case faulty < 0:
		faulty = max(0, min(1, quorum-1))
	case faulty > 0 && faulty >= quorum:
		return 0, fmt.Errorf("faulty_witnesses is %d, but by the trust policy %d witnesses are a quorum: that many faulty witnesses could prove anything", faulty, quorum)
	}
	names := map[string]bool{}
	for _, w := range cfg.Policy.Witnesses {
		names[w.Key.Name()] = true
	}
	for _, wait := range []struct {
		field string
		value time.Duration
	}{{"min_age", cfg.Install.MinAge}, {"root_quarantine", cfg.Install.RootQuarantine}, {"postpone", cfg.Install.Postpone}} {
		if wait.value > 0 && len(names) <= faulty {
			return 0, fmt.Errorf("%s can never be met: the trust policy has %d witnesses, and faulty_witnesses is %d", wait.field, len(names), faulty)
		}
	}
	return faulty, nil
}

func (c *Client) accept(role string, m *tuf.Metadata, sidecars Sidecars, logged *Logged) {
	if logged == nil && c.needsProof(role) {
		c.breakGlass(role, m.PayloadDigest)
	}
	c.settled(role, m.Version)
	if logged != nil {
		c.state.Log = logged.Checkpoint.Origin
		// The device's own root is no release that was accepted under the present policies,
		// while the run may yet end with a refusal.
		c.again = role == tuf.RoleRoot && c.had(role, m.PayloadDigest)
		if c.cfg.Transparency == Enforce && !c.again {
			c.requires()
		}
	}
	c.accepted = append(c.accepted, Accepted{Role: role, Metadata: m, Sidecars: sidecars, Logged: logged})
}

// updateRoot takes the next root: exactly one version up, signed by the keys of
// the root before it and by its own (TUF 5.3.4, 5.3.5). It comes to be trusted only
// if it is the last.
func (c *Client) updateRoot(file []byte) error {
	root, err := readFile(tuf.RoleRoot, file)
	if err != nil {
		return err
	}
	if root.Version <= c.next.Version {
		return refusal(CodeRollback, tuf.RoleRoot, nil, "version %d where version %d should be", root.Version, c.next.Version+1)
	}
	if root.Version != c.next.Version+1 {
		return refusal(CodeBadMetadata, tuf.RoleRoot, nil, "version %d where version %d should be", root.Version, c.next.Version+1)
	}
	if _, err := checkSigned(tuf.RoleRoot, root, c.next.Root.KeySet(tuf.RoleRoot), fmt.Sprintf("the keys of root %d", c.next.Version)); err != nil {
		return err
	}
	if _, err := checkSigned(tuf.RoleRoot, root, root.Root.KeySet(tuf.RoleRoot), "its own keys"); err != nil {
		return err
	}
	switch before := c.state.Root; {
	case root.Version == before.Version && root.PayloadDigest != before.Payload:
		c.strayed = secondPayload(tuf.RoleRoot, root, before)
	case c.ahead != nil && root.Version == c.ahead.Version && root.PayloadDigest != c.ahead.PayloadDigest:
		c.strayed = c.notFollowing("the repository's root %d has payload %v", root.Version, root.PayloadDigest)
	}
	c.next = root
	return nil
}

// notFollowing refuses the kept root that is newer than any that the state knows.
func (c *Client) notFollowing(format string, args ...any) error {
	return refusal(CodeDevice, tuf.RoleRoot, nil, "the device keeps a root %d, payload %v, that does not follow from root %d, which it trusted: "+format,
		append([]any{c.ahead.Version, c.ahead.PayloadDigest, c.state.Root.Version}, args...)...)
}

// trustRoot is called when no newer root is to be had. It trusts the last one, if its
// sidecars prove it or it is the one that the device was given, and if the device has
// trusted none that is newer or another of that version. Of the roots on the way to it
// nothing is in force: each may be logged as evidence, or not at all, and nothing is
// remembered of it.
func (c *Client) trustRoot(sidecars Sidecars) error {
	root, before := c.next, c.state.Root
	if root.Version < before.Version {
		return refusal(CodeRollback, tuf.RoleRoot, nil, "the newest available root is version %d, but this device trusted version %d", root.Version, before.Version)
	}
	if root.Version == before.Version && root.PayloadDigest != before.Payload {
		return secondPayload(tuf.RoleRoot, root, before)
	}
	var logged *Logged
	if root.PayloadDigest != c.state.TrustedRoot {
		var latest *Logged
		var err error
		if logged, latest, err = c.gate(tuf.RoleRoot, root, sidecars); err != nil {
			return err
		}
		if logged == nil && c.strayed != nil {
			return c.strayed
		}
		o := offer{role: tuf.RoleRoot, m: root, proof: logged, latest: latest, keys: c.root.Root.KeySet(tuf.RoleRoot), power: givesPower(c.root.Root, root.Root)}
		if err := c.unlessLax(c.decide(o)); err != nil {
			return err
		}
	}
	c.root = root
	c.accept(tuf.RoleRoot, root, sidecars, logged)
	c.state.Root = Seen{Version: root.Version, Payload: root.PayloadDigest}
	return nil
}

// rootsDone ends the update of the root: it must not have expired (TUF 5.3.10), and
// what its keys do not vouch for is forgotten (5.3.11).
func (c *Client) rootsDone() error {
	if err := c.fresh(tuf.RoleRoot, c.root); err != nil {
		return err
	}
	if !c.timestampStands() {
		c.state.Timestamp = Seen{}
	}
	if !c.state.Snapshot.stands(c.root.Root.KeySet(tuf.RoleSnapshot)) {
		c.state.Snapshot = Seen{}
	}
	return nil
}

// Metadata returns the trusted file of a role, or nil. For the root it is never nil:
// until a newer one is trusted it is the device's own.
func (c *Client) Metadata(role string) *tuf.Metadata {
	switch role {
	case tuf.RoleRoot:
		return c.root
	case tuf.RoleTimestamp:
		return c.timestamp
	case tuf.RoleSnapshot:
		return c.snapshot
	}
	return c.targets[role]
}

// Repository is the repository that proofs must be about.
func (c *Client) Repository() tuf.Digest { return c.repository }

// Accepted returns the files that became trusted, in order: the device's own that are
// still valid, and the fetched ones.
func (c *Client) Accepted() []Accepted { return c.accepted }

// Warnings returns, in the mode Warn, the refusals that Enforce would have
// made.
func (c *Client) Warnings() []*Refusal { return c.warnings }

// Troubles returns the errors that did not end the update: kept files that cannot be
// read, and in the mode Warn proofs that could not be fetched.
func (c *Client) Troubles() []error { return c.troubles }

// Held returns the refusal of a root that waits, for its age or for the owner, while the
// device goes on with the root that it has; nil: none does.
func (c *Client) Held() *Refusal { return c.held }

// State returns the state to store. Store it also after a refusal, and always before a
// located target is used: a device that has forgotten a release would accept another one
// of its version.
func (c *Client) State() State { return c.state.clone() }

// needsProof reports whether the sidecars of a role's files are looked at.
func (c *Client) needsProof(role string) bool {
	return c.cfg.Transparency != Off && c.cfg.Install.requires(role)
}

// needsLatest reports whether the sidecar with the newer checkpoint matters for a
// role.
func (c *Client) needsLatest(role string) bool {
	p := c.cfg.Install
	wait := max(p.MinAge, p.Postpone)
	if p.NextPolicy != "" {
		wait = max(wait, p.RootQuarantine)
	}
	if role == tuf.RoleRoot {
		wait = p.RootQuarantine
	}
	return c.needsProof(role) && wait > 0
}

// readFile parses a file that is to be a role's.
func readFile(role string, file []byte) (*tuf.Metadata, error) {
	m, err := tuf.ParseJSON(file)
	if err != nil {
		return nil, refusal(CodeBadMetadata, role, err, "the file cannot be read")
	}
	if m.Type != tuf.TypeOf(role) {
		return nil, refusal(CodeBadMetadata, role, nil, "the file is %s metadata", m.Type)
	}
	if m.SpecVersion != "1" && (len(m.SpecVersion) < 2 || m.SpecVersion[:2] != "1.") {
		return nil, refusal(CodeBadMetadata, role, nil, "version %d follows specification %q, want 1", m.Version, tuf.Clip(m.SpecVersion))
	}
	return m, nil
}

// checkSigned refuses a file that too few keys signed; whose says which keys. It
// returns the identities of those that did.
func checkSigned(role string, m *tuf.Metadata, keys tuf.KeySet, whose string) ([]tuf.Digest, error) {
	var signers []tuf.Digest
	for _, id := range m.Signers(keys) {
		signers = append(signers, tuf.Digest(id))
	}
	if !keys.MetBy(len(signers)) {
		return nil, refusal(CodeBadMetadata, role, tuf.OnDevice(m.Short(keys, len(signers))), "version %d is not signed by enough of %s", m.Version, whose)
	}
	return signers, nil
}
