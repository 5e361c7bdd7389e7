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
	if strings.IndexByte(s, '\r') >= 0 || strings.IndexByte(s, '\n') >= 0 {
		return nil, errors.New("line break in base64")
	}
	return strictBase64.DecodeString(s)
}

func encodeBase64(b []byte) string {
	return base64.StdEncoding.EncodeToString(b)
}

// ParseHash reads the base64 of one SHA-256 hash, and no other spelling than String
// gives.
func ParseHash(s string) (Hash, error) {
	var buf [33]byte // what the decoder asks for: 44 characters may be 33 bytes
	if len(s) == 44 {
		if n, err := strictBase64.Decode(buf[:], []byte(s)); n == len(Hash{}) && err == nil {
			return Hash(buf[:n]), nil
		}
	}
	b, err := decodeBase64(s)
	if err != nil {
		return Hash{}, fmt.Errorf("hash %s: %w", quoteShort(s), err)
	}
	return Hash{}, fmt.Errorf("hash %s: %d bytes, want %d", quoteShort(s), len(b), len(Hash{}))
}

// ParseDecimal reads 0 to 2^63-1 in ASCII digits, without sign or leading
// zeros.
func ParseDecimal(s string) (int64, error) {
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
// without control characters below U+0020 other than LF. Its first line counts
// as line first in errors.
func checkText(s string, first int) error {
	if !utf8.ValidString(s) {
		for i, r := range s {
			if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
				return fmt.Errorf("line %d: not valid UTF-8 at byte %d of the line", first+strings.Count(s[:i], "\n"), column(s, i))
			}
		}
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 && s[i] != '\n' {
			return fmt.Errorf("line %d: control character 0x%02x at byte %d of the line", first+strings.Count(s[:i], "\n"), s[i], column(s, i))
		}
	}
	return nil
}

// column returns where in its line s[i] stands, from 1.
func column(s string, i int) int { return i - strings.LastIndexByte(s[:i], '\n') }

// checkEnd checks that the last line of s ends in LF.
func checkEnd(s string, first int) error {
	if !strings.HasSuffix(s, "\n") {
		return fmt.Errorf("line %d: last line does not end in a newline", first+strings.Count(s, "\n"))
	}
	return nil
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
