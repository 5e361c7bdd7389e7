package main

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
)

// A run against a mirror that is slow, and shows what is older, must not take back what
// another run has learned meanwhile: they come one after the other.
func TestTwoUpdatersOnOneDirectory(t *testing.T) {
	s := newSite(t)
	old := s.get("/metadata/timestamp.json")
	s.release("app", "two")
	second := s.get("/metadata/timestamp.json")
	d := s.newDevice()
	root := d.metadata() + "/root.json"

	s.set("/metadata/timestamp.json", old)
	slow := s.holdBack("/metadata/timestamp.json")
	done := make(chan ran)
	go func() { done <- d.refresh() }()
	<-slow.asked
	busy := regexp.MustCompile(`updater\.lock: in use by updater refresh \(process \d+\)`)
	for _, r := range []ran{
		d.refresh("--wait", "0s"),
		d.download("app", "--wait", "0s"),
		d.run("init", "--metadata-dir", d.metadata(), "--wait", "0s", root),
		d.run("verify", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--wait", "0s"),
	} {
		if code := map[bool]int{true: 2, false: 1}[r.args[0] == "verify"]; r.code != code || !busy.MatchString(r.stderr) {
			t.Errorf("%q: exit %d, %s", r.args, r.code, r.stderr)
		}
	}

	// One that waits begins with what the first has learned.
	s.release("app", "three")
	go func() { done <- d.refresh("--wait", "1h") }()
	close(slow.let)
	for range 2 {
		(<-done).want(0)
	}
	if got := d.version("targets"); got != 3 {
		t.Errorf("targets %d are trusted, want 3", got)
	}
	s.set("/metadata/timestamp.json", second)
	d.refresh().want(1, "refused (rollback): timestamp: version 2")
}

// Runs that meet disturb each other in nothing.
func TestManyUpdatersAtOnce(t *testing.T) {
	s := newSite(t)
	s.release("app", "two")
	d := s.newDevice()
	const runs = 4
	done := make(chan ran)
	for range runs {
		go func() { done <- d.download("app", "--wait", "1h") }()
	}
	for range runs {
		(<-done).want(0)
	}
}

// A directory in which this user can make no file can be read without the lock, which
// keeps nobody's writing from being lost.
func TestLockOfAReadOnlyDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is read-only for root")
	}
	s := newSite(t)
	d := s.newDevice()
	d.refresh().want(0)
	for _, name := range []string{d.metadata() + "/updater.lock", d.metadata()} {
		s.must(os.Chmod(name, 0o500))
	}
	defer func() {
		s.must(errors.Join(os.Chmod(d.metadata(), 0o700), os.Chmod(d.metadata()+"/updater.lock", 0o600)))
	}()
	d.refresh().want(0)
}

func TestLongNames(t *testing.T) {
	// A role of 26 characters and a path of 40, all of nine bytes in a file name.
	s := newSite(t)
	role, path := strings.Repeat("角", 26), "目/"+strings.Repeat("文", 40)
	s.must(s.vendor.Delegate("targets", role, "目/*"))
	s.must(s.vendor.Put(role, path, []byte("long")))
	s.must(s.vendor.Release(role, "targets"))
	s.publish()
	d := s.newDevice()
	for range 2 {
		d.download(path).want(0, "sha256=")
	}
	d.run("verify", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--target-name", path, "--target-dir", d.targets()).want(0, "sha256=")
	if !slices.ContainsFunc(d.names(), func(name string) bool { return strings.HasPrefix(name, "sha256=") && strings.HasSuffix(name, ".json") }) {
		t.Errorf("the role is not kept: %q", d.names())
	}
}

// A run that is killed leaves nothing for good, in no directory: a device would be full
// one day. What another run is at work on stays.
func TestWhatKilledRunsLeave(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d, other := s.newDevice(), s.newDevice()
	other.dir = d.dir + "/other"
	s.must(os.Mkdir(other.dir, 0o755))
	s.must(os.WriteFile(other.dir+"/given.json", s.get("/metadata/1.root.json"), 0o644))
	other.run("--metadata-dir", other.metadata(), "init", other.dir+"/given.json").want(0)
	parts := func() (names []string) {
		t.Helper()
		entries, err := os.ReadDir(d.targets())
		s.must(err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	args := func(d *machine) []string {
		return []string{"--policy", s.log.policy, "--metadata-url", s.url + "/metadata/", "--metadata-dir", d.metadata(),
			"--target-name", "app", "--target-dir", d.targets(), "--target-base-url", s.url + "/targets", "download"}
	}
	app := "/targets/" + s.hashOf("app") + ".app"
	for range 2 {
		slow := s.holdBack(app)
		cmd := runtest.Command(t, "updater", args(d)...)
		s.must(cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-slow.asked:
		case err := <-ended:
			t.Fatalf("the run ended before it asked for the target: %v", err)
		}
		runtest.Eventually(t, "the target is being downloaded", func() bool { _, err := os.Stat(d.targets()); return err == nil && len(parts()) > 0 })
		s.must(cmd.Process.Kill())
		<-ended
	}
	s.must(os.WriteFile(d.metadata()+"/.targets.json.123.tmp", []byte("half of"), 0o644))
	left := parts()
	if len(left) != 1 {
		t.Fatalf("two runs have left %q, want the one part that the second has gone on with", left)
	}
	s.must(os.WriteFile(d.targets()+"/.download."+strings.Repeat("0", 64)+".part", []byte("of another"), 0o644))
	s.must(os.WriteFile(d.targets()+"/.download.123.tmp", []byte("of a former program"), 0o644))

	// While one is at work, another of another device shares the directory.
	slow := s.holdBack(app)
	done := make(chan ran)
	go func() { done <- d.run(args(d)...) }()
	select {
	case <-slow.asked:
	case r := <-done:
		t.Fatalf("the run ended before it asked for the target: exit %d, %s", r.code, r.stderr)
	}
	runtest.Eventually(t, "one part is left, that of the run", func() bool { return slices.Equal(parts(), left) })
	second := args(other)
	second[slices.Index(second, "--target-dir")+1] = d.targets()
	d.run(second...).want(0)
	if got := parts(); len(got) != 2 {
		t.Errorf("there are %q", got)
	}
	close(slow.let)
	(<-done).want(0)
	if got := parts(); !slices.Equal(got, []string{"app"}) {
		t.Errorf("there are %q", got)
	}
	if slices.Contains(d.names(), ".targets.json.123.tmp") {
		t.Errorf("in the metadata directory are %q", d.names())
	}
}
