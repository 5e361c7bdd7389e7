package installers

import (
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/tuf"
)

// swupdate is a device with SWUpdate, and the slot that it writes.
type swupdate struct {
	*world
	slot slot
}

// newSWUpdate makes a device whose vendor's target is the named one.
func newSWUpdate(t *testing.T, target string) *swupdate {
	t.Helper()
	need(t, "swupdate", "cpio", "openssl", "sha256sum", "tar")
	w := newWorld(t, target)
	s := &swupdate{w, slot{w.Path("rootfs-b"), 1 << 20}}
	must(t, os.Mkdir(w.Path("tmp"), 0o700))
	w.env = append(w.env, "TMPDIR="+w.Path("tmp"))
	for _, name := range []string{"deploy/swupdate/sw-description", "deploy/swupdate/swupdate.cfg"} {
		text, err := os.ReadFile(w.Path(name))
		must(t, err)
		w.Write(t, name, strings.NewReplacer(
			"/dev/disk/by-partlabel/", w.Path("")+"/",
			"/var/lib/tuflog-installer/", w.Path("")+"/",
			"/etc/swupdate/vendor.pem", w.Path("cert.pem"),
			"/usr/lib/tuflog/", w.Path("deploy/swupdate")+"/",
		).Replace(string(text)))
	}
	w.mustExample(t, "certificate")
	s.slot.fill(t)
	return s
}

// run runs commands that have to succeed.
func (s *swupdate) run(t *testing.T, script string) {
	t.Helper()
	if r := s.shell(t, script); r.Code != 0 {
		t.Fatalf("%s: exit %d\n%s%s", script, r.Code, r.Stdout, r.Stderr)
	}
}

// make makes a .swu of what the mirror has, after a change of its content.
func (s *swupdate) make(t *testing.T, change string) {
	t.Helper()
	s.run(t, "rm -rf swu update.swu")
	s.mustExample(t, "swupdate content")
	s.run(t, change)
	s.mustExample(t, "swupdate bundle")
}

// What swupdate -i of 2022.12 says and its exit code come from a thread that the end of the process
// may overtake: a run that has succeeded exits now and then with 1, and the last lines of a run may be
// missing. Then it is run again.
const tries = 5

// installed runs an example of the page, which has to install the image.
func (s *swupdate) installed(t *testing.T, example string, image []byte) {
	t.Helper()
	var got process.Result
	for range tries {
		s.slot.fill(t)
		got = s.example(t, example)
		s.slot.has(t, image)
		if got.Code == 0 || !strings.Contains(got.Stdout+got.Stderr, "SWUPDATE successful") {
			break
		}
	}
	if got.Code != 0 {
		t.Errorf("exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
}

// refused runs an example of the page, which has to refuse with some words and leave the slot alone.
func (s *swupdate) refused(t *testing.T, example, why string) {
	t.Helper()
	var got process.Result
	for range tries {
		s.slot.fill(t)
		got = s.example(t, example)
		s.slot.has(t, nil)
		if got.Code == 0 || strings.Contains(got.Stdout+got.Stderr, why) {
			break
		}
	}
	if got.Code == 0 || !strings.Contains(got.Stdout+got.Stderr, why) {
		t.Errorf("exit %d, want the words %q in:\n%s%s", got.Code, why, got.Stdout, got.Stderr)
	}
}

// The script in the .swu has SWUpdate install an image that is in the log, and refuse all else before
// it writes.
func TestSWUpdatePreinstall(t *testing.T) {
	s := newSWUpdate(t, "rootfs.img")
	refused := func(change, why string) {
		t.Helper()
		s.make(t, change)
		s.refused(t, "swupdate install", why)
	}
	installed := func(change string, image []byte) {
		t.Helper()
		s.make(t, change)
		s.installed(t, "swupdate install", image)
	}
	first, second := content(1), content(2)
	s.release(t, first)
	refused("", "not-logged: version 2 comes without a proof")
	s.log(t)
	s.keep(t, "first")
	refused("printf x | dd of=swu/rootfs.img conv=notrunc", `refused (bad-metadata): target "rootfs.img"`)
	const untar, tar = "tar -C swu -xf swu/tuflog.tar && ", " && tar -C swu -cf swu/tuflog.tar metadata"
	refused(untar+"sed -i 's/^index 2$/index 1/' swu/metadata/2.targets.json.tlog-proof"+tar, "bad-proof")
	refused(untar+"rm swu/metadata/2.targets.json.tlog-proof"+tar, "not-logged")
	refused(untar+"sed -i '/^— w[0-9]/d' swu/metadata/2.targets.json.tlog-proof"+tar, "quorum-short")
	refused("echo >swu/tuflog.tar", "tuflog.tar cannot be read")
	refused("sed -i '/data = /d' swu/sw-description", "has to name the images")
	refused(`sed -i 's/data = ".*"/data = "..\/rootfs.img"/' swu/sw-description`, "is not an image's name")
	s.run(t, "chmod 777 tmp")
	refused("", "others may write to")
	s.run(t, "chmod 700 tmp")
	installed("", first)

	// The vendor's keys sign two releases of one version, of which one is in the log.
	twin, err := s.vendor.Clone()
	must(t, err)
	s.release(t, second)
	s.log(t)
	s.keep(t, "second")
	s.vendor, twin = twin, s.vendor
	s.release(t, content(3))
	refused("", "bad-proof")
	take := func(kept string) string {
		return "cp " + kept + "/targets/rootfs.img swu && tar -C " + kept + " -cf swu/tuflog.tar metadata"
	}
	installed(take("second"), second)
	refused(take("first"), "rollback")

	// What comes after the signature and is not signed.
	s.make(t, take("second"))
	s.run(t, `sed -i 's/"2"/"3"/' swu/sw-description && cd swu && printf '%s\n' sw-description sw-description.sig rootfs.img tuflog.tar tuflog-preinstall | cpio --quiet -o -H crc >../update.swu`)
	s.refused(t, "swupdate install", "Signature verification failed")

	s.owned(t)
	refused(take("second"), "needs-approval")
	s.approve(t)
	installed(take("second"), second)

	// The next trust policy comes with the proofs.
	policy, err := os.ReadFile(s.Path("policy.txt"))
	must(t, err)
	s.vendor = twin
	must(t, s.vendor.Put(tuf.RoleTargets, "next.txt", append([]byte("# next\n"), policy...)))
	s.release(t, second)
	s.log(t)
	s.initWith(t, `{"next_policy":"next.txt","root_quarantine":"1h"}`)
	s.Write(t, "mirror/targets/next.txt", "# next\n"+string(policy))
	installed("tar -C mirror -cf swu/tuflog.tar metadata targets/next.txt", second)
	if got, err := os.ReadFile(s.Path("device/next-policy.txt")); err != nil || !strings.HasPrefix(string(got), "# next\n") {
		t.Errorf("the next trust policy is not the device's: %q, %v", got, err)
	}
}

// The device's own command judges sw-description before an image is read, one that is streamed into
// its slot as well. It needs nothing of the .swu.
func TestSWUpdatePreupdate(t *testing.T) {
	s := newSWUpdate(t, "sw-description")
	plain := `sed -i '/files:/,/^	);/d; /scripts:/,/^	);/d; s/type = "raw";/& installed-directly = true;/' swu/sw-description`
	image := func(seed byte) {
		t.Helper()
		must(t, os.MkdirAll(s.Path("mirror/metadata"), 0o755))
		must(t, os.MkdirAll(s.Path("mirror/targets"), 0o755))
		s.Write(t, "mirror/targets/rootfs.img", string(content(seed)))
		s.make(t, plain)
		description, err := os.ReadFile(s.Path("swu/sw-description"))
		must(t, err)
		if strings.Contains(string(description), "scripts") || !strings.Contains(string(description), "installed-directly") {
			t.Fatalf("%s", description)
		}
		s.release(t, description)
	}
	image(1)
	s.refused(t, "swupdate with a folder", "not-logged: version 2 comes without a proof")
	s.log(t)
	s.installed(t, "swupdate with a folder", content(1))
	s.run(t, "cp update.swu first.swu")

	image(2)
	s.refused(t, "swupdate with a folder", "not-logged: version 3 comes without a proof")
	s.refused(t, "swupdate after refresh", "refused (not-logged): targets: version 3") // by updater refresh
	s.log(t)
	s.installed(t, "swupdate after refresh", content(2))
	s.run(t, "cp first.swu update.swu")
	s.refused(t, "swupdate after refresh", `refused (bad-metadata): target "sw-description"`)
	s.refused(t, "swupdate with a folder", `refused (bad-metadata): target "sw-description"`)
	s.run(t, "chmod 777 tmp")
	s.refused(t, "swupdate with a folder", "others may write to")
	s.run(t, "chmod 700 tmp")

	variables := `; sed -i 's/^	images:/	bootenv: ({ filename = "variables"; type = "bootloader"; });\n&/' swu/sw-description`
	plain += variables
	image(3)
	s.log(t)
	s.refused(t, "swupdate with a folder", "a filename without sha256")
	plain = strings.TrimSuffix(plain, variables)

	image(4)
	s.log(t)
	s.owned(t)
	s.refused(t, "swupdate with a folder", "needs-approval")
	s.approve(t)
	s.installed(t, "swupdate with a folder", content(4))
}

// updater judges a whole .swu, and gives it to SWUpdate.
func TestSWUpdateBehindUpdater(t *testing.T) {
	s := newSWUpdate(t, "rootfs.img")
	s.release(t, content(1))
	s.make(t, `sed -i '/files:/,/^	);/d; /scripts:/,/^	);/d' swu/sw-description`)
	swu, err := os.ReadFile(s.Path("update.swu"))
	must(t, err)
	s.image = "update.swu"
	s.release(t, swu)
	s.refused(t, "swupdate behind updater", "not-logged")
	s.log(t)
	s.installed(t, "swupdate behind updater", content(1))
}

// Without any of it SWUpdate installs what is not in the log.
func TestSWUpdateAlone(t *testing.T) {
	s := newSWUpdate(t, "rootfs.img")
	s.release(t, content(1))
	s.make(t, `sed -i '/files:/,/^	);/d; /scripts:/,/^	);/d' swu/sw-description`)
	s.installed(t, "swupdate install", content(1))
}
