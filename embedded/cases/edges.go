package cases

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// edges makes cases at the edges of what the verifier reads. Signatures are always good: what is
// wrong with a sidecar is one thing.
type edges struct {
	log, witness *proofs.Signer
	policy       *proofs.Policy
	release      leaf.Leaf
	all          []Case
	failed       []error
}

// Edges are sidecars of every spelling and limit that a reader may get wrong: of the leaf, of
// base64, of names, of sizes and counts, and policies as large as fit. The Go code says what is
// right.
func Edges() ([]Case, error) {
	e := &edges{log: Signer("log.example", proofs.Ed25519), witness: Signer("w.example", proofs.CosignatureV1)}
	e.policy = e.parse(e.log, "w", e.witness)
	e.release = leaf.Leaf{Kind: leaf.Release, Repository: tuf.Sum([]byte("first root")), Role: "fw/größe", Version: 4294967301, Encoding: tuf.JSON,
		Payload: tuf.Sum([]byte("payload")), Metadata: tuf.Sum([]byte("metadata")), Size: 1234, Snapshot: tuf.Sum([]byte("snapshot")), Listed: leaf.ByHash}
	e.claims()
	e.leaves()
	e.spellings()
	e.trees()
	e.limits()
	e.signatures()
	e.policies()
	e.rotated()
	return e.all, errors.Join(e.failed...)
}

func (e *edges) parse(log *proofs.Signer, witnesses ...any) *proofs.Policy {
	b := fmt.Appendf(nil, "log %v\n", log.Key())
	names := ""
	for i := 0; i < len(witnesses); i += 2 {
		b = fmt.Appendf(b, "witness %s %v\n", witnesses[i], witnesses[i+1].(*proofs.Signer).Key())
		names += " " + witnesses[i].(string)
	}
	b = fmt.Appendf(b, "group g all%s\nquorum g\n", names)
	p, err := proofs.ParsePolicy(b)
	e.failed = append(e.failed, err)
	return p
}

func (e *edges) add(name string, policy *proofs.Policy, claim Claim, sidecar []byte) {
	c, err := New(name, policy, claim, sidecar)
	e.failed, e.all = append(e.failed, err), append(e.all, c)
}

// claim is that the entry is e.release.
func (e *edges) claim() Claim {
	l := e.release
	var c Claim
	c.Repository, c.Role, c.Version, c.Payload, c.Encoding = l.Repository, l.Role, l.Version, l.Payload, l.Encoding
	return c
}

func (e *edges) sign(text string, signers ...*proofs.Signer) []byte {
	note, err := sign(text, signers...)
	e.failed = append(e.failed, err)
	return note
}

// note is a checkpoint of one entry, signed, without the lines behind that.
func (e *edges) note(entry []byte, extensions ...string) []byte {
	c := proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: 1, Hash: proofs.LeafHash(entry)}, Extensions: extensions}
	return e.sign(c.String(), e.log, e.witness)
}

func (e *edges) sidecar(entry []byte, lines ...string) []byte {
	p := proofs.Proof{Extra: entry, Checkpoint: append(e.note(entry), strings.Join(lines, "")...)}
	return p.Marshal()
}

// claims differ from the leaf in one byte, or in what 32 bits leave out.
func (e *edges) claims() {
	sidecar := e.sidecar(e.release.Marshal())
	for i := range 32 {
		c := e.claim()
		c.Repository[i] ^= 0x10
		e.add(fmt.Sprintf("repository differs in byte %d", i), e.policy, c, sidecar)
		c = e.claim()
		c.Payload[i] ^= 1
		e.add(fmt.Sprintf("payload differs in byte %d", i), e.policy, c, sidecar)
	}
	for _, version := range []int64{0, 5, 4294967300, e.release.Version + 1<<32, math.MaxInt64} {
		c := e.claim()
		c.Version = version
		e.add(fmt.Sprintf("version %d claimed", version), e.policy, c, sidecar)
	}
	for _, role := range []string{"", "fw/größ", "fw/größ\xc3", "fw/größex", "fw%2Fgröße", "FW/größe"} {
		c := e.claim()
		c.Role = role
		e.add(fmt.Sprintf("role %q claimed", role), e.policy, c, sidecar)
	}
}

// leaves are texts that are logged and proved, and may not be leaves.
func (e *edges) leaves() {
	good := string(e.release.Marshal())
	entry := func(name, text string) { e.add("leaf: "+name, e.policy, e.claim(), e.sidecar([]byte(text))) }
	replace := func(old string, with ...string) {
		if !strings.Contains(good, old) {
			e.failed = append(e.failed, fmt.Errorf("the leaf has no %q", old))
		}
		for _, w := range with {
			entry(fmt.Sprintf("%.60q for %q", w, old), strings.Replace(good, old, w, 1))
		}
	}
	entry("good", good)
	for _, i := range []int{1, 8, len(good) - 30, len(good) - 14, len(good) - 5, len(good) - 2, len(good) - 1} {
		entry(fmt.Sprintf("cut after %d bytes", i), good[:i])
	}
	for _, s := range []string{"\x00", "\n", "x", "reason equivocation 0\n"} {
		entry(fmt.Sprintf("%q behind it", s), good+s)
	}
	replace("version 4294967301", "version 0", "version ", "version 01", "version 9007199254740991", "version 9007199254740992", "version -1", "version 4294967301 ", "version 18446744073709551617")
	replace(" 1234\n", " 0\n", " \n", "\n", " 33554432\n", " 33554433\n", " 4294968530\n", " 01234\n")
	replace("fw%2Fgr%C3%B6%C3%9Fe", "", "%", "%2", "%2\n", "fw%", "fw%2", "%66w%2Fgr%C3%B6%C3%9Fe", "fw%2fgr%C3%B6%C3%9Fe", "fw/gr%C3%B6%C3%9Fe", "fw%2Fgr%C3%B6%C3%9F%65",
		"fw%2Fgr%C3%B6%C3", "%C3", "%C3%", "%F0%9F%98%80", "%F4%8F%BF%BF", "%F4%90%80%80", "%F5%80%80%80", "%ED%9F%BF", "%ED%A0%80", "%ED%BF%BF", "%EE%80%80", "%E0%9F%BF", "%E0%A0%80",
		"%F0%8F%BF%BF", "%F0%90%80%80", "%C1%BF", "%C2%80", "%80", "%FF", "%00", "fw%2Fgr%C3%B6%C3%9Fe%00", "%GG", "%2G", "%+F", "%`A", "a b", "a%20b", "a+b", "~._-", "fw%2Fgr%C3%B6%C3%9Fex")
	snapshot := "snapshot sha256:" + e.release.Snapshot.String() + " hash"
	replace(snapshot, "snapshot -", "snapshot sha256:"+strings.Repeat("0", 64)+" hash", "snapshot - hash", "snapshot", "snapshot ", strings.ToUpper(snapshot), snapshot[:len(snapshot)-5], snapshot[:len(snapshot)-4]+"version", snapshot+" ",
		"snapshot sha256:"+strings.Repeat("0", 63)+"1 hash")
	replace("repository "+e.release.Repository.String(), "repository "+strings.Repeat("0", 64), "repository "+strings.ToUpper(e.release.Repository.String()), "repository "+e.release.Repository.String()+"0", "repository "+e.release.Repository.String()[:63])
	replace("metadata sha256:"+e.release.Metadata.String(), "metadata sha256:"+strings.Repeat("0", 64), "metadata sha512:"+e.release.Metadata.String(), "metadata "+e.release.Metadata.String())
	replace("encoding json\n", "encoding pigweed\n", "encoding jsonx\n", "encoding JSON\n", "encoding \n", "encoding json\r\n", "encoding json\n\n")
	replace("tuflog release v1", "tuflog release v2", "tuflog release  v1", "tuflog evidence v1", "tuflog rumour v1", "tuflog r\x00lease v1", " tuflog release v1")
	for _, index := range []string{"0", "3", "9223372036854775807", "9223372036854775808", "03", "", "-1", "3 "} {
		entry("evidence of "+index, strings.Replace(good, "release", "evidence", 1)+"reason equivocation "+index+"\n")
	}
	l := e.release
	for _, size := range []int{leaf.MaxSize - 1, leaf.MaxSize, leaf.MaxSize + 1} {
		l.Role = ""
		l.Role = strings.Repeat("r", size-len(l.Marshal()))
		c := e.claim()
		c.Role = l.Role
		e.add(fmt.Sprintf("leaf of %d bytes", size), e.policy, c, e.sidecar(l.Marshal()))
	}
}

// spellings are base64 and lines that say what a good one says, or nearly.
func (e *edges) spellings() {
	entry := e.release.Marshal()
	e.respell(e.claim(), string(e.sidecar(entry)))
	for _, extra := range []string{"x", "xy", "xyz"} { // of each padding
		hash := proofs.LeafHash([]byte(extra))
		e.respell(Claim{Leaf: &hash}, string(e.sidecar([]byte(extra))))
	}
	good := string(e.sidecar(entry))
	for _, s := range []string{"\n", " ", "\x00", "— ", "— w.example \n", good} {
		e.add(fmt.Sprintf("%.20q behind it", s), e.policy, e.claim(), []byte(good+s))
	}
	e.names(entry)
}

// respell spells the last word of each line in other ways.
func (e *edges) respell(claim Claim, good string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(good, "\n"), "\n") {
		last := line[strings.LastIndexByte(line, ' ')+1:]
		if line == "" {
			continue
		}
		for _, s := range []string{last + "=", last + "==", last + "====", last + "AAAA", last + "AA==", strings.TrimRight(last, "="), last + " ", last + "\r", last + "\x00", last[1:], last[:max(len(last)-4, 0)], "=" + last, "-" + last[1:], "", "0", "\n" + last, last + "\n"} {
			e.add(fmt.Sprintf("%.20q for %.20q", s, last), e.policy, claim, []byte(strings.Replace(good, line, strings.TrimSuffix(line, last)+s, 1)))
		}
		for i, c := range base64Alphabet { // stray bits
			if pad := strings.Count(last, "="); pad > 0 && i%5 < 2 {
				at := len(last) - pad - 1
				e.add(fmt.Sprintf("%c before the padding of %.20q", c, last), e.policy, claim, []byte(strings.Replace(good, last, last[:at]+string(c)+last[at+1:], 1)))
			}
		}
	}
}

// names are of signature lines that nobody knows, and extension lines, of characters that are no
// part of names, or of no text.
func (e *edges) names(entry []byte) {
	for _, r := range []string{"\u0085", "\u00a0", "\u1680", "\u180e", "\u2000", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff", "+", "\x7f", "\u0080",
		"\ufffd", "\U0010ffff", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xed\xa0\x80", "\xed\xbf\xbf", "\xee\x80\x80", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc1\xbf", "\xff", "\xe2\x80", "\xc3", "\t", "\x1f", ""} {
		e.add(fmt.Sprintf("a signature of %+q", r), e.policy, e.claim(), e.sidecar(entry, "— "+r+" AAAAAQI=\n"))
		if text := "log.example\n1\n" + proofs.LeafHash(entry).String() + "\nx" + r + "\n"; !strings.ContainsAny(r, "\t\x1f") {
			p := proofs.Proof{Extra: entry, Checkpoint: []byte(text + "\n— log.example AAAAAQI=\n")}
			e.add(fmt.Sprintf("an extension of %+q", r), e.policy, e.claim(), p.Marshal())
		}
	}
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// trees are of up to the largest size that the verifier has hashes for, and one larger.
func (e *edges) trees() {
	entry := e.release.Marshal()
	for _, size := range []int64{2, 3, 1<<32 + 1, 1 << 39, 1<<40 - 1, 1 << 40, 1<<40 + 1, 1 << 41, math.MaxInt64} {
		for _, index := range []int64{0, 1, size / 2, size - 2, size - 1} {
			p := proofs.Proof{Extra: entry, Index: index}
			root := proofs.LeafHash(entry)
			for at, last := index, size-1; last > 0; at, last = at>>1, last>>1 {
				sibling := proofs.LeafHash(fmt.Appendf(nil, "%d %d", at, last))
				switch {
				case at&1 == 1:
					root = node(sibling, root)
				case at < last:
					root = node(root, sibling)
				default:
					continue
				}
				p.Hashes = append(p.Hashes, sibling)
			}
			p.Checkpoint = e.sign(proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: size, Hash: root}}.String(), e.log, e.witness)
			name := fmt.Sprintf("entry %d of %d", index, size)
			e.add(name, e.policy, e.claim(), p.Marshal())
			for _, other := range []int64{index ^ 1, index + 1<<32, size} {
				q := p
				q.Index = other
				e.add(fmt.Sprintf("%s as %d", name, other), e.policy, e.claim(), q.Marshal())
			}
			p.Hashes = append(p.Hashes, root)
			e.add(name+", a hash more", e.policy, e.claim(), p.Marshal())
			p.Hashes = p.Hashes[:len(p.Hashes)-2]
			e.add(name+", a hash less", e.policy, e.claim(), p.Marshal())
		}
	}
}

func node(left, right proofs.Hash) proofs.Hash {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// limits are of lines and bytes.
func (e *edges) limits() {
	entry := e.release.Marshal()
	base := len(proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: 1}, Extensions: []string{""}}.String())
	for _, size := range []int{511, 512, 513, 1024} {
		p := proofs.Proof{Extra: entry, Checkpoint: e.note(entry, strings.Repeat("x", size-base))}
		e.add(fmt.Sprintf("a text of %d bytes", size), e.policy, e.claim(), p.Marshal())
	}
	own, err := e.log.Sign(proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: 1, Hash: proofs.LeafHash(entry)}}.String(), 0)
	e.failed = append(e.failed, err)
	for _, n := range []int{30, 31} { // two are there already
		e.add(fmt.Sprintf("%d signatures that are checked", n+2), e.policy, e.claim(), e.sidecar(entry, strings.Repeat(own.String(), n)))
	}
	const stranger = "— stranger.example AAAAAQI=\n"
	for _, n := range []int{29, 126, 127} {
		e.add(fmt.Sprintf("%d signatures", n+2), e.policy, e.claim(), e.sidecar(entry, strings.Repeat(stranger, n)))
	}
	for _, more := range []int{0, 1} {
		room := proofs.MaxNoteSize + more - len(e.note(entry))
		e.add(fmt.Sprintf("a note of %d bytes", proofs.MaxNoteSize+more), e.policy, e.claim(), e.sidecar(entry, "— "+strings.Repeat("n", room-len("—  AAAAAQI=\n"))+" AAAAAQI=\n"))
	}
	for _, more := range []int{0, 1} { // of a claim about an entry's hash, whatever the extra data are
		p := proofs.Proof{Checkpoint: e.note(entry)}
		p.Checkpoint = append(p.Checkpoint, "— "+strings.Repeat("n", 200000)+" AAAAAQI=\n"...)
		room := func() int { return proofs.MaxProofSize - len(p.Marshal()) - len("extra \n") }
		for room()%4 != 0 { // the base64 of the extra data fills the rest
			p.Checkpoint = e.grow(p.Checkpoint)
		}
		p.Extra = make([]byte, room()/4*3)
		for range more {
			p.Checkpoint = e.grow(p.Checkpoint)
		}
		hash := proofs.LeafHash(entry)
		e.add(fmt.Sprintf("a sidecar of %d bytes", len(p.Marshal())), e.policy, Claim{Leaf: &hash}, p.Marshal())
		if len(p.Marshal()) != proofs.MaxProofSize+more {
			e.failed = append(e.failed, fmt.Errorf("a sidecar of %d bytes was meant to have %d", len(p.Marshal()), proofs.MaxProofSize+more))
		}
	}
}

// grow makes the name of the last signature longer by one byte.
func (e *edges) grow(note []byte) []byte {
	i := bytes.LastIndexByte(note, ' ')
	return append(append(bytes.Clone(note[:i]), 'n'), note[i:]...)
}

// signatures are lines like those of keys of the policy.
func (e *edges) signatures() {
	entry := e.release.Marshal()
	line := func(name string, id uint32, size int) string {
		return proofs.Signature{Name: name, KeyID: id, Sig: make([]byte, size)}.String()
	}
	for _, s := range []*proofs.Signer{e.log, e.witness} {
		k := s.Key()
		for _, name := range []string{k.Name(), k.Name()[:len(k.Name())-1], k.Name() + "x", strings.ToUpper(k.Name()), strings.Repeat("n", 70000)} {
			for _, id := range []uint32{k.ID(), k.ID() ^ 1, k.ID() ^ 1<<8, k.ID() ^ 1<<31} {
				for _, size := range []int{1, 64, 72, 73} {
					if len(name) > 1000 && (size != 64 || id != k.ID()) {
						continue
					}
					e.add(fmt.Sprintf("a line of %.12s, id %08x, %d bytes", name, id, size), e.policy, e.claim(), e.sidecar(entry, line(name, id, size)))
				}
			}
		}
		e.add("a key id alone", e.policy, e.claim(), e.sidecar(entry, "— "+k.Name()+" "+base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, k.ID()))+"\n"))
	}
	note, err := proofs.ParseNote(e.note(entry))
	e.failed = append(e.failed, err)
	for i, sig := range note.Signatures {
		for _, s := range [][]byte{sig.Sig[:len(sig.Sig)-1], append(bytes.Clone(sig.Sig), 0), append(bytes.Clone(sig.Sig), make([]byte, 65532)...), append([]byte{sig.Sig[0] ^ 0x80}, sig.Sig[1:]...)} {
			n := proofs.Note{Text: note.Text, Signatures: []proofs.Signature{note.Signatures[1-i], {Name: sig.Name, KeyID: sig.KeyID, Sig: s}}}
			e.add(fmt.Sprintf("signature %d of %d bytes", i, len(s)), e.policy, e.claim(), proofs.Proof{Extra: entry, Checkpoint: n.Marshal()}.Marshal())
		}
		n := proofs.Note{Text: note.Text, Signatures: []proofs.Signature{sig}}
		e.add(fmt.Sprintf("signature %d alone", i), e.policy, e.claim(), proofs.Proof{Extra: entry, Checkpoint: n.Marshal()}.Marshal())
	}
}

// policies are as large as fit, and have keys that are hard to tell apart.
func (e *edges) policies() {
	entry := e.release.Marshal()
	text := func(origin string) string {
		return proofs.Checkpoint{Origin: origin, Tree: proofs.Tree{N: 1, Hash: proofs.LeafHash(entry)}}.String()
	}
	proof := func(origin string, signers ...*proofs.Signer) []byte {
		return proofs.Proof{Extra: entry, Checkpoint: e.sign(text(origin), signers...)}.Marshal()
	}
	// All of 16 keys sign, and then all but one; nested in 16 groups.
	policy := fmt.Appendf(nil, "log %v\n", e.log.Key())
	signers := []*proofs.Signer{e.log}
	for i := range 15 {
		s := Signer(fmt.Sprintf("w%d.example", i), proofs.CosignatureV1)
		signers = append(signers, s)
		policy = fmt.Appendf(policy, "witness w%d %v\n", i, s.Key())
	}
	policy = append(policy, "group g0 1 w0\n"...)
	for i := 1; i < 15; i++ {
		policy = fmt.Appendf(policy, "group g%d all g%d w%d\n", i, i-1, i)
	}
	policy = append(policy, "group g15 any g14\nquorum g15\n"...)
	p, err := proofs.ParsePolicy(policy)
	e.failed = append(e.failed, err)
	e.add("16 keys in 16 groups", p, e.claim(), proof("log.example", signers...))
	for i := range signers {
		e.add(fmt.Sprintf("16 keys in 16 groups, without key %d", i), p, e.claim(), proof("log.example", append(append([]*proofs.Signer{}, signers[:i]...), signers[i+1:]...)...))
	}
	// Two witnesses of one name, whose ids are the same.
	a, b := twin(85250), twin(103078)
	if a.Key().ID() != b.Key().ID() {
		e.failed = append(e.failed, errors.New("the twins have other ids"))
	}
	p = e.parse(e.log, "a", a, "b", b)
	e.add("twins", p, e.claim(), proof("log.example", e.log, a, b))
	e.add("a twin", p, e.claim(), proof("log.example", e.log, a))
	// Two logs: each vouches for its own origin.
	other := Signer("log.example/2", proofs.Ed25519)
	p, err = proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nlog %v\nwitness log.example %v\nwitness w %v\nquorum w\n", e.log.Key(), other.Key(), Signer("log.example", proofs.CosignatureV1).Key(), e.witness.Key()))
	e.failed = append(e.failed, err)
	for _, origin := range []string{"log.example", "log.example/2", "log.example/", "log.exampl", "log"} {
		for i, signers := range [][]*proofs.Signer{{e.log}, {other}, {e.log, other}, {Signer("log.example", proofs.CosignatureV1)}} {
			e.add(fmt.Sprintf("origin %s, signers %d", origin, i), p, e.claim(), proof(origin, append(signers, e.witness)...))
		}
	}
}

// rotated has two keys of one log, of which either vouches for it.
func (e *edges) rotated() {
	seed := sha256.Sum256([]byte("embedded, the next key"))
	next, err := proofs.GenerateSigner(bytes.NewReader(seed[:]), "log.example", proofs.Ed25519)
	e.failed = append(e.failed, err)
	p, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nlog %v\nwitness w %v\nquorum w\n", e.log.Key(), next.Key(), e.witness.Key()))
	e.failed = append(e.failed, err)
	entry := e.release.Marshal()
	text := proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{N: 1, Hash: proofs.LeafHash(entry)}}.String()
	for i, signers := range [][]*proofs.Signer{{e.log}, {next}, {e.log, next}, {}} {
		sidecar := proofs.Proof{Extra: entry, Checkpoint: e.sign(text, append(signers, e.witness)...)}.Marshal()
		e.add(fmt.Sprintf("two keys of one log, signers %d", i), p, e.claim(), sidecar)
	}
	e.add("no signature line", p, e.claim(), proofs.Proof{Extra: entry, Checkpoint: []byte(text + "\n")}.Marshal())
}

// twin returns one of the keys under one name. These two have one id, which took 100,000 to find.
func twin(i uint32) *proofs.Signer {
	seed := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("embedded collision "), i))
	s, err := proofs.GenerateSigner(bytes.NewReader(seed[:]), "twin.example", proofs.CosignatureV1)
	if err != nil {
		panic(err) // the name is ours, and the reader has bytes enough
	}
	return s
}
