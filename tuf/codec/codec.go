// Package codec reads a file of metadata in the encoding that it has: [Parse], where a leaf
// or a repository says which that is, and [ParseAny] where nothing does. Package tuf has
// what is read, tuf.ParseJSON and package pigweed the readers.
package codec

import (
	"fmt"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// Parse reads a file strictly, in an encoding. The error is a *tuf.SyntaxError unless the
// encoding is unknown. The result keeps file, which must not change afterwards.
func Parse(encoding tuf.Encoding, file []byte) (*tuf.Metadata, error) {
	switch encoding {
	case tuf.JSON:
		return tuf.ParseJSON(file)
	case tuf.Pigweed:
		return pigweed.Parse(file)
	}
	return nil, fmt.Errorf("metadata in encoding %q cannot be read", tuf.Clip(string(encoding)))
}

// ParseKnown is Parse for a file of which the caller knows that sum is its SHA-256.
func ParseKnown(encoding tuf.Encoding, file []byte, sum tuf.Digest) (*tuf.Metadata, error) {
	if encoding == tuf.JSON {
		return tuf.ParseJSONKnown(file, sum)
	}
	return Parse(encoding, file)
}

// ParseAny reads a file in whichever encoding it is. No file is in two: Pigweed's metadata
// has a byte, the tag of the version, that JSON cannot have. The error is that of
// ParseJSON.
func ParseAny(file []byte) (*tuf.Metadata, error) {
	m, err := tuf.ParseJSON(file)
	if err != nil {
		if other, otherErr := pigweed.Parse(file); otherErr == nil {
			return other, nil
		}
	}
	return m, err
}
