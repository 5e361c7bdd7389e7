package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// What lies in the cache is believed no more than what comes over the network.
func TestTamperedCache(t *testing.T) {
	evil := newSite(t)
	evil.release("app", "evil")
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	tests := []struct {
		name   string
		do     func(s *site, d *machine)
		code   int
		stderr string
	}{
		{"targets damaged", func(s *site, d *machine) { d.edit("targets.json", flip) }, 0, ""},
		{"targets replaced", func(s *site, d *machine) {
			d.edit("targets.json", func([]byte) []byte { return evil.get("/metadata/2.targets.json") })
			d.edit("targets.json.tlog-proof", func([]byte) []byte { return evil.get("/metadata/2.targets.json.tlog-proof") })
		}, 0, ""},
		{"proof of targets damaged", func(s *site, d *machine) { d.edit("targets.json.tlog-proof", flip) }, 0, ""},
		{"proof of targets gone", func(s *site, d *machine) {
			s.must(os.Remove(filepath.Join(d.metadata(), "targets.json.tlog-proof")))
		}, 0, ""},
		{"snapshot damaged", func(s *site, d *machine) { d.edit("snapshot.json", flip) }, 0, ""},
		{"timestamp gone", func(s *site, d *machine) { s.must(os.Remove(filepath.Join(d.metadata(), "timestamp.json"))) }, 0, ""},
		{"all but the root gone", func(s *site, d *machine) {
			for _, name := range d.names() {
				if !strings.HasPrefix(name, "root") && !strings.HasPrefix(name, "updater") {
					s.must(os.Remove(filepath.Join(d.metadata(), name)))
				}
			}
		}, 0, ""},
		{"files that cannot be read", func(s *site, d *machine) {
			s.must(os.WriteFile(filepath.Join(d.metadata(), "targets.json.tlog-proof.next"), nil, 0o644))
			for _, name := range []string{"timestamp.json", "snapshot.json", "targets.json", "targets.json.tlog-proof", "targets.json.tlog-proof.next"} {
				path := filepath.Join(d.metadata(), name)
				s.must(errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)))
			}
		}, 0, ""},
		{"root damaged", func(s *site, d *machine) { d.edit("root.json", flip) }, 1, "root.json is damaged, and updater init with the root that it was given puts it back: "},
		{"root of another vendor", func(s *site, d *machine) {
			d.edit("root.json", func([]byte) []byte { return evil.get("/metadata/1.root.json") })
		}, 1, "refused (bad-metadata): root"},
		{"root of another vendor, and no newer to be had", func(s *site, d *machine) {
			d.edit("root.json", func([]byte) []byte { return evil.get("/metadata/1.root.json") })
			d.edit("root.json.tlog-proof", func([]byte) []byte { return evil.get("/metadata/1.root.json.tlog-proof") })
			s.set("/metadata/2.root.json", nil)
		}, 1, "refused (rollback): root"},
		{"another root of the same version", func(s *site, d *machine) {
			s.must(evil.vendor.Rotate("root"))
			evil.publish()
			d.edit("root.json", func([]byte) []byte { return evil.get("/metadata/2.root.json") })
			d.edit("root.json.tlog-proof", func([]byte) []byte { return evil.get("/metadata/2.root.json.tlog-proof") })
		}, 1, "could not update (device): root: the device's own "},
		{"proof of root damaged", func(s *site, d *machine) { d.edit("root.json.tlog-proof", flip) }, 0, ""},
		{"an older root", func(s *site, d *machine) {
			d.edit("root.json", func([]byte) []byte { return s.get("/metadata/1.root.json") })
		}, 0, ""},
		{"an older root, and no newer to be had", func(s *site, d *machine) {
			d.edit("root.json", func([]byte) []byte { return s.get("/metadata/1.root.json") })
			s.set("/metadata/2.root.json", nil)
		}, 1, "refused (rollback): root"},
		{"state damaged", func(s *site, d *machine) { d.edit("updater.state", flip) }, 0, "using the other copy of the state"},
		{"state gone", func(s *site, d *machine) { s.must(os.Remove(filepath.Join(d.metadata(), "updater.state"))) }, 0, "using the other copy of the state"},
		{"copy of the state cut short", func(s *site, d *machine) {
			d.edit("updater.state.copy", func(b []byte) []byte { return b[:len(b)/2] })
		}, 0, ""},
		{"both states damaged", func(s *site, d *machine) {
			for _, name := range []string{"updater.state", "updater.state.copy"} {
				d.edit(name, func(b []byte) []byte { return b[:len(b)/2] })
			}
		}, 1, "set it up again with updater init in another directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.must(s.vendor.Rotate("root"))
			s.release("app", "two")
			d := s.newDevice()
			d.download("app").want(0)
			before := d.version("targets")
			tt.do(s, d)
			r := d.download("app").want(tt.code)
			if !strings.Contains(r.stderr, tt.stderr) {
				t.Errorf("stderr %q, want %q in it", r.stderr, tt.stderr)
			}
			if tt.code == 0 && d.version("targets") != before {
				t.Errorf("targets %d", d.version("targets"))
			}
			if b, err := os.ReadFile(filepath.Join(d.targets(), "app")); err != nil || string(b) != "two" {
				t.Errorf("the target is %q, %v", b, err)
			}
		})
	}
}

// Versions are remembered beyond the files that showed them.
func TestRollbackWithEmptyCache(t *testing.T) {
	s := newSite(t)
	s.release("app", "two")
	old := s.get("/metadata/timestamp.json")
	s.release("app", "three")
	d := s.newDevice()
	d.refresh().want(0)
	for _, name := range []string{"timestamp.json", "snapshot.json", "targets.json"} {
		s.must(os.Remove(filepath.Join(d.metadata(), name)))
	}
	s.set("/metadata/timestamp.json", old)
	d.refresh().want(1, "refused (rollback): timestamp: version 2")
}

// A power cut between a root and its proof, which are two files, must not leave a
// device that refuses its own root.
func TestInterruptedWrite(t *testing.T) {
	s := newSite(t)
	s.must(s.vendor.Rotate("root"))
	s.publish()
	d := s.newDevice()
	d.refresh().want(0)
	s.must(s.vendor.Rotate("root"))
	s.publish()
	newRoot, newProof := s.get("/metadata/3.root.json"), s.get("/metadata/3.root.json.tlog-proof")
	s.set("/metadata/2.root.json.tlog-proof", nil) // it cannot be fetched again
	s.set("/metadata/3.root.json.tlog-proof", nil)
	next := filepath.Join(d.metadata(), "root.json.tlog-proof.next")

	// Before the root was replaced: the old pair counts.
	s.must(os.WriteFile(next, newProof, 0o644))
	d.refresh().want(1, "refused (not-logged): root: version 3")
	if d.version("root") != 2 || slices.Contains(d.names(), filepath.Base(next)) {
		t.Errorf("root %d, %q", d.version("root"), d.names())
	}
	// After it was: the new pair does.
	s.must(os.WriteFile(next, newProof, 0o644))
	s.must(os.WriteFile(filepath.Join(d.metadata(), "root.json"), newRoot, 0o644))
	d.refresh().want(0)
	if b, err := os.ReadFile(filepath.Join(d.metadata(), "root.json.tlog-proof")); err != nil || !bytes.Equal(b, newProof) || d.version("root") != 3 {
		t.Errorf("root %d, its proof is not the new one: %v", d.version("root"), err)
	}
}

// What a device has begun to fetch by a release it remembers, though it is killed.
func TestRemembersBeforeATarget(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	held := s.holdBack("/targets/" + s.hashOf("app") + ".app")
	cmd := runtest.Command(t, "updater", "download", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--metadata-url", s.url+"/metadata",
		"--target-base-url", s.url+"/targets", "--target-dir", d.targets(), "--target-name", "app")
	s.must(cmd.Start())
	<-held.asked
	s.must(cmd.Process.Kill())
	_ = cmd.Wait()
	state, trouble, err := device.Store{Dir: d.metadata()}.State()
	s.must(errors.Join(trouble, err))
	accepted := state.Accepted["targets"]
	if len(accepted) != 1 || accepted[0].Version != 2 || state.Timestamp.Version != 2 || state.Log == "" {
		t.Errorf("it remembers %+v, timestamp %d, log %q", accepted, state.Timestamp.Version, state.Log)
	}
	d.download("app").want(0)
}

// A device that has a state of the version before goes on, and both copies are brought
// forward.
func TestStateOfVersion2(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	d.refresh().want(0)
	for _, name := range []string{"updater.state", "updater.state.copy"} {
		d.edit(name, func(b []byte) []byte {
			state, err := verify.ParseState(b)
			s.must(err)
			state.Required = nil
			b, err = state.Marshal()
			s.must(err)
			_, inner, _ := strings.Cut(string(b), `"state": `)
			inner = strings.Replace(strings.TrimSuffix(inner, "}\n"), `"version":3`, `"version":2`, 1)
			return fmt.Appendf(nil, `{"sha256": "%v", "state": %s}`, tuf.Sum([]byte(inner)), inner)
		})
	}
	older := s.get("/metadata/timestamp.json")
	s.release("app", "two")
	d.refresh().want(0)
	for _, name := range []string{"updater.state", "updater.state.copy"} {
		b := d.contents()[name]
		state, err := verify.ParseState([]byte(b))
		if err != nil || !strings.Contains(b, `"version":3`) || state.Required == nil || state.Accepted["targets"][0].Version != 3 {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
	s.set("/metadata/timestamp.json", older)
	d.refresh().want(1, "refused (rollback)")
}

// A state that somebody restored from an older copy does not let the device go back, as long
// as anything newer lies beside it: metadata, or the other copy of the state. Where all of the
// directory is older, a newer proof that comes along shows how late it is.
func TestRestoredState(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	d := s.newDevice()
	states := []string{"updater.state", "updater.state.copy"}
	install := d.install(`{"min_age":"1s"}`)
	clockless := append(install, "--now", "none")
	log := func(name string, at time.Time) {
		leaf := s.leaf(name)
		index := s.log.size - 1
		s.set("/metadata/"+name+verify.SidecarSuffix, s.log.proof(leaf, index, 3, at))
		s.set("/metadata/"+name+verify.LatestSuffix, s.log.proof(leaf, index, 3, at.Add(time.Minute)))
	}
	begin := time.Now().Add(-time.Hour)
	log("2.targets.json", begin)
	d.download("app", clockless...).want(0)
	older, oldFiles := d.contents(), maps.Clone(s.files)
	s.release("app", "two")
	log("3.targets.json", begin.Add(30*time.Minute))
	d.download("app", clockless...).want(0)
	newer, newFiles := d.contents(), maps.Clone(s.files)
	put := func(contents map[string]string, names ...string) {
		for _, name := range names {
			s.must(os.WriteFile(filepath.Join(d.metadata(), name), []byte(contents[name]), 0o644))
		}
	}
	serve := func(files map[string][]byte) {
		for path := range newFiles {
			s.set(path, files[path])
		}
	}
	serve(oldFiles)
	// One of the copies, or both beside the newer metadata.
	put(older, states[0])
	if r := d.download("app", clockless...).want(1, "refused (rollback): timestamp"); !strings.Contains(r.stderr, "updater.state is older than its copy") {
		t.Error(r.stderr)
	}
	// Without any it is not set up again by itself.
	s.must(errors.Join(os.Remove(filepath.Join(d.metadata(), states[0])), os.Remove(filepath.Join(d.metadata(), states[1]))))
	d.download("app", clockless...).want(1, "run updater init first")
	d.run("init", "--metadata-dir", d.metadata(), filepath.Join(d.dir, "given.json")).want(1, "has no state, and timestamp.json of a device")
	put(newer, states...)
	put(older, states[1])
	d.download("app", clockless...).want(1, "refused (rollback): timestamp")
	put(older, states...)
	d.download("app", clockless...).want(1, "refused (rollback): timestamp")

	// All of it. The newer proof of what it has says that the metadata has expired.
	names := slices.Collect(maps.Keys(older))
	put(older, names...)
	d.download("app", clockless...).want(0)
	leaf := s.leaf("2.targets.json")
	s.set("/metadata/2.targets.json"+verify.LatestSuffix, s.log.proof(leaf, s.log.size-2, 3, time.Now().Add(25*time.Hour)))
	s.must(os.Remove(filepath.Join(d.metadata(), "targets.json")))
	d.download("app", clockless...).want(1, "refused (expired)")
	serve(newFiles)
}
