package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// A mirror that does not go on does not hold an updater for ever; internal/fetch has
// tests of how slow it may be.
func TestSlowMirror(t *testing.T) {
	s := newSite(t)
	d := s.newDevice()
	s.holdBack("/metadata/2.root.json") // which is asked for first
	r := d.refresh("--timeout", "500ms").want(1, "could not update (network): root: could not fetch 2.root.json", "longer than 500ms (--timeout)")
	if !strings.Contains(r.stderr, "hint: no fault of the update is known") {
		t.Errorf("stderr %q", r.stderr)
	}
	d.refresh().want(0)
}

// What the log admits a device takes, unless its owner wants less.
func TestLengthLimits(t *testing.T) {
	s := newSite(t)
	d := s.newDevice()
	pad := func(name string, n int) {
		s.set("/metadata/"+name, append(s.get("/metadata/"+name), strings.Repeat(" ", n)...))
	}
	pad("timestamp.json", 60_000) // as two signatures of ML-DSA-87 would, and more
	d.refresh("--max-timestamp-length", "50000").want(1, "refused (bad-metadata): timestamp: timestamp.json: longer than --max-timestamp-length allows")
	d.refresh("--max-targets-length", "10").want(1, "bad-metadata")
	d.refresh().want(0)
}

// A proof that has no end is a bad proof, and one that a server cannot give now stops no
// device that only warns.
func TestProofsThatCannotBeFetched(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	const proof = "/metadata/2.targets.json.tlog-proof"
	good := s.get(proof)
	s.set(proof, append(good[:len(good):len(good)], strings.Repeat("x", proofs.MaxProofSize)...))
	d.refresh().want(1, "refused (bad-proof): targets: ")
	d.refresh("--transparency", "warn").want(0, "warned: bad-proof")
	s.set(proof, good)
	s.answer(proof, 500)
	d = s.newDevice()
	d.refresh().want(1, "could not update (network): targets: could not fetch 2.targets.json.tlog-proof")
	if r := d.refresh("--transparency", "warn").want(0, "warned: not-logged"); !strings.Contains(r.stderr, "warning: targets: could not fetch 2.targets.json.tlog-proof") {
		t.Errorf("stderr %s", r.stderr)
	}
	s.answer(proof, 0)
	d.refresh().want(0)
}

// Targets do not lie among what the device remembers.
func TestTargetsInTheMetadataDirectory(t *testing.T) {
	s := newSite(t)
	s.release("updater.state", "evil")
	d := s.newDevice()
	for _, dir := range []string{d.metadata(), d.metadata() + "/../metadata/."} {
		d.run("--policy", s.log.policy, "--metadata-url", s.url+"/metadata/", "--metadata-dir", d.metadata(),
			"--target-name", "updater.state", "--target-dir", dir, "--target-base-url", s.url+"/targets", "download").want(2, "is the metadata directory")
	}
	d.download("updater.state").want(0)
	d.refresh().want(0)
}

// The file is what was listed, whatever a server calls its coding.
func TestTargetLabelledAsPacked(t *testing.T) {
	s := newSite(t)
	s.release("fw.tar.gz", "\x1f\x8b not really packed")
	d := s.newDevice()
	s.packed = "/targets/" + s.hashOf("fw.tar.gz") + ".fw.tar.gz"
	d.download("fw.tar.gz").want(0)
	if b, err := os.ReadFile(filepath.Join(d.targets(), "fw.tar.gz")); err != nil || string(b) != "\x1f\x8b not really packed" {
		t.Errorf("the target is %q, %v", b, err)
	}
}

// Several targets are downloaded in order. One that fails keeps none of the others, and
// is an exit code of 1.
func TestSeveralTargets(t *testing.T) {
	s := newSite(t)
	s.release("one", "1")
	s.release("two", "2")
	s.release("three", "3")
	d := s.newDevice()
	more := []string{"--target-name", "none", "--target-name", "two", "--target-name", "three"}
	s.set("/targets/"+s.hashOf("two")+".two", []byte("evil"))
	r := d.download("one", more...).want(1, `target "none": no role that is trusted for it lists it (searched: targets)`, `refused (bad-metadata): target "two": the target is longer than the 1 bytes listed`)
	if want := filepath.Join(d.targets(), "one") + "\n" + filepath.Join(d.targets(), "three") + "\n"; !strings.HasSuffix(r.stdout, want) {
		t.Errorf("stdout %q, want %q at its end", r.stdout, want)
	}
	out := checked(t, d.download("one", append(more, "--json")...).want(1))
	var got []string
	for _, target := range out.Targets {
		got = append(got, target.Name+" "+target.Verdict)
	}
	if strings.Join(got, ", ") != "one ok, none not-listed, two bad-metadata, three ok" || out.OK || len(out.Roles) != 4 || out.Refused == nil || out.Refused.Code != verify.CodeNotListed {
		t.Errorf("%+v", out)
	}
	s.set("/targets/"+s.hashOf("two")+".two", []byte("2"))
	s.publish()
	d.download("three", "--target-name", "two").want(0, "three\n"+filepath.Join(d.targets(), "two"))
}

// A wrong URL is not an outage.
func TestWrongURL(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	run := func(url string) ran {
		return d.run("refresh", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--metadata-url", url)
	}
	for url, words := range map[string][]string{
		s.url + "/wrong":               {"timestamp.json answered 404", "hint: no repository was found there: check --metadata-url"},
		"127.0.0.1:1/metadata":         {"--metadata-url", "is not an http or https URL"},
		"file:///srv/metadata":         {"--metadata-url", "is not an http or https URL"},
		"/srv/metadata":                {"--metadata-url", "is not an http or https URL"},
		s.url + "/metadata?sig=secret": {"--metadata-url", "cannot have a query"},
	} {
		code := 1
		if words[0] == "--metadata-url" { // nothing was asked
			code = 2
		}
		if r := run(url).want(code, words...); strings.Contains(r.stderr, "no fault of the update is known") {
			t.Errorf("%s: %s", url, r.stderr)
		}
	}
	d.download("app", "--target-base-url", s.url+"/elsewhere").want(1, "hint: the target is not there: check --target-base-url")
	d.download("app", "--target-base-url", "targets").want(2, "--target-base-url", "is not an http or https URL")
	s.set("/metadata/2.snapshot.json", nil)
	s.newDevice().refresh().want(1, "hint: the mirror lacks a file that its own metadata lists")
	// A server that is not there is an outage.
	run("http://127.0.0.1:1/metadata").want(1, "hint: no fault of the update is known")
	// Machines are told as well.
	var out result
	if err := json.Unmarshal([]byte(d.run("refresh", "--json", "--metadata-dir", d.metadata()).want(2).stdout), &out); err != nil || out.OK || !strings.Contains(out.Error, "--metadata-url is needed") {
		t.Errorf("%+v, %v", out, err)
	}
}

// Without proofs nothing is ok: it is unchecked, also where the install policy leaves a
// role out.
func TestUnchecked(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	verdicts := func(args ...string) string {
		t.Helper()
		var got []string
		for _, r := range checked(t, d.download("app", append(args, "--json")...).want(0)).Roles {
			got = append(got, r.Role+" "+r.Verdict)
		}
		return strings.Join(got, ", ")
	}
	if got, want := verdicts("--transparency", "off"), "root trusted, timestamp unchecked, snapshot unchecked, targets unchecked"; got != want {
		t.Errorf("off: %s, want %s", got, want)
	}
	install := filepath.Join(d.dir, "install.json")
	s.must(os.WriteFile(install, []byte(`{"require":["root"]}`), 0o644))
	if got, want := verdicts("--install-policy", install), "root trusted, timestamp ok, snapshot ok, targets unchecked"; got != want {
		t.Errorf("the root alone: %s, want %s", got, want)
	}
	if got, want := verdicts(), "root trusted, timestamp ok, snapshot ok, targets ok"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Less than before takes the owner's word.
	d.download("app", "--transparency", "off").want(1, "refused (evidence-downgrade): the policies require less", "proofs are no longer required")
	d.approve("")
	if got := checked(t, d.download("app", "--transparency", "off", "--json").want(0)).Targets[0].Verdict; got != unchecked {
		t.Errorf("a target that an unchecked role lists is %s", got)
	}
}

// A person who loses patience is not told to try again.
func TestInterrupted(t *testing.T) {
	s := newSite(t)
	d := s.newDevice()
	held := s.holdBack("/metadata/timestamp.json")
	cmd := runtest.Command(t, "updater", "refresh", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--metadata-url", s.url+"/metadata")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	s.must(cmd.Start())
	<-held.asked
	s.must(cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 || stderr.String() != "updater refresh: interrupted\n" {
		t.Errorf("%v, %q", err, stderr.String())
	}
	d.refresh("--wait", "0s").want(0)
}

// A run that is killed in the middle of a download leaves what has come, and the next asks
// for the rest alone.
func TestKilledDownloadGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("device has the same without processes")
	}
	s := newSite(t)
	content := strings.Repeat("0123456789abcdef", 64<<10)
	s.release("app", content)
	d := s.newDevice()
	const half = 512 << 10
	asked := make(chan string, 2)
	slow := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Range")
		if slow {
			slow = false
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			io.WriteString(w, content[:half])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	t.Cleanup(server.Close)
	args := []string{"download", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--metadata-url", s.url + "/metadata",
		"--target-base-url", server.URL, "--target-dir", d.targets(), "--target-name", "app"}
	cmd := runtest.Command(t, "updater", args...)
	s.must(cmd.Start())
	if got := <-asked; got != "" {
		t.Errorf("the first run asks for %q", got)
	}
	var part string
	runtest.Eventually(t, "half of the target is there", func() bool {
		parts, err := filepath.Glob(filepath.Join(d.targets(), ".download.*.part"))
		if err != nil || len(parts) != 1 {
			return false
		}
		part = parts[0]
		info, err := os.Stat(part)
		return err == nil && info.Size() == half
	})
	s.must(cmd.Process.Kill())
	_ = cmd.Wait()
	d.run(args...).want(0)
	if got, want := <-asked, fmt.Sprintf("bytes=%d-", half); got != want {
		t.Errorf("the second run asks for %q, want %q", got, want)
	}
	if b, err := os.ReadFile(filepath.Join(d.targets(), "app")); err != nil || string(b) != content {
		t.Errorf("the target has %d bytes, %v", len(b), err)
	}
	if _, err := os.Stat(part); !os.IsNotExist(err) {
		t.Errorf("the part is still there: %v", err)
	}
}

// A device that gets nothing but outages says so once what it knows has expired: they may be
// meant to keep updates away.
func TestOutagesForever(t *testing.T) {
	s := newSite(t)
	s.vendor.Extend(time.Now().Add(4000 * time.Hour))
	s.must(s.vendor.Rotate("root"))
	s.publish()
	s.vendor.Extend(time.Now().Add(24 * time.Hour))
	s.release("app", "one")
	d := s.newDevice()
	d.refresh().want(0)
	s.set("/metadata/timestamp.json", s.get("/metadata/timestamp.json")[:40])
	if r := d.refresh().want(1, "could not update (network)"); strings.Contains(r.stderr, "expired") {
		t.Errorf("nothing has expired: %s", r.stderr)
	}
	later := time.Now().Add(100 * 24 * time.Hour).Format(time.RFC3339)
	d.refresh("--now", later).want(1, "what this device knows expired at ", "keeping updates away")
}
