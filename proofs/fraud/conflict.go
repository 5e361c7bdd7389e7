package fraud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// maxConsistency is the length of the longest consistency proof between trees
// of up to 2^63-1 entries.
const maxConsistency = 64

// ErrNoConflict means that two checkpoints can both be true.
var ErrNoConflict = errors.New("the checkpoints do not contradict each other")

const conflictHeader = "tuflog conflict v1\n"

// A Conflict is two signed checkpoints of one origin that cannot both be true:
// two roots at one size, or a larger tree that does not begin with the smaller
// one. A key that signed both has vouched for two histories. Checking the proof
// takes only public keys, and works after the log is gone.
//
// As a file it is a header; for different sizes, the root that the larger tree
// has at the smaller size and its consistency proof (RFC 6962, section 2.1.2);
// and the two notes, the smaller tree first, or at one size the smaller root
// first. Empty lines separate the parts:
//
//	tuflog conflict v1
//	prefix OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=
//	ZW0+j1RCOM324y1kD1G6CRSVmxTt16UtC4uZq0yKxsY=
//
//	example.com/log
//	2
//	…
type Conflict struct {
	// Older and Newer are the signed checkpoints, verbatim.
	Older, Newer []byte
	// Prefix is the root that the newer tree has at the size of the older one,
	// and Proof shows it. Between trees of one size both are zero.
	Prefix proofs.Hash
	Proof  []proofs.Hash
}

// NewConflict makes a Conflict from two signed checkpoints, in either order.
// For trees of different sizes it reads the tiles of the larger one, which need
// not be trusted; tiles may be nil if the sizes are equal. The error is
// ErrNoConflict if both can be true. Signatures are not verified: see Check.
func NewConflict(ctx context.Context, a, b []byte, tiles proofs.TileReader) (Conflict, error) {
	c := Conflict{Older: a, Newer: b}
	older, newer, err := c.open()
	if err != nil {
		return Conflict{}, err
	}
	if order(older.Tree, newer.Tree) > 0 {
		c.Older, c.Newer, older, newer = b, a, newer, older
	}
	if older.Tree.N < newer.Tree.N && older.Tree.N > 0 {
		if tiles == nil {
			return Conflict{}, fmt.Errorf("trees of sizes %d and %d cannot be compared without tiles", older.Tree.N, newer.Tree.N)
		}
		if c.Proof, err = proofs.ConsistencyProof(ctx, older.Tree.N, newer.Tree, tiles); err != nil {
			return Conflict{}, err
		}
		subtrees, err := proofs.RangeHashes(ctx, newer.Tree, 0, older.Tree.N, tiles)
		if err != nil {
			return Conflict{}, err
		}
		if c.Prefix, err = rootOf(older.Tree.N, subtrees); err != nil {
			return Conflict{}, fmt.Errorf("root at size %d of the tree of size %d: %w", older.Tree.N, newer.Tree.N, err)
		}
	}
	if err := c.contradicts(older, newer); err != nil {
		return Conflict{}, err
	}
	return c, nil
}

// order is the order of the two trees in a Conflict: by size, then by root.
func order(a, b proofs.Tree) int {
	if a.N != b.N {
		if a.N < b.N {
			return -1
		}
		return 1
	}
	return bytes.Compare(a.Hash[:], b.Hash[:])
}

// open parses both checkpoints.
func (c Conflict) open() (older, newer proofs.Checkpoint, err error) {
	if _, older, err = parseSigned(c.Older); err != nil {
		return older, newer, fmt.Errorf("first checkpoint: %w", err)
	}
	if _, newer, err = parseSigned(c.Newer); err != nil {
		return older, newer, fmt.Errorf("second checkpoint: %w", err)
	}
	if older.Origin != newer.Origin {
		return older, newer, fmt.Errorf("checkpoints of two origins, %s and %s: %w", strict.Quote(older.Origin), strict.Quote(newer.Origin), ErrNoConflict)
	}
	return older, newer, nil
}

// checkpoints returns the two checkpoints after checking everything but
// signatures.
func (c Conflict) checkpoints() (older, newer proofs.Checkpoint, err error) {
	if older, newer, err = c.open(); err != nil {
		return older, newer, err
	}
	return older, newer, c.contradicts(older, newer)
}

// contradicts checks everything but signatures.
func (c Conflict) contradicts(older, newer proofs.Checkpoint) error {
	if older.Tree == newer.Tree {
		return fmt.Errorf("size %d with one root: %w", older.Tree.N, ErrNoConflict)
	}
	if order(older.Tree, newer.Tree) > 0 {
		return errors.New("the checkpoints are in the wrong order")
	}
	if older.Tree.N == newer.Tree.N {
		if c.Prefix != (proofs.Hash{}) || len(c.Proof) > 0 {
			return errors.New("a proof between trees of one size")
		}
		return nil
	}
	// A valid proof leads from one old root only: all of its hashes, and those
	// that make up the old root, have fixed places in the newer tree.
	if c.Prefix == older.Tree.Hash || older.Tree.N == 0 {
		return fmt.Errorf("the tree of size %d begins with that of size %d: %w", newer.Tree.N, older.Tree.N, ErrNoConflict)
	}
	return proofs.VerifyConsistency(proofs.Tree{N: older.Tree.N, Hash: c.Prefix}, newer.Tree, c.Proof)
}

// ParseConflict reads what Marshal prints and checks that the two checkpoints
// contradict each other. It verifies no signature: see Check.
func ParseConflict(b []byte) (Conflict, error) {
	c, err := parseConflict(b)
	if err == nil {
		_, _, err = c.checkpoints()
	}
	if err != nil {
		return Conflict{}, fmt.Errorf("conflict: %w", err)
	}
	return c, nil
}

func parseConflict(b []byte) (Conflict, error) {
	var c Conflict
	if len(b) > MaxConflictSize {
		return c, fmt.Errorf("%d bytes, more than %d", len(b), MaxConflictSize)
	}
	rest, ok := strings.CutPrefix(string(b), conflictHeader)
	if !ok {
		return c, fmt.Errorf("first line is not %q", strings.TrimSpace(conflictHeader))
	}
	// Neither a checkpoint's text nor its signatures hold empty lines.
	parts := strings.Split("\n"+rest, "\n\n")
	if len(parts) != 5 {
		return c, fmt.Errorf("%d empty lines, want 4", len(parts)-1)
	}
	if head := strings.TrimPrefix(parts[0], "\n"); head != "" {
		lines := strings.Split(head, "\n")
		prefix, ok := strings.CutPrefix(lines[0], "prefix ")
		if !ok {
			return c, fmt.Errorf("%s where the prefix line should be", strict.Quote(lines[0]))
		}
		if len(lines)-1 > maxConsistency {
			return c, fmt.Errorf("%d hashes, more than any proof needs", len(lines)-1)
		}
		hashes := make([]proofs.Hash, len(lines))
		for i, line := range append([]string{prefix}, lines[1:]...) {
			var err error
			if hashes[i], err = proofs.ParseHash(line); err != nil {
				return c, err
			}
		}
		c.Prefix, c.Proof = hashes[0], hashes[1:]
	}
	c.Older = []byte(parts[1] + "\n\n" + parts[2] + "\n")
	c.Newer = []byte(parts[3] + "\n\n" + parts[4])
	return c, nil
}

// Marshal prints the conflict. ParseConflict reads it back.
func (c Conflict) Marshal() []byte {
	var b bytes.Buffer
	b.WriteString(conflictHeader)
	if c.Prefix != (proofs.Hash{}) {
		b.WriteString("prefix " + c.Prefix.String() + "\n")
		for _, h := range c.Proof {
			b.WriteString(h.String() + "\n")
		}
	}
	b.WriteString("\n")
	b.Write(c.Older)
	b.WriteString("\n")
	b.Write(c.Newer)
	return b.Bytes()
}

// A ConflictVerdict is the statement that a Conflict proves.
type ConflictVerdict struct {
	Origin       string
	Older, Newer proofs.Tree
	// By names the parties that signed both, in the order of the keys given: the name of
	// their keys, with a plus and the key's id where another of the keys has the same name,
	// or a witness the log's.
	By []string
	// ByLog reports whether the log is one of them: it has forked. A witness that signed
	// both has cosigned a fork, or made it up.
	ByLog bool
}

// String says in one sentence what is proved, and against whom: that the log showed two
// histories only if it signed both.
func (v ConflictVerdict) String() string {
	names := make([]string, len(v.By))
	for i, name := range v.By {
		names[i] = strict.Printable(name)
	}
	origin, who := strict.Printable(v.Origin), strings.Join(names, ", ")
	if v.ByLog {
		return fmt.Sprintf("%s showed two histories, signed by %s", origin, who)
	}
	return fmt.Sprintf("%s signed two histories of log %s, which does not prove that the log signed both", who, origin)
}

// Check verifies a conflict with public keys of any type. It returns the parties that signed
// both checkpoints: the log, with any of its keys, and each other key by itself, whatever its
// name. A key whose name is the origin is the log's, unless logs do not sign with its type:
// see proofs.Policy.Keys. The error is ErrNoConflict if the checkpoints can both be true,
// ErrNoSignature if none of the parties signed both, and ErrConsistency if the proof fails. A
// party with a signature that does not verify is not accused.
func (c Conflict) Check(keys ...proofs.Key) (ConflictVerdict, error) {
	older, newer, err := c.checkpoints()
	if err != nil {
		return ConflictVerdict{}, err
	}
	v := verdictOf(older, newer)
	for _, p := range partiesOf(older.Origin, keys) {
		if signedByAny(c.Older, p.keys) && signedByAny(c.Newer, p.keys) {
			v.By, v.ByLog = append(v.By, p.label), v.ByLog || p.log
		}
	}
	if len(v.By) == 0 {
		return ConflictVerdict{}, fmt.Errorf("none of the given keys signed both checkpoints of %s: %w", strict.Quote(older.Origin), proofs.ErrNoSignature)
	}
	return v, nil
}

func verdictOf(older, newer proofs.Checkpoint) ConflictVerdict {
	return ConflictVerdict{Origin: older.Origin, Older: older.Tree, Newer: newer.Tree}
}

// Claim returns the conflict's verdict before any signature is verified: its By
// is empty.
func (c Conflict) Claim() (ConflictVerdict, error) {
	older, newer, err := c.checkpoints()
	if err != nil {
		return ConflictVerdict{}, err
	}
	return verdictOf(older, newer), nil
}

// signedByAny says whether a note carries a signature by one of the keys and no
// false one by any.
func signedByAny(signed []byte, keys []proofs.Key) bool {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return false
	}
	found := false
	for _, k := range keys {
		_, err := note.VerifiedBy(k)
		if err != nil && !errors.Is(err, proofs.ErrNoSignature) {
			return false
		}
		found = found || err == nil
	}
	return found
}
