package gate_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// forged is a request with a timestamp of a vendor's that no key has signed, and nothing else.
func (w *world) forged() []byte {
	w.t.Helper()
	_, file := w.vendor.File(tuf.RoleTimestamp)
	m, err := tuf.ParseJSON(file)
	must(w.t, err)
	file, err = client.Merge([]byte(`{"signatures":[],"signed":`+string(m.Payload)+`}`), client.Signature{KeyID: strings.Repeat("0", 64), Sig: strings.Repeat("0", 128)})
	must(w.t, err)
	return w.alone(file)
}

// alone is a request with a timestamp, and nothing else.
func (w *world) alone(file []byte) []byte {
	w.t.Helper()
	var b bytes.Buffer
	to := tar.NewWriter(&b)
	must(w.t, to.WriteHeader(&tar.Header{Name: "timestamp.json", Mode: 0o644, Size: int64(len(file))}))
	_, err := to.Write(file)
	must(w.t, err, to.Close())
	return b.Bytes()
}

// hangs makes the served place hang until the returned function is called.
func (w *world) hangs() (asked *atomic.Int64, end func()) {
	hang := make(chan struct{})
	asked = new(atomic.Int64)
	w.served = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-hang:
		case <-r.Context().Done():
		}
		http.NotFound(rw, r)
	})
	end = sync.OnceFunc(func() { close(hang) })
	w.t.Cleanup(end)
	return asked, end
}

func behindProxy(c *gate.Config) { c.ClientAddressHeader = "X-Forwarded-For" }

// Where clients find roots nobody answers, and strangers have the gate look there all the time.
// The vendor's new timestamp still has a place.
func TestStrangersWhileTheServedPlaceHangs(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g := w.gates[0]
	g.restart(behindProxy)
	asked, end := w.hangs()
	forged, staged := w.forged(), w.stage(w.vendor)
	const strangers, places = 12, 4
	var all sync.WaitGroup
	var busy atomic.Int64
	for i := range strangers {
		all.Go(func() {
			code, err := g.from(fmt.Sprintf("198.51.100.%d", i), client.MediaTar, w.id, bytes.NewReader(forged))
			if code == "" && err == nil {
				t.Error("a forged timestamp was signed")
			}
			busy.Add(1)
		})
	}
	for busy.Load() < strangers-places || asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.AfterFunc(500*time.Millisecond, end)
	w.wantSigned(g, staged)
	all.Wait()
}

// Strangers who ask for other repositories do not end the judgement of a vendor's timestamp.
func TestStrangersOfOtherRepositories(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g := w.gates[0]
	var others []*world
	for range 9 {
		others = append(others, newWorld(t, 0, 0))
	}
	g.restart(func(c *gate.Config) {
		behindProxy(c)
		for i, v := range others {
			c.Repositories = append(c.Repositories, gate.RepositoryConfig{Name: fmt.Sprint("other", i), Root: v.path("root.json"), Policy: v.path("policy"), Served: w.site.URL + "/"})
		}
	})
	asked, end := w.hangs()
	staged := w.stage(w.vendor)
	done := make(chan error, 1)
	go func() { _, err := w.sign(g, staged); done <- err }()
	for asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	var all sync.WaitGroup
	for i, v := range append([]*world{w, w, w}, others...) {
		id, forged := v.id, v.forged()
		all.Go(func() {
			_, _ = g.from(fmt.Sprintf("198.51.100.%d", i), client.MediaTar, id, bytes.NewReader(forged))
		})
	}
	time.AfterFunc(500*time.Millisecond, end)
	must(t, <-done)
	all.Wait()
}

// Until a root that replaces the timestamp's key is known, the vendor's new timestamps are like
// anybody's. A stranger cannot use up their rate.
func TestStrangerWhileAKeyIsReplaced(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g, now := w.gates[0], time.Now()
	g.now = func() time.Time { return now }
	g.restart(func(c *gate.Config) { behindProxy(c); c.PerRepository = 1 })
	w.wantSigned(g, w.stage(w.vendor))
	w.rotate(w.vendor)
	w.release("two")
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	forged, staged := w.forged(), w.stage(w.vendor)
	limited := false
	for range 40 {
		code, err := g.from("198.51.100.1", client.MediaTar, w.id, bytes.NewReader(forged))
		must(t, err)
		limited = limited || code == client.CodeLimited
		if code == "" || code == verify.CodeNetwork {
			t.Fatal(code)
		}
	}
	if !limited {
		t.Error("a stranger is not limited")
	}
	w.wantSigned(g, staged)
}
