package maintain

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/proofs"
)

// Of several things that are wrong the first is named, with what to do about it.
func TestDiagnose(t *testing.T) {
	lost := errors.New("lost")
	for _, tt := range []struct {
		name   string
		r      Reading
		code   log.HaltCode
		do     string
		faults int
	}{
		{name: "the ledger", r: Reading{NoLedger: fs.ErrNotExist, NoState: lost}, code: HaltLedgerLost, do: "resume --i-know ledger-lost"},
		{name: "the log was moved", r: Reading{NoLedger: &logdir.MovedError{}}, code: HaltMoved, do: "logserver migrate"},
		{name: "the storage", r: Reading{NoStorage: lost, NoBlobs: lost}, code: log.HaltStorageDamaged, do: "Restore tree/"},
		{name: "the copy", r: Reading{NoStorage: lost, Shared: true}, code: log.HaltStorageDamaged, do: "reindex --tiles"},
		{name: "the files", r: Reading{NoBlobs: lost, NoState: lost}, code: HaltBlobsLost, do: "blob add"},
		{name: "the derived state", r: Reading{NoState: lost, NoServed: lost}, code: HaltStateLost, do: "logserver reindex"},
		{name: "what was served", r: Reading{NoServed: lost}, code: HaltServedLost},
		{name: "the log is served, and its tokens are lost", r: Reading{NoStorage: log.ErrLocked, NoTokens: lost}, faults: 1},
	} {
		tt.r.Record.Edge = new(proofs.Edge)
		var d Diagnosis
		_, p := tt.r.Diagnose(t.Context(), &d)
		if p != nil || d.Code != tt.code || !strings.Contains(d.Do, tt.do) || len(d.Faults) != tt.faults || !d.Wrong() {
			t.Errorf("%s: %+v, want %s and %q", tt.name, d, tt.code, tt.do)
		}
	}
	if (&Diagnosis{}).Wrong() {
		t.Error("something is wrong with nothing")
	}
}

// A witness's word counts for nothing but itself: without a checkpoint under the log's
// signature it stops nothing.
func TestWitnessAhead(t *testing.T) {
	rec, err := recordOf(3)
	if err != nil {
		t.Fatal(err)
	}
	r := Reading{Parts: Parts{Record: rec}, NoStorage: log.ErrLocked, Witnesses: []Witness{{Size: 3}, {Size: 4}}}
	var d Diagnosis
	if ahead, _ := r.Diagnose(t.Context(), &d); len(ahead) != 1 || ahead[0] != (Ahead{Witness: 1, Says: 4}) || d.Wrong() {
		t.Errorf("ahead %+v, %+v", ahead, d)
	}
}

// Where Trillian has what the copy lacks and a witness shows, the database is old, and not
// Trillian.
func TestOnlyCopyIsOld(t *testing.T) {
	rec, err := recordOf(3)
	if err != nil {
		t.Fatal(err)
	}
	r, shown := Reading{Parts: Parts{Record: rec}}, []Ahead{{Says: 5, Shows: &proofs.Tree{N: 5}}}
	for _, tt := range []struct {
		trillian int64
		ahead    []Ahead
		want     log.HaltCode
	}{{4, shown, log.HaltStorageBehind}, {5, nil, log.HaltStorageBehind}, {5, shown, log.HaltLedgerBehind}} {
		d := Diagnosis{Code: log.HaltStorageBehind, What: "less"}
		if r.OnlyCopyIsOld(&d, tt.ahead, proofs.Tree{N: tt.trillian}); d.Code != tt.want {
			t.Errorf("Trillian has %d, shown %v: %s, want %s", tt.trillian, tt.ahead, d.Code, tt.want)
		}
	}
}

// One front end that is able is enough; one that is gone counts for nothing.
func TestFrontEndsAble(t *testing.T) {
	gone, unable := FrontEnd{URL: "gone", Able: true}, FrontEnd{URL: "unable", Heard: true, Why: "no agent"}
	able, full := FrontEnd{URL: "able", Heard: true, Able: true}, FrontEnd{URL: "full", Heard: true, Able: true, Why: "disk is full"}
	for _, tt := range []struct {
		all     []FrontEnd
		unready string
		faults  int
	}{
		{all: nil},
		{all: []FrontEnd{gone}},
		{all: []FrontEnd{gone, unable}, unready: "no front end is able to lead; unable: no agent"},
		{all: []FrontEnd{unable, able}},
		{all: []FrontEnd{unable, full}, faults: 1},
	} {
		var d Diagnosis
		if d.FrontEnds(tt.all); d.Unready != tt.unready || len(d.Faults) != tt.faults {
			t.Errorf("%+v: %+v", tt.all, d)
		}
	}
}
