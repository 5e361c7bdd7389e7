package main

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
)

// Where Trillian does not answer nobody leads, even if nobody submits; all say why,
// and reads go on. When it is back somebody leads at once.
func TestTrillianAway(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	leader, follower := w.leads(t)
	reader := w.addFront(t, "log3", false)
	v := newVendor(t)
	id := w.registerAt(t, follower, v)
	w.submitAt(t, leader, id, v, "before")

	if err := w.trillian.PauseServer(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	says := func(s *runtest.Service, words ...string) {
		t.Helper()
		var body []byte
		runtest.Eventually(t, fmt.Sprintf("/readyz says %q", words), func() bool {
			status := 0
			status, body = get(t, s.URL+"/readyz")
			for _, word := range words {
				if !bytes.Contains(body, []byte(word)) {
					return false
				}
			}
			return status == 503
		})
	}
	for _, s := range w.fronts {
		says(s, "no front end leads", "Trillian's log server at "+w.trillian.Target())
	}
	says(reader, "no front end leads")
	t.Logf("nobody leads, and all say so, after %v", time.Since(began))
	for _, s := range append(w.fronts, reader) {
		if status, body := get(t, s.URL+"/v1/entries/1/proof"); status != 200 {
			t.Errorf("a proof: %d %s", status, body)
		}
	}
	at := []string{"--dir", w.Path("log"), "--storage", w.storage, "--state", w.state}
	if stdout, stderr, code := runtest.Run(t, "logserver", append([]string{"status"}, at...)...); code != 1 || !strings.Contains(stdout, "trillian-away") {
		t.Errorf("status: exit %d\n%s%s", code, stdout, stderr)
	}
	// One that is told to stop now does not wait for Trillian.
	stopping := time.Now()
	if code := leader.End(t, syscall.SIGTERM); code != 0 {
		t.Errorf("stopped: exit %d", code)
	}
	if took := time.Since(stopping); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}

	if err := w.trillian.ResumeServer(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	for _, s := range []*runtest.Service{follower, reader} {
		runtest.Eventually(t, "it is ready", func() bool {
			status, _ := get(t, s.URL+"/readyz")
			return status == 200
		})
	}
	t.Logf("ready again after %v", time.Since(began))
	if index := w.submitAt(t, reader, id, v, "after"); index != 2 {
		t.Errorf("at %d", index)
	}

	// A database that is read-only for a while, as some are whose disk is full, ends
	// nothing. A front end that is started meanwhile serves the log, and says why nobody leads.
	readOnly := func(is string) {
		t.Helper()
		if _, err := w.postgres.Exec(t.Context(), "postgres", "ALTER DATABASE tuflog SET default_transaction_read_only = "+is+
			"; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tuflog'"); err != nil {
			t.Fatal(err)
		}
	}
	readOnly("on")
	leader.Start(t)
	for _, s := range w.fronts {
		says(s, "no front end leads", "read-only")
		if status, body := get(t, s.URL+"/v1/entries/2/proof"); status != 200 {
			t.Errorf("a proof: %d %s", status, body)
		}
	}
	if st := w.statusOf(t, 1); !strings.Contains(st.Unready, "read-only") {
		t.Errorf("status: %+v", st)
	}
	readOnly("off")
	if index := w.submitAt(t, reader, id, v, "after it was read-only"); index != 3 {
		t.Errorf("at %d", index)
	}
}

// A leader whose Trillian hangs does not wait for its queue when it is told to stop,
// nor when it gives up: submissions are answered in time, and not lost.
func TestTrillianHangsUnderSubmissions(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	leader, _ := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	if err := w.trillian.PauseServer(); err != nil {
		t.Fatal(err)
	}
	files := release(t, v, "while it hangs")
	answered := make(chan error, 1)
	began := time.Now()
	go func() {
		_, err := w.clientOf(leader).Submit(withTimeout(t, 2*process.Patience), id, files)
		answered <- err
	}()
	gaveUp := func() bool { return strings.Contains(leader.Said(), "giving the lease up") }
	runtest.Eventually(t, "the leader gives up", gaveUp)
	given := time.Now()
	runtest.Eventually(t, "the lease is free", func() bool { return strings.Contains(leader.Said(), `msg="not leading the log any more"`) })
	t.Logf("gave up after %v, and the lease %v later", given.Sub(began), time.Since(given))
	if took := time.Since(given); took > 3*time.Second {
		t.Errorf("the lease was released %v after the leader had given up", took)
	}
	if err := w.trillian.ResumeServer(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the submission: %v", err)
	}
	again, err := w.clientOf(leader).Submit(withTimeout(t, process.Patience), id, files)
	if err != nil || len(again.Results) != 1 || again.Results[0].Index != 1 {
		t.Errorf("sent again: %+v, %v", again, err)
	}
}
