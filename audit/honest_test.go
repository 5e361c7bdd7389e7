package audit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/tuf"
)

// badLine is the way to a log: each request may fail, in one of the ways in which networks
// and servers do.
type badLine struct {
	mu     sync.Mutex
	random *rand.Rand
	server *httptest.Server
	until  int // requests until the next one fails; 0: none does
	failed int
}

// fails reports whether the next request fails, and how.
func (l *badLine) fails() (how int, fails bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == 0 {
		return 0, false
	}
	if l.until--; l.until > 0 {
		return 0, false
	}
	l.failed++
	return l.random.IntN(4), true
}

// failSoon has one of the next requests fail.
func (l *badLine) failSoon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = 1 + l.random.IntN(4)
}

var errLine = fmt.Errorf("the line is bad: %w", context.Canceled) // which is not tried again, so that nobody waits

// RoundTrip implements http.RoundTripper.
func (l *badLine) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = strings.TrimPrefix(l.server.URL, "http://")
	how, fails := l.fails()
	if !fails {
		return http.DefaultTransport.RoundTrip(r)
	}
	switch how {
	case 0:
		return nil, errLine
	case 1: // the answer breaks off
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			response.Body = breaksOff{io.LimitReader(response.Body, 20), response.Body}
		}
		return response, err
	case 2: // a proxy says so
		return answerOf(r, http.StatusForbidden, "<html>please log in</html>"), nil
	}
	return answerOf(r, http.StatusNotFound, "the file is not there yet"), nil
}

// breaksOff is an answer that ends in the middle, or behind its end.
type breaksOff struct {
	io.Reader
	io.Closer
}

func (b breaksOff) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errLine
	}
	return n, err
}

func answerOf(r *http.Request, code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Status: fmt.Sprint(code), Body: io.NopCloser(strings.NewReader(body)), Request: r,
		ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, ContentLength: int64(len(body))}
}

// TestHonestLog: an honest log, over a bad line, with a vendor who replaces keys and
// delegates, an auditor that is started again and again, and servers that move, is accused
// of nothing, and vouched for in the end.
func TestHonestLog(t *testing.T) {
	updates, outages, restarts := 1000, 200, 40
	if testing.Short() {
		updates, outages, restarts = 30, 12, 2
	}
	random := rand.New(rand.NewPCG(7, 7))
	h := &history{Log: audittest.New(t), vendor: newVendor(t)}
	h.repo = h.Register(h.file(tuf.RoleRoot))
	h.submit(tuf.RoleTargets)
	h.Publish(2)
	line := &badLine{random: random, server: httptest.NewServer(h.Log)}
	defer func() { line.server.Close() }()
	src, err := source.NewHTTP("http://log.test", &http.Client{Transport: line})
	must(t, err)
	dir := t.TempDir()
	start := func() *audit.Auditor {
		return newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir, c.Source = dir, src })
	}
	a := start()

	roles := []string{tuf.RoleTargets}
	stepsWithOutage := 0
	for i := range updates {
		role := roles[random.IntN(len(roles))]
		switch {
		case i%10 == 3: // another key; a release with the old one may have come just before
			rotated := []string{tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp, tuf.RoleRoot}[random.IntN(4)]
			must(t, h.vendor.Rotate(rotated))
			h.submit(tuf.RoleRoot)
			role = tuf.RoleTargets
		case i%100 == 5:
			name := fmt.Sprint("plugin", i)
			must(t, h.vendor.Delegate(tuf.RoleTargets, name, name+"/*"))
			must(t, h.vendor.Release(tuf.RoleTargets, name))
			h.submit(tuf.RoleTargets)
			h.submit(name)
			roles = append(roles, name)
		}
		path := "app.bin"
		if role != tuf.RoleTargets {
			path = role + "/one"
		}
		h.release(role, path, fmt.Sprint("content ", i))
		h.Publish(2)
		if i%17 == 0 {
			h.Publish(1) // one of the witnesses is late
			look(t, a)
			h.Publish(2)
		}
		if outages > line.failed && (updates-i)*3/2 > updates/outages && random.IntN(updates) < outages*3/2 {
			line.failSoon()
			if look(t, a) {
				stepsWithOutage++
			}
		}
		if i%(updates/restarts) == updates/restarts-1 {
			must(t, a.Close())
			a = start()
		}
		if i%50 == 49 { // the server moves
			line.server.Close()
			line.server = httptest.NewServer(h.Log)
		}
		look(t, a)
	}
	line.until = 0
	step(t, a)
	r := report(t, a)
	if len(r.Findings) > 0 || !r.Vouches || r.Judged != h.Size() {
		t.Errorf("found %+v, vouches %v, judged %d of %d", r.Findings, r.Vouches, r.Judged, h.Size())
	}
	if line.failed < outages*9/10 || stepsWithOutage < outages/3 {
		t.Errorf("%d requests failed, and %d looks with them", line.failed, stepsWithOutage)
	}
	if n := slices.IndexFunc(r.Repositories[0].Roles, func(r audit.RoleReport) bool { return r.Role == tuf.RoleRoot }); r.Repositories[0].Roles[n].Current < int64(updates/10) {
		t.Errorf("%d roots", r.Repositories[0].Roles[n].Current)
	}
	t.Logf("%d updates, %d requests failed, %d looks with them, %d leaves", updates, line.failed, stepsWithOutage, h.Size())
}

// look looks once, and reports whether something could not be read. Nobody is to be accused.
func look(t *testing.T, a *audit.Auditor) (outage bool) {
	t.Helper()
	result, err := a.Step(t.Context())
	for _, f := range result.Findings {
		if f.Class != audit.Outage {
			t.Fatalf("%s: %s", f.Kind, f.Sentence)
		}
		outage = true
	}
	if err != nil && !errors.Is(err, errLine) && !outage {
		t.Fatal(err)
	}
	return outage
}
