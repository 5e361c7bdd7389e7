package oracles

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// filippo.io/torchwood, by folder of vectors. It reads notes and Ed25519 keys
// with x/mod.
var torch = map[string]func(v vector) outcome{
	"vkey":        torchVkey,
	"cosignature": torchCosignature,
	"checkpoint":  torchCheckpoint,
	"open":        torchOpen,
	"policy":      torchPolicy,
	"quorum":      torchQuorum,
	"witnessed":   torchWitnessed,
	"proof":       torchProof,
	"verify":      torchVerify,
	"tile-path":   torchTilePath,
	"entries":     torchEntries,
}

const noMLDSA = "torchwood v0.9.0 knows Ed25519 only"

func torchVkey(v vector) outcome {
	if vkeyType(string(v.Vkey)) != 4 {
		return skipped("only keys of type 0x04 are torchwood's own")
	}
	k, err := torchwood.NewCosignatureVerifier(string(v.Vkey))
	if err != nil {
		return outcome{err: err}
	}
	if v.Valid && k.String() != string(v.Vkey) {
		return outcome{diff: "another key"}
	}
	return diffKey(k, v)
}

func torchCosignature(v vector) outcome {
	if vkeyType(string(v.Vkey)) != 4 {
		return skipped(noMLDSA)
	}
	k, err := torchwood.NewCosignatureVerifier(string(v.Vkey))
	if err != nil {
		return outcome{err: err}
	}
	n, err := note.Open(v.Note, note.VerifierList(k))
	if err != nil {
		return opened(err)
	}
	if !v.Valid {
		return outcome{}
	}
	times, err := cosignatureTimes(n.Sigs)
	want := []int64{}
	for _, t := range v.Result.Times {
		want = append(want, int64(t))
	}
	if err == nil && !slices.Equal(times, want) {
		return outcome{diff: "another number of cosignatures"}
	}
	return outcome{err: err}
}

func cosignatureTimes(sigs []note.Signature) ([]int64, error) {
	times := []int64{}
	for _, s := range sigs {
		t, err := torchwood.CosignatureTimestamp(s)
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	return times, nil
}

func torchCheckpoint(v vector) outcome {
	c, err := torchwood.ParseCheckpoint(string(v.Text))
	if err != nil {
		return outcome{err: err}
	}
	return diffTorch(c, v)
}

func diffTorch(c torchwood.Checkpoint, v vector) outcome {
	if !v.Valid {
		return outcome{}
	}
	extension := ""
	for _, e := range v.Result.Extensions {
		extension += e + "\n"
	}
	if c.Origin != v.Result.Origin || c.N != int64(v.Result.Size) || hash(c.Hash) != v.Result.Root || v.Result.Extensions != nil && c.Extension != extension {
		return outcome{diff: "another checkpoint"}
	}
	return outcome{}
}

// torchOpened turns what VerifyCheckpoint says into an outcome.
func torchOpened(err error) outcome {
	o := opened(err)
	if o.kind == "no-signature" {
		o.kind = "" // the policy is not met, for whatever reason
	}
	return o
}

func torchOpen(v vector) outcome {
	var logs []torchwood.Policy
	for _, vkey := range v.Logs {
		if vkeyType(vkey) != 1 {
			return skipped(noMLDSA)
		}
		k, err := note.NewVerifier(vkey)
		if err != nil {
			return outcome{err: err}
		}
		logs = append(logs, torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(k.Name()), torchwood.SingleVerifierPolicy(k)))
	}
	c, _, err := torchwood.VerifyCheckpoint(v.Checkpoint, torchwood.ThresholdPolicy(min(1, len(logs)), logs...))
	if err != nil {
		return torchOpened(err)
	}
	return diffTorch(c, v)
}

// torchKnows says whether all keys of a policy are of types that torchwood has.
func torchKnows(policy data) bool {
	for _, words := range append(policyLines(policy, "log"), policyLines(policy, "witness")...) {
		for _, w := range words {
			if t := vkeyType(w); t == 2 || t == 6 {
				return false
			}
		}
	}
	return true
}

func torchPolicy(v vector) outcome {
	if !torchKnows(v.Policy) {
		return skipped(noMLDSA)
	}
	_, err := torchwood.ParsePolicy(v.Policy)
	return outcome{err: err}
}

// named makes the signature that a key would leave in a verified note.
func named(vkey string) note.Signature {
	parts := strings.SplitN(vkey, "+", 3)
	id, err := hex.DecodeString(parts[1])
	if err != nil {
		panic(err)
	}
	return note.Signature{Name: parts[0], Hash: binary.BigEndian.Uint32(id)}
}

func torchQuorum(v vector) outcome {
	p, err := torchwood.ParsePolicy(v.Policy)
	if err != nil {
		return outcome{err: err}
	}
	var sigs []note.Signature
	origin := "none"
	for _, words := range policyLines(v.Policy, "log") {
		sigs = append(sigs, named(words[1]))
		origin = sigs[0].Name
	}
	for _, words := range policyLines(v.Policy, "witness") {
		if slices.ContainsFunc(v.Cosigned, func(d data) bool { return string(d) == words[1] }) {
			sigs = append(sigs, named(words[2]))
		}
	}
	return outcome{err: p.Check(origin, sigs)}
}

func torchWitnessed(v vector) outcome {
	if !torchKnows(v.Policy) {
		return skipped(noMLDSA)
	}
	p, err := torchwood.ParsePolicy(v.Policy)
	if err != nil {
		return outcome{err: err}
	}
	c, n, err := torchwood.VerifyCheckpoint(v.Checkpoint, p)
	if err != nil {
		return torchOpened(err)
	}
	if !v.Valid {
		return outcome{}
	}
	var cosigned []note.Signature // in the order of the policy
	for _, words := range policyLines(v.Policy, "witness") {
		k := named(words[2])
		for _, s := range n.Sigs {
			if s.Name == k.Name && s.Hash == k.Hash {
				cosigned = append(cosigned, s)
			}
		}
	}
	times, err := cosignatureTimes(cosigned)
	if err != nil {
		return outcome{err: err}
	}
	if !equalTimes(times, v) {
		return outcome{diff: "another time"}
	}
	return diffTorch(c, v)
}

// anything is a policy that every signature satisfies, so that VerifyProof does
// no more than parse.
type anything struct{}

func (anything) Check(origin string, _ []note.Signature) error {
	if origin == "check.invalid" {
		return errors.New("VerifyCheckpoint wants a policy that minds the origin")
	}
	return nil
}

func (anything) Verifier(name string, id uint32) (note.Verifier, error) {
	return yes{name, id}, nil
}

// yes accepts all signatures of a name and id.
type yes struct {
	name string
	id   uint32
}

func (y yes) Name() string                { return y.name }
func (y yes) KeyHash() uint32             { return y.id }
func (y yes) Verify(msg, sig []byte) bool { return true }

func torchProof(v vector) outcome {
	err := torchwood.VerifyProof(anything{}, tlog.Hash{}, v.Proof)
	var record *torchwood.VerifyRecordError
	if err != nil && !errors.As(err, &record) {
		return outcome{err: err}
	}
	if record != nil && v.Valid && (record.Index != int64(v.Result.Index) || string(record.Extra) != string(v.Result.Extra)) {
		return outcome{diff: "another index or extra data"}
	}
	if v.Valid {
		printed := torchwood.FormatProof(int64(v.Result.Index), xmodHashes(v.Result.Hashes), v.Result.Checkpoint)
		if len(v.Result.Extra) > 0 {
			printed = torchwood.FormatProofWithExtraData(int64(v.Result.Index), v.Result.Extra, xmodHashes(v.Result.Hashes), v.Result.Checkpoint)
		}
		if string(printed) != string(v.Proof) {
			return outcome{diff: "and prints something else"}
		}
	}
	return outcome{}
}

func torchVerify(v vector) outcome {
	if !torchKnows(v.Policy) {
		return skipped(noMLDSA)
	}
	p, err := torchwood.ParsePolicy(v.Policy)
	if err != nil {
		return outcome{err: err}
	}
	err = torchwood.VerifyProof(p, tlog.RecordHash(v.Entry), v.Proof)
	var record *torchwood.VerifyRecordError
	if errors.As(err, &record) {
		return outcome{err: err, kind: "inclusion"}
	}
	return torchOpened(err)
}

func torchTilePath(v vector) outcome {
	t, err := torchwood.ParseTilePath(v.Path)
	if err == nil && v.Valid && torchwood.TilePath(t) != v.Path {
		return outcome{diff: "and prints something else"}
	}
	return diffTile(t, err, v)
}

func torchEntries(v vector) outcome {
	var entries []data
	for rest := []byte(v.Bundle); len(rest) > 0; {
		entry, more, err := torchwood.ReadTileEntry(rest)
		if err != nil {
			return outcome{err: err}
		}
		entries, rest = append(entries, entry), more
	}
	same := slices.EqualFunc(entries, v.Result.Entries, func(a, b data) bool { return string(a) == string(b) })
	if v.Valid && !same {
		return outcome{diff: "other entries"}
	}
	return outcome{}
}
