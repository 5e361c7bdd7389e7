package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// Parts are the parts of a log, for a caller that looks at them and changes nothing.
type Parts struct {
	// Keys are the log's public keys, its own first.
	Keys []proofs.Key
	// Record is the ledger's.
	Record log.LedgerRecord
	// Published is the published checkpoint; nil: nothing is published.
	Published []byte
	// Storage has the entries.
	Storage log.Storage
	// Served, which may be nil, has the checkpoints that a front end here has served.
	Served *publisher.Served
}

// Judge asks a publisher, which signs nothing, what it would say of the log at a start. It
// returns the publisher if that is nothing, and otherwise why the log does not start and
// what to do; the code is empty where something could not be read.
func (p Parts) Judge(ctx context.Context) (*publisher.Publisher, *log.Halt) {
	policy, err := proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nquorum none\n", p.Keys[0]))
	if err != nil {
		return nil, &log.Halt{What: err.Error()}
	}
	cfg := publisher.Config{
		Signer:      publicKey{p.Keys[0]},
		Policy:      policy,
		Ledger:      fixedLedger{p.Record},
		Checkpoints: fixedCheckpoint(p.Published),
		Storage:     p.Storage,
		Served:      p.Served,
		Logger:      slog.New(slog.DiscardHandler),
	}
	for _, key := range p.Keys[1:] {
		cfg.More = append(cfg.More, publicKey{key})
	}
	opened, err := publisher.Open(ctx, cfg)
	var halt *log.Halt
	switch {
	case errors.As(err, &halt):
		do := halt.Do
		if halt.Code == log.HaltLedgerBehind && !strings.Contains(do, "logserver resume") {
			do += ". If it is lost, bring it forward to the published checkpoint: logserver resume --i-know ledger-behind"
		}
		return nil, &log.Halt{Code: halt.Code, What: halt.What, Do: do}
	case err != nil:
		return nil, &log.Halt{What: err.Error(), Do: "logserver fsck says what is damaged"}
	}
	return opened, nil
}

// publicKey is a signer that does not sign.
type publicKey struct{ key proofs.Key }

func (k publicKey) Key() proofs.Key { return k.key }

func (k publicKey) Sign(string, int64) (proofs.Signature, error) {
	return proofs.Signature{}, errors.New("nothing is signed by looking at a log")
}

// fixedLedger is a ledger that cannot be changed.
type fixedLedger struct{ rec log.LedgerRecord }

func (l fixedLedger) Load(context.Context) (log.LedgerRecord, error) { return l.rec, nil }

func (l fixedLedger) Swap(_ context.Context, _, _ log.LedgerRecord) error { return fs.ErrPermission }

// fixedCheckpoint is a published checkpoint that was read before.
type fixedCheckpoint []byte

func (f fixedCheckpoint) Load(context.Context) ([]byte, error) { return f, nil }

func (f fixedCheckpoint) Store(context.Context, []byte) error { return fs.ErrPermission }
