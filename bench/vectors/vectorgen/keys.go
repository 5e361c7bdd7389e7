package main

import (
	"crypto/elliptic"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
)

func (s *suite) vkeys() {
	s.goodVkeys()
	for _, c := range badVkeys() {
		s.add("vkey", c.name, vkeyCase{meta: c.meta(), Vkey: data(c.in), verdict: malformed(c.reason)})
	}
	s.signing()
}

func (s *suite) goodVkeys() {
	for _, c := range []struct {
		name, desc string
		rule       rule
		key        key
	}{
		{"ed25519", "An Ed25519 key, as logs have.", ruleVkeyForm, newKey("example.com/log", algEd25519)},
		{"cosignature", "A cosignature/v1 key, as witnesses have.", ruleCosKeyID, newKey("witness.example/w1", algCosignature)},
		{"same-key-two-types", "The key of the case ed25519 as a cosignature/v1 key: the type alone changes the id.", ruleKeyID, newKey("example.com/log", algEd25519).as("example.com/log", algCosignature)},
		{"name-beyond-ascii", "A name of letters beyond ASCII.", ruleNoteName, newKey("exämple☃", algEd25519)},
		{"name-of-300-bytes", "The specification sets no limit to the length of a key name.", ruleNoteName, newKey(strings.Repeat("n", 300), algEd25519)},
		{"name-of-255-bytes-cosignature", "A long cosigner name; only ML-DSA limits it.", ruleCosKeyID, newKey(strings.Repeat("n", 255), algCosignature)},
		{"base64-with-plus", "Base64 that holds plus signs: only the first two separate.", ruleVkeyForm, keyWithPlus()},
	} {
		s.goodVkey(c.name, about(c.desc, c.rule), c.key.name, c.key.alg, c.key.public())
	}
	for _, c := range []struct{ name, desc, vkey string }{
		{"documentation-of-signed-note", "The example in c2sp.org/signed-note.", "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"},
		{"documentation-of-xmod", "The example in the documentation of golang.org/x/mod/sumdb/note.", "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"},
		{"sum-golang-org", "The key of sum.golang.org.", "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"},
	} {
		parts := strings.SplitN(c.vkey, "+", 3)
		raw, err := base64.StdEncoding.DecodeString(parts[2])
		if err != nil || vkey(parts[0], raw[0], raw[1:]) != c.vkey {
			panic("case vkey/" + c.name + " is no verifier key")
		}
		s.goodVkey(c.name, about(c.desc, ruleVkeyForm), parts[0], raw[0], raw[1:])
	}
}

func (s *suite) goodVkey(name string, m meta, keyName string, alg byte, public []byte) {
	s.add("vkey", name, vkeyCase{meta: m, Vkey: data(vkey(keyName, alg, public)), verdict: valid, Result: &vkeyResult{
		Name: keyName, KeyID: fmt.Sprintf("%08x", keyID(keyName, alg, public)), Type: int(alg), Public: b64(public),
	}})
}

// keyWithPlus finds a key whose base64 holds a plus sign.
func keyWithPlus() key {
	for i := 0; ; i++ {
		k := newKey(fmt.Sprintf("plus%d.example", i), algEd25519)
		if strings.Count(k.vkey(), "+") > 3 {
			return k
		}
	}
}

func badVkeys() []textCase {
	k := newKey("example.com/log", algEd25519)
	good := k.vkey()
	id, material := fmt.Sprintf("%08x", k.id()), b64(append([]byte{algEd25519}, k.public()...))
	with := func(name, id, material string) string { return name + "+" + id + "+" + material }
	raw := func(alg byte, public []byte) string { return vkey(k.name, alg, public) }
	w := k.as(k.name, algCosignature)
	other := fmt.Sprintf("%08x", k.id()^1)
	upper := strings.ToUpper(id)
	if upper == id || strings.ToUpper(hexID(w.id())) == hexID(w.id()) {
		panic("an id has no letters")
	}
	cases := []textCase{
		{"nothing", "No bytes at all.", ruleVkeyForm, "", "form", ""},
		{"name-alone", "A name and nothing else.", ruleVkeyForm, k.name, "form", ""},
		{"two-parts", "A name and an id.", ruleVkeyForm, k.name + "+" + id, "form", ""},
		{"name-empty", "The name is empty.", ruleNoteName, with("", id, material), "name", ""},
		{"id-empty", "The id is empty.", ruleVkeyHex, with(k.name, "", material), "key-id", ""},
		{"material-empty", "The key is empty.", ruleVkeyForm, with(k.name, id, ""), "key-size", ""},
		{"id-wrong", "An id in which one bit is wrong.", ruleVkeyType, with(k.name, other, material), "key-id", ""},
		{"id-of-another-type", "The id that the same key has as a cosignature/v1 key.", ruleVkeyType, with(k.name, fmt.Sprintf("%08x", k.as(k.name, algCosignature).id()), material), "key-id", ""},
		{"id-of-another-name", "The id that the same key has under another name.", ruleKeyID, with("example.com/other", id, material), "key-id", ""},
		{"id-upper-case", "The id in upper-case hex.", ruleVkeyHex, with(k.name, upper, material), "key-id", ""},
		{"id-seven-digits", "The id without its last digit.", ruleVkeyHex, with(k.name, id[:7], material), "key-id", ""},
		{"id-nine-digits", "The id with a zero before it.", ruleVkeyHex, with(k.name, "0"+id, material), "key-id", ""},
		{"id-0x", "The id with 0x before it.", ruleVkeyHex, with(k.name, "0x"+id, material), "key-id", ""},
		{"id-sign", "The id with a sign, in the place of a digit.", ruleVkeyHex, with(k.name, "-"+id[1:], material), "key-id", ""},
		{"id-space", "A space before the id.", ruleVkeyHex, with(k.name, " "+id, material), "key-id", ""},
		{"name-with-plus", "A plus sign in the name makes it four parts.", ruleNoteName, with("example.com+log", id, material), "any", ""},
		{"name-with-space", "A space in the name.", ruleNoteName, raw2("a b", k), "name", ""},
		{"name-with-line-separator", "U+2028 in the name.", ruleNoteName, raw2("a\u2028b", k), "name", ""},
		{"name-with-newline", "A newline in the name.", ruleNoteName, raw2("a\nb", k), "name", ""},
		{"name-with-nul", "A NUL in the name.", ruleNoteChars, raw2("a\x00b", k), "name", "No note can hold such a name, so the key could never sign; the specification does not say that the key is refused already."},
		{"name-not-utf8", "A name that is not valid UTF-8.", ruleNoteChars, raw2("a\xffb", k), "name", ""},
		{"key-31-bytes", "An Ed25519 key of 31 bytes.", ruleVkeyMaterial, raw(algEd25519, k.public()[:31]), "key-size", ""},
		{"key-33-bytes", "An Ed25519 key of 33 bytes.", ruleVkeyMaterial, raw(algEd25519, append(k.public(), 0)), "key-size", ""},
		{"key-type-alone", "The type byte without a key.", ruleVkeyMaterial, raw(algEd25519, nil), "key-size", ""},
		{"cosignature-key-31-bytes", "A cosignature/v1 key of 31 bytes.", ruleCosKeyID, raw(algCosignature, k.public()[:31]), "key-size", ""},
		{"cosignature-key-33-bytes", "A cosignature/v1 key of 33 bytes.", ruleCosKeyID, raw(algCosignature, append(k.public(), 0)), "key-size", ""},
		{"cosignature-id-wrong", "A cosignature/v1 key with an id in which one bit is wrong.", ruleCosKeyID, strings.Replace(w.vkey(), hexID(w.id()), hexID(w.id()^1), 1), "key-id", ""},
		{"cosignature-id-of-another-type", "A cosignature/v1 key with the id that the same key has as an Ed25519 key.", ruleCosKeyID, strings.Replace(w.vkey(), hexID(w.id()), id, 1), "key-id", ""},
		{"cosignature-id-upper-case", "A cosignature/v1 key with its id in upper-case hex.", ruleVkeyHex, strings.Replace(w.vkey(), hexID(w.id()), strings.ToUpper(hexID(w.id())), 1), "key-id", ""},
		{"cosignature-name-with-space", "A cosignature/v1 key with a space in its name.", ruleNoteName, raw2("a b", w), "name", ""},
		{"cosignature-base64-with-newline", "A cosignature/v1 key with a newline within its base64.", ruleAlphabet, w.vkey()[:len(w.vkey())-4] + "\n" + w.vkey()[len(w.vkey())-4:], "base64", ""},
		{"type-00", "The type 0x00, which is not assigned.", ruleSigTypes, raw(0, k.public()), "key-type", "A type that is not implemented is refused."},
		{"type-03", "The type 0x03, which is reserved.", ruleSigTypes, raw(3, k.public()), "key-type", "A type that is not implemented is refused."},
		{"type-05", "The type 0x05, RFC 6962 tree heads.", ruleSigTypes, raw(algTreeHead, k.public()), "key-type", "This project has no use for type 0x05 and refuses it."},
		{"type-fa", "The type 0xfa, which is reserved.", ruleSigTypes, raw(0xfa, k.public()), "key-type", "A type that is not implemented is refused."},
		{"type-ff", "The type 0xff with a longer identifier.", ruleSigTypes, raw(0xff, append([]byte("example.com/type"), k.public()...)), "key-type", "A type that is not implemented is refused."},
		{"base64-not-padded", "The padding, which a key of 31 bytes would not need, is too much.", ruleBase64, good + "=", "base64", ""},
		{"base64-of-urls", "The key in the alphabet for URLs.", ruleAlphabet, urlVkey(), "base64", ""},
		{"base64-then-newline", "A newline at the end.", ruleAlphabet, good + "\n", "base64", ""},
		{"base64-then-space", "A space at the end.", ruleAlphabet, good + " ", "base64", ""},
		{"base64-with-newline", "A newline within the base64.", ruleAlphabet, good[:len(good)-4] + "\n" + good[len(good)-4:], "base64", ""},
		{"base64-with-cr", "A CR within the base64.", ruleAlphabet, good[:len(good)-4] + "\r" + good[len(good)-4:], "base64", ""},
		{"base64-cut", "The last character is missing.", rulePadding, good[:len(good)-1], "base64", ""},
		{"hex-key", "The key in hex instead of base64.", ruleVkeyForm, with(k.name, id, hex.EncodeToString(append([]byte{1}, k.public()...))), "any", ""},
		{"space-before", "A space before the name.", ruleNoteName, " " + good, "name", ""},
		{"private-key", "A private key where a verifier key belongs.", ruleVkeyForm, k.skey(), "private", ""},
	}
	return cases
}

// raw2 is the verifier key of k under a name that may be malformed.
func raw2(name string, k key) string { return k.as(name, k.alg).vkey() }

// urlVkey finds a key whose base64 differs between the two alphabets.
func urlVkey() string {
	k := keyWithPlus()
	parts := strings.SplitN(k.vkey(), "+", 3)
	return parts[0] + "+" + parts[1] + "+" + strings.NewReplacer("+", "-", "/", "_").Replace(parts[2])
}

// signing covers private keys and signatures that are the same for everybody:
// Ed25519 has no randomness.
func (s *suite) signing() {
	text := checkpointText("example.com/log", 1, leafHash("a"))
	log, witness := newKey("example.com/log", algEd25519), newKey("witness.example/w1", algCosignature)
	for _, c := range []struct {
		name, desc string
		rule       rule
		key        key
		text       string
		unix       uint64
	}{
		{"ed25519", "An Ed25519 signature, as logs make; the time has no effect.", ruleEd25519, log, text, 0},
		{"ed25519-with-time", "An Ed25519 signature carries no time, whatever time is given.", ruleEd25519, log, text, 1700000000},
		{"ed25519-text-with-empty-lines", "A text with empty lines is signed as it is.", ruleEd25519, log, "a\n\nb\n\n", 0},
		{"cosignature", "A cosignature.", ruleCosMessage, witness, text, 1700000000},
		{"cosignature-time-0", "A cosignature at time 0.", ruleCosTime, witness, text, 0},
		{"cosignature-time-1", "A cosignature at time 1: the decimal has no leading zeros.", ruleCosTime, witness, text, 1},
		{"cosignature-largest-time", "A cosignature at the largest time there is.", ruleCosRange, witness, text, math.MaxInt64},
		{"cosignature-extensions", "A cosignature covers extension lines.", ruleCosExt, witness, text + "extension\n", 1700000000},
	} {
		s.add("sign", c.name, signCase{
			meta: about(c.desc, c.rule), Skey: data(c.key.skey()), Text: data(c.text), Time: number(c.unix).text(), verdict: valid,
			Result: &signResult{Vkey: c.key.vkey(), Line: c.key.sign(c.text, c.unix).String()},
		})
	}
	skey := log.skey()
	idAt := len("PRIVATE+KEY+example.com/log+")
	wrongID := fmt.Sprintf("%s%08x%s", skey[:idAt], log.id()^1, skey[idAt+8:])
	seed := func(alg byte, n int) string {
		return fmt.Sprintf("%s%08x+%s", skey[:idAt], log.id(), b64(append([]byte{alg}, make([]byte, n)...)))
	}
	for _, c := range []struct {
		name, desc       string
		rule             rule
		skey, text, time string
		reason           string
	}{
		{"id-wrong", "A private key whose id is not that of its public key.", ruleKeyID, wrongID, text, "0", "key-id"},
		{"verifier-key", "A verifier key where a private key belongs.", ruleSignerKey, log.vkey(), text, "0", "private"},
		{"seed-31-bytes", "A seed of 31 bytes.", ruleSignerKey, seed(algEd25519, 31), text, "0", "key-size"},
		{"seed-64-bytes", "Seed and public key, as other programs store them.", ruleSignerKey, seed(algEd25519, 64), text, "0", "key-size"},
		{"type-unknown", "A private key of a type that is not assigned.", ruleSignerKey, seed(0, 32), text, "0", "key-type"},
		{"text-not-ended", "A text that does not end in a newline is not signed.", ruleNoteForm, skey, "hello", "0", "newline"},
		{"text-with-cr", "A text with a CR is not signed.", ruleNoteChars, skey, "hello\r\n", "0", "control"},
		{"text-not-utf8", "A text that is not valid UTF-8 is not signed.", ruleNoteChars, skey, "hello\xff\n", "0", "utf-8"},
		{"text-empty", "An empty text is not signed.", ruleNoteForm, skey, "", "0", "newline"},
		{"time-negative", "A cosignature at a time below zero.", ruleCosStruct, witness.skey(), text, "-1", "time"},
	} {
		s.add("sign", c.name, signCase{meta: about(c.desc, c.rule), Skey: data(c.skey), Text: data(c.text), Time: c.time, verdict: malformed(c.reason)})
	}
}

func checkpointText(origin string, size uint64, root hash, extensions ...string) string {
	text := origin + "\n" + number(size).text() + "\n" + root.String() + "\n"
	for _, e := range extensions {
		text += e + "\n"
	}
	return text
}

// ecdsaVkeys covers type 0x02.
func (s *suite) ecdsaVkeys() {
	k := newKey("rekor.example", algECDSA)
	s.goodVkey("ecdsa", about("An ECDSA P-256 key, as Rekor has: its id does not depend on the name.", ruleECDSAKeyID), k.name, k.alg, k.public())
	s.goodVkey("ecdsa-another-name", about("The key of the case ecdsa under another name has the same id.", ruleECDSAKeyID), "other.example", k.alg, k.public())
	p384, p521 := spki(&k.ecdsa(elliptic.P384()).PublicKey), spki(&k.ecdsa(elliptic.P521()).PublicKey)
	public := k.public()
	spare := strings.TrimSuffix(k.vkey(), "=")
	spare = spare[:len(spare)-1] + string(spare[len(spare)-1]+1) + "="
	offCurve := append([]byte{}, public...)
	offCurve[len(offCurve)-1] ^= 1
	for _, c := range []struct {
		name, desc string
		rule       rule
		vkey       string
		reason     string
		choice     string
	}{
		{"ecdsa-id-as-for-ed25519", "The id computed over name, type and key, as for the other types.", ruleECDSAKeyID, fmt.Sprintf("%s+%08x+%s", k.name, keyID(k.name, 3, public), b64(append([]byte{2}, public...))), "key-id", ""},
		{"ecdsa-id-upper-case", "The id in upper-case hex.", ruleVkeyHex, strings.Replace(k.vkey(), hexID(k.id()), strings.ToUpper(hexID(k.id())), 1), "key-id", ""},
		{"ecdsa-id-nine-digits", "The id with a zero before it.", ruleVkeyHex, strings.Replace(k.vkey(), hexID(k.id()), "0"+hexID(k.id()), 1), "key-id", ""},
		{"ecdsa-id-wrong", "An id in which one bit is wrong.", ruleECDSAKeyID, strings.Replace(k.vkey(), hexID(k.id()), hexID(k.id()^1), 1), "key-id", ""},
		{"ecdsa-name-empty", "The name is empty.", ruleNoteName, vkey("", algECDSA, public), "name", ""},
		{"ecdsa-name-with-space", "A space in the name.", ruleNoteName, vkey("a b", algECDSA, public), "name", ""},
		{"ecdsa-p384", "A key on P-384.", ruleECDSACurve, vkey(k.name, algECDSA, p384), "key-ecdsa", "Of the curves allowed only P-256, the one that SHOULD be used, is implemented."},
		{"ecdsa-p521", "A key on P-521.", ruleECDSACurve, vkey(k.name, algECDSA, p521), "key-ecdsa", "Of the curves allowed only P-256, the one that SHOULD be used, is implemented."},
		{"ecdsa-point-alone", "The bare point instead of the SubjectPublicKeyInfo.", ruleECDSAKeyID, vkey(k.name, algECDSA, public[len(public)-65:]), "key-ecdsa", ""},
		{"ecdsa-compressed-point", "A compressed point in the SubjectPublicKeyInfo.", ruleECDSAKeyID, vkey(k.name, algECDSA, compressedSPKI(public)), "key-ecdsa", "RFC 5480 lets implementations support compressed points; here a key has one spelling."},
		{"ecdsa-off-curve", "A point that is not on the curve.", ruleECDSACurve, vkey(k.name, algECDSA, offCurve), "key-ecdsa", ""},
		{"ecdsa-trailing-byte", "A byte after the SubjectPublicKeyInfo.", ruleECDSAKeyID, vkey(k.name, algECDSA, append(append([]byte{}, public...), 0)), "key-ecdsa", ""},
		{"ecdsa-ed25519-spki", "An Ed25519 key in SPKI form under type 0x02.", ruleECDSACurve, vkey(k.name, algECDSA, append([]byte("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"), newKey("x", algEd25519).public()...)), "key-ecdsa", ""},
		{"ecdsa-spare-bits", "Base64 whose spare bits are not zero.", ruleSpare, spare, "base64", choiceSpare},
	} {
		s.add("vkey", c.name, vkeyCase{meta: about(c.desc, c.rule).choosing(c.choice), Vkey: data(c.vkey), verdict: malformed(c.reason)})
	}
}

// compressedSPKI compresses the point of a P-256 key.
func compressedSPKI(public []byte) []byte {
	head := append([]byte{}, public[:len(public)-65]...)
	head[1] -= 32           // length of the whole
	head[len(head)-2] -= 32 // length of the bit string
	x, y := public[len(public)-64:len(public)-32], public[len(public)-32:]
	return append(append(head, 2+y[31]&1), x...)
}
