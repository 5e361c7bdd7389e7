package audit

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Report is the result of an audit, for people and machines.
type Report struct {
	Auditor      build.Info         `json:"auditor"`    // the build that judged
	Checkpoint   *CheckpointReport  `json:"checkpoint"` // null: none was verified
	Empty        bool               `json:"empty"`      // the log says that it has not published a checkpoint yet
	Judged       int64              `json:"judged"`     // leaves
	Ended        bool               `json:"ended"`      // the log has ended: an entry says so, and none may follow
	Vouches      bool               `json:"vouches"`    // every leaf was judged and is right, every blob was there
	Repositories []RepositoryReport `json:"repositories"`
	Findings     []Finding          `json:"findings"`
	Suppressed   []Suppressed       `json:"suppressed,omitempty"` // findings beyond those kept
	Leaves       []LeafReport       `json:"leaves"`
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

	expires time.Time
}

// LeafReport is an entry of the log and the verdict on it.
type LeafReport struct {
	Index        int64   `json:"index"`
	*leaf.Fields         // nil where the entry is not a leaf of a known kind
	Verdict      Verdict `json:"verdict"`
}

// Report returns the present results. The error means that a file needed for the
// report could not be read; the rest of the report is valid.
func (a *Auditor) Report(ctx context.Context) (*Report, error) {
	r := &Report{
		Auditor:      build.Read(),
		Judged:       a.next,
		Empty:        a.empty,
		Ended:        a.ended > 0,
		Repositories: []RepositoryReport{},
		Findings:     append([]Finding{}, a.findings...),
	}
	if a.verified != nil {
		r.Checkpoint = a.checkpointReport()
	}
	var firstErr error
	for _, repo := range a.order {
		report, found, err := a.repositoryReport(ctx, repo)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		r.Repositories = append(r.Repositories, report)
		r.Findings = append(r.Findings, found...)
	}
	r.Findings = append(r.Findings, a.passing...)
	slices.SortStableFunc(r.Findings, func(x, y Finding) int { return cmp.Compare(x.Class.rank(), y.Class.rank()) })
	r.Suppressed = a.allSuppressed()
	r.Leaves = a.Leaves(0, a.next)
	r.Vouches = a.vouches()
	return r, firstErr
}

// allSuppressed lists what was not kept.
func (a *Auditor) allSuppressed() []Suppressed {
	_, list := a.unjudgedFindings()
	for at, n := range a.suppressed {
		list = append(list, Suppressed{at.kind, at.repository, n})
	}
	if n := len(a.lost) - a.maxPerKind; n > 0 {
		list = append(list, Suppressed{Kind: TileMissing, Count: int64(n)})
	}
	slices.SortFunc(list, func(x, y Suppressed) int {
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), bytes.Compare(x.Repository[:], y.Repository[:]))
	})
	return list
}

// vouches reports whether an auditor could put its name under the checkpoint:
// nothing was found that the log answers for, and nothing was left unchecked.
func (a *Auditor) vouches() bool {
	if a.verified == nil || a.next < a.tree.Size() || len(a.tiles)+len(a.lost)+len(a.blind) > 0 || len(a.passing) > 0 || a.rejudging != nil || a.due != nil {
		return false
	}
	for at, n := range a.count {
		if class := at.kind.Class(); n > 0 && class.AgainstLog() {
			return false
		}
	}
	return true
}

func (a *Auditor) checkpointReport() *CheckpointReport {
	c := &CheckpointReport{
		Origin:    a.verified.Origin,
		Size:      a.verified.Tree.N,
		Root:      a.verified.Tree.Hash.String(),
		Witnesses: []WitnessReport{},
		Note:      string(a.signed),
	}
	for _, cosig := range a.verified.Cosignatures {
		c.Witnesses = append(c.Witnesses, WitnessReport{cosig.Witness, cosig.Time})
	}
	return c
}

// asOf is the latest time that a witness of the checkpoint gave and that is not far
// ahead of the auditor's clock; zero if none.
func (a *Auditor) asOf() time.Time {
	var latest int64
	if a.verified != nil {
		for _, cosig := range a.verified.Cosignatures {
			if cosig.Time <= a.cfg.Now().Add(maxClock).Unix() {
				latest = max(latest, cosig.Time)
			}
		}
	}
	if latest == 0 {
		return time.Time{}
	}
	return time.Unix(latest, 0).UTC()
}

// repositoryReport describes a repository, and words the findings that are true
// of its present state rather than of one leaf.
func (a *Auditor) repositoryReport(ctx context.Context, repo *repository) (RepositoryReport, []Finding, error) {
	r := RepositoryReport{ID: repo.ID(), Index: repo.genesis, Encoding: repo.Encoding()}
	var found []Finding
	var firstErr error
	for role, state := range repo.roles {
		report, err := a.roleReport(ctx, repo, role, state)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		r.Releases += state.releases
		r.Evidence += state.evidence
		r.Roles = append(r.Roles, report)
	}
	slices.SortFunc(r.Roles, func(x, y RoleReport) int { return compareRoles(x.Role, y.Role) })
	asOf := a.asOf()
	var expired []string
	for _, role := range r.Roles {
		if missing := gaps(repo.roles[role.Role].versions, role.Highest); missing != "" {
			about := leaf.Leaf{Repository: repo.ID(), Role: role.Role}
			found = append(found, aboutLeaf(VersionGap, -1, about, "not logged of %s: %s", plain(role.Role), missing))
		}
		if role.Index >= 0 && !asOf.IsZero() && role.expires.Before(asOf) {
			expired = append(expired, fmt.Sprintf("%s %d (%s)", plain(role.Role), role.Current, role.expires.UTC().Format(time.DateOnly)))
		}
	}
	if len(expired) > 0 {
		list := strings.Join(expired[:min(len(expired), maxListed)], ", ")
		if more := len(expired) - maxListed; more > 0 {
			list += fmt.Sprintf(" and %d more", more)
		}
		found = append(found, aboutLeaf(Expired, -1, leaf.Leaf{Repository: repo.ID()}, "had expired when the checkpoint was cosigned on %s, and a newer release is not logged: %s", asOf.Format(time.DateOnly), list))
	}
	found = append(found, a.runningOut(repo, r.Roles, asOf)...)
	never, err := a.neverLogged(ctx, repo)
	found = append(found, never...)
	if err != nil && firstErr == nil {
		firstErr = err
	}
	return r, found, firstErr
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
	m, err := a.file(ctx, role, current.Leaf.Metadata, current.Leaf.Encoding)
	if err != nil {
		return r, err
	}
	r.Current, r.Index, r.expires = current.Leaf.Version, current.Index, m.Expires
	return r, nil
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

// leafAt returns the leaf at an index, if the entry there is one.
func (a *Auditor) leafAt(index int64) (leaf.Leaf, bool) {
	if index < 0 || index >= int64(len(a.entries)) {
		return leaf.Leaf{}, false
	}
	e := a.entries[index]
	switch {
	case e.repo != nil:
		return e.repo.Records()[e.position].Leaf, true
	case e.leaf != nil:
		return *e.leaf, true
	}
	return leaf.Leaf{}, false
}

func (a *Auditor) leafReport(index int64) LeafReport {
	r := LeafReport{Index: index, Verdict: a.entries[index].verdict}
	if logged, ok := a.leafAt(index); ok {
		fields := logged.Fields()
		r.Fields = &fields
	}
	return r
}

// Leaves returns the judged leaves from one index up to but not including
// another.
func (a *Auditor) Leaves(from, to int64) []LeafReport {
	leaves := []LeafReport{}
	for i := max(from, 0); i < min(to, a.next); i++ {
		leaves = append(leaves, a.leafReport(i))
	}
	return leaves
}
