package page_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// scene is a log with vendors of whom one is not honest, and its auditor.
type scene struct {
	t   *testing.T
	log *audittest.Log
	a   *audit.Auditor
	dir string
	now time.Time
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, log: audittest.New(t), dir: filepath.Join(t.TempDir(), "state"), now: time.Now()}
	var err error
	s.a, err = audit.New(t.Context(), audit.Config{Source: s.log.Source(), Policy: s.log.Policy(), StateDir: s.dir})
	must(t, err)
	return s
}

// step publishes and judges, and says what is true of repositories.
func (s *scene) step() {
	s.t.Helper()
	s.log.Publish(2)
	_, err := s.a.Step(s.t.Context())
	must(s.t, err)
	_, err = s.a.Report(s.t.Context())
	must(s.t, err)
	must(s.t, s.a.State().Commit(s.t.Context()))
}

func (s *scene) vendor() (*testvendor.Vendor, tuf.Digest) {
	s.t.Helper()
	v, err := testvendor.New(s.now.AddDate(1, 0, 0))
	must(s.t, err)
	_, root := v.File(tuf.RoleRoot)
	return v, s.log.Register(root)
}

func (s *scene) submit(repo tuf.Digest, v *testvendor.Vendor, role string) int64 {
	_, file := v.File(role)
	_, snapshot := v.File(tuf.RoleSnapshot)
	_, index := s.log.Submit(repo, role, file, snapshot)
	return index
}

func (s *scene) pages(change func(*page.Config)) *page.Server {
	s.t.Helper()
	must(s.t, s.a.State().Commit(s.t.Context()))
	cfg := page.Config{Now: func() time.Time { return s.now }, Limits: page.Limits{PerSecond: -1},
		Logs: []page.Log{{Name: "example", StateDir: s.dir, Policy: s.log.Policy(), Source: s.log.Source()}}}
	if change != nil {
		change(&cfg)
	}
	p, err := page.New(cfg)
	must(s.t, err)
	s.t.Cleanup(func() { must(s.t, p.Close()) })
	return p
}

// says checks the words of a page: those it has, and after "not" those it has not.
func says(t *testing.T, s http.Handler, path string, words ...string) {
	t.Helper()
	r := get(t, s, path)
	said := parse(t, path, body(t, r)).text()
	want := true
	for _, word := range words {
		if word == "not" {
			want = false
		} else if strings.Contains(said, word) != want {
			t.Errorf("%s (%s): says %q: %v: %s", path, r.Status, word, !want, said)
		}
	}
}

type asked struct {
	Found, Whole bool
	Logs         []struct {
		Files []struct {
			Path, Name, Force string
			Repository        tuf.Digest
		}
		Next string
	}
}

func ask(t *testing.T, s http.Handler, path string) (a asked) {
	t.Helper()
	must(t, json.Unmarshal(body(t, get(t, s, path, "Accept", "application/json")), &a))
	return a
}

func put(v *testvendor.Vendor, path string, sum [32]byte) {
	v.Signed(tuf.RoleTargets).Targets[path] = &metadata.TargetFiles{Length: 3, Hashes: metadata.Hashes{"sha256": sum[:]}, Path: path}
}

// What a stranger lists does not hide what a vendor released: by its hash a file is found
// whatever hashes begin alike, a vendor with a name comes first, a list goes on, and a search
// that has not looked at all never says that there is nothing.
func TestSearchCannotBeBlinded(t *testing.T) {
	s := newScene(t)
	evil, evilRepo := s.vendor()
	sum := sha256.Sum256([]byte("good"))
	for i := range 4001 {
		other := sum
		other[31], other[30], other[29] = other[31]^byte(i+1), other[30]^byte((i+1)>>8), other[29]^0x55
		put(evil, fmt.Sprintf("junk/%05d", i), other)
	}
	for i := range 60 {
		put(evil, fmt.Sprintf("copy/%d", i), sum)
	}
	parts := 0
	if !testing.Short() { // the file takes a second to sign and judge
		for parts = range 20_001 {
			put(evil, fmt.Sprintf("!%05d", parts), sha256.Sum256(fmt.Append(nil, parts)))
		}
	}
	must(t, evil.Release(tuf.RoleTargets))
	s.submit(evilRepo, evil, tuf.RoleTargets)
	good, goodRepo := s.vendor()
	must(t, good.Put(tuf.RoleTargets, "release/acme-firmware.bin", []byte("good")))
	must(t, good.Release(tuf.RoleTargets))
	s.submit(goodRepo, good, tuf.RoleTargets)
	s.step()

	p := s.pages(nil)
	byHash := fmt.Sprintf("/search?q=%x", sum)
	seen := map[tuf.Digest]bool{}
	for at, turns := byHash, 0; at != ""; turns++ {
		a := ask(t, p, at)
		if !a.Found || turns > 3 {
			t.Fatalf("%s: %+v", at, a)
		}
		for _, f := range a.Logs[0].Files {
			seen[f.Repository] = true
		}
		if at = ""; a.Logs[0].Next != "" {
			at = "/search" + a.Logs[0].Next
		}
	}
	if !seen[goodRepo] || !seen[evilRepo] {
		t.Errorf("by hash: %v", seen)
	}
	named := s.pages(func(c *page.Config) { c.Logs[0].Watched = []page.Watched{{ID: goodRepo, Name: "acme"}} })
	for _, path := range []string{byHash, "/search?q=acme-firmware"} {
		if a := ask(t, named, path); !a.Found || len(a.Logs[0].Files) == 0 || a.Logs[0].Files[0].Name != "acme" {
			t.Errorf("%s, with a name: %+v", path, a)
		}
	}
	if parts == 0 {
		return
	}
	says(t, p, "/search?q=acme-firmware", "not all was", "Go on with the files", "not", "Nothing of", "No release in these logs")
	a := ask(t, p, "/search?q=acme-firmware")
	if a.Found || a.Whole {
		t.Errorf("by a part: %+v", a)
	}
	for turns := 0; !a.Found && a.Logs[0].Next != ""; turns++ {
		if a = ask(t, p, "/search"+a.Logs[0].Next); turns > 3 {
			t.Fatal("it does not end")
		}
	}
	if !a.Found || a.Logs[0].Files[0].Repository != goodRepo {
		t.Errorf("gone on: %+v", a)
	}
}

// "In force" is what a device may install: not a role that was withdrawn, nor what has expired.
func TestInForce(t *testing.T) {
	s := newScene(t)
	v, repo := s.vendor()
	must(t, v.Delegate(tuf.RoleTargets, "plugins", "plugins/*"))
	must(t, v.Put("plugins", "plugins/a.bin", []byte("a")))
	must(t, v.Put(tuf.RoleTargets, "b.bin", []byte("b")))
	must(t, v.Release(tuf.RoleTargets, "plugins"))
	s.submit(repo, v, tuf.RoleTargets)
	plugins := fmt.Sprintf("/logs/example/releases/%d", s.submit(repo, v, "plugins"))
	s.step()
	p := s.pages(nil)
	for _, path := range []string{plugins, "/search?q=plugins/a.bin"} {
		says(t, p, path, "in force", "not", "any more", "withdrawn", "expired")
	}
	v.Signed(tuf.RoleTargets).Delegations = nil
	must(t, v.Release(tuf.RoleTargets))
	at := fmt.Sprintf("/logs/example/releases/%d", s.submit(repo, v, tuf.RoleTargets))
	s.step()
	says(t, p, "/search?q=plugins/a.bin", "not in force any more", "withdrawn", "not", "A release in force")
	says(t, p, plugins, "It is not in force", "not", "It is in force")
	says(t, p, at, "It is in force")
	says(t, p, "/search?q=b.bin", "A release in force lists this file.")
	s.now = s.now.AddDate(2, 0, 0)
	says(t, p, at, "expired", "not", "It is in force")
	says(t, p, "/logs/example/repositories/"+repo.String(), "Its root and its targets expired", "installs nothing")
	says(t, p, "/search?q=b.bin", "has expired", "not", "A release in force")
}

// Each page about a part of a log says that the log is accused, and nothing on it is green.
func TestAccused(t *testing.T) {
	s := newScene(t)
	v, repo := s.vendor()
	must(t, v.Put(tuf.RoleTargets, "a.bin", []byte("a")))
	must(t, v.Release(tuf.RoleTargets))
	at := s.submit(repo, v, tuf.RoleTargets)
	s.step()
	paths := []string{fmt.Sprintf("/logs/example/releases/%d", at), "/logs/example/repositories/" + repo.String(), "/logs/example/repositories", "/logs/example/findings", "/search?q=a.bin"}
	p := s.pages(nil)
	for _, path := range paths {
		says(t, p, path, "not", "not in order", "findings against")
	}
	other := s.log.Beginning(1)
	other.Append([]byte("other"))
	must(t, s.a.Offer(t.Context(), other.Checkpoint(2, 2)))
	_, _ = s.a.Step(t.Context()) // the fork
	must(t, s.a.State().Commit(t.Context()))
	for _, path := range paths {
		says(t, p, path, "not in order")
		if j := string(body(t, get(t, p, path, "Accept", "application/json"))); !strings.Contains(j, `"log_word": "not in order"`) {
			t.Errorf("%s as JSON: %s", path, j)
		}
	}
	says(t, p, paths[0], "others may have been shown another release")
	if b := string(body(t, get(t, p, paths[0]))); strings.Contains(b, `<p class="lead"><span class="badge good">`) {
		t.Error("a release of an accused log is green")
	}
}

// A state that nobody has brought up to date is not green: without a process that follows the
// log after a day, with one once it has not read it for an hour. Nor is one that this auditor
// has stopped cosigning.
func TestStale(t *testing.T) {
	s := newScene(t)
	v, repo := s.vendor()
	s.submit(repo, v, tuf.RoleTargets)
	s.step()
	first := s.now
	alone := s.pages(nil)
	status := &page.Status{Written: s.now.Unix(), Asked: s.now.Unix()}
	followed := s.pages(func(c *page.Config) {
		c.Logs[0].Status = func(context.Context) (*page.Status, error) { return status, nil }
	})
	says(t, alone, "/", "in order", "not", "not looked at")
	says(t, followed, "/", "in order", "not", "not looked at")
	s.now = first.Add(2 * time.Hour)
	says(t, alone, "/", "in order", "not", "not looked at")
	says(t, followed, "/", "not looked at lately", "and not since")
	says(t, followed, "/logs/example/releases/0", "not looked at lately")
	s.now = first.AddDate(0, 0, 30)
	says(t, alone, "/", "not looked at lately", "no process says")
	status = &page.Status{Written: s.now.Unix(), Asked: s.now.Unix()}
	s.now = s.now.Add(2 * time.Second)
	says(t, followed, "/", "nothing newer was shown", "not", "not looked at")
	status = &page.Status{Written: s.now.Unix(), Asked: s.now.Unix(), Audited: &page.AuditedStatus{Name: "auditor.example", Stopped: "fork of 0123"}}
	s.now = s.now.Add(2 * time.Second)
	says(t, followed, "/", "not cosigned any more", "fork of 0123")
}

// A log whose state cannot be read is said to be so, and others are shown.
func TestOneDamaged(t *testing.T) {
	s := newScene(t)
	v, repo := s.vendor()
	must(t, v.Put(tuf.RoleTargets, "a.bin", []byte("a")))
	must(t, v.Release(tuf.RoleTargets))
	s.submit(repo, v, tuf.RoleTargets)
	s.step()
	bad := t.TempDir()
	must(t, os.WriteFile(filepath.Join(bad, state.FileName), []byte(strings.Repeat("damaged ", 4096)), 0o600))
	p := s.pages(func(c *page.Config) {
		c.Logs = append([]page.Log{{Name: "damaged", StateDir: bad, Policy: s.log.Policy()}}, c.Logs...)
	})
	says(t, p, "/", "cannot be read", "example in order")
	says(t, p, "/search?q=a.bin", "A release in force lists this file.", "Not searched: damaged")
	says(t, p, "/search?q=none.bin", "not all was", "not", "Nothing of", "No release in these logs")
	if a := ask(t, p, "/search?q=none.bin"); a.Found || a.Whole {
		t.Errorf("%+v", a)
	}
	if r := get(t, p, "/logs/example/"); r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
	if r := get(t, p, "/logs/damaged/"); r.StatusCode != http.StatusInternalServerError {
		t.Error(r.Status)
	}
}

// A log that withholds a file cannot make older releases the last ones.
func TestWithheld(t *testing.T) {
	s := newScene(t)
	v, repo := s.vendor()
	var hidden []byte
	for i := range 6 {
		must(t, v.Put(tuf.RoleTargets, "f", fmt.Append(nil, i)))
		must(t, v.Release(tuf.RoleTargets))
		s.submit(repo, v, tuf.RoleTargets)
		if i == 3 {
			_, hidden = v.File(tuf.RoleTargets)
		}
	}
	s.step()
	s.log.Spoil(audittest.BlobPath(hidden), audittest.Missing)
	says(t, s.pages(nil), "/logs/example/repositories/"+repo.String(), "cannot be told here", "targets 7 was released", "not", "none stands out", "Its last 3", "Signed by")
}

// What strangers see has no passwords, tokens, comments of the policy, addresses within the
// operator's network or places on his machine.
func TestLeaks(t *testing.T) {
	s := newScene(t)
	v, repo := s.vendor()
	at := s.submit(repo, v, tuf.RoleTargets)
	s.step()
	policy, err := proofs.ParsePolicy([]byte("# of mine: S3CRET\n" + s.log.PolicyText("https://auditor:S3CRET@log.example.com/")))
	must(t, err)
	status := &page.Status{Written: s.now.Unix(), Asked: s.now.Unix(),
		Trouble:   `Get "http://10.77.0.5:8443/h1dden-path/checkpoint": dial tcp 10.77.0.5:8443: connect: connection refused; https://log.example.com/checkpoint answered 404`,
		Witnesses: []page.WitnessStatus{{Name: "w1", Trouble: "lookup wit.h1dden.example on 127.0.0.53:53: no such host"}},
		Audited:   &page.AuditedStatus{Waits: "open /var/lib/h1dden-path/cosign: permission denied"},
		Watched: []page.Watched{{ID: repo, Name: "acme", Live: []page.Live{{URL: "https://u:S3CRET@updates.example.com/m/?token=S3CRET", Sentence: "https://updates.example.com/m/ answered 500"}},
			Expectations: &page.Expectations{From: "/etc/h1dden-path/expect.note", Trouble: "open /etc/h1dden-path/expect.note: no such file or directory"}}}}
	p := s.pages(func(c *page.Config) {
		c.Logs[0].Policy, c.Logs[0].URL = policy, "https://auditor:S3CRET@log.example.com/?token=S3CRET"
		c.Logs[0].Status = func(context.Context) (*page.Status, error) { return status, nil }
	})
	for _, path := range []string{"/", "/about", "/verify", "/logs/example/", "/logs/example/policy", fmt.Sprintf("/logs/example/releases/%d", at), "/logs/example/repositories/" + repo.String()} {
		for _, accept := range []string{"text/html", "application/json"} {
			b := string(body(t, get(t, p, path, "Accept", accept)))
			for _, word := range []string{"S3CRET", "h1dden", "10.77", "127.0.0.53"} {
				if strings.Contains(b, word) {
					t.Errorf("%s as %s has %s", path, accept, word)
				}
			}
		}
	}
	says(t, p, "/logs/example/", "connection refused", "https://log.example.com/checkpoint answered 404", "no such host")
	says(t, p, "/logs/example/repositories/"+repo.String(), "https://updates.example.com/m/ answered 500", "a file of this auditor")
}

// A path never becomes a link to another host.
func TestNoForeignLink(t *testing.T) {
	_, s := pages(t)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "//evil.example/login", nil))
	if strings.Contains(w.Body.String(), `"//evil`) {
		t.Error(w.Body)
	}
}
