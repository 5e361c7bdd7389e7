package verify_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestClientFirstRefresh(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		r := newFakeRepo(t)
		r.hashes = hashes
		r.put("targets", "app.bin", "one")
		r.publish("root", "targets", "snapshot", "timestamp")
		d := newFakeDevice(t, r.served["root"][0])
		wantOK(t, d.refresh(r, r.config()))
		want := []string{"2.root.json", "3.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"}
		if !slices.Equal(r.requests, want) {
			t.Errorf("requested %q, want %q", r.requests, want)
		}
		limits := map[string]int64{"root": tuf.MaxFileSize, "timestamp": tuf.MaxFileSize, "snapshot": tuf.MaxFileSize, "targets": tuf.MaxFileSize}
		if hashes {
			limits["snapshot"], limits["targets"] = int64(len(r.last("snapshot"))), int64(len(r.last("targets")))
		}
		for role, most := range limits {
			if got := r.limits[role]; got != most {
				t.Errorf("%s: at most %d bytes were asked for, want %d", role, got, most)
			}
		}
		lookup, err := d.find(r, "app.bin")
		wantOK(t, err)
		if lookup.Target == nil || lookup.Role != "targets" || lookup.Target.Matches([]byte("one")) != nil {
			t.Errorf("found %+v", lookup)
		}
		if got := len(d.client.Accepted()); got != 4 {
			t.Errorf("%d files accepted, want 4", got)
		}
		for _, a := range d.client.Accepted() {
			needs := a.Role == "targets" || a.Role == "root"
			if (a.Logged != nil) != needs {
				t.Errorf("%s %d: logged %v", a.Role, a.Metadata.Version, a.Logged)
			}
		}
		// Nothing new: nothing but the root and the timestamp is asked for.
		r.requests = nil
		wantOK(t, d.refresh(r, r.config()))
		if want := []string{"3.root.json", "timestamp.json"}; !slices.Equal(r.requests, want) {
			t.Errorf("requested %q, want %q", r.requests, want)
		}
	}
}

func TestClientWithoutConsistentSnapshots(t *testing.T) {
	r := newFakeRepo(t)
	r.root.Signed.ConsistentSnapshot = false
	r.publish("root")
	d := newFakeDevice(t, r.served["root"][0])
	wantOK(t, d.refresh(r, r.config()))
	want := []string{"2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json"}
	if !slices.Equal(r.requests, want) {
		t.Errorf("requested %q, want %q", r.requests, want)
	}
}

func TestClientRoots(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *fakeRepo)
		code verify.Code // "" for none
		role string
		root int64 // trusted afterwards
	}{
		{"rotation", func(r *fakeRepo) { r.rotate("root"); r.publish("root") }, "", "", 2},
		{"two rotations", func(r *fakeRepo) {
			r.rotate("root")
			r.publish("root")
			r.rotate("root")
			r.publish("root")
		}, "", "", 3},
		{"not signed by the old keys", func(r *fakeRepo) {
			r.rotate("root")
			r.signers["root"] = r.signers["root"][:1]
			r.publish("root")
		}, verify.CodeBadMetadata, "root", 1},
		{"not signed by its own keys", func(r *fakeRepo) {
			r.rotate("root")
			r.signers["root"] = r.signers["root"][1:]
			r.publish("root")
		}, verify.CodeBadMetadata, "root", 1},
		{"threshold raised and met", func(r *fakeRepo) {
			r.addKey("root")
			r.root.Signed.Roles["root"].Threshold = 2
			r.publish("root")
		}, "", "", 2},
		{"threshold raised and not met", func(r *fakeRepo) {
			r.root.Signed.Roles["root"].Threshold = 2
			r.publish("root")
		}, verify.CodeBadMetadata, "root", 1},
		{"last one expired", func(r *fakeRepo) {
			r.root.Signed.Expires = epoch
			r.publish("root")
		}, verify.CodeExpired, "root", 2},
		{"one on the way expired", func(r *fakeRepo) {
			r.root.Signed.Expires = epoch.Add(-day)
			r.publish("root")
			r.root.Signed.Expires = epoch.Add(day)
			r.publish("root")
		}, "", "", 3},
		{"a version twice", func(r *fakeRepo) {
			r.instead = map[string][]byte{"2.root.json": bytes.Replace(r.last("root"), []byte(`"version":1`), []byte(`"version":2,"version":2`), 1)}
		}, verify.CodeBadMetadata, "root", 1},
		{"follows another specification", func(r *fakeRepo) {
			r.root.Signed.SpecVersion = "2.0.0"
			r.publish("root")
		}, verify.CodeBadMetadata, "root", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newFakeRepo(t)
			d := newFakeDevice(t, r.last("root"))
			tt.do(r)
			if err := d.refresh(r, r.config()); tt.code == "" {
				wantOK(t, err)
			} else {
				wantRefused(t, err, tt.code, tt.role)
			}
			if got := d.version("root"); got != tt.root {
				t.Errorf("root %d is trusted, want %d", got, tt.root)
			}
		})
	}
}

func TestClientRootVersions(t *testing.T) {
	r := newFakeRepo(t)
	r.publish("root")
	r.publish("root")
	one, two, three := r.served["root"][0], r.served["root"][1], r.served["root"][2]
	// served is what a device that has root 1 is served as roots 2, 3 and so on.
	served := func(d *fakeDevice, roots ...[]byte) error {
		r.instead = map[string][]byte{}
		for i := range 4 {
			var root []byte
			if i < len(roots) {
				root = roots[i]
			}
			r.instead[fmt.Sprintf("%d.root.json", i+2)] = root
		}
		d.files["root"], d.sidecars["root"] = one, verify.Sidecars{}
		return d.refresh(r, r.config())
	}
	d := newFakeDevice(t, one)
	wantRefused(t, served(d, three), verify.CodeBadMetadata, "root")
	wantRefused(t, served(d, one), verify.CodeRollback, "root")
	wantRefused(t, served(d, r.last("targets")), verify.CodeBadMetadata, "root")
	wantRefused(t, served(d, two, two), verify.CodeRollback, "root")
	if d.state.Root.Version != 1 || d.version("root") != 1 || len(d.client.Accepted()) != 0 {
		t.Errorf("root %d is trusted, %d kept", d.state.Root.Version, d.version("root"))
	}
	wantOK(t, served(d, two, three))

	// A device that has trusted root 3 does not settle for less, wherever it has to
	// start from, nor for another root 3.
	wantRefused(t, served(d, two), verify.CodeRollback, "root")
	r.root.Signed.Expires = epoch.Add(valid + day)
	r.serve("root")
	wantRefused(t, served(d, two, r.last("root")), verify.CodeSecondPayload, "root")
	r.instead, d.files["root"] = nil, r.last("root")
	wantRefused(t, d.refresh(r, r.config()), verify.CodeDevice, "root")
}

// A device that has missed more roots than it climbs in one run gets there in several.
func TestClientMaxRoots(t *testing.T) {
	r := newFakeRepo(t)
	d := newFakeDevice(t, r.last("root"))
	for range 3 {
		r.publish("root")
	}
	cfg := r.config()
	cfg.MaxRoots = 2
	for _, want := range []int64{3, 4} {
		wantOK(t, d.refresh(r, cfg))
		if got := d.version("root"); got != want {
			t.Errorf("root %d is trusted, want %d", got, want)
		}
	}
}

func TestClientRefusesBadBeginnings(t *testing.T) {
	r := newFakeRepo(t)
	unsigned := bytes.Replace(r.last("root"), []byte(`"sig":"`), []byte(`"sig":"00`), 1)
	for name, root := range map[string][]byte{"empty": nil, "targets": r.last("targets"), "unsigned": unsigned} {
		_, err := verify.Pin(root, verify.InstallPolicy{})
		t.Log(name)
		wantRefused(t, err, verify.CodeBadMetadata, "root")
	}
	d := newFakeDevice(t, r.last("root"))
	d.files["root"] = unsigned
	wantRefused(t, d.refresh(r, r.config()), verify.CodeBadMetadata, "root")
	d.files["root"] = r.last("root")

	cfg := r.config()
	cfg.Policy = nil
	if c, err := verify.Refresh(t.Context(), cfg, d.state, d); err == nil || c != nil {
		t.Error("an update that enforces began without a policy")
	}
	if c, err := verify.Refresh(t.Context(), r.config(), verify.State{}, d); err == nil || c != nil {
		t.Error("an update began without a pinned root")
	}
	d.files["root"] = nil
	if c, err := verify.Refresh(t.Context(), r.config(), d.state, d); err == nil || c != nil {
		t.Error("an update began without a root")
	}
	if len(r.requests) > 0 {
		t.Errorf("requests %q", r.requests)
	}
}

// A root that is kept follows from the one that the state knows, also where no proof of
// roots is asked for: one that somebody has put there is not in force, and not remembered.
func TestClientKeptRoot(t *testing.T) {
	r := newFakeRepo(t)
	stranger := newFakeRepo(t)
	stranger.root.Signed.Version = 40
	stranger.publish("root")
	partial := verify.InstallPolicy{Require: []string{"targets", "delegated"}}
	for name, change := range map[string]func(*verify.Config){
		"enforce": func(*verify.Config) {},
		"partial": func(cfg *verify.Config) { cfg.Install = partial },
		"warn":    func(cfg *verify.Config) { cfg.Transparency = verify.Warn },
		"off":     func(cfg *verify.Config) { cfg.Transparency = verify.Off },
	} {
		cfg := r.config()
		change(&cfg)
		trusting := func() *fakeDevice {
			d := newFakeDevice(t, r.served["root"][0])
			wantOK(t, d.refresh(r, cfg))
			return d
		}
		t.Log(name)
		d := trusting()
		before := d.state.Root
		d.files["root"] = stranger.last("root")
		for _, from := range []*fakeRepo{r, stranger} {
			wantRefused(t, d.refresh(from, cfg), verify.CodeDevice, "root")
			if d.state.Root.Version != before.Version || d.state.Root.Payload != before.Payload {
				t.Errorf("root %+v is in force", d.state.Root)
			}
		}

		// A run that lost its power between root and state goes on, but not to where it was
		// before: the newer root has been seen.
		d = trusting()
		old := d.state
		r.publish("root", "timestamp")
		wantOK(t, d.refresh(r, cfg))
		d.state = old
		newest := r.served["root"]
		r.served["root"] = newest[:len(newest)-1]
		wantRefused(t, d.refresh(r, cfg), verify.CodeDevice, "root")
		r.served["root"] = newest
		wantOK(t, d.refresh(r, cfg))
		if want := r.parse(r.last("root")); d.state.Root.Payload != want.PayloadDigest {
			t.Errorf("root %+v, want version %d", d.state.Root, want.Version)
		}

		// An older one that was put back leads to the one that was trusted, or nowhere.
		d.files["root"] = r.served["root"][0]
		wantOK(t, d.refresh(r, cfg))
	}
	// A stranger's older one leads past it.
	cfg := r.config()
	cfg.Transparency = verify.Off
	r.publish("root", "timestamp")
	d := newFakeDevice(t, r.last("root"))
	stranger.root.Signed.Version = d.version("root") - 2
	for range 3 {
		stranger.publish("root")
	}
	d.files["root"] = stranger.served["root"][len(stranger.served["root"])-3]
	wantRefused(t, d.refresh(stranger, cfg), verify.CodeSecondPayload, "root")
}

func TestClientTimestamp(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *fakeRepo) // after the device has seen timestamp 2 and snapshot 2
		code verify.Code
	}{
		{"next version", func(r *fakeRepo) { r.publish("timestamp") }, ""},
		{"older version", func(r *fakeRepo) { r.timestamp.Signed.Version = 1; r.serve("timestamp") }, verify.CodeRollback},
		{"older snapshot", func(r *fakeRepo) {
			r.timestamp.Signed.Meta["snapshot.json"].Version = 1
			r.publish("timestamp")
		}, verify.CodeRollback},
		{"unsigned", func(r *fakeRepo) { r.signers["timestamp"] = nil; r.publish("timestamp") }, verify.CodeBadMetadata},
		{"signed by another role", func(r *fakeRepo) {
			r.signers["timestamp"] = r.signers["snapshot"]
			r.publish("timestamp")
		}, verify.CodeBadMetadata},
		{"expired", func(r *fakeRepo) { r.timestamp.Signed.Expires = epoch; r.publish("timestamp") }, verify.CodeExpired},
		{"a snapshot in its place", func(r *fakeRepo) {
			r.served["timestamp"] = append(r.served["timestamp"], r.last("snapshot"))
		}, verify.CodeBadMetadata},
		{"not JSON", func(r *fakeRepo) { r.served["timestamp"] = append(r.served["timestamp"], []byte("no metadata")) }, verify.CodeBadMetadata},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newFakeRepo(t)
			r.publish("snapshot", "timestamp")
			d := newFakeDevice(t, r.last("root"))
			wantOK(t, d.refresh(r, r.config()))
			before := d.state
			tt.do(r)
			err := d.refresh(r, r.config())
			if tt.code == "" {
				wantOK(t, err)
				return
			}
			wantRefused(t, err, tt.code, "timestamp")
			if d.version("timestamp") != 2 || d.state.Timestamp.Payload != before.Timestamp.Payload {
				t.Errorf("timestamp %d is trusted, want 2", d.version("timestamp"))
			}
		})
	}
}

func TestClientSameTimestampVersion(t *testing.T) {
	r := newFakeRepo(t)
	d := newFakeDevice(t, r.last("root"))
	wantOK(t, d.refresh(r, r.config()))
	kept := d.files["timestamp"]
	r.timestamp.Signed.Meta["snapshot.json"].Version = 100
	r.serve("timestamp")
	r.requests = nil
	wantOK(t, d.refresh(r, r.config()))
	if !bytes.Equal(d.files["timestamp"], kept) || r.requests[len(r.requests)-1] != "timestamp.json" {
		t.Errorf("the changed timestamp was used: %q", r.requests)
	}
	// A device that lost its file still knows which one it was.
	d.files["timestamp"] = nil
	wantRefused(t, d.refresh(r, r.config()), verify.CodeSecondPayload, "timestamp")
	r.served["timestamp"] = append(r.served["timestamp"], kept)
	wantOK(t, d.refresh(r, r.config()))
	// What a vendor signs again under the version that has expired is no update, and no
	// attack either.
	r.timestamp.Signed.Meta["snapshot.json"].Version = 1
	r.timestamp.Signed.Expires = epoch.Add(3 * valid)
	r.serve("timestamp")
	cfg := r.config()
	cfg.Now = epoch.Add(valid)
	r.root.Signed.Expires = epoch.Add(3 * valid)
	r.publish("root")
	err := d.refresh(r, cfg)
	wantRefused(t, err, verify.CodeExpired, "timestamp")
	if !strings.Contains(err.Error(), "has to sign version 2") {
		t.Errorf("the way out is missing: %v", err)
	}
	r.publish("timestamp")
	wantRefused(t, d.refresh(r, cfg), verify.CodeExpired, "snapshot")
}

func TestClientSnapshot(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *fakeRepo) // after the device has seen version 2 of everything
		code verify.Code
	}{
		{"next version", func(r *fakeRepo) { r.publish("snapshot", "timestamp") }, ""},
		{"older targets", func(r *fakeRepo) {
			r.snapshot.Signed.Meta["targets.json"].Version = 1
			r.publish("snapshot", "timestamp")
		}, verify.CodeRollback},
		{"another payload of the version", func(r *fakeRepo) {
			r.snapshot.Signed.Version--
			r.snapshot.Signed.Expires = epoch.Add(2 * valid)
			r.publish("snapshot", "timestamp")
		}, verify.CodeSecondPayload},
		{"root.json no longer listed", func(r *fakeRepo) {
			delete(r.snapshot.Signed.Meta, "root.json")
			r.publish("snapshot", "timestamp")
		}, ""},
		{"role no longer listed", func(r *fakeRepo) {
			delete(r.snapshot.Signed.Meta, "A.json")
			r.publish("snapshot", "timestamp")
		}, verify.CodeRollback},
		{"other version than listed", func(r *fakeRepo) {
			r.publish("snapshot", "timestamp") // lists 3
			r.snapshot.Signed.Version++
			r.served["snapshot"] = [][]byte{r.sign("snapshot")}
			r.timestamp.Signed.Meta["snapshot.json"].Hashes = nil
			r.root.Signed.ConsistentSnapshot = false // so that it is fetched all the same
			r.publish("root")
		}, verify.CodeBadMetadata},
		{"older version than listed", func(r *fakeRepo) {
			r.publish("snapshot", "timestamp")
			r.served["snapshot"] = r.served["snapshot"][:1]
			r.root.Signed.ConsistentSnapshot = false
			r.publish("root")
		}, verify.CodeRollback},
		{"other bytes than listed", func(r *fakeRepo) {
			r.publish("snapshot", "timestamp")
			r.served["snapshot"][2] = append(r.served["snapshot"][2], ' ')
		}, verify.CodeBadMetadata},
		{"unsigned", func(r *fakeRepo) { r.signers["snapshot"] = nil; r.publish("snapshot", "timestamp") }, verify.CodeBadMetadata},
		{"expired", func(r *fakeRepo) {
			r.snapshot.Signed.Expires = epoch.Add(-time.Second)
			r.publish("snapshot", "timestamp")
		}, verify.CodeExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newFakeRepo(t)
			r.hashes = true
			r.delegate("targets", "A", false, "*")
			r.snapshot.Signed.Meta["root.json"] = &metadata.MetaFiles{Version: 1} // as TUF had it before 1.0
			r.publish("A", "targets", "snapshot", "timestamp")
			d := newFakeDevice(t, r.last("root"))
			wantOK(t, d.refresh(r, r.config()))
			tt.do(r)
			err := d.refresh(r, r.config())
			if tt.code == "" {
				wantOK(t, err)
				return
			}
			wantRefused(t, err, tt.code, "snapshot")
			// The timestamp that led there is kept, as the specification has it.
			if d.version("timestamp") != 3 || d.version("snapshot") != 2 || d.state.Snapshot.Version != 2 {
				t.Errorf("timestamp %d, snapshot %d are trusted, want 3, 2", d.version("timestamp"), d.version("snapshot"))
			}
		})
	}
}

// A vendor recovers from stolen online keys by rotating them: what they signed is
// forgotten. Versions that other keys vouch for are not.
func TestClientFastForwardRecovery(t *testing.T) {
	setup := func(t *testing.T) (*fakeRepo, *fakeDevice) {
		r := newFakeRepo(t)
		r.timestamp.Signed.Version, r.snapshot.Signed.Version = 500, 500
		r.targets["targets"].Signed.Version = 500
		r.publish("targets", "snapshot", "timestamp")
		d := newFakeDevice(t, r.last("root"))
		wantOK(t, d.refresh(r, r.config()))
		r.timestamp.Signed.Version, r.snapshot.Signed.Version = 501, 501
		return r, d
	}
	t.Run("timestamp", func(t *testing.T) {
		r, d := setup(t)
		r.rotate("timestamp")
		r.timestamp.Signed.Version = 1
		r.publish("root", "timestamp")
		wantOK(t, d.refresh(r, r.config()))
		if d.version("timestamp") != 2 {
			t.Errorf("timestamp %d", d.version("timestamp"))
		}
	})
	t.Run("snapshot and timestamp", func(t *testing.T) {
		r, d := setup(t)
		r.rotate("timestamp")
		r.rotate("snapshot")
		r.snapshot.Signed.Version, r.timestamp.Signed.Version = 1, 1
		r.publish("root", "snapshot", "timestamp")
		wantOK(t, d.refresh(r, r.config()))
		if d.version("snapshot") != 2 {
			t.Errorf("snapshot %d", d.version("snapshot"))
		}
	})
	t.Run("targets, by the snapshot's keys", func(t *testing.T) {
		r, d := setup(t)
		r.rotate("snapshot")
		r.targets["targets"].Signed.Version = 1
		r.publish("root", "targets", "snapshot", "timestamp")
		wantOK(t, d.refresh(r, r.config()))
		if d.version("targets") != 2 {
			t.Errorf("targets %d", d.version("targets"))
		}
	})
	t.Run("without rotation", func(t *testing.T) {
		r, d := setup(t)
		r.targets["targets"].Signed.Version = 1
		r.publish("root", "targets", "snapshot", "timestamp")
		wantRefused(t, d.refresh(r, r.config()), verify.CodeRollback, "snapshot")
	})
	t.Run("snapshot, only the timestamp's keys", func(t *testing.T) {
		r, d := setup(t)
		r.rotate("timestamp")
		r.snapshot.Signed.Version, r.timestamp.Signed.Version = 1, 1
		r.publish("root", "snapshot", "timestamp")
		wantRefused(t, d.refresh(r, r.config()), verify.CodeRollback, "snapshot")
	})
	t.Run("keys added, not taken away", func(t *testing.T) {
		r, d := setup(t)
		r.addKey("timestamp")
		r.timestamp.Signed.Version = 1
		r.publish("root", "timestamp")
		d.files["timestamp"] = nil
		wantRefused(t, d.refresh(r, r.config()), verify.CodeRollback, "timestamp")
	})
}

func TestClientTargets(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *fakeRepo)
		code verify.Code
	}{
		{"next version", func(r *fakeRepo) { r.publish("targets", "snapshot", "timestamp") }, ""},
		{"other bytes than listed", func(r *fakeRepo) {
			r.publish("targets", "snapshot", "timestamp")
			r.served["targets"][1] = append(r.served["targets"][1], ' ')
		}, verify.CodeBadMetadata},
		{"older version than listed", func(r *fakeRepo) {
			r.root.Signed.ConsistentSnapshot = false
			r.publish("root", "targets", "snapshot", "timestamp")
			r.served["targets"] = r.served["targets"][:1]
		}, verify.CodeRollback},
		{"not listed", func(r *fakeRepo) {
			r.rotate("snapshot") // otherwise the snapshot is refused
			delete(r.snapshot.Signed.Meta, "targets.json")
			r.publish("root", "snapshot", "timestamp")
		}, verify.CodeBadMetadata},
		{"unsigned", func(r *fakeRepo) {
			r.signers["targets"] = nil
			r.publish("targets", "snapshot", "timestamp")
		}, verify.CodeBadMetadata},
		{"signed by the key taken away", func(r *fakeRepo) {
			old := r.signers["targets"]
			r.rotate("targets")
			r.signers["targets"] = old
			r.publish("root", "targets", "snapshot", "timestamp")
		}, verify.CodeBadMetadata},
		{"expired", func(r *fakeRepo) {
			r.targets["targets"].Signed.Expires = epoch.Add(-day)
			r.publish("targets", "snapshot", "timestamp")
		}, verify.CodeExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newFakeRepo(t)
			r.hashes = true
			d := newFakeDevice(t, r.last("root"))
			wantOK(t, d.refresh(r, r.config()))
			tt.do(r)
			err := d.refresh(r, r.config())
			if tt.code == "" {
				wantOK(t, err)
				return
			}
			wantRefused(t, err, tt.code, "targets")
			if d.version("targets") != 1 {
				t.Errorf("targets %d are trusted, want 1", d.version("targets"))
			}
		})
	}
}

// Whatever ended an update before its targets were trusted, nothing is found in them.
func TestClientWithoutTargets(t *testing.T) {
	r := newFakeRepo(t)
	r.put("targets", "app.bin", "one")
	r.targets["targets"].Signed.Expires = epoch
	r.publish("targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.last("root"))
	wantRefused(t, d.refresh(r, r.config()), verify.CodeExpired, "targets")
	if found, err := d.client.Locate(t.Context(), "app.bin"); err == nil || found.Target != nil {
		t.Errorf("found %+v", found)
	}
	if err := d.client.Delegated(t.Context(), func(verify.Request, error) error { return nil }); err == nil {
		t.Error("the delegated roles of no targets are up to date")
	}
}
