package log_test

import (
	"bytes"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/proofs"
)

func TestLedgerRecord(t *testing.T) {
	signer := logtest.NewSigner(t, "log.example", proofs.Ed25519)
	for _, n := range []int{0, 1, 2, 7, 256} {
		want := logtest.Marshal(t, logtest.Record(t, signer, n))
		r, err := log.ParseLedgerRecord(want)
		if err != nil || r.Edge.Tree().N != int64(n) {
			t.Fatalf("size %d: %v\n%s", n, err, want)
		}
		if got := logtest.Marshal(t, r); !bytes.Equal(got, want) {
			t.Fatalf("size %d: read\n%s\nprinted\n%s", n, want, got)
		}
		// Whatever part is lost or changed, the record is not believed: the
		// signature itself is verified when the log is opened.
		for cut := range want {
			if _, err := log.ParseLedgerRecord(want[:cut]); err == nil {
				t.Fatalf("size %d: accepted when cut to %d of %d bytes", n, cut, len(want))
			}
		}
		unsigned := bytes.LastIndex(want, []byte("— ")) // the signature's line
		if unsigned < 0 {
			unsigned = len(want)
		}
		for i := range unsigned {
			changed := bytes.Clone(want)
			changed[i] ^= 1
			r, err := log.ParseLedgerRecord(changed)
			// The time, and the origin where nothing is signed, stand alone.
			if err == nil && r.Signed == logtest.Record(t, signer, n).Signed && (n > 0 || r.Origin == "log.example") {
				t.Fatalf("size %d: accepted with byte %d changed:\n%s", n, i, changed)
			}
		}
	}
}

func TestLedgerRecordOfAnEnd(t *testing.T) {
	signer := logtest.NewSigner(t, "log.example", proofs.Ed25519)
	text := logtest.Marshal(t, logtest.EndRecord(t, signer, 7))
	r, err := log.ParseLedgerRecord(text)
	if err != nil || !r.Ended || !bytes.Equal(logtest.Marshal(t, r), text) {
		t.Errorf("read %+v, %v", r, err)
	}
	empty := logtest.Record(t, signer, 0)
	empty.Ended = true
	for name, bad := range map[string][]byte{
		"twice":          bytes.Replace(text, []byte("end\n"), []byte("end\nend\n"), 1),
		"elsewhere":      bytes.Replace(bytes.Replace(text, []byte("end\n"), nil, 1), []byte("root "), []byte("end\nroot "), 1),
		"of nothing":     logtest.Marshal(t, empty),
		"another word":   bytes.Replace(text, []byte("end\n"), []byte("ends\n"), 1),
		"behind a space": bytes.Replace(text, []byte("end\n"), []byte("end \n"), 1),
	} {
		if _, err := log.ParseLedgerRecord(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseLedgerRecord(f *testing.F) {
	signer := logtest.NewSigner(f, "log.example", proofs.Ed25519)
	for _, n := range []int{0, 1, 7} {
		f.Add(logtest.Marshal(f, logtest.Record(f, signer, n)))
	}
	f.Add(logtest.Marshal(f, logtest.EndRecord(f, signer, 7)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := log.ParseLedgerRecord(b)
		if err != nil {
			return
		}
		if again := logtest.Marshal(t, r); !bytes.Equal(again, b) {
			t.Fatalf("read\n%q\nprinted\n%q", b, again)
		}
	})
}
