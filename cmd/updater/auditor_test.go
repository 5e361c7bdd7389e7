package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
)

// A device whose policy needs an auditor beside two of three witnesses accepts only what the
// auditor has cosigned too, and says when nothing else is missing.
func TestAuditorIsNeeded(t *testing.T) {
	if testing.Short() {
		t.Skip("a dozen processes; proofs and verify test the parts")
	}
	s := newSite(t)
	s.release("app", "one")
	auditor := testlog.NewSigner(t, "auditor.example", proofs.CosignatureV1)
	rest, quorum, _ := strings.Cut(s.log.PolicyText(), "quorum ")
	s.log.policy = filepath.Join(t.TempDir(), "devices.txt")
	s.must(os.WriteFile(s.log.policy, fmt.Appendf(nil, "%switness auditor %v https://auditor.example/cosign\ngroup auditors any auditor\ngroup devices all %s auditors\nquorum devices\n",
		rest, auditor.Key(), strings.TrimSpace(quorum)), 0o644))
	s.log.Witnesses = append(s.log.Witnesses, auditor)
	proof := func(cosigners ...int) {
		t.Helper()
		times := []int64{-1, -1, -1, -1}
		for _, i := range cosigners {
			times[i] = time.Now().Unix()
		}
		s.set("/metadata/2.targets.json.tlog-proof", s.log.Proof(s.leaf("2.targets.json").Marshal(), s.log.size-1, times...))
	}
	d := s.newDevice()
	const missing = "the cosignature of an auditor is missing"
	check := func(words ...string) {
		t.Helper()
		words = append([]string{"refused (quorum-short)"}, words...)
		d.refresh().want(1, words...)
		out := checked(t, runUpdater(t, "verify", "--policy", s.log.policy, "--json", filepath.Join(s.stick(), "metadata")).want(1))
		i := slices.IndexFunc(out.Roles, func(r row) bool { return r.Verdict == "quorum-short" })
		if i < 0 {
			t.Fatalf("verify: %+v", out.Roles)
		}
		for _, w := range words[1:] {
			if !strings.Contains(fmt.Sprintf("%+v", out.Roles[i]), w) {
				t.Errorf("verify lacks %q: %+v", w, out.Roles[i])
			}
		}
	}
	for _, plain := range [][]int{{0, 1}, {0, 1, 2}} {
		proof(plain...)
		check(`group "auditors" has 0 of 1 (missing auditor)`, missing)
	}
	proof(0, 3)
	if r := d.refresh().want(1, "refused (quorum-short)", "missing w"); strings.Contains(r.stderr, missing) {
		t.Errorf("a witness is missing: %s", r.stderr)
	}
	proof(0, 2, 3)
	d.refresh().want(0)
	d.download("app").want(0)

	// A bundle is given the proofs that the auditor has cosigned, which the log has apart.
	text, err := os.ReadFile(s.log.policy)
	s.must(err)
	s.must(os.WriteFile(s.log.policy, []byte(strings.Replace(string(text), "\n", " "+s.url+"/log\n", 1)), 0o644))
	path, r := d.create("--target-name", "app")
	r.want(0)
	s.seen()
	d.run("bundle", "refresh", path, "--policy", s.log.policy).want(1, "the log has no answer yet that its auditors have cosigned", "404")
	entry := fmt.Sprintf("/log/v1/entries/%d/proof", s.log.size-1)
	s.set(entry, s.get("/metadata/2.targets.json.tlog-proof"))
	d.run("bundle", "refresh", path, "--policy", s.log.policy).want(0)
	if got := s.seen(); !slices.Contains(got, entry+"?audited") || slices.Contains(got, entry) {
		t.Errorf("requests %q", got)
	}
	runUpdater(t, "policy", "explain", "--policy", s.log.policy).
		want(0, "An auditor has to have judged every entry of the log, up to the release, and to hold every file: auditor.", "unless an auditor lies with it")
}
