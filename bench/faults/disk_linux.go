package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tuflog/tuflog/bench/process"
)

// disk is an ext4 file system in a file.
type disk struct {
	image, dir string
	mounted    bool
}

// noDisks says why no disk can be made here, or nothing.
func noDisks() string {
	if os.Geteuid() != 0 {
		return "mounting needs root"
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "there is no " + tool
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return "there are no loop devices"
	}
	return ""
}

// newDisk makes and mounts a disk of that many MiB.
func (h *harness) newDisk(ctx context.Context, name string, size int64) (*disk, error) {
	h.n++
	base := filepath.Join(h.Dir, fmt.Sprintf("%02d-%s", h.n, name))
	d := &disk{image: base + ".img", dir: base + ".mnt"}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.image, size<<20); err != nil {
		return nil, err
	}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := process.Output(ctx, "mkfs.ext4", "-q", "-O", "^resize_inode", "-E", "lazy_itable_init=0", d.image); err != nil {
		return nil, err
	}
	return d, d.mount(ctx)
}

func (d *disk) mount(ctx context.Context) error {
	// No commit by the clock: what is not synced is lost in a cut.
	if _, err := process.Output(ctx, "mount", "-o", "loop,commit=300", d.image, d.dir); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

func (d *disk) unmount(ctx context.Context) error {
	if !d.mounted {
		return nil
	}
	var err error
	deadline := time.Now().Add(process.Patience)
	for time.Now().Before(deadline) {
		if _, err = process.Output(ctx, "umount", d.dir); err == nil {
			d.mounted = false
			return nil
		}
		time.Sleep(10 * time.Millisecond) // someone still looks at it
	}
	return err
}

// remove unmounts the disk and removes it.
func (d *disk) remove() error {
	return errors.Join(d.unmount(context.Background()), os.Remove(d.image), os.Remove(d.dir))
}

// The ways in which EXT4_IOC_SHUTDOWN (0x8004587d, _IOR('X', 125, __u32)) stops
// a file system.
const (
	flushAll   = 0 // as if it had been synced before
	flushLog   = 1 // the journal gets to the disk
	flushNone  = 2 // as power cuts do
	ioShutdown = 0x8004587d
)

// cut stops the file system at once: nothing that is not on the disk gets there.
func (d *disk) cut(how int) error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), ioShutdown, how), f.Close())
}
