package gate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// A gate whose directory is lost does not take a place that serves nothing for proof that nothing
// was signed, as long as no other gate says so.
func TestLostRecordAndEmptySite(t *testing.T) {
	w := newWorld(t, 2, 1)
	twin, err := w.vendor.Clone()
	must(t, err, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("another")), twin.Release(tuf.RoleTargets))
	w.release("one")
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	w.logged(twin, leaf.Release, tuf.RoleTargets)
	g, other := w.gates[0], w.gates[1]
	w.wantSigned(g, w.stage(w.vendor)) // nothing is served, and the other gate has signed nothing
	g.stop()
	must(t, os.RemoveAll(filepath.Join(g.dir, "state")))
	other.stop()
	g.start()
	w.wantRefused(g, w.stage(twin), client.CodeInDoubt, "")
	other.start()
	w.wantSigned(other, w.stage(w.vendor))
	if _, err := w.sign(g, w.stage(twin)); err == nil {
		t.Error("two contents of one version are signed")
	}
	w.wantSigned(g, w.stage(w.vendor))
}

// After the device's directory was removed, which docs/gate.md has for a weaker policy, a gate that
// cannot look around signs its last timestamp as often as it is asked, also if the key that signed
// it is not that of the first root.
func TestLastAgainAfterTheDeviceIsRemoved(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.rotate(w.vendor)
	w.release("one")
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g, staged := w.gates[0], w.stage(w.vendor)
	w.wantSigned(g, staged)
	g.stop()
	must(t, os.RemoveAll(filepath.Join(g.dir, "state", w.id.String(), "device")))
	w.gates[1].stop()
	g.restart(func(c *gate.Config) { c.PerRepository = 1 })
	for range 3 {
		w.wantSigned(g, staged)
	}
}

// A version that is too high was no version of the vendor's: those that follow are not taken for
// older ones, which are anybody's to send.
func TestTooHighAVersionIsForgotten(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g, now := w.gates[0], time.Now()
	g.now = func() time.Time { return now }
	g.restart(func(c *gate.Config) { behindProxy(c); c.PerRepository, c.Repositories[0].MaxJump = 1, 5 })
	w.wantSigned(g, w.stage(w.vendor))
	twin, err := w.vendor.Clone()
	must(t, err)
	for range 9 {
		must(t, twin.Release())
	}
	w.wantRefused(g, w.stage(twin), client.CodeVersionJump, tuf.RoleTimestamp)
	must(t, w.vendor.Release())
	_, published := w.vendor.File(tuf.RoleTimestamp)
	for range 12 {
		_, err := g.from("198.51.100.1", client.MediaTar, w.id, bytes.NewReader(w.alone(published)))
		must(t, err)
	}
	must(t, w.vendor.Release())
	w.wantSigned(g, w.stage(w.vendor))
}
