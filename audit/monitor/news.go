package monitor

import (
	"encoding/json"
	"io"
	"time"

	"github.com/tuflog/tuflog/audit"
)

// The types of News.
const (
	NewsJudged  = "judged"  // leaves were judged
	NewsThere   = "there"   // a finding that was there when the process began
	NewsOpened  = "opened"  // a finding has come
	NewsAcked   = "acked"   // a finding that is there was acknowledged, or is no longer
	NewsGone    = "gone"    // a finding is gone
	NewsTrouble = "trouble" // something cannot be done now
	NewsWell    = "well"    // the trouble is over
	NewsLost    = "lost"    // lines were left out here, because nobody read them
)

// News is something that happened, a line of JSON.
type News struct {
	Time    int64          `json:"time"` // POSIX seconds
	Log     string         `json:"log"`  // its name in the configuration; empty: lost
	Type    string         `json:"type"`
	From    int64          `json:"from,omitempty"`    // judged: leaves from this one on …
	To      int64          `json:"to,omitempty"`      // … up to but not including this one
	Size    int64          `json:"size,omitempty"`    // judged: of the newest verified checkpoint
	Finding *audit.Finding `json:"finding,omitempty"` // there, opened, acked, gone
	Text    string         `json:"text,omitempty"`    // trouble
	Lost    int            `json:"lost,omitempty"`    // lost: how many lines
}

// newsWriter writes news, and waits for nobody who reads them.
type newsWriter struct {
	now   func() time.Time
	lines *Lines // nil: nobody reads
}

func newNewsWriter(w io.Writer, now func() time.Time) *newsWriter {
	n := &newsWriter{now: now}
	if w != nil {
		n.lines = NewLines(w, func(lost int) []byte { return n.line(News{Type: NewsLost, Lost: lost}) })
	}
	return n
}

func (w *newsWriter) line(n News) []byte {
	n.Time = w.now().Unix()
	b, _ := json.Marshal(n) // it has nothing that cannot be written
	return append(b, '\n')
}

func (w *newsWriter) write(n News) {
	if w.lines != nil {
		_, _ = w.lines.Write(w.line(n))
	}
}

func (w *newsWriter) close() error {
	if w.lines == nil {
		return nil
	}
	return w.lines.Close()
}
