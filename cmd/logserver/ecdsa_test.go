package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
)

// signedWithECDSA waits until a log's checkpoint has a signature of a key, and checks it
// as Rekor does: ASN.1, over the SHA-256 of the note's text, by a SubjectPublicKeyInfo.
func signedWithECDSA(t *testing.T, url, vkey string) (signed []byte) {
	t.Helper()
	key, err := proofs.ParseKey(vkey)
	if err != nil || key.Algorithm() != proofs.ECDSA {
		t.Fatalf("%s is not an ECDSA key: %v", vkey, err)
	}
	public, err := x509.ParsePKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	var text string
	var sig []byte
	runtest.Eventually(t, "a checkpoint signed by "+vkey, func() bool {
		_, signed = get(t, url+"/checkpoint")
		note, _ := proofs.ParseNote(signed) // there is none at first
		text = note.Text
		for _, s := range note.Signatures {
			if s.KeyID == key.ID() {
				sig = s.Sig
			}
		}
		return sig != nil
	})
	digest := sha256.Sum256([]byte(text))
	if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], sig) {
		t.Errorf("the signature of %s does not verify:\n%s", vkey, signed)
	}
	return signed
}

// A log that was made with --ecdsa signs with three keys, and each opens its checkpoints
// alone: whoever lists the Ed25519 key need not know of the others.
func TestInitECDSA(t *testing.T) {
	w := &world{World: &runtest.World{Dir: t.TempDir()}}
	printed := runtest.Must(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log", "--ecdsa")
	keys := strings.Split(printed, "\n")
	if len(keys) != 3 {
		t.Fatalf("init --ecdsa printed %s", printed)
	}
	own, rekor := keys[0], keys[2]
	if list := runtest.Must(t, "logserver", "key", "list", "--dir", w.Path("log")); list != printed {
		t.Errorf("keys:\n%s\nwant\n%s", list, printed)
	}
	for _, file := range []string{"log/log.key", "log/keys/ml-dsa-44.key", "log/keys/rekor.key"} {
		if info, err := os.Stat(w.Path(file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	w.serve(t, own, "--open-registration") // with witnesses and a policy that know the Ed25519 key alone
	w.register(t, newVendor(t))            // which checks the proof under that policy
	signed := signedWithECDSA(t, w.Log.URL, rekor)
	lines, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	for _, vkey := range keys {
		policy, err := proofs.ParsePolicy([]byte(strings.Replace(string(lines), own, vkey, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.OpenCheckpoint(signed); err != nil {
			t.Errorf("under a policy with %s: %v\n%s", vkey, err, signed)
		}
	}
	if _, stderr, code := runtest.Run(t, "logserver", "key", "add", "--dir", w.Path("log"), "--type", "ecdsa-p256", "rekor"); code != 2 {
		t.Errorf("key add over the key that init made: exit %d, %s", code, stderr)
	}
}

// A key that is added later signs from the next start on, what was published before as well.
func TestAddECDSA(t *testing.T) {
	w := newWorld(t, "--open-registration")
	w.register(t, newVendor(t))
	rekor := runtest.Must(t, "logserver", "key", "add", "--dir", w.Path("log"), "--type", "ecdsa-p256", "rekor")
	w.Log.Stop(t)
	w.Log.Start(t)
	signedWithECDSA(t, w.Log.URL, rekor)
}

// So does a log on servers, whose keys are made in the same way; each of its front ends
// serves the signatures of all.
func TestInitECDSAOnServers(t *testing.T) {
	w := newServers(t).makeLog(t, "--ecdsa")
	leader, _ := w.leads(t)
	_, root := newVendor(t).File("root")
	if res, err := w.registrar(t, leader).Register(t.Context(), root); err != nil || !res.Done {
		t.Fatalf("register: %+v, %v", res, err)
	}
	keys := strings.Split(runtest.Must(t, "logserver", "key", "list", "--dir", w.Path("log")), "\n")
	if len(keys) != 3 {
		t.Fatalf("keys: %q", keys)
	}
	mldsa, err := proofs.ParsePolicy([]byte("log " + keys[1] + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, front := range w.fronts {
		signed := signedWithECDSA(t, front.URL, keys[2])
		if _, err := mldsa.OpenCheckpoint(signed); err != nil {
			t.Errorf("under a policy with %s: %v\n%s", keys[1], err, signed)
		}
	}
}
