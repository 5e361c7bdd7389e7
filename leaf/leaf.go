package leaf

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Kind is the kind of statement that a leaf makes.
type Kind string

// The kinds of leaf.
const (
	Release  Kind = "release"  // a validly signed release of a role
	Evidence Kind = "evidence" // another payload under a version that was released already
)

// Listing is the way in which the snapshot beside a file listed it.
type Listing string

// The ways to list a file. A version alone does not tell the files of two roles
// that share keys apart; a hash does.
const (
	ByHash    Listing = "hash"
	ByVersion Listing = "version"
)

// MaxSize is the most bytes a leaf may have.
const MaxSize = 4096

// Leaf is one entry of the log. Its text form is lines of ASCII, each ending in
// a line feed, in this order and no others:
//
//	tuflog release v1
//	repository <64 hex>
//	role <percent-encoded name>
//	version <decimal>
//	payload sha256:<64 hex>
//	metadata sha256:<64 hex> <size in bytes>
//	snapshot sha256:<64 hex> hash | sha256:<64 hex> version | -
//	encoding json | pigweed
//
// A leaf of evidence begins "tuflog evidence v1" and has one more line, "reason
// equivocation <index>". A role's bytes other than ALPHA DIGIT - . _ ~ are
// written as % and two upper-case hex digits. Every leaf has exactly one spelling.
type Leaf struct {
	Kind       Kind
	Repository tuf.Digest // digest of the genesis root's payload
	Role       string     // as in TUF: "root", "targets", or a delegated name
	Version    int64      // 1 to MaxVersion
	Payload    tuf.Digest // of the signed bytes
	Metadata   tuf.Digest // of the file as submitted
	Size       int64      // of that file, in bytes
	Snapshot   tuf.Digest // of the snapshot file that names the role; zero: none
	Listed     Listing    // how that snapshot lists the file; empty: no snapshot
	Encoding   tuf.Encoding
	// Contradicts is, for evidence, the index of the release that has the same
	// role and version and another payload; otherwise 0.
	Contradicts int64
}

// Marshal returns the leaf's text: the bytes that the log holds. It does not
// check l; Parse reads back only what Check accepts.
func (l Leaf) Marshal() []byte {
	b := make([]byte, 0, 512+3*len(l.Role))
	b = append(b, "tuflog "...)
	b = append(b, l.Kind...)
	b = append(b, " v1\nrepository "...)
	b = hex.AppendEncode(b, l.Repository[:])
	b = append(b, "\nrole "...)
	b = tuf.AppendRole(b, l.Role)
	b = append(b, "\nversion "...)
	b = strconv.AppendInt(b, l.Version, 10)
	b = append(b, "\npayload sha256:"...)
	b = hex.AppendEncode(b, l.Payload[:])
	b = append(b, "\nmetadata sha256:"...)
	b = hex.AppendEncode(b, l.Metadata[:])
	b = append(b, ' ')
	b = strconv.AppendInt(b, l.Size, 10)
	b = append(b, "\nsnapshot "...)
	if l.Snapshot.IsZero() {
		b = append(b, '-')
	} else {
		b = append(b, "sha256:"...)
		b = hex.AppendEncode(b, l.Snapshot[:])
		b = append(b, ' ')
		b = append(b, l.Listed...)
	}
	b = append(b, "\nencoding "...)
	b = append(b, l.Encoding...)
	b = append(b, '\n')
	if l.Kind == Evidence {
		b = append(b, "reason equivocation "...)
		b = strconv.AppendInt(b, l.Contradicts, 10)
		b = append(b, '\n')
	}
	return b
}

// Bound reports whether the payload is bound to its role: the snapshot beside it
// lists its hash as this role's, or it names its role itself, as roots, snapshots,
// timestamps and Pigweed files do.
func (l Leaf) Bound() bool {
	return l.Listed == ByHash || l.Encoding != tuf.JSON || tuf.IsTopLevel(l.Role) && l.Role != tuf.RoleTargets
}

// Hash returns the leaf's RFC 6962 leaf hash.
func (l Leaf) Hash() proofs.Hash { return proofs.LeafHash(l.Marshal()) }

// Check returns why l is not a leaf that a log may hold, or nil.
func (l Leaf) Check() error { return l.check(len(l.Marshal())) }

// check is Check of a leaf whose text has size bytes.
func (l Leaf) check(size int) error {
	switch {
	case l.Kind != Release && l.Kind != Evidence:
		return fmt.Errorf("leaf: unknown kind %q", tuf.Clip(string(l.Kind)))
	case l.Role == "" || !utf8.ValidString(l.Role):
		return fmt.Errorf("leaf: role %q is empty or not UTF-8", tuf.Clip(l.Role))
	case l.Version < 1 || l.Version > tuf.MaxVersion:
		return fmt.Errorf("leaf: version %d is not between 1 and %d", l.Version, int64(tuf.MaxVersion))
	case l.Size < 1 || l.Size > tuf.MaxFileSize:
		return fmt.Errorf("leaf: metadata of %d bytes, want 1 to %d", l.Size, tuf.MaxFileSize)
	case l.Encoding != tuf.JSON && l.Encoding != tuf.Pigweed:
		return fmt.Errorf("leaf: unknown encoding %q", tuf.Clip(string(l.Encoding)))
	case l.Snapshot.IsZero() && l.Listed != "":
		return fmt.Errorf("leaf: listed by %q without a snapshot", tuf.Clip(string(l.Listed)))
	case !l.Snapshot.IsZero() && l.Listed != ByHash && l.Listed != ByVersion:
		return fmt.Errorf("leaf: listed by %q, want %q or %q", tuf.Clip(string(l.Listed)), ByHash, ByVersion)
	case l.Contradicts < 0 || l.Kind == Release && l.Contradicts != 0:
		return fmt.Errorf("leaf: a %s cannot contradict entry %d", l.Kind, l.Contradicts)
	}
	if size > MaxSize {
		return fmt.Errorf("leaf: %d bytes, the limit is %d", size, MaxSize)
	}
	return nil
}

// Parse parses exactly the text that Marshal prints for a leaf that passes
// Check.
func Parse(b []byte) (Leaf, error) {
	if len(b) > MaxSize {
		return Leaf{}, fmt.Errorf("leaf: %d bytes, the limit is %d", len(b), MaxSize)
	}
	p := leafLines{rest: string(b)}
	var l Leaf
	kind, ok := strings.CutSuffix(p.line("tuflog "), " v1")
	if !ok {
		p.fail("tuflog")
	}
	l.Kind = Kind(kind)
	l.Repository = p.digest("repository ", p.line("repository "))
	l.Role = p.role(p.line("role "))
	l.Version = p.decimal("version ", p.line("version "))
	l.Payload = p.sha256("payload ", p.line("payload "))
	metadata, size, _ := strings.Cut(p.line("metadata "), " ")
	l.Metadata = p.sha256("metadata ", metadata)
	l.Size = p.decimal("metadata ", size)
	if snapshot := p.line("snapshot "); snapshot != "-" {
		digest, listed, _ := strings.Cut(snapshot, " ")
		l.Snapshot = p.sha256("snapshot ", digest)
		l.Listed = Listing(listed)
	}
	l.Encoding = tuf.Encoding(p.line("encoding "))
	if l.Kind == Evidence {
		l.Contradicts = p.decimal("reason ", p.line("reason equivocation "))
	}
	if p.err == nil && p.rest != "" {
		p.err = fmt.Errorf("leaf: unexpected %q at the end", tuf.Clip(p.rest))
	}
	if p.err != nil {
		return Leaf{}, p.err
	}
	printed := l.Marshal()
	if err := l.check(len(printed)); err != nil {
		return Leaf{}, err
	}
	// Printing it again is what rules out every other spelling.
	if string(printed) != string(b) {
		return Leaf{}, errors.New("leaf: not spelled as it would be printed")
	}
	return l.compact(), nil
}

// compact returns the leaf without a part of the text that it was read from,
// which a leaf that is kept would keep as well.
func (l Leaf) compact() Leaf {
	if l.Kind == Release {
		l.Kind = Release
	} else {
		l.Kind = Evidence
	}
	switch l.Listed {
	case ByHash:
		l.Listed = ByHash
	case ByVersion:
		l.Listed = ByVersion
	}
	if l.Encoding == tuf.JSON {
		l.Encoding = tuf.JSON
	} else {
		l.Encoding = tuf.Pigweed
	}
	switch l.Role {
	case tuf.RoleRoot:
		l.Role = tuf.RoleRoot
	case tuf.RoleTargets:
		l.Role = tuf.RoleTargets
	case tuf.RoleSnapshot:
		l.Role = tuf.RoleSnapshot
	case tuf.RoleTimestamp:
		l.Role = tuf.RoleTimestamp
	}
	return l
}

// leafLines takes a leaf apart line by line and keeps the first error.
type leafLines struct {
	rest string
	err  error
}

func (p *leafLines) fail(field string) {
	if p.err == nil {
		p.err = fmt.Errorf("leaf: bad or missing line %q", strings.TrimSpace(field))
	}
}

// line returns the next line without its prefix and line feed.
func (p *leafLines) line(prefix string) string {
	line, rest, ok := strings.Cut(p.rest, "\n")
	value, found := strings.CutPrefix(line, prefix)
	if !ok || !found {
		p.fail(prefix)
		return ""
	}
	p.rest = rest
	return value
}

func (p *leafLines) digest(field, s string) tuf.Digest {
	d, err := tuf.ParseDigest(s)
	if err != nil {
		p.fail(field)
	}
	return d
}

func (p *leafLines) sha256(field, s string) tuf.Digest {
	hex, ok := strings.CutPrefix(s, "sha256:")
	if !ok {
		p.fail(field)
		return tuf.Digest{}
	}
	return p.digest(field, hex)
}

func (p *leafLines) decimal(field, s string) int64 {
	n, err := proofs.ParseDecimal(s)
	if err != nil {
		p.fail(field)
	}
	return n
}

func (p *leafLines) role(s string) string {
	role, ok := tuf.UnescapeRole(s)
	if !ok {
		p.fail("role")
	}
	return role
}
