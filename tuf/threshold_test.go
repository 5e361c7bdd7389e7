package tuf

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// What signed a file in vain is named: a vendor must learn which of his keys the
// log cannot check.
func TestThresholdError(t *testing.T) {
	a, b := ed25519TestKey(t), ed25519TestKey(t)
	payload := []byte("payload")
	oidc := func() *Key { return &Key{Type: "sigstore-oidc", Scheme: "Fulcio"} }
	keys := map[string]*Key{
		"a": a.key, "b": b.key, "i1": oidc(), "i2": oidc(),
		"small":  {Type: "ed25519", Scheme: "ed25519", Public: "01" + strings.Repeat("00", 31)},
		"p521":   {Type: "ecdsa", Scheme: "ecdsa-sha2-nistp521", Public: "00"},
		"escape": {Type: "\x1b[2J", Scheme: "x"},
	}
	for _, test := range []struct {
		ids, signed, notHex string
		threshold           int
		want                string
	}{
		{"a b", "a", "", 2, "signed by 1 keys of the role, 2 needed"},
		{"a i1", "a i1", "", 2, "signed by 2 keys, of which 1 is of type sigstore-oidc, which this log cannot check; the role needs 2"},
		{"a i1 i2", "a i1 i2", "", 2, "signed by 3 keys, of which 2 are of type sigstore-oidc, which this log cannot check; the role needs 2"},
		{"i1", "i1", "", 1, "signed by 1 key, of type sigstore-oidc, which this log cannot check; the role needs 1"},
		{"i1", "", "i1", 1, "signed by 1 key, of type sigstore-oidc, which this log cannot check; the role needs 1"},
		{"a", "a i1", "", 2, "signed by 1 keys of the role, 2 needed"}, // the role does not list it
		{"a i1", "a", "", 2, "signed by 1 keys of the role, 2 needed"},
		{"a b", "a", "b", 2, "signed by 1 keys of the role, 2 needed; 1 signature of the role is not hexadecimal, and counts as none"},
		{"a b", "", "a b", 2, "signed by 0 keys of the role, 2 needed; 2 signatures of the role are not hexadecimal, and count as none"},
		{"a small", "a small", "", 2, "signed by 2 keys, of which 1 is of type ed25519 but cannot be read as ed25519; the role needs 2"},
		{"p521", "p521", "", 1, "signed by 1 key, of type ecdsa and scheme ecdsa-sha2-nistp521, which this log cannot check; the role needs 1"},
		{"a i1 small", "a i1 small", "", 3, "signed by 3 keys, of which 1 is of type ed25519 but cannot be read as ed25519, and 1 is of type sigstore-oidc, which this log cannot check; the role needs 3"},
		{"escape", "escape", "", 1, `signed by 1 key, of type "\x1b[2J", which this log cannot check; the role needs 1`},
	} {
		m := &Metadata{Payload: payload, NotHex: strings.Fields(test.notHex)}
		for _, id := range strings.Fields(test.signed) {
			switch id {
			case "a":
				m.Signatures = append(m.Signatures, Signature{id, a.sign(payload)})
			case "b":
				m.Signatures = append(m.Signatures, Signature{id, b.sign(payload)})
			default:
				m.Signatures = append(m.Signatures, Signature{id, []byte("sig")})
			}
		}
		err := m.Meets(NewKeySet(keys, Role{KeyIDs: strings.Fields(test.ids), Threshold: test.threshold}))
		if err == nil || err.Error() != test.want {
			t.Errorf("%s signed for %s: %v\nwant %s", test.signed, test.ids, err, test.want)
		}
		told := OnDevice(err).Error()
		if told != strings.Replace(test.want, "this log", "this device", 1) || err.Error() != test.want {
			t.Errorf("a device says %s", told)
		}
	}
}

// A Sigstore identity's signature is base64, and beside it lies its bundle. A file
// whose threshold others meet is good all the same.
func TestSignatureNotHex(t *testing.T) {
	good := ed25519TestKey(t)
	unsigned, err := ParseJSON([]byte(timestampFile))
	if err != nil {
		t.Fatal(err)
	}
	bundle := `"sig":"bm90IGhleA==","bundle":{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","x":"` + strings.Repeat("x", 8<<10) + `"}`
	file := edit(t, timestampFile, `[]`, `[{"keyid":"i","`+bundle[1:]+`},{"keyid":"a","sig":"`+hex.EncodeToString(good.sign(unsigned.Payload))+`"}]`)
	m, err := ParseJSON([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Signatures) != 1 || len(m.NotHex) != 1 || m.NotHex[0] != "i" {
		t.Errorf("signatures %v, not hexadecimal %v", m.Signatures, m.NotHex)
	}
	keys := map[string]*Key{"a": good.key, "i": {Type: "sigstore-oidc", Scheme: "Fulcio"}}
	role := Role{KeyIDs: []string{"i", "a"}, Threshold: 1}
	if err := m.Meets(NewKeySet(keys, role)); err != nil {
		t.Error(err)
	}
	role.Threshold = 2
	var short *ThresholdError
	if err := m.Meets(NewKeySet(keys, role)); !errors.As(err, &short) || short.Have != 1 || len(short.Unchecked) != 1 || short.Unchecked[0] != (UncheckedKeys{Type: "sigstore-oidc", Scheme: "Fulcio", Keys: 1}) {
		t.Errorf("got %v", err)
	}
}
