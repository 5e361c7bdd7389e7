package cosign_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/cosign"
)

// What is served says why nothing is cosigned, and neither paths nor addresses of the
// auditor's own; its operator is told them. A log that cannot show this auditor's cosignatures
// holds it back for minutes, not for good.
func TestSaysNoPaths(t *testing.T) {
	w := newWorld(t)
	w.look()
	w.release("new")
	_, err := w.auditor.Step(t.Context())
	w.must(err)
	standing, err := w.auditor.Standing(t.Context())
	w.must(err)
	outage := *standing
	outage.Unchecked = "http://10.1.2.3/secret-place answered 500"
	for want, look := range map[string]cosign.Look{
		"the copy of the log cannot be read": {Standing: standing, Mirror: "/srv/secret-place/mirror"},
		"not everything could be checked":    {Standing: &outage, Mirror: w.mirror()},
	} {
		look.Log, look.Policy = "example", w.log.Policy()
		w.must(w.c.Step(t.Context(), look))
		b, err := io.ReadAll(w.get("/").Body)
		w.must(err)
		if text := string(b); strings.Contains(text, "secret") || !strings.Contains(text, want+`"`) {
			t.Errorf("want %q: %s", want, text)
		}
		if s := w.status(); !strings.HasPrefix(s.Why, want+": ") || !strings.Contains(s.Why, "secret-place") {
			t.Errorf("the operator is told %q", s.Why)
		}
	}

	secret := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusBadGateway) }))
	defer secret.Close()
	w.url = secret.URL
	w.reopen()
	size := w.look().Size
	b, err := io.ReadAll(w.get("/").Body)
	w.must(err)
	if s := w.status(); size == w.log.Size() || !strings.Contains(s.Why, secret.URL) || strings.Contains(string(b), secret.URL) {
		t.Errorf("it does not wait: size %d, %q; everybody is told %s", size, s.Why, b)
	}
	w.now = w.now.Add(6 * time.Minute)
	if s := w.look(); s.Size != w.log.Size() || s.Why != "" {
		t.Errorf("it waits still: size %d of %d, %q", s.Size, w.log.Size(), s.Why)
	}
}
