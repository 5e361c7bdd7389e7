package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/tuf"
)

// gateFolder is a vendor's folder whose timestamps need one gate, which is the test's.
type gateFolder struct {
	t      *testing.T
	dir    string
	vendor *testvendor.Vendor
	public ed25519.PublicKey
	key    ed25519.PrivateKey
}

func newGateFolder(t *testing.T) *gateFolder {
	t.Helper()
	runtest.Programs(t, "publisher")
	v, err := testvendor.New(time.Now().Add(7 * 24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	f := &gateFolder{t: t, dir: t.TempDir(), vendor: v}
	if f.public, f.key, err = ed25519.GenerateKey(nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Gate(2, f.public); err != nil {
		t.Fatal(err)
	}
	f.release()
	return f
}

// release signs a new release, and puts it into the folder.
func (f *gateFolder) release() {
	if err := f.vendor.Release(tuf.RoleTargets); err != nil {
		f.t.Error(err)
	}
	for name, file := range f.vendor.Files() {
		if err := os.WriteFile(filepath.Join(f.dir, name), file, 0o600); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *gateFolder) path() string { return filepath.Join(f.dir, "timestamp.json") }

func (f *gateFolder) timestamp() *tuf.Metadata {
	f.t.Helper()
	b, err := os.ReadFile(f.path())
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := tuf.ParseJSON(b)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// serve is the gate: it signs m, after meanwhile has happened.
func (f *gateFolder) serve(m *tuf.Metadata, meanwhile func()) string {
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		meanwhile()
		s := client.Signature{KeyID: client.NewKey(f.public).KeyID, Sig: hex.EncodeToString(ed25519.Sign(f.key, m.Payload))}
		_ = json.NewEncoder(w).Encode(client.Answer{Signature: s, Version: m.Version, Payload: m.PayloadDigest})
	}))
	f.t.Cleanup(gate.Close)
	return gate.URL
}

// The vendor signs a newer timestamp while gates are asked about the last one. It stays.
func TestGateLeavesANewerTimestamp(t *testing.T) {
	f := newGateFolder(t)
	url := f.serve(f.timestamp(), f.release)
	stdout, stderr, code := runtest.Run(t, "publisher", "gate", "--gate", url, f.dir)
	_, newest := f.vendor.File(tuf.RoleTimestamp)
	got, err := os.ReadFile(f.path())
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(newest) {
		t.Errorf("the newer timestamp was written over:\n%s", got)
	}
	if code != 2 || !strings.Contains(stderr, "replaced while the gates were asked") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

// Another run puts a signature into the file while gates are asked. It stays.
func TestGateKeepsSignaturesOfAnotherRun(t *testing.T) {
	f := newGateFolder(t)
	m := f.timestamp()
	url := f.serve(m, func() {
		b, err := client.Merge(m.File, client.Signature{KeyID: "another", Sig: "aa"})
		if err == nil {
			err = os.WriteFile(f.path(), b, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	})
	stdout, stderr, code := runtest.Run(t, "publisher", "gate", "--gate", url, f.dir)
	if after := f.timestamp(); code != 0 || len(after.Signatures) != 3 {
		t.Errorf("exit %d, %d signatures\n%s%s", code, len(after.Signatures), stdout, stderr)
	}
}

// A gate that takes a request and never answers does not hold up the run: with --loop it would
// hold up every later timestamp as well.
func TestGateThatNeverAnswers(t *testing.T) {
	f := newGateFolder(t)
	asked := make(chan string, 100)
	gate := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked <- string(b)
		<-r.Context().Done()
	}))
	t.Cleanup(gate.Close)
	stdout, stderr, code := runtest.Run(t, "publisher", "gate", "--wait", "0s", "--timeout", "3s", "--gate", gate.URL, f.dir)
	if code != 2 || !strings.Contains(stdout, "no answer within 3s") || len(asked) != 1 {
		t.Fatalf("exit %d, asked %d times\n%s%s", code, len(asked), stdout, stderr)
	}
	<-asked
	loop := runtest.Command(t, "publisher", "gate", "--wait", "0s", "--timeout", "3s", "--loop", "--every", "1s", "--gate", gate.URL, f.dir)
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = loop.Process.Kill(); _ = loop.Wait() }()
	first := <-asked
	f.release()
	runtest.Eventually(t, "the later timestamp to be sent", func() bool {
		for {
			select {
			case b := <-asked:
				if b != first {
					return true
				}
			default:
				return false
			}
		}
	})
}

// A timestamp that is complete without gates is not taken for one that they have signed: root wants
// two signatures, and both keys are the vendor's.
func TestGateThatNoRootNames(t *testing.T) {
	f := newGateFolder(t)
	sign := f.serve(f.timestamp(), func() {})
	runtest.Must(t, "publisher", "gate", "--gate", sign, f.dir)
	stranger, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	gate := func(key ed25519.PublicKey) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(client.NewKey(key)) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	away := "http://" + freeAddress(t)
	for name, tt := range map[string]struct {
		gates []string
		code  int
	}{
		"another's":           {[]string{gate(stranger)}, 2},
		"another's, and away": {[]string{gate(stranger), away}, 2},
		"away":                {[]string{away}, 0},
		"one is named":        {[]string{gate(stranger), gate(f.public)}, 0},
	} {
		args := []string{"gate"}
		for _, url := range tt.gates {
			args = append(args, "--gate", url)
		}
		out, said, code := runtest.Run(t, "publisher", append(args, f.dir)...)
		if code != tt.code || code == 2 && !strings.Contains(said, "names none of these gates") {
			t.Errorf("%s: exit %d, %s%s", name, code, out, said)
		}
	}
}
