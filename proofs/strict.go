package proofs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// strictBase64 refuses stray bits in the last character.
var strictBase64 = base64.StdEncoding.Strict()

// decodeBase64 decodes the one spelling that EncodeToString gives.
func decodeBase64(s string) ([]byte, error) {
	// The decoder skips CR and LF wherever they stand.
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("line break in base64")
	}
	return strictBase64.DecodeString(s)
}

func encodeBase64(b []byte) string {
	return base64.StdEncoding.EncodeToString(b)
}

// parseHash reads the base64 of one SHA-256 hash.
func parseHash(s string) (Hash, error) {
	b, err := decodeBase64(s)
	if err != nil {
		return Hash{}, fmt.Errorf("hash %s: %w", quoteShort(s), err)
	}
	if len(b) != len(Hash{}) {
		return Hash{}, fmt.Errorf("hash %s: %d bytes, want %d", quoteShort(s), len(b), len(Hash{}))
	}
	return Hash(b), nil
}

// parseDecimal reads 0 to 2^63-1 in ASCII digits, without sign or leading
// zeros.
func parseDecimal(s string) (int64, error) {
	bad := s == "" || len(s) > 1 && s[0] == '0'
	for i := 0; i < len(s); i++ {
		bad = bad || s[i] < '0' || s[i] > '9'
	}
	if bad {
		return 0, fmt.Errorf("%s is not a plain decimal number", quoteShort(s))
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is larger than %d", quoteShort(s), int64(math.MaxInt64))
	}
	return n, nil
}

// checkText accepts what c2sp.org/signed-note allows in a note: valid UTF-8
// without control characters below U+0020 other than LF.
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("not valid UTF-8")
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 && s[i] != '\n' {
			return fmt.Errorf("control character 0x%02x at byte %d", s[i], i)
		}
	}
	return nil
}

// splitLines splits s, which must end in LF, into lines without their LF.
func splitLines(s string) ([]string, error) {
	s, ok := strings.CutSuffix(s, "\n")
	if !ok {
		return nil, errors.New("last line does not end in a newline")
	}
	return strings.Split(s, "\n"), nil
}

// quoteShort quotes untrusted input for an error message, cut to a length that
// people read.
func quoteShort(s string) string {
	const limit = 80
	if len(s) <= limit {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:limit]) + "…"
}
