package anchored

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// The time since when a log is not anchored stays that of the first checkpoint that is not, whatever
// the queue has room for, and whoever restarts the process.
func TestSinceStays(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	k := w.open()
	w.size++
	k.collect()
	began := w.now.Add(-24 * time.Hour).Truncate(time.Second)
	waiting, err := k.ledger.Folder.waiting()
	w.must(err)
	w.must(os.Chtimes(waiting[0].path, began, began))
	for range MaxQueue + 5 {
		w.size++
		k.collect()
	}
	if s := k.Status(); s.Since != began.Unix() || s.Queued != MaxQueue {
		t.Errorf("since %d, want %d, %d wait", s.Since, began.Unix(), s.Queued)
	}
	k = w.open()
	if k.resume(); k.Status().Since != began.Unix() {
		t.Errorf("after a restart since %d, want %d", k.Status().Since, began.Unix())
	}
	w.rekor.Set(func(l *rekortest.Ledger) { l.Instead = nil })
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Since != 0 || s.Size != w.size {
		t.Errorf("%+v", s)
	}
	if k = w.open(); true {
		k.resume()
	}
	if s := k.Status(); s.Since != 0 || s.Size != w.size || s.Time == 0 {
		t.Errorf("after a restart %+v", s)
	}
}

// What was refused counts as not anchored after a restart as well.
func TestRefusedIsRemembered(t *testing.T) {
	w := newKeepers(t, http.StatusForbidden)
	k := w.open()
	w.size++
	k.collect()
	k.submit(t.Context())
	since := k.Status().Since
	k = w.open()
	if k.resume(); since == 0 || k.Status().Since != since || k.Status().Queued != 0 {
		t.Errorf("%+v, want since %d", k.Status(), since)
	}
}

// A receipt that verifies, of a larger tree than the log has shown here, says nothing about the log's
// own: a victim's receipt may lie there.
func TestReceiptOfAnotherTree(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	w.rekor.Instead = nil
	k := w.open()
	w.size = 50
	k.collect()
	hidden := w.note(proofs.Tree{N: 50_000, Hash: proofs.Hash{7}}, w.signer)
	_, _, err := k.ledger.Submit(t.Context(), hidden)
	w.must(err)
	same := w.note(proofs.Tree{N: 50, Hash: proofs.Hash{7}}, w.signer)
	_, _, err = k.ledger.Submit(t.Context(), same)
	w.must(err)
	w.rekor.Set(func(l *rekortest.Ledger) {
		l.Instead = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true }
	})
	for range 2 {
		k.collect()
		k.submit(t.Context())
		if s := k.Status(); s.Since == 0 || s.Size != -1 || s.Queued != 1 {
			t.Errorf("%+v", s)
		}
		k = w.open()
	}
}

// What lies under the name of a receipt and is none does not keep a checkpoint from being anchored.
func TestNoReceiptUnderItsName(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	w.rekor.Instead = nil
	k := w.open()
	w.size = 3
	signed, _ := k.cfg.Newest()
	note, c, err := parseSigned(signed)
	w.must(err)
	l, err := k.opened()
	w.must(err)
	w.must(os.WriteFile(l.Folder.receiptFile(note, c), []byte("{}\n"), 0o644))
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Size != 3 || s.Since != 0 {
		t.Errorf("%+v", s)
	}
	if _, ok, err := l.has(note, c); err != nil || !ok {
		t.Errorf("no receipt, %v", err)
	}
}

// An audit that does not end delays no anchor, and ends with the context.
func TestSlowAudit(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	w.rekor.Instead = nil
	reading, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.rekor.ServeHTTP(rw, r)
			return
		}
		once.Do(func() { close(reading) })
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}))
	defer front.Close()
	defer close(end)
	w.url, w.size = front.URL, 5
	k := w.open()
	k.cfg.Now, k.cfg.Every = time.Now, 10*time.Millisecond
	var size atomic.Int64
	size.Store(5)
	k.cfg.Newest = func() ([]byte, int64) {
		return w.note(proofs.Tree{N: size.Load(), Hash: proofs.Hash{1}}, w.signer), size.Load()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	<-reading
	size.Store(6)
	for k.Status().Size != 6 {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	<-done
}

// A checkpoint without the signature that can be anchored is said, and counts as not anchored.
func TestUnsigned(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	w.rekor.Instead = nil
	k := w.open()
	w.size = 1
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Unsigned || s.Since != 0 {
		t.Errorf("%+v", s)
	}
	w.size, w.unsigned = 2, true
	k.collect()
	k.submit(t.Context())
	since := k.Status().Since
	if s := k.Status(); !s.Unsigned || since == 0 || s.Size != 1 || !strings.Contains(s.Trouble, "ECDSA") {
		t.Errorf("%+v", s)
	}
	k = w.open()
	if k.resume(); k.Status().Since != since {
		t.Errorf("after a restart %+v", k.Status())
	}
	w.unsigned = false
	k.collect()
	k.submit(t.Context())
	if s := k.Status(); s.Unsigned || s.Since != 0 || s.Size != 2 || s.Trouble != "" {
		t.Errorf("%+v", s)
	}
}

// Beside the receipts are the keys that verify them, once there is a receipt, and those alone.
func TestKeysBesideReceipts(t *testing.T) {
	w := newKeepers(t, http.StatusBadGateway)
	k := w.open()
	w.size = 1
	k.collect()
	k.submit(t.Context())
	if _, err := os.Stat(filepath.Join(w.dir, "r", "instance.json")); err == nil {
		t.Error("the keys are kept of an instance that has not answered")
	}
	w.rekor.Set(func(l *rekortest.Ledger) { l.Instead = nil })
	k.submit(t.Context())
	c, keys, err := KnownInstance(w.dir, "r")
	w.must(err)
	if c.URL != w.rekor.URL() || len(keys) != 1 || !sameKey(keys[0], k.keys[0]) {
		t.Errorf("%+v, %d keys", c, len(keys))
	}
}
