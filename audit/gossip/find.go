package gossip

import (
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// MaxNotes is how many checkpoints Find finds in one text.
const MaxNotes = 1000

// Found is a signed checkpoint in a text.
type Found struct {
	Line int    // of its first line, from 1
	Note []byte // as proofs.ParseNote reads it
}

// Find finds the signed checkpoints of some origins in a text: a note by itself, a proof, a
// mail. Around a note there may be anything. Its lines may end in CRLF, and may all begin
// with what stands before the origin in its line, such as the "> " of a quotation; nothing
// else may differ from the note that was signed. What has the form of a checkpoint and is
// cut or altered so that it is none is left out. Signatures are not verified. more reports
// whether there are more than MaxNotes.
func Find(text []byte, origins ...string) (found []Found, more bool) {
	lines := strings.Split(string(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	for i := 0; i < len(lines); i++ {
		for _, origin := range origins {
			prefix, ok := strings.CutSuffix(lines[i], origin)
			if !ok || origin == "" || len(prefix) > maxPrefix {
				continue
			}
			note, n := noteAt(lines[i:], prefix)
			if note == nil {
				continue
			}
			if len(found) == MaxNotes {
				return found, true
			}
			found = append(found, Found{i + 1, note})
			i += n - 1
			break
		}
	}
	return found, false
}

const (
	maxPrefix = 64 // bytes that may stand before each line of a note
	maxText   = 64 // lines of a checkpoint; ours have three
)

// noteAt returns the note at the beginning of lines that all begin with a prefix, and of
// how many lines it is made.
func noteAt(lines []string, prefix string) (note []byte, n int) {
	line := func() (string, bool) {
		if n == len(lines) {
			return "", false
		}
		if line, ok := strings.CutPrefix(lines[n], prefix); ok {
			return line, true
		}
		// Who quotes an empty line may leave the spaces out.
		return "", lines[n] == strings.TrimRight(prefix, " \t")
	}
	for ; ; n++ {
		l, ok := line()
		if !ok || n == maxText {
			return nil, 0
		}
		note = append(append(note, l...), '\n')
		if l == "" {
			break
		}
		// Most lines that end like an origin are none.
		if _, err := proofs.ParseDecimal(l); n == 1 && err != nil {
			return nil, 0
		}
	}
	for n++; len(note) <= proofs.MaxNoteSize; n++ {
		l, ok := line()
		if !ok || !strings.HasPrefix(l, "— ") {
			break
		}
		note = append(append(note, l...), '\n')
	}
	parsed, err := proofs.ParseNote(note)
	if err != nil {
		return nil, 0
	}
	if _, err := proofs.ParseCheckpoint(parsed.Text); err != nil {
		return nil, 0
	}
	return note, n
}
