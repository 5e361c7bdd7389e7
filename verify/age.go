package verify

import (
	"maps"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// provenAge is how old an entry is at least, if at most faulty witnesses lie:
// among the faulty+1 largest times of the newer proof one is honest, so now is
// not before the smallest of them; among the faulty+1 smallest of the older proof
// one is honest, so the entry was logged by the largest of them.
func provenAge(older, newer *Logged, faulty int) time.Duration {
	from := sortedTimes(timesOf(older.Checkpoint))
	to := sortedTimes(timesOf(newer.Checkpoint))
	if len(from) <= faulty || len(to) <= faulty {
		return 0
	}
	seconds := to[len(to)-1-faulty] - from[faulty]
	const most = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(max(seconds, 0), most)) * time.Second
}

// timesOf returns the time of each witness: keys under one name are one witness,
// and a time of zero says nothing. Of several times the largest is taken; that
// can only make an entry look younger.
func timesOf(c *proofs.SignedCheckpoint) map[string]int64 {
	times := map[string]int64{}
	for _, cosignature := range c.Cosignatures {
		if cosignature.Time > 0 {
			name := cosignature.Key.Name()
			times[name] = max(times[name], cosignature.Time)
		}
	}
	return times
}

func sortedTimes(times map[string]int64) []int64 {
	return slices.Sorted(maps.Values(times))
}
