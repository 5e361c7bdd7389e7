package leader_test

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/proofs"
)

// The page of a log says what its reader needs, loads nothing, and leads nowhere but to the
// log itself.
func TestPage(t *testing.T) {
	var now atomic.Int64 // seconds
	r := start(t, func(c *leader.Config) {
		c.Token, c.Contact, c.Now = "a-token-of-22-characters", "log@example.com", func() time.Time { return time.Unix(now.Load(), 0) }
	})
	about := func(headers ...string) (got api.About) {
		t.Helper()
		resp, body := r.do(t, "GET", "/", nil, append(headers, "Accept", "application/json")...)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(resp.Header.Get("Vary")+strings.Join(resp.Header.Values("Vary"), ","), "Accept") {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		check(t, json.Unmarshal(body, &got))
		return got
	}
	if got := about(); got.Size != 0 || got.Cosigned != "" || got.Registration != api.RegistrationByToken || got.Contact != "log@example.com" {
		t.Errorf("before the first release: %+v", got)
	}
	r.client.Token = "a-token-of-22-characters"
	r.register(t, file(newVendor(t), "root").Data)
	got := about()
	key := r.log.Publisher().Keys()[0]
	if got.Size != 1 || got.Origin != key.Name() || len(got.Keys) != 1 || got.Keys[0] != key.String() || len(got.Witnesses) != 3 {
		t.Fatalf("%+v", got)
	}
	cosigned, err := time.Parse(time.RFC3339, got.Cosigned)
	check(t, err)
	now.Store(cosigned.Unix() + 50)
	// Its policy is one, with this log's key, and the checkpoint satisfies it.
	policy, err := proofs.ParsePolicy([]byte(got.Policy))
	check(t, err)
	if cp, err := policy.OpenCheckpoint(r.log.Publisher().Published().Note); err != nil || cp.Tree.N != 1 {
		t.Errorf("by the policy of the page: %v", err)
	}

	resp, page := r.do(t, "GET", "/", nil, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	csp := resp.Header.Get("Content-Security-Policy")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(csp, "default-src 'none'; style-src 'sha256-") || strings.Contains(csp, "script") {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if len(page) > 20_000 {
		t.Errorf("it has %d bytes", len(page))
	}
	text := string(page)
	for _, want := range []string{strings.ReplaceAll(key.String(), "+", "&#43;"), `href="mailto:log@example.com"`, "1 entry", "less than a minute old", "does <strong>not</strong> claim", "publisher submit", "auditor replay"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not have %q", want)
		}
	}
	if strings.Contains(text, "<script") || strings.Contains(text, " on") && regexp.MustCompile(` on[a-z]+=`).MatchString(text) || strings.Contains(text, " src=") {
		t.Error("it runs or loads something")
	}
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		u, err := url.Parse(m[1])
		switch {
		case err != nil || strings.HasPrefix(u.Path, "/"):
			t.Errorf("link %s: not relative", m[1])
		case u.Scheme == "":
			if resp, _ := r.do(t, "GET", "/"+u.Path, nil); resp.StatusCode != 200 {
				t.Errorf("link %s: %d", m[1], resp.StatusCode)
			}
		}
	}

	// It is made once for a minute, and then again: the checkpoint is older.
	if _, again := r.do(t, "GET", "/", nil); string(again) != text {
		t.Error("it was made twice in a minute")
	}
	if resp, _ := r.do(t, "GET", "/", nil, "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != 304 {
		t.Errorf("the same again: %d", resp.StatusCode)
	}
	now.Add(3 * 3600)
	if _, later := r.do(t, "GET", "/", nil); !strings.Contains(string(later), "3 hours old") {
		t.Errorf("three hours later: %s", later)
	}
}
