package expected_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Who serves expectations makes nothing wait by answering late: a step ends without, and the
// release is judged when they have been read again, or could not be.
func TestSlowServer(t *testing.T) {
	w := newWorld(t)
	note := w.sign(1, 0, time.Hour, "release targets any")
	asked, answers := make(chan struct{}, 100), make(chan []byte)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case b := <-answers:
			_, _ = rw.Write(b)
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	woken := make(chan struct{}, 100)
	w.cfg.From, w.cfg.Every, w.cfg.Wake = server.URL+"/expect.note", time.Hour, func() { woken <- struct{}{} }
	w.start()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.w.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	<-asked
	answers <- note
	step := func() {
		t.Helper()
		w.now = w.now.Add(time.Second)
		w.log.Time = w.now.Unix()
		_, err := w.a.Step(t.Context())
		must(t, err)
		must(t, w.w.Step(t.Context(), w.a, w.log.Source(), true))
	}
	for w.w.Status().Version == 0 {
		time.Sleep(time.Millisecond)
		step()
	}

	w.put("evil.bin", "evil")
	step()
	<-asked // beside, and it is not answered
	if !w.w.Waits() {
		t.Error("the release does not wait for expectations that may have been signed a moment ago")
	}
	step() // a further one does not wait, too
	w.want()
	answers <- w.sign(2, 0, time.Hour, "release targets any")
	<-woken
	step()
	w.want("is not what its vendor said would be released (expectations 2)")

	// What does not answer at all is asked for no more than seconds.
	w.put("worse.bin", "worse")
	step()
	<-asked
	w.want("(expectations 2)")
	<-woken
	step()
	if w.w.Waits() {
		t.Error("a release waits for ever")
	}
	w.want("@2: targets 3", "@3: targets 4", "cannot be read")
}

// A process that ends while a release waits leaves it to the next one.
func TestRestartWhileItWaits(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, time.Hour, "release targets any"))
	w.step(true)
	w.put("evil.bin", "evil")
	w.now = w.now.Add(time.Second)
	_, err := w.a.Step(t.Context())
	must(t, err)
	must(t, w.w.Step(t.Context(), w.a, w.log.Source(), true))
	if !w.w.Waits() {
		t.Fatal("the release does not wait")
	}
	w.want()
	w.start()
	w.step(true)
	w.want("evil.bin")
}
