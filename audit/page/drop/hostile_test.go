package drop_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/page/drop"
	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// repository is a vendor's, of which each release is logged.
type repository struct {
	*testvendor.Vendor
	t      testing.TB
	log    *testlog.Log
	id     tuf.Digest
	logged map[string][]byte // files with proofs beside them
}

func newRepository(t testing.TB, log *testlog.Log, expires time.Time) *repository {
	v, err := testvendor.New(expires)
	must(t, err)
	first, err := tuf.ParseJSON(v.Files()["1.root.json"])
	must(t, err)
	r := &repository{Vendor: v, t: t, log: log, id: first.PayloadDigest, logged: map[string][]byte{}}
	r.submit(tuf.RoleRoot, tuf.RoleTargets)
	return r
}

// submit logs the present files of roles.
func (r *repository) submit(roles ...string) {
	for _, role := range roles {
		name, file := r.File(role)
		m, err := tuf.ParseJSON(file)
		must(r.t, err)
		entry := leaf.Leaf{Kind: leaf.Release, Repository: r.id, Role: role, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON}.Marshal()
		now := time.Now().Unix()
		r.logged[name] = file
		r.logged[name+verify.SidecarSuffix] = r.log.Proof(entry, r.log.Add(entry), []int64{now, now}[:min(2, len(r.log.Witnesses))]...)
	}
}

// put releases a file of a role.
func (r *repository) put(role, path, content string) {
	must(r.t, r.Put(role, path, []byte(content)))
	must(r.t, r.Release(role))
	r.submit(role)
}

// folder is all that the vendor has published, with proofs.
func (r *repository) folder() map[string][]byte {
	files := r.Files()
	maps.Copy(files, r.logged)
	return files
}

// judged drops metadata and targets.
func judged(ctx context.Context, policy, id string, metadata, targets map[string][]byte) drop.Verdict {
	in := drop.Input{Policy: policy, Repository: id, Now: time.Now()}
	for folder, files := range map[string]map[string][]byte{"metadata/": metadata, "targets/": targets} {
		for name, content := range files {
			in.Files = append(in.Files, drop.File{Name: folder + name, Content: content})
		}
	}
	return drop.Judge(ctx, in)
}

// deviceJudges is updater verify --target-name for each target, in this process.
func deviceJudges(t testing.TB, policy, id string, metadata, targets map[string][]byte) error {
	dir := t.TempDir()
	for folder, files := range map[string]map[string][]byte{"metadata": metadata, "targets": targets} {
		for name, content := range files {
			path := filepath.Join(dir, folder, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, content, 0o644))
		}
	}
	trust, err := proofs.ParsePolicy([]byte(policy))
	must(t, err)
	folder, err := device.OpenFolder(filepath.Join(dir, "metadata"))
	if err != nil {
		return err
	}
	_, root, err := folder.LowestRoot()
	if err != nil || root == nil {
		return errors.Join(errors.New("no root"), err)
	}
	folder.Root = root
	install := verify.DefaultInstallPolicy()
	if id != "" {
		install.Repository, err = tuf.ParseDigest(id)
		must(t, err)
	}
	state, err := verify.Pin(root, install)
	if err != nil {
		return err
	}
	client, err := verify.Refresh(t.Context(), verify.Config{Policy: trust, Install: install, Now: time.Now(), MaxRoots: math.MaxInt}, state, folder)
	if err != nil {
		return err
	}
	if err := client.Delegated(t.Context(), func(_ verify.Request, err error) error {
		if r := (*verify.Refusal)(nil); errors.As(err, &r) && r.Code == verify.CodeNetwork {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	for name := range targets {
		if _, _, err := folder.Target(t.Context(), client, name, filepath.Join(dir, "targets")); err != nil {
			return err
		}
	}
	return nil
}

// codeOf is the code of a device's refusal.
func codeOf(err error) string {
	var r *verify.Refusal
	if errors.As(err, &r) {
		return string(r.Code)
	}
	return ""
}

func good(o drop.Outcome) bool {
	return o == drop.Accepted || o == drop.Listed || o == drop.Proved
}

// same holds the verdict on a folder beside that of a device.
func same(t *testing.T, r *repository, metadata, targets map[string][]byte, outcome drop.Outcome) drop.Verdict {
	t.Helper()
	v := judged(t.Context(), r.log.PolicyText(), r.id.String(), metadata, targets)
	err := deviceJudges(t, r.log.PolicyText(), r.id.String(), metadata, targets)
	if v.Outcome != outcome || (v.Outcome == drop.Refused) != (err != nil) || v.Code != codeOf(err) {
		t.Errorf("%s %s: %s\na device: %v\n%+v", v.Outcome, v.Code, v.Text, err, v.Items)
	}
	if good(v.Outcome) && !strings.Contains(v.Text, r.id.String()) {
		t.Errorf("the headline does not name the repository: %s", v.Text)
	}
	for _, i := range v.Items {
		if v.Outcome == drop.Refused && i.What == "file" && good(i.Outcome) && len(targets) == 1 {
			t.Errorf("%s is %s among files that are refused", i.Name, i.Outcome)
		}
	}
	return v
}

// A file that a device refuses is refused, whatever lies beside it that lists it.
func TestHostileFolders(t *testing.T) {
	log := testlog.New(t, "log.example/updates", 3, "2")
	r := newRepository(t, log, time.Now().AddDate(0, 1, 0))
	r.put(tuf.RoleTargets, "firmware.bin", "vulnerable")
	must(t, r.Delegate(tuf.RoleTargets, "plugins", "plugins/*"))
	must(t, r.Put("plugins", "plugins/x.bin", []byte("plugin")))
	must(t, r.Release(tuf.RoleTargets, "plugins"))
	r.submit(tuf.RoleTargets, "plugins")
	r.put(tuf.RoleTargets, "firmware.bin", "mended")
	file := func(name, content string) map[string][]byte { return map[string][]byte{name: []byte(content)} }

	t.Run("honest", func(t *testing.T) {
		same(t, r, r.folder(), file("firmware.bin", "mended"), drop.Accepted)
		same(t, r, r.folder(), file("plugins/x.bin", "plugin"), drop.Accepted)
	})
	t.Run("an older file", func(t *testing.T) {
		same(t, r, r.folder(), file("firmware.bin", "vulnerable"), drop.Refused)
	})
	t.Run("an older file, without timestamp", func(t *testing.T) {
		files := r.folder()
		delete(files, "timestamp.json")
		maps.DeleteFunc(files, func(name string, _ []byte) bool { return strings.HasSuffix(name, "snapshot.json") })
		if v := judged(t.Context(), log.PolicyText(), r.id.String(), files, file("firmware.bin", "vulnerable")); v.Outcome != drop.Refused || v.Code != string(verify.CodeBadMetadata) {
			t.Errorf("%+v", v)
		}
	})
	t.Run("a delegated role, of which nobody says what it may list", func(t *testing.T) {
		few := map[string][]byte{"1.plugins.json": r.logged["1.plugins.json"], "1.plugins.json" + verify.SidecarSuffix: r.logged["1.plugins.json"+verify.SidecarSuffix]}
		if v := judged(t.Context(), log.PolicyText(), r.id.String(), few, file("plugins/x.bin", "plugin")); v.Outcome != drop.Unproved || !strings.Contains(v.Text, "whether this role may") {
			t.Errorf("%+v", v)
		}
	})
	t.Run("a stranger's release", func(t *testing.T) {
		evil := newRepository(t, log, time.Now().AddDate(0, 1, 0))
		must(t, evil.Put(tuf.RoleTargets, "firmware.bin", []byte("evil")))
		for range 6 {
			must(t, evil.Release(tuf.RoleTargets))
		}
		evil.submit(tuf.RoleTargets)
		name, _ := evil.File(tuf.RoleTargets)
		files := r.folder()
		for _, n := range []string{name, name + verify.SidecarSuffix} {
			files[n] = evil.logged[n]
		}
		same(t, r, files, file("firmware.bin", "evil"), drop.Refused)
		// Nor without all that a device begins with, whether the repository is named or not.
		few := map[string][]byte{name: files[name], name + verify.SidecarSuffix: files[name+verify.SidecarSuffix]}
		if v := judged(t.Context(), log.PolicyText(), r.id.String(), few, file("firmware.bin", "evil")); v.Code != string(verify.CodeWrongRepository) {
			t.Errorf("%+v", v)
		}
		v := judged(t.Context(), log.PolicyText(), "", few, file("firmware.bin", "evil"))
		if v.Outcome != drop.Unnamed || !strings.HasPrefix(v.Text, "Logged and witnessed, but by whom? ") || !strings.Contains(v.Text, evil.id.String()) || len(v.NotProved) < 2 {
			t.Errorf("%+v", v)
		}
		for _, i := range v.Items {
			if good(i.Outcome) {
				t.Errorf("%+v", i)
			}
		}
		// A whole repository of the stranger's is never accepted, either.
		if v := judged(t.Context(), log.PolicyText(), "", evil.folder(), file("firmware.bin", "evil")); v.Outcome != drop.Unnamed {
			t.Errorf("%+v", v)
		}
		if v := judged(t.Context(), log.PolicyText(), r.id.String(), evil.folder(), file("firmware.bin", "evil")); v.Code != string(verify.CodeWrongRepository) {
			t.Errorf("%+v", v)
		}
	})
	t.Run("a role that was withdrawn", func(t *testing.T) {
		r.Withdraw(tuf.RoleTargets)
		must(t, r.Release(tuf.RoleTargets))
		r.submit(tuf.RoleTargets)
		same(t, r, r.folder(), file("plugins/x.bin", "plugin"), drop.Refused)
	})
}

// What has expired is not green, and the code is a device's.
func TestExpired(t *testing.T) {
	log := testlog.New(t, "log.example/updates", 3, "2")
	r := newRepository(t, log, time.Now().Add(-time.Hour))
	r.put(tuf.RoleTargets, "firmware.bin", "good")
	targets := map[string][]byte{"firmware.bin": []byte("good")}
	same(t, r, r.folder(), targets, drop.Refused)
	few := map[string][]byte{"2.targets.json": r.logged["2.targets.json"], "2.targets.json" + verify.SidecarSuffix: r.logged["2.targets.json"+verify.SidecarSuffix]}
	if v := judged(t.Context(), log.PolicyText(), r.id.String(), few, targets); v.Code != string(verify.CodeExpired) || !strings.Contains(v.Text, "it expired at") {
		t.Errorf("%+v", v)
	}
}

// A policy that asks for no witness is not green; whose policy it was is said.
func TestUnwitnessed(t *testing.T) {
	log := testlog.New(t, "log.example/updates", 0, "")
	r := newRepository(t, log, time.Now().AddDate(0, 1, 0))
	v := judged(t.Context(), log.PolicyText(), r.id.String(), r.folder(), nil)
	if v.Outcome != drop.Unwitnessed || !strings.Contains(v.Text, "who has seen it?") || !strings.Contains(v.Policy, "that the page came with: log log.example/updates; of 0 witnesses 0 are enough") {
		t.Errorf("%+v", v)
	}
	v = drop.Judge(t.Context(), drop.Input{Policy: log.PolicyText(), Edited: true, Repository: "vendor", Files: []drop.File{{Name: "a"}}})
	if v.Outcome != drop.Unable || !strings.Contains(v.Text, "64 digits") || len(v.NotProved) == 0 {
		t.Errorf("%+v", v)
	}
	v = drop.Judge(t.Context(), drop.Input{Policy: log.PolicyText(), Edited: true, Files: []drop.File{{Name: "a"}}})
	if !strings.HasPrefix(v.Policy, "the policy that you have changed: ") {
		t.Errorf("%+v", v)
	}
}

// Files of one name in two folders are both judged.
func TestTwins(t *testing.T) {
	log := testlog.New(t, "log.example/updates", 3, "2")
	r := newRepository(t, log, time.Now().AddDate(0, 1, 0))
	r.put(tuf.RoleTargets, "firmware.bin", "good")
	v := judged(t.Context(), log.PolicyText(), r.id.String(), r.folder(), map[string][]byte{"install-me/firmware.bin": []byte("evil"), "zz/firmware.bin": []byte("good")})
	if v.Outcome != drop.Refused || !strings.Contains(v.Text, "install-me/firmware.bin") {
		t.Errorf("%+v", v)
	}
	// Of metadata a device sees one.
	files := r.folder()
	files["more/timestamp.json"] = bytes.Replace(files["timestamp.json"], []byte(`"version"`), []byte(` "version"`), 1)
	if v := judged(t.Context(), log.PolicyText(), r.id.String(), files, nil); v.Outcome != drop.Refused || !strings.Contains(v.Text, "metadata/more/timestamp.json") || !strings.Contains(v.Text, "metadata/timestamp.json") {
		t.Errorf("%+v", v)
	}
	files["more/timestamp.json"] = files["timestamp.json"]
	if v := judged(t.Context(), log.PolicyText(), r.id.String(), files, nil); v.Outcome != drop.Accepted {
		t.Errorf("a copy: %+v", v)
	}
}

// What a release lists is a target, whatever its name.
func TestTargetsLikeMetadata(t *testing.T) {
	log := testlog.New(t, "log.example/updates", 3, "2")
	r := newRepository(t, log, time.Now().AddDate(0, 1, 0))
	targets := map[string][]byte{"tool.tlog-proof": []byte("tool"), "sbom.json": []byte(`{"signatures": []}`)}
	for path, content := range targets {
		must(t, r.Put(tuf.RoleTargets, path, content))
	}
	must(t, r.Release(tuf.RoleTargets))
	r.submit(tuf.RoleTargets)
	same(t, r, r.folder(), targets, drop.Accepted)
	targets["sbom.json"] = []byte(`{"signatures": [] }`)
	same(t, r, r.folder(), targets, drop.Refused)
}

// No folder is judged better than a device would: of any change to the files of an honest one,
// and to which are there.
func TestNeverBetterThanADevice(t *testing.T) {
	log := testlog.New(t, "log.example/updates", 3, "2")
	r := newRepository(t, log, time.Now().AddDate(0, 1, 0))
	r.put(tuf.RoleTargets, "firmware.bin", "the first")
	before := r.folder()
	must(t, r.Rotate(tuf.RoleTargets))
	r.submit(tuf.RoleRoot)
	must(t, r.Delegate(tuf.RoleTargets, "plugins", "plugins/*"))
	must(t, r.Put("plugins", "plugins/x.bin", []byte("plugin")))
	must(t, r.Put(tuf.RoleTargets, "firmware.bin", []byte("the second")))
	must(t, r.Release(tuf.RoleTargets, "plugins"))
	r.submit(tuf.RoleTargets, "plugins")
	evil := newRepository(t, log, time.Now().AddDate(0, 1, 0))
	evil.put(tuf.RoleTargets, "firmware.bin", "evil")
	contents := []string{"the first", "the second", "plugin", "evil"}

	runs := 400
	if testing.Short() {
		runs = 20 // for each a folder is written and read
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	counted := map[string]int{}
	for n := range runs {
		files := r.folder()
		targets := map[string][]byte{[]string{"firmware.bin", "plugins/x.bin", "other.bin"}[random.IntN(3)]: []byte(contents[random.IntN(4)])}
		names := slices.Sorted(maps.Keys(files))
		for range random.IntN(3) {
			name := names[random.IntN(len(names))]
			switch random.IntN(6) {
			case 0:
				delete(files, name)
			case 1:
				if b := bytes.Clone(files[name]); len(b) > 0 {
					b[random.IntN(len(b))] ^= 1 << random.IntN(8)
					files[name] = b
				}
			case 2:
				other := names[random.IntN(len(names))]
				files[name], files[other] = files[other], files[name]
			case 3:
				if b, ok := before[name]; ok {
					files[name] = b
				}
			case 4:
				for name, b := range evil.logged {
					if random.IntN(2) == 0 {
						files[name] = b
					}
				}
			case 5:
				maps.Copy(files, evil.folder())
			}
		}
		id := []string{"", r.id.String(), evil.id.String()}[random.IntN(3)]
		maps.DeleteFunc(files, func(_ string, b []byte) bool { return b == nil })
		v := judged(t.Context(), log.PolicyText(), id, files, targets)
		err := deviceJudges(t, log.PolicyText(), id, files, targets)
		counted[string(v.Outcome)]++
		whole := files["timestamp.json"] != nil
		switch {
		case len(v.NotProved) == 0 || v.Text == "":
			t.Errorf("run %d: %+v", n, v)
		case id == "" && good(v.Outcome):
			t.Errorf("run %d: nobody has named the repository: %s: %s", n, v.Outcome, v.Text)
		case err != nil && whole && (good(v.Outcome) || v.Outcome == drop.Unnamed):
			t.Errorf("run %d: %s: %s\na device: %v", n, v.Outcome, v.Text, err)
		case err != nil && !whole && v.Outcome == drop.Accepted:
			t.Errorf("run %d, without a timestamp: %s", n, v.Text)
		}
	}
	if !testing.Short() && (counted["accepted"] == 0 || counted["refused"] == 0 || counted["unnamed"] == 0) {
		t.Errorf("not all outcomes were seen: %v", counted)
	}
}
