package gate_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Whatever is asked at once, a gate signs one content of a version.
func TestGateSignsOneContentOfAVersion(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	w.wantSigned(w.gates[0], w.stage(w.vendor))
	rnd := rand.New(rand.NewPCG(1, 18))
	signed := map[int64]tuf.Digest{}
	for range 8 {
		var dirs []string
		var twins []*testvendor.Vendor
		for i := range 3 {
			twin, err := w.vendor.Clone()
			must(t, err, twin.Put(tuf.RoleTargets, "firmware.bin", fmt.Appendf(nil, "%d %d", i, rnd.Int())), twin.Release(tuf.RoleTargets))
			w.logged(twin, leaf.Release, tuf.RoleTargets)
			twins, dirs = append(twins, twin), append(dirs, w.stage(twin), w.stage(twin))
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		var now *client.Answer
		for _, dir := range dirs {
			wg.Go(func() {
				a, err := w.sign(w.gates[0], dir)
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if before, ok := signed[a.Version]; ok && before != a.Payload {
					t.Errorf("version %d is signed with payload %v and %v", a.Version, before, a.Payload)
				}
				signed[a.Version], now = a.Payload, a
			})
		}
		wg.Wait()
		if now == nil {
			t.Fatal("nothing is signed")
		}
		for _, twin := range twins {
			if _, file := twin.File(tuf.RoleTimestamp); now.Payload == payloadOf(t, file) {
				w.vendor = twin
			}
		}
		w.served = http.FileServer(http.Dir(w.stage(w.vendor)))
		if rnd.IntN(2) == 0 {
			w.gates[0].stop()
			w.gates[0].start()
		}
	}
}

func payloadOf(t *testing.T, file []byte) tuf.Digest {
	t.Helper()
	m, err := tuf.ParseJSON(file)
	must(t, err)
	return m.PayloadDigest
}

// What was signed last is in a file that is read strictly: a gate does not start from what is
// not wholly there.
func TestGateDoesNotStartWithADamagedRecord(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	w.wantSigned(w.gates[0], w.stage(w.vendor))
	g := w.gates[0]
	g.stop()
	path := filepath.Join(g.dir, "state", w.id.String(), "signed")
	whole, err := os.ReadFile(path)
	must(t, err)
	for _, damaged := range [][]byte{nil, whole[:len(whole)-1], whole[1:], bytes.Replace(whole, []byte("v1"), []byte("v2"), 1)} {
		must(t, os.WriteFile(path, damaged, 0o600))
		if err := g.tryStart(); err == nil {
			t.Fatalf("it starts from %d of %d bytes", len(damaged), len(whole))
		}
	}
	must(t, os.WriteFile(path, whole, 0o600), g.tryStart())
}
