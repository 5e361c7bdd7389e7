package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Digest is a SHA-256 hash of some bytes: a payload, a file, a repository's
// genesis payload. The zero value stands for "none".
type Digest [sha256.Size]byte

// Sum returns the digest of b.
func Sum(b []byte) Digest { return sha256.Sum256(b) }

// String returns the digest as 64 lower-case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 16 hex digits, as sentences and tables name a repository: 64 bits.
// Another with the same ones takes somebody who can choose what is hashed 2^64 tries.
func (d Digest) Short() string { return hex.EncodeToString(d[:8]) }

// IsZero reports whether d is the zero value, which no known input hashes to.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText returns the same text as String.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses the text that MarshalText returns.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// ParseDigest parses exactly 64 lower-case hex digits.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if !DecodeHex(d[:], s) {
		return Digest{}, fmt.Errorf("digest %q: want %d lower-case hex digits", Clip(s), 2*len(d))
	}
	return d, nil
}

// ParseRepository is ParseDigest for the id of a repository that somebody names. Zeros, which a
// template may have in place of one, are refused: where an id may be left out they would name any
// repository.
func ParseRepository(s string) (Digest, error) {
	id, err := ParseDigest(s)
	if err == nil && id.IsZero() {
		return id, errors.New("zeros are the id of no repository")
	}
	return id, err
}

// DecodeHex decodes s into dst and reports whether it could: s must be exactly
// 2*len(dst) lower-case hex digits.
func DecodeHex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	for i := range dst {
		high, low := lowerHex[s[2*i]], lowerHex[s[2*i+1]]
		if high|low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

// lowerHex holds the values of the digits 0-9 and a-f, and 255 for everything
// else. A table has no branches to mispredict.
var lowerHex = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

// isLowerHex says whether s consists of lower-case hex digits alone.
func isLowerHex[T string | []byte](s T) bool {
	for i := range len(s) {
		if lowerHex[s[i]] > 15 {
			return false
		}
	}
	return true
}

// longest is how many bytes of untrusted text a message shows.
const longest = 80

// Clip shortens untrusted text for an error message.
func Clip(s string) string {
	if len(s) <= longest {
		return s
	}
	return s[:longest] + "…"
}

// Word is how a sentence shows a name that others chose: as it is if it looks like a name,
// and shortened and in quotes if it could pass for words of the sentence.
func Word(name string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+@=~%*?#[]"
	if name != "" && len(name) <= longest && strings.Trim(name, plain) == "" {
		return name
	}
	return strconv.Quote(Clip(name))
}
