package leader_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// end ends the log while it does not run.
func (r *running) end(t *testing.T) error {
	t.Helper()
	r.Cfg.Ending = true
	defer func() { r.Cfg.Ending = false }()
	check(t, r.tryOpen(t))
	err := r.log.End(t.Context())
	check(t, errors.Join(r.state.Close(), r.blobs.Close()))
	r.log = nil
	return err
}

// A log ends without a quorum, and again with one; whatever happens then, nothing
// more is signed.
func TestEnd(t *testing.T) {
	r := start(t, nil)
	r.close(t)
	if err := r.end(t); err == nil || len(r.Storage.Entries()) != 0 {
		t.Fatalf("an empty log: %v", err)
	}
	r.open(t)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	r.submit(t, id, all(v)...)
	r.close(t)
	before := len(r.Storage.Entries())
	older := r.Ledger.Record

	r.Witnesses.SetDown(true, true, true)
	for range 2 {
		err := r.end(t)
		var quorum *proofs.QuorumError
		if err == nil || !strings.Contains(err.Error(), "the log has ended, but a quorum does not have its end yet") || !errors.As(err, &quorum) {
			t.Fatalf("without witnesses: %v", err)
		}
		if got := r.Storage.Entries(); len(got) != before+1 || string(got[before]) != "tuflog end v1\n" {
			t.Fatalf("%d entries", len(got))
		}
		if rec := r.Ledger.Record; !rec.Ended || rec.Edge.Tree().N != int64(before+1) {
			t.Fatalf("ledger: %+v", rec)
		}
	}

	// It serves what was published, and says why it takes nothing.
	r.open(t)
	eventually(t, "the trouble is known", func() bool { return r.log.Trouble() != nil })
	for _, ask := range []func() error{
		func() error { _, err := r.client.Register(t.Context(), file(newVendor(t), "root").Data); return err },
		func() error { _, err := r.client.Submit(t.Context(), id, all(v)); return err },
	} {
		var p *api.ProblemError
		if err := ask(); !errors.As(err, &p) || p.Status != 403 || p.Code != api.CodeEnded || !strings.Contains(p.Detail, "a quorum does not have the end yet") {
			t.Errorf("submitted: %v", err)
		}
	}
	if st := r.log.Stats(t.Context()); !st.Ended || st.Ready || st.Published != int64(before) {
		t.Errorf("stats: %+v", st)
	}
	// The witnesses come back while it serves: it is published by itself.
	r.Witnesses.SetDown(false, false, false)
	check(t, r.log.Publisher().WaitPublished(t.Context(), int64(before+1)))
	r.Published(r.log.Publisher(), before+1)
	if status, body := ready(t, r); status != 403 || !strings.Contains(body, `"ended"`) || strings.Contains(body, "quorum") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if _, err := r.client.Repository(t.Context(), id); err != nil {
		t.Errorf("look-ups of a log that has ended: %v", err)
	}
	resp, err := http.Get(r.http.URL + "/v1/entries/" + strconv.Itoa(before) + "/files")
	check(t, err)
	check(t, resp.Body.Close())
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("files of the end: %d", resp.StatusCode)
	}
	note, err := proofs.ParseNote(r.log.Publisher().Published().Note)
	check(t, err)
	if cp, err := proofs.ParseCheckpoint(note.Text); err != nil || len(cp.Extensions) != 0 {
		t.Errorf("checkpoint %+v, %v", cp, err)
	}
	r.close(t)
	check(t, r.end(t)) // once more, for new cosignatures

	// A ledger that does not say so, as one that was made anew: the tree does.
	r.Ledger.Record.Ended = false
	check(t, r.tryOpen(t))
	if !r.log.Publisher().Ended() {
		t.Error("a ledger that says nothing lets the log go on")
	}
	if err := r.log.End(t.Context()); err == nil || len(r.Storage.Entries()) != before+1 {
		t.Errorf("ended without being opened for it: %v", err)
	}
	check(t, errors.Join(r.state.Close(), r.blobs.Close()))
	rec, err := maintain.RecordFromCheckpoint(t.Context(), r.log.Publisher().Published().Note, []proofs.Key{r.Cfg.Signer.Key()}, r.Storage, logtest.Record(t, r.Cfg.Signer, 0))
	if err != nil || !rec.Ended {
		t.Errorf("made anew from the checkpoint: %+v, %v", rec, err)
	}
	r.log = nil
	r.Ledger.Record.Ended = true

	// Something is written behind the end: the log does not start, nor does it
	// sign while it is open.
	check(t, r.tryOpen(t))
	p := r.log.Publisher()
	_, err = r.Storage.Append(t.Context(), [][]byte{[]byte(leaf.End)})
	check(t, err)
	logtest.WantHalt(t, p.Extend(t.Context(), nil), "1 entries behind the log's end, which is entry "+strconv.Itoa(before))
	check(t, errors.Join(r.state.Close(), r.blobs.Close()))
	r.log = nil
	for _, ending := range []bool{false, true} {
		r.Cfg.Ending = ending
		logtest.WantHalt(t, r.tryOpen(t), "1 entries behind the log's end")
	}
	r.Cfg.Ending = false
	if got := r.Ledger.Record.Edge.Tree().N; got != int64(before+1) {
		t.Errorf("the ledger went on to size %d", got)
	}

	// An older ledger, and storage with the end: only freeze signs it.
	r.Storage.Truncate(before + 1)
	r.Ledger.Record = older
	check(t, r.Cfg.Checkpoints.(*logdir.Checkpoint).Store(t.Context(), older.Note))
	logtest.WantHalt(t, r.tryOpen(t), "the log's end, entry "+strconv.Itoa(before)+", and the log has not signed it")
	check(t, r.end(t))
	if !r.Ledger.Record.Ended {
		t.Error("the end was not signed")
	}
}

// An end whose append was broken off is taken up by the next attempt, and an end in
// the middle of what was appended ends nothing.
func TestEndBrokenOff(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 2)
	f.Append(1)
	_, err := f.Storage.Append(t.Context(), [][]byte{[]byte(leaf.End)})
	check(t, err)
	f.WantHalt("the log's end, entry 3")
	f.Cfg.Ending = true
	p := f.Open()
	check(t, p.Extend(t.Context(), nil))
	if !p.Ended() || p.Tree().N != 4 {
		t.Errorf("ended %v at %d", p.Ended(), p.Tree().N)
	}
	f.Append(1)
	p = f.Open()
	logtest.WantHalt(t, p.Extend(t.Context(), nil), "1 entries behind the log's end, which is entry 3")
	if p.Ended() || f.Ledger.Record.Edge.Tree().N != 2 {
		t.Error("signed what has something behind its end")
	}
}

// What storage has as the last entry must be what was signed.
func TestLastEntryIsProved(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 3)
	f.Cfg.Storage = &liar{f.Storage, []byte(leaf.End)}
	f.WantHalt("the last entry of the tree of size 3, entry 2, is not the one that the tree has")
}

// liar is storage whose entries are not those of its tiles.
type liar struct {
	log.Storage
	entry []byte
}

func (l *liar) ReadEntries(_ context.Context, index int64, width int) ([]byte, error) {
	var b []byte
	for range width {
		var err error
		if b, err = proofs.AppendEntry(b, l.entry); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// The ledger alone stops a publisher that does not know of the end.
func TestSignedEndStays(t *testing.T) {
	f := logtest.New(t)
	p := f.Open()
	f.Grow(p, 2)
	ended := f.Ledger.Record
	ended.Ended = true
	f.Ledger.Record = ended
	p = f.Open()
	if !p.Ended() {
		t.Error("the ledger is not believed")
	}
	f.Append(1)
	f.WantHalt("1 entries behind the log's end")
}

func ready(t *testing.T, r *running) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.http.URL+"/readyz", nil)
	check(t, err)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(b)
}
