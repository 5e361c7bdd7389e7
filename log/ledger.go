package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// Ledger remembers the last tree that the log signed, in a place that is not
// restored or cloned along with the log directory. Only one process has it
// open.
type Ledger interface {
	// Load returns the present record.
	Load(ctx context.Context) (LedgerRecord, error)
	// Swap replaces the record durably if it is still old; otherwise the error
	// is ErrLedgerConflict. If old.CheckNext(new) is an error, Swap returns it
	// and nothing changes. After any other error the record is either of the
	// two.
	Swap(ctx context.Context, old, new LedgerRecord) error
}

// ErrLedgerConflict means that someone else wrote the ledger.
var ErrLedgerConflict = errors.New("the ledger was changed by someone else")

// LedgerRecord is the last tree that a log signed. Its text is
//
//	tuflog ledger v1
//	origin <origin>
//	root <base64>
//	signed <POSIX seconds of the last signature, or 0>
//	end
//	size <decimal>
//	<base64 of a hash of the right edge, largest subtree first>
//	…
//	<empty line>
//	<the checkpoint with the log's own signatures; nothing at size 0>
//
// where the line "end" is present only if the tree's last entry is the end of the
// log. Every record has one spelling: size, edge and root agree with each other and
// with the checkpoint.
type LedgerRecord struct {
	Origin string
	Edge   *proofs.Edge // right edge of the tree
	Signed int64        // signing time, POSIX seconds; never decreases
	Ended  bool         // the tree's last entry is the log's end: no larger one is signed
	Note   []byte       // the checkpoint with the log's own signatures; nil at size 0
}

const ledgerHeader = "tuflog ledger v1"

// Marshal returns the text of the record.
func (r LedgerRecord) Marshal() ([]byte, error) {
	edge, err := r.Edge.MarshalText()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\norigin %s\nroot %v\nsigned %d\n", ledgerHeader, r.Origin, r.Edge.Tree().Hash, r.Signed)
	if r.Ended {
		b.WriteString("end\n")
	}
	fmt.Fprintf(&b, "size %s\n%s", edge, r.Note)
	return b.Bytes(), nil
}

// CheckNext returns an error if next must not follow this record in a ledger:
// nothing is signed after the end of a log.
func (r LedgerRecord) CheckNext(next LedgerRecord) error {
	if r.Ended && (!next.Ended || next.Edge.Tree() != r.Edge.Tree()) {
		return fmt.Errorf("the ledger says that the log has ended at size %d, and does not go on to a tree of size %d: %w", r.Edge.Tree().N, next.Edge.Tree().N, ErrEnded)
	}
	return nil
}

// Equal reports whether two records have the same text.
func (r LedgerRecord) Equal(other LedgerRecord) bool {
	a, err := r.Marshal()
	b, err2 := other.Marshal()
	return err == nil && err2 == nil && bytes.Equal(a, b)
}

// ParseLedgerRecord parses the text that Marshal returns. Signatures are not
// verified.
func ParseLedgerRecord(b []byte) (LedgerRecord, error) {
	r, err := parseLedgerRecord(string(b))
	if err == nil {
		var again []byte
		if again, err = r.Marshal(); err == nil && !bytes.Equal(again, b) {
			err = errors.New("not in its one spelling")
		}
	}
	if err != nil {
		return LedgerRecord{}, fmt.Errorf("ledger: %w", err)
	}
	return r, nil
}

func parseLedgerRecord(text string) (LedgerRecord, error) {
	head, signed, ok := strings.Cut(text, "\n\n")
	if !ok {
		return LedgerRecord{}, errors.New("no empty line: cut short?")
	}
	lines := strings.SplitN(head, "\n", 5)
	ended := false
	if len(lines) == 5 {
		if rest, ok := strings.CutPrefix(lines[4], "end\n"); ok {
			lines[4], ended = rest, true
		}
	}
	var fields [5]string
	for i, prefix := range []string{ledgerHeader, "origin ", "root ", "signed ", "size "} {
		if i >= len(lines) {
			return LedgerRecord{}, fmt.Errorf("no line %q", prefix)
		}
		if fields[i], ok = strings.CutPrefix(lines[i], prefix); !ok {
			return LedgerRecord{}, fmt.Errorf("line %d is %q, want %q", i+1, lines[i], prefix)
		}
	}
	r := LedgerRecord{Origin: fields[1], Edge: new(proofs.Edge), Ended: ended}
	if err := r.Edge.UnmarshalText([]byte(fields[4] + "\n")); err != nil {
		return LedgerRecord{}, err
	}
	tree := r.Edge.Tree()
	if root := tree.Hash.String(); root != fields[2] {
		return LedgerRecord{}, fmt.Errorf("the edge leads to root %s, the record says %s", root, fields[2])
	}
	var err error
	if r.Signed, err = proofs.ParseDecimal(fields[3]); err != nil {
		return LedgerRecord{}, fmt.Errorf("signing time: %w", err)
	}
	if tree.N == 0 {
		if signed != "" || ended {
			return LedgerRecord{}, errors.New("a checkpoint, or an end, beside the empty tree")
		}
		return r, nil
	}
	note, err := proofs.ParseNote([]byte(signed))
	if err != nil {
		return LedgerRecord{}, err
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return LedgerRecord{}, err
	}
	if cp.Origin != r.Origin || cp.Tree != tree {
		return LedgerRecord{}, fmt.Errorf("the checkpoint is of %q, %v, the record of %q, %v", cp.Origin, cp.Tree, r.Origin, tree)
	}
	r.Note = []byte(signed)
	return r, nil
}

// SignedByOthers returns the names and ids, in hex, of the keys that have signed the
// record's checkpoint and are not among keys.
func (r LedgerRecord) SignedByOthers(keys []proofs.Key) []string {
	note, err := proofs.ParseNote(r.Note)
	if err != nil {
		return nil
	}
	var others []string
	for _, sig := range note.Signatures {
		is := func(k proofs.Key) bool { return k.Name() == sig.Name && k.ID() == sig.KeyID }
		if !slices.ContainsFunc(keys, is) {
			others = append(others, fmt.Sprintf("%s+%08x", sig.Name, sig.KeyID))
		}
	}
	return others
}

// SignedBy reports whether the record's checkpoint has a signature of each of
// keys and no other, in this order. Keys come and go with the log's
// configuration.
func (r LedgerRecord) SignedBy(keys []proofs.Key) bool {
	note, err := proofs.ParseNote(r.Note)
	if err != nil || len(note.Signatures) != len(keys) {
		return false
	}
	for i, sig := range note.Signatures {
		if sig.Name != keys[i].Name() || sig.KeyID != keys[i].ID() {
			return false
		}
	}
	return true
}
