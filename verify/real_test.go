package verify

import (
	"bytes"
	"encoding/csv"
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
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

// A device that was given Sigstore's first root arrives at its last.
func TestClientSigstoreRoots(t *testing.T) {
	files, _ := sigstore(t)
	state, err := Pin(files["1.root.json"], DefaultInstallPolicy())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 8, 22, 0, 0, 0, 0, time.UTC)
	c, err := NewClient(ClientConfig{Transparency: Off, Now: now}, files["1.root.json"], state)
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := c.RequestFor(tuf.RoleRoot)
		if err != nil {
			t.Fatal(err)
		}
		file := files[r.FileName()]
		if file == nil {
			break
		}
		if err := c.UpdateRoot(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.TrustRoot(Sidecars{}), c.RootsDone()); err != nil {
		t.Fatal(err)
	}
	if c.Root().Version != 15 {
		t.Fatalf("arrived at root %d, want 15", c.Root().Version)
	}
	if _, err := c.UpdateTimestamp(files["762.timestamp.json"]); err != nil {
		t.Fatal(err)
	}
	if err := c.UpdateSnapshot(files["165.snapshot.json"]); err != nil {
		t.Fatal(err)
	}
	if err := c.UpdateTargets(files["14.targets.json"], Sidecars{}); err != nil {
		t.Fatal(err)
	}
	for path, role := range map[string]string{"trusted_root.json": tuf.RoleTargets, "registry.npmjs.org/keys.json": "registry.npmjs.org"} {
		lookup, err := c.Find(path)
		if err == nil && lookup.Need != nil {
			if err := c.UpdateDelegated(role, tuf.RoleTargets, files[lookup.Need.FileName()], Sidecars{}); err != nil {
				t.Fatal(err)
			}
			lookup, err = c.Find(path)
		}
		if err != nil || lookup.Target == nil || lookup.Role != role {
			t.Errorf("%s: %+v, %v", path, lookup, err)
		}
	}
}

// A device that refreshed at every commit of Sigstore's history would have been
// content, but for the times at which the repository was broken.
func TestClientSigstoreHistory(t *testing.T) {
	files, index := sigstore(t)
	served := map[string][]byte{}
	var state State
	var root, timestamp []byte
	refresh := func(now time.Time) error {
		c, err := NewClient(ClientConfig{Transparency: Off, Now: now}, root, state)
		if err != nil {
			return err
		}
		defer func() { state = c.State() }()
		next := root
		for {
			r, _ := c.RequestFor(tuf.RoleRoot)
			file := served[r.FileName()]
			if file == nil {
				break
			}
			if err := c.UpdateRoot(file); err != nil {
				return err
			}
			next = file
		}
		if err := c.TrustRoot(Sidecars{}); err != nil {
			return err
		}
		root = next
		if err := c.RootsDone(); err != nil {
			return err
		}
		if timestamp != nil {
			_, _ = c.UpdateTimestamp(timestamp)
		}
		updated, err := c.UpdateTimestamp(served["timestamp"])
		if err != nil {
			return err
		}
		if updated {
			timestamp = served["timestamp"]
		}
		snapshot := served["snapshot"]
		if err := c.UpdateSnapshot(snapshot); err != nil {
			return err
		}
		return c.UpdateTargets(served["targets"], Sidecars{})
	}

	fine, broken := 0, map[string]int{}
	for i, row := range index {
		data := files[path.Base(row["file"])]
		served[row["role"]] = data
		served[row["version"]+"."+row["role"]+".json"] = data
		if row["role"] == tuf.RoleRoot && row["version"] == "1" {
			var err error
			if state, err = Pin(data, DefaultInstallPolicy()); err != nil {
				t.Fatal(err)
			}
			root = data
		}
		if i+1 < len(index) && index[i+1]["commit"] == row["commit"] || root == nil || served["timestamp"] == nil {
			continue
		}
		now, err := time.Parse(time.RFC3339, row["date"])
		if err != nil {
			t.Fatal(err)
		}
		if err := refresh(now); err != nil {
			t.Logf("%s: %v", row["date"], err)
			var r *Refusal
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
	if !bytes.Equal(root, files["15.root.json"]) || !bytes.Equal(timestamp, files["762.timestamp.json"]) {
		t.Error("the device did not arrive at the last root and timestamp")
	}
}
