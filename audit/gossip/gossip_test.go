package gossip_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/gossip"
	"github.com/tuflog/tuflog/proofs"
)

func newLog(t testing.TB, n int) *audittest.Log {
	l := audittest.New(t)
	for i := range n {
		l.Append(fmt.Appendf(nil, "entry %d", i))
	}
	l.Publish(2)
	return l
}

func TestFind(t *testing.T) {
	l := newLog(t, 3)
	note := string(l.Checkpoint(2, 1))
	crlf := strings.ReplaceAll(note, "\n", "\r\n")
	quoted := "> " + strings.ReplaceAll(strings.TrimSuffix(note, "\n"), "\n", "\n> ") + "\n"
	bare := strings.ReplaceAll(quoted, "> \n", ">\n")
	proof := string(proofs.Proof{Index: 1, Checkpoint: []byte(note)}.Marshal())
	for _, tt := range []struct {
		name, text string
		lines      string
	}{
		{"by itself", note, "[1]"},
		{"with CRLF", crlf, "[1]"},
		{"without the last line feed", strings.TrimSuffix(note, "\n"), "[1]"},
		{"in a mail", "Dear all,\n\nthis is what I see:\n\n" + note + "\nDo you?\n", "[5]"},
		{"with words just behind it", "see\n" + note + "Do you?\n", "[2]"},
		{"quoted", "You wrote:\n" + quoted + "> I see another\n" + note, "[2 9]"},
		{"quoted without spaces", bare, "[1]"},
		{"in a proof", proof, "[4]"},
		{"twice", note + note, "[1 7]"},
		{"after its own name", audittest.Origin + "\n" + audittest.Origin + "\n" + note, "[3]"},
		{"another origin", strings.ReplaceAll(note, audittest.Origin, "other.test"), "[]"},
		{"cut", note[:40], "[]"},
		{"without a signature", strings.Split(note, "—")[0], "[]"},
		{"a space too many", strings.Replace(note, "\n2\n", "\n2 \n", 1), "[]"},
		{"a line wrapped", note[:40] + "\n" + note[40:], "[]"},
		{"a quotation that ends in it", strings.Replace(quoted, "\n> 2", "\n2", 1), "[]"},
		{"nothing", "", "[]"},
	} {
		found, more := gossip.Find([]byte(tt.text), "log.test", audittest.Origin)
		lines := []int{}
		for _, f := range found {
			lines = append(lines, f.Line)
			if string(f.Note) != note {
				t.Errorf("%s: found %q", tt.name, f.Note)
			}
		}
		if fmt.Sprint(lines) != tt.lines || more {
			t.Errorf("%s: found at %v, want %s", tt.name, lines, tt.lines)
		}
	}
	if found, more := gossip.Find([]byte(strings.Repeat(note, gossip.MaxNotes+1)), audittest.Origin); len(found) != gossip.MaxNotes || !more {
		t.Errorf("of many: %d, %v", len(found), more)
	}
}

func FuzzFind(f *testing.F) {
	l := newLog(f, 3)
	note := l.Checkpoint(2, 1)
	f.Add(note)
	f.Add(append([]byte("> "), bytes.ReplaceAll(note, []byte("\n"), []byte("\r\n> "))...))
	f.Add([]byte("a\n1\nb\n\n— c d\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, _ := gossip.Find(b, audittest.Origin, "a")
		size := 0
		for _, x := range found {
			size += len(x.Note)
			parsed, err := proofs.ParseNote(x.Note)
			if err != nil || !bytes.Equal(parsed.Marshal(), x.Note) {
				t.Errorf("found %q: %v", x.Note, err)
			}
			if origin, _, _ := strings.Cut(parsed.Text, "\n"); origin != audittest.Origin && origin != "a" {
				t.Errorf("of origin %q", origin)
			}
		}
		if size > len(b)+len(found) {
			t.Errorf("%d bytes of notes in %d", size, len(b))
		}
	})
}

func TestCompare(t *testing.T) {
	base := newLog(t, 5)
	left, right := base.Clone(), base.Clone()
	for i := range 4 {
		left.Append(fmt.Appendf(nil, "left %d", i))
		right.Append(fmt.Appendf(nil, "right %d", i))
	}
	left.Publish(2)
	later := left.Clone()
	later.Append([]byte("not published"))
	secret := right.Clone()
	secret.Append([]byte("for one"))
	back := base.Clone()
	back.Time += 3600
	stranger := newLog(t, 5)
	broken, err := proofs.ParseNote(left.Checkpoint(7, 0))
	if err != nil {
		t.Fatal(err)
	}
	broken.Signatures[0].Sig[3] ^= 1
	for _, tt := range []struct {
		name  string
		notes [][]byte
		want  string // verdicts
		files string // kinds of evidence
	}{
		{"the published one", [][]byte{left.Checkpoint(9, 2)}, "[same]", "[]"},
		{"older ones", [][]byte{left.Checkpoint(0, 0), base.Checkpoint(1, 2), left.Checkpoint(8, 1)}, "[same same same]", "[]"},
		{"one of the same size", [][]byte{right.Checkpoint(9, 0)}, "[fork]", "[fork]"},
		{"a smaller one of another history", [][]byte{right.Checkpoint(7, 0)}, "[fork]", "[fork]"},
		{"one ahead", [][]byte{later.Checkpoint(10, 0)}, "[ahead]", "[]"},
		{"two ahead that contradict each other", [][]byte{later.Checkpoint(10, 0), secret.Checkpoint(10, 0)}, "[ahead fork]", "[fork]"},
		{"witnesses that went back", [][]byte{back.Checkpoint(5, 2)}, "[went-back]", "[rollback]"},
		{"another log's", [][]byte{stranger.Checkpoint(5, 2)}, "[unsigned]", "[]"},
		{"a signature that fails", [][]byte{broken.Marshal()}, "[unsigned]", "[]"},
	} {
		log := &gossip.Log{Policy: left.Policy(), Source: left.Source()}
		var seen []gossip.Seen
		for i, note := range tt.notes {
			seen = append(seen, gossip.Seen{From: fmt.Sprint("note ", i), Note: note})
		}
		results, err := log.Compare(t.Context(), seen)
		if err != nil {
			t.Fatal(err)
		}
		var verdicts []gossip.Verdict
		kinds := []evidence.Kind{}
		for _, r := range results {
			verdicts = append(verdicts, r.Verdict)
			for _, e := range r.Evidence {
				s, err := evidence.Check(t.Context(), e.Bytes, left.Signer.Key(), left.Witnesses[0].Key(), left.Witnesses[1].Key())
				if err != nil || s.Sentence != e.Sentence {
					t.Errorf("%s: evidence %s: %v", tt.name, e.Name, err)
				}
				kinds = append(kinds, s.Kind)
			}
		}
		if fmt.Sprint(verdicts) != tt.want || fmt.Sprint(kinds) != tt.files {
			t.Errorf("%s: %v with evidence %v, want %s with %s\n%+v", tt.name, verdicts, kinds, tt.want, tt.files, results)
		}
	}

	// What the tiles do not tell is not said.
	left.Spoil("tile/0/000.p/9", audittest.Missing)
	log := &gossip.Log{Policy: left.Policy(), Source: left.Source()}
	results, err := log.Compare(t.Context(), []gossip.Seen{{From: "a", Note: base.Checkpoint(5, 2)}, {From: "b", Note: right.Checkpoint(9, 0)}})
	if err != nil || results[0].Verdict != gossip.Undecided || results[1].Verdict != gossip.Fork {
		t.Errorf("without tiles: %+v, %v", results, err)
	}
	left.Serve([]byte("<html>"))
	if _, err := log.Compare(t.Context(), nil); err == nil {
		t.Error("a page in place of the log's checkpoint")
	}
}
