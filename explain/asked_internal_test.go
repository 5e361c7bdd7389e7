package explain

import (
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// "It newly delegates … to maps, which takes 1 of 1 keys" goes on as one sentence.
func TestAsked(t *testing.T) {
	ends := tuf.DelegatedRole{Terminating: true}
	for _, tt := range []struct {
		role   tuf.DelegatedRole
		at, of int
		want   string
	}{
		{tuf.DelegatedRole{}, 0, 1, ""},
		{ends, 0, 1, " and ends the search for these paths"},
		{tuf.DelegatedRole{}, 0, 2, " and is asked before the others"},
		{tuf.DelegatedRole{}, 1, 2, " and is asked after the others"},
		{ends, 1, 3, ", is asked after 1 other and ends the search for these paths"},
	} {
		if got := asked(tt.role, tt.at, tt.of); got != tt.want {
			t.Errorf("%d of %d: %q, want %q", tt.at, tt.of, got, tt.want)
		}
	}
}
