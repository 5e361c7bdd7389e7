package rekor

import (
	"crypto"
	"encoding/json"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/tuflog/tuflog/proofs"
)

// Receipt is what remains of a submission: a note and the entry that Rekor made of it. As a
// file it is JSON:
//
//	{"tuflog-anchor": 1, "instance": NAME, "version": 1, "note": "…", "entry": {…}}
type Receipt struct {
	Instance string // Config.Name of the instance
	Version  int    // of Rekor: 1 or 2
	Note     []byte // the signed note whose text is anchored
	// Entry is what Rekor answered: of v1 a LogEntryAnon, of v2 a TransparencyLogEntry, both
	// in JSON.
	Entry json.RawMessage
}

// ParseReceipt reads a receipt, of at most MaxReceiptSize bytes. It verifies nothing.
func ParseReceipt(b []byte) (*Receipt, error) { return nil, errNotBuilt }

// Marshal prints the receipt as ParseReceipt reads it, and a newline.
func (r *Receipt) Marshal() []byte { return nil }

// Verify checks the receipt offline: that log, a key of type proofs.ECDSA, signed the note, which
// is a checkpoint of that log's origin; that the entry is of that digest, signature and key;
// that it is in the tree of Rekor's checkpoint, and that one of rekorKeys signed
// that checkpoint (of v1, also the promise of index and time).
func (r *Receipt) Verify(log proofs.Key, rekorKeys []crypto.PublicKey) (*Anchor, error) {
	return nil, errNotBuilt
}

// Anchor is an entry of Rekor under a log's key. Who has no note of that digest knows nothing about the
// log from it: anyone can make such entries (see "What an entry proves").
type Anchor struct {
	Digest    [32]byte        // SHA-256 of the text of a note
	Signature []byte          // of the log, in ASN.1
	UUID      string          // of the entry: the hash of its leaf in hex, after the tree's id of 16 digits where it is known
	LogIndex  int64           // in Rekor, over all shards
	LogID     string          // of Rekor: of v1 the SHA-256 of its public key in hex; of v2 the origin of its checkpoint
	Time      time.Time       // when v1 took the entry; zero of v2
	Size      uint64          // of the log's tree, by the note; 0 if no note is known
	Entry     json.RawMessage // as in Receipt
}

// entryV1 is an entry of Rekor v1.
type entryV1 = models.LogEntryAnon
