package witness_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/client"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// FuzzAddCheckpoint sends whole requests to a witness that has cosigned size 5.
// Whatever comes is refused with a reason, or is what the log signed.
func FuzzAddCheckpoint(f *testing.F) {
	log := witnesstest.NewLog(f, "log.example")
	log.Grow(5, "")
	at5 := log.Request(0)
	tree5 := log.Checkpoint().Tree
	log.Grow(3, "")
	at8 := log.Request(5)
	fork := log.Fork()
	fork.Grow(1, "fork")
	signer := witnesstest.NewSigner(f, "witness.example", proofs.CosignatureV1)
	f.Add(at5.Marshal())
	f.Add(at8.Marshal())
	f.Add(fork.Request(5).Marshal())
	f.Add(client.Request{OldSize: 5, Checkpoint: at8.Checkpoint}.Marshal())
	f.Add(bytes.Replace(at8.Marshal(), []byte("\n8\n"), []byte("\n9\n"), 1))
	f.Add([]byte("old 0\n\nlog.example\n0\n" + proofs.Hash{}.String() + "\n\n— log.example AAAAAQI=\n"))
	signed := map[proofs.Tree]bool{tree5: true, log.Checkpoint().Tree: true, fork.Checkpoint().Tree: true}
	f.Fuzz(func(t *testing.T, body []byte) {
		store := new(witnesstest.Memory)
		w, err := witness.New(witness.Config{Store: store, Signers: []witness.Signer{signer}, Now: func() time.Time { return time.Unix(now, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		if err := store.AddLog(ctx, witness.NewLog{Key: log.Key()}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddCheckpoint(ctx, at5.Marshal()); err != nil {
			t.Fatal(err)
		}
		sigs, err := w.AddCheckpoint(ctx, body)
		latest, logErr := store.Log(ctx, witness.HashOrigin("log.example"))
		if logErr != nil {
			t.Fatal(logErr)
		}
		var refusal *witness.Refusal
		switch {
		case err == nil && len(sigs) == 1 && signed[latest.Latest.Tree] && latest.Latest.Tree.N >= 5:
		case errors.As(err, &refusal) && refusal.Reason.String() != "other" && latest.Latest.Tree == tree5:
		default:
			t.Errorf("%q: %d signatures, %v, latest %+v", body, len(sigs), err, latest.Latest)
		}
	})
}
