package gate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// from sends a request to sign as a client of an address, and returns the code of the answer,
// empty for a signature.
func (g *testGate) from(address, media string, id tuf.Digest, body io.Reader) (verify.Code, error) {
	req, err := http.NewRequestWithContext(g.w.t.Context(), http.MethodPost, g.server.URL+"/v1/sign/"+id.String(), body)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("X-Forwarded-For", address)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var p client.Problem
	return p.Code, json.NewDecoder(resp.Body).Decode(&p)
}

// A staging host that answers nothing, or no more than the timestamp, keeps the gate from no
// other repository, whoever sends how many requests for what is there.
func TestStagingHostThatHangs(t *testing.T) {
	w, v := newWorld(t, 1, 1), newWorld(t, 0, 0)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	staged, hang := v.stage(v.vendor), make(chan struct{})
	var timestamps, others atomic.Int64
	host := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/some/timestamp.json":
			http.StripPrefix("/some/", http.FileServer(http.Dir(staged))).ServeHTTP(rw, r)
			return
		case "/none/timestamp.json":
			timestamps.Add(1)
		default:
			others.Add(1)
		}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer host.Close()
	g := w.gates[0]
	g.restart(func(c *gate.Config) {
		c.ClientAddressHeader, c.FetchTimeout = "X-Forwarded-For", time.Minute
		c.Repositories = append(c.Repositories, gate.RepositoryConfig{Name: "hangs", Root: v.path("root.json"), Policy: v.path("policy"), Served: host.URL + "/", Fetch: []string{host.URL + "/"}})
	})
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			body := fmt.Sprintf(`{"url": "%s/%s/"}`, host.URL, []string{"none", "some"}[i%2])
			_, _ = g.from(fmt.Sprintf("192.0.2.%d", i/4), client.MediaURL, v.id, bytes.NewReader([]byte(body)))
		})
	}
	for timestamps.Load() == 0 || others.Load() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	w.wantSigned(g, w.stage(w.vendor))
	if n := timestamps.Load() + others.Load(); n > 8 {
		t.Errorf("%d requests of one repository at once wait for its host", n)
	}
	close(hang)
	all.Wait()
}

// A host that does not answer is given up, and asked no more often than the repository's rate
// allows.
func TestFetchTimeoutAndRate(t *testing.T) {
	w := newWorld(t, 1, 1)
	var asked atomic.Int64
	host := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}))
	defer host.Close()
	g := w.gates[0]
	g.restart(func(c *gate.Config) {
		c.FetchTimeout, c.PerRepository = 100*time.Millisecond, 0.001 // one at once, ten of all addresses
		c.ClientAddressHeader = "X-Forwarded-For"
		c.Repositories[0].Fetch = []string{host.URL + "/"}
	})
	url := fmt.Sprintf(`{"url": "%s/"}`, host.URL)
	for i := range 15 {
		want := []verify.Code{verify.CodeNetwork, client.CodeLimited}
		if i >= 10 {
			want[0] = client.CodeLimited
		}
		for _, want := range want {
			code, err := g.from(fmt.Sprintf("192.0.2.%d", i), client.MediaURL, w.id, bytes.NewReader([]byte(url)))
			if must(t, err); code != want {
				t.Errorf("address %d: %q; want %s", i, code, want)
			}
		}
	}
	if asked.Load() != 10 {
		t.Errorf("the host was asked %d times", asked.Load())
	}
}

// A vendor who sends slowly does not lose the place to strangers, however many there are, once
// the timestamp has come.
func TestSlowUploadOfAVendor(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	s, err := client.ReadStaged(w.stage(w.vendor))
	must(t, err)
	body, err := s.Tar()
	must(t, err)
	g := w.gates[0]
	var looks atomic.Int64 // at the clock: for the address, and for the timestamp
	g.now = func() time.Time { looks.Add(1); return time.Now() }
	g.restart(func(c *gate.Config) { c.ClientAddressHeader = "X-Forwarded-For" })
	before := looks.Load()
	r, slow := io.Pipe()
	done := make(chan error, 1)
	go func() {
		code, err := g.from("192.0.2.1", client.MediaTar, w.id, r)
		if err == nil && code != "" {
			err = fmt.Errorf("refused: %s", code)
		}
		done <- err
	}()
	half := len(s.Timestamp.File) + 4<<10
	_, err = slow.Write(body[:half])
	must(t, err)
	for looks.Load() < before+2 {
		time.Sleep(time.Millisecond)
	}
	const strangers, places = 100, 8
	left := make(chan error, strangers)
	var ends []*io.PipeWriter
	for i := range strangers {
		r, end := io.Pipe()
		ends = append(ends, end)
		go func() {
			_, err := g.from(fmt.Sprintf("198.51.100.%d", i), client.MediaTar, w.id, r)
			left <- err
		}()
		go func() { _, _ = end.Write(body[:512]) }()
	}
	for range strangers - places { // whoever comes takes another's place
		<-left
	}
	_, err = slow.Write(body[half:])
	if err == nil {
		err = slow.Close()
	}
	if answer := <-done; answer != nil {
		t.Errorf("%v, %v", answer, err)
	}
	for _, end := range ends {
		end.Close()
	}
}
