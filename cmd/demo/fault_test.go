package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/tuf"
)

// lockedBuffer collects the output of a process that is still running.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var testHTTP = &http.Client{Timeout: 20 * time.Second}

func get(url string) (status int, body []byte, err error) {
	resp, err := testHTTP.Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func answers(url string) bool {
	status, _, err := get(url)
	return err == nil && status == http.StatusOK
}

// size is the size of the published checkpoint; -1 when there is none, or the log
// does not answer.
func (w *world) size() int64 {
	status, body, err := get(w.log.url + "/checkpoint")
	if err != nil || status != http.StatusOK {
		return -1
	}
	note, err := proofs.ParseNote(body)
	if err != nil {
		return -1
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return -1
	}
	return c.Tree.N
}

// importing is an import in the background.
type importing struct {
	done   chan struct{}
	code   int
	report publish.Report
	err    error
}

func (w *world) importInBackground(ctx context.Context, dir string) *importing {
	i := &importing{done: make(chan struct{})}
	args := w.publisher("import", "--json", "--timeout", "60s", dir)
	go func() {
		defer close(i.done)
		var o outcome
		if o, i.err = w.p.run(ctx, "publisher", args...); i.err != nil {
			return
		}
		if i.code = o.code; o.stdout != "" {
			i.err = json.Unmarshal([]byte(o.stdout), &i.report)
		}
		if i.err == nil && o.code != 0 {
			i.err = fmt.Errorf("exit %d: %s", o.code, clip(o.stderr, 300))
		}
	}()
	return i
}

func (i *importing) ended() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// waitFor waits until the published log has more entries than size while the
// import goes on.
func (w *world) waitFor(t *testing.T, i *importing, size int64) {
	t.Helper()
	runtest.Eventually(t, fmt.Sprintf("the import publishes more than %d entries", size), func() bool {
		if w.size() > size {
			return true
		}
		if i.ended() {
			t.Fatalf("the import ended with %d entries: %v", w.size(), i.err)
		}
		return false
	})
}

// acknowledged are the entries that the log said files are at.
type acknowledged map[string]int64

// add takes down what a report says, and complains when it says another index
// for a file than an earlier one.
func (a acknowledged) add(t *testing.T, r publish.Report) {
	t.Helper()
	for _, v := range r.Files {
		if v.Index < 0 {
			continue
		}
		if before, ok := a[v.File]; ok && before != v.Index {
			t.Errorf("%s was acknowledged at index %d, and is at index %d now", v.File, before, v.Index)
		}
		a[v.File] = v.Index
	}
}

// checkWhole has an auditor replay the log, which must hold as many leaves as the
// history gives: one that is logged twice, or missing, would change the number.
// An auditor calls a leaf that is logged twice tampering.
func checkWhole(t *testing.T, w *world, leaves int64) {
	t.Helper()
	a := checkPublished(t, w, leaves)
	server, err := w.serverLeaves(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sameLeaves(server, a.Leaves); err != nil {
		t.Error(err)
	}
}

// checkPublished is checkWhole without the server's own table, which also lists
// entries that are integrated and wait for a quorum.
func checkPublished(t *testing.T, w *world, leaves int64) *audited {
	t.Helper()
	a, err := w.replay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.content(); err != nil {
		t.Error(err)
	}
	if a.Judged != leaves {
		t.Errorf("the log has published %d leaves, want %d", a.Judged, leaves)
	}
	return a
}

func TestLogIsKilledDuringImport(t *testing.T) {
	if testing.Short() {
		t.Skip("imports a history with many kills")
	}
	t.Parallel()
	w := newTestWorld(t, "--log-snapshots", "--log-timestamps")
	dir, leaves := testHistory(t)
	seen := acknowledged{}
	for _, part := range []int64{5, 2} {
		i := w.importInBackground(t.Context(), dir)
		w.waitFor(t, i, leaves/part)
		w.log.kill()
		<-i.done
		if i.code != 2 {
			t.Fatalf("the import whose log was killed exited with %d, want 2: %v", i.code, i.err)
		}
		before := len(seen)
		seen.add(t, i.report)
		if len(seen) <= before {
			t.Fatalf("the interrupted import acknowledged %d files, no more than the one before", len(seen))
		}
		if err := w.startLog(t.Context(), w.log.address()); err != nil {
			t.Fatal(err)
		}
	}
	i := w.importInBackground(t.Context(), dir)
	<-i.done
	if i.err != nil {
		t.Fatal(i.err)
	}
	seen.add(t, i.report)
	checkWhole(t, w, leaves)
}

func TestWitnessesAreKilledDuringImport(t *testing.T) {
	if testing.Short() {
		t.Skip("kills real programs again and again")
	}
	t.Parallel()
	w := newTestWorld(t, "--log-snapshots", "--log-timestamps")
	dir, leaves := generatedHistory(t)
	i := w.importInBackground(t.Context(), dir)
	for n := range w.witnesses[:2] {
		w.waitFor(t, i, leaves*int64(n+1)/8)
		s := w.witnesses[n]
		s.kill()
		// The other two are a quorum: the import goes on.
		w.waitFor(t, i, w.size()+10)
		if err := w.startWitness(t.Context(), n, s.address()); err != nil {
			t.Fatal(err)
		}
	}
	<-i.done
	if i.err != nil {
		t.Fatal(i.err)
	}
	// Now both that were killed are needed.
	w.witnesses[2].kill()
	vendor, err := newMaker(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	fresh, _, err := w.released(t.Context(), vendor)
	if err != nil {
		t.Fatal(err)
	}
	checkWhole(t, w, leaves+int64(len(fresh)))
}

// submission is the answer to one POST.
type submission struct {
	status   int
	location string
	problem  api.Problem
	retry    string
}

func (w *world) post(ctx context.Context, repository string, files []api.File) (submission, error) {
	body, err := api.Tar(files)
	if err != nil {
		return submission{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.log.url+"/v1/repositories/"+repository+"/metadata", bytes.NewReader(body))
	if err != nil {
		return submission{}, err
	}
	req.Header.Set("Content-Type", api.TypeTar)
	req.Header.Set("Prefer", "wait=1")
	resp, err := testHTTP.Do(req)
	if err != nil {
		return submission{}, err
	}
	defer resp.Body.Close()
	s := submission{status: resp.StatusCode, location: resp.Header.Get("Location"), retry: resp.Header.Get("Retry-After")}
	if resp.StatusCode >= 400 {
		err = json.NewDecoder(resp.Body).Decode(&s.problem)
	}
	return s, err
}

func TestTwoWitnessesAreDown(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a whole world")
	}
	t.Parallel()
	w := newTestWorld(t)
	ctx := t.Context()
	vendor, err := newMaker(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, report, err := w.released(ctx, vendor)
	if err != nil {
		t.Fatal(err)
	}
	size := w.size()
	_, published, err := get(w.log.url + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	for n := range w.witnesses[:2] {
		w.witnesses[n].stop()
	}

	accepted := 0
	for n := range 3 {
		if err := putAndRelease(vendor.Vendor, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		var send []api.File
		for _, role := range []string{tuf.RoleTargets, tuf.RoleSnapshot} {
			name, data := vendor.File(role)
			send = append(send, api.File{Name: name, Data: data})
		}
		s, err := w.post(ctx, report.Repositories[0], send)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case s.status == http.StatusAccepted && s.location != "":
			accepted++
		case s.status == http.StatusServiceUnavailable && s.retry != "" && s.problem.Code != "" && s.problem.Detail != "":
		default:
			t.Errorf("submission %d was answered with %+v, want 202 with a Location, or a clear 503", n, s)
		}
		t.Logf("submission %d: %d %s %s", n, s.status, s.problem.Code, s.problem.Detail)
	}
	if accepted == 0 {
		t.Fatal("no submission was accepted: there is no backlog to watch")
	}

	// Nothing is published, and reads go on.
	leaf, err := (&api.Client{Base: w.log.url}).EntryProof(ctx, 0)
	if err != nil || len(leaf) == 0 {
		t.Errorf("the proof of entry 0: %v", err)
	}
	for _, path := range []string{"/checkpoint", "/tile/entries/000.p/" + fmt.Sprint(size), "/v1/repositories", "/healthz"} {
		if !answers(w.log.url + path) {
			t.Errorf("%s does not answer while witnesses are down", path)
		}
	}
	checkPublished(t, w, size)
	// Late cosignatures may still have come in; the text stays.
	text, _, _ := bytes.Cut(published, []byte("\n\n"))
	if _, now, err := get(w.log.url + "/checkpoint"); err != nil || !bytes.HasPrefix(now, append(text, "\n\n"...)) {
		t.Errorf("the checkpoint changed without a quorum (%v):\n%s\nbefore:\n%s", err, now, published)
	}
	runtest.Eventually(t, "the log says that it is not ready", func() bool { return !answers(w.log.url + "/readyz") })

	// The backlog publishes by itself.
	for n := range w.witnesses[:2] {
		if err := w.startWitness(ctx, n, w.witnesses[n].address()); err != nil {
			t.Fatal(err)
		}
	}
	runtest.Eventually(t, "the backlog is published", func() bool { return w.size() == size+int64(accepted) })
	runtest.Eventually(t, "the log is ready again", func() bool { return answers(w.log.url + "/readyz") })
	checkWhole(t, w, size+int64(accepted))

	// Submitting everything again brings what was not accepted, and nothing twice.
	if err := vendor.write(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.submit(ctx, 0, vendor.dir); err != nil {
		t.Fatal(err)
	}
	if accepted == 3 {
		checkWhole(t, w, size+3)
	}
}
