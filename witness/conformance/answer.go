package conformance

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// answer is an HTTP answer, read.
type answer struct {
	status int
	typ    string // Content-Type, as sent
	body   string
}

func (a answer) String() string {
	text := a.body
	if len(text) > shownAnswer {
		text = text[:shownAnswer] + "…"
	}
	if text == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	return fmt.Sprintf("status %d, %q", a.status, text)
}

// size reads the size of a 409, leniently: the cases that test its form are
// strict.
func (a answer) size() (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(a.body), 10, 64)
	return n, a.status == http.StatusConflict && err == nil && n >= 0
}

// mediaType returns the media type without parameters.
func (a answer) mediaType() string {
	typ, _, err := mime.ParseMediaType(a.typ)
	if err != nil {
		return a.typ
	}
	return typ
}

// signatures reads the lines of an answer that are signature lines.
func (a answer) signatures() (sigs []proofs.Signature) {
	for line := range strings.SplitSeq(a.body, "\n") {
		if sig, err := proofs.ParseSignatures([]byte(line + "\n")); err == nil {
			sigs = append(sigs, sig...)
		}
	}
	return sigs
}
