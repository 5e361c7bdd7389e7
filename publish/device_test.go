package publish

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// site is a vendor's repository as its mirrors serve it: the present file of each
// role, all roots, and the proofs that publisher submit wrote beside them.
type site struct {
	t     testing.TB
	log   *fakeLog
	dir   string
	names map[string]string // by role, of what is served
	dirty bool              // something has changed that the vendor has not submitted
	fresh bool              // something that has a proof has changed since a device looked
}

func newSite(t testing.TB, l *fakeLog) *site {
	return &site{t: t, log: l, dir: t.TempDir(), names: map[string]string{}}
}

// serve puts a file there, in place of the one that the role had.
func (s *site) serve(f *file) {
	s.t.Helper()
	if f.role == tuf.RoleTimestamp {
		write(s.t, filepath.Join(s.dir, "timestamp.json"), f.data)
		return // no proof depends on it
	}
	name := strconv.FormatInt(f.version, 10) + "." + f.role + ".json"
	if before := s.names[f.role]; before != "" && before != name && f.role != tuf.RoleRoot {
		for _, old := range []string{before, before + verify.SidecarSuffix} {
			if err := os.Remove(filepath.Join(s.dir, old)); err != nil && !errors.Is(err, os.ErrNotExist) {
				s.t.Fatal(err)
			}
		}
	}
	write(s.t, filepath.Join(s.dir, name), f.data)
	s.names[f.role] = name
	s.dirty = true
	s.fresh = s.fresh || f.role != tuf.RoleSnapshot
}

// submit is what the vendor does after a commit.
func (s *site) submit() {
	s.t.Helper()
	if s.dirty {
		mustSubmit(s.t, s.log.config(), s.dir)
	}
	s.dirty = false
}

// read returns a file of the repository, nil if it is not there.
func (s *site) read(name string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return b
}

func (s *site) sidecars(name string) verify.Sidecars {
	return verify.Sidecars{Proof: s.read(name + verify.SidecarSuffix)}
}

// refresh runs a device's workflow from root on, up to the top-level targets.
func (s *site) refresh(mode verify.Transparency, now time.Time, root []byte, state verify.State) (*verify.Client, error) {
	s.t.Helper()
	c, err := verify.NewClient(verify.ClientConfig{Policy: s.log.policy, Install: verify.DefaultInstallPolicy(), Transparency: mode, Now: now}, root, state)
	if err != nil {
		s.t.Fatal(err)
	}
	name := ""
	for {
		request, err := c.RequestFor(tuf.RoleRoot)
		if err != nil {
			s.t.Fatal(err)
		}
		next := s.read(request.FileName())
		if next == nil {
			break
		}
		if err := c.UpdateRoot(next); err != nil {
			return c, err
		}
		name = request.FileName()
	}
	if err := c.TrustRoot(s.sidecars(name)); err != nil {
		return c, err
	}
	if err := c.RootsDone(); err != nil {
		return c, err
	}
	if _, err := c.UpdateTimestamp(s.read("timestamp.json")); err != nil {
		return c, err
	}
	if err := c.UpdateSnapshot(s.read(s.names[tuf.RoleSnapshot])); err != nil {
		return c, err
	}
	name = s.names[tuf.RoleTargets]
	return c, c.UpdateTargets(s.read(name), s.sidecars(name))
}

// secondPayload reports whether another payload than that of the newest root is
// released under its version.
func (s *site) secondPayload() bool {
	s.t.Helper()
	newest, err := tuf.ParseJSON(s.read(s.names[tuf.RoleRoot]))
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.ContainsFunc(s.log.leaves, func(l leaf.Leaf) bool {
		return l.Kind == leaf.Release && l.Role == tuf.RoleRoot && l.Version == newest.Version && l.Payload != newest.PayloadDigest
	})
}

// dateOf is when a file of a history was committed.
func dateOf(t testing.TB, f *file) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, f.date)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// After each commit of Sigstore's history its vendor submits what is served then. A
// new device, which was given root 1, succeeds wherever one succeeds that looks at no
// proofs, except while the newest root is a second payload of its version: then it
// stays as it was. That is so also where an outsider logs every root that he finds on
// a public branch before the vendor gets to it.
func TestNewDevicesOfSigstore(t *testing.T) {
	h := realHistory(t, "sigstore_root_signing")
	var drafts []*file
	for _, f := range realHistory(t, "sigstore_root_signing_drafts").files {
		if f.meta != nil && f.meta.Root != nil {
			drafts = append(drafts, f)
		}
	}
	for _, tt := range []struct {
		name    string
		drafts  []*file
		barred  int     // devices that are refused, and would not be if they asked for no proofs
		seconds []int64 // the roots at which they are
	}{
		{"vendor alone", nil, 0, nil},
		{"drafts logged first", drafts, 26, []int64{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, newFake(t, tuf.RoleSnapshot, tuf.RoleTimestamp))
			var given []byte // root 1
			var state verify.State
			content, barred, seconds := 0, 0, map[int64]bool{}
			for i, f := range h.files {
				if given == nil && f.role == tuf.RoleRoot {
					given = f.data
					var err error
					if state, err = verify.Pin(given, verify.DefaultInstallPolicy()); err != nil {
						t.Fatal(err)
					}
				}
				s.serve(f)
				if i+1 < len(h.files) && h.files[i+1].commit == f.commit {
					continue
				}
				now := dateOf(t, f)
				if s.dirty && len(s.log.repos) > 0 {
					for _, d := range tt.drafts {
						if !dateOf(t, d).After(now) {
							s.log.judge(s.log.repos[0], tuf.RoleRoot, d.meta, nil)
						}
					}
				}
				s.submit()
				if testing.Short() && !s.fresh {
					continue
				}
				s.fresh = false
				c, err := s.refresh(verify.Enforce, now, given, state)
				if err == nil {
					content++
					continue
				}
				if _, off := s.refresh(verify.Off, now, given, state); off != nil {
					continue // the repository was broken
				}
				barred++
				seconds[c.NextRoot().Version] = true
				if !s.secondPayload() || c.Root().Version != 1 || !reflect.DeepEqual(c.State(), state) {
					t.Errorf("%s: %v; the device has root %d and remembers %+v", f.date, err, c.Root().Version, c.State())
				}
			}
			versions := slices.Sorted(maps.Keys(seconds))
			all := content+barred == 766 && barred == tt.barred
			if !all && !testing.Short() || !slices.Equal(versions, tt.seconds) {
				t.Errorf("%d devices are content, %d are not because of proofs, at roots %v; want %d, %d, %v",
					content, barred, versions, 766-tt.barred, tt.barred, tt.seconds)
			}
		})
	}
}
