package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Report is what an audit says, to people and machines: of all that was judged, or of a
// step.
type Report struct {
	Auditor      build.Info         `json:"auditor"`              // the build that judged
	Time         int64              `json:"time"`                 // when this was said, in POSIX seconds
	Checkpoint   *CheckpointReport  `json:"checkpoint"`           // null: none was verified
	Empty        bool               `json:"empty"`                // the log says that it has not published a checkpoint yet
	Judged       int64              `json:"judged"`               // leaves
	From         int64              `json:"from"`                 // of them, those from this index on were judged in this process, or in this step
	Waiting      int64              `json:"waiting,omitempty"`    // leaves that are not judged yet, because there are many or the log is slow
	Ended        bool               `json:"ended"`                // the log has ended: an entry says so, and none may follow
	Vouches      bool               `json:"vouches"`              // every leaf was judged and is right, every blob was there
	Verdicts     map[Verdict]int64  `json:"verdicts"`             // how many leaves of those judged have each
	Repositories []RepositoryReport `json:"repositories"`         // of a step: those with new leaves
	Findings     []Finding          `json:"findings"`             // that are there; of a step: new ones
	Over         []Finding          `json:"over"`                 // of a step: outages that were there before and are not any more
	Suppressed   []Suppressed       `json:"suppressed,omitempty"` // findings beyond those kept
	Leaves       []LeafReport       `json:"leaves"`               // see Auditor.Leaves; of a step: new ones
	Error        string             `json:"error,omitempty"`      // what could not be checked
}

// CheckpointReport is the last verified checkpoint.
type CheckpointReport struct {
	Origin    string          `json:"origin"`
	Size      int64           `json:"size"`
	Root      string          `json:"root"` // base64
	Witnesses []WitnessReport `json:"witnesses"`
	Note      string          `json:"note"` // as it was served, with the signatures of the policy's keys alone
}

// WitnessReport is a cosignature by a witness of the policy.
type WitnessReport struct {
	Witness string `json:"witness"`
	Time    int64  `json:"time"` // POSIX seconds; 0: not known
}

// RepositoryReport is a repository in the log.
type RepositoryReport struct {
	ID       tuf.Digest   `json:"id"`
	Index    int64        `json:"index"` // of its genesis
	Encoding tuf.Encoding `json:"encoding"`
	Releases int64        `json:"releases"`
	Evidence int64        `json:"evidence"`
	Roles    []RoleReport `json:"roles"` // root, targets, snapshot, timestamp, then by name
}

// RoleReport is a role of a repository.
type RoleReport struct {
	Role     string `json:"role"`
	Releases int64  `json:"releases"`
	Evidence int64  `json:"evidence"`
	Highest  int64  `json:"highest"` // highest version released
	Current  int64  `json:"current"` // version of the release in force; 0: none
	Index    int64  `json:"index"`   // of the current release; -1: none
	Expires  int64  `json:"expires"` // when the current release does, in POSIX seconds; 0: there is none, or it never does
}

// expired reports whether the current release had expired at a time.
func (r RoleReport) expired(at time.Time) bool { return r.Expires != 0 && r.expires().Before(at) }

func (r RoleReport) expires() time.Time { return time.Unix(r.Expires, 0).UTC() }

// LeafReport is an entry of the log and the verdict on it.
type LeafReport struct {
	Index        int64   `json:"index"`
	*leaf.Fields         // nil where the entry is not a leaf of a known kind
	Verdict      Verdict `json:"verdict"`
}

// Report returns the present results, without leaves. Findings that are true of the present
// state of repositories are found here. The error means that a file needed for the report
// could not be read, or that of the state something could not; the rest of the report is
// valid.
func (a *Auditor) Report(ctx context.Context) (*Report, error) {
	r := a.newReport()
	r.From = a.began
	err := a.report(ctx, r)
	r.Vouches = err == nil || !errors.As(err, new(*state.Error))
	if r.Vouches {
		var vouchErr error
		r.Vouches, vouchErr = a.vouches(ctx)
		err = firstError(vouchErr, err)
	}
	return r, err
}

func (a *Auditor) newReport() *Report {
	r := &Report{
		Auditor:      build.Read(),
		Time:         a.cfg.Now().Unix(),
		Judged:       a.next,
		Empty:        a.empty,
		Ended:        a.ended > 0,
		Verdicts:     map[Verdict]int64{},
		Repositories: []RepositoryReport{},
		Findings:     []Finding{},
		Over:         []Finding{},
		Leaves:       []LeafReport{},
	}
	if a.verified != nil {
		r.Checkpoint = ReportOf(a.verified, a.signed)
		r.Waiting = a.verified.Tree.N - a.next
	}
	return r
}

func (a *Auditor) report(ctx context.Context, r *Report) error {
	present, err := a.lookAtPresent(ctx, &r.Repositories)
	if errors.As(err, new(*state.Error)) {
		return err
	}
	firstErr := err
	if r.Verdicts, err = a.db.Verdicts(ctx); err != nil {
		return err
	}
	if r.Findings, err = a.kept(ctx, firstErr != nil, append(present, a.passing...)); err != nil {
		return err
	}
	if r.Suppressed, err = a.allSuppressed(ctx); err != nil {
		return err
	}
	return firstErr
}

// Finished notes that a replay has come to its end and that what it found has been told:
// what is found from now on is new.
func (a *Auditor) Finished(ctx context.Context) error {
	return a.db.FinishReplay(context.WithoutCancel(ctx), a.cfg.Now())
}

// StepReport reports a step, with its leaves.
func (a *Auditor) StepReport(ctx context.Context, step StepResult) (*Report, error) {
	r := a.newReport()
	r.Judged, r.From, r.Waiting = step.To, step.From, step.Waiting
	r.Findings = slices.Clone(step.Findings)
	var err error
	if r.Vouches, err = a.vouches(ctx); err != nil {
		return r, err
	}
	if r.Leaves, err = a.Leaves(ctx, step.From, step.To); err != nil {
		return r, err
	}
	touched := map[tuf.Digest]bool{}
	for _, l := range r.Leaves {
		r.Verdicts[l.Verdict]++
		if l.Fields == nil {
			continue
		}
		id, err := tuf.ParseDigest(l.Repository)
		if err != nil || touched[id] {
			continue
		}
		touched[id] = true
		report, _, err := a.repositoryReport(ctx, id, nil)
		if errors.As(err, new(*state.Error)) {
			return r, err
		}
		if report.Roles != nil {
			r.Repositories = append(r.Repositories, report)
		}
	}
	return r, a.db.Commit(ctx)
}

// Standing says whether an auditor can put its name under the newest checkpoint, and if not
// why.
type Standing struct {
	// Checkpoint is the newest verified one; nil: none was verified.
	Checkpoint *proofs.SignedCheckpoint
	// Note is that checkpoint as it was served, with the signatures of the policy's keys
	// alone.
	Note []byte
	// Unchecked says what was not checked, in one sentence that time may make untrue: an
	// outage, or leaves that wait. It is empty if every leaf was judged and every tile and
	// blob was there.
	Unchecked string
	// Against are the findings that are there and that the log answers for: tampering that it
	// signed, and entries that cannot be judged. They are in the state, and Lived. What is
	// only served wrong is Unchecked as long as it is, because others than the log can do that.
	Against []Finding
}

// Vouches reports whether nothing was found that the log answers for, and nothing was left
// unchecked.
func (s *Standing) Vouches() bool {
	return s.Checkpoint != nil && s.Unchecked == "" && len(s.Against) == 0
}

// Standing returns whether this auditor can put its name under the newest checkpoint. Of a
// log in good order it reads next to nothing.
func (a *Auditor) Standing(ctx context.Context) (*Standing, error) {
	s := &Standing{Checkpoint: a.verified, Note: a.signed, Unchecked: a.unchecked()}
	for _, f := range slices.Concat(a.pending, a.unkept) {
		if f.Class.againstLog() && s.Unchecked == "" {
			s.Unchecked = "a finding is not in the state yet: " + f.Sentence
		}
	}
	replay, err := a.db.Replay(ctx)
	if err != nil {
		return nil, err
	}
	for _, kind := range slices.Sorted(maps.Keys(classes)) {
		if !kind.Class().againstLog() {
			continue
		}
		err := a.db.OfKind(ctx, string(kind), func(f state.Finding) error {
			found, err := FindingOf(f, replay)
			switch {
			case err != nil:
			case !unproved(&found):
				s.Against = append(s.Against, found)
			case s.Unchecked == "":
				s.Unchecked = found.Sentence
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// unchecked says what was not checked, "" if all was.
func (a *Auditor) unchecked() string {
	switch {
	case a.verified == nil:
		return "no checkpoint of the log was verified"
	case len(a.passing) > 0:
		return a.passing[0].Sentence
	case a.next < a.verified.Tree.N:
		return fmt.Sprintf("%d leaves wait to be judged", a.verified.Tree.N-a.next)
	case a.rejudging != nil || a.due != nil || len(a.blind) > 0:
		return "leaves wait to be judged again"
	case len(a.tiles)+len(a.lost) > 0:
		return "tiles wait to be compared with the entries"
	}
	return ""
}

// vouches reports whether an auditor could put its name under the checkpoint.
func (a *Auditor) vouches(ctx context.Context) (bool, error) {
	s, err := a.Standing(ctx)
	return err == nil && s.Vouches(), err
}

// ReportOf returns what a report says of a checkpoint, with its note.
func ReportOf(checkpoint *proofs.SignedCheckpoint, note []byte) *CheckpointReport {
	c := &CheckpointReport{
		Origin:    checkpoint.Origin,
		Size:      checkpoint.Tree.N,
		Root:      checkpoint.Tree.Hash.String(),
		Witnesses: []WitnessReport{},
		Note:      string(note),
	}
	for _, cosig := range checkpoint.Cosignatures {
		c.Witnesses = append(c.Witnesses, WitnessReport{cosig.Witness, cosig.Time})
	}
	return c
}

// asOf is the latest time that a witness of the checkpoint gave and that is not far
// ahead of the auditor's clock; zero if none.
func (a *Auditor) asOf() time.Time {
	if a.verified == nil {
		return time.Time{}
	}
	return a.cosignedAt(a.verified)
}

// lastAsOf is asOf, and while no checkpoint is verified, as in an outage, that of the newest
// one that was verified before: what had expired by then has not stopped.
func (a *Auditor) lastAsOf() time.Time {
	if a.verified != nil || a.highest.note == nil {
		return a.asOf()
	}
	c, _ := a.cfg.Policy.OpenCheckpoint(a.highest.note)
	if c == nil {
		return time.Time{}
	}
	return a.cosignedAt(c)
}

func (a *Auditor) cosignedAt(c *proofs.SignedCheckpoint) time.Time {
	var latest int64
	for _, cosig := range c.Cosignatures {
		if cosig.Time <= a.cfg.Now().Add(maxClock).Unix() {
			latest = max(latest, cosig.Time)
		}
	}
	if latest == 0 {
		return time.Time{}
	}
	return time.Unix(latest, 0).UTC()
}

// present is what is said of a repository until it has another leaf, and what it takes to
// say the rest.
type present struct {
	Report RepositoryReport     `json:"report"`
	Lives  map[string]*lifetime `json:"lives"`
	Gaps   []Finding            `json:"gaps"`
	Never  []Finding            `json:"never"`
}

// repositoryReport describes a repository, and words the findings that are true
// of its present state rather than of one leaf. saved is what was said of it before, nil
// if it has had leaves since.
func (a *Auditor) repositoryReport(ctx context.Context, id tuf.Digest, saved []byte) (RepositoryReport, []Finding, error) {
	p, ok := readPresent(id, saved)
	var err error
	if !ok {
		if p, err = a.presentOf(ctx, id); errors.As(err, new(*state.Error)) {
			return RepositoryReport{}, nil, err
		}
	}
	return p.Report, a.presentFindings(id, p, a.lastAsOf()), err
}

// readPresent reads what was said of a repository. What cannot be read is made again: it is
// nothing but a copy.
func readPresent(id tuf.Digest, saved []byte) (p present, ok bool) {
	return p, saved != nil && json.Unmarshal(saved, &p) == nil && p.Report.ID == id
}

// presentFindings words what is true of a repository as of a time.
func (a *Auditor) presentFindings(id tuf.Digest, p present, asOf time.Time) []Finding {
	var expired, which []string
	for _, role := range p.Report.Roles {
		if role.Index >= 0 && !asOf.IsZero() && role.expired(asOf) {
			expired = append(expired, fmt.Sprintf("%s %d (%s)", tuf.Word(role.Role), role.Current, role.expires().Format(time.DateOnly)))
			which = append(which, fmt.Sprintf("%q %d", role.Role, role.Current))
		}
	}
	found := p.Gaps
	if len(expired) > 0 {
		list := strings.Join(expired[:min(len(expired), maxListed)], ", ")
		if more := len(expired) - maxListed; more > 0 {
			list += fmt.Sprintf(" and %d more", more)
		}
		f := aboutLeaf(Expired, -1, leaf.Leaf{Repository: id}, "had expired when the checkpoint was cosigned on %s, and a newer release is not logged: %s", asOf.Format(time.DateOnly), list)
		f.about = strings.Join(which, " ") // it is the same on another day
		found = append(found, f)
	}
	found = append(found, a.runningOut(id, p.Lives, p.Report.Roles, asOf)...)
	if p.Report.Encoding == tuf.Pigweed {
		found = append(found, aboutLeaf(NeverExpires, -1, leaf.Leaf{Repository: id}, "is in Pigweed's encoding, whose metadata never expires: a device from which updates are withheld cannot tell"))
	}
	return append(found, p.Never...)
}

// presentOf reads what is said of a repository from its leaves and files, and keeps it.
func (a *Auditor) presentOf(ctx context.Context, id tuf.Digest) (present, error) {
	repo, err := a.repository(ctx, id)
	if err == nil && repo != nil && repo.floors != nil && (repo.gaps() || !repo.settled(ctx)) {
		repo, err = a.whole(ctx, id)
	}
	if err != nil || repo == nil {
		return present{}, err
	}
	p := present{Report: RepositoryReport{ID: id, Index: repo.genesis, Encoding: repo.Encoding()}, Lives: repo.lives}
	var firstErr error
	for role, state := range repo.roles {
		report, err := a.roleReport(ctx, repo, role, state)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		p.Report.Releases += state.releases
		p.Report.Evidence += state.evidence
		p.Report.Roles = append(p.Report.Roles, report)
	}
	slices.SortFunc(p.Report.Roles, func(x, y RoleReport) int { return compareRoles(x.Role, y.Role) })
	for _, role := range p.Report.Roles {
		if repo.floors != nil {
			break // it has no gaps
		}
		if missing := gaps(repo.roles[role.Role].versions, role.Highest); missing != "" {
			about := leaf.Leaf{Repository: id, Role: role.Role}
			p.Gaps = append(p.Gaps, aboutLeaf(VersionGap, -1, about, "not logged of %s: %s", tuf.Word(role.Role), missing))
		}
	}
	if p.Never, err = a.neverLogged(ctx, repo); err != nil && firstErr == nil {
		firstErr = err
	}
	if firstErr != nil {
		return p, firstErr
	}
	b, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	if err := a.keep(ctx, repo); err != nil {
		return p, err
	}
	return p, a.db.SetReport(ctx, id, b)
}

// compareRoles is the order of roles: root, targets, snapshot, timestamp, then by name.
func compareRoles(x, y string) int {
	return cmp.Or(cmp.Compare(roleRank(x), roleRank(y)), cmp.Compare(x, y))
}

func roleRank(role string) int {
	i := slices.Index([]string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp}, role)
	if i < 0 {
		return 4
	}
	return i
}

func (a *Auditor) roleReport(ctx context.Context, repo *repository, role string, state *roleState) (RoleReport, error) {
	r := RoleReport{Role: role, Releases: state.releases, Evidence: state.evidence, Highest: state.highest, Index: -1}
	current, ok, err := repo.Current(ctx, role)
	if err != nil || !ok {
		return r, err
	}
	r.Current, r.Index = current.Leaf.Version, current.Index
	if life := repo.lives[role]; !repo.odd && life != nil && life.Version == r.Current {
		r.Expires = life.Expires // of a repository in good order each version has one release
		return r, nil
	}
	m, err := a.file(ctx, role, current.Leaf.Metadata, current.Leaf.Encoding)
	if err != nil {
		return RoleReport{Role: role, Releases: r.Releases, Evidence: r.Evidence, Highest: r.Highest, Index: -1}, err
	}
	r.Expires = m.Expiry()
	return r, nil
}

// gaps reports whether versions are missing, of a repository in good order.
func (r *repository) gaps() bool {
	for role, s := range r.roles {
		if life := r.lives[role]; s.highest-life.First+1 != s.releases {
			return true
		}
	}
	return false
}

// maxListed is how many roles, or runs of missing versions, a sentence lists.
const maxListed = 8

// gaps lists the versions between the lowest and the highest that are missing.
func gaps[V any](versions map[int64]V, highest int64) string {
	var runs []string
	missing := int64(0)
	last := int64(0)
	have := make([]int64, 0, len(versions))
	for v := range versions {
		have = append(have, v)
	}
	slices.Sort(have)
	for _, v := range have {
		if last > 0 && v > last+1 {
			missing += v - last - 1
			if v == last+2 {
				runs = append(runs, fmt.Sprintf("%d", last+1))
			} else {
				runs = append(runs, fmt.Sprintf("%d-%d", last+1, v-1))
			}
		}
		last = v
	}
	if len(runs) == 0 {
		return ""
	}
	what := "versions"
	if missing == 1 {
		what = "version"
	}
	list := strings.Join(runs[:min(len(runs), maxListed)], ", ")
	if len(runs) > maxListed {
		list += fmt.Sprintf(" and others, %d in all", missing)
	}
	return fmt.Sprintf("%s %s (the highest is %d)", what, list, highest)
}

// Leaves returns the judged leaves from one index up to but not including another.
func (a *Auditor) Leaves(ctx context.Context, from, to int64) ([]LeafReport, error) {
	leaves := []LeafReport{}
	err := a.EachLeaf(ctx, from, to, func(l LeafReport) error {
		leaves = append(leaves, l)
		return nil
	})
	return leaves, err
}

// EachLeaf calls fn for what Leaves returns. Its error ends that.
func (a *Auditor) EachLeaf(ctx context.Context, from, to int64, fn func(LeafReport) error) error {
	return a.db.Leaves(ctx, from, to, func(l state.Leaf) error {
		r := LeafReport{Index: l.Index, Verdict: l.Verdict}
		if l.IsLeaf() {
			fields := l.Fields()
			r.Fields = &fields
		}
		return fn(r)
	})
}
