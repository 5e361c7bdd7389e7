package proofs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// ParseHash reads the base64 of one SHA-256 hash, and no other spelling than String
// gives.
func ParseHash(s string) (Hash, error) {
	var buf [33]byte // what the decoder asks for: 44 characters may be 33 bytes
	if len(s) == 44 {
		if n, err := strict.Base64.Decode(buf[:], []byte(s)); n == len(Hash{}) && err == nil {
			return Hash(buf[:n]), nil
		}
	}
	b, err := strict.DecodeBase64(s)
	if err != nil {
		return Hash{}, fmt.Errorf("hash %s: %w", strict.Quote(s), err)
	}
	return Hash{}, fmt.Errorf("hash %s: %d bytes, want %d", strict.Quote(s), len(b), len(Hash{}))
}

// ParseDecimal reads 0 to 2^63-1 in ASCII digits, without sign or leading
// zeros.
func ParseDecimal(s string) (int64, error) {
	bad := s == "" || len(s) > 1 && s[0] == '0'
	for i := 0; i < len(s); i++ {
		bad = bad || s[i] < '0' || s[i] > '9'
	}
	if bad {
		return 0, fmt.Errorf("%s is not a plain decimal number", strict.Quote(s))
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is larger than %d", strict.Quote(s), int64(math.MaxInt64))
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
