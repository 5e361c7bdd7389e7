package api

import (
	"crypto/rand"
	"strings"
)

// Token is a repository's token. Submissions that carry it as a bearer token count
// as the vendor's.
type Token struct {
	ID   string `json:"id"`             // its name in the operator's lists
	Text string `json:"text,omitempty"` // to be sent; empty where the client chose it. No other answer has it
}

// HeaderToken is a header of POST /v1/repositories: the token that a client with
// the registration token chooses for the new repository (CheckToken). A client
// that chooses it knows it even if the answer is lost.
const HeaderToken = "Tuflog-Token"

// GenerateToken returns the text of a new token: 26 letters and digits, 130 random
// bits.
func GenerateToken() string { return rand.Text() }

// CheckToken reports whether a text can be a token: it is long enough not to be
// guessed (22 to 128 bytes), and has only characters that a header allows.
func CheckToken(text string) bool {
	const least, most = 22, 128
	return len(text) >= least && len(text) <= most && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") == ""
}
