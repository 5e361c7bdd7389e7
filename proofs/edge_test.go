package proofs

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestEdgeGrows(t *testing.T) {
	leaves := testLeaves(300)
	var e Edge
	if e.Tree() != EmptyTree {
		t.Errorf("zero edge has tree %v", e.Tree())
	}
	for n := range leaves {
		clone := e.Clone()
		if err := e.Append(leaves[n]); err != nil {
			t.Fatal(err)
		}
		if got, want := e.Tree(), refTree(leaves[:n+1]); got != want {
			t.Fatalf("tree %v, want %v", got, want)
		}
		// The clone stays behind and can take another way.
		if got, want := clone.Tree(), refTree(leaves[:n]); got != want {
			t.Fatalf("clone became %v, want %v", got, want)
		}
		if err := clone.Append(LeafHash(nil)); err != nil {
			t.Fatal(err)
		}
		if clone.Tree() == e.Tree() || e.Tree() != refTree(leaves[:n+1]) {
			t.Fatalf("size %d: clone and original share memory", n+1)
		}
		// And so does what was printed and read.
		text, err := e.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var read Edge
		if err := read.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		again, err := read.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if read.Tree() != e.Tree() || string(again) != string(text) {
			t.Fatalf("size %d: edge changed from %q to %q", n+1, text, again)
		}
		if err := read.Append(LeafHash(nil)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEdgeDoesNotKeepTheLeaf(t *testing.T) {
	var e Edge
	leaf := LeafHash([]byte("a"))
	if err := e.Append(leaf); err != nil {
		t.Fatal(err)
	}
	want := e.Tree()
	leaf[0] ^= 1
	if e.Tree() != want {
		t.Error("changing the leaf changed the edge")
	}
}

func TestEdgeText(t *testing.T) {
	var e Edge
	for i := range 3 {
		if err := e.Append(LeafHash(testEntry(i))); err != nil {
			t.Fatal(err)
		}
	}
	l := testLeaves(3)
	want := fmt.Sprintf("3\n%v\n%v\n", refNode(l[0], l[1]), l[2])
	if text, err := e.MarshalText(); err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
	empty, err := new(Edge).MarshalText()
	if err != nil || string(empty) != "0\n" {
		t.Errorf("empty edge prints as %q, %v", empty, err)
	}
	if err := e.UnmarshalText(empty); err != nil || e.Tree() != EmptyTree {
		t.Errorf("empty edge read as %v, %v", e.Tree(), err)
	}
	if text, err := e.MarshalText(); err != nil || string(text) != "0\n" {
		t.Errorf("empty edge read and printed is %q, %v", text, err)
	}
	if e.Clone().Tree() != EmptyTree || new(Edge).Clone().Tree() != EmptyTree {
		t.Error("clone of an empty edge is not empty")
	}
	if err := e.Append(l[0]); err != nil || e.Tree() != refTree(l[:1]) {
		t.Errorf("empty edge read does not grow: %v", err)
	}

	// It is a text for encoding/json.
	js, err := json.Marshal(struct{ Edge *Edge }{&e})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Edge *Edge }
	if err := json.Unmarshal(js, &back); err != nil || back.Edge.Tree() != e.Tree() {
		t.Errorf("%s read as %v, %v", js, back.Edge, err)
	}
}

func TestEdgeTextRefuses(t *testing.T) {
	h := LeafHash(nil).String() + "\n"
	for text, sub := range map[string]string{
		"":                          "line 1: last line does not end in a newline",
		"0":                         "line 1: last line does not end in a newline",
		"\n":                        "plain decimal",
		"0\n\n":                     "ends at line 2: 1 hashes for size 0",
		"0\n" + h:                   "1 hashes for size 0",
		"1\n":                       "0 hashes for size 1",
		"1\n" + h + h:               "2 hashes for size 1",
		"3\n" + h:                   "1 hashes for size 3",
		"1\n" + h[:44]:              "does not end in a newline",
		"1\n" + h + "\n":            "2 hashes for size 1",
		"1\n\n":                     "0 bytes, want 32",
		"01\n" + h:                  "line 1: size: \"01\" is not a plain decimal",
		"+1\n" + h:                  "plain decimal",
		"-1\n" + h:                  "plain decimal",
		" 1\n" + h:                  "plain decimal",
		"1\r\n" + h:                 "plain decimal",
		"1\n" + h[:44] + "\r\n":     "line 2: hash",
		"1\n" + h[:43] + "\n":       "base64",
		"1\nAAAA\n":                 "line 2: hash \"AAAA\": 3 bytes, want 32",
		"3\n" + h + h[1:]:           "line 3: hash",
		"9223372036854775808\n" + h: "larger than",
	} {
		e := new(Edge)
		if err := e.Append(LeafHash([]byte("before"))); err != nil {
			t.Fatal(err)
		}
		before := e.Tree()
		wantError(t, e.UnmarshalText([]byte(text)), sub)
		if e.Tree() != before {
			t.Errorf("%q: refused, but the edge changed", text)
		}
	}
}

func TestHugeEdge(t *testing.T) {
	u := newUniformTree()
	for _, n := range hugeSizes {
		var b strings.Builder
		fmt.Fprintf(&b, "%d\n", n)
		for level := 62; level >= 0; level-- {
			if n>>level&1 == 1 {
				b.WriteString(u.perfect[level].String() + "\n")
			}
		}
		var e Edge
		if err := e.UnmarshalText([]byte(b.String())); err != nil {
			t.Fatal(err)
		}
		if e.Tree() != u.tree(n) {
			t.Errorf("size %d: tree %v", n, e.Tree())
		}
		err := e.Append(u.perfect[0])
		if n == math.MaxInt64 {
			wantError(t, err, "is full")
			n--
		} else if err != nil {
			t.Errorf("size %d: %v", n, err)
		}
		if e.Tree() != u.tree(n+1) {
			t.Errorf("size %d and one more: tree %v", n, e.Tree())
		}
	}
}
