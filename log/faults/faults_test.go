package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// TestFaults is the short form: every kind of fault, a few times. What cannot be
// injected on this machine is skipped, with the reason.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills many processes")
	}
	programs := t.TempDir()
	if err := build(t.Context(), programs); err != nil {
		t.Fatal(err)
	}
	// They mostly wait for processes, so more run at once than there are CPUs.
	results := make([]chan result, len(scenarios))
	slots := make(chan struct{}, 6)
	for i, s := range scenarios {
		results[i] = make(chan result, 1)
		go func() {
			slots <- struct{}{}
			results[i] <- short(t.Context(), s, programs)
			<-slots
		}()
	}
	for i, s := range scenarios {
		r := <-results[i]
		t.Run(s.name, func(t *testing.T) { r.show(t) })
	}
}

// result is what came of a scenario.
type result struct {
	seed uint64
	rows []row
	said []string
	err  error
}

func short(ctx context.Context, s scenario, programs string) (r result) {
	r.seed = uint64(time.Now().UnixNano())
	h, err := newHarness(shortCounts, "", programs, r.seed)
	if err != nil {
		return result{err: err}
	}
	h.say = func(format string, args ...any) { r.said = append(r.said, fmt.Sprintf(format, args...)) }
	began := time.Now()
	r.rows, err = s.run(ctx, h)
	h.say("%v", time.Since(began).Round(time.Millisecond))
	r.err = errors.Join(err, h.close())
	return r
}

func (r result) show(t *testing.T) {
	for _, said := range r.said {
		t.Log(said)
	}
	if r.err != nil {
		t.Fatalf("seed %d: %v", r.seed, r.err)
	}
	skipped := 0
	for _, row := range r.rows {
		t.Logf("%s: %d injected; %s", row.fault, row.injected, row.saw())
		if row.held != nil {
			t.Errorf("seed %d: %s did not hold: %v", r.seed, row.fault, row.held)
		}
		if row.skipped != "" {
			skipped++
		}
	}
	if skipped == len(r.rows) {
		t.Skip(r.rows[0].skipped)
	}
}

// The harness must notice what it is there for.
func TestRecordNotices(t *testing.T) {
	v, err := newVendor()
	if err != nil {
		t.Fatal(err)
	}
	rels := []release{v.genesis(), v.next(), v.next()}
	whole, edge := newHistory(), new(proofs.Edge)
	for _, rel := range rels {
		if err := whole.grow(edge, rel.leaf.Marshal()); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(rel release, index int64) *verify.Logged {
		return &verify.Logged{Leaf: rel.leaf, Index: index, Checkpoint: &proofs.SignedCheckpoint{Checkpoint: proofs.Checkpoint{Tree: whole.trees[3]}}}
	}
	for _, tt := range []struct {
		name string
		do   func(r *record)
		want string
	}{
		{"fine", func(r *record) {
			r.acknowledge(rels[1], logged(rels[1], 1))
			r.serve(whole.trees[2])
			r.sign(whole.trees[3])
		}, ""},
		{"lost", func(r *record) { r.acknowledge(rels[1], logged(rels[1], 5)) }, "LOST: index 5"},
		{"another leaf", func(r *record) { r.acknowledge(rels[1], logged(rels[1], 2)) }, "LOST: the leaf acknowledged at index 2"},
		{"two indices", func(r *record) {
			r.acknowledge(rels[1], logged(rels[1], 1))
			r.acknowledge(rels[1], logged(rels[1], 2))
		}, "at index 1 and at 2"},
		{"two leaves", func(r *record) {
			r.acknowledge(rels[1], logged(rels[1], 1))
			r.acknowledge(rels[2], logged(rels[2], 1))
		}, "index 1 was acknowledged for"},
		{"signed fork", func(r *record) { r.sign(proofs.Tree{N: 2, Hash: whole.trees[1].Hash}) }, "FORK: a checkpoint of size 2"},
		{"published fork", func(r *record) { r.serve(proofs.Tree{N: 9, Hash: whole.trees[1].Hash}) }, "FORK: a checkpoint of size 9"},
		{"gone back", func(r *record) { r.serve(whole.trees[3]); r.serve(whole.trees[2]) }, "size 2 was served after one of size 3"},
	} {
		r := newRecord()
		tt.do(r)
		if err := r.compare(whole); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	twice := newHistory()
	if err := twice.grow(new(proofs.Edge), whole.entries[0], whole.entries[1], whole.entries[0]); err != nil {
		t.Fatal(err)
	}
	if err := newRecord().compare(twice); err == nil || !strings.Contains(err.Error(), "entries 0 and 2 are the same leaf") {
		t.Errorf("the same leaf twice: %v", err)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	code := printTable(&b, []row{
		{fault: "a", injected: 3, outcomes: map[string]int{"y": 1, "x": 2}},
		{fault: "b", skipped: "no root"},
		{fault: "c", held: errors.New("lost")},
	})
	for _, want := range []string{"| a | 3 | x: 2; y: 1 | yes |", "| b | 0 | skipped: no root | - |", "| c | 0 |  | **NO** |", "c did not hold:\nlost"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, &b)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
}
