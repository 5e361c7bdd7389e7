//go:build unix

package device_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/bench/testrepo"
	"github.com/tuflog/tuflog/device"
)

// What root's run has left of a target does not keep the device's own user from fetching it,
// as long as that user may change the directory.
func TestPartOfAnotherUser(t *testing.T) {
	const user, in = 12345, "PART_OF_ANOTHER_USER"
	if dir := os.Getenv(in); dir != "" {
		cfg, err := config(dir)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := device.OpenFolder(filepath.Join(dir, "metadata"))
		if err != nil {
			t.Fatal(err)
		}
		folder.Targets = filepath.Join(dir, "targets")
		d := &device.Device{Store: device.Store{Dir: filepath.Join(dir, "device")}, Origin: folder}
		if _, err := d.Refresh(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		targets, err := d.Download(t.Context(), []string{"firmware.bin"}, filepath.Join(dir, "installed"))
		if err != nil || targets[0].Err != nil {
			t.Fatal(err, targets)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("nobody but root leaves files of another user")
	}
	dir, err := os.MkdirTemp("/tmp", "part") // others may not look into t.TempDir
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(testrepo.Write(dir))
	cfg, err := config(dir)
	must(err)
	store, err := create(dir, cfg)
	must(err)
	folder, err := device.OpenFolder(filepath.Join(dir, "metadata"))
	must(err)
	folder.Targets = filepath.Join(dir, "targets")
	d := &device.Device{Store: store, Origin: &hurdle{Origin: folder, stops: []int64{5}}}
	_, err = d.Refresh(t.Context(), cfg)
	must(err)
	to := filepath.Join(dir, "installed")
	if targets, err := d.Download(t.Context(), []string{"firmware.bin"}, to); err != nil || !errors.Is(targets[0].Err, errOutage) {
		t.Fatal(targets, err)
	}
	left, err := filepath.Glob(filepath.Join(to, ".download.*.part"))
	if err != nil || len(left) != 1 {
		t.Fatalf("left %q, %v", left, err)
	}
	must(filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path == left[0] {
			return err
		}
		return errors.Join(err, os.Chown(path, user, user))
	}))
	program, err := os.ReadFile(os.Args[0])
	must(err)
	must(os.WriteFile(filepath.Join(dir, "test"), program, 0o755))
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.run", "^TestPartOfAnotherUser$")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), in+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Fatalf("%v: %s", err, out)
	}
	entries, err := os.ReadDir(to)
	if b, err2 := os.ReadFile(filepath.Join(to, "firmware.bin")); err != nil || err2 != nil || len(entries) != 1 || string(b) != "firmware" {
		t.Errorf("there are %v, %q, %v", entries, b, errors.Join(err, err2))
	}
}
