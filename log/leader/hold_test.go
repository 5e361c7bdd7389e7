package leader_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/tuf"
)

// ownHolds stands in a leader.Config for those beside the blobs.
var ownHolds log.Holds = (*sqlite.Blobs)(nil)

// holding is a log that holds what outsiders send, a vendor with the token of his
// repository, and a clock.
type holding struct {
	*running
	vendor *testvendor.Vendor
	id     string

	mu   sync.Mutex
	time time.Time
}

func newHolding(t *testing.T) *holding {
	t.Helper()
	h := &holding{vendor: newVendor(t), time: time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)}
	h.running = start(t, func(c *leader.Config) {
		c.Token, c.Tokens, c.Holds, c.Hold = "operator's", ownTokens, ownHolds, 24*time.Hour
		c.Now = func() time.Time {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.time
		}
	})
	h.id = h.register(t, file(h.vendor, "root").Data)
	return h
}

// passes moves the clock, and has what is due then judged.
func (h *holding) passes(t *testing.T, d time.Duration) {
	t.Helper()
	h.mu.Lock()
	h.time = h.time.Add(d)
	h.mu.Unlock()
	check(t, h.log.EndHolds(t.Context()))
	check(t, h.log.Publisher().WaitPublished(t.Context(), int64(len(h.Storage.Entries()))))
}

// outsider sends files without the repository's token.
func (h *holding) outsider(t *testing.T, from string, files ...api.File) (*http.Response, api.Result, []byte) {
	t.Helper()
	return h.send(t, h.id, files, "X-Forwarded-For", from)
}

func (h *holding) send(t *testing.T, id string, files []api.File, header ...string) (*http.Response, api.Result, []byte) {
	t.Helper()
	tar, err := api.Tar(files)
	check(t, err)
	resp, body := h.do(t, "POST", "/v1/repositories/"+id+"/metadata", tar, append([]string{"Content-Type", api.TypeTar}, header...)...)
	// A busy machine answers before it has judged. What is not held by then is
	// forgotten when the log is closed.
	for began := time.Now(); resp.StatusCode == 202 && !strings.Contains(location(t, resp), "/held."); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("it is not judged: %s", body)
		}
		resp, body = h.do(t, "GET", location(t, resp), nil)
	}
	return resp, resultOf(t, body), body
}

// resultOf reads a Result, or what a Problem has of one.
func resultOf(t *testing.T, body []byte) (res api.Result) {
	t.Helper()
	check(t, json.Unmarshal(body, &res))
	return res
}

// poll asks what became of a submission.
func (h *holding) poll(t *testing.T, location string) (int, api.Result) {
	t.Helper()
	resp, body := h.do(t, "GET", location, nil)
	return resp.StatusCode, resultOf(t, body)
}

// drafted is the vendor's next release as somebody else has a copy of it, and another
// that the vendor has signed as well.
func (h *holding) drafted(t *testing.T) (draft, release []api.File) {
	t.Helper()
	twin, err := h.vendor.Clone()
	check(t, err)
	for _, v := range []*testvendor.Vendor{twin, h.vendor} {
		content := []byte("final")
		if v == twin {
			content = []byte("draft")
		}
		check(t, errors.Join(v.Put("targets", "app", content), v.Release("targets")))
	}
	return []api.File{file(twin, "targets"), file(twin, "snapshot")}, []api.File{file(h.vendor, "targets"), file(h.vendor, "snapshot")}
}

const (
	net1 = "192.0.2.7"
	net2 = "198.51.100.7"
)

// A draft that somebody else submits first gets ahead of nobody: the vendor's own
// release is one, and the draft is judged then.
func TestHoldWaitsForTheVendor(t *testing.T) {
	h := newHolding(t)
	draft, release := h.drafted(t)
	resp, res, body := h.outsider(t, net1, draft...)
	at := location(t, resp)
	if resp.StatusCode != 202 || res.Done || !res.Held() || resp.Header.Get("Retry-After") != "86400" || !strings.HasPrefix(at, "/v1/submissions/held.") {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	if f := res.Results[0]; f.Status != api.StatusHeld || f.Index != -1 || f.HeldUntil != "2030-05-02T12:00:00Z" || f.Detail == "" {
		t.Errorf("held: %+v", f)
	}
	// Later, from elsewhere and with the operator's token it is the same.
	h.passes(t, time.Hour)
	for _, header := range [][]string{{"X-Forwarded-For", net2}, {"Authorization", "Bearer operator's"}} {
		if resp, res, body := h.send(t, h.id, draft, header...); resp.StatusCode != 202 || location(t, resp) != at || res.Results[0].HeldUntil != "2030-05-02T12:00:00Z" {
			t.Errorf("again, %v: %d %s", header, resp.StatusCode, body)
		}
	}
	if status, _ := h.poll(t, at+"."+at[strings.LastIndex(at, "held.")+len("held."):]); status != 404 {
		t.Errorf("one is polled twice in one request: %d", status)
	}
	if status, res := h.poll(t, at); status != 202 || !res.Held() || len(h.Storage.Entries()) != 1 {
		t.Fatalf("polled: %d %+v; %d entries", status, res, len(h.Storage.Entries()))
	}
	// What is refused and what is logged is said at once.
	stray := unsigned("targets", 9, `"targets":{}`)
	if resp, _, body := h.outsider(t, net1, stray); resp.StatusCode != 422 {
		t.Errorf("unsigned: %d %s", resp.StatusCode, body)
	}
	if resp, res, body := h.outsider(t, net1, api.File{Name: "1.root.json", Data: file(h.vendor, "root").Data}); resp.StatusCode != 200 || res.Results[0].Status != api.StatusLogged {
		t.Errorf("logged: %d %s", resp.StatusCode, body)
	}

	wantSummary(t, h.submit(t, h.id, release...), "2.targets.json targets released")
	h.passes(t, 0)
	status, after := h.poll(t, at)
	// That it is no release is what counts; what else it is the rules say.
	if f := after.Results[0]; status == 202 || !after.Done || f.Status != api.StatusEvidence && f.Status != api.StatusRefused {
		t.Errorf("after the vendor's own: %d %+v", status, after)
	}
	if held, err := h.blobs.ListHeld(t.Context()); err != nil || len(held) != 0 {
		t.Errorf("still held: %+v, %v", held, err)
	}
	// His own file was held, too, if somebody else had it first: then it is logged.
	check(t, errors.Join(h.vendor.Put("targets", "app", []byte("next")), h.vendor.Release("targets")))
	next := []api.File{file(h.vendor, "targets"), file(h.vendor, "snapshot")}
	resp, _, _ = h.outsider(t, net1, next...)
	own := h.submit(t, h.id, next...)
	wantSummary(t, own, "3.targets.json targets released")
	h.passes(t, 0)
	if status, res := h.poll(t, location(t, resp)); status != 200 || res.Results[0].Status != api.StatusLogged || res.Results[0].Index != own[0].Index {
		t.Errorf("the vendor's own file, sent by another: %d %+v", status, res)
	} else {
		h.proved(t, h.id, next, res.Results[0])
	}
}

// What nobody contradicts is logged when its time has come, not before, and also if
// the log was started anew meanwhile.
func TestHoldEnds(t *testing.T) {
	h := newHolding(t)
	draft, _ := h.drafted(t)
	resp, _, _ := h.outsider(t, net1, draft...)
	at := location(t, resp)
	h.close(t)
	h.open(t)
	h.passes(t, 24*time.Hour-time.Millisecond)
	if status, res := h.poll(t, at); status != 202 || !res.Held() || len(h.Storage.Entries()) != 1 {
		t.Fatalf("before its time: %d %+v", status, res)
	}
	h.passes(t, time.Millisecond)
	for range 2 {
		status, res := h.poll(t, at)
		if status != 200 || !res.Done || res.Repository != h.id || res.Results[0].Status != api.StatusReleased || res.Results[0].Index != 1 {
			t.Fatalf("at its time: %d %+v", status, res)
		}
		h.proved(t, h.id, draft, res.Results[0])
		// What became of it is known for a week, after a start as well.
		h.close(t)
		h.open(t)
	}
	h.passes(t, 8*24*time.Hour)
	if status, _ := h.poll(t, at); status != 404 {
		t.Errorf("after a week: %d", status)
	}
	for _, bad := range []string{"held.", "held.x", at[len("/v1/submissions/"):] + ".", "held" + strings.Repeat(".0", 65)} {
		if status, _ := h.poll(t, "/v1/submissions/"+bad); status != 404 {
			t.Errorf("%s: %d", bad, status)
		}
	}
}

// Without a token nobody speaks for the repository, and nothing is held; nor where
// the operator does not want it. Another repository's token is as good as none.
func TestHoldNeedsAToken(t *testing.T) {
	h := newHolding(t)
	other := newVendor(t)
	res, err := h.client.Register(t.Context(), file(other, "root").Data)
	check(t, err)
	check(t, other.Release("targets"))
	files := []api.File{file(other, "targets"), file(other, "snapshot")}
	otherID, err := tuf.ParseDigest(res.Repository)
	check(t, err)
	// The vendor's own holder status does not carry over.
	if resp, got, body := h.send(t, h.id, mustDraft(t, h), "Authorization", "Bearer "+res.Token.Text); resp.StatusCode != 202 || !got.Held() {
		t.Errorf("with another repository's token: %d %s", resp.StatusCode, body)
	}
	_, err = h.blobs.RemoveToken(t.Context(), otherID, tuf.Sum([]byte(res.Token.Text)))
	check(t, err)
	if resp, got, body := h.send(t, res.Repository, files, "X-Forwarded-For", net1); resp.StatusCode != 200 || got.Results[0].Status != api.StatusReleased {
		t.Errorf("without any token: %d %s", resp.StatusCode, body)
	}
	h.close(t)
	h.config.Hold = 0
	h.open(t)
	if resp, got, body := h.outsider(t, net1, mustDraft(t, h)...); resp.StatusCode != 200 || got.Results[0].Status != api.StatusReleased {
		t.Errorf("without a hold: %d %s", resp.StatusCode, body)
	}
	// What was held before keeps its time.
	held, err := h.blobs.ListHeld(t.Context())
	if err != nil || len(held) != 1 {
		t.Fatalf("held: %+v, %v", held, err)
	}
	h.passes(t, 24*time.Hour)
	if held, err := h.blobs.ListHeld(t.Context()); err != nil || len(held) != 0 {
		t.Errorf("held: %+v, %v", held, err)
	}
}

// mustDraft returns the next release of the vendor, of which nobody else has another.
func mustDraft(t *testing.T, h *holding) []api.File {
	t.Helper()
	draft, _ := h.drafted(t)
	return draft
}

// Roots are held as well. What needs one is refused at once, and why is said.
func TestHoldRoots(t *testing.T) {
	h := newHolding(t)
	check(t, errors.Join(h.vendor.Rotate("targets"), h.vendor.Release("targets")))
	resp, res, body := h.outsider(t, net1, file(h.vendor, "root"), file(h.vendor, "targets"), file(h.vendor, "snapshot"))
	if resp.StatusCode != 202 || len(res.Results) != 2 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	wantSummary(t, res.Results, "2.root.json root held", "2.targets.json targets refused threshold")
	if d := res.Results[1].Detail; !strings.Contains(d, "are held") {
		t.Errorf("what depends on a held root: %q", d)
	}
	h.passes(t, 24*time.Hour)
	if status, res := h.poll(t, location(t, resp)); status != 200 || res.Results[0].Status != api.StatusReleased {
		t.Errorf("the root: %d %+v", status, res)
	}
}

// One network fills its share of the room and no more, all together no more than the
// room; the vendor needs none of it.
func TestHoldRoom(t *testing.T) {
	h := newHolding(t)
	var drafts [][]api.File
	for range 66 {
		drafts = append(drafts, mustDraft(t, h))
	}
	n := 0
	next := func(from string) (int, api.Result, []byte) {
		t.Helper()
		resp, res, body := h.outsider(t, from, drafts[n]...)
		n++
		if resp.StatusCode != 202 {
			problem(t, resp, body, resp.StatusCode, api.CodeHoldFull)
		}
		return resp.StatusCode, res, body
	}
	for network := range 4 {
		from := fmt.Sprintf("192.0.%d.1", network)
		for i := range 16 {
			if status, _, body := next(from); status != 202 {
				t.Fatalf("file %d of network %d: %d %s", i, network, status, body)
			}
		}
		if network > 0 {
			continue
		}
		status, res, body := next(from)
		if status != 429 || len(res.Results) != 1 || res.Results[0].Code != api.CodeHoldFull {
			t.Errorf("beyond the share of a network: %d %s", status, body)
		}
	}
	if status, _, body := next("203.0.113.1"); status != 503 {
		t.Errorf("beyond the room: %d %s", status, body)
	}
	// The client says so, and does not wait.
	outsider := &api.Client{Base: h.http.URL}
	res, err := outsider.Submit(t.Context(), h.id, drafts[65])
	if err != nil || res.Results[0].Status != api.StatusRefused || res.Results[0].Code != api.CodeHoldFull {
		t.Errorf("the client: %+v, %v", res, err)
	}
	if res, err := outsider.Submit(t.Context(), h.id, drafts[0]); err != nil || !res.Held() {
		t.Errorf("what is held already: %+v, %v", res, err)
	}
	wantSummary(t, h.submit(t, h.id, mustDraft(t, h)...), "68.targets.json targets released")
}

// A file that is larger than the share of a network is not held, and no waiting helps.
func TestHoldTooLarge(t *testing.T) {
	h := newHolding(t)
	v := newPlainVendor(t, "vendor")
	id := h.register(t, v.root.Data)
	files := v.release(t, 1, 45_000)
	resp, res, body := h.send(t, id, files, "X-Forwarded-For", net1)
	if resp.StatusCode != 422 || res.Results[0].Code != api.CodeHoldFull || !strings.Contains(res.Results[0].Detail, "4194304") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	wantSummary(t, h.submit(t, id, files...), "1.targets.json targets released")
}

// A log that dies while it judges what was held does so again.
func TestHoldSurvivesDeath(t *testing.T) {
	h := newHolding(t)
	draft, _ := h.drafted(t)
	resp, _, _ := h.outsider(t, net1, draft...)
	h.close(t)
	h.Storage.OnAppend = func([][]byte) ([][]byte, error) { return nil, errors.New("the disk is full") }
	h.mu.Lock()
	h.time = h.time.Add(24 * time.Hour)
	h.mu.Unlock()
	h.config.DrainTimeout = time.Millisecond
	h.open(t)
	for !strings.Contains(fmt.Sprint(h.log.Trouble()), "the disk is full") {
		time.Sleep(time.Millisecond) // the log looks by itself
	}
	h.close(t)
	h.Storage.OnAppend = nil
	h.open(t)
	h.passes(t, 0)
	if status, res := h.poll(t, location(t, resp)); status != 200 || res.Results[0].Status != api.StatusReleased {
		t.Errorf("%d %+v", status, res)
	}
	if n := len(h.Storage.Entries()); n != 2 {
		t.Errorf("%d entries", n)
	}
}

// Bins share a key, and snapshots list versions only: the file of one is as good as
// another's. A stranger who submits them under each other's names before the vendor
// has submitted anything blocks nothing.
func TestFrontrun(t *testing.T) {
	h := newHolding(t)
	h.vendor.PlainSnapshots = true
	bins, err := h.vendor.DelegateBins("targets", "bin", 2)
	check(t, err)
	check(t, h.vendor.Release("targets"))
	// in is the path of a file that belongs into the bin of a number.
	in := func(bin int) string {
		for i := 0; ; i++ {
			path := fmt.Sprint("file ", i)
			if sum := tuf.Sum([]byte(path)); int(sum[0]>>6) == bin {
				return path
			}
		}
	}
	for i, bin := range bins {
		check(t, errors.Join(h.vendor.Put(bin, in(i), []byte(bin)), h.vendor.Release(bin)))
	}
	targets, snapshot := file(h.vendor, "targets"), file(h.vendor, "snapshot")
	swapped := []api.File{targets, snapshot}
	own := []api.File{targets, snapshot}
	for i, bin := range bins {
		own = append(own, file(h.vendor, bin))
		swapped = append(swapped, api.File{Name: file(h.vendor, bin).Name, Data: file(h.vendor, bins[(i+1)%len(bins)]).Data})
	}
	// What targets delegates to is held only once targets is logged.
	for _, files := range [][]api.File{{targets, snapshot}, swapped} {
		if resp, _, body := h.outsider(t, net1, files...); resp.StatusCode != 202 {
			t.Fatalf("the stranger's: %d %s", resp.StatusCode, body)
		}
	}
	h.submit(t, h.id, targets, snapshot)
	resp, res, body := h.outsider(t, net1, swapped...)
	for _, f := range res.Results {
		if f.Role != "targets" && (f.Status == api.StatusReleased || f.Status == api.StatusEvidence) {
			t.Errorf("the stranger's %s: %d %s", f.File, resp.StatusCode, body)
		}
	}
	for _, f := range h.submit(t, h.id, own...) {
		if f.Status != api.StatusReleased && f.Role != "targets" {
			t.Errorf("the vendor's %s: %+v", f.File, f)
		}
	}
	h.passes(t, 25*time.Hour)
	if held, err := h.blobs.ListHeld(t.Context()); err != nil || len(held) != 0 {
		t.Errorf("still held: %+v, %v", held, err)
	}
	// And the vendor's next release is one.
	for i, bin := range bins {
		check(t, errors.Join(h.vendor.Put(bin, in(i), []byte("next "+bin)), h.vendor.Release(bin)))
	}
	next := []api.File{file(h.vendor, "snapshot")}
	for _, bin := range bins {
		next = append(next, file(h.vendor, bin))
	}
	for _, f := range h.submit(t, h.id, next...) {
		if f.Status != api.StatusReleased {
			t.Errorf("the vendor's next %s: %+v", f.File, f)
		}
	}
}

// What was held and cannot be read any more, by a program that is stricter, is refused.
func TestHoldOutlivesWhatIsRead(t *testing.T) {
	h := newHolding(t)
	draft, _ := h.drafted(t)
	h.outsider(t, net1, draft...)
	held, err := h.blobs.ListHeld(t.Context())
	check(t, err)
	unreadable := held[0]
	unreadable.ID = strings.Repeat("a", 32)
	_, err = h.blobs.Hold(t.Context(), unreadable, []byte(`{"signed":{},"signed":{}}`), nil, quota.DefaultLimits.Hold)
	check(t, err)
	h.passes(t, 25*time.Hour)
	status, res := h.poll(t, "/v1/submissions/held."+unreadable.ID)
	if status != 422 || res.Results[0].Code != api.CodeMalformed {
		t.Errorf("%d %+v", status, res)
	}
}

// When the log has ended, nobody waits any longer for what was held. What is logged is
// so all the same: a log may die after it has appended what it held.
func TestHoldEndsWithTheLog(t *testing.T) {
	h := newHolding(t)
	draft, _ := h.drafted(t)
	resp, _, _ := h.outsider(t, net1, draft...)
	held, err := h.blobs.ListHeld(t.Context())
	check(t, err)
	appended := held[0]
	appended.ID, appended.Role, appended.Version, appended.Name = strings.Repeat("b", 32), "root", 1, "1.root.json"
	_, err = h.blobs.Hold(t.Context(), appended, file(h.vendor, "root").Data, nil, quota.DefaultLimits.Hold)
	check(t, err)
	h.close(t)
	check(t, h.end(t))
	h.open(t)
	h.passes(t, 25*time.Hour)
	if status, res := h.poll(t, location(t, resp)); status != 422 || res.Results[0].Code != api.CodeEnded {
		t.Errorf("the draft: %d %+v", status, res)
	}
	if status, res := h.poll(t, "/v1/submissions/held."+appended.ID); status != 200 || res.Results[0].Status != api.StatusLogged || res.Results[0].Index != 0 {
		t.Errorf("the root: %d %+v", status, res)
	}
	if n := len(h.Storage.Entries()); n != 2 {
		t.Errorf("%d entries", n)
	}
}

// A store is asked for IDs alone: PostgreSQL takes no zero bytes in a text.
func TestHeldIDsAreChecked(t *testing.T) {
	h := newHolding(t)
	other, err := sqlite.OpenBlobs(filepath.Join(h.dir, "blobs.db"))
	check(t, err)
	t.Cleanup(func() { check(t, other.Close()) })
	h.close(t)
	h.config.Holds = strictHolds{other}
	h.open(t)
	for _, bad := range []string{"%00", "", "%ff", strings.Repeat("A", 32), strings.Repeat("a", 33), strings.Repeat("a", 32)} {
		if status, _ := h.poll(t, "/v1/submissions/held."+bad); status != 404 {
			t.Errorf("%q: %d", bad, status)
		}
	}
}

// strictHolds takes nothing for an ID that is none.
type strictHolds struct{ log.Holds }

func (s strictHolds) Held(ctx context.Context, id string) (log.Held, error) {
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return log.Held{}, fmt.Errorf("invalid text %q", id)
	}
	return s.Holds.Held(ctx, id)
}

// hookedHolds tells when a held file is read, and when it is looked at.
type hookedHolds struct {
	log.Holds
	read, looked func(id string)
}

func (h hookedHolds) HeldFiles(ctx context.Context, id string) (file, snapshot []byte, err error) {
	file, snapshot, err = h.Holds.HeldFiles(ctx, id)
	h.read(id)
	return file, snapshot, err
}

func (h hookedHolds) Held(ctx context.Context, id string) (log.Held, error) {
	held, err := h.Holds.Held(ctx, id)
	h.looked(id)
	return held, err
}

// What an operator drops while it waits to be judged is not logged, and what is logged
// all the same, because he drops it at that very moment, is not said to be dropped.
func TestHoldDroppedWhileJudged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		late   bool
		status int
	}{{"while it waits", false, 422}, {"while it is logged", true, 200}} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHolding(t)
			draft, _ := h.drafted(t)
			resp, _, _ := h.outsider(t, net1, draft...)
			h.close(t)
			dropped := 0
			drop := func(id string) {
				if dropped++; dropped > 1 {
					return
				}
				h.mu.Lock()
				now := h.time // by the clock that forgets outcomes, too
				h.mu.Unlock()
				if ok, err := h.blobs.SettleHold(context.Background(), id, log.Dropped, now); err != nil || !ok {
					t.Errorf("dropped: %v, %v", ok, err)
				}
			}
			nothing := func(string) {}
			h.holds = func(own log.Holds) log.Holds {
				if tt.late {
					return hookedHolds{own, nothing, drop}
				}
				return hookedHolds{own, drop, nothing}
			}
			h.open(t)
			before := len(h.Storage.Entries())
			h.passes(t, 25*time.Hour)
			status, res := h.poll(t, location(t, resp))
			if len(res.Results) != 1 {
				t.Fatalf("%s is answered %d %+v", location(t, resp), status, res)
			}
			f := res.Results[0]
			if logged := len(h.Storage.Entries()) > before; dropped == 0 || status != tt.status || logged != tt.late || (f.Status == api.StatusReleased) != tt.late || (f.Code == api.CodeHoldDropped) == tt.late {
				t.Errorf("dropped %d times, logged %v: %d %+v", dropped, logged, status, f)
			}
		})
	}
}

// A log that is stopped as soon as the vendor's own version is logged remembers that
// those of others need not wait any longer.
func TestHoldEndsAlthoughTheLogStops(t *testing.T) {
	h := newHolding(t)
	draft, release := h.drafted(t)
	resp, _, _ := h.outsider(t, net1, draft...)
	at := location(t, resp)
	wantSummary(t, h.submit(t, h.id, release...), "2.targets.json targets released")
	h.close(t)
	h.open(t)
	h.passes(t, 0)
	if status, res := h.poll(t, at); status == 202 || !res.Done {
		t.Errorf("after the vendor's own and a new start: %d %+v", status, res)
	}
}
