package maintain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// States of a log that a publisher cannot even begin to judge.
const (
	HaltLedgerLost   log.HaltCode = "ledger-lost"
	HaltMoved        log.HaltCode = "moved" // to servers
	HaltBlobsLost    log.HaltCode = "blobs-lost"
	HaltStateLost    log.HaltCode = "state-lost"
	HaltTrillianAway log.HaltCode = "trillian-away" // passes by itself, or does not
	HaltTreeFrozen   log.HaltCode = "tree-frozen"   // somebody has frozen or removed Trillian's tree
	HaltServedLost   log.HaltCode = "served-lost"   // the file of the newest served checkpoint cannot be read
	HaltReplaced     log.HaltCode = "tree-replaced" // the log is in another tree than the front end was given
)

// Diagnosis is what is wrong with a log, and what to do. The zero Diagnosis says that all
// is well.
type Diagnosis struct {
	// Code and What say why the log cannot be served, Do what to do about it. Of several
	// reasons it is the first. What is empty if it can be served.
	Code log.HaltCode `json:"code,omitempty"`
	What string       `json:"what,omitempty"`
	Do   string       `json:"do,omitempty"`
	// Unready is why nothing can be published now, although the log is served.
	Unready string `json:"unready,omitempty"`
	// Faults are what else is wrong, although the log can be served.
	Faults []Fault `json:"faults,omitempty"`
}

// Fault is something that is wrong although the log can be served.
type Fault struct {
	What string `json:"what"`
	Do   string `json:"do"`
}

// Wrong reports whether a person has to look at the log.
func (d *Diagnosis) Wrong() bool { return d.What != "" || d.Unready != "" || len(d.Faults) > 0 }

// Explain keeps the first reason why the log cannot be served.
func (d *Diagnosis) Explain(code log.HaltCode, what, do string) {
	if d.What == "" {
		d.Code, d.What, d.Do = code, what, do
	}
}

// Fault adds a fault.
func (d *Diagnosis) Fault(what, do string) { d.Faults = append(d.Faults, Fault{what, do}) }

// Reading is the result of reading the parts of a log, which somebody else may write
// meanwhile. An error says that the part is lost or damaged: one that cannot be read just
// now says nothing about a log, and is not for here.
type Reading struct {
	// Parts are what could be read.
	Parts
	// Stored is the tree that the storage says it holds, and Position how far the derived
	// state is.
	Stored   proofs.Tree
	Position Position
	// Shared reports whether several front ends share the log.
	Shared bool
	// Why a part could not be read, nil if it could be. NoStorage is log.ErrLocked where
	// the log is served and its storage cannot be looked at.
	NoLedger, NoPublished, NoStorage, NoState, NoBlobs, NoTokens, NoServed error
	// Witnesses have what witnesses say. They were asked before the ledger was read, so
	// that the ledger knows everything that was signed by then.
	Witnesses []Witness
}

// Witness has the tree that a witness says it has cosigned.
type Witness struct {
	Size  int64  // of the tree
	Shows []byte // its newest checkpoint; nil: none
}

// Ahead is a witness that says something else than the ledger, or shows it.
type Ahead struct {
	Witness int   // which one
	Says    int64 // size of the tree
	// Shows is the tree under the log's signature that it shows; nil: none that the ledger
	// does not know, so that its word proves nothing.
	Shows *proofs.Tree
}

// Diagnose says what is wrong with a log, and which witnesses are ahead of it. The publisher
// is one that could go on; nil: none could, or the storage cannot be looked at.
func (r *Reading) Diagnose(ctx context.Context, d *Diagnosis) (ahead []Ahead, p *publisher.Publisher) {
	r.ledger(d)
	if r.NoTokens != nil {
		d.Fault(fmt.Sprintf("the tokens of repositories cannot be read: %v. Vendors count as strangers then: what they submit is held", r.NoTokens),
			"Bring back what is missing from a backup, and make lost tokens anew: logserver token add")
	}
	locked := errors.Is(r.NoStorage, log.ErrLocked)
	if r.NoStorage != nil && !locked {
		d.Explain(log.HaltStorageDamaged, r.NoStorage.Error(), r.storageAdvice())
	}
	if !locked {
		r.rest(d)
	}
	if r.NoLedger == nil && (r.NoStorage == nil || locked) {
		ahead = r.ahead(d)
	}
	if d.What != "" || locked {
		return ahead, nil
	}
	p, halt := r.Judge(ctx)
	if halt != nil {
		d.Explain(halt.Code, halt.What, halt.Do)
	}
	return ahead, p
}

// ledger says why there is no ledger.
func (r *Reading) ledger(d *Diagnosis) {
	var moved *logdir.MovedError
	switch {
	case r.NoLedger == nil:
	case errors.As(r.NoLedger, &moved):
		d.Explain(HaltMoved, r.NoLedger.Error(), "logserver status says, with --storage and --state, how it is there; if logserver migrate was broken off, run it again")
	default:
		d.Explain(HaltLedgerLost, fmt.Sprintf("the ledger, which says what this log has signed, cannot be read: %v", r.NoLedger),
			"Bring it back. If there is none left, make it anew from the published checkpoint: logserver resume --i-know ledger-lost")
	}
}

// storageAdvice says what to do about a storage that cannot be read.
func (r *Reading) storageAdvice() string {
	if r.Shared {
		return "The copy of Trillian's entries is damaged: logserver reindex --tiles makes it anew"
	}
	return "Restore tree/ from a backup that holds all signed entries"
}

// rest says which other parts cannot be read.
func (r *Reading) rest(d *Diagnosis) {
	if r.NoBlobs != nil {
		d.Explain(HaltBlobsLost, r.NoBlobs.Error(), "Restore blobs.db from a backup; logserver blob add puts back what it lacks")
	}
	if r.NoState != nil {
		d.Explain(HaltStateLost, fmt.Sprintf("the derived state cannot be read: %v", r.NoState), "Make it anew: logserver reindex")
	}
	if r.NoPublished != nil {
		d.Explain("", fmt.Sprintf("the published checkpoint cannot be read: %v", r.NoPublished), "Remove it; it is made anew")
	}
	if r.NoServed != nil {
		d.Explain(HaltServedLost, r.NoServed.Error(), "")
	}
}

// ahead returns the witnesses that have said something else than the ledger, or show it.
// What they show decides whether the log can be served.
func (r *Reading) ahead(d *Diagnosis) (list []Ahead) {
	signed, holds := r.Record.Edge.Tree(), proofs.Tree{N: math.MaxInt64}
	if r.NoStorage == nil {
		holds = r.Stored
	}
	for i, w := range r.Witnesses {
		halt := publisher.Beyond(w.Shows, r.Keys, signed, holds)
		if halt == nil && w.Size <= signed.N {
			continue
		}
		a := Ahead{Witness: i, Says: w.Size}
		if halt != nil {
			if cp, _, err := proofs.OpenCheckpoint(w.Shows, r.Keys...); err == nil {
				a.Shows, a.Says = &cp.Tree, max(w.Size, cp.Tree.N)
			}
			d.Explain(halt.Code, halt.What, halt.Do)
		}
		list = append(list, a)
	}
	return list
}

// OnlyCopyIsOld corrects what was said of a log on servers whose storage seems to have lost
// entries: Trillian has those that the copy lacks, and so only the database with ledger and
// copy is of an older date. trillian is its tree.
func (r *Reading) OnlyCopyIsOld(d *Diagnosis, ahead []Ahead, trillian proofs.Tree) {
	if d.Code != log.HaltStorageBehind || r.NoLedger != nil || r.NoStorage != nil {
		return
	}
	known, signed := r.Served.Newest().Tree.N, r.Record.Edge.Tree().N
	for _, a := range ahead {
		if a.Shows != nil {
			known = max(known, a.Shows.N)
		}
	}
	if known <= signed || trillian.N < known {
		return
	}
	d.Code = log.HaltLedgerBehind
	d.What = fmt.Sprintf("a tree of size %d was signed, and the ledger says that size %d was signed last: the state database is of an older date than Trillian, which has %d entries", known, signed, trillian.N)
	d.Do = "Bring back a newer state database, or bring the ledger forward: logserver resume --i-know ledger-behind --checkpoint FILE, with the newest checkpoint that a witness shows or that was served (DIR/served). Files that are missing then logserver fsck names, and logserver blob add puts back"
}

// FrontEnd is the row in which a front end that may lead describes itself.
type FrontEnd struct {
	URL   string
	Heard bool // it has just said so
	Able  bool // to lead and publish now
	// Why says what is in the way, or what else is wrong with one that is able.
	Why string
}

// FrontEnds says what is wrong with front ends: none that is there is able to lead, or one
// that is able needs a person.
func (d *Diagnosis) FrontEnds(all []FrontEnd) {
	able := false
	var why []string
	for _, f := range all {
		switch {
		case !f.Heard:
		case !f.Able:
			why = append(why, fmt.Sprintf("%s: %s", f.URL, f.Why))
		default:
			if able = true; f.Why != "" {
				d.Fault(fmt.Sprintf("the front end at %s says: %s", f.URL, f.Why),
					"Give its directory room, and the right to write there. Until then do not restart it while a database is brought back from an older date")
			}
		}
	}
	if !able && why != nil && d.What == "" && d.Unready == "" {
		d.Unready = "no front end is able to lead; " + strings.Join(why, "; ")
	}
}
