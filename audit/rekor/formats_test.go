package rekor_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/proofs"
)

// TestFormatsReceipt verifies the example of docs/formats.md, section Receipt.
func TestFormatsReceipt(t *testing.T) {
	page := docpage.Read(t, "formats.md")
	var file bytes.Buffer
	if err := json.Compact(&file, docpage.Example(t, page, "receipt")); err != nil {
		t.Fatal(err)
	}
	file.WriteByte('\n')
	r, err := rekor.ParseReceipt(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	log, err := proofs.ParseKey(strings.TrimSpace(string(docpage.Example(t, page, "receipt-log-key"))))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(docpage.Example(t, page, "receipt-rekor-key"))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := r.Verify(log, []crypto.PublicKey{key}); err != nil || a.Size != 1 || a.LogIndex != 1 || a.LogID != "rekor.example" {
		t.Errorf("%+v, %v", a, err)
	}
	if rekor.MaxReceiptSize != 768<<10 {
		t.Errorf("receipts have at most %d bytes, the page says 768 KiB", rekor.MaxReceiptSize)
	}
}
