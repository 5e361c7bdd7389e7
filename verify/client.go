package verify

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Transparency is what a device makes of proofs that are missing or wrong.
type Transparency int

// The modes of a client.
const (
	Enforce Transparency = iota // refuse what is not proved to be logged
	Warn                        // check, and only note what would have been refused
	Off                         // plain TUF: proofs are not looked at
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

// ClientConfig is what a Client goes by.
type ClientConfig struct {
	// Policy says which logs and witnesses to believe. It may be nil only where
	// Transparency is Off.
	Policy *proofs.Policy
	// Install says what needs a proof and how old it must be.
	Install InstallPolicy
	// Transparency is Enforce unless it is set.
	Transparency Transparency
	// Now is when the update started (TUF 5.1). Zero: the device has no clock, and
	// only the time floor tells it what has expired.
	Now time.Time
	// Limits are how long files may be.
	Limits Limits
	// MaxRoles is how many targets roles a search visits, the top-level role
	// included. Zero: DefaultMaxRoles.
	MaxRoles int
}

// DefaultMaxRoles is how many targets roles a search visits.
const DefaultMaxRoles = 32

// Sidecars are the proofs that lie beside a metadata file.
type Sidecars struct {
	Proof  []byte // NAME.tlog-proof; nil: there is none
	Latest []byte // NAME.latest.tlog-proof, with a newer checkpoint; nil: there is none
}

// LatestSuffix is appended to the name of a metadata file to name the proof with
// the newer checkpoint.
const LatestSuffix = ".latest" + SidecarSuffix

// Accepted is a file that a Client trusts.
type Accepted struct {
	Role     string
	Metadata *tuf.Metadata
	// Logged is what its sidecar proved; nil where none was needed, and in modes
	// other than Enforce where it did not.
	Logged *Logged
}

// Client is the TUF client workflow (specification 5.2 to 5.6) over bytes that
// the caller fetched or kept, with the transparency gate inside: a file is
// trusted only after its sidecar was checked. The caller gives it files in the
// order of the workflow:
//
//	NewClient(root that the device has)
//	UpdateRoot(N+1.root.json) until there is none
//	TrustRoot(sidecars of the last), RootsDone
//	UpdateTimestamp, UpdateSnapshot, UpdateTargets
//	Find(path); for each role that it needs, UpdateDelegated; and again
//
// Of the roots only the last comes to be trusted, so it alone needs a proof, be it
// fetched or the one that the device has. Nothing of a root on the way to it is in
// force: it may be logged as evidence, or not at all, and nothing is remembered of
// it.
//
// Files from a cache are given the same way, before fetched ones: one that is
// refused counts as not there. Whatever a method refuses leaves the client as it
// was. Errors about a file are a *Refusal; others mean that the calls came in the
// wrong order. A Client is not safe for concurrent use.
type Client struct {
	cfg          ClientConfig
	faulty       int // witnesses that may lie about the time
	repository   tuf.Digest
	state        State
	acceptedSize int // of state.Accepted, printed

	root        *tuf.Metadata // the one that is trusted, or that the device has
	next        *tuf.Metadata // the last of those that chain to it
	rootTrusted bool
	rootsDone   bool
	timestamp   *tuf.Metadata
	stale       *Refusal // of the timestamp that the device has seen: it has expired
	snapshot    *tuf.Metadata
	targets     map[string]*tuf.Metadata // by role

	accepted []Accepted
	warnings []*Refusal
}

// NewClient starts an update from the root that the device has: the one that its
// state pins, or the last that it trusted. It must be signed by its own keys. It is
// not trusted before TrustRoot.
func NewClient(cfg ClientConfig, root []byte, state State) (*Client, error) {
	if cfg.MaxRoles == 0 {
		cfg.MaxRoles = DefaultMaxRoles
	}
	faulty, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if state.TrustedRoot.IsZero() || state.Repository.IsZero() {
		return nil, errors.New("client: the state pins no root: begin with Pin")
	}
	c := &Client{cfg: cfg, faulty: faulty, repository: state.Repository, state: state.clone(), targets: map[string]*tuf.Metadata{}}
	if !cfg.Install.Repository.IsZero() {
		c.repository = cfg.Install.Repository
	}
	c.acceptedSize = acceptedSize(c.state.Accepted)
	m, err := readFile(tuf.RoleRoot, root)
	if err != nil {
		return nil, err
	}
	if _, err := checkSigned(tuf.RoleRoot, m, m.Root.KeySet(tuf.RoleRoot), "its own keys"); err != nil {
		return nil, err
	}
	c.root, c.next = m, m
	return c, nil
}

// check says what no update can begin with, and how many witnesses may lie about the
// time.
func (cfg ClientConfig) check() (faulty int, err error) {
	if cfg.Transparency < Enforce || cfg.Transparency > Off {
		return 0, fmt.Errorf("client: unknown %v", cfg.Transparency)
	}
	if cfg.Transparency == Off {
		return 0, nil
	}
	if cfg.Policy == nil {
		return 0, errors.New("client: a trust policy is needed to check proofs")
	}
	quorum := cfg.Policy.SmallestQuorum()
	faulty = cfg.Install.FaultyWitnesses
	switch {
	case faulty < 0:
		faulty = max(0, min(1, quorum-1))
	case faulty > 0 && faulty >= quorum:
		return 0, fmt.Errorf("client: faulty_witnesses is %d, but by the trust policy %d witnesses are a quorum: so many that lie could prove anything", faulty, quorum)
	}
	names := map[string]bool{}
	for _, w := range cfg.Policy.Witnesses {
		names[w.Key.Name()] = true
	}
	if cfg.Install.MinAge > 0 && len(names) <= faulty {
		return 0, fmt.Errorf("client: min_age can never be met: the trust policy has %d witnesses, and faulty_witnesses is %d", len(names), faulty)
	}
	return faulty, nil
}

func (c *Client) accept(role string, m *tuf.Metadata, logged *Logged) {
	if logged != nil {
		c.state.Log = logged.Checkpoint.Origin
	}
	c.accepted = append(c.accepted, Accepted{Role: role, Metadata: m, Logged: logged})
}

// UpdateRoot takes the next root: exactly one version up, signed by the keys of
// the root before it and by its own (TUF 5.3.4, 5.3.5). It comes to be trusted only
// if it is the last.
func (c *Client) UpdateRoot(file []byte) error {
	if c.rootTrusted {
		return errors.New("client: a root after TrustRoot")
	}
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
	c.next = root
	return nil
}

// NextRoot is the last root that was taken, which TrustRoot is about; the one that
// the device has if none was. Never nil.
func (c *Client) NextRoot() *tuf.Metadata { return c.next }

// TrustRoot says that no newer root is to be had. It trusts the last one, if its
// sidecars prove it or it is the one that the device was given, and if the device
// has trusted none that is newer or another of that version.
func (c *Client) TrustRoot(sidecars Sidecars) error {
	if c.rootTrusted {
		return errors.New("client: TrustRoot a second time")
	}
	root, before := c.next, c.state.Root
	if root.Version < before.Version {
		return refusal(CodeRollback, tuf.RoleRoot, nil, "the newest root to be had is version %d, but this device trusted version %d", root.Version, before.Version)
	}
	if root.Version == before.Version && root.PayloadDigest != before.Payload {
		return secondPayload(tuf.RoleRoot, root, before)
	}
	var logged *Logged
	if root.PayloadDigest != c.state.TrustedRoot {
		var err error
		if logged, err = c.gate(tuf.RoleRoot, root, sidecars); err != nil {
			return err
		}
	}
	c.root, c.rootTrusted = root, true
	c.state.Root = Seen{Version: root.Version, Payload: root.PayloadDigest}
	c.accept(tuf.RoleRoot, root, logged)
	return nil
}

// RootsDone ends the update of the root: it must not have expired (TUF 5.3.10), and
// what its keys do not vouch for is forgotten (5.3.11).
func (c *Client) RootsDone() error {
	if !c.rootTrusted {
		return errors.New("client: RootsDone before TrustRoot")
	}
	if c.rootsDone {
		return errors.New("client: RootsDone a second time")
	}
	if err := c.fresh(tuf.RoleRoot, c.root); err != nil {
		return err
	}
	if !c.state.Timestamp.stands(c.root.Root.KeySet(tuf.RoleTimestamp)) {
		c.state.Timestamp = Seen{}
	}
	if !c.state.Snapshot.stands(c.root.Root.KeySet(tuf.RoleSnapshot)) {
		c.state.Snapshot = Seen{}
	}
	c.rootsDone = true
	return nil
}

// Root is the root that is trusted; before TrustRoot the one that the device has.
// Never nil.
func (c *Client) Root() *tuf.Metadata { return c.root }

// Metadata returns what is trusted of a role, nil if nothing is yet.
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

// TrustedRoot is the payload of the root that the device was given.
func (c *Client) TrustedRoot() tuf.Digest { return c.state.TrustedRoot }

// Transparency is what the client makes of proofs that are missing or wrong.
func (c *Client) Transparency() Transparency { return c.cfg.Transparency }

// Repository is the repository that proofs must be about.
func (c *Client) Repository() tuf.Digest { return c.repository }

// Accepted returns the files that this client came to trust, in order.
func (c *Client) Accepted() []Accepted { return c.accepted }

// Warnings returns, in the mode Warn, what Enforce would have refused.
func (c *Client) Warnings() []*Refusal { return c.warnings }

// State returns what to remember. It is worth storing also after a refusal.
func (c *Client) State() State { return c.state.clone() }

// NeedsProof says whether the sidecars of a role's files are looked at.
func (c *Client) NeedsProof(role string) bool {
	return c.cfg.Transparency != Off && c.cfg.Install.requires(role)
}

// NeedsLatest says whether the sidecar with the newer checkpoint matters for a
// role.
func (c *Client) NeedsLatest(role string) bool {
	return c.NeedsProof(role) && role != tuf.RoleRoot && c.cfg.Install.MinAge > 0
}

// refusal returns a *Refusal as an error.
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
