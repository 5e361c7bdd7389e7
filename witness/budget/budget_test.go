package budget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Unix(1_700_000_000, 0)

// mostIn returns the most times in any window of a length.
func mostIn(times []time.Time, window time.Duration) int {
	slices.SortFunc(times, time.Time.Compare)
	most, from := 0, 0
	for i, t := range times {
		for t.Sub(times[from]) > window {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// Whatever asks, in whatever order, with restarts: no 24 hours have more than was declared,
// and one who asks all the time gets nearly all of it.
func TestNeverMoreThanDeclared(t *testing.T) {
	for _, rate := range []Rate{{PerDay: 1}, {PerDay: 2}, {PerDay: 3}, {PerDay: 24}, {PerDay: 100}, {PerDay: 864}, {PerDay: 8640}, {PerDay: 24, PerSecond: 0.001}, {PerSecond: 0.01}} {
		file := filepath.Join(t.TempDir(), "budget.json")
		b := New(rate, nil)
		if rate.PerDay <= 3 { // each request is synced
			b = New(rate, &File{Path: file})
		}
		rnd := rand.New(rand.NewPCG(1, uint64(rate.PerDay)))
		var sent []time.Time
		hungry := rate.PerDay > 0
		step := int64(time.Minute)
		if hungry {
			step = min(step*10, int64(rate.Every()))
		}
		for now := start; now.Before(start.Add(3 * day)); {
			kind := Growth
			if now.After(start.Add(2 * day)) { // by then it has only grown
				kind = Kind(rnd.IntN(3))
			}
			err := b.Take(t.Context(), "w", kind, now)
			var paced *PacedError
			switch {
			case err == nil:
				sent = append(sent, now)
			case !errors.As(err, &paced):
				t.Fatal(err)
			case kind == Growth && paced.Wait <= 0:
				t.Fatalf("%v: refused without a wait", rate)
			case kind == Growth && hungry && rnd.IntN(2) == 0:
				now = now.Add(paced.Wait)
				continue
			}
			now = now.Add(time.Duration(rnd.Int64N(step)))
			if b.store != nil && rnd.IntN(50) == 0 {
				b = New(rate, &File{Path: file})
			}
		}
		most := mostIn(sent, day)
		if want := rate.Daily(); int64(most) > want {
			t.Errorf("%v: %d requests in a day, declared are %d", rate, most, want)
		} else if rate.PerSecond == 0 && int64(most) < want*3/4 {
			t.Errorf("%v: %d requests in a day of %d: the budget is not used", rate, most, want)
		}
		if s := rate.space(); s > 0 && mostIn(sent, s-time.Nanosecond) > 1 {
			t.Errorf("%v: two requests within %v", rate, s)
		}
	}
}

// Refreshes and retries leave the reserve for new checkpoints.
func TestReserve(t *testing.T) {
	for _, n := range []int64{2, 3, 24, 864} {
		rate := Rate{PerDay: n}
		b := New(rate, nil)
		now := start
		drain := func(k Kind) (sent int64) {
			for b.Take(t.Context(), "w", k, now) == nil {
				sent++
			}
			return sent
		}
		drain(Growth)
		now = now.Add(2 * day) // it is full
		if got := drain(Refresh); got > 1 {
			t.Errorf("%v: %d refreshes at once", rate, got)
		}
		drain(Retry)
		if got, want := drain(Growth), min(rate.Reserve(), rate.Burst()-1); got < want {
			t.Errorf("%v: %d are left for new checkpoints, want %d", rate, got, want)
		}
		// Asked for all the time, refreshes get no more than half of what comes in.
		now = now.Add(2 * day)
		var refreshed int64
		for end := now.Add(5 * day); now.Before(end); now = now.Add(rate.Every() / 3) {
			refreshed += drain(Refresh)
		}
		if most := int64(5*day/rate.Every())/2 + 1; refreshed > most || refreshed < most/2 {
			t.Errorf("%v: %d refreshes in five days, want at most %d", rate, refreshed, most)
		}
		if got := drain(Growth); got < min(rate.Reserve(), rate.Burst()-1) {
			t.Errorf("%v: %d are left beside refreshes", rate, got)
		}
	}
}

// A clock that is set back by a year does not stop the log for a year.
func TestClockSetBack(t *testing.T) {
	b := New(Rate{PerDay: 24, PerSecond: 0.01}, nil)
	for b.Take(t.Context(), "w", Growth, start) == nil {
	}
	before := start.Add(-365 * day)
	if w := b.Wait("w", Growth, before); w <= 0 || w > b.Rate().Every() {
		t.Errorf("wait %v after the clock was set back", w)
	}
}

// kept is a Store for many restarts, without their waits for a disk.
type kept map[string][]byte

func (k kept) Update(_ context.Context, witness string, change func(old []byte) ([]byte, error)) error {
	next, err := change(k[witness])
	if err == nil {
		k[witness] = next
	}
	return err
}

// A clock that was ahead, by whatever time, delays the log by no more than a day, also over
// restarts, and does not let more through than was declared.
func TestClockWasAhead(t *testing.T) {
	for _, rate := range []Rate{{PerDay: 24}, {PerDay: 864}, {PerSecond: 0.01}, {PerDay: 864, PerSecond: 0.01}} {
		for _, ahead := range []time.Duration{2 * time.Minute, 5 * time.Hour, 400 * day} {
			for _, k := range []Kind{Growth, Retry, Refresh} {
				store := kept{}
				one, restarts := New(rate, store), func() *Budget { return New(rate, store) }
				memory := New(rate, nil)
				for _, b := range []*Budget{one, memory} {
					for b.Take(t.Context(), "w", Growth, start.Add(ahead)) == nil {
					}
				}
				var sent []time.Time
				var inMemory, byWait int
				for now := start; now.Before(start.Add(3 * day)); now = now.Add(20 * time.Minute) {
					if restarts().Take(t.Context(), "w", k, now) == nil {
						sent = append(sent, now)
					}
					if memory.Wait("w", k, now) == 0 {
						byWait++
					}
					if memory.Take(t.Context(), "w", k, now) == nil {
						inMemory++
					}
				}
				what := fmt.Sprintf("%v, %v ahead, kind %d", rate, ahead, k)
				if len(sent) < 8 || sent[0].Sub(start) > day || inMemory < 8 || byWait < 8 {
					t.Errorf("%s: %d sent in three days, %d with a count in memory, where %d may be", what, len(sent), inMemory, byWait)
				} else if n := mostIn(sent, day); int64(n) > rate.Daily() {
					t.Errorf("%s: %d sent in a day", what, n)
				}
			}
		}
	}
}

// A witness of which nothing is known, or whose state is damaged, is asked in the end for
// what leaves a reserve, too, whatever looks meanwhile.
func TestBeginsOnce(t *testing.T) {
	rate := Rate{PerDay: 24}
	for name, kept := range map[string]string{"lost": "{}", "damaged": "{"} {
		for _, k := range []Kind{Retry, Refresh} {
			path := filepath.Join(t.TempDir(), "budget.json")
			if err := os.WriteFile(path, []byte(kept), 0o644); err != nil {
				t.Fatal(err)
			}
			looks, takes := New(rate, &File{Path: path}), New(rate, nil)
			var waited, sent bool
			for now := start; now.Before(start.Add(2 * day)); now = now.Add(time.Hour) {
				if err := looks.Look(t.Context(), "w", now); err != nil {
					t.Fatal(err)
				}
				waited = waited || looks.Wait("w", k, now) == 0
				sent = sent || takes.Take(t.Context(), "w", k, now) == nil
			}
			taken := false
			for now := start.Add(2 * day); now.Before(start.Add(4 * day)); now = now.Add(time.Hour) {
				taken = taken || New(rate, &File{Path: path}).Take(t.Context(), "w", k, now) == nil
			}
			if !waited || !sent || !taken {
				t.Errorf("%s, kind %d: may be sent after looking %v, sent with a count in memory %v, with a file %v", name, k, waited, sent, taken)
			}
		}
	}
}

// After a smaller rate is declared, the day before counts.
func TestSmallerRate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "budget.json")
	b := New(Rate{PerDay: 8640}, &File{Path: path})
	for range 30 {
		if err := b.Take(t.Context(), "w", Growth, start); err != nil {
			t.Fatal(err)
		}
	}
	b = New(Rate{PerDay: 24}, &File{Path: path})
	if err := b.Take(t.Context(), "w", Growth, start.Add(23*time.Hour)); err == nil {
		t.Error("the day had 30 requests already, of 24")
	}
	if n := b.In24h("w", start.Add(23*time.Hour)); n != 30 {
		t.Errorf("counted %d requests, want 30", n)
	}
	if err := b.Take(t.Context(), "w", Growth, start.Add(day+slot)); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

// A file that is damaged, lost or cannot be written lets no more through.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "budget.json")
	rate := Rate{PerDay: 864}
	all := func() (sent int64) {
		b := New(rate, &File{Path: path})
		for b.Take(t.Context(), "w", Growth, start) == nil {
			sent++
		}
		return sent
	}
	if n := all(); n != rate.Reserve() {
		t.Errorf("%d at the beginning, want half of the burst, %d", n, rate.Reserve())
	}
	if n := all(); n != 0 {
		t.Errorf("%d more after a restart", n)
	}
	for _, bad := range []string{"", "{", `{"w": 7}`, `{"w":{"used":{"a":1}}}`, `[]`} {
		if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if n := all(); n != 1 {
			t.Errorf("%d after the file was %q, want 1", n, bad)
		}
	}
	b := New(rate, &File{Path: filepath.Join(t.TempDir(), "none", "budget.json")})
	if err := b.Take(t.Context(), "w", Growth, start); err == nil {
		t.Error("sent although it could not be counted")
	}
}

// Processes that share a store share the budget, and see what the others have used.
func TestShared(t *testing.T) {
	store := &File{Path: filepath.Join(t.TempDir(), "budget.json")}
	rate := Rate{PerDay: 864}
	var mu sync.Mutex
	var running sync.WaitGroup
	sent := 0
	for range 4 {
		running.Go(func() {
			b := New(rate, store)
			for b.Take(t.Context(), "w", Growth, start) == nil {
				mu.Lock()
				sent++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	if int64(sent) != rate.Reserve() {
		t.Errorf("four processes sent %d, want %d", sent, rate.Reserve())
	}
	b := New(rate, store)
	if err := b.Look(t.Context(), "w", start); err != nil || b.In24h("w", start) != int64(sent) || b.Wait("w", Growth, start) <= 0 {
		t.Errorf("a fifth sees %d requests, %v", b.In24h("w", start), err)
	}
}

func TestCheck(t *testing.T) {
	for _, r := range []Rate{{}, {PerDay: 1}, {PerDay: MaxPerDay}, {PerSecond: 1000}, {PerDay: 24, PerSecond: 0.1}} {
		if err := r.Check(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range []Rate{{PerDay: -1}, {PerDay: MaxPerDay + 1}, {PerSecond: -1}, {PerSecond: 1001}, {PerSecond: math.NaN()}, {PerSecond: math.Inf(1)}, {PerSecond: 1e-9}} {
		if err := r.Check(); err == nil {
			t.Errorf("%+v is taken", r)
		}
	}
}

// FuzzState reads whatever a store may hold.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"full":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z","used":{"2833333":3}}`), int64(24))
	f.Add([]byte(`{"used":{"2833333":9223372036854775807,"2833332":-5}}`), int64(1))
	f.Add([]byte(`damaged`), int64(86400))
	f.Fuzz(func(t *testing.T, kept []byte, perDay int64) {
		rate := Rate{PerDay: perDay}
		if perDay == 0 || rate.Check() != nil {
			return
		}
		s, _ := parse(kept, rate, start)
		if s.mend(rate, start); s.mend(rate, start) {
			t.Fatalf("%+v has to be mended again", s)
		}
		for _, k := range []Kind{Growth, Retry, Refresh} {
			if w := s.Wait(rate, k, start); w < 0 || w > never {
				t.Fatalf("wait %v", w)
			}
		}
		if w := s.Wait(rate, Growth, start); w > day+2*slot+2*rate.Every() {
			t.Fatalf("new checkpoints wait %v", w)
		}
		if n := s.In24h(start); n < 0 {
			t.Fatalf("%d requests", n)
		}
		s.take(rate, Growth, start)
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := parse(b, rate, start); !ok || again.In24h(start) != s.In24h(start) || !again.Full.Equal(s.Full) {
			t.Fatalf("%+v is read as %+v", s, again)
		}
	})
}

// docs/limits.md has the figures of the code.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{24, 144, 864, 8640, 86400} {
		r := Rate{PerDay: n}
		fresh := max(10*time.Minute, 2*r.Every()) // publisher.Config.Refresh
		row := fmt.Sprintf("| %d | %d | %v | %d | %v |\n", n, r.Burst(), short(r.Every()), r.Reserve(), short(fresh))
		if !strings.Contains(string(page), row) {
			t.Errorf("no row %s", row)
		}
	}
}

func short(d time.Duration) string {
	return strings.TrimSuffix(d.Round(time.Second).String(), "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(d.Round(time.Second).String(), "m0s")]
}
