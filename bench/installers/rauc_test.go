package installers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
)

// mayMount skips the test where RAUC cannot mount a bundle: without the capability, or without
// loop devices, as in many containers.
func mayMount(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "mounted"), 0o700))
	run := func(name string, args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if out, err := run("mksquashfs", "file", "image", "-quiet", "-no-progress"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run("unshare", "--mount", "mount", "-t", "squashfs", "-o", "loop,ro", "image", "mounted"); err != nil {
		t.Skipf("RAUC mounts bundles, which this machine does not allow: %v: %s", err, out)
	}
}

// rauc is a device with RAUC: the service on a bus of its own, and two slots, of which the first is
// booted.
type rauc struct {
	*world
	other slot

	mu   sync.Mutex
	said strings.Builder // by the service
}

func newRAUC(t *testing.T) *rauc {
	t.Helper()
	need(t, "rauc", "dbus-daemon", "mksquashfs", "openssl", "unshare")
	mayMount(t)
	w := newWorld(t, "rootfs.img")
	r := &rauc{world: w, other: slot{w.Path("rootfs-b"), 1 << 20}}
	slot{w.Path("rootfs-a"), 1 << 20}.fill(t)
	r.other.fill(t)
	w.mustExample(t, "certificate")

	w.Write(t, "bus.conf", `<busconfig><type>session</type><listen>unix:path=`+w.Path("bus")+`</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`)
	w.env = append(w.env, "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+w.Path("bus"))
	r.launch(t, nil, "dbus-daemon", "--nofork", "--nopidfile", "--config-file="+w.Path("bus.conf"))
	runtest.Eventually(t, "the bus is there", func() bool { _, err := os.Stat(w.Path("bus")); return err == nil })

	// A link, as /var/run is.
	must(t, os.Mkdir(w.Path("run"), 0o700))
	must(t, os.Symlink("run", w.Path("mounted")))
	config, err := os.ReadFile(w.Path("deploy/rauc/system.conf"))
	must(t, err)
	w.Write(t, "system.conf", strings.NewReplacer(
		"bootloader=uboot", "bootloader=noop",
		"/var/lib/rauc/status", w.Path("status"),
		"/etc/rauc/keyring.pem", w.Path("cert.pem"),
		"/usr/lib/tuflog/tuflog-pre-install", w.Path("deploy/rauc/tuflog-pre-install"),
		"/dev/disk/by-partlabel/", w.Path("")+"/",
	).Replace(string(config)))
	// A mount namespace of its own: nothing stays mounted.
	r.launch(t, r.hear, "sh", "-c", `exec "$@" >&2`, "sh", "unshare", "--mount", "rauc", "--conf", w.Path("system.conf"), "--mount", w.Path("mounted"), "--override-boot-slot=A", "service")
	runtest.Eventually(t, "RAUC is on the bus", func() bool { return w.shell(t, "rauc --conf system.conf status").Code == 0 })
	return r
}

// launch starts a program that runs until the test's end.
func (r *rauc) launch(t *testing.T, heard func(string), name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = r.env
	p, err := process.Launch(cmd, heard)
	must(t, err)
	t.Cleanup(func() {
		p.Kill()
		<-p.Done
		if t.Failed() {
			t.Logf("%s said last:\n%s", name, p.Said)
		}
	})
}

func (r *rauc) hear(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said.WriteString(line + "\n")
}

// heard returns what the service has said since it was asked last: the reasons of the handler are
// in its journal, and the client does not print them.
func (r *rauc) heard() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.said.Reset()
	return r.said.String()
}

// installs makes a bundle of what the mirror has, after a change of its content, and installs it.
func (r *rauc) installs(t *testing.T, change string) process.Result {
	t.Helper()
	must(t, os.RemoveAll(r.Path("content")))
	must(t, os.RemoveAll(r.Path("update.raucb")))
	r.mustExample(t, "rauc content")
	if made := r.shell(t, change); made.Code != 0 {
		t.Fatalf("%s: %s%s", change, made.Stdout, made.Stderr)
	}
	r.mustExample(t, "rauc bundle")
	r.other.fill(t)
	r.heard()
	return r.example(t, "rauc install")
}

// RAUC installs an image that is in the log, and refuses all else before it writes.
func TestRAUC(t *testing.T) {
	r := newRAUC(t)
	first, second := content(1), content(2)
	installed := func(image []byte) {
		t.Helper()
		if got := r.installs(t, ""); got.Code != 0 {
			t.Errorf("exit %d\n%s%s%s", got.Code, got.Stdout, got.Stderr, r.heard())
		}
		r.other.has(t, image)
	}
	refused := func(change, why string) {
		t.Helper()
		got := r.installs(t, change)
		said := got.Stdout + got.Stderr
		runtest.Eventually(t, "the service has said why", func() bool {
			said += r.heard()
			return strings.Contains(said, "failed: 1\n") || strings.Contains(said, "succeeded\n")
		})
		if got.Code == 0 || !strings.Contains(said, why) {
			t.Errorf("%s: exit %d, want the words %q in:\n%s", change, got.Code, why, said)
		}
		r.other.has(t, nil)
	}

	r.release(t, first)
	refused("", "not-logged: version 2 comes without a proof")
	r.log(t)
	r.keep(t, "first")
	refused("printf x | dd of=content/rootfs.img conv=notrunc", "refused (bad-metadata): target \"rootfs.img\"")
	refused("printf x >>content/rootfs.img", "refused (bad-metadata): target \"rootfs.img\"")
	refused("sed -i 's/^index 2$/index 1/' content/tuflog/metadata/2.targets.json.tlog-proof", "bad-proof")
	refused("rm content/tuflog/metadata/2.targets.json.tlog-proof", "not-logged")
	refused("sed -i '/^— w[0-9]/d' content/tuflog/metadata/2.targets.json.tlog-proof", "quorum-short")
	refused("rm -r content/tuflog", "no such file or directory")
	const brings = `printf '#!/bin/sh\ntouch "$OLDPWD/ran"\n' >content/hook && chmod +x content/hook && `
	refused(brings+`printf '[hooks]\nfilename=hook\nhooks=install-check\n' >>content/manifest.raucm`, "hooks or a handler")
	refused(brings+`printf ' [handler]\nfilename=hook\n' >>content/manifest.raucm`, "hooks or a handler")
	refused("cp content/rootfs.img content/more.img", "files that are not judged")
	refused(`: >content/$'more\n<< bootloader done'`, "/more?<< bootloader done")
	refused("ln -s /etc content/tuflog/more", "neither regular files nor folders")
	refused("mv content/rootfs.img content/other.img && sed -i s/rootfs.img/other.img/ content/manifest.raucm", "whose target is rootfs.img")
	refused("sed -i s/format=plain/format=verity/ content/manifest.raucm", "format 'verity' not allowed")
	refused("rm content/rootfs.img && sed -i /image/,/filename/d content/manifest.raucm", "no image for the slots")
	// RAUC tells its handler the first image of a class, and writes the one without a variant.
	refused(`head -c 65536 /dev/urandom >content/tuflog/metadata/other.img && sed -i 's/^\[image.rootfs\]/[image.rootfs.other]/' content/manifest.raucm && printf '\n[image.rootfs]\nfilename=tuflog/metadata/other.img\n' >>content/manifest.raucm`, "2 images for 1 slots")
	installed(first)

	// The manifest in a folder may be another than the one that RAUC goes by, as with verity.
	if got := r.shell(t, "RAUC_BUNDLE_MOUNT_POINT=$PWD/content RAUC_TARGET_SLOTS= deploy/rauc/tuflog-pre-install"); got.Code != 1 || !strings.Contains(got.Stdout, "not of format plain") {
		t.Errorf("exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}

	// RAUC's part of that what is judged is what is written.
	r.other.fill(t)
	r.heard()
	if got := r.shell(t, "exec 9<>update.raucb\n"+string(docpage.Example(t, r.page, "rauc install"))); got.Code == 0 {
		t.Error("a bundle that is open for writing is installed")
	}
	runtest.Eventually(t, "RAUC says that others may write", func() bool { return strings.Contains(r.heard(), "could not ensure exclusive bundle access") })
	r.other.has(t, nil)

	// The vendor's keys sign two releases of one version, of which one is in the log.
	twin, err := r.vendor.Clone()
	must(t, err)
	r.release(t, second)
	r.log(t)
	r.keep(t, "second")
	r.vendor, twin = twin, r.vendor
	r.release(t, content(3))
	refused("", "bad-proof")
	r.vendor = twin
	installs := func(kept string) string {
		return "rm -r content/* && mkdir content/tuflog && cp -r " + kept + "/metadata content/tuflog && cp " + kept + "/targets/rootfs.img deploy/rauc/manifest.raucm content"
	}
	if got := r.installs(t, installs("second")); got.Code != 0 {
		t.Errorf("exit %d\n%s%s%s", got.Code, got.Stdout, got.Stderr, r.heard())
	}
	r.other.has(t, second)
	refused(installs("first"), "rollback")

	r.owned(t)
	refused(installs("second"), "needs-approval")
	r.approve(t)
	if got := r.installs(t, installs("second")); got.Code != 0 {
		t.Errorf("exit %d\n%s%s%s", got.Code, got.Stdout, got.Stderr, r.heard())
	}
	r.other.has(t, second)
}

// The handler is what refuses: RAUC alone installs what is not in the log.
func TestRAUCWithoutHandler(t *testing.T) {
	r := newRAUC(t)
	r.release(t, content(1))
	r.Write(t, "deploy/rauc/tuflog-pre-install", "#!/bin/sh\n")
	if got := r.installs(t, ""); got.Code != 0 {
		t.Errorf("exit %d\n%s%s%s", got.Code, got.Stdout, got.Stderr, r.heard())
	}
	r.other.has(t, content(1))
}

// updater judges a whole bundle, and gives it to RAUC, which finds that nobody else can write to it.
func TestRAUCBehindUpdater(t *testing.T) {
	r := newRAUC(t)
	r.Write(t, "deploy/rauc/tuflog-pre-install", "#!/bin/sh\n")
	r.release(t, content(1))
	if made := r.shell(t, "mkdir content && cp mirror/targets/rootfs.img deploy/rauc/manifest.raucm content"); made.Code != 0 {
		t.Fatal(made.Stderr)
	}
	r.mustExample(t, "rauc bundle")
	bundle, err := os.ReadFile(r.Path("update.raucb"))
	must(t, err)
	r.image = "update.raucb"
	r.release(t, bundle)
	if got := r.example(t, "rauc behind updater"); got.Code != 1 || !strings.Contains(got.Stderr, "not-logged") {
		t.Errorf("exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	r.other.has(t, nil)
	r.log(t)
	r.mustExample(t, "rauc behind updater")
	r.other.has(t, content(1))
}
