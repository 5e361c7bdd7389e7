package rehearsal

import (
	"errors"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// The harness must notice what it is there for.
func TestRecordNotices(t *testing.T) {
	v, err := NewVendor()
	if err != nil {
		t.Fatal(err)
	}
	rels := []Release{v.Genesis(), v.Next(), v.Next()}
	whole, edge := NewHistory(), new(proofs.Edge)
	for _, rel := range rels {
		if err := whole.Grow(edge, rel.Leaf.Marshal()); err != nil {
			t.Fatal(err)
		}
	}
	logged := func(rel Release, index int64) *verify.Logged {
		return &verify.Logged{Leaf: rel.Leaf, Index: index, Checkpoint: &proofs.SignedCheckpoint{Checkpoint: proofs.Checkpoint{Tree: whole.Trees[3]}}}
	}
	for _, tt := range []struct {
		name string
		do   func(r *Record)
		want string
	}{
		{"fine", func(r *Record) {
			r.Acknowledge(rels[1], logged(rels[1], 1))
			r.Serve("", whole.Trees[2])
			r.Sign(whole.Trees[3])
		}, ""},
		{"lost", func(r *Record) { r.Acknowledge(rels[1], logged(rels[1], 5)) }, "LOST: index 5"},
		{"another leaf", func(r *Record) { r.Acknowledge(rels[1], logged(rels[1], 2)) }, "LOST: the leaf acknowledged at index 2"},
		{"two indices", func(r *Record) {
			r.Acknowledge(rels[1], logged(rels[1], 1))
			r.Acknowledge(rels[1], logged(rels[1], 2))
		}, "at index 1 and at 2"},
		{"two leaves", func(r *Record) {
			r.Acknowledge(rels[1], logged(rels[1], 1))
			r.Acknowledge(rels[2], logged(rels[2], 1))
		}, "index 1 was acknowledged for"},
		{"signed fork", func(r *Record) { r.Sign(proofs.Tree{N: 2, Hash: whole.Trees[1].Hash}) }, "FORK: a checkpoint of size 2"},
		{"published fork", func(r *Record) { r.Serve("", proofs.Tree{N: 9, Hash: whole.Trees[1].Hash}) }, "FORK: a checkpoint of size 9"},
		{"gone back", func(r *Record) { r.Serve("", whole.Trees[3]); r.Serve("", whole.Trees[2]) }, "size 2 was served after one of size 3"},
	} {
		r := NewRecord()
		tt.do(r)
		if err := r.Compare(whole); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	twice := NewHistory()
	if err := twice.Grow(new(proofs.Edge), whole.Entries[0], whole.Entries[1], whole.Entries[0]); err != nil {
		t.Fatal(err)
	}
	if err := NewRecord().Compare(twice); err == nil || !strings.Contains(err.Error(), "entries 0 and 2 are the same leaf") {
		t.Errorf("the same leaf twice: %v", err)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	code := PrintTable(&b, []Row{
		{Fault: "a", Injected: 3, Outcomes: map[string]int{"y": 1, "x": 2}},
		{Fault: "b", Skipped: "no root"},
		{Fault: "c", Held: errors.New("lost")},
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
