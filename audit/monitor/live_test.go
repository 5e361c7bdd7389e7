package monitor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/device"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// How many comparisons go on at once has a bound, and one host that is slow takes few of these
// places: those that wait for it take none.
func TestComparing(t *testing.T) {
	slow, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		slow <- struct{}{}
		<-answer
		http.NotFound(w, nil)
	}))
	defer server.Close()
	log := audittest.New(t)
	v, err := testvendor.New(time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	_, root := v.File(tuf.RoleRoot)
	id := log.Register(root)
	log.Publish(2)
	a, err := audit.New(t.Context(), audit.Config{Source: log.Source(), Policy: log.Policy()})
	if err == nil {
		defer a.Close()
		_, err = a.Step(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	histories, err := a.Histories(t.Context(), id.String())
	if err != nil || len(histories) != 1 {
		t.Fatalf("%v, %d histories", err, len(histories))
	}
	m := &Monitor{opts: Options{Now: time.Now, Client: server.Client()}, comparing: newComparing()}
	compare := func(url string) *live {
		l, err := newLive(&follower{m: m}, RepositoryConfig{Name: "acme", ID: id.String(), Every: time.Hour}, url)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	var comparing sync.WaitGroup
	for range 3 * maxComparingAt {
		l := compare(server.URL + "/metadata/")
		comparing.Go(func() { l.make(t.Context(), comparison{a: a, history: histories[0]}) })
	}
	for range maxComparingAt {
		<-slow
	}
	select {
	case <-slow:
		t.Errorf("more than %d ask one host at once", maxComparingAt)
	default:
	}
	if n := len(m.comparing.all); n != maxComparingAt {
		t.Errorf("%d places are taken, want %d", n, maxComparingAt)
	}
	// Another host is asked meanwhile.
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	l := compare(other.URL + "/metadata/")
	l.make(t.Context(), comparison{a: a, history: histories[0]})
	if l.done == nil || l.done.err != nil || len(l.done.rows) == 0 {
		t.Errorf("what came of it: %+v", l.done)
	}
	go func() {
		for {
			if _, more := <-slow; !more {
				return
			}
		}
	}()
	close(answer)
	comparing.Wait()
	if n := len(m.comparing.all); n != 0 {
		t.Errorf("%d places are taken after the end", n)
	}
}

// What all live repositories together serve has a bound, and there is room again when a
// comparison has ended.
func TestLiveRoom(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write(make([]byte, 1000))
	}))
	defer server.Close()
	m := &Monitor{comparing: newComparing()}
	from := &device.Repository{URL: server.URL, Timeout: time.Minute}
	newOne := func() *live {
		l, err := newLive(&follower{m: m}, RepositoryConfig{ID: strings.Repeat("0", 64)}, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, other := newOne(), newOne()
	fetch := func(l *live) error {
		_, err := roomy{l, from}.Fetch(t.Context(), verify.Request{Role: "targets", MaxLength: 5000})
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
	if m.liveHeld.Add(-l.held.Swap(0)); fetch(other) != nil {
		t.Error("there is no room again")
	}
}
