package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
)

// newSender returns what reaches a destination. Errors begin with the key that is wrong.
func newSender(name string, to To, cfg *Config) (sender, error) {
	orDefault(&to.Timeout, defaultTimeout)
	switch to.Type {
	case typeMail:
		return newMail(to, cfg)
	case typeWebhook:
		return newWebhook(to, cfg)
	case typeHooks:
		return newHooks(name, to, cfg)
	default:
		return newLines(to, cfg)
	}
}

// maxSecret bounds a file with a secret: bytes.
const maxSecret = 4096

// readSecret returns the one line of a file.
func readSecret(path string) (string, error) {
	b, err := regular.ReadSome(path, maxSecret+1)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(b), "\r\n")
	if len(b) > maxSecret || text == "" || strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("%s: want one line of at most %d bytes", path, maxSecret)
	}
	return text, nil
}

// settingsOf returns a digest of the settings of a destination. Of what is in its files with
// secrets it has two bytes of a digest: enough to see that it was changed, and too few to
// guess a password by.
func settingsOf(to To) (string, error) {
	b, err := json.Marshal(to)
	if err != nil {
		return "", err
	}
	for _, path := range []string{to.SecretFile, to.PasswordFile, to.CAFile} {
		if path == "" {
			continue
		}
		content, err := regular.ReadSome(path, maxFile)
		if err != nil {
			return "", err
		}
		sum := tuf.Sum(content)
		b = append(b, sum[:2]...)
	}
	return tuf.Sum(b).String(), nil
}

// maxFile bounds the files that the settings name: bytes.
const maxFile = 1 << 20

// Current reports whether the files with secrets are still those that Open read.
func (d *Desk) Current() bool {
	for name, to := range d.cfg.To {
		if now, err := settingsOf(to); err != nil || now != d.settings[name] {
			return false
		}
	}
	return true
}

// tail keeps the first bytes that a program or a server says, for an error.
type tail struct {
	bytes.Buffer
	max int
}

// Write implements io.Writer. What finds no room is left out.
func (t *tail) Write(p []byte) (int, error) {
	t.Buffer.Write(p[:min(len(p), max(0, t.max-t.Len()))])
	return len(p), nil
}

// said is what a program or a server said, on one line.
func said(b []byte) string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(b), "?"))
	if text == "" {
		return ""
	}
	return ": " + tuf.Clip(printable.Line(strings.Join(strings.Fields(text), " ")))
}
