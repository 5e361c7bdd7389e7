package page

import (
	"context"
	"errors"
	"fmt"
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
	if long, short := troubleFor(errTooMuch), troubleFor(errors.New("an outage")); long <= short || short <= 0 {
		t.Errorf("kept for %v and %v", long, short)
	}
	for _, err := range []error{context.Canceled, errBusy, errReplaced} {
		if !passing(fmt.Errorf("a file: %w", err)) {
			t.Errorf("%v is kept", err)
		}
	}
}
