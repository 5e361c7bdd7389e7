package monitor

import (
	"context"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/audit/anchored"
	"github.com/tuflog/tuflog/audit/expected"
)

// endUnwatched ends the findings about live repositories and expectations that are not in the
// configuration any more: nothing looks at these again.
func (f *follower) endUnwatched(ctx context.Context) error {
	names, err := f.a.WatchedNames(ctx)
	if err != nil {
		return err
	}
	watched := []string{}
	for _, l := range f.live {
		watched = append(watched, l.what())
	}
	for _, e := range f.expected {
		name := f.log.Repositories[e.repository].Name
		watched = append(watched, expected.WatchedName(name), expected.UnseenName(name))
	}
	for _, k := range f.keepers {
		watched = append(watched, anchored.WatchedName(k.Status().Instance))
	}
	for _, name := range names {
		ours := strings.HasPrefix(name, liveWatched) || strings.HasPrefix(name, idWatched) ||
			strings.HasPrefix(name, expected.WatchedName("")) || strings.HasPrefix(name, expected.UnseenName("")) || strings.HasPrefix(name, anchored.WatchedName(""))
		if !ours || slices.Contains(watched, name) {
			continue
		}
		if err := f.a.Watched(ctx, name, nil); err != nil {
			return err
		}
	}
	return nil
}

// idWatched is what names began with under which versions before this one watched ids of which
// the configuration had the beginning.
const idWatched = "id "
