//go:build unix

package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/tuflog/tuflog/internal/printable"
)

// GiveTo gives a file that root has made to the owner of its directory. For
// other users it does nothing.
func GiveTo(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if dir, ok := info.Sys().(*syscall.Stat_t); ok && dir.Uid != 0 {
		return os.Chown(path, int(dir.Uid), int(dir.Gid))
	}
	return nil
}

// ownerOf says whose a file is and who asks.
func ownerOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(file.Uid) == os.Geteuid() {
		return ""
	}
	return fmt.Sprintf("it belongs to user %d, and this process runs as user %d; run chown %[2]d %[3]s", file.Uid, os.Geteuid(), printable.ShellWord(path))
}

// sharedGroup says why a file's group is not the process's own, or nothing if it is.
func sharedGroup(info fs.FileInfo) string {
	file, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "its group is not known"
	}
	groups, err := os.Getgroups()
	if err != nil {
		return fmt.Sprintf("the groups of this process are not known: %v", err)
	}
	if !slices.Contains(append(groups, os.Getegid()), int(file.Gid)) {
		return fmt.Sprintf("this process is not in group %d", file.Gid)
	}
	passwd, errP := os.ReadFile("/etc/passwd")
	group, errG := os.ReadFile("/etc/group")
	for _, err := range []error{errP, errG} { // an image may have none
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("the other members of the group are not known: %v", err)
		}
	}
	if other := othersIn(int(file.Gid), os.Geteuid(), string(passwd), string(group)); other != "" {
		return fmt.Sprintf("%s is in group %d", other, file.Gid)
	}
	return ""
}

// othersIn returns a user other than uid and root who is in a group, or nothing. Root
// can read every file.
func othersIn(gid, uid int, passwd, group string) string {
	names := map[string]bool{} // of users that do not count
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 4 {
			continue
		}
		switch {
		case f[2] == "0" || f[2] == strconv.Itoa(uid):
			names[f[0]] = true
		case f[3] == strconv.Itoa(gid):
			return f[0]
		}
	}
	for line := range strings.Lines(group) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 4 || f[2] != strconv.Itoa(gid) {
			continue
		}
		for name := range strings.SplitSeq(f[3], ",") {
			if name != "" && !names[name] {
				return name
			}
		}
	}
	return ""
}
