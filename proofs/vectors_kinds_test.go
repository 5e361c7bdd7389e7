package proofs_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// One type for each kind of case; testdata/vectors/README.md describes the
// fields.

type noteVector struct {
	vectorHead
	Note   vectorData `json:"note"`
	Result struct {
		Text       vectorData        `json:"text"`
		Signatures []vectorSignature `json:"signatures"`
	} `json:"result"`
}

func (v *noteVector) run(t *testing.T) error {
	n, err := proofs.ParseNote(v.Note)
	if err != nil {
		return err
	}
	if n.Text != string(v.Result.Text) {
		t.Errorf("got text %q", n.Text)
	}
	checkSignatures(t, n.Signatures, v.Result.Signatures)
	checkPrinted(t, n.Marshal(), v.Note)
	return nil
}

type signaturesVector struct {
	vectorHead
	Lines  vectorData `json:"lines"`
	Result struct {
		Signatures []vectorSignature `json:"signatures"`
	} `json:"result"`
}

func (v *signaturesVector) run(t *testing.T) error {
	sigs, err := proofs.ParseSignatures(v.Lines)
	if err != nil {
		return err
	}
	checkSignatures(t, sigs, v.Result.Signatures)
	var printed strings.Builder
	for _, s := range sigs {
		printed.WriteString(s.String())
	}
	checkPrinted(t, []byte(printed.String()), v.Lines)
	return nil
}

type vkeyVector struct {
	vectorHead
	Vkey   vectorData `json:"vkey"`
	Result struct {
		Name      string `json:"name"`
		KeyID     string `json:"key_id"`
		Type      int    `json:"type"`
		PublicKey []byte `json:"public_key"`
	} `json:"result"`
}

func (v *vkeyVector) run(t *testing.T) error {
	k, err := proofs.ParseKey(string(v.Vkey))
	if err != nil {
		return err
	}
	if id := fmt.Sprintf("%08x", k.ID()); k.Name() != v.Result.Name || id != v.Result.KeyID || int(k.Algorithm()) != v.Result.Type {
		t.Errorf("got name %q, id %s, type %v", k.Name(), id, k.Algorithm())
	}
	if !bytes.Equal(k.PublicKey(), v.Result.PublicKey) {
		t.Errorf("got public key %x", k.PublicKey())
	}
	checkPrinted(t, []byte(k.String()), v.Vkey)
	return nil
}

type signVector struct {
	vectorHead
	Skey   string     `json:"skey"`
	Text   vectorData `json:"text"`
	Time   int64      `json:"time,string"`
	Result struct {
		Vkey string `json:"vkey"`
		Line string `json:"line"`
	} `json:"result"`
}

func (v *signVector) run(t *testing.T) error {
	s, err := proofs.ParseSigner(v.Skey)
	if err != nil {
		return err
	}
	checkPrinted(t, []byte(s.PrivateKey()), []byte(v.Skey))
	sig, err := s.Sign(string(v.Text), v.Time)
	if err != nil {
		return err
	}
	if s.Key().String() != v.Result.Vkey || sig.String() != v.Result.Line {
		t.Errorf("key %s signed %s", s.Key(), sig)
	}
	return nil
}

type signatureVector struct {
	vectorHead
	Note   vectorData `json:"note"`
	Vkey   string     `json:"vkey"`
	Result struct {
		Times []vectorNumber `json:"times"`
	} `json:"result"`
}

func (v *signatureVector) run(t *testing.T) error {
	k := mustVectorKey(t, v.Vkey)
	n, err := proofs.ParseNote(v.Note)
	if err != nil {
		return err
	}
	times, err := n.VerifiedBy(k)
	if err != nil {
		return err
	}
	if !slices.Equal(times, vectorNumbers(v.Result.Times)) {
		t.Errorf("got times %v", times)
	}
	return nil
}

type vectorTree struct {
	Origin     string       `json:"origin"`
	Size       vectorNumber `json:"size"`
	Root       vectorHash   `json:"root"`
	Extensions []string     `json:"extensions"`
}

func (want vectorTree) check(t *testing.T, c proofs.Checkpoint) {
	t.Helper()
	if c.Origin != want.Origin || c.Tree != treeOf(want.Size, want.Root) || !slices.Equal(c.Extensions, want.Extensions) {
		t.Errorf("got checkpoint %+v", c)
	}
}

func treeOf(size vectorNumber, root vectorHash) proofs.Tree {
	return proofs.Tree{N: int64(size), Hash: proofs.Hash(root)}
}

type checkpointVector struct {
	vectorHead
	Text   vectorData `json:"text"`
	Result vectorTree `json:"result"`
}

func (v *checkpointVector) run(t *testing.T) error {
	c, err := proofs.ParseCheckpoint(string(v.Text))
	if err != nil {
		return err
	}
	v.Result.check(t, c)
	checkPrinted(t, []byte(c.String()), v.Text)
	return nil
}

type openVector struct {
	vectorHead
	Checkpoint vectorData `json:"checkpoint"`
	Logs       []string   `json:"logs"`
	Result     vectorTree `json:"result"`
}

func (v *openVector) run(t *testing.T) error {
	var keys []proofs.Key
	for _, vkey := range v.Logs {
		keys = append(keys, mustVectorKey(t, vkey))
	}
	c, n, err := proofs.OpenCheckpoint(v.Checkpoint, keys...)
	if err != nil {
		return err
	}
	v.Result.check(t, c)
	checkPrinted(t, n.Marshal(), v.Checkpoint)
	return nil
}

type policyVector struct {
	vectorHead
	Policy vectorData `json:"policy"`
	Result struct {
		Logs []struct {
			Vkey string     `json:"vkey"`
			URL  vectorData `json:"url"`
		} `json:"logs"`
		Witnesses []struct {
			Name vectorData `json:"name"`
			Vkey string     `json:"vkey"`
			URL  vectorData `json:"url"`
		} `json:"witnesses"`
	} `json:"result"`
}

func (v *policyVector) run(t *testing.T) error {
	p, err := proofs.ParsePolicy(v.Policy)
	if err != nil {
		return err
	}
	if len(p.Logs) != len(v.Result.Logs) || len(p.Witnesses) != len(v.Result.Witnesses) {
		t.Fatalf("%d logs, %d witnesses", len(p.Logs), len(p.Witnesses))
	}
	for i, want := range v.Result.Logs {
		if got := p.Logs[i]; got.Key.String() != want.Vkey || got.URL != string(want.URL) {
			t.Errorf("log %d is %v %q", i, got.Key, got.URL)
		}
	}
	for i, want := range v.Result.Witnesses {
		if got := p.Witnesses[i]; got.Name != string(want.Name) || got.Key.String() != want.Vkey || got.URL != string(want.URL) {
			t.Errorf("witness %d is %q %v %q", i, got.Name, got.Key, got.URL)
		}
	}
	if err := p.Satisfied(func(string) bool { return true }); err != nil {
		t.Errorf("all witnesses together: %v", err)
	}
	return nil
}

type quorumVector struct {
	vectorHead
	Policy   vectorData    `json:"policy"`
	Cosigned []vectorData  `json:"cosigned"`
	Short    []vectorShort `json:"short"`
	Missing  []vectorData  `json:"missing"`
}

type vectorShort struct {
	Group vectorData `json:"group"`
	Have  int        `json:"have"`
	Want  int        `json:"want"`
}

func (v *quorumVector) run(t *testing.T) error {
	p, err := proofs.ParsePolicy(v.Policy)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Satisfied(func(name string) bool {
		return slices.ContainsFunc(v.Cosigned, func(d vectorData) bool { return string(d) == name })
	})
	var q *proofs.QuorumError
	if errors.As(err, &q) {
		checkMissing(t, p, q, v.Missing)
		v.checkShort(t, q)
	}
	return err
}

// checkShort checks that the groups reported fall short as the case says. The
// error may leave out groups whose members say it better.
func (v *quorumVector) checkShort(t *testing.T, q *proofs.QuorumError) {
	t.Helper()
	for _, got := range q.Short {
		if got.Group == "" {
			continue
		}
		if !slices.ContainsFunc(v.Short, func(want vectorShort) bool {
			return string(want.Group) == got.Group && want.Have == got.Have && want.Want == got.Want
		}) {
			t.Errorf("group %q is said to have %d of %d, want %v", got.Group, got.Have, got.Want, v.Short)
		}
	}
}

// checkMissing compares the witnesses that the error names, in any group.
func checkMissing(t *testing.T, p *proofs.Policy, q *proofs.QuorumError, want []vectorData) {
	t.Helper()
	var names, wanted []string
	for _, s := range q.Short {
		for _, name := range s.Missing {
			if slices.ContainsFunc(p.Witnesses, func(w proofs.PolicyWitness) bool { return w.Name == name }) {
				names = append(names, name)
			}
		}
	}
	for _, d := range want {
		wanted = append(wanted, string(d))
	}
	slices.Sort(names)
	slices.Sort(wanted)
	if !slices.Equal(names, wanted) {
		t.Errorf("missing %q, want %q", names, wanted)
	}
}

type vectorWitnessed struct {
	Log          string       `json:"log"`
	Origin       string       `json:"origin"`
	Size         vectorNumber `json:"size"`
	Root         vectorHash   `json:"root"`
	Cosignatures []struct {
		Witness vectorData   `json:"witness"`
		Time    vectorNumber `json:"time"`
	} `json:"cosignatures"`
}

// check compares what came of a checkpoint. The package returns it if and only
// if the case has a result.
func (want *vectorWitnessed) check(t *testing.T, p *proofs.Policy, sc *proofs.SignedCheckpoint, err error, missing []vectorData) {
	t.Helper()
	if (sc == nil) != (want == nil) {
		t.Fatalf("got checkpoint %v, want %v", sc, want)
	}
	var q *proofs.QuorumError
	if errors.As(err, &q) {
		checkMissing(t, p, q, missing)
	}
	if sc == nil {
		return
	}
	if sc.Log.String() != want.Log || sc.Origin != want.Origin || sc.Tree != treeOf(want.Size, want.Root) {
		t.Errorf("got %+v", sc)
	}
	if len(sc.Cosignatures) != len(want.Cosignatures) {
		t.Fatalf("got cosignatures %v, want %v", sc.Cosignatures, want.Cosignatures)
	}
	for i, c := range want.Cosignatures {
		if got := sc.Cosignatures[i]; got.Witness != string(c.Witness) || got.Time != int64(c.Time) {
			t.Errorf("cosignature %d is by %q at %d", i, got.Witness, got.Time)
		}
	}
}

type witnessedVector struct {
	vectorHead
	Policy     vectorData       `json:"policy"`
	Checkpoint vectorData       `json:"checkpoint"`
	Missing    []vectorData     `json:"missing"`
	Result     *vectorWitnessed `json:"result"`
}

func (v *witnessedVector) run(t *testing.T) error {
	p, err := proofs.ParsePolicy(v.Policy)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := p.OpenCheckpoint(v.Checkpoint)
	v.Result.check(t, p, sc, err, v.Missing)
	return err
}

type proofVector struct {
	vectorHead
	Proof  vectorData `json:"proof"`
	Result struct {
		Extra      vectorData   `json:"extra"`
		Index      vectorNumber `json:"index"`
		Hashes     []vectorHash `json:"hashes"`
		Checkpoint vectorData   `json:"checkpoint"`
	} `json:"result"`
}

func (v *proofVector) run(t *testing.T) error {
	p, err := proofs.ParseProof(v.Proof)
	if err != nil {
		return err
	}
	want := v.Result
	if !bytes.Equal(p.Extra, want.Extra) || p.Index != int64(want.Index) || !bytes.Equal(p.Checkpoint, want.Checkpoint) || !slices.Equal(p.Hashes, vectorHashes(want.Hashes)) {
		t.Errorf("got %+v", p)
	}
	checkPrinted(t, p.Marshal(), v.Proof)
	return nil
}

type verifyVector struct {
	vectorHead
	Policy  vectorData       `json:"policy"`
	Proof   vectorData       `json:"proof"`
	Entry   vectorData       `json:"entry"`
	Missing []vectorData     `json:"missing"`
	Result  *vectorWitnessed `json:"result"`
}

func (v *verifyVector) run(t *testing.T) error {
	policy, err := proofs.ParsePolicy(v.Policy)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proofs.ParseProof(v.Proof)
	if err != nil {
		return err
	}
	checkPrinted(t, p.Marshal(), v.Proof)
	sc, err := p.Verify(policy, v.Entry)
	v.Result.check(t, policy, sc, err, v.Missing)
	return err
}

type refreshVector struct {
	vectorHead
	Policy vectorData  `json:"policy"`
	Proof  vectorData  `json:"proof"`
	Entry  vectorData  `json:"entry"`
	Newer  vectorData  `json:"newer"`
	Tiles  vectorTiles `json:"tiles"`
	Result struct {
		Proof vectorData `json:"proof"`
	} `json:"result"`
}

func (v *refreshVector) run(t *testing.T) error {
	policy, err := proofs.ParsePolicy(v.Policy)
	if err != nil {
		t.Fatal(err)
	}
	old, err := proofs.ParseProof(v.Proof)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := old.Refresh(t.Context(), policy, v.Entry, v.Newer, v.Tiles)
	if err != nil {
		if _, opened := policy.OpenCheckpoint(v.Newer); opened == nil && vectorCategory(err) == "malformed" {
			return failed("refresh", err) // both are well formed and well signed
		}
		return err
	}
	checkPrinted(t, fresh.Marshal(), v.Result.Proof)
	return nil
}
