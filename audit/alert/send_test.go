package alert_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
)

// script writes an executable.
func script(t *testing.T, path, text string) {
	t.Helper()
	ok(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755))
}

// Each executable of the folder gets the event; the one that fails gets it again, and the
// others do not.
func TestHooks(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	dir, out := filepath.Join(base, "hooks.d"), filepath.Join(base, "out")
	ok(t, os.Mkdir(dir, 0o755))
	now := newClock()
	cfg := alert.Config{To: map[string]alert.To{"local": {Type: "hooks", Dir: dir, Timeout: 5 * time.Second}}, Now: now.Now}
	if _, err := alert.Open(ctx, filepath.Join(base, "a.sqlite"), cfg); err == nil || !strings.Contains(err.Error(), "to.local.dir: ") {
		t.Errorf("without an executable: %v", err)
	}
	script(t, filepath.Join(dir, "10-good"), `printf 'good %s %s ' "$TUFLOG_EVENT_ID" "$TUFLOG_EVENT_TYPE" >> `+out+"; cat >> "+out)
	script(t, filepath.Join(dir, "20-bad"), `printf 'bad %s\n' "$TUFLOG_EVENT_ID" >> `+out+`; head -c 100000 /dev/zero; printf 'no \033[31m' >&2; test -e `+base+`/mended`)
	script(t, filepath.Join(dir, ".hidden"), "echo hidden >> "+out)
	ok(t, os.WriteFile(filepath.Join(dir, "README"), []byte("not a program"), 0o644))
	d := desk(t, filepath.Join(base, "a.sqlite"), cfg)
	ok(t, d.Step(ctx, "example", "log.example", []audit.Finding{found(audit.FalseAdmission, "acme", 7)}, nil))
	err := d.Flush(ctx)
	if err == nil || !strings.Contains(err.Error(), "local: 20-bad: exit status 1: ") || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 1000 {
		t.Errorf("%.2000v", err)
	}
	ok(t, os.WriteFile(filepath.Join(base, "mended"), nil, 0o644))
	now.now = now.now.Add(time.Hour)
	ok(t, d.Flush(ctx))
	b, err := os.ReadFile(out)
	ok(t, err)
	lines := strings.SplitAfter(string(b), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "good ") || !strings.HasPrefix(lines[1], "bad ") || lines[1] != lines[2] {
		t.Fatalf("%q", lines)
	}
	head, body, _ := strings.Cut(lines[0], "{")
	e := events(t, []byte("{"+body))[0]
	if head != "good "+e.ID+" finding.opened " || lines[1] != "bad "+e.ID+"\n" {
		t.Errorf("%q", lines)
	}

	// What takes too long is ended with all that it has started.
	script(t, filepath.Join(dir, "20-bad"), "sleep 1000 & wait")
	cfg.To["local"] = alert.To{Type: "hooks", Dir: dir, Timeout: 50 * time.Millisecond}
	if err := desk(t, filepath.Join(base, "a.sqlite"), cfg).Test(ctx, "local"); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("%v", err)
	}
	for _, path := range []string{filepath.Join(dir, "10-good"), dir} {
		ok(t, os.Chmod(path, 0o777))
		if err := d.Test(ctx, "local"); err == nil || !strings.Contains(err.Error(), "may be written by everybody") {
			t.Errorf("%s: %v", path, err)
		}
		ok(t, os.Chmod(path, 0o755))
	}
}

// mailOf reads a message.
func mailOf(t *testing.T, text []byte) (*mail.Message, string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(text))
	ok(t, err)
	body := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	b, err := io.ReadAll(body)
	ok(t, err)
	return m, strings.ReplaceAll(string(b), "\r\n", "\n")
}

// A mail is of plain text; no word of a vendor becomes a header, a line or a command of its
// own.
func TestSendmail(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	now := newClock()
	sendmail := filepath.Join(base, "sendmail")
	script(t, sendmail, `echo "$@" > `+base+`/args; n=$(ls `+base+`/mail* 2>/dev/null | wc -l); cat > `+base+`/mail$n`)
	cfg := alert.Config{
		To: map[string]alert.To{"ops": {
			Type: "mail", Addresses: []string{"Ops <ops@example.com>", "b@example.org"}, From: "Auditor <auditor@example.net>", Sendmail: []string{sendmail, "-t", "-i"},
		}},
		Now: now.Now, URL: "https://audit.example/",
		Logs: []alert.Log{{Name: "example", Policy: "/etc/policy.txt", StateDir: "/var/lib/a b/example", URL: "https://log.example"}},
	}
	d := desk(t, filepath.Join(base, "a.sqlite"), cfg)
	f := found(audit.Fork, "acme", 7)
	f.Role = "x\r\nBcc: all@example.com"
	f.Sentence = "the log signed\r\n.\r\nBcc: all@example.com\r\n\r\nLook at \x1b]8;;http://evil.example\x1b\\here\u202e gnp.exe " + strings.Repeat("and more ", 20)
	f.Evidence = []audit.Evidence{{Name: "fork.conflict", Size: 12, Text: strings.Repeat("secret", 100)}}
	ok(t, d.Step(ctx, "example", "log.example", []audit.Finding{f}, nil))
	ok(t, d.Flush(ctx))
	ok(t, d.Step(ctx, "example", "log.example", nil, []audit.Finding{f}))
	now.now = now.now.Add(time.Hour)
	ok(t, d.Flush(ctx))
	args, err := os.ReadFile(filepath.Join(base, "args"))
	ok(t, err)
	if string(args) != "-t -i\n" {
		t.Errorf("sendmail %s", args)
	}
	raw, err := os.ReadFile(filepath.Join(base, "mail0"))
	ok(t, err)
	if bytes.ContainsRune(raw, '\r') {
		t.Error("the mail has CR")
	}
	m, body := mailOf(t, raw)
	id := m.Header.Get("X-Tuflog-Event")
	if len(id) != 40 || m.Header.Get("Message-Id") != "<"+id+"@example.net>" || m.Header.Get("Subject") != "[tuflog] tampering: fork in "+f.Repository.Short()+", example" ||
		m.Header.Get("Bcc") != "" || m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("To") != `"Ops" <ops@example.com>` {
		t.Errorf("%+v", m.Header)
	}
	if !strings.HasPrefix(m.Header.Get("Content-Type"), "text/plain; charset=UTF-8") {
		t.Errorf("%+v", m.Header)
	}
	command := "\n    auditor evidence check --policy /etc/policy.txt '/var/lib/a b/example/evidence/fork-" + f.ID + "/fork.conflict'\n"
	if !strings.Contains(body, command) || !strings.Contains(body, "\nhttps://audit.example/logs/example/findings/"+f.ID+"\n") {
		t.Errorf("body:\n%s", body)
	}
	for _, bad := range []string{"\x1b", "\u202e", "\nBcc", "\n.\n", "secretsecret"} {
		if strings.Contains(body, bad) {
			t.Errorf("the body has %q:\n%s", bad, body)
		}
	}
	raw, err = os.ReadFile(filepath.Join(base, "mail1"))
	ok(t, err)
	if m, other := mailOf(t, raw); m.Header.Get("To") != "<b@example.org>" || other != body || m.Header.Get("Message-Id") != "<"+id+"@example.net>" {
		t.Errorf("%+v\n%s", m.Header, other)
	}
	raw, err = os.ReadFile(filepath.Join(base, "mail2"))
	ok(t, err)
	closed, body := mailOf(t, raw)
	if closed.Header.Get("In-Reply-To") != "<"+id+"@example.net>" || !strings.HasPrefix(closed.Header.Get("Subject"), "[tuflog] closed: ") || !strings.HasPrefix(body, "This is no longer so:\n") {
		t.Errorf("%+v\n%s", closed.Header, body)
	}
	script(t, sendmail, "echo no such user >&2; exit 67")
	if err := d.Test(ctx, ""); err == nil || !strings.Contains(err.Error(), "exit status 67: no such user") {
		t.Errorf("%v", err)
	}
}

// smtpServer speaks with one client after another, and sends what it is told on a channel.
func smtpServer(t *testing.T, tlsConfig *tls.Config, atOnce bool) (string, chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { listener.Close() })
	said := make(chan string, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if atOnce {
				talk(tls.Server(conn, tlsConfig), nil, said)
			} else {
				talk(conn, tlsConfig, said)
			}
		}
	}()
	return listener.Addr().String(), said
}

func talk(conn net.Conn, tlsConfig *tls.Config, said chan string) {
	defer conn.Close()
	var log strings.Builder
	defer func() { said <- log.String() }()
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 test ESMTP\r\n")
	secure := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprintf(&log, "%v %s", secure, line)
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "EHLO":
			if tlsConfig != nil && !secure {
				fmt.Fprint(conn, "250-test\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
			} else {
				fmt.Fprint(conn, "250-test\r\n250 AUTH PLAIN\r\n")
			}
		case "STARTTLS":
			fmt.Fprint(conn, "220 go\r\n")
			c := tls.Server(conn, tlsConfig)
			if c.Handshake() != nil {
				return
			}
			conn, r, secure = c, bufio.NewReader(c), true
		case "AUTH":
			fmt.Fprint(conn, "235 ok\r\n")
		case "RCPT":
			if strings.Contains(line, "left@") {
				fmt.Fprint(conn, "550 no such user\r\n")
				continue
			}
			fmt.Fprint(conn, "250 ok\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go\r\n")
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				log.WriteString(line)
			}
			fmt.Fprint(conn, "250 taken\r\n")
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

// Mail goes to a server by TLS, with a password or without.
func TestSMTP(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ok(t, err)
	root := filepath.Join(base, "root.pem")
	ok(t, os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	password := filepath.Join(base, "password")
	ok(t, os.WriteFile(password, []byte("pa55word\n"), 0o600))
	serverTLS := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	secure, said := smtpServer(t, serverTLS, false)
	atOnce, saidAtOnce := smtpServer(t, serverTLS, true)
	plain, saidPlain := smtpServer(t, nil, false)
	to := alert.To{Type: "mail", Addresses: []string{"ops@example.com"}, From: "auditor@example.net", SMTP: secure, User: "auditor", PasswordFile: password, CAFile: root}
	without := to
	without.SMTP = plain
	unknown := to
	unknown.CAFile = ""
	implicit := to
	implicit.SMTP, implicit.TLS = atOnce, "implicit"
	none := alert.To{Type: "mail", Addresses: to.Addresses, From: to.From, SMTP: plain, TLS: "none"}
	d := desk(t, filepath.Join(base, "a.sqlite"), alert.Config{To: map[string]alert.To{"ops": to, "without": without, "unknown": unknown, "none": none, "implicit": implicit}})
	ok(t, d.Test(ctx, "ops"))
	text := <-said
	for _, want := range []string{"false EHLO", "false STARTTLS", "true AUTH PLAIN ", "true MAIL FROM:<auditor@example.net>", "true RCPT TO:<ops@example.com>", "\nSubject: [tuflog] test: "} {
		if !strings.Contains(text, want) {
			t.Errorf("without %q:\n%s", want, text)
		}
	}
	ok(t, d.Test(ctx, "implicit"))
	if text := <-saidAtOnce; !strings.Contains(text, " AUTH PLAIN ") || !strings.Contains(text, "\nSubject: [tuflog] test: ") {
		t.Errorf("by TLS from the first byte:\n%s", text)
	}
	if err := d.Test(ctx, "without"); err == nil || strings.Contains(err.Error(), "pa55word") {
		t.Errorf("a server without TLS: %v", err)
	}
	if text := <-saidPlain; strings.Contains(text, "AUTH") || strings.Contains(text, "MAIL") {
		t.Errorf("a server without TLS was told:\n%s", text)
	}
	if err := d.Test(ctx, "unknown"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server whose certificate nobody knows: %v", err)
	}
	if text := <-said; strings.Contains(text, "AUTH") {
		t.Errorf("it was told:\n%s", text)
	}
	ok(t, d.Test(ctx, "none"))
	if text := <-saidPlain; !strings.Contains(text, "false MAIL FROM:<auditor@example.net>") {
		t.Errorf("it was told:\n%s", text)
	}
}

// Whoever moves the file away finds a new one; a line that a full disk has cut stays alone.
func TestLines(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	path := filepath.Join(base, "alerts.jsonl")
	d := desk(t, filepath.Join(base, "a.sqlite"), alert.Config{To: map[string]alert.To{"file": {Type: "jsonl", Path: path}}})
	var first []audit.Finding
	for i := range 250 {
		first = append(first, found(audit.VersionGap, "acme", i)) // of one cause, and each is a line
	}
	ok(t, d.Step(ctx, "example", "log.example", first, nil))
	ok(t, d.Flush(ctx))
	ok(t, os.Rename(path, path+".1"))
	ok(t, os.WriteFile(path, []byte(`{"cut`), 0o644))
	ok(t, d.Step(ctx, "example", "log.example", nil, first[:1]))
	ok(t, d.Flush(ctx))
	b, err := os.ReadFile(path + ".1")
	ok(t, err)
	if list := events(t, b); len(list) != 250 {
		t.Errorf("%d lines", len(list))
	}
	b, err = os.ReadFile(path)
	ok(t, err)
	if got := told(events(t, bytes.TrimPrefix(b, []byte("{\"cut\n")))); got != "finding.closed version-gap 0.1" {
		t.Errorf("%s", b)
	}
}

// Whatever is said, a mail has the headers that it has, and a text that can be printed.
func FuzzWords(f *testing.F) {
	f.Add("a sentence", "targets", "acme")
	f.Add("x\r\nBcc: all@example.com\r\n\r\n.\r\n", "\x1b]8;;\u202e", "=?utf-8?q?=0d=0aBcc:x?=")
	for n := range 80 { // one of them breaks to a line of one dot
		f.Add(strings.Repeat("x", n)+".", "targets", "acme")
	}
	f.Add(strings.Repeat("ü", 3000), strings.Repeat("a b ", 100), "\xff\x00")
	f.Fuzz(func(t *testing.T, sentence, role, name string) {
		finding := found(audit.Fork, "acme", 7)
		finding.Sentence, finding.Role = sentence, role
		raw, err := alert.Mail(&alert.Event{ID: "0123", Type: alert.Opened, Log: "example", Origin: name, RepositoryName: name, Finding: &finding, Link: "https://x/" + name})
		if err != nil {
			t.Fatal(err)
		}
		m, body := mailOf(t, raw)
		if len(m.Header) != 12 || m.Header.Get("Bcc") != "" {
			t.Errorf("%q", m.Header)
		}
		for _, line := range strings.Split(string(raw), "\r\n") {
			if len(line) > 998 || line == "." {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		if i := strings.IndexFunc(body, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }); i >= 0 {
			t.Errorf("%q", body[i:])
		}
	})
}
