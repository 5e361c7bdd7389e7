package monitor

import (
	"encoding/json"
	"io"
	"sync"
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
)

// News is something that happened, a line of JSON.
type News struct {
	Time    int64          `json:"time"` // POSIX seconds
	Log     string         `json:"log"`  // its name in the configuration
	Type    string         `json:"type"`
	From    int64          `json:"from,omitempty"`    // judged: leaves from this one on …
	To      int64          `json:"to,omitempty"`      // … up to but not including this one
	Size    int64          `json:"size,omitempty"`    // judged: of the newest verified checkpoint
	Finding *audit.Finding `json:"finding,omitempty"` // there, opened, acked, gone
	Text    string         `json:"text,omitempty"`    // trouble
}

// newsWriter writes news one at a time. The first error ends it: nobody reads any more.
type newsWriter struct {
	now func() time.Time

	mu  sync.Mutex
	enc *json.Encoder // nil: nobody reads
}

func newNewsWriter(w io.Writer, now func() time.Time) *newsWriter {
	n := &newsWriter{now: now}
	if w != nil {
		n.enc = json.NewEncoder(w)
	}
	return n
}

func (w *newsWriter) write(n News) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.enc == nil {
		return
	}
	n.Time = w.now().Unix()
	if w.enc.Encode(n) != nil {
		w.enc = nil
	}
}
