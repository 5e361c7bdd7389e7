package expect_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// vendorHistory is what a vendor publishes, release by release.
type vendorHistory struct {
	t       testing.TB
	v       *testvendor.Vendor
	seen    map[string]bool
	history []expect.Released
}

func newHistory(t testing.TB) *vendorHistory {
	t.Helper()
	v, err := testvendor.New(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	h := &vendorHistory{t: t, v: v, seen: map[string]bool{}}
	h.note("root", "targets", "snapshot", "timestamp")
	return h
}

// note adds the present files of roles.
func (h *vendorHistory) note(roles ...string) {
	h.t.Helper()
	for _, role := range roles {
		_, content := h.v.File(role)
		m, err := tuf.ParseJSON(content)
		if err != nil {
			h.t.Fatal(err)
		}
		h.history = append(h.history, expect.Released{Role: role, Metadata: m})
	}
}

func (h *vendorHistory) release(err error, roles ...string) {
	h.t.Helper()
	if err == nil {
		err = h.v.Release(roles...)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.note(append(roles, "snapshot", "timestamp")...)
}

// A proposal expects the history that it was made from, but for what it says; it can be
// signed; and what a vendor did not do before is not expected.
func TestLearnAcceptsItsHistory(t *testing.T) {
	h := newHistory(t)
	h.release(h.v.Delegate("targets", "nightly", "nightly/*"), "targets", "nightly")
	for i := range 12 {
		switch i % 4 {
		case 0:
			h.release(h.v.Put("targets", fmt.Sprintf("firmware-1.%d.bin", i), []byte{byte(i)}), "targets")
		case 1, 2:
			h.release(h.v.Put("nightly", fmt.Sprintf("nightly/2026-11-%02d.bin", i+1), []byte{byte(i)}), "nightly")
		default:
			h.release(nil, "targets", "nightly")
		}
	}
	p := expect.Learn(h.history)
	draft := p.Draft()
	if len(p.Outside) != 1 || p.Outside[0].Why != "it delegates nightly/* to nightly" || p.Expected != p.Releases-1 || p.Skipped != 0 {
		t.Errorf("proposed\n%s%+v", draft, p.Outside)
	}
	for _, line := range []string{"release targets next\npaths firmware-*.bin\n", "release nightly next\npaths nightly/*.bin\n", "release snapshot next\n", "base nightly 10 "} {
		if !strings.Contains(draft, line) {
			t.Errorf("no %q in\n%s", line, draft)
		}
	}
	if strings.Contains(draft, "release root") {
		t.Errorf("a line about root, which nothing followed:\n%s", draft)
	}
	e, err := expect.ParseDraft(draft)
	if err != nil {
		t.Fatal(err)
	}
	e.Repository, e.Version, e.From, e.Until = p.Repository, 1, time.Unix(0, 0), time.Unix(1, 0)
	key, err := proofs.GenerateSigner(nil, "acme-expect", proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := expect.Sign(e, 0, key); err != nil {
		t.Fatal(err)
	}
	judge := func(role string) (string, bool) {
		last := h.history[len(h.history)-1]
		var before *tuf.Metadata
		for _, r := range h.history {
			if r.Role == role && r.Metadata.Version == h.v.Version(role)-1 {
				before = r.Metadata
			}
			if r.Role == role {
				last = r
			}
		}
		return e.Judge(leaf.Leaf{Kind: leaf.Release, Repository: p.Repository, Role: role, Version: last.Metadata.Version, Payload: last.Metadata.PayloadDigest}, last.Metadata, before)
	}
	h.release(h.v.Put("targets", "firmware-2.0.1.bin", []byte("2")), "targets")
	if why, ok := judge("targets"); !ok {
		t.Errorf("another of its kind: %s", why)
	}
	h.release(h.v.Put("targets", "evil.bin", []byte("evil")), "targets")
	if why, ok := judge("targets"); ok || !strings.Contains(why, "it lists evil.bin") {
		t.Errorf("another kind of file: %s", why)
	}
	if err := h.v.Rotate("targets"); err != nil {
		t.Fatal(err)
	}
	h.note("root")
	if why, ok := judge("root"); ok || !strings.Contains(why, "no release of root is expected") {
		t.Errorf("another key: %s", why)
	}
}

// Whatever files a vendor adds, changes and removes, the proposal expects it.
func TestLearnProperty(t *testing.T) {
	seeds := uint64(2)
	if !testing.Short() {
		seeds = 16
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		h := newHistory(t)
		names := []string{"a", "b1", "dir/x.bin", "dir/deep/1.2", "0123456789abcdef.tar", "s*r", "q?m", "sp ace", "é/1", "100%", "-"}
		for range 4 + r.IntN(8) {
			var err error
			for range r.IntN(4) {
				name := names[r.IntN(len(names))]
				if r.IntN(2) == 0 {
					name += fmt.Sprint(r.IntN(100))
				}
				if err == nil {
					err = h.v.Put("targets", name, []byte{byte(r.IntN(3))})
				}
			}
			if r.IntN(8) == 0 {
				for i := range 40 {
					if err == nil {
						err = h.v.Put("targets", fmt.Sprintf("many/%c%c", 'a'+i%26, 'a'+i/26), nil)
					}
				}
			}
			h.release(err, "targets")
		}
		p := expect.Learn(h.history)
		if len(p.Outside) > 0 || p.Skipped > 0 || p.Releases == 0 {
			t.Errorf("seed %d: %+v\n%s", seed, p.Outside, p.Draft())
		}
	}
}

// The real histories: what would be proposed is what their files are named like, and what
// is outside changed keys and delegations.
func TestLearnReal(t *testing.T) {
	if testing.Short() {
		t.Skip("reads all of the real histories, seconds of processor time")
	}
	realdata.Histories(t)
	for _, name := range []string{"sigstore_root_signing", "docker_tuf", "jku_tuf_demo"} {
		var history []expect.Released
		for _, c := range realdata.Commits(t, name) {
			for _, f := range c.Files {
				m, err := tuf.ParseJSON(f.Data)
				if err == nil {
					history = append(history, expect.Released{Role: f.Role, Metadata: m})
				}
			}
		}
		p := expect.Learn(history)
		t.Logf("%s: %d files, %d skipped\n%s", name, len(history), p.Skipped, p.Draft())
		if p.Expected+len(p.Outside) != p.Releases || p.Expected*4 < p.Releases*3 {
			t.Errorf("%s: %d of %d releases would have been expected", name, p.Expected, p.Releases)
		}
		if _, err := expect.ParseDraft(p.Draft()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
