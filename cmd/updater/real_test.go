package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/realdata"
)

// The static repositories of the conformance suite, driven as the suite drives a
// client, at the date at which they are valid.
func TestConformanceRepositories(t *testing.T) {
	base := filepath.Join(realdata.Histories(t), "fixtures_tuf_conformance")
	for name, want := range map[string]struct{ root, targets int64 }{
		"sigstore-root-signing": {root: 12, targets: 11},
		"tuf-on-ci-0.11":        {root: 1, targets: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(base, name)
			var targets []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/targets/") {
					targets = append(targets, r.URL.Path)
				}
				http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
			}))
			defer server.Close()
			read := func(name string) string {
				b, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(string(b))
			}
			now, err := time.Parse("2006-01-02 15:04:05-07:00", read("faketime"))
			if err != nil {
				t.Fatal(err)
			}
			d := &machine{t: t, dir: t.TempDir()}
			client := []string{"--transparency", "off", "--now", now.Format(time.RFC3339), "--metadata-dir", d.metadata()}
			run := func(more ...string) ran { return d.run(append(client, more...)...) }
			run("init", filepath.Join(dir, "initial_root.json")).want(0)
			run("--metadata-url", server.URL+"/metadata/", "refresh").want(0)
			if d.version("root") != want.root || d.version("targets") != want.targets {
				t.Errorf("root %d, targets %d; want %+v", d.version("root"), d.version("targets"), want)
			}
			path := read("targetpath")
			r := run("--metadata-url", server.URL+"/metadata/", "--target-name", path, "--target-base-url", server.URL+"/targets/",
				"--target-dir", d.targets(), "download")
			if _, err := os.Stat(filepath.Join(dir, "targets")); err != nil {
				// The data set leaves this target out: it must be found and asked for.
				r.want(1, "could not update (network)")
				if len(targets) != 1 || filepath.Base(targets[0]) == filepath.Base(path) {
					t.Errorf("asked for %q", targets)
				}
				return
			}
			r.want(0)
			run("--metadata-url", server.URL+"/metadata/", "--target-name", path, "--target-base-url", server.URL+"/targets/",
				"--target-dir", d.targets(), "download").want(0)
			if len(targets) != 1 {
				t.Errorf("the target was fetched %d times", len(targets))
			}
			// A year later all of it has expired.
			later := now.AddDate(1, 0, 0).Format(time.RFC3339)
			run("--now", later, "--metadata-url", server.URL+"/metadata/", "refresh").want(1, "refused (expired): root: version")
		})
	}
}

func TestOutageKeepsState(t *testing.T) {
	s := newSite(t)
	s.release("app", "two")
	d := s.newDevice()
	d.download("app").want(0)
	down := httptest.NewServer(http.NotFoundHandler())
	url := down.URL
	down.Close()
	r := d.run("--policy", s.log.policy, "--metadata-dir", d.metadata(), "--metadata-url", url, "refresh")
	r.want(1, "updater: could not update (network): root: could not fetch 2.root.json", "no fault of the update is known")
	if strings.Contains(r.stderr, "refused (") {
		t.Errorf("an outage is called a refusal: %s", r.stderr)
	}
	// It ends in the middle: the timestamp is new, the rest is as it was.
	s.release("app", "three")
	snapshot := "/metadata/3.snapshot.json"
	s.answer(snapshot, http.StatusInternalServerError)
	d.refresh().want(1, "could not update (network): snapshot")
	if d.version("timestamp") != 3 || d.version("snapshot") != 2 || d.version("targets") != 2 {
		t.Errorf("timestamp %d, snapshot %d, targets %d", d.version("timestamp"), d.version("snapshot"), d.version("targets"))
	}
	d.run("verify", "--policy", s.log.policy, "--transparency", "enforce", d.metadata()).want(1)
	s.answer(snapshot, 0)
	d.download("app").want(0)
}
