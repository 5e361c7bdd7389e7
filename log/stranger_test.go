package log_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

// outsider is a client from elsewhere, who has no token.
const outsider = "203.0.113.7"

// send posts files of a repository and returns the answer's status.
func (r *running) send(t testing.TB, v *plainVendor, files []api.File, headers ...string) (status int, body []byte) {
	t.Helper()
	submission, err := api.Tar(files)
	check(t, err)
	resp, body := r.do(t, "POST", "/v1/repositories/"+v.id.String()+"/metadata", submission, append([]string{"Content-Type", api.TypeTar}, headers...)...)
	return resp.StatusCode, body
}

// until waits until something is so.
func (r *running) until(t testing.TB, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to pass")
		}
	}
}

// A stranger's files that nobody has signed cause no reading of a vendor's history,
// whatever they are called, and the vendor's release does not wait for them.
func TestUnsignedFilesHoldUpNobody(t *testing.T) {
	const history, files, turn = 1100, 1023, 64
	state := new(countingState)
	r := start(t, func(c *log.Config) { c.State = state })
	v := newPlainVendor(t, "vendor")
	r.history(t, v, history)
	var junk []api.File
	strange := map[verify.Digest]bool{}
	for i := range int64(files) {
		f := unsigned("targets", 1+i, `"targets":{}`)
		m, err := verify.ParseJSON(f.Data)
		check(t, err)
		junk, strange[m.PayloadDigest] = append(junk, f), true
	}
	hold := make(chan struct{})
	state.mu.Lock()
	state.hold, state.asked, state.histories = hold, nil, 0
	state.mu.Unlock()
	if status, body := r.send(t, v, junk, "X-Forwarded-For", outsider, "Prefer", "wait=0"); status != 202 {
		t.Fatalf("%d %s", status, body)
	}
	answer := make(chan error, 1)
	before := 0
	go func() {
		status, body := r.send(t, v, v.release(t, history+1, 1))
		state.mu.Lock()
		for _, payload := range state.asked {
			if strange[payload] {
				before++
			}
		}
		state.mu.Unlock()
		var err error
		if status != 200 {
			err = fmt.Errorf("%d %s", status, body)
		}
		answer <- err
	}()
	r.until(t, func() bool { return r.log.Stats().Queued == 2 })
	close(hold)
	check(t, <-answer)
	// His turn comes after the one that was on when he came.
	if before > 2*turn {
		t.Errorf("%d of a stranger's %d files are judged before the vendor's", before, files)
	}
	r.until(t, func() bool { return r.log.Stats().Queued == 0 })
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.histories != 0 {
		t.Errorf("the history is read %d times for files that nobody has signed", state.histories)
	}
	if len(state.asked) != files {
		t.Errorf("%d files are looked for among the leaves, want %d", len(state.asked), files)
	}
}

// What takes the history is judged by one reading of it, however many files there
// are, and others' as well; afterwards it is not kept.
func TestHistoryIsReadOnce(t *testing.T) {
	const history = 120
	state := new(countingState)
	r := start(t, func(c *log.Config) { c.State = state })
	v := newPlainVendor(t, "vendor")
	r.history(t, v, history)
	var files []api.File
	for version := range int64(history / 2) {
		files = append(files, v.release(t, version+1, 1)...)
	}
	// Another payload of an old version: whether the first still stands, the
	// history says, and that it was not logged before.
	files[2*7] = v.file(t, "targets", 8, listing(2))
	state.mu.Lock()
	state.histories = 0
	state.mu.Unlock()
	for i, f := range r.submit(t, v.id.String(), files...) {
		switch {
		case i == 7 && f.Status != api.StatusEvidence && f.Status != api.StatusRefused:
			t.Errorf("another payload of version %d: %+v", f.Version, f)
		case i != 7 && (f.Status != api.StatusLogged || f.Index != f.Version):
			t.Errorf("a release that is logged: %+v", f)
		}
	}
	r.until(t, func() bool { return r.log.Histories() == 0 })
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.histories != 1 {
		t.Errorf("the history is read %d times", state.histories)
	}
}
