package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
	"github.com/tuflog/tuflog/audit/anchored"
)

// Of many entries that fit no tree, the newest orphans are printed: others can make any number of older
// ones, and of open ones.
func TestNewestOrphansArePrinted(t *testing.T) {
	said := anchorAudit{Log: "log.example", Instances: []anchorInstance{{Instance: "rekor1"}}}
	one := &said.Instances[0]
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 2 * maxPrinted {
		e := anchored.Entry{Digest: fmt.Sprintf("%064x", n), Time: began.Add(time.Duration(n) * time.Minute)}
		one.add([]anchored.Judged{{Entry: e, Verdict: anchor.Orphan, Size: -1}})
	}
	for n := range maxPrinted {
		one.add([]anchored.Judged{{Entry: anchored.Entry{Digest: fmt.Sprintf("%064x", 1000+n), Time: began.Add(time.Hour * 24)}, Verdict: anchor.Open, Size: -1}})
	}
	var out strings.Builder
	if err := said.print(&out); err != nil {
		t.Fatal(err)
	}
	for n := maxPrinted; n < 2*maxPrinted; n++ {
		if !strings.Contains(out.String(), one.Entries[n].Digest) {
			t.Fatalf("not printed: %s\n%s", one.Entries[n].Digest, &out)
		}
	}
	if !strings.Contains(out.String(), fmt.Sprintf("and %d more", 2*maxPrinted)) {
		t.Error(out.String())
	}
}
