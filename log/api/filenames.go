package api

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// The ends of the names of metadata files.
const (
	SuffixJSON    = ".json"
	SuffixPigweed = ".pb"
)

// AnyPigweed is the name of a file of Pigweed's that came without one: the file says itself
// whether it is a root or targets.
const AnyPigweed = "metadata" + SuffixPigweed

// EncodingOf returns the encoding that a metadata file of a name is read in.
func EncodingOf(name string) tuf.Encoding {
	if strings.HasSuffix(name, SuffixPigweed) {
		return tuf.Pigweed
	}
	return tuf.JSON
}

// FileName returns the name of a role's file in a tar: VERSION.ROLE.json, the
// role percent-encoded as in the leaf (all but ALPHA DIGIT - . _ ~), so that a
// role named "../a" or "ö" is one plain name.
func FileName(role string, version int64) string {
	return strconv.FormatInt(version, 10) + "." + tuf.EscapeRole(role) + ".json"
}

// RoleOf returns the role that a metadata file's name (without folders) means.
// The forms are ROLE.json, N.ROLE.json and HASH.ROLE.json (consistent names of
// old go-tuf: hex of the file's SHA-256 or SHA-512), the role percent-encoded or
// not. A role's name may itself begin with a number and a dot, so a prefix counts
// only when it is the version inside the file, or the hash of the file; otherwise
// it belongs to the role's name. For a file that could not be read pass version 0:
// then any number counts as a prefix. A top-level role's file whose name carries
// another version, or another hash, than the file is an error. Pigweed's files end in .pb in
// the place of .json.
func RoleOf(name string, file []byte, version int64) (string, error) {
	base, ok := strings.CutSuffix(name, SuffixJSON)
	if !ok {
		base, ok = strings.CutSuffix(name, SuffixPigweed)
	}
	if !ok || base == "" {
		return "", fmt.Errorf("file name %q: metadata files are named ROLE.json or VERSION.ROLE.json, Pigweed's ROLE.pb or VERSION.ROLE.pb", name)
	}
	prefix, rest, dotted := strings.Cut(base, ".")
	if dotted && rest != "" {
		kind, fits := prefixFits(prefix, file, version)
		switch {
		case kind == "":
		case fits:
			base = rest
		case tuf.IsTopLevel(rest):
			return "", fmt.Errorf("file name %q: its %s is not that of the file", name, kind)
		}
	}
	role, err := url.PathUnescape(base)
	if err != nil {
		return "", fmt.Errorf("file name %q: %w", name, err)
	}
	return role, nil
}

// prefixFits returns the kind of the part of a file name before its first dot
// ("version", "hash" or empty) and reports whether it is the file's own.
func prefixFits(prefix string, file []byte, version int64) (kind string, fits bool) {
	switch {
	case len(prefix) == 2*sha256.Size && isLowerHex(prefix):
		sum := sha256.Sum256(file)
		return "hash", prefix == hex.EncodeToString(sum[:])
	case len(prefix) == 2*sha512.Size && isLowerHex(prefix):
		sum := sha512.Sum512(file)
		return "hash", prefix == hex.EncodeToString(sum[:])
	}
	n, err := proofs.ParseDecimal(prefix)
	if err != nil {
		return "", false
	}
	return "version", version == 0 || n == version
}

func isLowerHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
