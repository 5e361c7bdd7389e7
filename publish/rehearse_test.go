package publish

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// rehearse says what Submit would do, which must change nothing.
func rehearse(t testing.TB, cfg Config, l *fakeLog, paths ...string) *Report {
	t.Helper()
	set, err := ReadFiles(paths)
	if err != nil {
		t.Fatal(err)
	}
	var reader Reader
	var leaves int
	var sent map[string]int
	if l != nil {
		reader, leaves, sent = l, len(l.leaves), maps.Clone(l.sent)
	}
	var before []map[string][]byte
	for _, path := range paths {
		before = append(before, proofsIn(t, path))
	}
	r, err := Rehearse(t.Context(), cfg, reader, set)
	if err != nil {
		t.Fatal(err)
	}
	if l != nil && (len(l.leaves) != leaves || !maps.Equal(l.sent, sent)) {
		t.Errorf("a rehearsal sent something: %d new leaves, %v", len(l.leaves)-leaves, l.sent)
	}
	for i, path := range paths {
		if now := proofsIn(t, path); len(now) != len(before[i]) {
			t.Errorf("a rehearsal wrote %v", slices.Collect(maps.Keys(now)))
		}
	}
	return r
}

func TestRehearse(t *testing.T) {
	dir := release(t, rotated())
	r := rehearse(t, Config{}, nil, dir)
	if !r.Rehearsed || r.Total().Released != 12 || len(r.Refused()) != 0 {
		t.Fatalf("%+v\n%s", r.Total(), outcome(r))
	}
	for _, v := range r.Files {
		if v.Index != -1 || len(v.Sidecars) != 0 {
			t.Errorf("%+v", v)
		}
	}
	// What is logged is told from what is new, and what would be evidence from both.
	l := newFake(t, "snapshot", "timestamp")
	mustSubmit(t, l.config(), dir)
	four := delegating(4, "k1", delegate{"role1", "c"})
	write(t, filepath.Join(dir, "4.targets.json"), four)
	write(t, filepath.Join(dir, "5.snapshot.json"), snapshotFile(5, "k1", map[string][]byte{"targets": four, "role1": rotated()["3.role1.json"]}))
	r = rehearse(t, l.config(), l, dir)
	if total := r.Total(); total.Released != 1 || total.Logged != 12 || total.Refused != nil {
		t.Errorf("%+v\n%s", total, outcome(r))
	}
	mustSubmit(t, l.config(), dir)
	evil := delegating(4, "k1", delegate{"role1", "evil"})
	twin := release(t, map[string][]byte{"1.root.json": rotated()["1.root.json"], "3.root.json": rotated()["3.root.json"], "4.targets.json": evil,
		"6.snapshot.json": snapshotFile(6, "k1", map[string][]byte{"targets": evil})})
	r = rehearse(t, l.config(), l, twin)
	var b strings.Builder
	if err := r.WriteFiles(&b); err != nil {
		t.Fatal(err)
	}
	if len(r.Evidence()) != 1 || r.Evidence()[0].Evidence == nil || !strings.Contains(b.String(), "would be evidence") || !strings.Contains(b.String(), "nothing was sent") {
		t.Errorf("%s", b.String())
	}

	// Snapshots and timestamps are judged, although nothing is logged of them.
	root, targets := rootFile(1, "r1", "k1", "r1"), targetsFile(1, "a", "k1")
	bad := release(t, map[string][]byte{"1.root.json": root, "1.targets.json": targets, "1.snapshot.json": snapshotFile(1, "k1", map[string][]byte{"targets": targets}),
		"timestamp.json": timestampFile(1, "other")})
	expect(t, rehearse(t, Config{}, nil, bad), "root 1 released", "snapshot 1 refused not-logged-role", "targets 1 released", "timestamp 1 refused threshold")
}

// The worst day of a vendor is explained: which keys signed what, and what to do.
func TestEvidenceIsExplained(t *testing.T) {
	root := rootFile(1, "r1", "k1", "r1")
	one, two := targetsFile(7, "good", "k1"), targetsFile(7, "evil", "k1")
	folder := func(targets []byte, version int) string {
		return release(t, map[string][]byte{"1.root.json": root, "7.targets.json": targets, "snapshot.json": snapshotFile(version, "k1", map[string][]byte{"targets": targets})})
	}
	l := newFake(t, "snapshot")
	mustSubmit(t, l.config(), folder(one, 1))
	second := folder(two, 2)
	r := mustSubmit(t, l.config(), second)
	evidence := r.Evidence()
	if len(evidence) != 1 || evidence[0].Evidence == nil {
		t.Fatalf("%+v", r.Files)
	}
	e := evidence[0].Evidence
	payload := func(data []byte) string {
		m, err := tuf.ParseJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		return m.PayloadDigest.String()
	}
	if e.First.Payload != payload(one) || e.Second.Payload != payload(two) || e.First.Metadata != tuf.Sum(one).String() ||
		e.First.Index != 1 || e.Second.Index != 2 || !slices.Equal(e.First.Signers, []string{"k1"}) || !slices.Equal(e.Second.Signers, []string{"k1"}) {
		t.Errorf("%+v", e)
	}
	var b strings.Builder
	if err := r.WriteFiles(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"key k1 signed both", "entry 1, the release", "stay there", "publish version 8", "/blob/sha256/" + e.First.Metadata, "replace them"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	// A log that cannot show the release changes no verdict.
	cfg := l.config()
	cfg.Log = noBlobs{l}
	r = mustSubmit(t, cfg, second)
	if len(r.Evidence()) != 1 || r.Evidence()[0].Evidence != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "entry 1") {
		t.Errorf("%+v, notes %v", r.Evidence(), r.Notes)
	}
}

// noBlobs is a log that keeps its files to itself.
type noBlobs struct{ *fakeLog }

func (noBlobs) Blob(context.Context, string) ([]byte, error) { return nil, errors.New("withheld") }
