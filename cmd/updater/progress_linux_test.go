package main

import (
	"strings"
	"testing"
)

// A person sees how far a download is; a log and a machine are spared it.
func TestProgressOnATerminal(t *testing.T) {
	s := newSite(t)
	s.release("fw", strings.Repeat("x", 300_000))
	d := s.newDevice()
	said := onTerminal(t, "download", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--metadata-url", s.url+"/metadata",
		"--target-base-url", s.url+"/targets", "--target-dir", d.targets(), "--target-name", "fw").ends(0)
	if bar := "fw [" + strings.Repeat("#", 30) + "] 300000/300000"; !strings.Contains(said, bar) {
		t.Errorf("%q is not in %q", bar, said)
	}
	other := s.newDevice()
	if r := other.download("fw").want(0); strings.Contains(r.stdout+r.stderr, "300000") {
		t.Errorf("on no terminal: %s%s", r.stdout, r.stderr)
	}
}
