package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

// The first lines of files of evidence.
const (
	ConflictLine   = "tuflog conflict v1"
	AccusationLine = "tuflog accusation v1"
)

// ReadEvidence reads a file of evidence that begins with one of the lines. The error says
// what a file of another kind is, and what to do with it.
func ReadEvidence(path string, lines ...string) ([]byte, error) {
	b, err := ReadAtMost(path, fraud.MaxAccusationSize)
	if err != nil {
		return nil, err
	}
	if kind := otherKind(b, lines); kind != "" {
		return nil, fmt.Errorf("%s is %s", path, kind)
	}
	return b, nil
}

// CheckConflict prints on w what the evidence in a file proves against any of the keys.
// The error is Failed if it does not accuse any of them, but not if the file is of
// another kind.
func CheckConflict(w io.Writer, path string, keys []proofs.Key) error {
	b, err := ReadEvidence(path, ConflictLine)
	if err != nil {
		return err
	}
	c, err := fraud.ParseConflict(b)
	if err != nil {
		return Failed(fmt.Errorf("%s: %w", path, err))
	}
	v, err := c.Check(keys...)
	if err != nil {
		return Failed(fmt.Errorf("%s: %w", path, err))
	}
	fmt.Fprintf(w, "%v\n  size %d, root %v\n  size %d, root %v\n", v, v.Older.N, v.Older.Hash, v.Newer.N, v.Newer.Hash)
	return nil
}

// otherKind says what a file is that is not evidence, and what to do with it; empty if it
// begins with one of the lines.
func otherKind(b []byte, lines []string) string {
	head, _, _ := bytes.Cut(b, []byte("\n"))
	first := string(head[:min(len(head), 100)])
	if slices.Contains(lines, first) {
		return ""
	}
	switch first {
	case AccusationLine:
		return "an accusation that goes beyond trees: check it with auditor evidence check"
	case "c2sp.org/tlog-proof@v1":
		return "a proof that a log holds one entry, and not evidence by itself: updater verify checks it together with its metadata, and auditor replay finds entries that contradict it"
	case "tuflog release v1", "tuflog evidence v1":
		return "a leaf of a log, which is not signed: a .tlog-proof proves that a log holds it"
	}
	if bytes.HasPrefix(b, []byte("SQLite format 3\x00")) {
		return "a database, as the state of an auditor is: give that to auditor replay by --state, as the folder that it is in"
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(b, &object) == nil {
		has := func(names ...string) bool {
			for _, name := range names {
				if _, ok := object[name]; !ok {
					return false
				}
			}
			return true
		}
		switch {
		case has("signed", "signatures"):
			return "TUF metadata, and not evidence by itself: auditor evidence check takes two files of one version"
		case has("kind", "class", "sentence"):
			return "a finding of an auditor, in words: its evidence is in the files beside it"
		}
		return "a JSON file of another kind than evidence"
	}
	if note, err := proofs.ParseNote(b); err == nil {
		if _, err := proofs.ParseCheckpoint(note.Text); err == nil {
			return "one signed checkpoint: evidence is two that contradict each other, in a file as docs/formats.md (Conflict) has it; auditor gossip compares one with a log"
		}
		return "a signed note of another kind than a checkpoint"
	}
	var quoted []string
	for _, line := range lines {
		quoted = append(quoted, fmt.Sprintf("%q", line))
	}
	return fmt.Sprintf("not evidence: its first line is not %s (docs/formats.md, Conflict and Accusation)", strings.Join(quoted, " or "))
}
