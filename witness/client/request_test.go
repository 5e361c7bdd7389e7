package client_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// specRequest is the example of the specification, signatures cut out.
const specRequest = `old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
`

func TestParseRequest(t *testing.T) {
	r, err := client.ParseRequest([]byte(specRequest))
	if err != nil {
		t.Fatal(err)
	}
	if r.OldSize != 20852014 || len(r.Proof) != 4 || r.Proof[3].String() != "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=" || !strings.HasPrefix(string(r.Checkpoint), "example.com/behind-the-sofa\n20852163\n") {
		t.Fatalf("parsed %+v", r)
	}
	if got := string(r.Marshal()); got != specRequest {
		t.Fatalf("printed %q", got)
	}
}

func TestRequestRoundTrip(t *testing.T) {
	for _, r := range []client.Request{
		{Checkpoint: []byte("x\n")},
		{OldSize: 1<<63 - 1, Checkpoint: []byte("\n")},
		{OldSize: 10, Proof: make([]proofs.Hash, client.MaxProofLines), Checkpoint: []byte("x\n\ny\n")},
	} {
		got, err := client.ParseRequest(r.Marshal())
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v became %+v, %v", r, got, err)
		}
	}
	// Marshal prints what ParseRequest must refuse.
	for _, r := range []client.Request{
		{},
		{OldSize: -1, Checkpoint: []byte("x\n")},
		{Proof: make([]proofs.Hash, client.MaxProofLines+1), Checkpoint: []byte("x\n")},
		{Checkpoint: []byte("x")},
		{Checkpoint: bytes.Repeat([]byte("\n"), client.MaxRequestSize)},
	} {
		if _, err := client.ParseRequest(r.Marshal()); err == nil {
			t.Errorf("%.100q was read", r.Marshal())
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(specRequest))
	f.Add([]byte("old 0\n\nx\n"))
	f.Add([]byte("old 00\n\nx\n"))
	f.Add([]byte("old 9223372036854775807\n" + strings.Repeat("/", 42) + "8=\n\n\n\n"))
	f.Add([]byte("old 1\r\n\r\nx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := client.ParseRequest(b)
		if err != nil {
			return
		}
		if got := r.Marshal(); !bytes.Equal(got, b) {
			t.Fatalf("read %q, printed %q", b, got)
		}
		if r.OldSize < 0 || len(r.Proof) > client.MaxProofLines || len(r.Checkpoint) == 0 {
			t.Fatalf("read %+v", r)
		}
	})
}
