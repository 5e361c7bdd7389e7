package lookup_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// proved is a log with a release of app.bin, and the proof and the file of that.
func proved(t testing.TB) (policy *proofs.Policy, proof, file []byte) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	log := audittest.New(t)
	v := newVendor(t)
	_, root := v.File(tuf.RoleRoot)
	id := log.Register(root)
	check(v.Put(tuf.RoleTargets, "app.bin", []byte("one")))
	check(v.Release(tuf.RoleTargets))
	_, file = v.File(tuf.RoleTargets)
	_, snapshot := v.File(tuf.RoleSnapshot)
	entry, index := log.Submit(id, tuf.RoleTargets, file, snapshot)
	log.Publish(2)
	a, err := audit.New(t.Context(), audit.Config{Source: log.Source(), Policy: log.Policy()})
	check(err)
	defer a.Close()
	_, err = a.Step(t.Context())
	check(err)
	proof, err = a.Prove(t.Context(), index, entry.Marshal())
	check(err)
	return log.Policy(), proof, file
}

// What an index says counts if it is proved, and about the file.
func TestAdd(t *testing.T) {
	policy, proof, file := proved(t)
	one := lookup.QueryDigest(tuf.Sum([]byte("one")))
	l := lookup.New(one)
	c, err := l.Add(policy, proof, file)
	if err != nil || c.Tree.N != 2 || len(l.Answers) != 1 || l.Answers[0].Path != "app.bin" || l.Answers[0].Proof != string(proof) || l.Answers[0].Current != nil || l.Complete {
		t.Errorf("%v, %+v", err, l)
	}
	for name, test := range map[string]struct {
		query lookup.Query
		file  []byte
	}{
		"another file":     {lookup.QueryDigest(tuf.Sum([]byte("two"))), file},
		"other metadata":   {one, bytes.Replace(file, []byte("app.bin"), []byte("app.bim"), 1)},
		"no metadata":      {one, nil},
		"another path too": {lookup.Query{SHA256: one.SHA256, Length: -1, Path: "x"}, file},
	} {
		l := lookup.New(test.query)
		if _, err := l.Add(policy, proof, test.file); !errors.Is(err, lookup.ErrOther) || len(l.Answers) != 0 {
			t.Errorf("%s: %v, %+v", name, err, l.Answers)
		}
	}
	if _, err := lookup.New(one).Add(audittest.New(t).Policy(), proof, file); !errors.Is(err, proofs.ErrUnknownLog) {
		t.Errorf("another log: %v", err)
	}
}

// Whatever a log sends, there is an answer only with a proof of it.
func FuzzAdd(f *testing.F) {
	policy, proof, file := proved(f)
	f.Add(proof, file)
	f.Add(proof, []byte{})
	f.Add([]byte{}, file)
	f.Fuzz(func(t *testing.T, proof, file []byte) {
		l := lookup.New(lookup.Query{Path: "app.bin", Length: -1})
		c, err := l.Add(policy, proof, file)
		if (err == nil) != (len(l.Answers) > 0) {
			t.Fatalf("%v with %d answers", err, len(l.Answers))
		}
		if err != nil {
			return
		}
		p, err := proofs.ParseProof(proof)
		if err != nil {
			t.Fatal(err)
		}
		entry, err := leaf.Parse(p.Extra)
		if err != nil || entry.Metadata != tuf.Sum(file) || p.Index >= c.Tree.N {
			t.Errorf("entry %d of %d names %v: %v", p.Index, c.Tree.N, entry.Metadata, err)
		}
	})
}
