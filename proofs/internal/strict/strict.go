// Package strict has the spelling of untrusted text that package proofs and the rooms in
// it share: base64 has one form, and what an error quotes is short and printable.
package strict

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// Base64 is standard base64 that refuses stray bits in the last character. It still skips
// line breaks: see DecodeBase64.
var Base64 = base64.StdEncoding.Strict()

// DecodeBase64 decodes the one spelling that EncodeBase64 gives.
func DecodeBase64(s string) ([]byte, error) {
	// The decoder skips CR and LF wherever they stand.
	if strings.IndexByte(s, '\r') >= 0 || strings.IndexByte(s, '\n') >= 0 {
		return nil, errors.New("line break in base64")
	}
	return Base64.DecodeString(s)
}

// EncodeBase64 returns standard base64 with padding.
func EncodeBase64(b []byte) string { return Base64.EncodeToString(b) }

// Quote quotes untrusted input for an error message, cut to a length that people read.
func Quote(s string) string {
	const limit = 80
	if len(s) <= limit {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:limit]) + "…"
}

// Printable returns a name as it is unless it holds something unprintable: names are
// opaque bytes.
func Printable(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` {
		return q
	}
	return name
}
