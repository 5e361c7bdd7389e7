package compare

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Verdict is what is said of a served file.
type Verdict string

// The verdicts, from the best to the worst.
const (
	Logged       Verdict = "logged"        // released, and the newest of its role
	Behind       Verdict = "behind"        // released, and a newer one is logged, not known to be so for long
	Untracked    Verdict = "untracked"     // a snapshot or timestamp, of which the log has none
	Missing      Verdict = "missing"       // not served, or it cannot be read
	Stale        Verdict = "stale"         // released, and a newer one has been logged for longer than is allowed
	Older        Verdict = "older"         // signed by keys of the repository from before the log, and older than all that is logged
	Unsigned     Verdict = "unsigned"      // not signed by the keys that are in force: no device accepts it
	Unlogged     Verdict = "unlogged"      // signed, and not in the log
	OtherPayload Verdict = "other-payload" // signed, and another payload of its version is logged or served
	Evidence     Verdict = "evidence"      // the log has it as the second payload of its version
	Equivocation Verdict = "equivocation"  // as other-payload, with proof against the keys
)

// Fails reports whether the verdict is against what is served.
func (v Verdict) Fails() bool {
	switch v {
	case Logged, Behind, Untracked, Missing:
		return false
	}
	return true
}

// Config configures a Subject.
type Config struct {
	History *history.History // of the repository
	// Log makes evidence of what it holds; nil: none is made.
	Log *evidence.Log
	// Now is the time with which ages and expiry are compared.
	Now time.Time
	// Stale is how long a newer release may be logged before what is served is stale.
	Stale time.Duration
}

// Subject is a repository as a log has it.
type Subject struct {
	cfg      Config
	repo     *admit.Repository
	versions map[roleVersion][]admit.Record
	tracked  map[string]bool // roles that have leaves
}

type roleVersion struct {
	role    string
	version int64
}

// NewSubject reads what a log has of a repository.
func NewSubject(cfg Config) (*Subject, error) {
	s := &Subject{cfg: cfg, versions: map[roleVersion][]admit.Record{}, tracked: map[string]bool{}}
	for i, rec := range cfg.History.Records {
		var err error
		if i == 0 {
			s.repo, err = admit.NewRepository(rec.Leaf, rec.Index, cfg.History.Blobs)
		} else {
			err = s.repo.Apply(rec.Index, rec.Leaf)
		}
		if err != nil {
			return nil, err
		}
		at := roleVersion{rec.Leaf.Role, rec.Leaf.Version}
		s.versions[at] = append(s.versions[at], rec)
		s.tracked[rec.Leaf.Role] = true
	}
	if s.repo == nil {
		return nil, history.ErrNoLeaves
	}
	return s, nil
}

// Row is what is said of one served file.
type Row struct {
	Vantage  string          `json:"vantage"`
	Role     string          `json:"role"`
	Version  int64           `json:"version"`          // 0: the file is not there
	Payload  tuf.Digest      `json:"payload,omitzero"` // zero: the file is not there
	Verdict  Verdict         `json:"verdict"`
	Sentence string          `json:"sentence"`
	Index    int64           `json:"index"`              // of the leaf that has the payload, or that contradicts it; -1: none
	Newest   int64           `json:"newest"`             // version of the role that is in force in the log; 0: none
	Since    int64           `json:"since,omitempty"`    // POSIX seconds by which a newer release was logged; 0: there is none, or not known
	Expired  bool            `json:"expired,omitempty"`  // by Config.Now
	Differs  []string        `json:"differs,omitempty"`  // vantages that serve another version or payload
	Evidence []evidence.File `json:"evidence,omitempty"` // against the repository's keys

	// Proof is what is served as the proof beside a signed file that is not logged, nil if
	// nothing is. A log that shows somebody another history proves it with that.
	Proof []byte `json:"-"`

	file     *tuf.Metadata // if it is not logged
	snapshot *tuf.Metadata // that lists it; nil: none
	signed   bool
}

// File says of one file whether it is logged as a role's. snapshot lists it; nil if there is
// none. The error means that a file of the log could not be read.
func (s *Subject) File(ctx context.Context, role string, m, snapshot *tuf.Metadata) (Row, error) {
	return s.judge(ctx, role, m, snapshot, &served{})
}

// served are the files of a vantage that name keys.
type served struct {
	root    *tuf.Metadata   // the last
	targets []*tuf.Metadata // that are not logged, and may delegate
	before  before
}

func (s *Subject) judge(ctx context.Context, role string, m, snapshot *tuf.Metadata, by *served) (Row, error) {
	row := Row{Role: role, Version: m.Version, Payload: m.PayloadDigest, Index: -1, Expired: m.Expires.Before(s.cfg.Now)}
	current, ok, err := s.repo.Current(ctx, role)
	if err != nil {
		return row, err
	}
	if ok {
		row.Newest = current.Leaf.Version
	}
	records := s.versions[roleVersion{role, m.Version}]
	for _, rec := range records {
		if rec.Leaf.Payload != m.PayloadDigest {
			continue
		}
		if row.Index = rec.Index; rec.Leaf.Kind == leaf.Evidence {
			row.Verdict, row.Sentence = Evidence, fmt.Sprintf("the log has it at entry %d as evidence: it is not the release of its version, which is entry %d", rec.Index, rec.Leaf.Contradicts)
			continue
		}
		if s.age(&row, rec); row.Verdict != Logged {
			row.file, row.snapshot = m, snapshot
		}
		return row, nil
	}
	row.file, row.snapshot = m, snapshot
	if row.Verdict != "" {
		return row, nil
	}
	if row.signed, err = s.signed(ctx, role, m, by); err != nil {
		return row, err
	}
	if !row.signed {
		return row, s.unsigned(ctx, &row, m, by)
	}
	if (role == tuf.RoleSnapshot || role == tuf.RoleTimestamp) && !s.tracked[role] {
		row.Verdict, row.Sentence = Untracked, "the log has no "+role+"s of this repository"
		return row, nil
	}
	row.Verdict = Unlogged
	row.Sentence = fmt.Sprintf("it is signed by the keys in force, and not in the log, in which %s is the newest", newest(role, row.Newest))
	for _, rec := range records {
		if rec.Leaf.Kind == leaf.Release {
			row.Verdict, row.Index = OtherPayload, rec.Index
			row.Sentence = fmt.Sprintf("it is signed by the keys in force, and the log has another payload of this version at entry %d", rec.Index)
			s.accuse(ctx, &row, rec)
			break
		}
	}
	return row, nil
}

func newest(role string, version int64) string {
	if version == 0 {
		return "nothing of this role"
	}
	return fmt.Sprintf("%s %d", tuf.Word(role), version)
}

// age says how old a release is that is served.
func (s *Subject) age(row *Row, rec admit.Record) {
	row.Verdict, row.Sentence = Logged, fmt.Sprintf("entry %d", rec.Index)
	if row.Version >= row.Newest {
		return
	}
	row.Verdict = Behind
	next := int64(-1)
	for _, r := range s.cfg.History.Records {
		if r.Leaf.Role == row.Role && r.Leaf.Kind == leaf.Release && r.Leaf.Version > row.Version {
			next = r.Index
			break
		}
	}
	if s.cfg.History.Seen != nil && next >= 0 {
		row.Since, _ = s.cfg.History.Seen(next)
	}
	row.Sentence = fmt.Sprintf("entry %d, and version %d is logged", rec.Index, row.Newest)
	if row.Since == 0 {
		return
	}
	since := time.Unix(row.Since, 0)
	row.Sentence = fmt.Sprintf("entry %d, and newer versions up to %d have been logged since %s", rec.Index, row.Newest, since.UTC().Format(time.RFC3339))
	if s.cfg.Now.Sub(since) > s.cfg.Stale {
		row.Verdict = Stale
	}
}

// signed reports whether enough keys of the role signed a file: keys of the release that is
// in force in the log, or of what the vantage serves.
func (s *Subject) signed(ctx context.Context, role string, m *tuf.Metadata, by *served) (bool, error) {
	root, err := s.repo.Root(ctx)
	if err != nil {
		return false, err
	}
	if role == tuf.RoleRoot {
		return s.signedRoot(ctx, m, by)
	}
	if m.Type != tuf.TypeOf(role) {
		return false, nil
	}
	if tuf.IsTopLevel(role) {
		return m.Meets(root.Root.KeySet(role)) == nil || by.root != nil && m.Meets(by.root.Root.KeySet(role)) == nil, nil
	}
	_, met, err := s.repo.KeysFor(ctx, role, m)
	if err != nil || met {
		return met, err
	}
	for _, t := range by.targets {
		for name, keys := range t.Targets.Delegations.All() {
			if name == role && m.Meets(keys) == nil {
				return true, nil
			}
		}
	}
	return false, nil
}

// signedRoot reports whether a root follows one that the log or the vantage has.
func (s *Subject) signedRoot(ctx context.Context, m *tuf.Metadata, by *served) (bool, error) {
	if m.Root == nil || m.Meets(m.Root.KeySet(tuf.RoleRoot)) != nil {
		return false, nil
	}
	if by.root != nil && by.root.Version == m.Version-1 && m.Meets(by.root.Root.KeySet(tuf.RoleRoot)) == nil {
		return true, nil
	}
	for _, rec := range s.versions[roleVersion{tuf.RoleRoot, m.Version - 1}] {
		below, err := s.cfg.History.File(ctx, rec.Leaf)
		if err != nil {
			return false, err
		}
		if rec.Leaf.Kind == leaf.Release && m.Meets(below.Root.KeySet(tuf.RoleRoot)) == nil {
			return true, nil
		}
	}
	return false, nil
}

// accuse adds evidence against the keys that signed a file beside a release of the log, if
// both are bound to the role.
func (s *Subject) accuse(ctx context.Context, row *Row, rec admit.Record) {
	first := evidence.Rival{Index: rec.Index}
	var err error
	if first.File, err = s.cfg.History.Blobs.Blob(ctx, rec.Leaf.Metadata); err == nil && !rec.Leaf.Snapshot.IsZero() {
		first.Snapshot, err = s.cfg.History.Blobs.Blob(ctx, rec.Leaf.Snapshot)
	}
	if err == nil {
		s.equivocation(ctx, row, first, row.rival())
	}
}

// File is the served file of a row, if it is not the newest that is logged.
func (r *Row) File() *tuf.Metadata { return r.file }

// rival is a served file, for an accusation.
func (r *Row) rival() evidence.Rival {
	rival := evidence.Rival{Index: -1, File: r.file.File}
	if r.snapshot != nil {
		rival.Snapshot = r.snapshot.File
	}
	return rival
}

func (s *Subject) equivocation(ctx context.Context, row *Row, first, second evidence.Rival) {
	if s.cfg.Log == nil || tuf.TypeOf(row.Role) == tuf.RoleTargets && (first.Snapshot == nil || second.Snapshot == nil) {
		return
	}
	b, err := s.cfg.Log.Equivocation(ctx, s.repo, row.Role, [2]evidence.Rival{first, second})
	if err != nil {
		return // they are not bound by their hashes, or not signed by the same keys
	}
	statement, err := evidence.Check(ctx, b, s.cfg.Log.Keys...)
	if err != nil {
		return
	}
	row.Verdict = Equivocation
	role := strings.ToLower(tuf.EscapeRole(row.Role))
	row.Evidence = append(row.Evidence, evidence.File{
		Name:     fmt.Sprintf("equivocation-%.40s-%d-%x.accusation", role, row.Version, row.Payload[:4]),
		Sentence: statement.Sentence, Bytes: b,
	})
}
