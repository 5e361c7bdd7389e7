package watch_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A stage is a log, a vendor whose releases it has, the vendor's live repository, what two
// witnesses show of the log, and what the vendor says will be released. A scene changes one
// of them.
type stage struct {
	t      testing.TB
	name   string
	url    string
	log    *audittest.Log
	vendor *testvendor.Vendor
	repo   tuf.Digest
	key    *proofs.Signer // of the expectations

	mu    sync.Mutex
	shown [2][]byte          // by the witnesses; nil: as the log
	live  map[string][]byte  // nil: there is no repository
	live2 map[string][]byte  // at another place
	note  []byte             // nil: nothing is expected
	kept  *testvendor.Vendor // for the scene
}

// leaves of a new stage: root 1, targets 1 to 3, plugin 1, root 2.
func newStage(t testing.TB, name string) *stage {
	t.Helper()
	s := &stage{t: t, name: name, log: audittest.NewOf(t, "log.test/"+name)}
	var err error
	s.vendor, err = testvendor.New(time.Now().AddDate(10, 0, 0))
	s.must(err)
	s.key, err = proofs.GenerateSigner(nil, "expect.test", proofs.Ed25519)
	s.must(err)
	s.repo = s.log.Register(s.file(tuf.RoleRoot))
	s.submit(tuf.RoleTargets)
	s.release("app.bin", "app, version 2")
	s.must(s.vendor.Delegate(tuf.RoleTargets, "plugin", "plugin/*"))
	s.must(s.vendor.Put("plugin", "plugin/one", []byte("a plugin")))
	s.must(s.vendor.Release(tuf.RoleTargets, "plugin"))
	s.submit(tuf.RoleTargets)
	s.submit("plugin")
	s.must(s.vendor.Rotate(tuf.RoleTargets))
	s.submit(tuf.RoleRoot)
	s.release("app.bin", "app, version 4")
	s.log.Publish(2)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
}

func (s *stage) file(role string) []byte {
	s.t.Helper()
	_, b := s.vendor.File(role)
	return b
}

func (s *stage) submit(role string) (leaf.Leaf, int64) {
	s.t.Helper()
	if role == tuf.RoleRoot {
		return s.log.Submit(s.repo, role, s.file(role))
	}
	return s.log.Submit(s.repo, role, s.file(role), s.file(tuf.RoleSnapshot))
}

// sign makes the next version of targets with a file, and does not log it.
func (s *stage) sign(path, content string) {
	s.t.Helper()
	s.must(s.vendor.Put(tuf.RoleTargets, path, []byte(content)))
	s.must(s.vendor.Release(tuf.RoleTargets))
}

func (s *stage) release(path, content string) {
	s.t.Helper()
	s.sign(path, content)
	s.submit(tuf.RoleTargets)
}

// twin is the vendor with the same keys and past.
func (s *stage) twin() *testvendor.Vendor {
	s.t.Helper()
	v, err := s.vendor.Clone()
	s.must(err)
	return v
}

// as acts with another vendor's keys and past.
func (s *stage) as(v *testvendor.Vendor, act func()) {
	own := s.vendor
	s.vendor = v
	act()
	s.vendor = own
}

// force logs the vendor's file of a role with another leaf than the rules give.
func (s *stage) force(role string, change func(*leaf.Leaf)) {
	s.t.Helper()
	l := s.log.Judge(s.repo, role, s.file(role), s.file(tuf.RoleSnapshot)).Leaf
	change(&l)
	s.log.Append(l.Marshal(), s.file(role), s.file(tuf.RoleSnapshot))
}

// raw logs a file as if the rules gave a leaf for it.
func (s *stage) raw(role string, file, snapshot []byte) {
	s.t.Helper()
	m := audittest.Parse(s.t, file)
	l := leaf.Leaf{
		Kind: leaf.Release, Repository: s.repo, Role: role, Version: m.Version, Payload: m.PayloadDigest,
		Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
	}
	if snapshot != nil {
		l.Snapshot, l.Listed = tuf.Sum(snapshot), leaf.ByHash
	}
	s.log.Append(l.Marshal(), file, snapshot)
}

// serve serves what a vendor has as the live repository.
func (s *stage) serve(v *testvendor.Vendor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = maps.Clone(v.Files())
}

// serveElsewhere serves it at the other place.
func (s *stage) serveElsewhere(v *testvendor.Vendor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live2 = maps.Clone(v.Files())
}

// show makes a witness show a checkpoint as the one that it cosigned last.
func (s *stage) show(witness int, note []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[witness] = note
}

// ServeHTTP serves the log at /, witnesses at /w0/ and /w1/, the repository at /live/ and
// /live2/, and the expectations at /expect.note.
func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	first, rest, _ := strings.Cut(path, "/")
	s.mu.Lock()
	live, note, shown := s.live, s.note, s.shown
	if first == "live2" {
		live = s.live2
	}
	s.mu.Unlock()
	switch {
	case first == "w0" || first == "w1":
		n := shown[first[1]-'0']
		sum := sha256.Sum256([]byte(s.log.Signer.Key().Name()))
		if n == nil || rest != hex.EncodeToString(sum[:])+"/checkpoint" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(n)
	case first == "live" || first == "live2":
		b, ok := live[rest]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	case path == "expect.note" && note != nil:
		_, _ = w.Write(note)
	default:
		s.log.ServeHTTP(w, r)
	}
}

// policy writes the policy by which the log is watched.
func (s *stage) policy(dir string) string {
	s.t.Helper()
	path := filepath.Join(dir, s.name+".policy")
	text := fmt.Sprintf("log %v %s\nwitness w1 %v %s/w0\nwitness w2 %v %s/w1\ngroup both all w1 w2\nquorum both\n",
		s.log.Signer.Key(), s.url, s.log.Witnesses[0].Key(), s.url, s.log.Witnesses[1].Key(), s.url)
	s.must(os.WriteFile(path, []byte(text), 0o644))
	return path
}

// expect serves a note in which the vendor says that targets of a version, with "five" as
// app.bin, will be released, or, with version 0, nothing but that what there is may be signed
// again.
func (s *stage) expect(note, version int64) {
	s.t.Helper()
	newest := map[string]*tuf.Metadata{}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, "plugin"} {
		newest[role] = audittest.Parse(s.t, s.file(role))
	}
	e := &expect.Expectations{
		Repository: s.repo, Version: note, From: time.Now().Add(-time.Hour).Truncate(time.Second),
		Until: time.Now().Add(24 * time.Hour).Truncate(time.Second), Bases: expect.BasesOf(newest),
	}
	release := expect.Release{Role: tuf.RoleTargets, Versions: expect.Versions{First: 4, Last: 4}}
	if version != 0 {
		release.Versions = expect.Versions{First: version, Last: version}
		release.Files = []expect.File{{Path: "app.bin", Length: 4, Hashes: []expect.Hash{
			{Algorithm: "sha256", Hex: tuf.Sum([]byte("five")).String()}, {Algorithm: "sha512", Hex: fmt.Sprintf("%x", sha512.Sum512([]byte("five")))}}}}
	}
	e.Releases = []expect.Release{release}
	signed, err := expect.Sign(e, time.Now().Unix(), s.key)
	s.must(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = signed
}
