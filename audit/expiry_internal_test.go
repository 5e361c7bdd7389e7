package audit

import (
	"testing"
	"time"
)

func TestLife(t *testing.T) {
	const day = 24 * 3600
	week := []int64{7 * day, 7 * day, 7 * day, 7 * day}
	tests := []struct {
		name  string
		role  string
		life  lifetime
		ahead int64 // seconds before it expires; 0: never
	}{
		{"a root", "root", lifetime{Expires: 1000 * day}, 14 * day},
		{"a root that was seen when it was logged", "root", lifetime{Expires: 1000 * day, After: 799 * day, Seen: 800 * day}, 14 * day},
		{"targets for a day", "targets", lifetime{Expires: 1000 * day, After: 999*day - 60, Seen: 999 * day}, day / 3},
		{"targets for a day, seen late", "targets", lifetime{Expires: 1000 * day, After: 998 * day, Seen: 999 * day}, 14 * day},
		{"a timestamp that was seen when it was logged", "timestamp", lifetime{Expires: 1000 * day, After: 993*day - 60, Seen: 993 * day, Distances: []int64{day, day, day, day}}, 7 * day / 3},
		{"a timestamp seen late", "timestamp", lifetime{Expires: 1000 * day, After: 900 * day, Seen: 999 * day, Distances: week}, 7 * day / 3},
		{"a timestamp of a first replay", "timestamp", lifetime{Expires: 1000 * day, Seen: 999 * day, Distances: week}, 7 * day / 3},
		{"after a lapse and a burst", "timestamp", lifetime{Expires: 1000 * day, Seen: 999 * day, Distances: []int64{60, 7 * day, 7 * day, 7 * day, 90 * day}}, 7 * day / 3},
		{"too few to have a habit", "snapshot", lifetime{Expires: 1000 * day, Seen: 999 * day, Distances: week[:2]}, 0},
		{"a snapshot for ten years", "snapshot", lifetime{Expires: 4000 * day, After: 350*day - 60, Seen: 350 * day}, 14 * day},
		{"one that had expired when it was logged", "snapshot", lifetime{Expires: 1000 * day, After: 1001*day - 60, Seen: 1001 * day}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			since, compared := tt.life.runsOut(tt.role)
			switch {
			case tt.ahead == 0 && !since.IsZero():
				t.Errorf("runs out since %v, want never (%s)", since, compared)
			case tt.ahead != 0 && !since.Equal(time.Unix(tt.life.Expires-tt.ahead, 0)):
				t.Errorf("runs out since %v, want %d s before %d (%s)", since, tt.ahead, tt.life.Expires, compared)
			}
		})
	}
}
