package rekor

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// Receipt is what remains of a submission: a note and the entry that Rekor made of it. As a
// file it is one line of JSON:
//
//	{"tuflog-anchor":1,"instance":NAME,"version":1,"note":"…","entry":{…}}
type Receipt struct {
	Instance string // Config.Name of the instance
	Version  int    // of Rekor: 1 or 2
	Note     []byte // the signed note whose text is anchored
	// Entry is what Rekor answered: of v1 a LogEntryAnon, of v2 a TransparencyLogEntry, both
	// in JSON.
	Entry json.RawMessage
}

const (
	// MaxReceiptSize is the size of the largest receipt, in bytes.
	MaxReceiptSize = 2*proofs.MaxNoteSize + maxEntry

	formatVersion = 1
)

type receiptFile struct {
	Format   int             `json:"tuflog-anchor"`
	Instance string          `json:"instance"`
	Version  int             `json:"version"`
	Note     string          `json:"note"`
	Entry    json.RawMessage `json:"entry"`
}

// ParseReceipt reads a receipt, of at most MaxReceiptSize bytes. It accepts what Marshal
// prints, byte for byte. It verifies nothing: see Verify.
func ParseReceipt(b []byte) (*Receipt, error) {
	if len(b) > MaxReceiptSize {
		return nil, fmt.Errorf("receipt: %d bytes, more than %d", len(b), MaxReceiptSize)
	}
	var f receiptFile
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r := &Receipt{Instance: f.Instance, Version: f.Version, Note: []byte(f.Note), Entry: f.Entry}
	switch {
	case f.Format != formatVersion:
		return nil, fmt.Errorf("receipt: tuflog-anchor is %d, this program reads %d", f.Format, formatVersion)
	case !instanceName.MatchString(f.Instance):
		return nil, fmt.Errorf("receipt: %.70q is not the name of an instance", f.Instance)
	case f.Version != 1 && f.Version != 2:
		return nil, fmt.Errorf("receipt: version %d of rekor, want 1 or 2", f.Version)
	case len(f.Entry) == 0 || f.Entry[0] != '{':
		return nil, errors.New("receipt: the entry is not an object")
	}
	if !bytes.Equal(r.Marshal(), b) {
		return nil, errors.New("receipt: not in its one spelling, which has no spaces and ends in one newline")
	}
	return r, nil
}

// Marshal prints the receipt as ParseReceipt reads it. The note of a receipt that can be verified
// is valid UTF-8.
func (r *Receipt) Marshal() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(receiptFile{formatVersion, r.Instance, r.Version, string(r.Note), r.Entry}); err != nil {
		return nil // the entry is not JSON: no receipt, which ParseReceipt refuses
	}
	return b.Bytes()
}

// Verify checks the receipt offline: that log, a key of type proofs.ECDSA, signed the note, which
// is a checkpoint of the origin that the key is named for; that the entry is of that digest,
// signature and key; that it is in the tree of Rekor's checkpoint; and that one of rekorKeys
// signed that checkpoint and, of v1, the promise of index and time. The error is ErrUnknownKey if
// the checkpoint names none of rekorKeys.
func (r *Receipt) Verify(log proofs.Key, rekorKeys []crypto.PublicKey) (*Anchor, error) {
	st, err := readStatement(r.Note, log)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	a, err := r.verify(st, rekorKeys, "")
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return a, nil
}

// verify also compares the origin of Rekor's checkpoint, unless it is empty.
func (r *Receipt) verify(st *statement, rekorKeys []crypto.PublicKey, origin string) (*Anchor, error) {
	var a *Anchor
	var b *body
	var err error
	switch r.Version {
	case 1:
		a, b, err = checkV1(r.Entry, rekorKeys, origin)
	case 2:
		a, b, err = checkV2(r.Entry, rekorKeys, origin)
	default:
		err = fmt.Errorf("version %d of rekor, want 1 or 2", r.Version)
	}
	if err != nil {
		return nil, err
	}
	if err := st.check(b); err != nil {
		return nil, err
	}
	a.Size = st.size
	return a, nil
}

// Claim returns what the entry says of its index and, of v1, of its time, without verifying
// anything. The time is zero if the entry says none.
func (r *Receipt) Claim() (logIndex int64, at time.Time, err error) {
	var e struct {
		LogIndex       json.RawMessage `json:"logIndex"` // of v2 a string, and left out where it is 0
		IntegratedTime json.RawMessage `json:"integratedTime"`
	}
	if err := json.Unmarshal(r.Entry, &e); err != nil {
		return 0, at, fmt.Errorf("receipt: entry: %w", err)
	}
	if text := strings.Trim(string(e.LogIndex), `"`); text != "" {
		if logIndex, err = strconv.ParseInt(text, 10, 64); err != nil || logIndex < 0 {
			return 0, at, fmt.Errorf("receipt: entry: log index %.50q", text)
		}
	}
	if taken, err := strconv.ParseInt(string(e.IntegratedTime), 10, 64); err == nil && r.Version == 1 && taken > 0 && taken <= maxTime {
		at = time.Unix(taken, 0).UTC()
	}
	return logIndex, at, nil
}

// Anchor is an entry of Rekor under a log's key. Who has no note of that digest knows nothing
// about the log from it: anyone can make such entries (see "What an entry proves").
type Anchor struct {
	Digest    [32]byte        // SHA-256 of the text of a note
	Signature []byte          // of the log, in ASN.1
	UUID      string          // of the entry: the hash of its leaf in hex, in v1 after the tree's id of 16 digits
	LogIndex  int64           // in Rekor; in v1 over all its shards
	LogID     string          // of Rekor: in v1 the SHA-256 of its public key in hex; in v2 the origin of its checkpoint
	Time      time.Time       // when v1 took the entry; zero in v2
	Size      uint64          // of the log's tree, by the note; 0 if the note is not known
	Entry     json.RawMessage // as in Receipt
}
