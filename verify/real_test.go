package verify_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// sigstore is the real history of Sigstore's repository: its files by name, and
// the lines of its index, which say when each was committed.
func sigstore(t *testing.T) (files map[string][]byte, index []map[string]string) {
	t.Helper()
	files = map[string][]byte{}
	for _, f := range realdata.Files(t, "sigstore_root_signing") {
		files[path.Base(f.Name)] = f.Data
	}
	f, err := os.Open(filepath.Join(realdata.Histories(t), "sigstore_root_signing", "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		index = append(index, row)
	}
	return files, index
}

// history is the source of a device that follows a real history: what it keeps, and what
// is served. Of that it keeps root and timestamp.
type history struct {
	kept  map[string][]byte // by role
	fetch func(verify.Request) []byte
}

func (h *history) Kept(_ context.Context, role string) ([]byte, verify.Sidecars, error) {
	return h.kept[role], verify.Sidecars{}, nil
}

func (h *history) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	if b := h.fetch(r); b != nil {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (h *history) Keep(_ context.Context, a verify.Accepted) error {
	if a.Role == tuf.RoleRoot || a.Role == tuf.RoleTimestamp {
		h.kept[a.Role] = a.Metadata.File
	}
	return nil
}

// A device that was given Sigstore's first root arrives at its last.
func TestClientSigstoreRoots(t *testing.T) {
	files, _ := sigstore(t)
	state, err := verify.Pin(files["1.root.json"], verify.DefaultInstallPolicy())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 8, 22, 0, 0, 0, 0, time.UTC)
	source := &history{map[string][]byte{tuf.RoleRoot: files["1.root.json"]}, func(r verify.Request) []byte {
		if r.Role == tuf.RoleTimestamp {
			return files["762.timestamp.json"]
		}
		return files[r.FileName()]
	}}
	c, err := verify.Refresh(t.Context(), verify.Config{Transparency: verify.Off, Now: now}, state, source)
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]int64{tuf.RoleRoot: 15, tuf.RoleTimestamp: 762, tuf.RoleSnapshot: 165, tuf.RoleTargets: 14} {
		if got := c.Metadata(role).Version; got != want {
			t.Errorf("arrived at %s %d, want %d", role, got, want)
		}
	}
	for path, role := range map[string]string{"trusted_root.json": tuf.RoleTargets, "registry.npmjs.org/keys.json": "registry.npmjs.org"} {
		if found, err := c.Locate(t.Context(), path); err != nil || found.Target == nil || found.Role != role {
			t.Errorf("%s: %+v, %v", path, found, err)
		}
	}
}

// A device that refreshed at every commit of Sigstore's history would have been
// content, but for the times at which the repository was broken.
func TestClientSigstoreHistory(t *testing.T) {
	files, index := sigstore(t)
	served := map[string][]byte{}
	device := &history{map[string][]byte{}, func(r verify.Request) []byte {
		if r.Role == tuf.RoleRoot {
			return served[r.FileName()]
		}
		return served[r.Role]
	}}
	var state verify.State
	refresh := func(now time.Time) error {
		c, err := verify.Refresh(t.Context(), verify.Config{Transparency: verify.Off, Now: now}, state, device)
		if c != nil {
			state = c.State()
		}
		return err
	}

	fine, broken := 0, map[string]int{}
	for i, row := range index {
		data := files[path.Base(row["file"])]
		served[row["role"]] = data
		served[row["version"]+"."+row["role"]+".json"] = data
		if row["role"] == tuf.RoleRoot && row["version"] == "1" {
			var err error
			if state, err = verify.Pin(data, verify.DefaultInstallPolicy()); err != nil {
				t.Fatal(err)
			}
			device.kept[tuf.RoleRoot] = data
		}
		if i+1 < len(index) && index[i+1]["commit"] == row["commit"] || device.kept[tuf.RoleRoot] == nil || served["timestamp"] == nil {
			continue
		}
		now, err := time.Parse(time.RFC3339, row["date"])
		if err != nil {
			t.Fatal(err)
		}
		if err := refresh(now); err != nil {
			t.Logf("%s: %v", row["date"], err)
			var r *verify.Refusal
			if !errors.As(err, &r) {
				t.Fatal(err)
			}
			broken[string(r.Code)+" "+r.Role]++
			continue
		}
		fine++
	}
	// What was refused: the versions that exist twice (14, 24, 38), and commits
	// that left the parts of the repository out of step for a while.
	want := map[string]int{
		"bad-metadata snapshot": 4, "bad-metadata targets": 6, "bad-metadata timestamp": 2,
		"rollback snapshot": 1, "rollback timestamp": 1,
	}
	if fine != 764 || !maps.Equal(broken, want) {
		t.Errorf("%d refreshes fine, refused %v; want 764, %v", fine, broken, want)
	}
	if !bytes.Equal(device.kept[tuf.RoleRoot], files["15.root.json"]) || !bytes.Equal(device.kept[tuf.RoleTimestamp], files["762.timestamp.json"]) {
		t.Error("the device did not arrive at the last root and timestamp")
	}
}
