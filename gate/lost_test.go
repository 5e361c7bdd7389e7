package gate_test

import (
	"os"
	"path/filepath"
	"testing"

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
