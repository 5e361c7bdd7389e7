package evidence

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// Source reads a log. Nothing that it returns is trusted. An audit.Source is one.
type Source interface {
	Tile(ctx context.Context, level int, index int64, width int) ([]byte, error)
	Entries(ctx context.Context, index int64, width int) ([]byte, error)
	Blob(ctx context.Context, sum tuf.Digest) ([]byte, error)
}

// History is what is known of a repository. An admit.Repository is one.
type History interface {
	// Records returns the leaves of the repository in log order.
	Records() []admit.Record
	// Current returns the release of a role that is in force.
	Current(ctx context.Context, role string) (admit.Record, bool, error)
}

// Log makes accusations from what a log serves. Each has been checked as others will check
// it.
type Log struct {
	Checkpoint []byte       // signed by the log
	Keys       []proofs.Key // of the log
	Source     Source
	// MaxEntries is how many entries an accusation may hold to show that none is left
	// out, up to fraud.MaxAccusedEntries; 0 means none of them.
	MaxEntries int

	// Spanned counts the spans of more than one entry that were read, which is what an
	// accusation costs.
	Spanned int
}

// ReadTile implements proofs.TileReader.
func (g *Log) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return g.Source.Tile(ctx, level, index, width)
}

// BadLeaf accuses a log of an entry that is not a leaf.
func (g *Log) BadLeaf(ctx context.Context, index int64) ([]byte, error) {
	return g.simple(ctx, BadLeaf, index, index)
}

// BehindEnd accuses a log of signing entries behind its end, the entry at index.
func (g *Log) BehindEnd(ctx context.Context, index int64) ([]byte, error) {
	return g.simple(ctx, BehindEnd, index, index)
}

// Duplicate accuses a log of an entry that repeats an earlier one. Its error is an
// ErrNoProof if it does so in a way that other entries could excuse.
func (g *Log) Duplicate(ctx context.Context, earlier, index int64) ([]byte, error) {
	return g.simple(ctx, Duplicate, index, earlier, index)
}

// simple makes an accusation that needs entries and nothing else.
func (g *Log) simple(ctx context.Context, kind Kind, index int64, entries ...int64) ([]byte, error) {
	var places []place
	for _, i := range entries {
		places = append(places, place{i, i + 1})
	}
	a, err := g.with(ctx, kind, index, places)
	if err != nil {
		return nil, err
	}
	return g.checked(ctx, a)
}

// checked prints an accusation after checking it.
func (g *Log) checked(ctx context.Context, a fraud.Accusation) ([]byte, error) {
	b := a.Marshal()
	_, err := Check(ctx, b, g.Keys...)
	return b, err
}

// place is consecutive entries: from begin up to but not including end.
type place struct{ begin, end int64 }

// with begins an accusation that holds the entries at places.
func (g *Log) with(ctx context.Context, kind Kind, index int64, places []place) (fraud.Accusation, error) {
	a := fraud.Accusation{Kind: string(kind), Subject: strconv.FormatInt(index, 10), Notes: [][]byte{g.Checkpoint}}
	c, _, err := proofs.OpenCheckpoint(g.Checkpoint, g.Keys...)
	if err != nil {
		return a, err
	}
	a.Spans, err = g.spans(ctx, c.Tree, places)
	return a, err
}

// spans reads entries, and shows that they are in the tree.
func (g *Log) spans(ctx context.Context, tree proofs.Tree, places []place) ([]fraud.Span, error) {
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.begin, b.begin) })
	var merged []place
	for _, p := range places {
		if last := len(merged) - 1; last >= 0 && p.begin <= merged[last].end {
			merged[last].end = max(merged[last].end, p.end)
			continue
		}
		merged = append(merged, p)
	}
	var spans []fraud.Span
	for _, p := range merged {
		entries, err := g.entries(ctx, tree, p)
		if err != nil {
			return nil, err
		}
		s, err := fraud.NewSpan(ctx, tree, p.begin, entries, g)
		if err != nil {
			return nil, err
		}
		if err := s.Verify(tree); err != nil {
			return nil, err
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// maxSpanBytes bounds the entries of an accusation, which take more in base64.
const maxSpanBytes = fraud.MaxAccusationSize / 2

func (g *Log) entries(ctx context.Context, tree proofs.Tree, p place) ([][]byte, error) {
	if p.begin < 0 || p.end > tree.N || p.end-p.begin > fraud.MaxAccusedEntries {
		return nil, fmt.Errorf("entries %d to %d of a tree of size %d are not to be had, or too many", p.begin, p.end-1, tree.N)
	}
	var entries [][]byte
	size := 0
	for index := p.begin / proofs.FullWidth; index*proofs.FullWidth < p.end; index++ {
		first := index * proofs.FullWidth
		data, err := g.Source.Entries(ctx, index, proofs.TileWidth(tree.N, proofs.EntriesLevel, index))
		if err != nil {
			return nil, err
		}
		bundle, err := proofs.ParseEntries(data)
		if err != nil {
			return nil, err
		}
		from, to := max(p.begin-first, 0), min(p.end-first, proofs.FullWidth)
		if to > int64(len(bundle)) {
			return nil, fmt.Errorf("%s holds %d entries", proofs.EntriesPath(index, proofs.FullWidth), len(bundle))
		}
		entries = append(entries, bundle[from:to]...)
		for _, e := range bundle[from:to] {
			if size += len(e); size > maxSpanBytes {
				return nil, fmt.Errorf("entries %d to %d have more than %d bytes", p.begin, p.end-1, maxSpanBytes)
			}
		}
	}
	return entries, nil
}

// FalseAdmission accuses a log of an entry that the rules do not give, with the least that
// proves it: the entry and its files, single other entries of its repository, the span from
// the root in force, or that from the first entry of the repository. h is the repository as
// far as it is known, nil if it is not. Where none of these proves it, the error is an
// *Unproved, and the accusation holds the entry and its files.
func (g *Log) FalseAdmission(ctx context.Context, index int64, h History) ([]byte, error) {
	own := place{index, index + 1}
	a, err := g.with(ctx, FalseAdmission, index, []place{own})
	if err != nil {
		return nil, err
	}
	l, err := leaf.Parse(a.Spans[0].Entries[0])
	if err != nil {
		return nil, err
	}
	tries := [][]place{{own}}
	if h == nil {
		tries = append(tries, g.related(l, own, nil)...)
	} else {
		tries = append(tries, g.related(l, own, h.Records())...)
	}
	for _, places := range tries {
		// What cannot be read, or is too large, leaves the others.
		if b, err := g.try(ctx, index, places); err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for _, sum := range []tuf.Digest{l.Metadata, l.Snapshot} {
		if b, err := g.Source.Blob(ctx, sum); !sum.IsZero() && err == nil && tuf.Sum(b) == sum {
			a.Files = append(a.Files, b)
		}
	}
	return g.checked(ctx, a)
}

// related are the entries that may show that a leaf is wrong, the fewest first.
func (g *Log) related(l leaf.Leaf, own place, records []admit.Record) (tries [][]place) {
	single := []place{own}
	if l.Kind == leaf.Evidence && l.Contradicts < own.begin {
		single = append(single, place{l.Contradicts, l.Contradicts + 1})
	}
	root, genesis := int64(-1), int64(-1)
	for _, rec := range records {
		if rec.Index >= own.begin || rec.Leaf.Role != tuf.RoleRoot || rec.Leaf.Kind != leaf.Release {
			continue
		}
		if genesis < 0 {
			genesis = rec.Index
		}
		root = rec.Index // versions only rise
		if l.Role == tuf.RoleRoot && (rec.Leaf.Version == l.Version || rec.Leaf.Version == l.Version-1) {
			single = append(single, place{rec.Index, rec.Index + 1})
		}
	}
	if len(single) > 1 {
		tries = append(tries, single)
	}
	limit := int64(min(g.MaxEntries, fraud.MaxAccusedEntries))
	if l.Encoding == tuf.Pigweed {
		root = genesis // a later one may have a lower version
	}
	if genesis < 0 {
		root, genesis = 0, 0 // no entry may be left out
	}
	for _, from := range slices.Compact([]int64{root, genesis}) {
		if own.end-from <= limit {
			tries = append(tries, []place{{from, own.end}})
		}
	}
	return tries
}

// try makes an accusation of a false admission from entries, and takes the files that it
// needs.
func (g *Log) try(ctx context.Context, index int64, places []place) ([]byte, error) {
	for _, p := range places {
		if p.end-p.begin > 1 {
			g.Spanned++
		}
	}
	a, err := g.with(ctx, FalseAdmission, index, places)
	if err != nil {
		return nil, err
	}
	r, err := open(a, g.Keys)
	if err != nil {
		return nil, err
	}
	r.fetch = g.Source.Blob
	if _, err := r.check(ctx); err != nil {
		return nil, err
	}
	for _, sum := range r.used {
		a.Files = append(a.Files, r.files[sum])
	}
	if len(a.Files) <= maxTriedWithout {
		// Some were read and proved nothing.
		for i := len(a.Files) - 1; i >= 0; i-- {
			without := a
			without.Files = slices.Delete(slices.Clone(a.Files), i, i+1)
			if _, err := g.checked(ctx, without); err == nil {
				a = without
			}
		}
	}
	return g.checked(ctx, a)
}

// maxTriedWithout bounds the number of files that are left out, one after the other, to see
// if the rest proves as much.
const maxTriedWithout = 8

// Rival is one of two files that contradict each other.
type Rival struct {
	Index    int64  // of its entry; -1: it is not logged
	File     []byte // as it was signed
	Snapshot []byte // that lists it by its hash; nil for roots, snapshots, timestamps and Pigweed's files
}

// maxDelegators bounds the search for the metadata that leads to a delegated role.
const maxDelegators = 256

// maxReplaced is how many of the last roots are tried, whose keys may have signed both.
const maxReplaced = 3

// Equivocation accuses the keys of a repository of signing two files of one version. The
// roots are those of the chain that h has, up to the last whose keys signed both.
func (g *Log) Equivocation(ctx context.Context, h History, role string, rivals [2]Rival) ([]byte, error) {
	a := fraud.Accusation{Kind: string(Equivocation), Subject: tuf.EscapeRole(role)}
	var places []place
	for _, r := range rivals {
		if r.Index >= 0 {
			places = append(places, place{r.Index, r.Index + 1})
		}
	}
	if len(places) > 0 {
		var err error
		if a, err = g.with(ctx, Equivocation, 0, places); err != nil {
			return nil, err
		}
		a.Subject = tuf.EscapeRole(role)
	}
	below := int64(tuf.MaxVersion + 1)
	if role == tuf.RoleRoot {
		m, err := codec.ParseAny(rivals[0].File)
		if err != nil {
			return nil, err
		}
		below = m.Version
	}
	roots, err := g.roots(ctx, h, below)
	if err != nil {
		return nil, err
	}
	rest := [][]byte{rivals[0].File, rivals[1].File}
	if tuf.TypeOf(role) == tuf.RoleTargets && rivals[0].Snapshot != nil {
		rest = append(rest, rivals[0].Snapshot, rivals[1].Snapshot)
	}
	delegators := [][][]byte{nil}
	if !tuf.IsTopLevel(role) {
		if delegators, err = g.delegators(ctx, h, role); err != nil {
			return nil, err
		}
	}
	err = fmt.Errorf("nothing delegates to %s: %w", tuf.Word(role), ErrNoProof)
	// The keys that signed both may have been replaced since.
	for n := len(roots); n > max(0, len(roots)-maxReplaced); n-- {
		for _, way := range delegators {
			a.Files = slices.Concat(roots[:n], way, rest)
			var b []byte
			if b, err = g.checked(ctx, a); err == nil {
				return b, nil
			}
		}
	}
	return nil, err
}

// roots reads the chain of roots, those below a version.
func (g *Log) roots(ctx context.Context, h History, below int64) (files [][]byte, err error) {
	var chain []leaf.Leaf
	for _, rec := range h.Records() {
		if rec.Leaf.Role == tuf.RoleRoot && rec.Leaf.Kind == leaf.Release && rec.Leaf.Version < below {
			chain = append(chain, rec.Leaf)
		}
	}
	for _, l := range climbed(chain) {
		b, err := g.Source.Blob(ctx, l.Metadata)
		if err != nil {
			return nil, err
		}
		files = append(files, b)
	}
	return files, nil
}

// climbed returns those of released roots, in log order, that lead to the highest of them,
// each signed by the keys of the one before it: in JSON all. Of Pigweed a root follows the
// highest below it that was logged before, and one that came later is passed over.
func climbed(roots []leaf.Leaf) []leaf.Leaf {
	if len(roots) == 0 || roots[0].Encoding != tuf.Pigweed {
		return roots
	}
	var way []leaf.Leaf
	for end, below := len(roots), int64(tuf.MaxVersion+1); ; {
		at := -1
		for i, l := range roots[:end] {
			if l.Version < below && (at < 0 || l.Version > roots[at].Version) {
				at = i
			}
		}
		if at < 0 {
			slices.Reverse(way)
			return way
		}
		way = append(way, roots[at])
		end, below = at, roots[at].Version
	}
}

// delegators finds the ways to a role by the releases that are in force, each name once.
func (g *Log) delegators(ctx context.Context, h History, role string) (ways [][][]byte, err error) {
	type step struct {
		role string
		way  [][]byte
	}
	seen := map[string]bool{tuf.RoleTargets: true}
	for queue := []step{{tuf.RoleTargets, nil}}; len(queue) > 0; queue = queue[1:] {
		rec, ok, err := h.Current(ctx, queue[0].role)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		b, err := g.Source.Blob(ctx, rec.Leaf.Metadata)
		if err != nil {
			return nil, err
		}
		m, err := tuf.ParseJSON(b)
		if err != nil || m.Targets == nil {
			continue
		}
		way := append(slices.Clone(queue[0].way), b)
		for _, name := range m.Targets.Delegations.Names() {
			if name == role {
				ways = append(ways, way)
			}
			if !seen[name] && len(seen) < maxDelegators {
				seen[name] = true
				queue = append(queue, step{name, way})
			}
		}
	}
	return ways, nil
}

// RolledBack accuses those who signed a smaller tree after a larger one.
func RolledBack(ctx context.Context, larger, smaller []byte, keys ...proofs.Key) ([]byte, error) {
	b := fraud.Accusation{Kind: string(Rollback), Notes: [][]byte{larger, smaller}}.Marshal()
	_, err := Check(ctx, b, keys...)
	return b, err
}
