//go:build unix

package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain makes the test program one that reads a secret.
func TestMain(m *testing.M) {
	if path := os.Getenv("KEYFILE_TEST_READ"); path != "" {
		key, err := Read(path)
		if err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString(key)
		return
	}
	os.Exit(m.Run())
}

func TestOthersIn(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\ntuflog:x:990:990::/var/lib/tuflog:/bin/false\ntoor:x:0:7::/:\nalice:x:1000:1000::/home/alice:\nbob:x:1001:100::/home/bob:\nbad line\n"
	const group = "root:x:0:\ntuflog:x:990:\nusers:x:100:\nbackup:x:34:alice,root\nown:x:35:tuflog,toor\nbad line\n"
	for gid, want := range map[int]string{0: "", 990: "", 7: "", 1000: "alice", 100: "bob", 34: "alice", 35: "", 20000: ""} {
		if got := othersIn(gid, 990, passwd, group); got != want {
			t.Errorf("group %d: %q, want %q", gid, got, want)
		}
	}
	if got := othersIn(20000, 990, "", ""); got != "" {
		t.Errorf("an image without users: %q", got)
	}
}

// A volume of Kubernetes belongs to root and to a group that the process is in and
// that has no name.
func TestGroupOfItsOwn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir, err := os.MkdirTemp("/var/tmp", "keyfile-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "test")
	b, err := os.ReadFile(os.Args[0])
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(program, b, 0o755)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "key")
	const fsGroup, user = 54321, 54320
	read := func(mode fs.FileMode, uid, gid int, groups ...uint32) (string, error) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte("k\n"), 0o600), os.Chown(path, uid, gid), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program)
		cmd.Env = []string{"KEYFILE_TEST_READ=" + path}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user, Groups: groups}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, mode := range []fs.FileMode{0o440, 0o640, 0o660} {
		if out, err := read(mode, 0, fsGroup, fsGroup); out != "k" || err != nil {
			t.Errorf("mode %04o and a group of its own: %q, %v", mode, out, err)
		}
	}
	if out, err := read(0o640, user, user); out != "k" || err != nil {
		t.Errorf("its own first group: %q, %v", out, err)
	}
	if out, err := read(0o640, user, fsGroup); err == nil || !strings.Contains(out, "this process is not in group 54321") {
		t.Errorf("another's group: %q, %v", out, err)
	}
	if out, err := read(0o644, user, fsGroup, fsGroup); err == nil || !strings.Contains(out, "others can read") {
		t.Errorf("readable by all: %q, %v", out, err)
	}
	// Made by root by mistake.
	if out, err := read(0o600, 0, 0); err == nil || !strings.Contains(out, "it belongs to user 0, and this process runs as user 54320; run chown 54320 "+path) {
		t.Errorf("root's: %q, %v", out, err)
	}
}

func TestCreateGivesTheKeyToTheDirectorysOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 54320, 54321); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "key")
	if err := Create(path, "k"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 54320 || s.Gid != 54321 || info.Mode().Perm() != 0o600 {
		t.Fatalf("it belongs to %d:%d, mode %04o", s.Uid, s.Gid, info.Mode().Perm())
	}
}
