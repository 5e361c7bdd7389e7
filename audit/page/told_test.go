package page

import (
	"context"
	"errors"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
)

// Files that are too many are not read at all, which is kept; that somebody went away is not.
func TestFits(t *testing.T) {
	release := func(role string, size int64) admit.Record {
		return admit.Record{Leaf: leaf.Leaf{Role: role, Size: size}}
	}
	records := []admit.Record{release("targets", maxRead-10), release("root", 10), release("plugins", 1)}
	for role, want := range map[string]error{"": errTooMuch, "targets": nil, "plugins": nil} {
		if err := fits(records, role); !errors.Is(err, want) {
			t.Errorf("%q: %v", role, err)
		}
	}
	if err := fits(records[:2], ""); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if long, short := troubleFor(ctx, errTooMuch), troubleFor(ctx, errors.New("an outage")); long <= short || short <= 0 {
		t.Errorf("kept for %v and %v", long, short)
	}
	if cancel(); troubleFor(ctx, ctx.Err()) != 0 {
		t.Error("that a client went away is kept")
	}
}
