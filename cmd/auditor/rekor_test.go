package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/rekorserver"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
)

// rekorWorld is a log that signs with ECDSA, its witnesses, a vendor, and Rekor's own servers:
// every part of it is the real program.
type rekorWorld struct {
	*runtest.World
	t          *testing.T
	client     *api.Client
	vendor     *testvendor.Vendor
	repository string
	releases   int
	rekorKey   string // the log's ECDSA key
	v1         *rekorserver.V1
	v2         *rekorserver.V2
}

func newRekorWorld(t *testing.T) *rekorWorld {
	t.Helper()
	w := &rekorWorld{World: &runtest.World{Dir: t.TempDir()}, t: t}
	w.v1 = rekorserver.NewV1(t, "rekor1.example", w.newRekorKey("rekor1.pem", false))
	w.v2 = rekorserver.NewV2(t, "rekor2.example", w.newRekorKey("rekor2.pem", true))
	runtest.Programs(t, "logserver", "witness", "auditor")
	own, rekor, _ := strings.Cut(runtest.Must(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log", "--only", "ed25519", "--ecdsa"), "\n")
	w.rekorKey = rekor
	w.Serve(t, own, "--open-registration")
	lines, err := os.ReadFile(w.Path("policy"))
	w.must(err)
	// Those who look into Rekor list its key as well, and the witnesses as everybody does.
	w.Write(t, "auditors.policy", strings.Replace(string(lines), "log "+own, fmt.Sprintf("log %s %s\nlog %s %s", own, w.Log.URL, rekor, w.Log.URL), 1))
	w.client = &api.Client{Base: w.Log.URL}
	w.vendor, err = testvendor.New(time.Now().Add(24 * time.Hour))
	w.must(err)
	_, root := w.vendor.File("root")
	res, err := w.client.Register(t.Context(), root)
	w.must(err)
	w.repository = res.Repository
	return w
}

func (w *rekorWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// newRekorKey makes a key of a Rekor, whose public part goes to a file.
func (w *rekorWorld) newRekorKey(file string, ed bool) (key crypto.Signer) {
	w.t.Helper()
	var err error
	if ed {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	w.must(err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	w.must(err)
	w.Write(w.t, file, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	return key
}

// release logs a release, which the witnesses cosign.
func (w *rekorWorld) release() {
	w.t.Helper()
	w.releases++
	w.must(w.vendor.Put("targets", "app.bin", fmt.Append(nil, w.releases)))
	w.must(w.vendor.Release("targets"))
	var files []api.File
	for _, role := range []string{"targets", "snapshot"} {
		name, data := w.vendor.File(role)
		files = append(files, api.File{Name: name, Data: data})
	}
	res, err := w.client.Submit(w.t.Context(), w.repository, files)
	w.must(err)
	if !res.Done {
		w.t.Fatalf("release: %+v", res)
	}
}

// anchor runs auditor anchor, and wants an exit code and words in what it prints.
func (w *rekorWorld) anchor(code int, want string, args ...string) string {
	w.t.Helper()
	args = append([]string{"anchor"}, args...)
	stdout, stderr, got := runtest.Run(w.t, "auditor", args...)
	if got != code || !strings.Contains(stdout+stderr, want) {
		w.t.Fatalf("auditor %s: exit %d, want %d and %q\n%s%s", strings.Join(args, " "), got, code, want, stdout, stderr)
	}
	return stdout
}

// to are the flags that name an instance for the first time.
func (w *rekorWorld) to(version int, dir string) []string {
	url := map[int]string{1: w.v1.URL, 2: w.v2.URL}[version]
	name := fmt.Sprintf("rekor%d", version)
	return []string{"--dir", w.Path(dir), "--instance", name, "--url", url, "--rekor-version", fmt.Sprint(version),
		"--rekor-origin", name + ".example", "--rekor-key", w.Path(name + ".pem"), "--policy", w.Path("auditors.policy")}
}

// submit submits the log's newest checkpoint to both instances, which DIR knows.
func (w *rekorWorld) submit() (done []submitted) {
	w.t.Helper()
	out := w.anchor(0, "", "submit", "--dir", w.Path("anchors"), "--policy", w.Path("auditors.policy"), "--json")
	w.must(json.Unmarshal([]byte(out), &done))
	if len(done) != 2 {
		w.t.Fatalf("submitted to %d instances: %s", len(done), out)
	}
	return done
}

// audit holds the log to both instances.
func (w *rekorWorld) audit(code int, want string, args ...string) (said anchorAudit, out string) {
	w.t.Helper()
	args = append([]string{"audit", "--dir", w.Path("anchors"), "--policy", w.Path("auditors.policy"),
		"--state", w.Path("state"), "--out", w.Path("evidence")}, args...)
	out = w.anchor(code, want, args...)
	var all []anchorAudit
	w.must(json.Unmarshal([]byte(w.anchor(code, "", append(args, "--json")...)), &all))
	if len(all) != 1 {
		w.t.Fatalf("audited %d logs\n%s", len(all), out)
	}
	said = all[0]
	if len(said.Instances) != 2 {
		w.t.Fatalf("audited %d instances\n%s", len(said.Instances), out)
	}
	return said, out
}

// signer reads a key of one of the programs: the test has everybody's.
func (w *rekorWorld) signer(path string) *proofs.Signer {
	w.t.Helper()
	text, err := keyfile.Read(w.Path(path))
	w.must(err)
	s, err := proofs.ParseSigner(text)
	w.must(err)
	return s
}

// hiddenFork signs a tree that the log never shows: by both of its keys, and by all of its
// witnesses.
func (w *rekorWorld) hiddenFork() []byte {
	w.t.Helper()
	tree := proofs.Tree{N: 1, Hash: proofs.LeafHash([]byte("for one victim alone"))}
	note := proofs.Note{Text: proofs.Checkpoint{Origin: "test.example/log", Tree: tree}.String()}
	for _, path := range []string{"log/log.key", "log/keys/rekor.key", "w1/witness.key", "w2/witness.key", "w3/witness.key"} {
		sig, err := w.signer(path).Sign(note.Text, time.Now().Unix())
		w.must(err)
		note.Signatures = append(note.Signatures, sig)
	}
	if _, err := w.Policy.OpenCheckpoint(note.Marshal()); err != nil {
		w.t.Fatalf("the victim does not believe it: %v", err)
	}
	return note.Marshal()
}

// Checkpoints of a real log in Rekor's own servers: submitted, submitted again, listed, verified
// with the servers away, held against the log; and a fork that all witnesses helped to hide is
// found by what is left of it in Rekor.
func TestRekorAnchors(t *testing.T) {
	w := newRekorWorld(t)
	policy := w.Path("auditors.policy")
	w.release()
	for version := range 2 {
		w.anchor(0, "The checkpoint of size", append([]string{"submit"}, w.to(version+1, "anchors")...)...)
	}
	was := w.submit() // for both have it already
	w.release()
	now := w.submit()
	for i, name := range []string{"rekor1", "rekor2"} {
		if was[i].Instance != name || was[i].LogIndex != 0 || now[i].LogIndex != 1 || now[i].Size <= was[i].Size || now[i].Time.IsZero() != (name == "rekor2") {
			t.Errorf("submitted %+v, then %+v", was[i], now[i])
		}
	}
	w.anchor(0, "There are 4 receipts", "list", "--dir", w.Path("anchors"))
	runtest.Eventually(t, "both instances show what they took", func() bool {
		out, _, _ := runtest.Run(t, "auditor", "anchor", "list", "--dir", w.Path("anchors"), "--remote", "--policy", policy)
		return strings.HasPrefix(out, "Rekor has 4 anchors ")
	})
	said, _ := w.audit(0, "Nothing speaks against log test.example/log")
	for _, one := range said.Instances {
		if one.Consistent != 2 || one.Open+one.Orphans != 0 || one.Trouble != "" {
			t.Errorf("%+v", one)
		}
	}

	// Without Rekor receipts verify, and what is not there yet is tried later.
	w.v1.Kill()
	w.v2.Kill()
	receipts := func(dir string) []string {
		paths, err := filepath.Glob(w.Path(dir) + "/*/*/receipts/*.json")
		w.must(err)
		return paths
	}
	w.anchor(0, "4 of 4 receipts verified", append([]string{"verify", "--dir", w.Path("anchors"), "--policy", policy}, receipts("anchors")...)...)
	w.release()
	w.anchor(2, "rekor1: ", "submit", "--dir", w.Path("anchors"), "--policy", policy)
	w.must(w.v1.Restart(t.Context()))
	w.must(w.v2.Restart(t.Context()))
	w.submit()

	// One victim is shown a tree of its own, and pins it. Nobody else has its text.
	w.Write(t, "victim.note", string(w.hiddenFork()))
	for version := range 2 {
		w.anchor(0, "The checkpoint of size 1 ", append([]string{"submit", w.Path("victim.note")}, w.to(version+1, "victim")...)...)
	}
	runtest.Eventually(t, "both instances show the victim's", func() bool {
		out, _, _ := runtest.Run(t, "auditor", "anchor", "list", "--dir", w.Path("anchors"), "--remote", "--policy", policy)
		return strings.HasPrefix(out, "Rekor has 8 anchors ")
	})
	// It may be of a tree to come, until witnesses have cosigned later.
	said, _ = w.audit(0, "open")
	for _, one := range said.Instances {
		if one.Consistent != 3 || one.Open != 1 || one.Orphans != 0 {
			t.Errorf("%+v", one)
		}
	}
	time.Sleep(3 * time.Second) // of the witnesses' clocks: more than the margin below
	w.release()
	said, _ = w.audit(1, "ORPHANS: 2 of 8", "--margin", "1s")
	for _, one := range said.Instances {
		if one.Consistent != 3 || one.Open != 0 || one.Orphans != 1 {
			t.Errorf("%+v", one)
		}
	}
	if len(said.Forks) != 0 {
		t.Errorf("forks without a text: %+v", said.Forks)
	}
	if out := runtest.Must(t, "auditor", "findings", "--state", w.Path("state")); !strings.Contains(out, "orphan-anchor") {
		t.Errorf("findings:\n%s", out)
	}

	// The victim's receipt has the text: that proves it, to everybody.
	for _, path := range receipts("victim") {
		b, err := os.ReadFile(path)
		w.must(err)
		w.must(os.WriteFile(strings.Replace(path, w.Path("victim"), w.Path("anchors"), 1), b, 0o600))
	}
	if said, _ = w.audit(1, "FORK: log test.example/log signed two histories", "--margin", "1s"); len(said.Forks) != 1 {
		t.Errorf("forks: %+v", said.Forks)
	}
	files, err := filepath.Glob(w.Path("evidence") + "/*")
	w.must(err)
	if len(files) == 0 {
		t.Fatal("no evidence")
	}
	runtest.Must(t, "auditor", append([]string{"evidence", "check", "--key", w.rekorKey}, files...)...)
}

// A monitor pins what a real log shows in Rekor's own servers, and what it could not while one of
// them was away, it pins when that is back. The log goes on all the time.
func TestRekorMonitor(t *testing.T) {
	w := newRekorWorld(t)
	w.v1.Kill()
	text := fmt.Sprintf("dir = 'd'\n[[log]]\nname = 'one'\npolicy = '%s'\ninterval = '200ms'\n", w.Path("auditors.policy"))
	for name, url := range map[string]string{"rekor1": w.v1.URL, "rekor2": w.v2.URL} {
		text += fmt.Sprintf("[anchor.%s]\nurl = '%s'\nversion = %s\norigin = '%s.example'\nkeys = ['%s.pem']\nevery = '1s'\naudit = '1s'\n",
			name, url, strings.TrimPrefix(name, "rekor"), name, name)
	}
	w.Write(t, "monitor.toml", text)
	s := runtest.Serve(t, "auditor", "monitor", "run", "--config", w.Path("monitor.toml"))
	anchors := func(is func(one anchored.Status) bool) func() bool {
		return func() bool {
			st, err := monitor.ReadStatus(w.Path("d"), "one")
			if err != nil || len(st.Anchors) != 2 {
				return false
			}
			for _, one := range st.Anchors {
				if !is(one) {
					return false
				}
			}
			return true
		}
	}
	size := func() int64 {
		signed, err := fetch.Get(t.Context(), http.DefaultClient, w.Log.URL+"/checkpoint", proofs.MaxNoteSize)
		w.must(err)
		sc, err := w.Policy.OpenCheckpoint(signed)
		w.must(err)
		return sc.Tree.N
	}
	w.release()
	shown := size()
	runtest.Eventually(t, "the one that answers has it, and it waits for the other", anchors(func(one anchored.Status) bool {
		if one.Instance == "rekor2" {
			return one.Size == shown && one.Since == 0 && one.Queued == 0
		}
		return one.Size == -1 && one.Since > 0 && one.Queued > 0 && one.Trouble != ""
	}))
	w.release()
	if size() <= shown {
		t.Error("the log does not go on")
	}
	shown = size()
	s.End(t, os.Kill)
	w.must(w.v1.Restart(t.Context()))
	s.Start(t)
	runtest.Eventually(t, "both have all, and it fits", anchors(func(one anchored.Status) bool {
		return one.Size == shown && one.Since == 0 && one.Queued == 0 && one.Entries >= 2 && one.Open+one.Orphans == 0 && one.AuditTrouble == ""
	}))
	s.Stop(t)
	receipts, err := filepath.Glob(w.Path("d/anchors") + "/*/*/receipts/*.json")
	w.must(err)
	keys := []string{"verify", "--rekor-key", w.Path("rekor1.pem"), "--rekor-key", w.Path("rekor2.pem"), "--policy", w.Path("auditors.policy")}
	if n := len(receipts); n < 4 {
		t.Errorf("%d receipts", n)
	}
	w.anchor(0, fmt.Sprintf("%d of %[1]d receipts verified", len(receipts)), append(keys, receipts...)...)
}
