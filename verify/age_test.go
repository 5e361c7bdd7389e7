package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
)

// ages is a world in which an entry is logged at a time and proved at others, by witnesses
// of which some lie.
type ages struct {
	r      *rand.Rand
	keys   []proofs.Key
	logged int64
}

// proof is one that the honest witnesses among some cosign at or a little after a time,
// with a time that the others choose.
func (a *ages) proof(at int64, liars int, lie func() int64) *Logged {
	c := new(proofs.SignedCheckpoint)
	for i, key := range a.keys {
		unix := at + a.r.Int64N(60)
		switch {
		case i < liars:
			unix = lie()
		case a.r.IntN(5) == 0:
			continue // it has not cosigned
		}
		c.Cosignatures = append(c.Cosignatures, proofs.Cosignature{Key: key, Time: unix})
	}
	a.r.Shuffle(len(c.Cosignatures), func(i, j int) {
		c.Cosignatures[i], c.Cosignatures[j] = c.Cosignatures[j], c.Cosignatures[i]
	})
	return &Logged{Checkpoint: c}
}

// With at most f witnesses that lie, whatever they say, an entry is never proved to be
// older than it is; with one more it can be. And without lies its age is proved but for
// the minute in which the witnesses cosigned.
func TestAgeAndLyingWitnesses(t *testing.T) {
	const minute = 60
	for _, world := range []struct{ witnesses, f int }{{3, 0}, {3, 1}, {5, 1}, {5, 2}, {7, 2}, {7, 3}} {
		t.Run(fmt.Sprintf("%d of %d", world.f, world.witnesses), func(t *testing.T) {
			a := &ages{r: rand.New(rand.NewPCG(uint64(world.witnesses), uint64(world.f))), logged: 1_767_225_600}
			for i := range world.witnesses {
				a.keys = append(a.keys, testlog.NewSigner(t, fmt.Sprintf("w%d.example", i), proofs.CosignatureV1).Key())
			}
			fooled := false
			for range 500 {
				now := a.logged + 2*minute + a.r.Int64N(100*24*3600)
				lies := []int64{0, 1, a.logged - 1e9, a.logged, now, now + 1e9, 1<<63 - 1}
				lie := func() int64 { return lies[a.r.IntN(len(lies))] }
				for liars := range world.f + 2 {
					first, newer := a.proof(a.logged, liars, lie), a.proof(now-minute, liars, lie)
					age := ageBetween(loggedBy(first, world.f), cosignedAt(newer, world.f))
					real := time.Duration(now-a.logged) * time.Second
					switch {
					case liars <= world.f && age > real:
						t.Fatalf("%d liars: proved %v, and it is %v old", liars, age, real)
					case liars > world.f && age > real:
						fooled = true
					case liars == 0 && len(first.Checkpoint.Cosignatures) > world.f && len(newer.Checkpoint.Cosignatures) > world.f && age < real-3*minute*time.Second:
						t.Fatalf("no liars: proved %v, and it is %v old", age, real)
					}
				}
			}
			if !fooled {
				t.Errorf("%d liars never made it older: the test looks at nothing", world.f+1)
			}
		})
	}
}

// An honest majority of none is no age, and neither is a difference that is too large to
// be a time.
func TestAgeBetween(t *testing.T) {
	for _, tt := range []struct {
		logged, passed int64
		want           time.Duration
	}{
		{0, 100, 0}, {100, 0, 0}, {100, 100, 0}, {100, 99, 0}, {100, 101, time.Second},
		{-5, 100, 0}, {1, 1<<63 - 1, (1<<63 - 1) / time.Second * time.Second},
	} {
		if got := ageBetween(tt.logged, tt.passed); got != tt.want {
			t.Errorf("%d to %d: %v, want %v", tt.logged, tt.passed, got, tt.want)
		}
	}
	key := testlog.NewSigner(t, "w.example", proofs.CosignatureV1).Key()
	again := testlog.NewSigner(t, "w.example", proofs.CosignatureV1).Key()
	one := &Logged{Checkpoint: &proofs.SignedCheckpoint{Cosignatures: []proofs.Cosignature{{Key: key, Time: 5}, {Key: again, Time: 9}}}}
	if got := []int64{loggedBy(one, 0), loggedBy(one, 1), cosignedAt(one, 0), cosignedAt(one, 1)}; !slices.Equal(got, []int64{9, 0, 9, 0}) {
		t.Errorf("two keys of one witness: %d", got)
	}
}
