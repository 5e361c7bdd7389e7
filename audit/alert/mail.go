package alert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/internal/printable"
)

// defaultSendmail reads a message from stdin, takes the receivers from it, and does not end
// at a line with one dot.
var defaultSendmail = []string{"/usr/sbin/sendmail", "-t", "-i"}

// How a server is spoken to (To.TLS).
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

// mailer sends events as mails of plain text.
type mailer struct {
	to       To
	host     string // of the SMTP server
	port     int
	password string
	roots    *x509.CertPool // nil: the system's
	cfg      *Config
	takers   takers
}

func (t *To) checkMail() error {
	if len(t.Addresses) == 0 {
		return fmt.Errorf("addresses: %w: there are none", errConfig)
	}
	for _, a := range t.Addresses {
		if err := checkAddress("addresses", a); err != nil {
			return err
		}
	}
	if err := required("from", t.From); err != nil {
		return err
	}
	if err := checkAddress("from", t.From); err != nil {
		return err
	}
	switch {
	case t.SMTP == "" && (t.TLS != "" || t.User != "" || t.PasswordFile != "" || t.CAFile != ""):
		return fmt.Errorf("smtp: %w: it is missing: tls, user, password_file and ca_file are for a server", errConfig)
	case t.SMTP != "" && t.Sendmail != nil:
		return fmt.Errorf("sendmail: %w: want one of smtp and sendmail", errConfig)
	case t.Sendmail != nil && (len(t.Sendmail) == 0 || t.Sendmail[0] == ""):
		return fmt.Errorf("sendmail: %w: it is empty", errConfig)
	case (t.User == "") != (t.PasswordFile == ""):
		return fmt.Errorf("password_file: %w: want user and password_file, or neither", errConfig)
	case t.TLS == tlsNone && t.User != "":
		return fmt.Errorf("tls: %w: none, but a password goes with TLS alone", errConfig)
	case t.TLS != "" && t.TLS != tlsStart && t.TLS != tlsImplicit && t.TLS != tlsNone:
		return fmt.Errorf("tls: %w: %q, want %s, %s or %s", errConfig, clip(t.TLS), tlsStart, tlsImplicit, tlsNone)
	}
	if t.SMTP != "" {
		if _, _, err := hostPort(t.SMTP); err != nil {
			return fmt.Errorf("smtp: %w: %w", errConfig, err)
		}
	}
	return nil
}

func checkAddress(key, text string) error {
	a, err := mail.ParseAddress(text)
	if err != nil || strings.ContainsAny(text, "\r\n\x00") || !strings.Contains(a.Address, "@") {
		return fmt.Errorf("%s: %w: %q is not an address", key, errConfig, clip(text))
	}
	return nil
}

func hostPort(text string) (string, int, error) {
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || host == "" || n == 0 {
		return "", 0, fmt.Errorf("%q, want host:port", clip(text))
	}
	return host, int(n), nil
}

func newMail(to To, cfg *Config) (sender, error) {
	m := &mailer{to: to, cfg: cfg}
	if to.PasswordFile != "" {
		var err error
		if m.password, err = readSecret(to.PasswordFile); err != nil {
			return nil, fmt.Errorf("password_file: %w", err)
		}
	}
	if to.CAFile != "" {
		pem, err := os.ReadFile(to.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		if m.roots = x509.NewCertPool(); !m.roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %w: %s has no certificate", errConfig, to.CAFile)
		}
	}
	if to.SMTP != "" {
		m.host, m.port, _ = hostPort(to.SMTP)
		return m, nil
	}
	if m.to.Sendmail == nil {
		m.to.Sendmail = defaultSendmail
	}
	if _, err := exec.LookPath(m.to.Sendmail[0]); err != nil {
		return nil, fmt.Errorf("sendmail: %w: %w", errConfig, err)
	}
	return m, nil
}

// send mails events to each address by itself: one that is refused keeps nothing from the
// others.
func (m *mailer) send(ctx context.Context, events []outgoing) error {
	for _, e := range events {
		err := m.takers.each(ctx, e.ID, m.to.Addresses, func(address string) error {
			msg, err := m.message(e.Event, address)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, m.to.Timeout)
			defer cancel()
			if m.to.SMTP != "" {
				err = m.bySMTP(ctx, msg)
			} else {
				err = m.bySendmail(ctx, msg)
			}
			if err != nil && len(m.to.Addresses) > 1 {
				return fmt.Errorf("%s: %w", printable.Line(address), err)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// message words an event. No word of others gets into a header but on one line of printable
// text, in the subject.
func (m *mailer) message(e *Event, address string) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.to.From), msg.To(address)); err != nil {
		return nil, err
	}
	msg.Subject(subject(e))
	msg.SetDateWithValue(e.Time)
	msg.SetMessageIDWithValue(m.messageID(e.ID))
	if e.Opening != "" { // a thread with the mail about the opening
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+m.messageID(e.Opening)+">")
		msg.SetGenHeader(gomail.HeaderReferences, "<"+m.messageID(e.Opening)+">")
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Mailer", "tuflog-auditor/"+build.Read().Version)
	msg.SetGenHeader("X-Tuflog-Event", e.ID)
	msg.SetGenHeader("X-Tuflog-Type", string(e.Type))
	msg.SetBodyString(gomail.TypeTextPlain, text(e))
	return msg, nil
}

// messageID returns the Message-ID that follows from an event's id.
func (m *mailer) messageID(id string) string {
	a, err := mail.ParseAddress(m.to.From)
	if err != nil {
		return id + "@localhost"
	}
	return id + a.Address[strings.LastIndexByte(a.Address, '@'):]
}

// written returns the bytes of a message. No line is a single dot: a sendmail that runs without
// -i takes it for the end, and where quoted-printable breaks a long line is a stranger's choice.
func written(msg *gomail.Msg) (string, error) {
	var raw strings.Builder
	_, err := msg.WriteTo(&raw)
	lines := strings.Split(raw.String(), "\r\n")
	for i, line := range lines {
		if line == "." {
			lines[i] = "=2E"
		}
	}
	return strings.Join(lines, "\r\n"), err
}

func (m *mailer) bySendmail(ctx context.Context, msg *gomail.Msg) error {
	cmd := exec.CommandContext(ctx, m.to.Sendmail[0], m.to.Sendmail[1:]...)
	raw, err := written(msg)
	if err != nil {
		return err
	}
	// What comes by a pipe has the line ends of the system.
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(raw, "\r\n", "\n"))
	out := &tail{max: maxOutput}
	cmd.Stdout, cmd.Stderr = out, out
	if err := runToEnd(ctx, cmd); err != nil {
		return fmt.Errorf("%s: %w%s", printable.Line(m.to.Sendmail[0]), err, said(out.Bytes()))
	}
	return nil
}

func (m *mailer) bySMTP(ctx context.Context, msg *gomail.Msg) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the connection, however far the conversation came
	tlsConfig := &tls.Config{ServerName: m.host, RootCAs: m.roots, MinVersion: tls.VersionTLS12}
	opts := []gomail.Option{
		gomail.WithPort(m.port), gomail.WithoutNoop(), gomail.WithTLSConfig(tlsConfig),
		gomail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			if m.to.TLS == tlsImplicit {
				return tls.Client(conn, tlsConfig), nil
			}
			return conn, nil
		}),
	}
	switch m.to.TLS {
	case tlsImplicit:
		opts = append(opts, gomail.WithSSL())
	case tlsNone:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if m.to.User != "" {
		how := gomail.SMTPAuthAutoDiscover
		if m.to.TLS == tlsImplicit {
			how = gomail.SMTPAuthPlain // the client does not see that the connection is encrypted
		}
		opts = append(opts, gomail.WithSMTPAuth(how), gomail.WithUsername(m.to.User), gomail.WithPassword(m.password))
	}
	if end, ok := ctx.Deadline(); ok {
		opts = append(opts, gomail.WithTimeout(time.Until(end)))
	}
	client, err := gomail.NewClient(m.host, opts...)
	if err != nil {
		return err
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		// The server has taken a message that was sent, whatever it says to QUIT.
		if msg.IsDelivered() {
			return nil
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		var answer *gomail.SendError
		if errors.As(err, &answer) && answer.ErrorCode()/100 == 5 {
			err = fmt.Errorf("%w: %w", errRefused, err)
		}
		return fmt.Errorf("%s: %w", m.to.SMTP, err)
	}
	return nil
}
