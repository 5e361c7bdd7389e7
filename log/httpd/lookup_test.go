package httpd

import (
	"testing"

	"github.com/tuflog/tuflog/log"
)

// Answers end at the published size and at maxFound, and say whether more is
// published.
func TestListingsAreBounded(t *testing.T) {
	found := make([]log.Listing, maxFound+1)
	for i := range found {
		found[i].Index = int64(i)
	}
	for _, tt := range []struct {
		found int
		size  int64
		want  int
		more  bool
	}{
		{0, 5, 0, false},
		{5, 5, 5, false},
		{6, 5, 5, false},
		{5, 0, 0, false},
		{maxFound, maxFound, maxFound, false},
		{maxFound + 1, maxFound, maxFound, false},
		{maxFound + 1, maxFound + 1, maxFound, true},
	} {
		list, more := listingsJSON(found[:tt.found], tt.size)
		if list == nil || len(list) != tt.want || more != tt.more {
			t.Errorf("%d found in a log of %d: %d, %v; want %d, %v", tt.found, tt.size, len(list), more, tt.want, tt.more)
		}
	}
}
