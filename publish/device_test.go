package publish

import (
	"context"
	"errors"
	"io/fs"
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

// newDevice is the source of a device that has nothing but the root that it was given.
// What it fetches of a role is what is served, whatever its version.
type newDevice struct {
	*site
	root   []byte
	newest int64 // version of the last root that was fetched
}

func (d *newDevice) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	if role == tuf.RoleRoot {
		return d.root, verify.Sidecars{}, nil
	}
	return nil, verify.Sidecars{}, nil
}

func (d *newDevice) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	name := r.FileName()
	if r.Role == tuf.RoleSnapshot || r.Role == tuf.RoleTargets {
		name = d.names[r.Role] + r.Suffix
	}
	file := d.read(name)
	if file == nil {
		return nil, fs.ErrNotExist
	}
	if r.Role == tuf.RoleRoot {
		d.newest = r.Version
	}
	return file, nil
}

func (d *newDevice) Keep(context.Context, verify.Accepted) error { return nil }

// refresh updates a new device that was given root. It returns the version of the newest
// root that is served as well.
func (s *site) refresh(mode verify.Transparency, now time.Time, root []byte, state verify.State) (*verify.Client, int64, error) {
	s.t.Helper()
	d := &newDevice{site: s, root: root}
	c, err := verify.Refresh(s.t.Context(), verify.Config{Policy: s.log.policy, Install: verify.DefaultInstallPolicy(), Transparency: mode, Now: now}, state, d)
	if c == nil {
		s.t.Fatal(err)
	}
	return c, d.newest, err
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
				c, newest, err := s.refresh(verify.Enforce, now, given, state)
				if err == nil {
					content++
					continue
				}
				if _, _, off := s.refresh(verify.Off, now, given, state); off != nil {
					continue // the repository was broken
				}
				barred++
				seconds[newest] = true
				remembers := c.State()
				remembers.Waiting = nil // which has no say
				if !s.secondPayload() || c.Metadata(tuf.RoleRoot).Version != 1 || !reflect.DeepEqual(remembers, state) {
					t.Errorf("%s: %v; the device has root %d and remembers %+v", f.date, err, c.Metadata(tuf.RoleRoot).Version, c.State())
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
