package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/proofs"
)

// evidenceFolder is a folder beside metadata and targets, in which somebody who brings an
// update may bring evidence.
const evidenceFolder = "evidence"

// maxEvidence is how many files of evidence are looked at.
const maxEvidence = 16

// tellEvidence says what the evidence proves that came along with --from against the logs
// and witnesses of the trust policy. It changes nothing of what is accepted: that a log has
// shown two histories does not say which of them a release is in, and its owner decides.
func (o *options) tellEvidence(w io.Writer, policy *proofs.Policy) {
	if o.from == "" || policy == nil {
		return
	}
	dir := filepath.Join(o.from, evidenceFolder)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return // there is none, as in a bundle; a pipe of that name is not waited for
	}
	f, err := os.Open(dir)
	if err != nil {
		warnOfTrouble(w, fmt.Errorf("evidence came along and cannot be read: %w", err))
		return
	}
	defer f.Close()
	entries, err := f.ReadDir(maxEvidence + 1)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrNotExist) {
		warnOfTrouble(w, fmt.Errorf("evidence came along and cannot be read: %w", err))
	}
	if len(entries) > maxEvidence {
		warnOfTrouble(w, fmt.Errorf("more than %d files of evidence came along; some of them are not looked at: auditor evidence check", maxEvidence))
		entries = entries[:maxEvidence]
	}
	keys := policy.Keys()
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var says bytes.Buffer
		err := cli.CheckConflict(&says, path, keys)
		if err == nil {
			sentence, _, _ := strings.Cut(says.String(), "\n")
			fmt.Fprintf(w, "updater: EVIDENCE came along that the trust policy's parties lie: %s (%s)\n", printable.Line(sentence), printable.Line(path))
			continue
		}
		warnOfTrouble(w, fmt.Errorf("evidence came along that says nothing here: %w (auditor evidence check knows all kinds)", err))
	}
}
