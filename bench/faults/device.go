package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/verify"
)

// deviceCalls are the system calls by which an updater changes files. Here write is among
// those at which it is killed or its power is cut: no call fails then.
var deviceCalls = []string{"openat", "write", "fsync", "fchmod", "renameat", "unlinkat", "mkdirat", "close", "flock", "fcntl"}

// failing are those of them that a disk makes fail.
var failing = []string{"openat", "fsync", "fchmod", "renameat", "unlinkat", "mkdirat"}

// devices injects faults into updates of a device: at the Nth system call of each thread, of
// each kind in turn, until the run comes to its end without.
func devices(ctx context.Context, h *harness) (rows []rehearsal.Row, err error) {
	if why := noStrace(); why != "" {
		return []rehearsal.Row{{Fault: "a device's update is killed at a system call", Skipped: why}}, nil
	}
	v, err := h.newDeviceWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	killed := rehearsal.NewRow("`kill -9` of a device's update, at each system call")
	killed.Held = v.eachCall(ctx, deviceCalls, func(call string, n int) (bool, error) { return v.killAt(ctx, call, n, &killed) })
	failed := rehearsal.NewRow("EIO and ENOSPC from each system call of a device's update")
	failed.Held = v.eachCall(ctx, failing, func(call string, n int) (bool, error) {
		eio, err := v.failAt(ctx, call, "EIO", n, &failed)
		if err != nil {
			return eio, err
		}
		nospc, err := v.failAt(ctx, call, "ENOSPC", n, &failed)
		return eio || nospc, err
	})
	rows = []rehearsal.Row{killed, failed}
	cut := rehearsal.NewRow("power cut (ext4 shut down) at each system call of a device's update, and after its end")
	if why := noDisks(); why != "" {
		cut.Skipped = why
		return append(rows, cut), nil
	}
	d, err := h.newDisk(ctx, "device", 16)
	if err != nil {
		return rows, err
	}
	defer func() { err = errors.Join(err, d.remove()) }()
	cut.Held = v.cutAfter(ctx, d, &cut)
	if cut.Held == nil {
		cut.Held = v.eachCall(ctx, deviceCalls, func(call string, n int) (bool, error) { return v.cutAt(ctx, d, call, n, &cut) })
	}
	return append(rows, cut), nil
}

// deviceWorld is a vendor's repository with its log, and a device that has the release
// before.
type deviceWorld struct {
	*world
	site        *http.Server
	url         string // of the site
	base        string // the device's folder, with the release before
	before, now verify.State
	names       []string // of its files, once it has the new one
}

// deviceTargets are the targets that a device has, by the role that lists them.
var deviceTargets = map[string]string{"targets": "firmware", "apps": "apps/app"}

func (h *harness) newDeviceWorld(ctx context.Context) (v *deviceWorld, err error) {
	w, err := h.newWorld(ctx, "device", 1, 1, place{})
	if err != nil {
		return nil, err
	}
	v = &deviceWorld{world: w, base: filepath.Join(w.dir, "base")}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	if err := w.startLog(ctx); err != nil {
		return nil, err
	}
	vendor, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		return nil, err
	}
	release := func(content string) error {
		for role, name := range deviceTargets {
			if err := vendor.Put(role, name, []byte(content)); err != nil {
				return err
			}
		}
		return errors.Join(vendor.Release("apps", "targets"), v.publish(ctx, vendor, "site"))
	}
	if err := errors.Join(vendor.Delegate("targets", "apps", "apps/*"), release("one"), v.publish(ctx, vendor, "old")); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v.url = "http://" + listener.Addr().String()
	v.site = &http.Server{Handler: http.FileServer(http.Dir(w.dir)), ReadHeaderTimeout: process.Patience}
	go func() { _ = v.site.Serve(listener) }() // until it is closed
	if _, err := process.Output(ctx, h.Program("updater"), "init", "--metadata-dir", filepath.Join(v.base, "metadata"), filepath.Join(w.dir, "site", "metadata", "1.root.json")); err != nil {
		return nil, err
	}
	if err := v.mustUpdate(ctx, v.base); err != nil {
		return nil, err
	}
	if v.before, _, err = (device.Store{Dir: filepath.Join(v.base, "metadata")}).State(); err != nil {
		return nil, err
	}
	if err := errors.Join(vendor.Rotate("root"), release("two")); err != nil {
		return nil, err
	}
	done := filepath.Join(w.dir, "done")
	if err := errors.Join(copyTree(ctx, v.base, done), v.mustUpdate(ctx, done)); err != nil {
		return nil, err
	}
	if v.now, _, err = (device.Store{Dir: filepath.Join(done, "metadata")}).State(); err != nil {
		return nil, err
	}
	v.names, err = namesBelow(done)
	return v, err
}

func (v *deviceWorld) close() error {
	if v.site != nil {
		_ = v.site.Close()
	}
	return v.world.close()
}

// publish puts what the vendor has into a folder of the site, with proofs.
func (v *deviceWorld) publish(ctx context.Context, vendor *testvendor.Vendor, name string) error {
	dir := filepath.Join(v.dir, name)
	for kind, files := range map[string]map[string][]byte{"metadata": vendor.Files(), "targets": vendor.TargetFiles()} {
		for name, content := range files {
			path := filepath.Join(dir, kind, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), durable.WriteFile(path, content, 0o644)); err != nil {
				return err
			}
		}
	}
	text := strings.Replace(string(v.policy.Marshal()), "\n", " "+v.world.url()+"\n", 1)
	policy := filepath.Join(v.dir, "policy-with-url")
	token := filepath.Join(v.dir, "token")
	args := []string{"submit", "--policy", policy, "--token-out", token}
	if _, err := os.Stat(token); err == nil {
		args = []string{"submit", "--policy", policy, "--token-file", token}
	}
	if err := durable.WriteFile(policy, []byte(text), 0o644); err != nil {
		return err
	}
	_, err := process.Output(ctx, v.h.Program("publisher"), append(args, filepath.Join(dir, "metadata"))...)
	return err
}

// update is the command of an update of the device in dir from a folder of the site.
func (v *deviceWorld) update(dir, from string) []string {
	args := []string{v.h.Program("updater"), "download", "--policy", v.policyFile, "--metadata-dir", filepath.Join(dir, "metadata"),
		"--metadata-url", v.url + "/" + from + "/metadata", "--target-base-url", v.url + "/" + from + "/targets", "--target-dir", filepath.Join(dir, "targets")}
	for _, role := range slices.Sorted(maps.Keys(deviceTargets)) {
		args = append(args, "--target-name", deviceTargets[role])
	}
	return args
}

func (v *deviceWorld) mustUpdate(ctx context.Context, dir string) error {
	args := v.update(dir, "site")
	_, err := process.Output(ctx, args[0], args[1:]...)
	return err
}

// eachCall injects a fault at the first, second ... call of each kind, until there is none.
func (v *deviceWorld) eachCall(ctx context.Context, calls []string, inject func(call string, n int) (injected bool, err error)) error {
	for _, call := range calls {
		n := 1
		for ; n <= v.h.steps; n++ {
			injected, err := inject(call, n)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("call %d of %s: %w", n, call, err)
			}
			if !injected {
				break
			}
		}
		v.h.Say("%s: %d times", call, n-1)
	}
	return nil
}

// place puts the device as it was before into a folder.
func (v *deviceWorld) place(ctx context.Context, name string) (string, error) {
	dir := filepath.Join(v.dir, name)
	return dir, copyTree(ctx, v.base, dir)
}

func (v *deviceWorld) killAt(ctx context.Context, call string, n int, r *rehearsal.Row) (injected bool, err error) {
	dir, err := v.place(ctx, "killed")
	if err != nil {
		return false, err
	}
	ran, err := process.Run(v.traced(ctx, injection{call: call, fault: "signal=SIGKILL", when: strconv.Itoa(n)}, dir))
	if err != nil || !strings.Contains(ran.Stderr, "killed by SIGKILL") {
		return false, err
	}
	r.Injected++
	return true, v.checkDevice(ctx, dir, r)
}

func (v *deviceWorld) failAt(ctx context.Context, call, errno string, n int, r *rehearsal.Row) (injected bool, err error) {
	dir, err := v.place(ctx, "failed")
	if err != nil {
		return false, err
	}
	ran, err := process.Run(v.traced(ctx, injection{call: call, fault: "error=" + errno, when: strconv.Itoa(n)}, dir))
	if err != nil || !strings.Contains(ran.Stderr, "(INJECTED)") {
		return false, err
	}
	r.Injected++
	if ran.Code == 0 {
		r.Outcomes["went on all the same"]++
	}
	if strings.Contains(ran.Stderr, "panic:") && !strings.Contains(ran.Stderr, "runtime.") {
		return true, fmt.Errorf("it panics: %s", ran.Stderr)
	}
	return true, v.checkDevice(ctx, dir, r)
}

// traced is an update of the device in dir with an injected fault.
func (v *deviceWorld) traced(ctx context.Context, i injection, dir string) *exec.Cmd {
	return exec.CommandContext(ctx, "strace", append(append([]string{"-f"}, i.args()...), v.update(dir, "site")...)...)
}

// cutAt stops the device at a call and cuts its power.
func (v *deviceWorld) cutAt(ctx context.Context, d *disk, call string, n int, r *rehearsal.Row) (injected bool, err error) {
	dir, err := v.placeOn(ctx, d)
	if err != nil {
		return false, err
	}
	stopped := make(chan struct{}, 64)
	p, err := process.Launch(v.traced(ctx, injection{call: call, fault: "signal=SIGSTOP", when: strconv.Itoa(n)}, dir), func(line string) {
		if strings.Contains(line, "stopped by SIGSTOP") {
			select {
			case stopped <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		return false, err
	}
	select {
	case <-stopped:
	case <-p.Done:
		return false, nil
	case <-ctx.Done():
		p.Kill()
		return false, context.Cause(ctx)
	}
	how := flushNone
	if v.h.rand.IntN(4) == 0 {
		how = flushLog
	}
	err = errors.Join(d.cut(how), syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL)) // with what it traces
	p.Kill()
	if err != nil {
		return false, err
	}
	r.Injected++
	if err := errors.Join(d.unmount(ctx), d.mount(ctx)); err != nil {
		return true, err
	}
	return true, v.checkDevice(ctx, dir, r)
}

// cutAfter cuts the power when an update has ended with success: it is on the disk.
func (v *deviceWorld) cutAfter(ctx context.Context, d *disk, r *rehearsal.Row) error {
	dir, err := v.placeOn(ctx, d)
	if err == nil {
		err = v.mustUpdate(ctx, dir)
	}
	if err != nil {
		return err
	}
	r.Injected++
	if err := errors.Join(d.cut(flushNone), d.unmount(ctx), d.mount(ctx)); err != nil {
		return err
	}
	if err := v.holdsNew(dir); err != nil {
		return fmt.Errorf("after exit code 0: %w", err)
	}
	return v.checkDevice(ctx, dir, r)
}

// placeOn is place on a disk, which has all of it then.
func (v *deviceWorld) placeOn(ctx context.Context, d *disk) (string, error) {
	dir := filepath.Join(d.dir, "device")
	if err := copyTree(ctx, v.base, dir); err != nil {
		return "", err
	}
	_, err := process.Output(ctx, "sync", "-f", d.dir)
	return dir, err
}

// checkDevice holds a device whose update was broken off against what it promises: its state
// can be read and has forgotten nothing, a target is whole and its release remembered, an
// older repository is refused if it has seen the newer one, and the next run ends well and
// leaves nothing behind.
func (v *deviceWorld) checkDevice(ctx context.Context, dir string, r *rehearsal.Row) error {
	state, trouble, err := (device.Store{Dir: filepath.Join(dir, "metadata")}).State()
	if err != nil {
		return err
	}
	if trouble != nil {
		r.Outcomes["one copy of the state damaged"]++
	}
	if err := forgot(v.before, state); err != nil {
		return err
	}
	for role, name := range deviceTargets {
		content, err := os.ReadFile(filepath.Join(dir, "targets", strings.ReplaceAll(name, "/", "%2F")))
		switch {
		case err != nil:
			return fmt.Errorf("the target that was there is gone: %w", err)
		case string(content) == "two":
			if a := state.Accepted[role]; len(a) != 1 || a[0].Payload != v.now.Accepted[role][0].Payload {
				return fmt.Errorf("target %s is installed, and its release is forgotten: %+v", name, a)
			}
		case string(content) != "one":
			return fmt.Errorf("target %s has %q", name, content)
		}
	}
	if state.Timestamp.Version == v.now.Timestamp.Version {
		args := v.update(dir, "old")
		ran, err := process.Run(exec.CommandContext(ctx, args[0], args[1:]...))
		if err != nil || ran.Code != 1 || !strings.Contains(ran.Stderr, "refused (rollback)") {
			return fmt.Errorf("an older repository: exit %d, %w: %s", ran.Code, err, ran.Stderr)
		}
		r.Outcomes["remembered the new release"]++
	} else {
		r.Outcomes["remembered the release before"]++
	}
	if err := v.mustUpdate(ctx, dir); err != nil {
		return fmt.Errorf("the next run: %w", err)
	}
	if err := v.holdsNew(dir); err != nil {
		return fmt.Errorf("after the next run: %w", err)
	}
	names, err := namesBelow(dir)
	if err == nil && !slices.Equal(names, v.names) {
		err = fmt.Errorf("after the next run there are %q, want %q", names, v.names)
	}
	return err
}

// forgot says what a state has forgotten of an earlier one.
func forgot(before, state verify.State) error {
	switch {
	case state.Repository != before.Repository, state.TrustedRoot != before.TrustedRoot:
		return errors.New("it follows another repository")
	case state.Root.Version < before.Root.Version, state.Timestamp.Version < before.Timestamp.Version, state.Snapshot.Version < before.Snapshot.Version:
		return fmt.Errorf("it has seen root %d, timestamp %d and snapshot %d, and before %d, %d and %d", state.Root.Version, state.Timestamp.Version, state.Snapshot.Version,
			before.Root.Version, before.Timestamp.Version, before.Snapshot.Version)
	case state.Required == nil || state.Log != before.Log:
		return errors.New("it has forgotten what was required, or its log")
	}
	for role, releases := range before.Accepted {
		if now := state.Accepted[role]; len(now) != len(releases) || now[0].Version < releases[0].Version {
			return fmt.Errorf("it has accepted %+v of %s, and before %+v", now, role, releases)
		}
	}
	for witness, at := range before.Witnesses {
		if state.Witnesses[witness] < at {
			return errors.New("it has forgotten the time of a witness")
		}
	}
	return nil
}

// holdsNew reports what a device lacks of the new release.
func (v *deviceWorld) holdsNew(dir string) error {
	state, trouble, err := (device.Store{Dir: filepath.Join(dir, "metadata")}).State()
	if err := errors.Join(err, trouble, forgot(v.now, state)); err != nil {
		return err
	}
	for _, name := range deviceTargets {
		if b, err := os.ReadFile(filepath.Join(dir, "targets", strings.ReplaceAll(name, "/", "%2F"))); err != nil || string(b) != "two" {
			return fmt.Errorf("target %s has %q, %w", name, b, err)
		}
	}
	return nil
}

// namesBelow lists the files below a folder.
func namesBelow(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir))
		}
		return err
	})
	return names, err
}
