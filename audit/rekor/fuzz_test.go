package rekor_test

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// FuzzReceipt reads and verifies receipts.
func FuzzReceipt(f *testing.F) {
	v := newVendorlog(f)
	var keys []crypto.PublicKey
	for _, version := range []int{1, 2} {
		l := newLedger(f, version)
		keys = append(keys, l.Private.Public())
		for size := range int64(3) {
			r, err := l.instance().Submit(f.Context(), v.note(f, size+1), v.key)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(r.Marshal())
		}
	}
	f.Add([]byte(`{"tuflog-anchor":1,"instance":"x","version":1,"note":"x","entry":{"body":null,"verification":{"inclusionProof":{}}}}` + "\n"))
	f.Add([]byte(`{"tuflog-anchor":1,"instance":"x","version":2,"note":"x","entry":{"inclusionProof":{"checkpoint":null}}}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := rekor.ParseReceipt(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Marshal(), b) {
			t.Fatalf("%q is printed %q", b, r.Marshal())
		}
		checkVerified(t, r, v.key, keys)
		// The entry behind a note that is right.
		r.Note = v.note(t, 1)
		checkVerified(t, r, v.key, keys)
	})
}

func checkVerified(t *testing.T, r *rekor.Receipt, key proofs.Key, keys []crypto.PublicKey) {
	t.Helper()
	a, err := r.Verify(key, keys)
	index, at, claim := r.Claim()
	if err == nil && (a.Digest != digest(r.Note) || claim != nil || a.LogIndex != index || !a.Time.Equal(at)) {
		t.Fatalf("digest %x of %q, index %d, %v; claims %d, %v, %v", a.Digest, r.Note, a.LogIndex, a.Time, index, at, claim)
	}
}

// canned is a server that gives some answers.
type canned func(req *http.Request) (status int, header http.Header, body []byte)

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	status, header, body := c(req)
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: -1, Request: req,
	}, nil
}

func (l *ledger) canned(t testing.TB, c canned) *rekor.Instance {
	cfg := l.Config()
	cfg.Client = &http.Client{Transport: c}
	i, err := rekor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// FuzzAnswersV1 gives Rekor v1's client any answer to each of its requests.
func FuzzAnswersV1(f *testing.F) {
	l, v := newLedger(f, 1), newVendorlog(f)
	note := v.note(f, 1)
	if _, err := l.instance().Submit(f.Context(), note, v.key); err != nil {
		f.Fatal(err)
	}
	var answers [][]byte
	resp := func(method, path, body string) {
		req, err := http.NewRequest(method, l.url+path, strings.NewReader(body))
		if err != nil {
			f.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			f.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			f.Fatal(err)
		}
		answers = append(answers, b)
		f.Add(uint16(resp.StatusCode), b)
	}
	resp("GET", "/api/v1/log/entries/"+l.UUID(0), "")
	resp("POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["`+l.UUID(0)+`"]}`)
	resp("GET", "/api/v1/log", "")
	resp("GET", "/api/v1/log/publicKey", "")
	f.Add(uint16(201), answers[0])
	f.Add(uint16(409), []byte(`{"code":409}`))
	f.Add(uint16(200), []byte(`[null,{"x":null}]`))
	f.Add(uint16(201), []byte(`{"x":{"body":null,"verification":{"inclusionProof":{"checkpoint":null}}}}`))
	id := []byte(`["` + l.UUID(0) + `"]`)
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		i := l.canned(t, func(req *http.Request) (int, http.Header, []byte) {
			header := http.Header{"Content-Type": {"application/json"}}
			if strings.HasSuffix(req.URL.Path, "/publicKey") {
				header.Set("Content-Type", "application/x-pem-file")
			}
			if strings.HasSuffix(req.URL.Path, "/index/retrieve") && status%2 == 0 {
				return 200, header, id
			}
			return int(status)%500 + 100, header, body
		})
		if r, err := i.Submit(t.Context(), note, v.key); err == nil {
			checkVerified(t, r, v.key, l.Config().Keys)
		} else if !isOfAKind(err) {
			t.Fatalf("an error of no kind: %v", err)
		}
		for listed, err := range i.List(t.Context(), v.key, nil) {
			a := listed.Anchor
			if err == nil && a != nil && a.Digest != digest(note) {
				t.Fatalf("%+v", a)
			}
			if err != nil && !isOfAKind(err) {
				t.Fatalf("an error of no kind: %v", err)
			}
		}
		if at, err := i.Follow(t.Context(), rekor.Position{}); err == nil && at.Checkpoint != l.checkpointText(at.Checkpoint) {
			t.Fatalf("%q", at.Checkpoint)
		}
		if _, err := i.PublicKey(t.Context()); err != nil && !isOfAKind(err) {
			t.Fatalf("an error of no kind: %v", err)
		}
	})
}

// checkpointText returns a signed note if it is of the ledger's only tree.
func (l *ledger) checkpointText(signed string) string {
	n, err := proofs.ParseNote([]byte(signed))
	if err != nil {
		return ""
	}
	want, err := proofs.ParseNote([]byte(l.CheckpointV1()))
	if err != nil || n.Text != want.Text {
		return ""
	}
	return signed
}

func isOfAKind(err error) bool {
	for _, kind := range []error{rekor.ErrMisbehaved, rekor.ErrRefused, rekor.ErrUnavailable, rekor.ErrUnknownKey} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// FuzzAnswersV2 gives Rekor v2's client any answer to a submission.
func FuzzAnswersV2(f *testing.F) {
	l, v := newLedger(f, 2), newVendorlog(f)
	note := v.note(f, 1)
	r, err := l.instance().Submit(f.Context(), note, v.key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(201), "", []byte(r.Entry))
	f.Add(uint16(409), "0", []byte(`{}`))
	f.Add(uint16(500), "", []byte(`{"message":"x"}`))
	f.Add(uint16(201), "", []byte(`{"inclusionProof":{"checkpoint":null}}`))
	f.Fuzz(func(t *testing.T, status uint16, index string, body []byte) {
		i := l.canned(t, func(req *http.Request) (int, http.Header, []byte) {
			header := http.Header{"X-Log-Index": {index}}
			if req.Method == http.MethodPost {
				return int(status)%500 + 100, header, body
			}
			return 200, header, body
		})
		if r, err := i.Submit(t.Context(), note, v.key); err == nil {
			checkVerified(t, r, v.key, l.Config().Keys)
		} else if !isOfAKind(err) {
			t.Fatalf("an error of no kind: %v", err)
		}
	})
}

// FuzzBundle scans a bundle of entries: under a root that is the bundle's own, since otherwise
// nothing is read of it, and under the one of another.
func FuzzBundle(f *testing.F) {
	l, v := newLedger(f, 2), newVendorlog(f)
	for size := range int64(2) {
		if _, err := l.instance().Submit(f.Context(), v.note(f, size+1), v.key); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(bundleOf(l.Leaves), true)
	f.Add(bundleOf(l.Leaves), false)
	f.Add(bundleOf(append(l.Leaves, []byte(`{"kind":"hashedrekord","apiVersion":"0.0.2","spec":null}`), []byte("null"))), true)
	f.Fuzz(func(t *testing.T, bundle []byte, own bool) {
		leaves := l.Leaves
		if own {
			var err error
			if leaves, err = proofs.ParseEntries(bundle); err != nil || len(leaves) > 256 {
				return
			}
		}
		i := l.canned(t, func(req *http.Request) (int, http.Header, []byte) {
			path := strings.TrimPrefix(req.URL.Path, "/")
			if path == "checkpoint" {
				return 200, nil, []byte(l.CheckpointV2(leaves))
			}
			id, err := proofs.ParseTilePath(path)
			if err != nil {
				t.Fatal(err)
			}
			if id.Level == proofs.EntriesLevel {
				return 200, nil, bundle
			}
			data, err := rekortest.Memory(leaves).ReadTile(t.Context(), id.Level, id.Index, id.Width)
			if err != nil {
				return 404, nil, nil
			}
			return 200, nil, data
		})
		anchors, at, err := i.Scan(t.Context(), v.key, rekor.Position{})
		if err == nil && (!at.Done() || at.Next != uint64(len(leaves))) {
			t.Fatalf("%+v", at)
		}
		if err != nil && !isOfAKind(err) {
			t.Fatalf("an error of no kind: %v", err)
		}
		for _, a := range anchors {
			if a.Digest != digest(v.note(t, 1)) && a.Digest != digest(v.note(t, 2)) {
				t.Fatalf("an anchor that the log did not sign: %+v", a)
			}
		}
	})
}
