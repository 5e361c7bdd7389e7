package leader_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/tuf"
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

// notedBlobs tells of every file that is stored.
type notedBlobs struct {
	r   *running
	put func(file []byte)
}

func (b *notedBlobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	return b.r.blobs.Blob(ctx, sum)
}

func (b *notedBlobs) Put(ctx context.Context, files [][]byte) error {
	for _, f := range files {
		if b.put != nil {
			b.put(f)
		}
	}
	return b.r.blobs.Put(ctx, files)
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
	const history, files, turn = 1100, 1023, 16
	state, blobs := new(countingState), new(notedBlobs)
	r := start(t, func(c *leader.Config) { c.State, c.Blobs = state, blobs })
	blobs.r = r
	v := newPlainVendor(t, "vendor")
	r.history(t, v, history)
	var junk []api.File
	strange := map[tuf.Digest]bool{}
	for i := range int64(files) {
		f := unsigned("targets", 1+i, `"targets":{}`)
		m, err := tuf.ParseJSON(f.Data)
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
	// What the vendor releases is stored in the same turn in which it is judged.
	release := v.release(t, history+1, 1)
	before := -1
	blobs.put = func(file []byte) {
		if !bytes.Equal(file, release[0].Data) {
			return
		}
		before = 0
		state.mu.Lock()
		defer state.mu.Unlock()
		for _, payload := range state.asked {
			if strange[payload] {
				before++
			}
		}
	}
	answer := make(chan error, 1)
	go func() {
		status, body := r.send(t, v, release)
		var err error
		if status != 200 {
			err = fmt.Errorf("%d %s", status, body)
		}
		answer <- err
	}()
	r.until(t, func() bool { return r.log.Stats(t.Context()).Queued == 2 })
	close(hold)
	check(t, <-answer)
	// His turn comes after the one that was on when he came.
	if before < 1 || before > turn {
		t.Errorf("%d of a stranger's %d files are judged before the vendor's", before, files)
	}
	r.until(t, func() bool { return r.log.Stats(t.Context()).Queued == 0 })
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
	r := start(t, func(c *leader.Config) { c.State = state })
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

// While a release with very many target files is taken in, leaves are found as ever,
// and look-ups of target files say what they lack.
func TestManyTargetsHoldUpNobody(t *testing.T) {
	const files = 12000
	state := new(countingState)
	r := start(t, func(c *leader.Config) { c.State = state })
	tenant, v := newPlainVendor(t, "tenant"), newPlainVendor(t, "vendor")
	r.register(t, tenant.root.Data)
	id := r.register(t, v.root.Data)
	var list api.Listings
	if r.get(t, "/v1/lookup/path/0", &list); list.Behind != 0 {
		t.Fatalf("the target files of %d roots are waited for", list.Behind)
	}
	hold := make(chan struct{})
	state.mu.Lock()
	state.holdList = hold
	state.mu.Unlock()
	wantSummary(t, r.submit(t, tenant.id.String(), tenant.release(t, 1, files)...), "1.targets.json targets released")
	release := v.release(t, 1, 1)
	wantSummary(t, r.submit(t, id, release...), "1.targets.json targets released")
	m, err := tuf.ParseJSON(release[0].Data)
	check(t, err)

	var found api.Lookup
	r.get(t, "/v1/lookup/sha256/"+m.PayloadDigest.String(), &found)
	if len(found.Leaves) != 1 || found.Leaves[0].Index != 3 || found.Behind != 2 {
		t.Errorf("the payload of a release: %+v", found)
	}
	var role api.Role
	r.get(t, "/v1/repositories/"+id+"/roles/targets", &role)
	if len(role.Versions) != 1 || !role.Versions[0].Current {
		t.Errorf("the versions of a role: %+v", role)
	}
	r.get(t, "/v1/lookup/path/0", &list)
	if len(list.Targets) != 0 || list.Behind != 2 {
		t.Errorf("a path: %+v", list)
	}
	var listed api.Files
	r.get(t, "/v1/entries/3/files", &listed)
	if len(listed.Files) != 0 || listed.Behind != 2 || listed.Metadata != m.FileDigest.String() {
		t.Errorf("the files of a release: %+v", listed)
	}
	if r.get(t, "/v1/entries/1/files", &listed); listed.Behind != 0 {
		t.Errorf("the files of a root: %+v", listed)
	}

	close(hold)
	r.until(t, func() bool {
		_, body := r.do(t, "GET", "/v1/lookup/path/0", nil)
		check(t, json.Unmarshal(body, &list))
		return list.Behind == 0
	})
	if len(list.Targets) != 2 || list.Targets[0].Index != 2 || list.Targets[1].Index != 3 {
		t.Errorf("a path when it is listed: %+v", list)
	}
	r.get(t, "/v1/entries/2/files", &listed)
	if len(listed.Files) != 10000 || !listed.More || listed.Behind != 0 {
		t.Errorf("of the large release %d files are told, %v, %d", len(listed.Files), listed.More, listed.Behind)
	}
	// What is small is waited for: who releases a file finds it.
	for version := range int64(5) {
		release := v.release(t, version+2, int(version)+2)
		r.submit(t, id, release...)
		r.get(t, fmt.Sprintf("/v1/lookup/path/%x", version+1), &list)
		if n := len(list.Targets); list.Behind != 0 || n != 2 || list.Targets[1].Index != 4+version {
			t.Errorf("what was just released: %+v", list)
		}
	}
}

// Who has used up his judging time does not keep others from the lane of large
// submissions: he pays before he enters it.
func TestNobodyWaitsForAnotherInTheLane(t *testing.T) {
	r := start(t, func(c *leader.Config) {
		c.Limits.Anonymous.Judging, c.Limits.Anonymous.JudgingBurst = 1e-9, 1e-6 // any turn is too much
	})
	id := r.register(t, file(newVendor(t), "root").Data)
	files := []api.File{unsigned("targets", 1, fmt.Sprintf(`"pad":%q,"targets":{}`, strings.Repeat("x", 8<<20)))}
	for version := range int64(40) { // more than a turn
		files = append(files, unsigned("targets", version+2, `"targets":{}`))
	}
	tar, err := api.Tar(files)
	check(t, err)
	send := func(ctx context.Context, from string) (int, error) {
		req, err := http.NewRequestWithContext(ctx, "POST", r.http.URL+"/v1/repositories/"+id+"/metadata", bytes.NewReader(tar))
		check(t, err)
		req.Header.Set("Content-Type", api.TypeTar)
		req.Header.Set("X-Forwarded-For", from)
		req.Header.Set("Prefer", "wait=60")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	for _, from := range []string{net1, net2} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if status, err := send(ctx, from); status != 422 {
			t.Errorf("%s: %d %v", from, status, err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if status, err := send(ctx, net1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it does not pay: %d %v", status, err)
	}
}
