package httpd

import (
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/quota"
)

// Answers end at the published size and at quota.MaxFound, and say whether more is
// published.
func TestListingsAreBounded(t *testing.T) {
	found := make([]log.Listing, quota.MaxFound+1)
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
		{quota.MaxFound, quota.MaxFound, quota.MaxFound, false},
		{quota.MaxFound + 1, quota.MaxFound, quota.MaxFound, false},
		{quota.MaxFound + 1, quota.MaxFound + 1, quota.MaxFound, true},
	} {
		list, more := listingsJSON(found[:tt.found], tt.size)
		if list == nil || len(list) != tt.want || more != tt.more {
			t.Errorf("%d found in a log of %d: %d, %v; want %d, %v", tt.found, tt.size, len(list), more, tt.want, tt.more)
		}
	}
}
