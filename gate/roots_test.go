package gate_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// rotate replaces a vendor's key for the timestamp, which may have been stolen, in two new roots:
// the second has the gates' keys again.
func (w *world) rotate(v *testvendor.Vendor) {
	w.t.Helper()
	must(w.t, v.Rotate(tuf.RoleTimestamp))
	var keys []ed25519.PublicKey
	for _, g := range w.gates {
		public, err := hex.DecodeString(g.key.String())
		must(w.t, err)
		keys = append(keys, public)
	}
	must(w.t, v.Gate(2, keys...), v.Release())
}

// Who leaves out roots gets nothing signed by a key that they have replaced: not from a gate that
// knows them, and not from one that has never seen them, once they are published.
func TestGateAndAStagerWhoLeavesOutRoots(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	first := w.stage(w.vendor)
	w.allSign(first)
	thief, err := w.vendor.Clone()
	must(t, err)
	w.rotate(w.vendor) // roots 3 and 4
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot)
	current := w.stage(w.vendor)
	knows, other := w.gates[0], w.gates[1]
	w.wantSigned(knows, current)
	must(t, thief.Release(), thief.Release())
	stolen := w.stage(thief)
	w.wantRefused(knows, stolen, verify.CodeBadMetadata, tuf.RoleTimestamp)

	w.served = http.FileServer(http.Dir(current))
	w.wantRefused(other, stolen, verify.CodeBadMetadata, tuf.RoleTimestamp)
	// Some are left out: those between come from where they are published.
	must(t, os.Remove(filepath.Join(current, "3.root.json")))
	w.served = http.FileServer(http.Dir(w.stage(w.vendor)))
	w.wantSigned(other, current)
}

// An old root under a new one's name, another root of its version, one that is not logged: they
// are refused if they are staged, and stop nobody if they are served.
func TestGateAndWrongRoots(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	first := w.stage(w.vendor)
	w.allSign(first)
	staging := httptest.NewServer(http.FileServer(http.Dir(w.dir)))
	defer staging.Close()
	w.fetch = []string{staging.URL + "/"}
	w.gates[1].restart(w.gates[1].cfg)
	w.served = http.FileServer(http.Dir(first))
	w.wantSigned(w.gates[1], first) // it has looked around
	old, err := os.ReadFile(filepath.Join(first, "2.root.json"))
	must(t, err)
	strange := newWorld(t, 1, 1)
	strange.rotate(strange.vendor)
	another, err := os.ReadFile(filepath.Join(strange.stage(strange.vendor), "3.root.json"))
	must(t, err)
	unlogged, err := w.vendor.Clone()
	must(t, err)
	w.rotate(unlogged)
	next, err := os.ReadFile(filepath.Join(w.stage(unlogged), "3.root.json"))
	must(t, err)
	for name, tt := range map[string]struct {
		file []byte
		code verify.Code
	}{
		"an old root":        {old, verify.CodeRollback},
		"a stranger's root":  {another, verify.CodeBadMetadata},
		"a web page":         {[]byte("<html>not found</html>"), verify.CodeNetwork},
		"one that is secret": {next, verify.CodeNotLogged},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, w.vendor.Release())
			dir := w.stage(w.vendor)
			w.served = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/3.root.json" {
					http.NotFound(rw, r)
					return
				}
				_, _ = rw.Write(tt.file)
			})
			w.wantSigned(w.gates[0], dir)
			w.served = nil
			must(t, os.WriteFile(filepath.Join(dir, "3.root.json"), tt.file, 0o600))
			_, err := w.gates[1].client().SignURL(t.Context(), w.id, staging.URL+"/"+filepath.Base(dir)+"/")
			wantCode(t, err, tt.code, tuf.RoleRoot)
			must(t, os.Remove(filepath.Join(dir, "3.root.json")))
			w.wantSigned(w.gates[1], dir)
		})
	}
	// A site that is down does not stop a vendor.
	must(t, w.vendor.Release())
	dir := w.stage(w.vendor)
	w.served = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	w.wantSigned(w.gates[0], dir)
}
