package postgres

import (
	"crypto/rand"
	"io/fs"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// A log arrives as a whole, once, and cannot be served before.
func TestArrive(t *testing.T) {
	const origin, storage = "log.example", "trillian tree 7"
	db := open(t, newDatabase(t), 0)
	check(t, db.CreateArriving(t.Context(), origin, storage))
	refused(t, "make it again", db.CreateArriving(t.Context(), origin, storage), fs.ErrExist, origin)
	_, name, err := db.Log(t.Context())
	check(t, err)
	if got, yet := Arriving(name); got != storage || !yet {
		t.Errorf("arriving: %q, %v", got, yet)
	}
	refused(t, "serve it too early", db.CheckStorage(t.Context(), storage), nil, "on its way")
	id, err := db.ID(t.Context())
	check(t, err)

	signer, err := proofs.GenerateSigner(rand.Reader, origin, proofs.Ed25519)
	check(t, err)
	edge := new(proofs.Edge)
	check(t, edge.Append(proofs.LeafHash([]byte("entry"))))
	text := proofs.Checkpoint{Origin: origin, Tree: edge.Tree()}.String()
	sig, err := signer.Sign(text, 0)
	check(t, err)
	note := proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal()
	a := maintain.Arrival{
		Record:     log.LedgerRecord{Origin: origin, Edge: edge, Signed: 1700000000, Note: note},
		Checkpoint: note,
		Actions:    []maintain.Action{{Action: "freeze"}, {Action: "migrate"}},
	}
	l := lead(t, db, "mover")
	other := a
	other.Record.Origin = "other.example"
	refused(t, "another log arrives", db.Arrive(t.Context(), l, storage, other), fs.ErrExist, "other.example")
	refused(t, "it arrives from elsewhere", db.Arrive(t.Context(), l, "trillian tree 8", a), fs.ErrExist, "tree 8")
	bad := a
	bad.Checkpoint = []byte("nonsense")
	if err := db.Arrive(t.Context(), l, storage, bad); err == nil {
		t.Error("a checkpoint that is none arrived")
	}
	nothing := func(when string) {
		t.Helper()
		rec, err := db.Ledger(nil).Load(t.Context())
		check(t, err)
		published, err := db.Checkpoints(nil).Load(t.Context())
		check(t, err)
		actions, err := db.Actions(t.Context())
		check(t, err)
		if rec.Edge.Tree().N > 0 || published != nil || len(actions) > 0 || db.CheckStorage(t.Context(), storage) == nil {
			t.Errorf("%s something has arrived: %v, %q, %v", when, rec, published, actions)
		}
	}
	nothing("after refusals")

	// Whoever has lost the lease hands nothing over.
	check(t, l.Release(t.Context()))
	second := lead(t, db, "another mover")
	if err := db.Arrive(t.Context(), l, storage, a); err == nil {
		t.Error("handed over without the lease")
	}
	nothing("without the lease")

	check(t, db.Arrive(t.Context(), second, storage, a))
	check(t, db.CheckStorage(t.Context(), storage))
	rec, err := db.Ledger(nil).Load(t.Context())
	check(t, err)
	published, err := db.Checkpoints(nil).Load(t.Context())
	check(t, err)
	actions, err := db.Actions(t.Context())
	check(t, err)
	if rec.Edge.Tree() != edge.Tree() || rec.Signed != 1700000000 || string(published) != string(note) || len(actions) != 2 || actions[1].Action != "migrate" {
		t.Errorf("arrived: %v, %q, %v", rec, published, actions)
	}
	refused(t, "it arrives again", db.Arrive(t.Context(), second, storage, a), fs.ErrExist, storage)
	if again, err := db.ID(t.Context()); err != nil || again != id || len(id) != 32 {
		t.Errorf("its ID was %q and is %q, %v", id, again, err)
	}

	// One that has published nothing, and one that is in use.
	empty := open(t, newDatabase(t), time.Second)
	check(t, empty.CreateArriving(t.Context(), origin, storage))
	third := lead(t, empty, "mover")
	check(t, empty.Arrive(t.Context(), third, storage, maintain.Arrival{Record: log.LedgerRecord{Origin: origin, Edge: new(proofs.Edge)}}))
	inUse := newLog(t)
	refused(t, "into one that is in use", inUse.Arrive(t.Context(), lead(t, inUse, "mover"), "trillian:1", a), fs.ErrExist, "waits")
	if other, err := inUse.ID(t.Context()); err != nil || other == id {
		t.Errorf("two databases have the ID %q, %v", other, err)
	}
}
