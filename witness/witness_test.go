package witness_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

func TestCosigns(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	old := int64(0)
	for _, grow := range []int64{0, 0, 1, 1, 6, 0, 247, 1, 300} {
		b.log.Grow(grow, "")
		// "If all the checks above pass, the witness MUST update its record of
		// the latest cosigned checkpoint and respond with a "200 Success" HTTP
		// status code. […] The signatures MUST be cosignatures from the witness
		// key(s) on the checkpoint."
		if got := b.cosign(b.log.Request(old)); got != b.now().Unix() {
			t.Fatalf("time %d", got)
		}
		if got := b.latest(); got != b.log.Checkpoint().Tree {
			t.Fatalf("monitoring prefix has size %d", got.N)
		}
		old = b.log.Size()
	}
}

func TestCosignsExtensions(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.log.Grow(3, "")
	cp := b.log.Checkpoint()
	cp.Extensions = []string{"one", "two words"}
	b.cosign(client.Request{Checkpoint: b.log.Sign(cp)})
}

func TestMalformed(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.log.Grow(3, "")
	good := b.log.Request(0)
	note := string(good.Checkpoint)
	b.log.Grow(1, "")
	proof := b.log.Request(3)
	hash := base64.StdEncoding.EncodeToString(proof.Proof[0][:])
	for name, body := range map[string]string{
		"empty":             "",
		"no newline at all": "old 0",
		// "The old size line MUST consist of the string old, a single space
		// (0x20), and the tree size of the previous checkpoint encoded as an
		// ASCII decimal with no leading zeroes (unless the size is zero, in
		// which case the encoding MUST be 0)."
		"no old":           "\n" + note,
		"capital old":      "Old 0\n\n" + note,
		"two spaces":       "old  0\n\n" + note,
		"tab":              "old\t0\n\n" + note,
		"no size":          "old \n\n" + note,
		"leading zero":     "old 00\n\n" + note,
		"plus":             "old +0\n\n" + note,
		"minus":            "old -0\n\n" + note,
		"hex":              "old 0x0\n\n" + note,
		"trailing space":   "old 0 \n\n" + note,
		"size over int64":  "old 9223372036854775808\n\n" + note,
		"carriage returns": "old 0\r\n\r\n" + note,
		// "Each consistency proof line MUST encode a single hash in base64."
		"short hash":         "old 0\n" + hash[:40] + "\n\n" + note,
		"two hashes a line":  "old 0\n" + hash + hash + "\n\n" + note,
		"no base64":          "old 0\n" + strings.Repeat("!", 44) + "\n\n" + note,
		"not canonical":      "old 0\n" + strings.Repeat("/", 43) + "=\n\n" + note,
		"carriage return":    "old 0\n" + hash + "\r\n\n" + note,
		"space after hash":   "old 0\n" + hash + " \n\n" + note,
		"no empty line":      "old 0\n" + note,
		"nothing follows":    "old 0\n\n",
		"two empty lines":    "old 0\n\n\n" + note,
		"63 lines and one":   "old 0\n" + strings.Repeat(hash+"\n", 64) + "\n" + note,
		"no final newline":   "old 0\n\n" + strings.TrimSuffix(note, "\n"),
		"unsigned":           "old 0\n\n" + note[:strings.Index(note, "\n\n")+2],
		"text only":          "old 0\n\n" + note[:strings.Index(note, "\n\n")+1],
		"signature garbled":  "old 0\n\n" + strings.Replace(note, "— log.example ", "— log.example  ", 1),
		"size with a zero":   "old 0\n\n" + strings.Replace(note, "\n3\n", "\n03\n", 1),
		"negative size":      "old 0\n\n" + strings.Replace(note, "\n3\n", "\n-3\n", 1),
		"no root":            "old 0\n\nlog.example\n3\n\n— log.example AAAAAAAA\n",
		"empty, bad root":    "old 0\n\nlog.example\n0\nAAAA\n\n— log.example AAAAAAAA\n",
		"empty, lax root":    "old 0\n\nlog.example\n0\n" + strings.Repeat("/", 43) + "=\n\n— log.example AAAAAAAA\n",
		"empty extension":    "old 0\n\n" + strings.Replace(note, "=\n\n", "=\n\nx\n\n", 1),
		"not UTF-8":          "old 0\n\n" + strings.Replace(note, "log.example", "log\xffexample", 2),
		"control characters": "old 0\n\n" + strings.Replace(note, "log.example", "log\x01example", 2),
	} {
		t.Run(name, func(t *testing.T) {
			if a := b.post([]byte(body)); a.status != http.StatusBadRequest || a.body == "" {
				t.Errorf("status %d, %q; want 400 and a reason", a.status, a.body)
			}
		})
	}
	if got := b.latest(); got.N != -1 {
		t.Fatalf("something was cosigned, size %d", got.N)
	}
}

func TestBodyLimit(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.log.Grow(3, "")
	cp := b.log.Checkpoint()
	fill := func(n int) client.Request {
		cp.Extensions = []string{strings.Repeat("x", n)}
		return client.Request{Checkpoint: b.log.Sign(cp)}
	}
	room := client.MaxRequestSize - len(fill(1).Marshal()) + 1
	b.expect(b.post(fill(room+1).Marshal()), http.StatusRequestEntityTooLarge, "larger than 65536 bytes")
	b.cosign(fill(room))
}

func TestSignatures(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.log.Grow(3, "")
	text := b.log.Checkpoint().String()
	log, second := b.log.Signer, witnesstest.NewSigner(t, "log.example", proofs.Ed25519)
	stranger := witnesstest.NewSigner(t, "stranger.example", proofs.Ed25519)
	impostor := witnesstest.NewSigner(t, "log.example", proofs.Ed25519)
	if err := b.store.AddKey(t.Context(), "", second.Key()); err != nil {
		t.Fatal(err)
	}
	// A note whose line names one of the keys but signs something else.
	falsely := func(s *proofs.Signer) string {
		sig, err := s.Sign("something else\n", 0)
		if err != nil {
			t.Fatal(err)
		}
		return sig.String()
	}
	request := func(note string) []byte { return []byte("old 0\n\n" + note) }
	signed := func(signers ...*proofs.Signer) string { return string(witnesstest.SignText(t, text, signers...)) }

	// "The witness MUST respond with a "403 Forbidden" HTTP status code if
	// either no signature from a trusted key for the origin is present, or a
	// signature line's key name and ID match a trusted key but the signature
	// itself fails to verify (such a note is malformed per signed-note)."
	for name, note := range map[string]string{
		"stranger":              signed(stranger),
		"impostor":              signed(impostor),
		"false":                 text + "\n" + falsely(log),
		"true and false":        signed(log) + falsely(log),
		"false and true":        text + "\n" + falsely(log) + strings.TrimPrefix(signed(log), text+"\n"),
		"one true, other false": signed(log) + falsely(second),
		"stranger and false":    signed(stranger) + falsely(second),
		"witness":               signed(witnesstest.NewSigner(t, "log.example", proofs.CosignatureV1)),
	} {
		t.Run(name, func(t *testing.T) {
			b.expect(b.post(request(note)), http.StatusForbidden, "")
		})
	}
	if got := b.latest(); got.N != -1 {
		t.Fatalf("something was cosigned, size %d", got.N)
	}

	// "If the checkpoint origin is unknown, the witness MUST respond with a
	// "404 Not Found" HTTP status code."
	other := witnesstest.NewLog(t, "other.example")
	b.expect(b.post(other.Request(0).Marshal()), http.StatusNotFound, "other.example")
	mixed := witnesstest.SignText(t, other.Checkpoint().String(), log)
	b.expect(b.post(request(string(mixed))), http.StatusNotFound, "")

	// "The witness MUST verify the checkpoint signature against the public
	// key(s) it trusts for the checkpoint origin, and it MUST ignore signatures
	// from unknown keys."
	for i, note := range []string{
		signed(log), signed(second), signed(log, second), signed(log, log), signed(stranger, log),
		signed(impostor, second) + falsely(stranger) + falsely(impostor),
	} {
		a := b.post(fmt.Appendf(nil, "old %d\n\n%s", min(i*3, 3), note))
		b.expect(a, http.StatusOK, "")
		b.checkSignatures(a.body, []byte(note))

		// The monitoring prefix has what the witness verified, each key once.
		latest, err := proofs.ParseNote([]byte(b.do("GET", "/"+witness.HashOrigin("log.example").String()+"/checkpoint", nil).body))
		if err != nil {
			t.Fatal(err)
		}
		sent, err := proofs.ParseNote([]byte(note))
		if err != nil {
			t.Fatal(err)
		}
		var got, want []uint32
		for _, k := range []proofs.Key{log.Key(), second.Key(), b.key} {
			if k == b.key || slices.ContainsFunc(sent.Signatures, func(s proofs.Signature) bool { return s.KeyID == k.ID() }) {
				want = append(want, k.ID())
			}
		}
		for _, s := range latest.Signatures {
			got = append(got, s.KeyID)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("signatures by %x, want %x", got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.log.Grow(5, "")
	at5 := b.log.Request(0)

	// "The old size MUST be equal to or lower than the checkpoint size.
	// Otherwise, the witness MUST respond with a "400 Bad Request" HTTP status
	// code."
	b.expect(b.post(client.Request{OldSize: 6, Checkpoint: at5.Checkpoint}.Marshal()), http.StatusBadRequest, "old size 6")

	// "The witness MUST check that the old size matches the size of the latest
	// checkpoint it cosigned for the checkpoint's origin (or zero if it never
	// cosigned a checkpoint for that origin). If it doesn't match, the witness
	// MUST respond with a "409 Conflict" HTTP status code. The response body
	// MUST consist of the tree size of the latest cosigned checkpoint in
	// decimal, followed by a newline (U+000A). The response MUST have a
	// Content-Type of text/x.tlog.size."
	b.expectConflict(b.post(client.Request{OldSize: 3, Checkpoint: at5.Checkpoint}.Marshal()), 0)
	b.expectConflict(b.post(client.Request{OldSize: 5, Checkpoint: at5.Checkpoint}.Marshal()), 0)
	b.cosign(at5)
	b.expectConflict(b.post(at5.Marshal()), 5)
	b.log.Grow(4, "")
	for old := range int64(10) {
		if r := b.log.Request(old); old != 5 {
			b.expectConflict(b.post(r.Marshal()), 5)
		}
	}

	// The old size counts before the proof: a client that does not know it
	// sends none.
	b.expectConflict(b.post(client.Request{Checkpoint: b.log.Request(0).Checkpoint}.Marshal()), 5)

	// A checkpoint smaller than the latest one can only be refused.
	small := b.log.Fork()
	b.cosign(b.log.Request(5))
	b.log.Grow(1, "")
	b.cosign(b.log.Request(9))
	b.expectConflict(b.post(small.Request(9).Marshal()), 10)
	b.expect(b.post(client.Request{OldSize: 10, Checkpoint: small.Request(0).Checkpoint}.Marshal()), http.StatusBadRequest, "")
	if got := b.latest(); got != b.log.Checkpoint().Tree {
		t.Fatalf("latest has size %d", got.N)
	}
}

func TestFirstContact(t *testing.T) {
	wrong := proofs.Checkpoint{Origin: "log.example", Tree: proofs.Tree{Hash: proofs.LeafHash(nil)}}
	t.Run("empty tree with a wrong root", func(t *testing.T) {
		b := newBench(t, new(witnesstest.Memory))
		// "A checkpoint of size zero MUST have the root hash of the empty tree,
		// which RFC 6962, Section 2.1 defines as the hash of the empty string.
		// Otherwise, the witness MUST respond with a "422 Unprocessable Entity"
		// HTTP status code."
		r := client.Request{Checkpoint: b.log.Sign(wrong)}
		b.expect(b.post(r.Marshal()), http.StatusUnprocessableEntity, "empty tree")
		wrong.Extensions = []string{"an extension"}
		r.Checkpoint = b.log.Sign(wrong)
		b.expect(b.post(r.Marshal()), http.StatusUnprocessableEntity, "empty tree")

		// The earlier checks come first.
		stranger := witnesstest.NewSigner(t, "log.example", proofs.Ed25519)
		r.Checkpoint = witnesstest.SignText(t, wrong.String(), stranger)
		b.expect(b.post(r.Marshal()), http.StatusForbidden, "")
		r.Checkpoint, r.OldSize = b.log.Sign(wrong), 1
		b.expect(b.post(r.Marshal()), http.StatusBadRequest, "")
		b.log.Grow(1, "")
		b.cosign(b.log.Request(0))
		r.OldSize = 0
		b.expectConflict(b.post(r.Marshal()), 1)
	})
	t.Run("proof from nothing", func(t *testing.T) {
		b := newBench(t, new(witnesstest.Memory))
		// "The proof MUST be empty if the old size is zero."
		b.log.Grow(5, "")
		r := b.log.Request(3)
		r.OldSize = 0
		b.expect(b.post(r.Marshal()), http.StatusUnprocessableEntity, "none is needed")
		if got := b.latest(); got.N != -1 {
			t.Fatalf("something was cosigned, size %d", got.N)
		}
	})
	t.Run("proof from the empty tree", func(t *testing.T) {
		b := newBench(t, new(witnesstest.Memory))
		b.cosign(b.log.Request(0))
		b.log.Grow(5, "")
		r := b.log.Request(3)
		r.OldSize = 0
		b.expect(b.post(r.Marshal()), http.StatusUnprocessableEntity, "none is needed")
		b.cosign(b.log.Request(0))
	})
	t.Run("known log without a checkpoint", func(t *testing.T) {
		b := newBench(t, new(witnesstest.Memory))
		// "[…] or zero if it never cosigned a checkpoint for that origin"
		b.log.Grow(2, "")
		b.expectConflict(b.post(client.Request{OldSize: 2, Checkpoint: b.log.Request(0).Checkpoint}.Marshal()), 0)
	})
}

func TestInconsistent(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	b.log.Grow(5, "")
	fork := b.log.Fork()
	b.log.Grow(2, "")
	fork.Grow(2, "fork")
	b.cosign(b.log.Request(0))
	before := b.latest()

	// "If the old size matches the checkpoint size, the witness MUST check that
	// the root hashes are also identical." Where they are not, version 1.0.0
	// wants 409; the main branch wants 422, as for any other inconsistency, so
	// that every 409 carries a size.
	b.expect(b.post(fork.Request(7).Marshal()), http.StatusUnprocessableEntity, "was cosigned")

	// "The consistency proof lines MUST encode a Merkle Consistency Proof from
	// the old size to the checkpoint size according to RFC 6962, Section 2.1.2.
	// […] If the Merkle Consistency Proof doesn't verify, the witness MUST
	// respond with a "422 Unprocessable Entity" HTTP status code."
	same := b.log.Request(5)
	same.OldSize = 7
	b.expect(b.post(same.Marshal()), http.StatusUnprocessableEntity, "equal sizes")
	fork.Grow(3, "fork")
	b.expect(b.post(fork.Request(7).Marshal()), http.StatusUnprocessableEntity, "does not verify")
	b.log.Grow(3, "")
	good := b.log.Request(7)
	for name, proof := range map[string][]proofs.Hash{
		"none":      nil,
		"cut":       good.Proof[:len(good.Proof)-1],
		"longer":    append(slices.Clone(good.Proof), good.Proof[0]),
		"reordered": {good.Proof[1], good.Proof[0], good.Proof[2]},
	} {
		if bytes.Equal(good.Marshal(), client.Request{OldSize: 7, Proof: proof, Checkpoint: good.Checkpoint}.Marshal()) {
			t.Fatalf("%s: that is the good proof", name)
		}
		b.expect(b.post(client.Request{OldSize: 7, Proof: proof, Checkpoint: good.Checkpoint}.Marshal()), http.StatusUnprocessableEntity, "")
	}
	for i := range good.Proof {
		bad := slices.Clone(good.Proof)
		bad[i][31] ^= 1
		b.expect(b.post(client.Request{OldSize: 7, Proof: bad, Checkpoint: good.Checkpoint}.Marshal()), http.StatusUnprocessableEntity, "")
	}
	// "[…] but MUST NOT cosign the checkpoint"
	if got := b.latest(); got != before {
		t.Fatalf("latest has size %d", got.N)
	}
	b.cosign(good)
}

func TestTimesNeverRunBackwards(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	signer := witnesstest.NewSigner(t, "witness.example/w1", proofs.CosignatureV1)
	b.key = signer.Key()
	var last int64
	for i, clock := range []int64{1_700_000_000, 1_700_000_007, 1_699_999_000, 1_699_996_407, 1_700_000_008, 1_700_000_003} {
		if i == 4 || i == 2 {
			b.log.Grow(1, "")
		}
		b.setClock(clock)
		b.restart(signer) // the memory is the store's, not the process's
		old := max(b.latest().N, 0)
		got := b.cosign(b.log.Request(old))
		if want := max(clock, last); got != want {
			t.Fatalf("clock %d gives time %d, want %d", clock, got, want)
		}
		last = got
	}
}

func TestNoTimeNoCosignature(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	// "The cosignature MUST NOT omit the timestamp, i.e. the timestamp MUST NOT
	// be zero."
	b.setClock(0)
	b.expect(b.post(b.log.Request(0).Marshal()), http.StatusInternalServerError, "internal error")
	if got := b.latest(); got.N != -1 {
		t.Fatalf("something was cosigned, size %d", got.N)
	}
}

// failing is a Store whose updates fail.
type failing struct{ witnesstest.Store }

func (failing) Update(context.Context, witness.OriginHash, *proofs.Tree, witness.Latest) error {
	return fmt.Errorf("disk full at /var/lib/secret")
}

// watched fails the test when something is signed that was not persisted.
type watched struct {
	witness.Signer
	check func(text string, unix int64)
}

func (w watched) Sign(text string, unix int64) (proofs.Signature, error) {
	w.check(text, unix)
	return w.Signer.Sign(text, unix)
}

func TestPersistsBeforeSigning(t *testing.T) {
	store := new(witnesstest.Memory)
	b := newBench(t, failing{store})
	signer := witnesstest.NewSigner(t, "witness.example/w1", proofs.CosignatureV1)
	b.key = signer.Key()
	b.restart(watched{signer, func(string, int64) { t.Error("signed although nothing was persisted") }})
	b.log.Grow(3, "")
	// "The witness MUST persist the new checkpoint before responding."
	a := b.post(b.log.Request(0).Marshal())
	b.expect(a, http.StatusInternalServerError, "internal error")
	if strings.Contains(a.body, "disk full") {
		t.Fatalf("the answer says too much: %q", a.body)
	}
	b.store = store
	b.restart(watched{signer, func(text string, unix int64) {
		l, err := store.Log(context.Background(), witness.HashOrigin("log.example"))
		if err != nil || l.Latest == nil || !strings.HasPrefix(string(l.Latest.Note), text) || l.Latest.Time != unix {
			t.Errorf("signing %q at %d, persisted %+v, %v", text, unix, l.Latest, err)
		}
	}})
	b.cosign(b.log.Request(0))
}

func TestMonitoringPrefix(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	hash := witness.HashOrigin("log.example").String()
	// Nothing cosigned, unknown log, and hashes in another spelling.
	for _, path := range []string{hash, witness.HashOrigin("other.example").String(), strings.ToUpper(hash), hash[:62], hash + "00", "log.example"} {
		b.expect(b.do("GET", "/"+path+"/checkpoint", nil), http.StatusNotFound, "")
	}
	b.log.Grow(3, "")
	b.cosign(b.log.Request(0))
	a := b.do("GET", "/"+hash+"/checkpoint", nil)
	b.expect(a, http.StatusOK, "log.example\n3\n")
	if a.typ != "text/plain; charset=utf-8" {
		t.Fatalf("type %q", a.typ)
	}
	b.expect(b.do("GET", "/"+strings.ToUpper(hash)+"/checkpoint", nil), http.StatusNotFound, "")
	again := b.do("GET", "/"+hash+"/checkpoint", nil)
	b.setClock(1_800_000_000)
	if later := b.do("GET", "/"+hash+"/checkpoint", nil); later != again || again != a {
		t.Fatalf("the checkpoint changed without a new one: %q, %q, %q", a.body, again.body, later.body)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	b := newBench(t, new(witnesstest.Memory))
	// "The request MUST be an HTTP POST."
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		b.expect(b.do(method, "/add-checkpoint", nil), http.StatusMethodNotAllowed, "")
	}
	b.expect(b.do("GET", "/nothing", nil), http.StatusNotFound, "")
	b.expect(b.do("GET", "/healthz", nil), http.StatusOK, "ok\n")
	b.expect(b.do("GET", "/readyz", nil), http.StatusOK, "ok\n")
}

// A witness that cannot store what it cosigns is not ready, and is well otherwise.
func TestNoRoom(t *testing.T) {
	w, err := witness.New(witness.Config{
		Store: new(witnesstest.Memory), Signers: []witness.Signer{witnesstest.NewSigner(t, "w.example", proofs.CosignatureV1)},
		Room: func() error { return errors.New("/srv/witness: no space left on device") },
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/readyz": http.StatusServiceUnavailable, "/healthz": http.StatusOK} {
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if rec.Code != want || want != http.StatusOK && !strings.Contains(rec.Body.String(), "read or written") {
			t.Errorf("GET %s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	log := witnesstest.NewSigner(t, "log.example", proofs.Ed25519)
	for _, c := range []witness.Config{
		{},
		{Store: new(witnesstest.Memory)},
		{Signers: []witness.Signer{witnesstest.NewSigner(t, "w", proofs.CosignatureV1)}},
		{Store: new(witnesstest.Memory), Signers: []witness.Signer{log}},
	} {
		if _, err := witness.New(c); err == nil {
			t.Errorf("a witness was made of %+v", c)
		}
	}
}
