package anchored_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a log of random leaves with a witness, and a Rekor.
type world struct {
	t       *testing.T
	signer  *proofs.Signer
	witness *proofs.Signer
	policy  *proofs.Policy
	leaves  []proofs.Hash
	trees   []proofs.Tree // by size
	rekor   *rekortest.Ledger
	dir     string
	ledger  *anchored.Ledger
	read    int64 // leaves
}

func newWorld(t *testing.T, version int) *world {
	t.Helper()
	w := &world{t: t, rekor: rekortest.New(t, version), dir: t.TempDir(), trees: []proofs.Tree{proofs.EmptyTree}}
	var err error
	w.signer, err = proofs.GenerateSigner(rand.Reader, "log.example", proofs.ECDSA)
	must(t, err)
	w.witness, err = proofs.GenerateSigner(rand.Reader, "w.example", proofs.CosignatureV1)
	must(t, err)
	w.policy, err = proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nwitness w %v\nquorum w\n", w.signer.Key(), w.witness.Key()))
	must(t, err)
	w.open()
	return w
}

// open opens the folder as another process does.
func (w *world) open() {
	w.t.Helper()
	instance, err := rekor.New(w.rekor.Config())
	must(w.t, err)
	folder, err := anchored.NewFolder(w.dir, "test", "log.example")
	must(w.t, err)
	keys, err := anchored.LogKeys(w.policy, "log.example")
	must(w.t, err)
	w.ledger = &anchored.Ledger{Instance: instance, Keys: w.rekor.Config().Keys, Log: keys, Folder: folder}
}

func (w *world) grow(n int) {
	edge := new(proofs.Edge)
	for _, l := range w.leaves {
		must(w.t, edge.Append(l))
	}
	for range n {
		var l proofs.Hash
		_, _ = rand.Read(l[:])
		w.leaves = append(w.leaves, l)
		must(w.t, edge.Append(l))
		w.trees = append(w.trees, edge.Tree())
	}
}

// note is the signed checkpoint of a tree, cosigned at a time, if that is not zero.
func (w *world) note(tree proofs.Tree, at time.Time) []byte {
	w.t.Helper()
	n := proofs.Note{Text: proofs.Checkpoint{Origin: "log.example", Tree: tree}.String()}
	sig, err := w.signer.Sign(n.Text, 0)
	must(w.t, err)
	n.Signatures = append(n.Signatures, sig)
	if !at.IsZero() {
		sig, err := w.witness.Sign(n.Text, at.Unix())
		must(w.t, err)
		n.Signatures = append(n.Signatures, sig)
	}
	return n.Marshal()
}

// log is the verified log, cosigned at a time.
func (w *world) log(at time.Time) *anchored.Log {
	w.t.Helper()
	c, err := w.policy.OpenCheckpoint(w.note(w.trees[len(w.leaves)], at))
	must(w.t, err)
	return &anchored.Log{Policy: w.policy, Checkpoint: c, Leaves: func(_ context.Context, from, to int64, each func(proofs.Hash) error) error {
		for _, l := range w.leaves[from:to] {
			w.read++
			if err := each(l); err != nil {
				return err
			}
		}
		return nil
	}}
}

func (w *world) submit(note []byte) {
	w.t.Helper()
	_, _, err := w.ledger.Submit(w.t.Context(), note)
	must(w.t, err)
}

// judge looks at all and returns the verdicts by digest, and how many leaves that took.
func (w *world) judge(at time.Time) (verdicts map[string]anchored.Judged, strange [][]byte, read int64) {
	w.t.Helper()
	entries, err := w.ledger.Entries(w.t.Context())
	must(w.t, err)
	w.read = 0
	found, err := w.ledger.Judge(w.t.Context(), w.log(at), entries)
	must(w.t, err)
	verdicts = map[string]anchored.Judged{}
	for _, j := range found.Entries {
		verdicts[j.Digest] = j
	}
	return verdicts, found.Strange, w.read
}

func digest(note []byte) string {
	n, err := proofs.ParseNote(note)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte(n.Text))
	return hex.EncodeToString(sum[:])
}

// TestJudge: through growth and new processes, verdicts are those of a look at every root, and
// leaves are read again only for what is new.
func TestJudge(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			w := newWorld(t, version)
			w.rekor.Time = func(int) time.Time { return time.Now() }
			before, after := time.Now().Add(-time.Hour), time.Now().Add(2*time.Hour)
			w.grow(1000)
			random := mrand.New(mrand.NewPCG(1, 2))
			for range 5 {
				w.submit(w.note(w.trees[random.IntN(1000)], time.Time{}))
			}
			verdicts, strange, read := w.judge(before)
			for _, v := range verdicts {
				if v.Verdict != anchor.Consistent || w.trees[v.Size].N != v.Size || digest(w.note(w.trees[v.Size], time.Time{})) != v.Digest {
					t.Errorf("%+v", v)
				}
			}
			if len(verdicts) != 5 || len(strange) > 0 || read != 1000 {
				t.Errorf("%d entries, %d strange, %d leaves read", len(verdicts), len(strange), read)
			}
			w.open()
			if _, _, read := w.judge(before); read != 0 {
				t.Errorf("%d leaves are read again for nothing", read)
			}

			// Another history, of which a stranger's entry is, and the auditor's own receipt.
			other := w.trees[500]
			other.Hash[0] ^= 1
			fork := w.note(other, time.Time{})
			instance, err := rekor.New(w.rekor.Config())
			must(t, err)
			_, err = instance.Submit(t.Context(), fork, w.signer.Key())
			must(t, err)
			verdicts, strange, read = w.judge(before)
			if v := verdicts[digest(fork)]; v.Verdict != anchor.Open || v.Size != -1 || len(strange) > 0 || read != 1000 {
				t.Errorf("%+v, %d strange, %d leaves", v, len(strange), read)
			}
			w.open()
			w.grow(200)
			verdicts, strange, read = w.judge(after)
			if v := verdicts[digest(fork)]; v.Verdict != anchor.Orphan || len(strange) > 0 || read != 200 {
				t.Errorf("%+v, %d strange, %d leaves", v, len(strange), read)
			}
			w.submit(fork)
			if _, strange, _ = w.judge(after); len(strange) != 1 || string(strange[0]) != string(fork) {
				t.Errorf("%d strange notes", len(strange))
			}
			// A receipt of a tree to come is not strange.
			ahead := w.note(proofs.Tree{N: 5000, Hash: other.Hash}, time.Time{})
			w.submit(ahead)
			if verdicts, strange, _ = w.judge(before); len(strange) != 1 || verdicts[digest(ahead)].Verdict != anchor.Open {
				t.Errorf("%d strange notes, %+v", len(strange), verdicts[digest(ahead)])
			}

			// What is remembered is damaged, or of another log: it is looked for again.
			paths, err := filepath.Glob(filepath.Join(w.dir, "test", "*", "memory.json"))
			must(t, err)
			b, err := os.ReadFile(paths[0])
			must(t, err)
			var m map[string]json.RawMessage
			must(t, json.Unmarshal(b, &m))
			edge := new(proofs.Edge)
			must(t, edge.Append(proofs.Hash{7}))
			text, err := edge.MarshalText()
			must(t, err)
			m["edge"], err = json.Marshal(string(text))
			must(t, err)
			b, err = json.Marshal(m)
			must(t, err)
			must(t, os.WriteFile(paths[0], b, 0o644))
			w.open()
			verdicts, _, _ = w.judge(after)
			if v := verdicts[digest(fork)]; v.Verdict != anchor.Orphan || len(verdicts) != 7 {
				t.Errorf("%+v of %d", v, len(verdicts))
			}
			must(t, os.WriteFile(paths[0], []byte("{"), 0o644))
			w.open()
			if verdicts, _, _ = w.judge(before); len(verdicts) != 7 || verdicts[digest(fork)].Verdict == anchor.Consistent {
				t.Errorf("%d entries", len(verdicts))
			}
		})
	}
}

// Leaves that are not those of the checkpoint judge nothing.
func TestWrongLeaves(t *testing.T) {
	w := newWorld(t, 1)
	w.grow(10)
	w.submit(w.note(w.trees[3], time.Time{}))
	entries, err := w.ledger.Entries(t.Context())
	must(t, err)
	log := w.log(time.Now())
	w.leaves[9][0] ^= 1
	if _, err := w.ledger.Judge(t.Context(), log, entries); err == nil {
		t.Error("other leaves are taken for those of the tree")
	}
	log.Leaves = func(context.Context, int64, int64, func(proofs.Hash) error) error { return nil }
	if _, err := w.ledger.Judge(t.Context(), log, entries); err == nil {
		t.Error("no leaves are taken for those of the tree")
	}
}

// What nobody can anchor is refused before Rekor is asked.
func TestSubmitRefuses(t *testing.T) {
	w := newWorld(t, 1)
	other, err := proofs.GenerateSigner(rand.Reader, "log.example", proofs.ECDSA)
	must(t, err)
	good := w.note(proofs.Tree{N: 1, Hash: proofs.Hash{1}}, time.Time{})
	w.signer = other
	for name, note := range map[string][]byte{
		"another key":   w.note(proofs.Tree{N: 1, Hash: proofs.Hash{1}}, time.Time{}),
		"no note":       []byte("x"),
		"nothing":       nil,
		"another text":  []byte(strings.Replace(string(good), "log.example\n1\n", "log.example\n2\n", 1)),
		"another log's": []byte(strings.ReplaceAll(string(good), "log.example", "log2.example")),
	} {
		if _, _, err := w.ledger.Submit(t.Context(), note); !errors.Is(err, anchored.ErrNotSigned) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(w.rekor.Asked) > 0 {
		t.Errorf("asked: %v", w.rekor.Asked)
	}
}

func keyFile(t *testing.T, pem []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(path, pem, 0o644))
	return path
}

// Keys are those that a person gave: the newest first, older ones stay. What the instance shows is
// reported, and not kept.
func TestKeysOfInstances(t *testing.T) {
	w := newWorld(t, 1)
	dir := t.TempDir()
	if _, _, err := anchored.KnownInstance(dir, "r"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	first, err := anchored.ReadKeys(keyFile(t, w.rekor.PEM()))
	must(t, err)
	c := anchored.Config{Name: "r", URL: w.rekor.URL()}
	_, err = anchored.KeepInstance(dir, c, first)
	must(t, err)
	private := w.rekor.Private
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	w.rekor.Set(func(l *rekortest.Ledger) { l.Private = next })
	shown, err := w.ledger.KeyChanged(t.Context())
	if err != nil || shown != string(w.rekor.PEM()) {
		t.Errorf("%q, %v", shown, err)
	}
	if _, keys, err := anchored.KnownInstance(dir, "r"); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	second, err := anchored.ReadKeys(keyFile(t, w.rekor.PEM()))
	must(t, err)
	for range 2 { // given again, it is one
		keys, err := anchored.KeepInstance(dir, c, second)
		must(t, err)
		if len(keys) != 2 || !keys[0].(*ecdsa.PublicKey).Equal(next.Public()) || !keys[1].(*ecdsa.PublicKey).Equal(private.Public()) {
			t.Errorf("%d keys", len(keys))
		}
	}
	known, keys, err := anchored.KnownInstance(dir, "r")
	must(t, err)
	if known.URL != c.URL || known.Version != 1 || len(keys) != 2 {
		t.Errorf("%+v, %d keys", known, len(keys))
	}
	w.ledger.Keys = keys
	if shown, err := w.ledger.KeyChanged(t.Context()); err != nil || shown != "" {
		t.Errorf("%q, %v", shown, err)
	}
	for _, name := range []string{"", "..", "A", "a/b", strings.Repeat("a", 65)} {
		if _, _, err := anchored.KnownInstance(dir, name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, pem := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if _, err := anchored.ReadKeys(keyFile(t, []byte(pem))); err == nil {
			t.Errorf("%q is a key", pem)
		}
	}
	var _ crypto.PublicKey = keys[0]
}
