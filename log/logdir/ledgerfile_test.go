package logdir_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/proofs"
)

func TestFileLedger(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	if _, err := logdir.OpenLedger(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("opened a ledger that is not there: %v", err)
	}
	check(t, logdir.CreateLedger(dir, "log.example"))
	if err := logdir.CreateLedger(dir, "log.example"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("made a ledger over another: %v", err)
	}
	ledger, err := logdir.OpenLedger(dir)
	check(t, err)
	if _, err := logdir.OpenLedger(dir); !errors.Is(err, log.ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	statetest.TestLedger(t, ledger, "log.example", func() log.Ledger {
		check(t, ledger.Close())
		ledger, err = logdir.OpenLedger(dir)
		check(t, err)
		return ledger
	})
	check(t, ledger.Close())
}

func TestLedgerWithoutALine(t *testing.T) {
	text := string(logtest.Marshal(t, logtest.Record(t, logtest.NewSigner(t, "log.example", proofs.Ed25519), 3)))
	for _, line := range []string{"tuflog ledger v1\n", "origin log.example\n", "signed 1700000000\n"} {
		if _, err := log.ParseLedgerRecord([]byte(strings.Replace(text, line, "", 1))); err == nil {
			t.Errorf("accepted without %q", line)
		}
	}
	if _, err := log.ParseLedgerRecord([]byte(strings.Replace(text, "origin log.example", "origin other.example", 1))); err == nil {
		t.Error("accepted with another log's checkpoint")
	}
}
