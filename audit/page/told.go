package page

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

const (
	// maxTold is how many repositories' histories are kept, and maxMeant how many releases'.
	maxTold  = 64
	maxMeant = 64
	// maxRows is how many releases a repository's page tells of.
	maxRows = 10
	// maxChanges is how many changes of a release are told on its repository's page, and
	// maxChangesOne on its own.
	maxChanges    = 12
	maxChangesOne = 400
	// maxWhole is how many leaves are read of a repository; of a larger one it is the last
	// lastOfRole of each role. Each release that is compared has its signatures checked: on a
	// repository's page all are, if they are no more than wholeOfAll, and otherwise the last
	// lastOfAll; on its own page a release is compared with all of its role, if these are no
	// more than wholeOfRole, and otherwise with the last lastOfRole.
	maxWhole    = 2000
	wholeOfAll  = 200
	lastOfAll   = 64
	wholeOfRole = 64
	lastOfRole  = 24
	// maxWalked is how many leaves are read to say what was in force at a time.
	maxWalked = 2000
	// maxListed is how many files, keys and roles a page lists.
	maxListed = 200
)

// errLong means that a repository has too many leaves for a page.
var errLong = errors.New("this repository has more releases than one page may read; ask auditor show")

// window is the leaves of a repository that are read for a page.
type window struct {
	records []admit.Record // all right
	whole   bool           // no right leaf before the last one is missing
}

// sum is of which leaves they are.
func (w *window) sum() tuf.Digest {
	h := sha256.New()
	for _, r := range w.records {
		_ = binary.Write(h, binary.BigEndian, r.Index)
		h.Write(r.Leaf.Payload[:])
		h.Write(r.Leaf.Metadata[:])
	}
	return tuf.Digest(h.Sum(nil))
}

// add adds a leaf that is right.
func (w *window) add(most int) func(state.Leaf) error {
	return func(l state.Leaf) error {
		if l.Verdict == state.Right {
			w.records = append(w.records, admit.Record{Leaf: l.Leaf, Index: l.Index})
		}
		if len(w.records) > most {
			return errLong
		}
		return nil
	}
}

// trim leaves out leaves of a role, if there are more than most: all but the last ones. It
// reports whether it did. Roots stay: each follows from the one before.
func (w *window) trim(role string, most, last int) bool {
	n := 0
	for _, r := range w.records {
		if r.Leaf.Role == role {
			n++
		}
	}
	if n <= most || role == tuf.RoleRoot {
		return false
	}
	w.records = slices.DeleteFunc(slices.Clone(w.records), func(r admit.Record) bool {
		if r.Leaf.Role != role {
			return false
		}
		n--
		return n >= last
	})
	return true
}

// lately returns the leaves that are told, and whether these are all: roots, the last ones of
// all other roles but the minor ones, and before these the last one of each role, which may
// say who could sign them.
func (w *window) lately() (told []admit.Record, all bool) {
	told = slices.DeleteFunc(slices.Clone(w.records), func(r admit.Record) bool { return minor(r.Leaf.Role) })
	if len(told) <= wholeOfAll {
		return told, w.whole
	}
	cut := told[len(told)-lastOfAll].Index
	before := map[string]int64{}
	for _, r := range told {
		if r.Index < cut {
			before[r.Leaf.Role] = r.Index
		}
	}
	return slices.DeleteFunc(told, func(r admit.Record) bool {
		return r.Index < cut && r.Leaf.Role != tuf.RoleRoot && r.Index != before[r.Leaf.Role]
	}), false
}

// reportOf returns what is kept of a repository's report; false: it has become old, or there
// is none.
func reportOf(known state.Repository) (r audit.RepositoryReport, ok bool) {
	var kept struct {
		Report audit.RepositoryReport `json:"report"`
	}
	if known.Report == nil || json.Unmarshal(known.Report, &kept) != nil || kept.Report.ID != known.ID {
		return r, false
	}
	return kept.Report, true
}

// windowOf reads the last leaves of a repository, or all of them.
func windowOf(ctx context.Context, db *reader, known state.Repository) (*window, error) {
	report, ok := reportOf(known)
	if ok && report.Releases+report.Evidence <= maxWhole {
		return wholeOf(ctx, db, known.ID, maxWhole)
	}
	w := &window{whole: true}
	if err := db.NewestOf(ctx, known.ID, lastOfRole, w.add(maxWalked)); err != nil {
		return nil, err
	}
	of := map[string]int{}
	for _, r := range w.records {
		if of[r.Leaf.Role]++; of[r.Leaf.Role] >= lastOfRole && r.Leaf.Role != tuf.RoleRoot {
			w.whole = false
		}
	}
	return w.checked(known)
}

// wholeOf reads all leaves of a repository.
func wholeOf(ctx context.Context, db *reader, id tuf.Digest, most int) (*window, error) {
	w := &window{whole: true}
	if err := db.LeavesOf(ctx, id, w.add(most)); err != nil {
		return nil, err
	}
	return w.checked(state.Repository{ID: id})
}

func (w *window) checked(known state.Repository) (*window, error) {
	if len(w.records) == 0 {
		return nil, fmt.Errorf("repository %s has no leaf that is right", known.ID.Short())
	}
	return w, nil
}

// told is what a repository's page says that takes its files.
type told struct {
	Rows    []history.Row `json:"releases"`          // the newest first
	Whole   bool          `json:"whole"`             // they were compared with all before; otherwise with the last ones of each role
	Roles   []roleLine    `json:"roles"`             // that are in force
	More    int           `json:"more,omitempty"`    // roles beyond those
	Files   []fileLine    `json:"files"`             // that the releases in force list, the first ones
	Further int           `json:"further,omitempty"` // files beyond those
	Trouble string        `json:"trouble,omitempty"` // what could not be read
}

type toldKey struct {
	id tuf.Digest
	of tuf.Digest // the leaves that it is told of: they may be judged again
}

// roleLine is a role with the keys that may sign it.
type roleLine struct {
	Role      string    `json:"role"`
	By        string    `json:"by"` // whose metadata says so
	Keys      []keyLine `json:"keys"`
	Threshold int       `json:"threshold"`
	Version   int64     `json:"version,omitempty"` // in force; 0: none
	Index     int64     `json:"index"`             // of that; -1: none
	Expires   int64     `json:"expires,omitempty"`
}

type keyLine struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// fileLine is a target file that is in force.
type fileLine struct {
	Path    string            `json:"path"`
	Length  int64             `json:"length"` // bytes; -1: not listed
	Hashes  map[string]string `json:"hashes"`
	Role    string            `json:"role"`
	Version int64             `json:"version"`
	Index   int64             `json:"index"`
}

// tell says what a repository's releases mean. What cannot be read is said in Trouble: the
// rest of the page does without.
func (b *book) tell(ctx context.Context, w *window) (*told, error) {
	key := toldKey{w.records[0].Leaf.Repository, w.sum()}
	if t, ok := b.told.get(key); ok {
		return t, nil
	}
	leave, err := b.heavy.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if t, ok := b.told.get(key); ok {
		return t, nil
	}
	if b.source == nil {
		return &told{Rows: []history.Row{}, Roles: []roleLine{}, Files: []fileLine{}, Trouble: errNoSource.Error()}, nil
	}
	t := &told{Rows: []history.Row{}, Roles: []roleLine{}, Files: []fileLine{}}
	files := b.files.forPage()
	lately, whole := w.lately()
	t.Whole = whole
	err = fits(lately, "")
	if err == nil {
		err = t.tellRows(ctx, &history.History{Records: lately, Blobs: files})
	}
	if err != nil {
		// The walk is from the oldest on: those that it came to are not the last ones.
		t.Rows, t.Whole = []history.Row{}, false
	}
	if forceErr := t.tellForce(ctx, &history.History{Records: w.records, Blobs: files}); err == nil {
		err = forceErr
	}
	if err != nil && (passing(err) || errors.Is(ctx.Err(), context.Canceled)) {
		return nil, err
	}
	if err != nil {
		t.Trouble = b.trouble(err)
		b.told.putUntil(key, t, time.Now().Add(troubleFor(err)))
		return t, nil
	}
	b.told.put(key, t)
	return t, nil
}

// troubleFor is how long it is kept that files could not be read: to find it out again may
// cost as much as a page may.
func troubleFor(err error) time.Duration {
	switch {
	case errors.Is(err, errTooMuch), errors.Is(err, errLong), errors.Is(err, context.DeadlineExceeded):
		return 10 * time.Minute
	}
	return 10 * time.Second
}

// fits returns an error if the files of a role, or with an empty name of all roles, are more
// than may be read for a page, before any is read.
func fits(records []admit.Record, role string) error {
	left := int64(maxRead)
	for _, r := range records {
		if role == "" || r.Leaf.Role == role {
			left -= r.Leaf.Size
		}
	}
	if left < 0 {
		return errTooMuch
	}
	return nil
}

// trouble says why files could not be read, without what only the operator should know.
func (b *book) trouble(err error) string {
	switch {
	case errors.Is(err, errNoSource), errors.Is(err, errTooMuch), errors.Is(err, errLong):
		return err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "reading the files takes longer than one page may"
	case errors.Is(err, audit.ErrNotFound):
		return "a file that this takes is not served by the log now"
	}
	return "a file that this takes could not be read now"
}

// minor reports whether releases of a role come again and again and say little.
func minor(role string) bool { return role == tuf.RoleSnapshot || role == tuf.RoleTimestamp }

func (t *told) tellRows(ctx context.Context, h *history.History) error {
	err := h.Rows(ctx, "", func(row history.Row) error {
		cut := *row.Changes
		if more := len(cut.Changes) - maxChanges; more > 0 {
			cut.Changes = slices.Clone(cut.Changes[:maxChanges])
			cut.Omitted += more
		}
		row.Changes = &cut
		if t.Rows = append(t.Rows, row); len(t.Rows) > maxRows {
			t.Rows = t.Rows[1:]
		}
		return nil
	})
	t.Rows = slices.Clone(t.Rows)
	slices.Reverse(t.Rows)
	return err
}

// tellForce says which keys may sign what, and which files are listed.
func (t *told) tellForce(ctx context.Context, h *history.History) error {
	force, err := h.InForce(ctx, h.Records[len(h.Records)-1].Index+1)
	if err != nil {
		return err
	}
	t.Roles, t.More = rolesOf(force)
	t.Files, t.Further = filesOf(force)
	return nil
}

func byRank(a, b string) int {
	if n := tuf.Rank(a) - tuf.Rank(b); n != 0 {
		return n
	}
	if a < b {
		return -1
	}
	return 1
}

// delegating are the releases in force that may delegate, by role.
func delegating(force *history.Force) map[string]*tuf.Metadata {
	all := maps.Clone(force.Delegated)
	if force.Targets != nil {
		all[tuf.RoleTargets] = force.Targets
	}
	return all
}

func rolesOf(force *history.Force) (lines []roleLine, more int) {
	add := func(role, by string, keys map[string]*tuf.Key, ks tuf.KeySet) {
		if len(lines) >= maxListed {
			more++
			return
		}
		line := roleLine{Role: role, By: by, Keys: []keyLine{}, Threshold: ks.Threshold(), Index: -1}
		for _, identity := range ks.Identities() {
			id := ks.IDs(identity)[0]
			line.Keys = append(line.Keys, keyLine{id, keys[id].Type})
		}
		if r, ok := force.Releases[role]; ok {
			line.Version, line.Index = r.Leaf.Version, r.Index
			if m := fileOf(force.Repository, role); m != nil {
				line.Expires = m.Expiry()
			}
		}
		lines = append(lines, line)
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		add(role, tuf.RoleRoot, force.Root.Root.Keys, force.Root.Root.KeySet(role))
	}
	all := delegating(force)
	for _, name := range slices.SortedFunc(maps.Keys(all), byRank) {
		d := all[name].Targets.Delegations
		if d == nil {
			continue
		}
		for _, delegated := range d.Roles {
			add(delegated.Name, name, d.Keys, tuf.NewKeySet(d.Keys, delegated.Role))
		}
		if d.Succinct != nil {
			add(d.Succinct.NamePrefix+"-*", name, d.Keys, tuf.NewKeySet(d.Keys, d.Succinct.Role))
		}
	}
	return lines, more
}

// fileOf returns the metadata of a role; nil: there is none.
func fileOf(repo explain.Repository, role string) *tuf.Metadata {
	switch role {
	case tuf.RoleRoot:
		return repo.Root
	case tuf.RoleTargets:
		return repo.Targets
	case tuf.RoleSnapshot:
		return repo.Snapshot
	case tuf.RoleTimestamp:
		return repo.Timestamp
	}
	return repo.Delegated[role]
}

func filesOf(force *history.Force) (lines []fileLine, further int) {
	all := delegating(force)
	lines = []fileLine{}
	for _, name := range slices.SortedFunc(maps.Keys(all), byRank) {
		r := force.Releases[name]
		for path, file := range all[name].Targets.Files() {
			if len(lines) >= maxListed {
				further++
				continue
			}
			lines = append(lines, fileLine{path, file.Length, file.Hashes, name, r.Leaf.Version, r.Index})
		}
	}
	return lines, further
}

// meaning is what a release's page says that takes files.
type meaning struct {
	Row     *history.Row    `json:"row"` // who signed it, what it changed, what stood out
	Impact  *explain.Impact `json:"impact,omitempty"`
	Whole   bool            `json:"whole"`             // it was compared with all of its role before; otherwise with the last ones
	Lists   []fileLine      `json:"lists"`             // the target files that it lists, the first ones
	Further int             `json:"further,omitempty"` // files beyond those
	Trouble string          `json:"trouble,omitempty"`
}

type meantKey struct {
	index   int64
	verdict state.Verdict
	of      tuf.Digest // the leaves that it is told of: they may be judged again
}

// explainOne says what a release means.
func (b *book) explainOne(ctx context.Context, at state.Leaf) (*meaning, error) {
	m := &meaning{Lists: []fileLine{}, Whole: true}
	if b.source == nil {
		m.Trouble = errNoSource.Error()
		return m, nil
	}
	var w *window
	err := b.read(ctx, func(db *reader) (err error) {
		w, err = wholeOf(ctx, db, at.Repository, maxWalked)
		return err
	})
	if err != nil && !errors.Is(err, errLong) {
		return nil, err
	}
	if err != nil {
		m.Trouble = b.trouble(err)
		return m, nil
	}
	// Nothing that comes later counts.
	w.records = slices.DeleteFunc(w.records, func(r admit.Record) bool { return r.Index > at.Index })
	key := meantKey{at.Index, at.Verdict, w.sum()}
	if m, ok := b.meant.get(key); ok {
		return m, nil
	}
	leave, err := b.heavy.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if m, ok := b.meant.get(key); ok {
		return m, nil
	}
	err = m.explain(ctx, &history.History{Records: w.records, Blobs: b.files.forPage()}, at)
	if err != nil && (passing(err) || errors.Is(ctx.Err(), context.Canceled)) {
		return nil, err
	}
	if err != nil {
		m.Trouble = b.trouble(err)
		b.meant.putUntil(key, m, time.Now().Add(troubleFor(err)))
		return m, nil
	}
	b.meant.put(key, m)
	return m, nil
}

func (m *meaning) explain(ctx context.Context, h *history.History, at state.Leaf) error {
	file, err := h.File(ctx, at.Leaf)
	if err != nil {
		return err
	}
	if file.Targets != nil {
		for path, f := range file.Targets.Files() {
			if len(m.Lists) >= maxListed {
				m.Further++
				continue
			}
			m.Lists = append(m.Lists, fileLine{path, f.Length, f.Hashes, at.Role, at.Version, at.Index})
		}
	}
	if at.Verdict != state.Right {
		return nil
	}
	cut := &window{records: h.Records}
	m.Whole = !cut.trim(at.Role, wholeOfRole, lastOfRole)
	h.Records = cut.records
	if err := fits(cut.records, at.Role); err != nil {
		return err
	}
	err = h.Rows(ctx, at.Role, func(row history.Row) error {
		if row.Index == at.Index {
			if more := len(row.Changes.Changes) - maxChangesOne; more > 0 {
				row.Changes.Changes = row.Changes.Changes[:maxChangesOne]
				row.Changes.Omitted += more
			}
			m.Row = &row
		}
		return nil
	})
	if err != nil || at.Kind != leaf.Release || minor(at.Role) {
		return err
	}
	return m.weigh(ctx, h, at)
}

// weigh says who could replace what after a release, and what it changed about that.
func (m *meaning) weigh(ctx context.Context, h *history.History, at state.Leaf) error {
	before, after, err := h.Around(ctx, at.Index)
	if err != nil {
		return err
	}
	m.Impact, err = explain.ImpactOf(before, *after, "")
	return err
}
