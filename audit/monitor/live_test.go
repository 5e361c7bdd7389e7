package monitor

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/verify"
)

// What all live repositories together serve has a bound, and there is room again when a
// comparison has ended.
func TestLiveRoom(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write(make([]byte, 1000))
	}))
	defer server.Close()
	m := &Monitor{}
	l, other := newLive(&follower{m: m}, RepositoryConfig{}, server.URL), newLive(&follower{m: m}, RepositoryConfig{}, server.URL)
	from := &device.Repository{URL: server.URL, Timeout: time.Minute}
	fetch := func(l *live) error {
		_, err := l.fetchWithin(t.Context(), from, verify.Request{Role: "targets", MaxLength: 5000})
		return err
	}
	if err := fetch(l); err != nil || m.liveHeld.Load() != 1000 {
		t.Fatalf("%v, %d bytes held", err, m.liveHeld.Load())
	}
	m.liveHeld.Add(maxAllLive - 1500)
	if err := fetch(other); err == nil || asked != 2 {
		t.Errorf("more is read than there is room for: %v, asked %d times", err, asked)
	}
	m.liveHeld.Add(500)
	if err := fetch(other); err == nil || asked != 2 {
		t.Errorf("it is asked without room: %v, asked %d times", err, asked)
	}
	if l.release(); fetch(other) != nil {
		t.Error("there is no room again")
	}
}
