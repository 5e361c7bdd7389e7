package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/verify"
)

// contents are the files of the device's metadata directory by name.
func (d *machine) contents() map[string]string {
	d.t.Helper()
	contents := map[string]string{}
	for _, name := range d.names() {
		b, err := os.ReadFile(filepath.Join(d.metadata(), name))
		if err != nil {
			d.t.Fatal(err)
		}
		contents[name] = string(b)
	}
	return contents
}

// logAs logs a root as a leaf of this kind and serves the proof beside it.
func (s *site) logAs(kind leaf.Kind, name string) {
	s.t.Helper()
	leaf := s.leaf(name)
	leaf.Kind = kind
	s.set("/metadata/"+name+verify.SidecarSuffix, s.log.submit(leaf, 2))
}

// A root that is a second payload of its version stops a device only while it is the
// newest: the device then keeps what it has, byte for byte. Once there is a newer
// root, that one alone needs a proof, also from a device that has trusted the other.
func TestRootOnTheWay(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	devices := map[string]*machine{"enforce": s.newDevice(), "warn": s.newDevice(), "off": s.newDevice()}
	for _, d := range devices {
		d.refresh().want(0)
	}
	s.must(s.vendor.Rotate("root"))
	s.must(s.vendor.Rotate("timestamp"))
	s.release("app", "two")
	s.logAs(leaf.Evidence, "3.root.json")
	s.set("/metadata/2.root.json"+verify.SidecarSuffix, nil)

	before := devices["enforce"].contents()
	for range 2 { // the second time is as the first
		devices["enforce"].refresh().want(1, "refused (evidence): root: version 3")
		sameContents(t, devices["enforce"], before)
	}
	for _, mode := range []string{"warn", "off"} {
		devices[mode].refresh("--transparency", mode).want(1, "refused (evidence-downgrade): the policies require less")
		devices[mode].approve("")
	}
	devices["warn"].refresh("--transparency", "warn").want(0, "warned: evidence")
	devices["off"].refresh("--transparency", "off").want(0)
	for _, mode := range []string{"warn", "off"} {
		d := devices[mode]
		if d.version("root") != 3 {
			t.Errorf("%s: root %d", mode, d.version("root"))
		}
		before := d.contents()
		d.refresh().want(1, "refused (evidence): root: version 3")
		sameContents(t, d, before)
	}

	s.must(s.vendor.Rotate("root"))
	s.publish()
	proof := s.get("/metadata/4.root.json" + verify.SidecarSuffix)
	s.set("/metadata/4.root.json"+verify.SidecarSuffix, nil)
	devices["enforce"].refresh().want(1, "refused (not-logged): root: version 4")
	sameContents(t, devices["enforce"], before)
	s.set("/metadata/4.root.json"+verify.SidecarSuffix, proof)
	for mode, d := range devices {
		s.seen()
		d.refresh().want(0)
		for _, path := range s.seen() {
			if path == "/metadata/2.root.json.tlog-proof" || path == "/metadata/3.root.json.tlog-proof" {
				t.Errorf("%s: asked for %s", mode, path)
			}
		}
		if d.version("root") != 4 || d.contents()["root.json.tlog-proof"] != string(proof) {
			t.Errorf("%s: root %d, or another proof is kept", mode, d.version("root"))
		}
	}
}

// sameContents fails the test unless the device has what it had before, but for what waits,
// which has no say.
func sameContents(t *testing.T, d *machine, before map[string]string) {
	t.Helper()
	remembered := func(contents map[string]string) map[string]string {
		for name, content := range contents {
			if strings.HasSuffix(name, ".waiting") {
				delete(contents, name)
			}
			if strings.HasPrefix(name, "updater.state") {
				state, err := verify.ParseState([]byte(content))
				if err != nil {
					t.Fatal(err)
				}
				state.Waiting, state.Serial = nil, 0
				b, err := state.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				contents[name] = string(b)
			}
		}
		return contents
	}
	now, before := remembered(d.contents()), remembered(maps.Clone(before))
	for name := range now {
		if now[name] != before[name] {
			t.Errorf("%s has changed", name)
		}
	}
	if len(now) != len(before) {
		t.Errorf("%d files, there were %d", len(now), len(before))
	}
}
