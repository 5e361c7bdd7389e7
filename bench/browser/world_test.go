package browser

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// world is a log with its witnesses, a vendor with some releases and a thief, and an auditor
// that has read it all and serves its pages.
type world struct {
	*runtest.World
	pages  string // URL of the auditor's
	watch  string // URL of a monitor's, which follows the log; empty: there is none
	vendor string // folder of the vendor's metadata, with proofs
	file   string // path of a target file that the newest release lists
	id     string // of the vendor's repository
	keys   *testvendor.Vendor

	paths []string // of pages, one of each of kinds
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	runtest.Programs(t, "logserver", "witness", "publisher", "auditor", "updater")
	w := &world{World: runtest.NewWorld(t, "--open-registration", "--contact", "log@example.com")}
	w.vendor, w.file = w.Path("vendor"), w.Path("firmware.bin")
	v, err := testvendor.New(time.Now().AddDate(1, 0, 0))
	must(t, err)
	first, err := tuf.ParseJSON(v.Files()["1.root.json"])
	must(t, err)
	w.id = first.PayloadDigest.String()
	content := []byte("firmware, the first version\n")
	release := func(v *testvendor.Vendor, dir string, change func()) {
		change()
		w.submit(t, v, dir)
	}
	release(v, w.vendor, func() {})
	release(v, w.vendor, func() {
		must(t, v.Put(tuf.RoleTargets, "firmware.bin", content))
		must(t, v.Release(tuf.RoleTargets))
	})
	release(v, w.vendor, func() {
		must(t, v.Delegate(tuf.RoleTargets, "tools", "tools/*"))
		must(t, v.Put("tools", "tools/flash", []byte("tool")))
		must(t, v.Release(tuf.RoleTargets, "tools"))
	})
	release(v, w.vendor, func() {
		must(t, v.Rotate(tuf.RoleTargets))
		content = []byte("firmware, the second version\n")
		must(t, v.Put(tuf.RoleTargets, "firmware.bin", content))
		must(t, v.Release(tuf.RoleTargets))
	})
	twin, err := v.Clone()
	must(t, err)
	release(v, w.vendor, func() {
		content = []byte("firmware, the third version\n")
		must(t, v.Put(tuf.RoleTargets, "firmware.bin", content))
		must(t, v.Release(tuf.RoleTargets))
	})
	release(twin, w.Path("thief"), func() {
		must(t, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("firmware of the thief\n")))
		must(t, twin.Release(tuf.RoleTargets))
	})
	must(t, os.WriteFile(w.file, content, 0o644))
	w.keys = v
	w.audit(t)
	return w
}

// next releases another version of the file.
func (w *world) next(t *testing.T) {
	t.Helper()
	content := []byte("firmware, the fourth version\n")
	must(t, w.keys.Put(tuf.RoleTargets, "firmware.bin", content))
	must(t, w.keys.Release(tuf.RoleTargets))
	w.submit(t, w.keys, w.vendor)
	must(t, os.WriteFile(w.file, content, 0o644))
}

// submit logs what a vendor has published. Whether all of it is admitted is seen by what the
// auditor says.
func (w *world) submit(t *testing.T, v *testvendor.Vendor, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for name, content := range v.Files() {
		must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	if _, stderr, code := runtest.Run(t, "publisher", "submit", "--log", w.Log.URL, "--policy", w.Path("policy"), dir); code > 1 {
		t.Fatalf("publisher submit: %d: %s", code, stderr)
	}
}

// audit reads the log and serves what was found.
func (w *world) audit(t *testing.T) {
	t.Helper()
	policy := strings.Replace(read(t, w.Path("policy")), "\n", " "+w.Log.URL+"\n", 1)
	w.Write(t, "policy.txt", policy)
	if _, stderr, code := runtest.Run(t, "auditor", "replay", "--policy", w.Path("policy.txt"), "--state", w.Path("audit")); code > 1 {
		t.Fatalf("auditor replay: %d: %s", code, stderr)
	}
	w.pages = runtest.Serve(t, "auditor", "serve", "--state", w.Path("audit"), "--policy", w.Path("policy.txt"), "--max-per-address", "-1").URL
}

// follow starts a monitor that follows the log, and knows the vendor by a name.
func (w *world) follow(t *testing.T) {
	t.Helper()
	w.Write(t, "monitor.toml", fmt.Sprintf("dir = %q\nlisten = '127.0.0.1:0'\n\n[[log]]\nname = 'test'\npolicy = %q\ninterval = '1s'\nmirror = true\n\n[[log.repository]]\nid = %q\nname = 'acme'\n",
		w.Path("monitor"), w.Path("policy.txt"), w.id))
	w.watch = runtest.Serve(t, "auditor", "monitor", "run", "--config", w.Path("monitor.toml")).URL
	runtest.Eventually(t, "all is judged", func() bool {
		var about struct {
			Logs []struct{ Size, Judged int64 }
		}
		resp, err := http.Get(w.watch + "/?format=json")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		must(t, json.NewDecoder(resp.Body).Decode(&about))
		return len(about.Logs) == 1 && about.Logs[0].Size > 0 && about.Logs[0].Size == about.Logs[0].Judged
	})
}

// digest is the SHA-256 of the file that the newest release lists.
func (w *world) digest(t testing.TB) string { return digestOf(t, w.file) }

func digestOf(t testing.TB, path string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(read(t, path)))
	return hex.EncodeToString(sum[:])
}

// evidence writes the proof of a file that is in the log as evidence, and returns its path.
func (w *world) evidence(t testing.TB, file string) string {
	t.Helper()
	client := &api.Client{Base: w.Log.URL}
	found, err := client.Lookup(t.Context(), digestOf(t, file))
	must(t, err)
	if len(found.Leaves) != 1 {
		t.Fatalf("%s: %+v", file, found)
	}
	proof, err := client.EntryProof(t.Context(), found.Leaves[0].Index)
	must(t, err)
	path := file + verify.SidecarSuffix
	must(t, os.WriteFile(path, proof, 0o644))
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}
