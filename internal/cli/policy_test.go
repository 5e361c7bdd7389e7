package cli

import (
	"crypto/rand"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

func TestLogURL(t *testing.T) {
	key := func(origin string) string {
		s, err := proofs.GenerateSigner(rand.Reader, origin, proofs.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		return s.Key().String()
	}
	one, next, other := key("log.example/one"), key("log.example/one"), key("log.example/other")
	const at, elsewhere = " http://log.example/", " http://elsewhere.example/"
	for _, tt := range []struct {
		name, policy, want string // nothing is wanted: it is refused
	}{
		{"one log", "log " + one + at, "http://log.example/"},
		{"one log, and no URL", "log " + one, ""},
		{"one log by two keys", "log " + one + at + "\nlog " + next + at, "http://log.example/"},
		{"one log by two keys at two places", "log " + one + at + "\nlog " + next + elsewhere, ""},
		{"one log by two keys, one without URL", "log " + one + at + "\nlog " + next, ""},
		{"two logs at two places", "log " + one + at + "\nlog " + other + elsewhere, ""},
		{"two logs at one place", "log " + one + at + "\nlog " + other + at, ""},
	} {
		policy, err := proofs.ParsePolicy([]byte(tt.policy + "\nquorum none\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := LogURL("", policy); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}
