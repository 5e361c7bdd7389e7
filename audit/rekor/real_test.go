package rekor_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rekorserver"
	"github.com/tuflog/tuflog/proofs"
)

// realHost is the name in the checkpoints of real servers.
const realHost = "rekor.example"

func realKey(t *testing.T, ed bool) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if ed {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// realServer is one of Rekor's own servers.
type realServer interface {
	Kill()
	Restart(ctx context.Context) error
}

func newReal(t *testing.T, version int, ed bool) (realServer, *rekor.Instance, rekor.Config) {
	t.Helper()
	key := realKey(t, ed)
	cfg := rekor.Config{Name: "real", Version: version, Origin: realHost, Keys: []crypto.PublicKey{key.Public()}}
	var server realServer
	if version == 1 {
		s := rekorserver.NewV1(t, realHost, key)
		server, cfg.URL = s, s.URL
	} else {
		s := rekorserver.NewV2(t, realHost, key)
		server, cfg.URL = s, s.URL
	}
	i, err := rekor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return server, i, cfg
}

// found returns the anchors that an instance has under a key, in the order of their indexes.
func found(t *testing.T, i *rekor.Instance, key proofs.Key) (anchors []*rekor.Anchor) {
	t.Helper()
	if i.Version() == 2 {
		anchors, at, err := i.Scan(t.Context(), key, rekor.Position{})
		if err != nil || !at.Done() {
			t.Fatalf("scan: %+v, %v", at, err)
		}
		return anchors
	}
	for listed, err := range i.List(t.Context(), key, nil) {
		a := listed.Anchor
		if err != nil {
			t.Fatal(err)
		}
		if a != nil { // none of another kind
			anchors = append(anchors, a)
		}
	}
	slices.SortFunc(anchors, func(a, b *rekor.Anchor) int { return int(a.LogIndex - b.LogIndex) })
	return anchors
}

// Rekor's own servers take what a log signed, say where it is when asked again, and show it to
// everybody; receipts verify when the server is gone.
func TestRekorServers(t *testing.T) {
	for name, of := range map[string]struct {
		version int
		ed      bool
	}{"v1": {1, false}, "v2": {2, true}, "v2 with ECDSA": {2, false}} {
		t.Run(name, func(t *testing.T) {
			server, i, cfg := newReal(t, of.version, of.ed)
			testReal(t, server, i, cfg)
		})
	}
}

func testReal(t *testing.T, server realServer, i *rekor.Instance, cfg rekor.Config) {
	sizes := int64(12) // more than Rekor v1 returns to one request
	if cfg.Version == 2 {
		sizes = 5 // each waits for a second
	}
	v, other := newVendorlog(t), newVendorlog(t)
	start, err := i.Follow(t.Context(), rekor.Position{})
	if err != nil {
		t.Fatal(err)
	}
	type made struct {
		note    []byte
		receipt *rekor.Receipt
		anchor  *rekor.Anchor
	}
	var all []made
	for size := range sizes {
		note := v.note(t, size+1)
		r, err := i.Submit(t.Context(), note, v.key)
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.Verify(v.key, cfg.Keys)
		if err != nil {
			t.Fatal(err)
		}
		if a.Digest != digest(note) || a.Size != uint64(size+1) || a.LogIndex != 2*size || a.Time.IsZero() != (cfg.Version == 2) {
			t.Errorf("size %d: %+v", size+1, a)
		}
		all = append(all, made{note, r, a})
		if _, err := i.Submit(t.Context(), other.note(t, size+1), other.key); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []made{all[0], all[3], all[sizes-1]} {
		again, err := i.Submit(t.Context(), m.note, v.key)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := again.Verify(v.key, cfg.Keys); err != nil || a.UUID != m.anchor.UUID || a.LogIndex != m.anchor.LogIndex {
			t.Errorf("submitted again: %+v, %v; was %+v", a, err, m.anchor)
		}
	}
	var anchors []*rekor.Anchor
	err = process.Eventually(t.Context(), "all entries are shown", process.Patience, func() bool {
		anchors = found(t, i, v.key) // the index, or the next checkpoint, follows an answer
		return int64(len(anchors)) >= sizes
	})
	if err != nil || int64(len(anchors)) != sizes {
		t.Fatalf("%d anchors, %v", len(anchors), err)
	}
	for n, a := range anchors {
		if a.Digest != all[n].anchor.Digest || a.UUID != all[n].anchor.UUID || a.LogIndex != all[n].anchor.LogIndex || !a.Time.Equal(all[n].anchor.Time) {
			t.Errorf("entry %d is %+v, was submitted as %+v", n, a, all[n].anchor)
		}
	}
	end, err := i.Follow(t.Context(), start)
	if err != nil || end.Checkpoint == start.Checkpoint {
		t.Errorf("followed to %+v, %v", end, err)
	}
	if cfg.Version == 1 {
		if key, err := i.PublicKey(t.Context()); err != nil || !cfg.Keys[0].(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
			t.Errorf("public key: %v, %v", key, err)
		}
	}

	server.Kill()
	if _, err := i.Submit(t.Context(), v.note(t, sizes+1), v.key); !errors.Is(err, rekor.ErrUnavailable) {
		t.Errorf("while it is away: %v", err)
	}
	for _, m := range all {
		r, err := rekor.ParseReceipt(m.receipt.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Verify(v.key, cfg.Keys); err != nil {
			t.Error(err)
		}
		if _, err := r.Verify(other.key, cfg.Keys); err == nil {
			t.Error("verified by another log's key")
		}
		if _, err := r.Verify(v.key, []crypto.PublicKey{realKey(t, false).Public()}); !errors.Is(err, rekor.ErrUnknownKey) {
			t.Errorf("by another key of Rekor: %v", err)
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Submit(t.Context(), v.note(t, sizes+1), v.key); err != nil {
		t.Errorf("back again: %v", err)
	}
	if _, err := i.Follow(t.Context(), end); err != nil {
		t.Errorf("back again: %v", err)
	}
}

// Rekor's own client, as it comes, finds and verifies what was anchored.
func TestRekorCLI(t *testing.T) {
	cli := rekorserver.Program(t, "rekor-cli")
	_, i, cfg := newReal(t, 1, false)
	v := newVendorlog(t)
	note := v.note(t, 7)
	r, err := i.Submit(t.Context(), note, v.key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Verify(v.key, cfg.Keys)
	if err != nil {
		t.Fatal(err)
	}
	n, err := proofs.ParseNote(note)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, sig := file("checkpoint.txt", []byte(n.Text)), file("checkpoint.sig", n.Signatures[0].Sig)
	public := file("log.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: v.key.PublicKey()}))
	run := func(args ...string) (string, int) {
		cmd := exec.CommandContext(t.Context(), cli, append(args, "--rekor_server", cfg.URL)...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		got, err := process.Run(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return got.Stdout + got.Stderr, got.Code
	}
	says := func(want string, args ...string) {
		t.Helper()
		if out, code := run(args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("rekor-cli %s: exit %d, want %q in\n%s", strings.Join(args, " "), code, want, out)
		}
	}
	err = process.Eventually(t.Context(), "the index has the entry", process.Patience, func() bool {
		return len(found(t, i, v.key)) == 1
	})
	if err != nil {
		t.Fatal(err)
	}
	says(a.UUID, "search", "--artifact", text)
	says(a.UUID, "search", "--sha", hex.EncodeToString(a.Digest[:]))
	says(a.UUID, "search", "--public-key", public, "--pki-format", "x509")
	says(hex.EncodeToString(a.Digest[:]), "get", "--uuid", a.UUID)
	says("Index: "+strconv.FormatInt(a.LogIndex, 10), "get", "--log-index", strconv.FormatInt(a.LogIndex, 10))
	says("Inclusion Proof", "verify", "--artifact", text, "--signature", sig, "--public-key", public, "--pki-format", "x509")
	says("Inclusion Proof", "verify", "--uuid", a.UUID)
	says("Verification Successful", "loginfo")
	other := file("other.txt", []byte(strings.Replace(n.Text, "\n7\n", "\n8\n", 1)))
	if out, code := run("verify", "--artifact", other, "--signature", sig, "--public-key", public, "--pki-format", "x509"); code == 0 {
		t.Errorf("rekor-cli verified another text:\n%s", out)
	}
}

// What real servers answered once is still understood: where they cannot be run, too.
func TestRekorRecorded(t *testing.T) {
	for version, name := range map[int]string{1: "v1.json", 2: "v2.json"} {
		t.Run(name, func(t *testing.T) {
			rec, err := rekorserver.ReadRecording(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			block, _ := pem.Decode([]byte(rec.RekorKey))
			public, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			key, err := proofs.ParseKey(rec.LogKey)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(rec.Handler())
			defer server.Close()
			cfg := rekor.Config{Name: "recorded", Version: version, URL: server.URL, Origin: rec.Hostname, Keys: []crypto.PublicKey{public}}
			i, err := rekor.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			testRecorded(t, i, rec, key, public)
		})
	}
}

func testRecorded(t *testing.T, i *rekor.Instance, rec *rekorserver.Recording, key proofs.Key, public crypto.PublicKey) {
	want := map[[32]byte]string{}
	for _, note := range rec.Notes {
		for _, how := range []string{"submitted", "submitted again"} {
			r, err := i.Submit(t.Context(), []byte(note), key)
			if err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			a, err := r.Verify(key, []crypto.PublicKey{public})
			if err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			if id, ok := want[a.Digest]; ok && id != a.UUID || a.Digest != digest([]byte(note)) {
				t.Errorf("%s: %s with digest %x, was %s", how, a.UUID, a.Digest, id)
			}
			want[a.Digest] = a.UUID
		}
	}
	got := map[[32]byte]string{}
	for _, a := range found(t, i, key) {
		got[a.Digest] = a.UUID
	}
	if len(got) != len(rec.Notes) || len(want) != len(rec.Notes) {
		t.Errorf("%d of %d anchors are found", len(got), len(want))
	}
	for d, id := range want {
		if got[d] != id {
			t.Errorf("digest %x is found as %s, was submitted as %s", d, got[d], id)
		}
	}
	at, err := i.Follow(t.Context(), rekor.Position{})
	if err != nil || !strings.HasPrefix(at.Checkpoint, rec.Hostname) {
		t.Errorf("followed to %+v, %v", at, err)
	}
	if i.Version() == 1 {
		if served, err := i.PublicKey(t.Context()); err != nil || !public.(*ecdsa.PublicKey).Equal(served) {
			t.Errorf("public key: %v, %v", served, err)
		}
	}
}
