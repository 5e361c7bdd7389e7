package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// force logs a leaf for a file, changed from what the rules give.
func (h *history) force(role string, change func(*leaf.Leaf)) int64 {
	h.T.Helper()
	leaf := h.Judge(h.repo, role, h.file(role), h.file(tuf.RoleSnapshot)).Leaf
	change(&leaf)
	return h.Append(leaf.Marshal(), h.file(role), h.file(tuf.RoleSnapshot))
}

// raw logs a leaf for a file as if the rules gave it.
func (h *history) raw(role string, version int64, file []byte, snapshot []byte) int64 {
	h.T.Helper()
	m := audittest.Parse(h.T, file)
	entry := leaf.Leaf{
		Kind: leaf.Release, Repository: h.repo, Role: role, Version: version, Payload: m.PayloadDigest,
		Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
	}
	if snapshot != nil {
		entry.Snapshot, entry.Listed = tuf.Sum(snapshot), leaf.ByHash
	}
	return h.Append(entry.Marshal(), file, snapshot)
}

// nextLeaf is the index of the first leaf that a case adds.
const nextLeaf = int64(historySize)

func TestTampering(t *testing.T) {
	tell(t, slices.Concat(tamperedEntries, tamperedBlobs, tamperedLeaves, falseAdmissions, tamperedCheckpoints))
}

// tamperedEntries: bundles and tiles that are not those whose hashes were signed.
var tamperedEntries = []lie{
	{"a bit of an entry", func(h *history) {
		h.Spoil("tile/entries/000.p/9", audittest.Flip(1, 2))
	}, "root-mismatch@4", audit.Tampering, "entry 4 is not the one whose hash the log signed", nil},
	{"a bit of an entry, and no tile to tell which", func(h *history) {
		h.Spoil("tile/entries/000.p/9", audittest.Flip(1, 2))
		h.Spoil("tile/0/000.p/9", audittest.Missing)
	}, "root-mismatch@-1", audit.Tampering, "the 9 entries served hash to root", nil},
	{"a bundle cut short", func(h *history) {
		h.Spoil("tile/entries/000.p/9", func(b []byte) ([]byte, error) { return b[:len(b)-1], nil })
	}, "root-mismatch@0", audit.Tampering, "does not hold 9 entries", nil},
	{"an entry left out", func(h *history) {
		h.Spoil("tile/entries/000.p/9", func(b []byte) ([]byte, error) { return b[:len(b)-2-len(h.evidence().Marshal())], nil })
	}, "root-mismatch@0", audit.Tampering, "does not hold 9 entries", nil},
	{"no bundle", func(h *history) {
		h.Spoil("tile/entries/000.p/9", audittest.Missing)
	}, "unreachable@-1", audit.Outage, "tile/entries/000.p/9", nil},
	{"a bit of a tile", func(h *history) {
		h.Spoil("tile/0/000.p/9", audittest.Flip(1, 2))
	}, "tile-mismatch@0", audit.Tampering, "tile/0/000.p/9", nil},
	{"a tile with more than it should hold", func(h *history) {
		h.Spoil("tile/0/000.p/9", func(b []byte) ([]byte, error) { return append(b, 0), nil })
	}, "tile-mismatch@0", audit.Tampering, "tile/0/000.p/9", nil},
	{"no tile", func(h *history) {
		h.Spoil("tile/0/000.p/9", audittest.Missing)
	}, "tile-missing@0", audit.Outage, "tile/0/000.p/9", nil},
}

// tamperedBlobs: files that are not those that the leaves name.
var tamperedBlobs = []lie{
	{"a bit of a blob", func(h *history) {
		h.Spoil(audittest.BlobPath(h.file("plugin")), audittest.Flip(1, 2))
	}, "blob-mismatch@4", audit.Tampering, "is served as", nil},
	{"a blob without its end", func(h *history) {
		h.Spoil(audittest.BlobPath(h.file("plugin")), func(b []byte) ([]byte, error) { return b[:len(b)-1], nil })
	}, "blob-mismatch@4", audit.Tampering, "is served as", nil},
	{"no blob", func(h *history) {
		h.Spoil(audittest.BlobPath(h.file("plugin")), audittest.Missing)
	}, "blob-missing@4", audit.Outage, "does not serve", nil},
	{"no blob of the genesis", func(h *history) {
		for name, b := range h.vendor.Files() {
			if name == "1.root.json" {
				h.Spoil(audittest.BlobPath(b), audittest.Missing)
			}
		}
	}, "blob-missing@0 unjudged@1 unjudged@2 unjudged@3 unjudged@4 unjudged@5 unjudged@6 unjudged@7 unjudged@8", audit.Outage, "does not serve", nil},
	{"no snapshot", func(h *history) {
		for name, b := range h.vendor.Files() {
			if name == "1.snapshot.json" {
				h.Spoil(audittest.BlobPath(b), audittest.Missing)
			}
		}
	}, "blob-missing@1", audit.Outage, "does not serve", nil},
}

// tamperedLeaves: entries that are not leaves of a known kind, or follow the end.
var tamperedLeaves = []lie{
	{"an entry that is no leaf", func(h *history) {
		h.Append([]byte("hello"))
		h.Publish(2)
	}, fmt.Sprintf("bad-leaf@%d", nextLeaf), audit.Tampering, "is not a leaf", nil},
	{"a leaf with another spelling", func(h *history) {
		h.release(tuf.RoleTargets, "app.bin", "5")
		h.Append(append(h.evidence().Marshal(), '\n'))
		h.Publish(2)
	}, fmt.Sprintf("bad-leaf@%d", nextLeaf+1), audit.Tampering, "is not a leaf", nil},
	{"an unknown kind of leaf", func(h *history) {
		h.Append([]byte("tuflog revocation v2\nwhatever\n"))
		h.release(tuf.RoleTargets, "app.bin", "5")
		h.Publish(2)
	}, fmt.Sprintf("unknown-leaf@%d", nextLeaf), audit.Unexpected, `"tuflog revocation v2"`, nil},
	{"a leaf behind the end", func(h *history) {
		h.Append([]byte(leaf.End))
		h.release(tuf.RoleTargets, "app.bin", "5")
		h.Publish(2)
	}, fmt.Sprintf("behind-end@%d", nextLeaf+1), audit.Tampering, fmt.Sprintf("behind the end of the log, which is entry %d", nextLeaf), nil},
	{"a second end", func(h *history) {
		h.Append([]byte(leaf.End))
		h.Append([]byte(leaf.End))
		h.Publish(2)
	}, fmt.Sprintf("behind-end@%d", nextLeaf+1), audit.Tampering, "behind the end", nil},
	{"an end with more to say", func(h *history) {
		h.Append([]byte(leaf.End + "\n"))
		h.Publish(2)
	}, fmt.Sprintf("bad-leaf@%d", nextLeaf), audit.Tampering, "is not a leaf", nil},
	{"an end of another kind", func(h *history) {
		h.Append([]byte("tuflog end v2\n"))
		h.Publish(2)
	}, fmt.Sprintf("unknown-leaf@%d", nextLeaf), audit.Unexpected, `"tuflog end v2"`, nil},
	{"a leaf of the other encoding", func(h *history) {
		leaf := h.evidence()
		leaf.Encoding = tuf.Pigweed
		h.Append(leaf.Marshal())
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "its metadata does not parse", nil},
}

// falseAdmissions: leaves that the rules of admission do not give.
var falseAdmissions = []lie{
	{"a leaf twice", func(h *history) {
		h.Append(h.evidence().Marshal())
		h.Publish(2)
	}, fmt.Sprintf("duplicate@%d", nextLeaf), audit.Tampering, "it is already logged at index 8", nil},
	{"a file nobody signed", func(h *history) {
		must(h.T, h.vendor.Put(tuf.RoleTargets, "app.bin", []byte("evil")))
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		file := bytes.ReplaceAll(h.file(tuf.RoleTargets), []byte(`"sig":"`), []byte(`"sig":"00`))
		h.raw(tuf.RoleTargets, 5, file, h.file(tuf.RoleSnapshot))
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "the rules refuse it: threshold", nil},
	{"targets without a snapshot", func(h *history) {
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Snapshot, l.Listed = tuf.Digest{}, "" })
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "snapshot-needed", nil},
	{"another version than the file's", func(h *history) {
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Version = 50 })
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "its version is 50, the rules give 5", nil},
	{"another size than the file's", func(h *history) {
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Size++ })
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "its size is", nil},
	{"another payload than the file's", func(h *history) {
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Payload[0] ^= 1 })
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "its payload is", nil},
	{"one role's file as another's", func(h *history) {
		must(h.T, h.vendor.DelegateShared(tuf.RoleTargets, "doi", "plugin", "doi/*"))
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		h.submit(tuf.RoleTargets)
		h.vendor.PlainSnapshots = true
		must(h.T, h.vendor.PassOff("plugin", "doi"))
		h.raw("doi", 1, h.file("plugin"), h.file(tuf.RoleSnapshot))
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf+1), audit.Tampering, "not-covered", nil},
	{"evidence as a release", func(h *history) {
		evil, err := h.vendor.Clone()
		must(h.T, err)
		h.release(tuf.RoleTargets, "app.bin", "five")
		must(h.T, evil.Put(tuf.RoleTargets, "app.bin", []byte("another five")))
		must(h.T, evil.Release(tuf.RoleTargets))
		h.vendor = evil
		h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Release, 0 })
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf+1), audit.Tampering, "its kind is release, the rules give evidence", nil},
	{"a release as evidence", func(h *history) {
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Evidence, leafTargets4 })
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "its kind is evidence, the rules give release", nil},
	{"a root that skips one", func(h *history) {
		must(h.T, h.vendor.Rotate(tuf.RoleTimestamp))
		must(h.T, h.vendor.Rotate(tuf.RoleTimestamp))
		h.raw(tuf.RoleRoot, 4, h.file(tuf.RoleRoot), nil)
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "no-parent", nil},
	{"a root not signed by the one before, and what builds on it", func(h *history) {
		thief := newVendor(h.T)
		must(h.T, thief.Rotate(tuf.RoleTargets))
		must(h.T, thief.Rotate(tuf.RoleTargets))
		_, root := thief.File(tuf.RoleRoot)
		h.raw(tuf.RoleRoot, 3, root, nil)
		must(h.T, thief.Release(tuf.RoleTargets))
		_, file := thief.File(tuf.RoleTargets)
		_, snap := thief.File(tuf.RoleSnapshot)
		h.raw(tuf.RoleTargets, 2, file, snap)
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d false-admission@%d", nextLeaf, nextLeaf+1), audit.Tampering, "does not meet the threshold of root 2", nil},
	{"a repository without a genesis", func(h *history) {
		must(h.T, h.vendor.Release(tuf.RoleTargets))
		h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Repository[0] ^= 1 })
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "unknown-repository", nil},
	{"a later root of a chain as another repository", func(h *history) {
		file := h.file(tuf.RoleRoot)
		m := audittest.Parse(h.T, file)
		h.Append(leaf.Leaf{
			Kind: leaf.Release, Repository: m.PayloadDigest, Role: tuf.RoleRoot, Version: 2, Payload: m.PayloadDigest,
			Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
		}.Marshal())
		h.Publish(2)
	}, fmt.Sprintf("duplicate@%d", nextLeaf), audit.Tampering, "already logged at index 5", nil},
	{"a file that does not parse", func(h *history) {
		file := bytes.Replace(h.file("plugin"), []byte(`"signed":{`), []byte(`"signed":{"_type":"targets",`), 1)
		leaf := h.Judge(h.repo, "plugin", h.file("plugin")).Leaf
		leaf.Version, leaf.Metadata, leaf.Size = 2, tuf.Sum(file), int64(len(file))
		h.Append(leaf.Marshal(), file)
		h.Publish(2)
	}, fmt.Sprintf("false-admission@%d", nextLeaf), audit.Tampering, "does not parse", nil},
}

// tamperedCheckpoints: checkpoints that the policy does not accept.
var tamperedCheckpoints = []lie{
	{"too few cosignatures", func(h *history) {
		h.Publish(1)
	}, "quorum-short@-1", audit.Outage, `missing w2`, nil},
	{"another log's checkpoint", func(h *history) {
		other := audittest.New(h.T)
		h.Serve(other.Checkpoint(0, 2))
	}, "unknown-log@-1", audit.Outage, "not a checkpoint of a log in the policy", nil},
	{"a signature that fails", func(h *history) {
		note, err := proofs.ParseNote(h.Checkpoint(h.Size(), 2))
		must(h.T, err)
		note.Signatures[1].Sig[20] ^= 1
		h.Serve(note.Marshal())
	}, "bad-signature@-1", audit.Tampering, "witness", nil},
	{"an error page", func(h *history) {
		h.Serve([]byte("<html>please log in</html>"))
	}, "unreachable@-1", audit.Outage, "the checkpoint cannot be read", nil},
}

func (h *history) evidence() leaf.Leaf {
	r := newAuditor(h.T, h.clone().Log)
	if _, err := r.Step(h.T.Context()); err != nil {
		h.T.Fatal(err)
	}
	leaves, err := r.Leaves(h.T.Context(), leafEvidence, leafEvidence+1)
	if err != nil {
		h.T.Fatal(err)
	}
	entry, err := leaves[0].Leaf()
	if err != nil {
		h.T.Fatal(err)
	}
	return entry
}

// another switches an auditor from one log to another.
type another struct{ audit.Source }

func TestFork(t *testing.T) {
	grow := func(h *history, content string) {
		h.release(tuf.RoleTargets, "app.bin", content)
		h.Publish(2)
	}
	tests := []struct {
		name  string
		first func(h *history) // before the logs part
		left  func(h *history) // what the auditor sees first
		right func(h *history) // and then
		want  audit.Kind
		size  int // evidence files
	}{
		{"the same size", nil, func(h *history) { grow(h, "left") }, func(h *history) { grow(h, "right") }, audit.Fork, 1},
		{"a larger one", nil, func(h *history) { grow(h, "left") }, func(h *history) { grow(h, "right"); grow(h, "right again") }, audit.Fork, 1},
		{"a smaller one", nil, func(h *history) { grow(h, "left"); grow(h, "left again") }, func(h *history) { grow(h, "right") }, audit.Fork, 1},
		{"a smaller beginning", func(h *history) { grow(h, "both") }, func(h *history) { grow(h, "left") }, nil, audit.Rollback, 2},
		{"a larger one with too few cosignatures", nil, func(h *history) { grow(h, "left") }, func(h *history) {
			grow(h, "right")
			h.Publish(1)
		}, audit.Fork, 1},
	}
	for _, tt := range tests {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", tt.name, restart), func(t *testing.T) {
				t.Parallel()
				h := newHistory(t)
				if tt.first != nil {
					tt.first(h)
				}
				right := h.clone()
				tt.left(h)
				if tt.right != nil {
					tt.right(right)
				}
				dir := t.TempDir()
				view := &another{h.Source()}
				withState := func(c *audit.Config) { c.StateDir, c.Source = dir, view }
				a := newAuditor(t, h.Log, withState)
				step(t, a)
				if restart {
					must(t, a.Close())
					a = newAuditor(t, h.Log, withState)
				}
				view.Source = right.Source()
				result, err := a.Step(t.Context())
				must(t, err)
				var f audit.Finding
				for _, found := range result.Findings {
					if found.Class == audit.Tampering {
						f = found
					}
				}
				if f.Kind != tt.want || len(f.Evidence) != tt.size {
					t.Fatalf("found %+v", result.Findings)
				}
				checkEvidence(t, dir, f)
				if tt.want == audit.Fork {
					checkFork(t, h, f)
				}
				// What was verified is not given up for what contradicts it. A smaller tree of the same
				// history is no proof of anything, and is forgiven.
				view.Source = h.Source()
				step(t, a)
				if r := report(t, a); r.Checkpoint == nil || r.Checkpoint.Size != h.Size() || r.Vouches != (tt.want == audit.Rollback) {
					t.Fatalf("back at the first: %+v, vouches %v", r.Checkpoint, r.Vouches)
				}
			})
		}
	}
}

// TestWitnessesGoBack: a smaller checkpoint may be an old one, and accuses nobody. If a
// witness cosigned it later than the larger one, the witness went back, too.
func TestWitnessesGoBack(t *testing.T) {
	for _, later := range []int64{0, 3600} {
		h := newHistory(t)
		dir := t.TempDir()
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		step(t, a)
		h.Time += later
		h.Serve(h.Checkpoint(h.Size()-1, 2))
		f := step(t, a).Findings[0]
		if f.Kind != audit.Rollback {
			t.Fatalf("found %s", f.Sentence)
		}
		checkEvidence(t, dir, f)
		if later == 0 {
			if len(f.Evidence) != 2 {
				t.Errorf("%d files", len(f.Evidence))
			}
			continue
		}
		s, err := evidence.Check(t.Context(), []byte(f.Evidence[0].Text), h.Signer.Key(), h.Witnesses[0].Key(), h.Witnesses[1].Key())
		if err != nil || len(s.Against) != 2 || s.Against[0] != "w1.test" {
			t.Errorf("proves %+v, %v", s, err)
		}
	}
}

// TestForkByUnwitnessedCheckpoint: what the log signed and no quorum cosigned
// binds the log all the same.
func TestForkByUnwitnessedCheckpoint(t *testing.T) {
	for _, restart := range []bool{false, true} {
		h := newHistory(t)
		dir := t.TempDir()
		withState := func(c *audit.Config) { c.StateDir = dir }
		a := newAuditor(t, h.Log, withState)
		step(t, a)

		secret := h.clone()
		secret.release(tuf.RoleTargets, "app.bin", "for one customer")
		secret.release(tuf.RoleTargets, "app.bin", "for one customer, again")
		h.Serve(secret.Checkpoint(secret.Size(), 0))
		if got := step(t, a); kinds(got.Findings) != "quorum-short@-1" || got.Findings[0].Class != audit.Outage {
			t.Fatalf("found %+v", got.Findings)
		}
		for range 3 {
			h.release(tuf.RoleTargets, "app.bin", fmt.Sprint("version ", h.Size()))
		}
		h.Publish(2)
		if restart {
			must(t, a.Close())
			a = newAuditor(t, h.Log, withState)
		}
		if got := step(t, a); kinds(got.Findings) != "fork@-1" {
			t.Fatalf("restart %v: found %+v", restart, got.Findings)
		} else {
			checkFork(t, h, got.Findings[0])
		}
	}
}

// TestEarlierEntryChanges: the bundle that was partial comes again with other
// bytes in front.
func TestEarlierEntryChanges(t *testing.T) {
	h := newHistory(t)
	a := newAuditor(t, h.Log)
	step(t, a)
	h.release(tuf.RoleTargets, "app.bin", "5")
	h.Publish(2)
	h.Spoil("tile/entries/000.p/10", audittest.Flip(1, 20))
	if got := step(t, a); kinds(got.Findings) != "root-mismatch@0" || !strings.Contains(got.Findings[0].Sentence, "other bytes than before") {
		t.Fatalf("found %+v", got.Findings)
	}
	// It heals, and what is signed is served.
	h.Spoil("tile/entries/000.p/10", nil)
	if got := step(t, a); got.To != h.Size() || len(got.Findings) != 0 {
		t.Fatalf("after it healed: %+v", got)
	}
	if r := report(t, a); !r.Vouches {
		t.Errorf("after it healed it has found %s", kinds(r.Findings))
	}
}

// TestAbsurdSizes: a log can sign any size, and serve what it likes.
func TestAbsurdSizes(t *testing.T) {
	for _, size := range []int64{1<<62 - 1, 1 << 62, 1<<62 + 5, 1<<63 - 1} {
		h := newHistory(t)
		a := newAuditor(t, h.Log)
		step(t, a)
		note := proofs.Note{Text: proofs.Checkpoint{Origin: audittest.Origin, Tree: proofs.Tree{N: size}}.String()}
		for _, s := range append([]*proofs.Signer{h.Signer}, h.Witnesses...) {
			sig, err := s.Sign(note.Text, h.Time)
			must(t, err)
			note.Signatures = append(note.Signatures, sig)
		}
		h.Serve(note.Marshal())
		bundle, err := proofs.AppendEntry(nil, nil)
		must(t, err)
		h.Spoil("tile/entries/000", func([]byte) ([]byte, error) { return bytes.Repeat(bundle, 256), nil })
		h.Spoil("tile/entries/000.p/9", func([]byte) ([]byte, error) { return bytes.Repeat(bundle, 9), nil })
		if got := step(t, a); kinds(got.Findings) != "root-mismatch@0" {
			t.Errorf("size %d: found %+v", size, got.Findings)
		}
	}
}

// TestBadLine: what comes right when read a second time is no accusation.
func TestBadLine(t *testing.T) {
	h := newHistory(t)
	reads := 0
	h.Spoil("tile/entries/000.p/9", func(b []byte) ([]byte, error) {
		if reads++; reads == 1 {
			return audittest.Flip(1, 2)(b)
		}
		return b, nil
	})
	a := newAuditor(t, h.Log)
	if result, err := a.Step(t.Context()); err == nil || len(result.Findings) != 1 || result.Findings[0].Class != audit.Outage {
		t.Fatalf("%+v, %v", result, err)
	}
	step(t, a)
	if r := report(t, a); !r.Vouches {
		t.Fatalf("found %+v", r.Findings)
	}
}

func TestStateOfAnotherLogIsRefused(t *testing.T) {
	h, other := newHistory(t), newHistory(t)
	dir := t.TempDir()
	a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
	step(t, a)
	must(t, a.Close())
	_, err := audit.New(t.Context(), audit.Config{Source: other.Source(), Policy: other.Policy(), StateDir: dir})
	if !errors.Is(err, proofs.ErrUnknownLog) {
		t.Fatalf("another log's state was taken: %v", err)
	}
}

// Two logs of one policy contradict each other in nothing: an auditor, and its state, are
// of one of them.
func TestTwoLogsOfAPolicyAreNoFork(t *testing.T) {
	h, other := newHistory(t), newHistory(t)
	var err error
	other.Signer, err = proofs.GenerateSigner(nil, "log.test/other", proofs.Ed25519)
	must(t, err)
	other.Witnesses = h.Witnesses
	other.release(tuf.RoleTargets, "app.bin", "another log's")
	policy, err := proofs.ParsePolicy([]byte(fmt.Sprintf("log %v\n", other.Signer.Key()) + h.PolicyText("")))
	must(t, err)
	dir := t.TempDir()
	config := func(log *history) audit.Config {
		return audit.Config{Source: log.Source(), Policy: policy, StateDir: dir}
	}
	a, err := audit.New(t.Context(), config(h))
	must(t, err)
	step(t, a)
	must(t, a.Close())
	for _, size := range []int64{h.Size() - 1, h.Size(), other.Size()} {
		for _, cosigned := range []int{1, 2} {
			other.Serve(other.Checkpoint(size, cosigned))
			a, err := audit.New(t.Context(), config(other))
			must(t, err)
			if got := kinds(step(t, a).Findings); got != "unknown-log@-1" {
				t.Errorf("size %d of another log with %d cosignatures: %s", size, cosigned, got)
			}
			must(t, a.Close())
		}
	}
	a, err = audit.New(t.Context(), config(h))
	must(t, err)
	defer a.Close()
	if step(t, a); !report(t, a).Vouches {
		t.Errorf("the log itself: %+v", report(t, a).Findings)
	}
	// So it is in one run.
	other.Serve(other.Checkpoint(h.Size(), 2))
	h.Serve(other.Checkpoint(h.Size(), 2))
	if got := kinds(step(t, a).Findings); got != "unknown-log@-1" {
		t.Errorf("another log's checkpoint in the log's place: %s", got)
	}
}
