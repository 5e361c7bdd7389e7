package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Class tells which party is to blame for a finding, if any.
type Class string

// The classes of findings.
const (
	Tampering    Class = "tampering"    // the log, or a server of its files, misbehaved
	Equivocation Class = "equivocation" // the vendor signed two things under one version
	Unexpected   Class = "unexpected"   // what nobody said would come: an entry that cannot be judged, or what a vendor's keys signed
	Hygiene      Class = "hygiene"      // allowed, but worth a look
	Outage       Class = "outage"       // a file could not be fetched or checked now
)

// Kind is the kind of a finding.
type Kind string

// The kinds of findings.
const (
	BadSignature   Kind = "bad-signature"   // a checkpoint carries a signature of a known key that fails
	Fork           Kind = "fork"            // two checkpoints signed by the log contradict each other
	ViewWithheld   Kind = "view-withheld"   // witnesses cosigned a larger tree long ago, and the log does not show it
	Rollback       Kind = "rollback"        // the log serves a smaller checkpoint than one that was verified
	RootMismatch   Kind = "root-mismatch"   // the entries served do not hash to the signed root
	TileMismatch   Kind = "tile-mismatch"   // a tile served holds other hashes than the entries give
	BadLeaf        Kind = "bad-leaf"        // an entry is not a leaf
	BlobMismatch   Kind = "blob-mismatch"   // a blob served is not the file that the leaf names
	FalseAdmission Kind = "false-admission" // the rules do not give this leaf
	Duplicate      Kind = "duplicate"       // the log has the same statement a second time
	BehindEnd      Kind = "behind-end"      // the log continues behind its end

	SecondPayload Kind = "second-payload" // evidence: two payloads signed under one version
	BothStand     Kind = "both-stand"     // two payloads of one version are releases, both bound, and both stand

	LiveEquivocation Kind = "live-equivocation" // a live repository serves a second payload of a version, with proof against the keys
	LiveOther        Kind = "live-other"        // it serves another payload of a version than is logged, signed by the keys in force
	LiveUnlogged     Kind = "live-unlogged"     // it serves what is signed by the keys in force and not logged
	FileWithheld     Kind = "file-withheld"     // a file that a leaf names is long not served, while the log answers

	UnexpectedRelease      Kind = "unexpected-release"       // a release that its vendor's expectations do not allow
	ReleaseWithheld        Kind = "release-withheld"         // a file of a release has long been missing, so that it is not known whether it was expected
	ExpectationsStale      Kind = "expectations-stale"       // a vendor's expectations have long ended, or cannot be read
	ExpectationsRolledBack Kind = "expectations-rolled-back" // older expectations are served than were seen, or others under one version

	OrphanAnchor Kind = "orphan-anchor" // a public ledger has under the log's key what the log does not show, or what somebody forged

	UnknownLeaf Kind = "unknown-leaf" // a kind of leaf that this auditor does not know

	VersionGap         Kind = "version-gap"         // versions between the lowest and the highest are not logged
	VersionLate        Kind = "version-late"        // logged after a higher one
	VersionReused      Kind = "version-reused"      // another payload released under a version after a rotation
	SharedPayload      Kind = "shared-payload"      // one payload that is not empty is released as two roles
	KeyID              Kind = "key-id"              // a key id is not the hash of its key
	ThresholdLowered   Kind = "threshold-lowered"   // fewer signatures suffice than before
	Expired            Kind = "expired"             // current releases had expired when the checkpoint was cosigned
	NeverExpires       Kind = "never-expires"       // the metadata of a repository never expires
	RunningOut         Kind = "running-out"         // a current release is about to expire
	Twin               Kind = "twin"                // a release is also another repository's
	TwoPayloads        Kind = "two-payloads"        // two payloads of one version stand, and not both are bound
	SharedKeys         Kind = "shared-keys"         // roles share keys that suffice for either
	NeverLogged        Kind = "never-logged"        // roles are delegated and listed, but never logged
	WitnessClock       Kind = "witness-clock"       // a cosignature is far from the auditor's clock
	SecondChain        Kind = "second-chain"        // a repository begins under root keys of another
	ForkedRoot         Kind = "forked-root"         // devices with a root take the next roots of two repositories
	SharedTopLevel     Kind = "shared-top-level"    // top-level roles share keys that suffice for either
	TwoIDs             Kind = "two-ids"             // one key is listed under several ids for a role
	KeyForm            Kind = "key-form"            // a key is in a form that some clients do not read
	RevokedKey         Kind = "revoked-key"         // a key that may no longer sign a role signs it
	DelegationWidened  Kind = "delegation-widened"  // a delegated role is trusted for more paths than before
	DelegationShadowed Kind = "delegation-shadowed" // a delegation is never reached
	DelegationOrder    Kind = "delegation-order"    // delegated roles are asked in another order
	TerminatingChanged Kind = "terminating-changed" // a delegation has become terminating, or no longer is
	Rebound            Kind = "target-rebound"      // a target has other content under the same version
	NoLength           Kind = "no-length"           // targets are listed without their length
	OddName            Kind = "odd-name"            // names of targets or roles lead out of a folder
	SingledOut         Kind = "singled-out"         // names or custom data say for whom a target is
	ListedBack         Kind = "listed-back"         // a snapshot or timestamp lists older versions than before, or fewer files
	PackMismatch       Kind = "pack-mismatch"       // a pack served is not that of its bundle; its files were read one by one
	LiveUnsigned       Kind = "live-unsigned"       // a live repository serves what no device accepts
	LiveStale          Kind = "live-stale"          // it serves what is older than what has long been logged
	OldNotes           Kind = "old-notes"           // notes that were kept are signed by keys that the policy does not name

	Unreachable Kind = "unreachable"  // the log does not answer, or not with the requested file
	UnknownLog  Kind = "unknown-log"  // the checkpoint is not signed by a log of the policy
	QuorumShort Kind = "quorum-short" // too few witnesses cosigned the checkpoint
	BlobMissing Kind = "blob-missing" // the log does not serve a blob
	TileMissing Kind = "tile-missing" // the log does not serve a tile
	WrongAnswer Kind = "wrong-answer" // what was served wrong once, before anybody is accused of it
	Unjudged    Kind = "unjudged"     // a leaf cannot be judged because a blob is missing
	CopyBehind  Kind = "copy-behind"  // a copy of the log ends before what was verified
	LiveMissing Kind = "live-missing" // a live repository does not serve its metadata, or not all of it

	ReleaseUnseen       Kind = "release-unseen"       // a release cannot be compared with expectations now
	ExpectationsMissing Kind = "expectations-missing" // a vendor's expectations have ended, or cannot be read
)

var classes = map[Kind]Class{
	BadSignature: Tampering, Fork: Tampering, Rollback: Tampering, RootMismatch: Tampering, TileMismatch: Tampering,
	ViewWithheld: Tampering, BadLeaf: Tampering, BlobMismatch: Tampering, FalseAdmission: Tampering, Duplicate: Tampering, BehindEnd: Tampering,
	SecondPayload: Equivocation, BothStand: Equivocation,
	LiveEquivocation: Equivocation,
	UnknownLeaf:      Unexpected, LiveOther: Unexpected, LiveUnlogged: Unexpected, FileWithheld: Unexpected,
	OrphanAnchor: Unexpected, UnexpectedRelease: Unexpected, ReleaseWithheld: Unexpected, ExpectationsStale: Unexpected, ExpectationsRolledBack: Unexpected,
	VersionGap: Hygiene, VersionLate: Hygiene, VersionReused: Hygiene, SharedPayload: Hygiene, KeyID: Hygiene,
	ThresholdLowered: Hygiene, Expired: Hygiene, NeverExpires: Hygiene, RunningOut: Hygiene, Twin: Hygiene, TwoPayloads: Hygiene, SharedKeys: Hygiene,
	NeverLogged: Hygiene, WitnessClock: Hygiene, PackMismatch: Hygiene, OldNotes: Hygiene,
	SecondChain: Hygiene, ForkedRoot: Hygiene, SharedTopLevel: Hygiene, TwoIDs: Hygiene, KeyForm: Hygiene, RevokedKey: Hygiene,
	DelegationWidened: Hygiene, DelegationShadowed: Hygiene, DelegationOrder: Hygiene, TerminatingChanged: Hygiene,
	Rebound: Hygiene, NoLength: Hygiene, OddName: Hygiene, SingledOut: Hygiene, ListedBack: Hygiene,
	LiveUnsigned: Hygiene, LiveStale: Hygiene,
	Unreachable: Outage, UnknownLog: Outage, QuorumShort: Outage, BlobMissing: Outage, TileMissing: Outage, WrongAnswer: Outage, Unjudged: Outage,
	CopyBehind: Outage, LiveMissing: Outage, ReleaseUnseen: Outage, ExpectationsMissing: Outage,
}

// Class returns the class of a kind.
func (k Kind) Class() Class { return classes[k] }

// Finding is one result of the audit, in one plain sentence.
type Finding struct {
	Kind       Kind       `json:"kind"`
	Class      Class      `json:"class"`
	Index      int64      `json:"index"`               // of the leaf it is about; -1: none
	Repository tuf.Digest `json:"repository,omitzero"` // zero: not about a repository
	Role       string     `json:"role,omitempty"`
	Version    int64      `json:"version,omitempty"`
	Sentence   string     `json:"sentence"`
	Evidence   []Evidence `json:"evidence,omitempty"`

	*Lived // nil: it is not in a state

	// about is what tells the finding apart where the sentence says what was served,
	// which whoever serves it can change each time; empty: the sentence.
	about string

	proved bool // by what was signed, where others of its kind are not
}

// Evidence is a file that proves a finding. If the auditor has a state
// directory, the file is in it; a short text is here too.
type Evidence struct {
	Name   string     `json:"name"`
	SHA256 tuf.Digest `json:"sha256"`
	Size   int64      `json:"size"`           // in bytes; -1: not known
	Text   string     `json:"text,omitempty"` // the file itself, if it is a short text

	content []byte // until it has been written
}

const maxEvidenceText = 16 << 10 // bytes

// metadataFile is metadata as evidence, with the end of its name that its encoding has.
func metadataFile(name string, m *tuf.Metadata) Evidence {
	if m.Encoding == tuf.Pigweed {
		return evidenceFile(name+".pb", m.File)
	}
	return evidenceFile(name+".json", m.File)
}

func evidenceFile(name string, content []byte) Evidence {
	e := Evidence{Name: name, SHA256: tuf.Sum(content), Size: int64(len(content)), content: content}
	if len(content) <= maxEvidenceText && utf8.Valid(content) {
		e.Text = string(content)
	}
	return e
}

// newFinding words a finding that is about no leaf.
func newFinding(kind Kind, format string, args ...any) Finding {
	return Finding{Kind: kind, Class: kind.Class(), Index: -1, Sentence: fmt.Sprintf(format, args...)}
}

// aboutLeaf words a finding about the leaf at index.
func aboutLeaf(kind Kind, index int64, leaf leaf.Leaf, format string, args ...any) Finding {
	f := newFinding(kind, format, args...)
	f.Index, f.Repository, f.Role, f.Version = index, leaf.Repository, leaf.Role, leaf.Version
	return f
}

// maxPerKind is how many findings of one kind are kept of one repository, or of none,
// with all that belongs to them. Nobody's repository takes the room of another's.
const maxPerKind = 1000

// Suppressed counts the findings that were not kept.
type Suppressed struct {
	Kind       Kind       `json:"kind"`
	Repository tuf.Digest `json:"repository,omitzero"` // zero: about none
	Count      int64      `json:"count"`
}

// digest tells a finding apart from others.
func (f *Finding) digest() tuf.Digest {
	return tuf.Sum(fmt.Appendf(nil, "%s %d %v %q %d %s", f.Kind, f.Index, f.Repository, f.Role, f.Version, cmp.Or(f.about, f.Sentence)))
}

// Digest returns what tells a finding apart from others, the same in every replay.
func (f *Finding) Digest() tuf.Digest {
	if f.Lived != nil {
		if sum, err := tuf.ParseDigest(f.ID); err == nil {
			return sum
		}
	}
	return f.digest()
}

// record notes a finding. It is kept when settle is called: after the leaf at hand.
func (a *Auditor) record(f Finding) { a.pending = append(a.pending, f) }

// settle keeps the findings that were recorded, each once, and writes their evidence. Of
// the kinds of which a repository has very many the rest is counted; those of
// classes that fail, other than unknown leaves, are never left out, but then without their
// evidence.
func (a *Auditor) settle(ctx context.Context) error {
	for len(a.pending) > 0 {
		if err := a.settleOne(ctx, a.pending[0], state.Lasting); err != nil {
			return err
		}
		a.pending = a.pending[1:]
	}
	a.pending = nil
	return nil
}

func (a *Auditor) settleOne(ctx context.Context, f Finding, scope state.Scope) error {
	sum := f.digest()
	known, found, err := a.db.Finding(ctx, sum)
	if err != nil || found && known.Gone == 0 {
		return err
	}
	if scope == state.Lasting && a.doubts(&f) {
		return nil
	}
	delete(a.right, f.Kind)
	kept, err := a.db.CountFindings(ctx, string(f.Kind), f.Repository)
	if err != nil {
		return err
	}
	if kept >= a.maxPerKind {
		if !f.Class.Fails() || f.Kind == UnknownLeaf { // one of these says as much as all
			return a.db.Suppress(ctx, string(f.Kind), f.Repository)
		}
		f.Evidence = nil
	}
	if known.Gone == state.InDoubt {
		return a.db.Back(ctx, sum)
	}
	if !a.told[sum] {
		a.fresh = append(a.fresh, f)
	}
	a.boundEvidence(f)
	if err := a.store.saveEvidence(f, sum); err != nil {
		a.keepUnsaved(f, sum, err)
	}
	for i := range f.Evidence {
		f.Evidence[i].content = nil
	}
	return a.putFinding(ctx, f, sum, scope)
}

// full reports whether so many findings of the kind are kept that another one is not, or
// without its evidence.
func (a *Auditor) full(ctx context.Context, f *Finding) bool {
	kept, err := a.db.CountFindings(ctx, string(f.Kind), f.Repository)
	return err != nil || kept >= a.maxPerKind
}

func (a *Auditor) putFinding(ctx context.Context, f Finding, sum tuf.Digest, scope state.Scope) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return a.db.PutFinding(ctx, state.Finding{
		Sum: sum, Kind: string(f.Kind), Class: string(f.Class), Repository: f.Repository, Leaf: f.Index, Scope: scope, Body: body,
	}, a.cfg.Now())
}

// inScope returns which findings of a scope were there when it was last looked at.
func (a *Auditor) inScope(ctx context.Context, scope state.Scope) (map[tuf.Digest]bool, error) {
	if a.there[scope] == nil {
		known := map[tuf.Digest]bool{}
		err := a.db.InScope(ctx, scope, func(f state.Finding) error {
			known[f.Sum] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
		a.there[scope] = known
	}
	return a.there[scope], nil
}

// reconcile notes which findings of a scope are there now, and which are gone.
func (a *Auditor) reconcile(ctx context.Context, scope state.Scope, now []Finding) error {
	before, err := a.inScope(ctx, scope)
	if err != nil {
		return err
	}
	is := map[tuf.Digest]bool{}
	for _, f := range now {
		sum := f.digest()
		is[sum] = true
		if before[sum] {
			continue
		}
		f.Evidence = slices.Clone(f.Evidence)
		for i := range f.Evidence {
			f.Evidence[i].content = nil
		}
		if err := a.putFinding(ctx, f, sum, scope); err != nil {
			return err
		}
	}
	for sum := range before {
		if !is[sum] {
			if err := a.db.FindingGone(ctx, sum, a.cfg.Now()); err != nil {
				return err
			}
		}
	}
	a.there[scope] = is
	return nil
}

// Lived is when a finding was seen, in POSIX seconds.
type Lived struct {
	ID        string `json:"id"`                   // Finding.Digest in hex, the same in every replay
	Time      int64  `json:"time"`                 // when it was seen first
	Last      int64  `json:"last"`                 // when it was there last
	Gone      int64  `json:"gone,omitempty"`       // when it was seen to be gone; 0: it is there
	New       bool   `json:"new"`                  // it came since the last replay that was finished
	Acked     int64  `json:"acked,omitempty"`      // when somebody acknowledged it on this machine; 0: nobody has
	AckReason string `json:"ack_reason,omitempty"` // for that; without Acked, for when it was there before

	Episode int64 `json:"-"` // how often it came: 1, and one more each time it came back
}

// ShortID is the beginning of the finding's id, for people: it tells nothing apart.
func (l *Lived) ShortID() string { return state.ShortID(l.ID) }

// FindingKeeper is what keeps findings: a *state.DB or a *state.Reader.
type FindingKeeper interface {
	Replay(ctx context.Context) (int64, error)
	Findings(ctx context.Context, all bool, fn func(state.Finding) error) error
}

// KeptFindings returns the findings that a state has: those that are there, or if all is
// true those that are gone, too; the worst first.
func KeptFindings(ctx context.Context, kept FindingKeeper, all bool) ([]Finding, error) {
	replay, err := kept.Replay(ctx)
	if err != nil {
		return nil, err
	}
	list := []Finding{}
	err = kept.Findings(ctx, all, func(f state.Finding) error {
		found, err := FindingOf(f, replay)
		list = append(list, found)
		return err
	})
	slices.SortStableFunc(list, func(x, y Finding) int { return cmp.Compare(x.Class.rank(), y.Class.rank()) })
	return list, err
}

// FindingOf reads a finding that a state has kept, in the replay with a number (state.Reader
// has it). The error wraps state.ErrDamaged if it is not one.
func FindingOf(kept state.Finding, replay int64) (Finding, error) {
	var f Finding
	if err := json.Unmarshal(kept.Body, &f); err != nil {
		return f, &state.Error{Err: fmt.Errorf("%w: finding %s: %w", state.ErrDamaged, kept.ID(), err)}
	}
	f.Lived = &Lived{
		ID: kept.ID(), Time: kept.First, Last: kept.Last, Gone: kept.Gone,
		New: kept.Replay >= replay, Acked: kept.Acked, AckReason: kept.Reason, Episode: kept.Episode,
	}
	return f, nil
}

// Of evidence, files of more than largeEvidence bytes are kept up to largeAllowed bytes in
// all: whoever is on the way to a log can serve something else each time, and must not
// fill the disk on which the notes of a fork have to find room.
const (
	largeEvidence = 64 << 10
	largeAllowed  = 1 << 30
)

// boundEvidence drops the files of a finding for which there is no room. What it says of
// them, their digests included, stays.
func (a *Auditor) boundEvidence(f Finding) {
	for i, e := range f.Evidence {
		size := int64(len(e.content))
		if size <= largeEvidence {
			continue
		}
		if a.largeKept+size > a.largeAllowed {
			f.Evidence[i].content = nil
			continue
		}
		a.largeKept += size
	}
}

// served notes that what was served wrong is served right: of a kind of findings about a
// repository, or none, those about leaves from an index to before another are gone.
func (a *Auditor) served(ctx context.Context, kind Kind, repository tuf.Digest, from, to int64) error {
	n, err := a.db.CountFindings(ctx, string(kind), repository)
	if err != nil || n == 0 {
		return err
	}
	return a.db.KindGone(ctx, string(kind), repository, from, to, a.cfg.Now())
}

// retract takes back what was found about repositories, because their leaves are judged
// again. What was served wrong stays found until it is served right. What is found again is not new.
func (a *Auditor) retract(ctx context.Context, repos map[tuf.Digest]bool) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	for id := range repos {
		if err := a.db.Retract(ctx, id, string(BlobMismatch)); err != nil {
			return err
		}
	}
	return nil
}

// maxUnsaved is how many bytes of evidence are held while they cannot be written.
const maxUnsaved = 64 << 20

// unsaved is a finding whose evidence could not be written.
type unsaved struct {
	finding Finding
	sum     tuf.Digest
}

// keepUnsaved notes that the auditor's own disk failed, and holds the evidence until
// the next step if there is room. The finding itself is not lost.
func (a *Auditor) keepUnsaved(f Finding, sum tuf.Digest, err error) {
	a.stateFailed(err)
	size := 0
	for _, e := range f.Evidence {
		size += len(e.content)
	}
	if a.unsavedSize += size; a.unsavedSize > maxUnsaved {
		a.unsavedSize -= size
		return
	}
	f.Evidence = append([]Evidence(nil), f.Evidence...)
	a.unsaved = append(a.unsaved, unsaved{f, sum})
}

// saveUnsaved writes what could not be written before.
func (a *Auditor) saveUnsaved() {
	waiting := a.unsaved
	a.unsaved, a.unsavedSize = nil, 0
	for _, u := range waiting {
		if err := a.store.saveEvidence(u.finding, u.sum); err != nil {
			a.keepUnsaved(u.finding, u.sum, err)
		}
	}
}

// rank puts the worst first.
func (c Class) rank() int {
	return map[Class]int{Tampering: 0, Equivocation: 1, Unexpected: 2, Outage: 3, Hygiene: 4}[c]
}

// Fails reports whether a finding of the class makes a replay end with exit code 1.
func (c Class) Fails() bool { return c == Tampering || c == Equivocation || c == Unexpected }

// AgainstLookup reports whether a finding of the class makes a look-up end with exit code
// 1: that some vendor contradicted himself elsewhere in the log does not.
func (c Class) AgainstLookup() bool { return c == Tampering || c == Unexpected }

// againstLog reports whether the log answers for a finding of the class, if it is about what
// the log serves: then nobody can vouch for the checkpoint.
func (c Class) againstLog() bool { return c == Tampering || c == Unexpected }
