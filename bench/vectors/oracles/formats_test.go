package oracles

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
)

// github.com/transparency-dev/formats, by folder of vectors. It reads notes and
// Ed25519 keys with x/mod.
var formats = map[string]func(v vector) outcome{
	"vkey":        formatsVkey,
	"signature":   formatsSignature,
	"cosignature": formatsCosignature,
	"checkpoint":  formatsCheckpoint,
	"open":        formatsOpen,
	"policy":      formatsPolicy,
	"quorum":      formatsQuorum,
	"witnessed":   formatsWitnessed,
	"proof":       formatsProof,
}

func formatsVkey(v vector) outcome {
	if vkeyType(string(v.Vkey)) == 1 {
		return skipped("formats leaves keys of type 0x01 to x/mod")
	}
	k, err := fnote.NewVerifier(string(v.Vkey))
	if err != nil {
		return outcome{err: err}
	}
	return diffKey(k, v)
}

func formatsSignature(v vector) outcome {
	if vkeyType(string(v.Vkey)) == 1 {
		return skipped("formats leaves keys of type 0x01 to x/mod")
	}
	return formatsCosignature(v)
}

func formatsCosignature(v vector) outcome {
	k, err := fnote.NewVerifier(string(v.Vkey))
	if err != nil {
		return outcome{err: err}
	}
	n, err := note.Open(v.Note, note.VerifierList(k))
	if err != nil {
		return opened(err)
	}
	if v.Valid && len(n.Sigs) != len(v.Result.Times) {
		return outcome{diff: "another number of cosignatures"}
	}
	for i, s := range n.Sigs {
		if t := vkeyType(string(v.Vkey)); t != 4 && t != 6 {
			break
		}
		at, err := fnote.CoSigV1Timestamp(s)
		if err != nil {
			return outcome{err: err}
		}
		if v.Valid && at.Unix() != int64(v.Result.Times[i]) {
			return outcome{diff: "another time"}
		}
	}
	return outcome{}
}

func formatsCheckpoint(v vector) outcome {
	var c log.Checkpoint
	rest, err := c.Unmarshal(v.Text)
	if err != nil {
		return outcome{err: err}
	}
	return diffFormats(&c, rest, v)
}

func diffFormats(c *log.Checkpoint, rest []byte, v vector) outcome {
	if !v.Valid {
		return outcome{}
	}
	extensions := ""
	for _, e := range v.Result.Extensions {
		extensions += e + "\n"
	}
	if c.Origin != v.Result.Origin || c.Size != uint64(v.Result.Size) || string(c.Hash) != string(v.Result.Root[:]) || v.Result.Extensions != nil && string(rest) != extensions {
		return outcome{diff: "another checkpoint"}
	}
	return outcome{}
}

// openAny opens a checkpoint with each of the logs in turn; all the keys are
// known each time.
func openAny(signed []byte, logs []string, witnesses []note.Verifier) (*log.Checkpoint, []byte, error) {
	var keys []note.Verifier
	for _, vkey := range logs {
		k, err := fnote.NewVerifier(vkey)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, k)
	}
	err := errors.New("no log is known")
	for i, k := range keys {
		others := append(slices.Delete(slices.Clone(keys), i, i+1), witnesses...)
		c, rest, _, err2 := log.ParseCheckpoint(signed, k.Name(), k, others...)
		if err2 == nil {
			return c, rest, nil
		}
		err = err2
	}
	return nil, nil, err
}

func formatsOpen(v vector) outcome {
	c, rest, err := openAny(v.Checkpoint, v.Logs, nil)
	if err != nil {
		return outcome{err: err}
	}
	return diffFormats(c, rest, v)
}

func formatsPolicy(v vector) outcome {
	_, err := witness.ParsePolicy(v.Policy)
	return outcome{err: err}
}

// withURLs adds a URL to the witnesses that have none, because formats wants
// one; that it does is what the case policy/no-url shows.
func withURLs(policy data) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(policy)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "witness" {
			line = strings.TrimSuffix(line, "\n") + " https://witness.example/\n"
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}

// cosigner stands for a witness in a note whose signatures are not real.
func withFakes(g witness.Group) witness.Group {
	fake := witness.Group{N: g.N}
	for _, c := range g.Components {
		switch c := any(c).(type) {
		case witness.Witness:
			fake.Components = append(fake.Components, witness.Witness{Key: yes{c.Key.Name(), c.Key.KeyHash()}, URL: c.URL})
		case witness.Group:
			fake.Components = append(fake.Components, withFakes(c))
		default:
			panic(fmt.Sprintf("component %T", c))
		}
	}
	return fake
}

func formatsQuorum(v vector) outcome {
	g, err := witness.ParsePolicy(withURLs(v.Policy))
	if err != nil {
		return outcome{err: err}
	}
	signed := "text\n\n"
	signers := []string{"nobody+00000000+"}
	for _, words := range policyLines(v.Policy, "witness") {
		if slices.ContainsFunc(v.Cosigned, func(d data) bool { return string(d) == words[1] }) {
			signers = append(signers, words[2])
		}
	}
	for _, vkey := range signers {
		signed += line(named(vkey))
	}
	if !withFakes(g).Satisfied([]byte(signed)) {
		return outcome{err: errors.New("not satisfied")}
	}
	return outcome{}
}

func formatsWitnessed(v vector) outcome {
	g, err := witness.ParsePolicy(withURLs(v.Policy))
	if err != nil {
		return outcome{err: err}
	}
	var logs []string
	for _, words := range policyLines(v.Policy, "log") {
		logs = append(logs, words[1])
	}
	var witnesses []note.Verifier
	for _, words := range policyLines(v.Policy, "witness") {
		k, err := fnote.NewVerifierForCosignatureV1(words[2])
		if err != nil {
			return outcome{err: err}
		}
		witnesses = append(witnesses, k)
	}
	c, rest, err := openAny(v.Checkpoint, logs, witnesses)
	if err != nil {
		return outcome{err: err}
	}
	if !g.Satisfied(v.Checkpoint) {
		return outcome{err: errors.New("not satisfied"), kind: "quorum-short"}
	}
	return diffFormats(c, rest, v)
}

// formatsProof reads the checkpoint too, as users of the proof do next.
func formatsProof(v vector) outcome {
	var p proof.TLogProof
	if err := p.Unmarshal(v.Proof); err != nil {
		return outcome{err: err}
	}
	n, err := note.Open(p.Checkpoint, allKnown{})
	if err != nil {
		return outcome{err: err}
	}
	var c log.Checkpoint
	if _, err := c.Unmarshal([]byte(n.Text)); err != nil {
		return outcome{err: err}
	}
	if !v.Valid {
		return outcome{}
	}
	hashes := slices.EqualFunc(p.Hashes, v.Result.Hashes, func(a [32]byte, b hash) bool { return a == b })
	if p.Index != uint64(v.Result.Index) || string(p.ExtraData) != string(v.Result.Extra) || string(p.Checkpoint) != string(v.Result.Checkpoint) || !hashes {
		return outcome{diff: "another proof"}
	}
	if string(p.Marshal()) != string(v.Proof) {
		return outcome{diff: "and prints something else"}
	}
	return outcome{}
}

// allKnown takes every signature for a good one.
type allKnown struct{}

func (allKnown) Verifier(name string, id uint32) (note.Verifier, error) { return yes{name, id}, nil }
