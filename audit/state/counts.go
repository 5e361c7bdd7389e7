package state

import (
	"context"
	"encoding/json"
	"maps"
)

// countsName is the value that has how many leaves have each verdict: a report need not read
// a million leaves to say so.
const countsName = "verdicts"

// loadCounts reads how many leaves have each verdict. What is not that of all leaves, as of a
// state that had no such counts, is not known.
func (r *Reader) loadCounts(ctx context.Context) error {
	r.counts = nil
	text, err := r.Get(ctx, countsName)
	if err != nil {
		return err
	}
	counts, total := map[Verdict]int64{}, int64(0)
	if text != "" && json.Unmarshal([]byte(text), &counts) != nil {
		return nil
	}
	for _, n := range counts {
		total += n
	}
	if total == r.size {
		r.counts = counts
	}
	return nil
}

// saveCounts writes them; nothing if they are not known.
func (db *DB) saveCounts(ctx context.Context) error {
	text := ""
	if db.counts != nil {
		b, err := json.Marshal(db.counts)
		if err != nil {
			return err
		}
		text = string(b)
	}
	return db.Set(ctx, countsName, text)
}

// count counts a leaf that was appended.
func (db *DB) count(v Verdict) {
	if db.counts != nil {
		db.counts[v]++
	}
}

// recount counts a leaf whose verdict changes.
func (db *DB) recount(ctx context.Context, index int64, to Verdict) error {
	if db.counts == nil {
		return nil
	}
	var was int64
	ok, err := db.row(ctx, "SELECT verdict FROM leaves WHERE leaf = ?", []any{index}, &was)
	if err != nil || !ok {
		return err
	}
	from, err := word(verdicts, was)
	if err != nil {
		return err
	}
	if db.counts[from]--; db.counts[from] == 0 {
		delete(db.counts, from)
	}
	db.counts[to]++
	return nil
}

// Verdicts returns how many leaves have each verdict. They are counted where that is not
// known: in a state of a version that did not.
func (r *Reader) Verdicts(ctx context.Context) (map[Verdict]int64, error) {
	if r.counts == nil && r.file > 0 { // a View's: what is written down is as new as the rest
		if err := r.loadCounts(ctx); err != nil {
			return nil, err
		}
	}
	if r.counts == nil {
		counts, err := r.countVerdicts(ctx)
		if err != nil {
			return nil, err
		}
		r.counts = counts
	}
	return maps.Clone(r.counts), nil
}

func (r *Reader) countVerdicts(ctx context.Context) (map[Verdict]int64, error) {
	counts := map[Verdict]int64{}
	err := r.each(ctx, "SELECT verdict, count(*) FROM leaves GROUP BY verdict", nil, func(scan func(...any) error) error {
		var verdict, n int64
		if err := scan(&verdict, &n); err != nil {
			return err
		}
		v, err := word(verdicts, verdict)
		counts[v] = n
		return err
	})
	return counts, err
}

// checkCounts compares what is kept with what is there.
func (r *Reader) checkCounts(ctx context.Context) error {
	if r.counts == nil {
		return nil
	}
	counts, err := r.countVerdicts(ctx)
	if err == nil && !maps.Equal(counts, r.counts) {
		err = damaged("its leaves have the verdicts %v, and it says that they have %v", counts, r.counts)
	}
	return err
}
