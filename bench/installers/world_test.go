package installers

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

func TestMain(m *testing.M) { runtest.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// need skips the test where a program is missing. Where TUFLOG_INSTALLERS is "required" it fails.
func need(t testing.TB, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a log with its witnesses, and an installer")
	}
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		const missing = "%s is missing (Debian: rauc swupdate dbus-daemon squashfs-tools cpio openssl)"
		if os.Getenv("TUFLOG_INSTALLERS") == "required" {
			t.Fatalf(missing, name)
		}
		t.Skipf(missing, name)
	}
}

// world is a log with its witnesses, a vendor whose target rootfs.img is in it, and a device.
type world struct {
	*runtest.World
	vendor *testvendor.Vendor
	image  string // the target of the vendor that the newest release lists
	env    []string
	page   []byte // docs/installers.md
}

func newWorld(t *testing.T, target string) *world {
	t.Helper()
	bin := runtest.Programs(t, "logserver", "witness", "publisher", "updater")
	w := &world{World: runtest.NewWorld(t), image: target, page: docpage.Read(t, "installers.md")}
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	must(t, err)
	w.vendor = v
	policy, err := os.ReadFile(w.Path("policy"))
	must(t, err)
	w.Write(t, "policy.txt", strings.Replace(string(policy), "\n", " "+w.Log.URL+"\n", 1))
	w.Write(t, "1.root.json", string(v.Files()["1.root.json"]))
	runtest.Must(t, "updater", "init", "--metadata-dir", w.Path("device"), "--policy", w.Path("policy.txt"), w.Path("1.root.json"))
	must(t, os.CopyFS(w.Path("deploy"), os.DirFS("../../deploy")))
	w.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TUFLOG_METADATA_DIR="+w.Path("device"))
	return w
}

// owned gives the device to an owner who approves of each release.
func (w *world) owned(t *testing.T) {
	t.Helper()
	w.initWith(t, `{"approval":"manual"}`)
}

// initWith makes the device anew, with an install policy.
func (w *world) initWith(t *testing.T, policy string) {
	t.Helper()
	must(t, os.RemoveAll(w.Path("device")))
	w.Write(t, "install.json", policy)
	runtest.Must(t, "updater", "init", "--metadata-dir", w.Path("device"), "--policy", w.Path("policy.txt"),
		"--install-policy", w.Path("install.json"), w.Path("1.root.json"))
}

// approve approves of the release that waits.
func (w *world) approve(t *testing.T) {
	t.Helper()
	r := w.shell(t, `updater approve --metadata-dir device "$(updater pending --metadata-dir device | sed -n '1s/ .*//p')"`)
	if r.Code != 0 {
		t.Errorf("exit %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// content is an image, which cannot be compressed.
func content(seed byte) []byte {
	b := make([]byte, 64<<10)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // cannot fail
	return b
}

// release signs metadata that lists a content of the target, and writes it and the target to
// the vendor's mirror.
func (w *world) release(t *testing.T, content []byte) {
	t.Helper()
	must(t, w.vendor.Put(tuf.RoleTargets, w.image, content))
	must(t, w.vendor.Release(tuf.RoleTargets))
	for _, dir := range []string{"mirror/metadata", "mirror/targets"} {
		must(t, os.MkdirAll(w.Path(dir), 0o755))
	}
	for name, file := range w.vendor.Files() {
		w.Write(t, "mirror/metadata/"+name, string(file))
	}
	w.Write(t, "mirror/targets/"+w.image, string(content))
}

// log logs what the mirror has, and puts the proofs beside it.
func (w *world) log(t *testing.T) {
	t.Helper()
	runtest.Must(t, "publisher", "submit", "--policy", w.Path("policy.txt"), "--token-file", w.Path("log/registration.token"),
		"--token-out", w.Path("token"), w.Path("mirror/metadata"))
}

// keep copies what the mirror has.
func (w *world) keep(t *testing.T, name string) {
	t.Helper()
	must(t, os.CopyFS(w.Path(name), os.DirFS(w.Path("mirror"))))
}

// shell runs bash in the world's folder.
func (w *world) shell(t *testing.T, script string) process.Result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = w.Dir, w.env
	r, err := process.Run(cmd)
	must(t, err)
	return r
}

// example runs an example of the page.
func (w *world) example(t *testing.T, name string) process.Result {
	t.Helper()
	return w.shell(t, string(docpage.Example(t, w.page, name)))
}

// mustExample runs an example of the page that has to succeed.
func (w *world) mustExample(t *testing.T, name string) {
	t.Helper()
	if r := w.example(t, name); r.Code != 0 {
		t.Fatalf("example %q: exit %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
	}
}

// slot is a slot, of which images are the beginning.
type slot struct {
	path string
	size int
}

func (s slot) fill(t testing.TB) {
	t.Helper()
	must(t, os.WriteFile(s.path, bytes.Repeat([]byte{0xEE}, s.size), 0o600))
}

// has fails the test unless the slot has an image, or nil: what it was filled with.
func (s slot) has(t testing.TB, image []byte) {
	t.Helper()
	got, err := os.ReadFile(s.path)
	must(t, err)
	if image == nil {
		image = bytes.Repeat([]byte{0xEE}, s.size)
	}
	if !bytes.HasPrefix(got, image) {
		t.Errorf("slot %s begins with %.40q, want %.40q", filepath.Base(s.path), got, image)
	}
}
