package gate

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// The examples of docs/formats.md, section Gate, are what the code writes, and it reads them.
func TestFormatsGate(t *testing.T) {
	page := docpage.Read(t, "formats.md")
	want := func(name, text string) {
		t.Helper()
		if got := docpage.Example(t, page, name); string(got) != text {
			t.Errorf("the example %s should be\n%s", name, text)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	gate, vendor := keyOf(bytes.Repeat([]byte{0x18}, ed25519.SeedSize)), keyOf(bytes.Repeat([]byte{0x81}, ed25519.SeedSize))
	want("gate-key", gate.Private()+"\n")
	if again, err := ParseKey(strings.TrimSuffix(string(docpage.Example(t, page, "gate-key")), "\n")); err != nil || again.String() != gate.String() {
		t.Errorf("the example of a key is read as %v, %v", again, err)
	}
	answered := func(v any) string {
		t.Helper()
		w := httptest.NewRecorder()
		answer(w, http.StatusOK, v)
		return w.Body.String()
	}
	want("gate-public-key", answered(gate.Public()))

	root, err := tuf.ParseJSON(docpage.Example(t, page, "root"))
	must(err)
	repository := root.PayloadDigest
	payload := fmt.Sprintf(`{"_type":"timestamp","expires":"2026-12-07T00:00:00Z","meta":{"snapshot.json":{"hashes":{"sha256":"%v"},"version":1}},"spec_version":"1.0.31","version":7}`, tuf.Sum(docpage.Example(t, page, "snapshot")))
	sig, err := vendor.sign([]byte(payload))
	must(err)
	file := fmt.Sprintf(`{"signatures":[{"keyid":"%s","sig":"%x"}],"signed":%s}`, vendor.Public().KeyID, sig, payload)
	m, err := parseTimestamp([]byte(file))
	must(err)
	sig, err = gate.sign(m.Payload)
	must(err)
	a := &client.Answer{Signature: client.Signature{KeyID: gate.Public().KeyID, Sig: hex.EncodeToString(sig)}, Version: m.Version, Payload: m.PayloadDigest}
	want("gate-answer", answered(a))
	merged, err := client.Merge(m.File, a.Signature)
	must(err)
	want("gate-record", string(marshalRecord(repository, merged))+"\n")
	read, err := parseRecord(repository, bytes.TrimSuffix(docpage.Example(t, page, "gate-record"), []byte("\n")))
	if err != nil || read.Version != 7 || len(read.Signatures) != 2 {
		t.Errorf("the example of a record is read as %+v, %v", read, err)
	}
	w := httptest.NewRecorder()
	fail(w, refuse(verify.CodeNotLogged, tuf.RoleTargets, "no proof lies beside version 7"))
	want("gate-refusal", w.Body.String())
	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("not-logged has the status %d", w.Code)
	}
	if url, err := parseURLRequest(docpage.Example(t, page, "gate-url")); err != nil || url != "https://staging.acme.example/build-7/" {
		t.Errorf("the example of a request is read as %q, %v", url, err)
	}
	want("gate-status", answered([]client.Status{{Name: "acme", Repository: repository, Version: 7, Payload: m.PayloadDigest, Expires: &m.Expires, Root: 1, InRole: true, Certain: true}}))

	// The table of statuses is StatusOf's.
	for _, code := range append(client.Codes(), verify.CodeRollback, verify.CodeSecondPayload, verify.CodeNetwork) {
		if line := fmt.Sprintf("| %d | ", client.StatusOf(code)); client.StatusOf(code) != http.StatusUnprocessableEntity && !rowHas(string(page), line, fmt.Sprintf("`%s`", code)) {
			t.Errorf("no row %q with %s", line, code)
		}
	}
}

func rowHas(page, row, word string) bool {
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, row) && strings.Contains(line, word) {
			return true
		}
	}
	return false
}

// The names in the table of a staged tar file are what Staged.Tar writes.
func TestFormatsStagedTar(t *testing.T) {
	dir := staged(t)
	proof := filepath.Join(dir, "1.targets.json"+verify.SidecarSuffix)
	if err := os.WriteFile(proof, []byte("a proof"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := client.ReadStaged(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Tar()
	if err != nil {
		t.Fatal(err)
	}
	files, err := readTar(bytes.NewReader(b), fuzzLimits, func([]byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	page := string(docpage.Read(t, "formats.md"))
	_, section, _ := strings.Cut(page, "\n## Gate\n")
	for name := range files {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("the page does not name %s", name)
		}
	}
}
