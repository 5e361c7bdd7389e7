package logdir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/proofs"
)

// A ledger that is retired is never used again, and says where its log is.
func TestRetireLedger(t *testing.T) {
	dir := t.TempDir()
	signer := logtest.NewSigner(t, "log.example", proofs.Ed25519)
	check(t, logdir.CreateLedger(dir, "log.example"))
	ledger, err := logdir.OpenLedger(dir)
	check(t, err)
	empty, err := ledger.Load(t.Context())
	check(t, err)
	record := logtest.Record(t, signer, 3)
	check(t, ledger.Swap(t.Context(), empty, record))
	if _, _, err := logdir.OpenRetiredLedger(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a ledger that was not retired: %v", err)
	}
	moved := logdir.Moved{Origin: "log.example", Target: "there", Where: "a better place", Time: time.Unix(1700000000, 0).UTC()}

	// A note without more, of an attempt that was broken off, means nothing.
	check(t, moved.Write(dir))
	check(t, ledger.Close())
	ledger, err = logdir.OpenLedger(dir)
	check(t, err)

	check(t, ledger.Retire(moved))
	if got, err := ledger.Load(t.Context()); err != nil || !slices.Equal(logtest.Marshal(t, got), logtest.Marshal(t, record)) {
		t.Errorf("the retired ledger has %v, %v", got, err)
	}
	if err := ledger.Swap(t.Context(), record, logtest.Record(t, signer, 4)); !errors.Is(err, log.ErrLedgerConflict) {
		t.Errorf("swapped a retired ledger: %v", err)
	}
	if err := ledger.Retire(moved); err == nil {
		t.Error("retired it twice")
	}
	if _, _, err := logdir.OpenRetiredLedger(dir); !errors.Is(err, log.ErrLocked) {
		t.Errorf("opened it twice: %v", err)
	}
	check(t, ledger.Close())

	refused := func(what string, err error) {
		t.Helper()
		var is *logdir.MovedError
		if !errors.As(err, &is) || is.Moved != moved || !strings.Contains(err.Error(), `"log.example" was moved on 2023-11-14 to a better place`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = logdir.OpenLedger(dir)
	refused("open", err)
	refused("create", logdir.CreateLedger(dir, "log.example"))
	check(t, os.WriteFile(filepath.Join(dir, "ledger"), logtest.Marshal(t, record), 0o600))
	_, err = logdir.OpenLedger(dir)
	refused("open one that was put back", err)

	retired, got, err := logdir.OpenRetiredLedger(dir)
	if err != nil || got != moved {
		t.Fatalf("%+v, %v", got, err)
	}
	if again, err := retired.Load(t.Context()); err != nil || !slices.Equal(logtest.Marshal(t, again), logtest.Marshal(t, record)) {
		t.Errorf("the retired ledger has %v, %v", again, err)
	}
	check(t, retired.Close())

	check(t, os.WriteFile(filepath.Join(dir, "migrated.json"), []byte("{"), 0o600))
	if _, err := logdir.OpenLedger(dir); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("with a damaged note: %v", err)
	}

	// The way back for those who know that nothing was signed elsewhere.
	check(t, os.Remove(filepath.Join(dir, "migrated.json")))
	if _, err := logdir.OpenLedger(dir); err == nil || !strings.Contains(err.Error(), "is lost") {
		t.Errorf("without a note: %v", err)
	}
	check(t, os.Rename(filepath.Join(dir, "ledger.migrated"), filepath.Join(dir, "ledger")))
	ledger, err = logdir.OpenLedger(dir)
	check(t, err)
	check(t, ledger.Swap(t.Context(), record, logtest.Record(t, signer, 4)))
	check(t, ledger.Close())
}
