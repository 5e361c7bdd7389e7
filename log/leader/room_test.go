package leader_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
)

// Where nothing can be stored nothing is taken, and reads go on.
func TestNoRoom(t *testing.T) {
	var full atomic.Bool
	r := start(t, func(c *leader.Config) {
		c.Room = func() error {
			if full.Load() {
				return errors.New("/srv/log: no space left on device")
			}
			return nil
		}
	})
	v := newVendor(t)
	if resp, body := r.do(t, "POST", "/v1/repositories", file(v, "root").Data); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	full.Store(true)
	runtest.Eventually(t, "/readyz says that the disk is full", func() bool {
		resp, body := r.do(t, "GET", "/readyz", nil)
		return resp.StatusCode == 503 && strings.Contains(string(body), "no space left on device")
	})
	resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data)
	if p := problem(t, resp, body, 503, api.CodeUnavailable); !strings.Contains(p.Detail, "nothing can be stored: /srv/log: no space left on device") {
		t.Errorf("a submission: %s", body)
	}
	if resp, _ := r.do(t, "GET", "/checkpoint", nil); resp.StatusCode != 200 {
		t.Errorf("reads: %d", resp.StatusCode)
	}
	if s := r.log.Stats(t.Context()); s.Ready || !strings.Contains(s.Reason, "no space left") {
		t.Errorf("the metrics say %+v", s)
	}
	full.Store(false)
	runtest.Eventually(t, "/readyz says that there is room", func() bool {
		resp, _ := r.do(t, "GET", "/readyz", nil)
		return resp.StatusCode == 200
	})
}
