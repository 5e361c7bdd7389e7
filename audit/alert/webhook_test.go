package alert_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTw=="

func secretFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	ok(t, os.WriteFile(path, []byte(secret+"\n"), 0o600))
	return path
}

// receiver keeps what it takes, and answers as a test says.
type receiver struct {
	t      *testing.T
	verify *standardwebhooks.Webhook

	mu     sync.Mutex
	answer func(w http.ResponseWriter)
	ids    []string
	bodies [][]byte
}

func newReceiver(t *testing.T) (*receiver, string) {
	t.Helper()
	verify, err := standardwebhooks.NewWebhook(secret)
	ok(t, err)
	r := &receiver{t: t, verify: verify}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = r.verify.VerifyIgnoringTimestamp(body, req.Header)
	}
	if err != nil {
		r.t.Errorf("%v: %v", req.Header, err)
	}
	if req.Method != "POST" || req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("%s %v", req.Method, req.Header)
	}
	r.ids = append(r.ids, req.Header.Get("webhook-id"))
	r.bodies = append(r.bodies, body)
	if r.answer != nil {
		r.answer(w)
	}
}

// take returns what has come since the last take.
func (r *receiver) take(t *testing.T) []alert.Event {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []alert.Event
	for i, body := range r.bodies {
		list = append(list, events(t, body)...)
		if list[i].ID != r.ids[i] {
			t.Errorf("webhook-id %s, event %s", r.ids[i], list[i].ID)
		}
	}
	r.ids, r.bodies = nil, nil
	return list
}

func (r *receiver) answers(answer func(http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func status(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, "not \x1b[31m today")
	}
}

func webhook(url, secret string) alert.To {
	return alert.To{Type: "webhook", URL: url, SecretFile: secret, AllowPrivate: true}
}

// What a receiver does not take it is sent again, later and later, under the same id, until
// it is switched off, which the others are told; it gets what it missed when it is switched
// on again.
func TestWebhook(t *testing.T) {
	ctx := t.Context()
	r, url := newReceiver(t)
	other, otherURL := newReceiver(t)
	now := newClock()
	path := filepath.Join(t.TempDir(), "alerts.sqlite")
	cfg := alert.Config{
		To:       map[string]alert.To{"pager": webhook(url+"/T0KEN", secretFile(t)), "chat": webhook(otherURL, secretFile(t))},
		OffAfter: 48 * time.Hour, Now: now.Now,
		Logs: []alert.Log{{Name: "example", Policy: "/etc/my policy.txt", URL: "https://log.example"}},
		URL:  "https://audit.example/",
	}
	d := desk(t, path, cfg)
	a := found(audit.FalseAdmission, "acme", 7)
	r.answers(status(500))
	ok(t, d.Step(ctx, "example", "log.example", []audit.Finding{a}, nil))
	err := d.Flush(ctx)
	if err == nil || !strings.Contains(err.Error(), `pager: the receiver answers 500 Internal Server Error: "not \x1b[31m today"`) || strings.Contains(err.Error(), "T0KEN") {
		t.Errorf("%v", err)
	}
	if got := told(other.take(t)); got != "finding.opened false-admission 7.1" {
		t.Errorf("the other was told %q", got)
	}
	first := r.take(t)[0]
	if first.Command != "auditor replay --policy '/etc/my policy.txt' --log https://log.example" || first.Link != "https://audit.example/logs/example/findings/"+a.ID {
		t.Errorf("%+v", first)
	}
	tries := 1
	for begun := now.now; now.now.Sub(begun) < 47*time.Hour; {
		now.now = now.now.Add(20 * time.Minute)
		_ = d.Flush(ctx)
		for _, e := range r.take(t) {
			tries++
			if e.ID != first.ID {
				t.Fatalf("it comes again under the id %s", e.ID)
			}
		}
	}
	if tries < 120 || tries > 220 {
		t.Errorf("%d tries in two days", tries)
	}
	now.now = now.now.Add(2 * time.Hour)
	_ = d.Flush(ctx)
	ok(t, d.Flush(ctx)) // tells the other
	list := other.take(t)
	if len(list) != 1 || list[0].Type != alert.Health || !strings.Contains(list[0].Text, "The destination pager has failed since 2026-11-30T12:00:00Z and is switched off") {
		t.Errorf("the other was told %+v", list)
	}
	all, err := d.Status(ctx, now.now)
	ok(t, err)
	if s := all[1]; s.To != "pager" || !s.Off.Equal(now.now) || s.Waiting != 1 || s.Sent != 0 || s.Failed < 60 {
		t.Errorf("%+v", s)
	}

	// Off, it is not asked, and nobody asks whether it is again and again.
	if pause := d.Pause(ctx, "pager"); pause != 5*time.Second {
		t.Errorf("switched off, it is looked at every %v", pause)
	}
	r.take(t)
	r.answers(nil)
	for i := range 30 {
		ok(t, d.Step(ctx, "example", "log.example", []audit.Finding{found(audit.FalseAdmission, fmt.Sprint(i), i)}, nil))
	}
	now.now = now.now.Add(24 * time.Hour)
	ok(t, d.Flush(ctx))
	if list := r.take(t); list != nil {
		t.Errorf("it was told %s", told(list))
	}
	ok(t, d.Enable(ctx, "pager"))
	if err := d.Enable(ctx, "page"); err == nil {
		t.Error("a destination that is not there was switched on")
	}
	ok(t, d.Flush(ctx))
	if got := told(r.take(t)); got != "digest (30 opened)\nfinding.opened false-admission 7.1" {
		t.Errorf("switched on, it was told %s", got)
	}
}

// A receiver says when it wants to be asked again, or that it wants nothing more.
func TestWebhookAnswers(t *testing.T) {
	o := newOffice(t)
	r := o.post
	r.answers(status(429, "Retry-After", "7200"))
	o.step(t, []audit.Finding{found(audit.SecondPayload, "acme", 9)}, nil)
	_ = o.Flush(t.Context())
	r.take(t)
	r.answers(nil)
	if list, _ := o.after(t, 2*time.Hour-time.Second); list != nil {
		t.Error("it was asked earlier than it wanted")
	}
	if list, _ := o.after(t, time.Second); told(list) != "finding.opened second-payload 9.1" {
		t.Errorf("told %q", told(list))
	}

	// It wants nothing more, until its settings change.
	r.answers(status(410))
	o.step(t, []audit.Finding{found(audit.BothStand, "acme", 10)}, nil)
	_ = o.Flush(t.Context())
	r.take(t)
	r.answers(nil)
	if list, _ := o.after(t, time.Hour); list != nil {
		t.Error("it was asked after 410")
	}
	to := o.cfg.To["pager"]
	to.URL += "/new"
	o.cfg.To["pager"] = to
	o.Desk = desk(t, o.path, o.cfg)
	if list, _ := o.after(t, 0); told(list) != "finding.opened both-stand 10.1" {
		t.Errorf("told %q", told(list))
	}

	// A secret that was changed in its file is a change of the settings.
	r.answers(status(410))
	o.step(t, []audit.Finding{found(audit.BothStand, "bolt", 11)}, nil)
	_ = o.Flush(t.Context())
	r.take(t)
	r.answers(nil)
	if !o.Current() {
		t.Error("the secret is not current")
	}
	other := "whsec_" + strings.Repeat("AAAA", 10)
	ok(t, os.WriteFile(to.SecretFile, []byte(other+"\n"), 0o600))
	if o.Current() {
		t.Error("the secret that was changed is current")
	}
	verify, err := standardwebhooks.NewWebhook(other)
	ok(t, err)
	r.verify = verify
	o.Desk = desk(t, o.path, o.cfg)
	if list, _ := o.after(t, time.Minute); told(list) != "finding.opened both-stand 11.1" {
		t.Errorf("told %q", told(list))
	}
}

// A redirect is not followed, and a test goes past the queue.
func TestWebhookRedirect(t *testing.T) {
	r, url := newReceiver(t)
	other, otherURL := newReceiver(t)
	r.answers(status(307, "Location", otherURL))
	d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{To: map[string]alert.To{"a": webhook(url, secretFile(t)), "b": webhook(otherURL, secretFile(t))}})
	err := d.Test(t.Context(), "a")
	if err == nil || err.Error() != "a: the receiver redirects, which is not followed" {
		t.Errorf("%v", err)
	}
	if list := other.take(t); list != nil {
		t.Error("the redirect was followed")
	}
	if err := d.Test(t.Context(), "c"); err == nil {
		t.Error("nobody was told, and no error")
	}
	if err := d.Test(t.Context(), ""); err == nil {
		t.Error("no error")
	}
	if got := told(other.take(t)); got != "test" {
		t.Errorf("told %q", got)
	}
}

// A receiver that does not answer delays neither another one nor what is told to the desk.
func TestASlowReceiverDelaysNobody(t *testing.T) {
	stuck := make(chan struct{})
	asked := make(chan struct{}, 100)
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-stuck
	}))
	defer slow.Close()
	defer close(stuck)
	got := make(chan string, 100)
	quick := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got <- req.Header.Get("webhook-id") }))
	defer quick.Close()
	to := map[string]alert.To{"slow": webhook(slow.URL, secretFile(t)), "quick": webhook(quick.URL, secretFile(t))}
	d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{To: to})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.Run(ctx) }()
	for i := range 3 {
		ok(t, d.Step(ctx, "example", "log.example", []audit.Finding{found(audit.FalseAdmission, fmt.Sprint(i), i)}, nil))
		if i == 0 {
			<-asked
		}
		<-got
	}
	if other := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{}); other.Flush(ctx) != nil {
		t.Error("another outbox is not delivered")
	}
	cancel()
	if err := <-ended; err != context.Canceled {
		t.Errorf("it ends with %v", err)
	}
}

// No receiver leads into a private network, whatever it is called.
func TestPrivateReceivers(t *testing.T) {
	for _, host := range []string{
		"127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0.0.0.0", "0.1.2.3", "100.64.0.1",
		"192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::1", "::", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
		"64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1", "2001::1", "100::1", "3fff::1", "5f00::1",
	} {
		if err := alert.Dialable(net.JoinHostPort(host, "443")); err == nil {
			t.Errorf("%s may be dialed", host)
		}
	}
	for _, host := range []string{"1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00::1", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"} {
		if err := alert.Dialable(net.JoinHostPort(host, "443")); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	// A name is refused when it is dialed, whatever it led to before: this one leads here.
	dialed := false
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	go func() {
		if c, err := listener.Accept(); err == nil {
			dialed = true
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	secret, to := secretFile(t), map[string]alert.To{}
	for i, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0"} {
		to[fmt.Sprint(i)] = alert.To{Type: "webhook", URL: "https://" + host + ":" + port + "/T0KEN", SecretFile: secret}
	}
	d := desk(t, filepath.Join(t.TempDir(), "a.sqlite"), alert.Config{To: to})
	for _, name := range d.Destinations() {
		err := d.Test(t.Context(), name)
		if err == nil || strings.Contains(err.Error(), "T0KEN") || name < "3" && !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("%s: %v", to[name].URL, err)
		}
	}
	listener.Close()
	if dialed {
		t.Error("a connection came")
	}
}

// A name that leads to a public address when it is asked for, and then into the machine, is
// refused: what counts is what is dialed.
func TestRebinding(t *testing.T) {
	answers := make(chan netip.Addr, 8)
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	ok(t, err)
	defer server.Close()
	go func() {
		for b := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := server.WriteTo(dnsAnswer(b[:n], answers), from); err != nil {
				return
			}
		}
	}()
	d := alert.Dialer(false)
	d.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	control := d.Control
	reached := errors.New("reached")
	d.Control = func(network, address string, c syscall.RawConn) error {
		if err := control(network, address, c); err != nil {
			return err
		}
		return reached // and not dialed: this is a test
	}
	for _, at := range []string{"1.1.1.1", "127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "2606:4700::1", "::1", "::ffff:127.0.0.1", "fd00::1"} {
		addr := netip.MustParseAddr(at)
		answers <- addr
		_, err := d.DialContext(t.Context(), "tcp", "receiver.example.:443")
		switch good := at == "1.1.1.1" || at == "2606:4700::1"; {
		case good && !errors.Is(err, reached):
			t.Errorf("%s: %v", at, err)
		case !good && (err == nil || !strings.Contains(err.Error(), "not a public address")):
			t.Errorf("%s: %v", at, err)
		}
	}
}

// dnsAnswer answers a question of DNS by the next address, if it asks for one of its kind.
func dnsAnswer(question []byte, answers chan netip.Addr) []byte {
	end := 12 + bytes.IndexByte(question[12:], 0) + 5
	out := append(bytes.Clone(question[:2]), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	out = append(out, question[12:end]...)
	select {
	case a := <-answers:
		kind := byte(1)
		if a.Is6() {
			kind = 28
		}
		if question[end-3] != kind {
			answers <- a // for the other question
			break
		}
		out[7] = 1
		out = append(out, 0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, byte(len(a.AsSlice())))
		out = append(out, a.AsSlice()...)
	default:
	}
	return out
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "99999999999999999999", "-1", "Mon, 30 Nov 2026 13:00:00 GMT", "soon"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if after, ok := alert.RetryAfter(value, now); after < 0 || after > 6*time.Hour || !ok && after != 0 {
			t.Errorf("%q: %v", value, after)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "120": 2 * time.Minute, "99999999999999999999": 6 * time.Hour, "Mon, 30 Nov 2026 13:00:00 GMT": time.Hour, "Mon, 30 Nov 2026 11:00:00 GMT": 0,
	} {
		if got, ok := alert.RetryAfter(value, now); !ok || got != want {
			t.Errorf("%q: %v, %v", value, got, ok)
		}
	}
	for _, value := range []string{"", "-1", "soon", "1.5", " 1"} {
		if got, ok := alert.RetryAfter(value, now); ok {
			t.Errorf("%q: %v", value, got)
		}
	}
}
