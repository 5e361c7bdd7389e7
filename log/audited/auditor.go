package audited

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// Auditor says how an auditor is.
type Auditor struct {
	// Name in the policy, and URL without a password.
	Name string `json:"name"`
	URL  string `json:"url"`
	// Size of the newest tree that it shows with its cosignature and the log's, and that is
	// one of the log's trees. 0: none since the start.
	Size int64 `json:"size"`
	// Behind is how many published entries are not below it.
	Behind int64 `json:"behind"`
	// Cosigned is the time in its cosignature of it; zero: none.
	Cosigned time.Time `json:"cosigned,omitzero"`
	// Answered is when it answered last; zero: never.
	Answered time.Time `json:"answered,omitzero"`
	// Error of the last look, empty if there is none.
	Error string `json:"error,omitempty"`
	// Contradiction is set while it shows a checkpoint with the log's signature that the
	// log does not know: somebody has signed another history, or the log was restored from
	// an old copy.
	Contradiction string `json:"contradiction,omitempty"`
}

// auditor is an auditor as it is asked. It is used by one goroutine at a time, except for
// what the Keeper's mutex guards.
type auditor struct {
	name  string
	keys  []proofs.Key
	shown client.Shown

	looked    time.Time // when it was asked last
	notBefore time.Time // it has asked to be left alone until then
	failed    int       // looks that have failed one after the other
	beyond    time.Time // since when it shows more than is published; zero: it does not

	note []byte // that it shows
	read bool   // it was considered, and nothing more is to be found out about it
	size int64  // the newest tree that was merged

	// The Keeper's mutex guards it.
	health Auditor
}

func newAuditor(name, url string) *auditor {
	return &auditor{name: name, shown: client.Shown{URL: url}, health: Auditor{Name: name, URL: fetch.Redacted(url)}}
}

// due reports whether it is time to look, while what is published has been for so long.
func (a *auditor) due(cfg *Config, now time.Time, published int64, since time.Time) bool {
	pause := cfg.Later
	if a.size < published {
		// A tenth of the time since: an auditor that reads a long log is not hurried.
		pause = max(cfg.Soon, now.Sub(since)/10)
	}
	if a.failed > 0 {
		pause = max(pause, cfg.Soon<<min(a.failed, 10))
	}
	ago := now.Sub(a.looked)
	if a.looked.IsZero() || ago < 0 { // the clock was set back
		return true
	}
	return ago >= min(pause, cfg.Later) && !now.Before(a.notBefore)
}

// look asks what it shows. The error is that of the question.
func (a *auditor) look(ctx context.Context, hc *http.Client, origin string, now time.Time, most time.Duration) error {
	a.looked, a.shown.HTTP = now, hc
	note, err := a.shown.Newest(ctx, origin)
	if err != nil {
		a.failed++
		var status *client.StatusError
		if errors.As(err, &status) {
			a.notBefore = now.Add(min(status.RetryAfter, most))
		}
		return err
	}
	a.failed, a.notBefore = 0, time.Time{}
	if string(note) != string(a.note) {
		a.note, a.read, a.beyond = note, false, time.Time{}
	}
	return nil
}

// cosigned returns the time of its newest cosignature on the note.
func (a *auditor) cosigned(note proofs.Note) (time.Time, error) {
	var newest int64
	for _, key := range a.keys {
		for _, sig := range note.Signatures {
			if sig.Name != key.Name() || sig.KeyID != key.ID() {
				continue
			}
			unix, err := key.Verify(note.Text, sig.Sig)
			if err != nil {
				return time.Time{}, fmt.Errorf("its cosignature by %s: %w", key.Name(), err)
			}
			newest = max(newest, unix)
		}
	}
	if newest == 0 {
		return time.Time{}, fmt.Errorf("it has no cosignature of its own by a key of the policy, %s+%08x", a.keys[0].Name(), a.keys[0].ID())
	}
	return time.Unix(newest, 0).UTC(), nil
}
