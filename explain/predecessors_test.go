package explain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// signed returns targets metadata that keys signed.
func signed(t testing.TB, more object, signers ...int) *tuf.Metadata {
	t.Helper()
	m := parse(t, "targets", more)
	signatures := []object{}
	for _, k := range signers {
		seed := sha256.Sum256([]byte(modelKeyID(k)))
		sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), m.Payload)
		signatures = append(signatures, object{"keyid": modelKeyID(k), "sig": hex.EncodeToString(sig)})
	}
	b, err := json.Marshal(object{"signed": json.RawMessage(m.Payload), "signatures": signatures})
	if err != nil {
		t.Fatal(err)
	}
	if m, err = tuf.ParseJSON(b); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPredecessors(t *testing.T) {
	keys := small(t, object{"targets": modelRole{[]int{1, 2, 3}, 1}.object()}).Root.Root.KeySet(tuf.RoleTargets)
	fewer := small(t, object{"targets": modelRole{[]int{1, 4}, 1}.object()}).Root.Root.KeySet(tuf.RoleTargets)
	day := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	empty := object{"targets": object{}}
	later := object{"targets": object{}, "expires": "2031-01-01T00:00:00Z"}
	large := object{"targets": object{}, "x": strings.Repeat("x", 5000)}
	delegates := object{"targets": object{}, "delegations": object{"keys": object{"key-1": allModelKeys["key-1"]}, "roles": []object{delegation("r", 1, object{"paths": []string{"*"}}, 1)}}}
	var p Predecessors
	for i, step := range []struct {
		release Release
		want    []string
	}{
		{Release{signed(t, empty, 1, 2), keys, day}, nil},
		{Release{signed(t, empty, 1, 2), keys, day}, nil},
		{Release{signed(t, empty, 1, 2), keys, day}, nil},
		{Release{signed(t, empty, 1, 3), keys, day}, []string{
			"first-use key-3 Key key-3 signed for the first time; it could before.",
			"absent-signer key-2 Key key-2, which signed all 3 releases before, did not. It still could."}},
		{Release{signed(t, empty, 4), fewer, day}, []string{
			"new-signer key-4 Key key-4 signed, which could not sign any release before.",
			"absent-signer key-1 Key key-1, which signed all 4 releases before, did not. It still could."}},
		{Release{signed(t, delegates, 4), fewer, day}, []string{"new-delegation r It delegates to r, to which no release before it did."}},
		{Release{signed(t, later, 4), fewer, day}, []string{"expiry-habit  It is valid for 17520 hours; the 6 before it were valid for 8760."}},
		{Release{signed(t, large, 4), fewer, time.Time{}}, []string{
			"expiry-back  It expires 365 days earlier than the release before it.",
			"size  The file has 5289 bytes; the 7 before it had 282 to 533."}},
		{Release{signed(t, large, 4), fewer, time.Time{}}, nil},
	} {
		var got []string
		for _, d := range p.Next(step.release) {
			got = append(got, string(d.Kind)+" "+d.Name+" "+d.Text)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("release %d:\n%s\nwant:\n%s", i+1, strings.Join(got, "\n"), strings.Join(step.want, "\n"))
		}
	}
}
